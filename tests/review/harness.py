"""A folder with `base/` and `head/` -> the report that a person reads of it.

Each of the two is a folder that kustomize builds, one of plain YAML as somebody rendered it, or a whole repository with
overlays/ of its own. `case.yaml`, where there is one, has the consents (`accept`) and the day (`date`).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from emqx_gitops.kustomize import find
from emqx_gitops.review import gate, masks, report, run
from emqx_gitops.review.model import Review

ROOT = Path(__file__).resolve().parents[2]
KEY = b"the same in every run of the tests"
DAY = "2026-01-31"


def review(folder: Path, *, jobs: int = 2) -> Review:
    """The review of a case, as somebody makes it who stands in the clone."""
    case: dict[str, Any] = yaml.safe_load((folder / "case.yaml").read_text()) if (folder / "case.yaml").exists() else {}
    settings = run.Settings(find(None), jobs, tuple(gate.of_options(case.get("accept", []))), case.get("date", DAY))
    sides = [os.path.relpath(folder / side, ROOT) for side in ("base", "head")]
    return run.review(sides, ROOT, settings)


def told(found: Review, form: str = "text") -> str:
    """A review as a report, without colour."""
    said = report.REPORTERS[form](masks.shown(found, KEY), lambda _, text: text)
    for digest in filter(None, found.plugin):
        said = said.replace(digest, "PLUGIN")  # another one after each change of the function
    return said
