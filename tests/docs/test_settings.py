"""docs/settings.md is what the function's own tables say."""

from __future__ import annotations

from .documents import ROOT
from .settings_page import page


def test_settings_page_is_fresh(update_goldens: bool) -> None:
    path = ROOT / "docs" / "settings.md"
    if update_goldens:
        path.write_text(page(), encoding="utf-8", newline="\n")
    assert path.read_text(encoding="utf-8") == page(), "run `make update-goldens`"
