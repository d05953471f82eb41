"""Each rule by folders: `bad-*` with the whole text of what is said in `problems.txt`, and `good-*`, of which nothing is said.

A folder is a kustomization on one of our overlays, or holds a `stream.yaml` that somebody else wrote.
`make update-goldens` writes the texts anew; every change of one is read in review.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .harness import ROOT, findings

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(folder for rule in CASES.iterdir() for folder in rule.iterdir())


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places in messages are relative to the current folder."""
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_case(folder: Path, *, update_goldens: bool) -> None:
    golden = folder / "problems.txt"
    said = findings(folder)
    if update_goldens:
        golden.unlink(missing_ok=True)
        if said:
            golden.write_text(said)
    assert said == (golden.read_text() if golden.exists() else "")
    bad = folder.name.startswith("bad-")
    assert bad == (f"[{folder.parent.name}]" in said)
    assert bad or not said


@pytest.mark.parametrize("rule", sorted(path.name for path in CASES.iterdir()))
def test_a_rule_has_a_case_of_each_kind(rule: str) -> None:
    assert {folder.name.partition("-")[0] for folder in (CASES / rule).iterdir()} == {"bad", "good"}
