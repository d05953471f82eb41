"""Messages of ours on docs/troubleshooting.md are those that are said."""

from __future__ import annotations

import pytest

from .documents import ROOT, headings

TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("begins", "said_in"),
    [
        ("emqx-gitops: no Python", "plugins/emqx-gitops.dev/launch.sh"),
        ("spec.template.spec.serviceAccountName: Invalid value", "base/pod/pod-template.yaml"),
    ],
)
def test_a_message_of_ours_is_quoted_as_it_is_said(begins: str, said_in: str) -> None:
    (title,) = [heading for heading in headings(TEXT) if heading.startswith(f"`{begins}")]
    # What stands for a folder, and what Kubernetes says before our words, is not ours.
    ours = title.strip("`").partition('Invalid value: "')[2].rstrip('"') or title.strip("`")
    text = (ROOT / said_in).read_text(encoding="utf-8")
    assert [piece for piece in ours.split("…") if piece.strip() not in text] == []
