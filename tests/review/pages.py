"""Pages to look at."""

from __future__ import annotations

from pathlib import Path

import yaml
from tests.review.impact.harness import ROOT, pair

from emqx_gitops.project import Target
from emqx_gitops.review.as_html import as_html
from emqx_gitops.review.impact import findings
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import SEVERITIES, Pair, Review, TargetReview

CASES = ("scale-down", "exposed", "node-renamed", "rights-gained", "immutable-statefulset")


def page(found: Review) -> str:
    return as_html(Shown(found), lambda _, text: text)


def real() -> Review:
    """What several cases of findings do, in one review."""
    targets = []
    for name in CASES:
        folder = min((ROOT / "tests/review/impact/cases" / name).glob("bad-*"))
        made = pair(yaml.safe_load((folder / "case.yaml").read_text()))
        found = sorted(findings(made), key=lambda finding: SEVERITIES.index(finding.severity))
        label = f"clusters/{name}-{'long' * 20}"
        targets.append(TargetReview(Pair(Target(Path(label), label), made.before, made.after, made.differences), tuple(found)))
    return Review("a" * 40, "work tree", ("a" * 64, "b" * 64), tuple(targets))
