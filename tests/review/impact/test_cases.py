"""Each finding by folders: `bad-*` shows it, with all that is said in `findings.txt`; `good-*` comes close, and the finding is not there.

`make update-goldens` writes the texts anew; every change of one is read in review.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from emqx_gitops.review.impact import RULES

from .harness import ROOT, said

CASES = Path(__file__).parent / "cases"
FOLDERS = sorted(folder for rule in CASES.iterdir() for folder in rule.iterdir())
PAGES = ROOT / "docs" / "review" / "rules"
REVIEW = ROOT / "tools" / "emqx_gitops" / "review"


def calls(folder: Path, name: str) -> list[ast.Call]:
    """The calls of a function in the modules of a folder."""
    nodes = (node for module in sorted(folder.glob("*.py")) for node in ast.walk(ast.parse(module.read_text())))
    return [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name]


# Those of the frame are no impact, and have pages too.
OF_THE_FRAME = {ast.literal_eval(call.args[0]): ast.literal_eval(call.args[1]) for call in calls(REVIEW, "Finding")}
ALL = {**RULES, **OF_THE_FRAME}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_case(folder: Path, *, update_goldens: bool) -> None:
    golden = folder / "findings.txt"
    text = said(folder)
    if update_goldens:
        golden.write_text(text)
    assert text == golden.read_text()
    assert folder.name.startswith("bad-") == (f" {folder.parent.name}:" in text or f" {folder.parent.name} (by the plugin):" in text)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_finding_has_a_case_of_each_kind(rule: str) -> None:
    assert {folder.name.partition("-")[0] for folder in (CASES / rule).iterdir()} == {"bad", "good"}


def test_a_case_belongs_to_a_finding() -> None:
    assert sorted(folder.name for folder in CASES.iterdir()) == sorted(RULES)


def test_every_finding_is_made_somewhere() -> None:
    """The ids in the code are those of the table."""
    assert {ast.literal_eval(call.args[0]) for call in calls(REVIEW / "impact", "found")} == set(RULES)


@pytest.mark.parametrize("rule", sorted(ALL))
def test_page(rule: str) -> None:
    """A page says what the finding means, at its severity, and what to do."""
    lines = (PAGES / f"{rule}.md").read_text().splitlines()
    assert lines[0] == f"# `{rule}`"
    assert lines[3] == f"*{ALL[rule].capitalize()}.*"
    assert [line for line in lines if line.startswith("## ")] == ["## Why", "## What to do"]


def test_index_names_every_page() -> None:
    index = (PAGES / "README.md").read_text()
    assert [rule for rule in ALL if f"| [{rule}]({rule}.md) | {ALL[rule]} |" not in index] == []
    assert {page.stem for page in PAGES.glob("*.md")} == {*ALL, "README"}
