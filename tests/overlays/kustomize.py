"""Runs the pinned kustomize with this clone's plugin."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZE = os.environ.get("KUSTOMIZE") or str(ROOT / ".tools" / "bin" / "kustomize")


def build(folder: Path, *flags: str, plugin_home: Path | None = ROOT / "plugins") -> subprocess.CompletedProcess[str]:
    """`kustomize build` with plugins enabled, unless other flags are given."""
    environment = {key: value for key, value in os.environ.items() if key != "KUSTOMIZE_PLUGIN_HOME"}
    if plugin_home is not None:
        environment["KUSTOMIZE_PLUGIN_HOME"] = str(plugin_home)
    command = [KUSTOMIZE, "build", *(flags or ("--enable-alpha-plugins",)), str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def rendered(folder: Path) -> str:
    """The output of a build that must succeed."""
    result = build(folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def objects(stream: str) -> dict[tuple[str, str], Any]:
    """The objects of a stream by kind and name."""
    found = [item for item in yaml.safe_load_all(stream) if item]
    return {(item["kind"], item["metadata"]["name"]): item for item in found}


def write(folder: Path, files: dict[str, str]) -> Path:
    """A folder with these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
