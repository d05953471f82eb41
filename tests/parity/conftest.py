"""The programs to compare with are built here when they are not there yet: a minute or two, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[1] / "tools" / "build.py"


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    subprocess.run([sys.executable, BUILD, "kustomize-5.4", "kustomize-5.6", "kubectl"], check=True)
