"""What the function lets pass, `emqx-gitops validate` lets pass: a build must not be refused by the next step for what it was right about."""

from __future__ import annotations

from pathlib import Path

import pytest

from emqx_gitops import inventory, validate

from .harness import ROOT

CASES = ROOT / "tests" / "fn" / "cases"
# There a second workload runs EMQX that nobody configures: validate looks at that one too.
ACCEPTED = sorted(path for path in CASES.rglob("expected.yaml") if path.parent.name != "workload-chosen")


def test_there_are_cases() -> None:
    assert len(ACCEPTED) > 50


@pytest.mark.parametrize("stream", ACCEPTED, ids=lambda path: path.parent.relative_to(CASES).as_posix())
def test_validate_agrees(stream: Path) -> None:
    _, (rendered,) = validate.sort_inputs([str(stream)])
    said = [*inventory.check(rendered.resources), *validate.by_rules(rendered).problems]
    assert [problem.lines() for problem in said] == []
