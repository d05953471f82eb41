"""A copy of what a user's layers refer to, so that tests write theirs beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .kustomize import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with base/, overlays/ and plugins/ of this clone."""
    for name in ("base", "overlays", "plugins"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path
