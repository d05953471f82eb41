"""A copy of what a cluster's folder refers to."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .manifests import ROOT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with base/, overlays/, plugins/ and sync/ of this clone."""
    for folder in ("base", "overlays", "plugins", "sync"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path
