"""What the cases show: which rule is said of them, as what, in which words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from .documents import ROOT

TESTS = ROOT / "tests"
_GOLDENS = ("fn/cases/**/errors.txt", "rules/cases/*/bad-*/problems.txt", "cli/cases/*/stdout.txt", "cli/cases/*/stderr.txt")
_SAID = re.compile(r"(?P<how>warning: |waived: )?(?P<message>.* \[(?P<rule>[a-z0-9-]+)\])")


class Said(NamedTuple):
    """One message of a golden; `how` is `error`, `warning` or `waived`."""

    rule: str
    how: str
    message: str
    golden: Path


def said() -> list[Said]:
    """Every message in the goldens."""
    return [found for pattern in _GOLDENS for golden in sorted(TESTS.glob(pattern)) for found in _messages(golden)]


def _messages(golden: Path) -> Iterator[Said]:
    lines = golden.read_text(encoding="utf-8").splitlines()
    for line, following in pairwise(lines):
        match = _SAID.fullmatch(line)
        if match and following.startswith(("  fix: ", "  reason: ")):
            yield Said(match["rule"], (match["how"] or "error: ")[:-2], match["message"], golden)


def keeps(case: Path, rule: str, found: list[Said]) -> bool:
    """Whether a case ran through without a word of the rule: a good folder, a rendering of the function, a run of the command line."""
    good = case.name.startswith("good-") and not (case / "problems.txt").exists()
    went = good or (case / "expected.yaml").exists() or (case / "case.yaml").exists()
    return went and not any(said.rule == rule and said.golden.parent == case for said in found)
