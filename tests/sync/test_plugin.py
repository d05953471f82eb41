"""The command of the Config Management Plugin: it prints the whole rendering, or nothing and fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .manifests import SYNC, cluster, one, rendered

PLUGIN = yaml.safe_load((SYNC / "argocd" / "cmp" / "repo-server" / "plugin.yaml").read_text())


def generate(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What argocd-cmp-server does: the command in the folder of the Application."""
    command = [*PLUGIN["spec"]["generate"]["command"], *PLUGIN["spec"]["generate"]["args"]]
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_it_runs_only_for_applications_that_name_it() -> None:
    assert "discover" not in PLUGIN["spec"]
    assert "version" not in PLUGIN["spec"]
    assert one("argocd/cmp/application", "Application")["spec"]["source"]["plugin"] == {"name": PLUGIN["metadata"]["name"]}


def test_it_prints_the_rendering(clone: Path) -> None:
    folder = cluster(clone, "persistent", "argocd")
    done = generate(folder)
    assert (done.returncode, done.stdout) == (0, rendered(folder))
    assert "11 objects" in done.stderr


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        ("resources: []", "empty-rendering"),
        ("resources: [../../overlays/persistent]\nreplicas: [{name: emqx, count: 5}]\nimages: [{name: emqx/emqx, newTag: 4.4.19}]", "stale"),
        ("resources: [../../base/statefulset]", "not-rendered"),
        ("resources: [../../overlays/none]", "kustomize"),
    ],
)
def test_it_fails_closed(broken: str, rule: str, clone: Path) -> None:
    folder = cluster(clone, "persistent")
    (folder / "kustomization.yaml").write_text(broken + "\n")
    done = generate(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"[{rule}]" in done.stderr


def test_without_its_tools_it_prints_nothing(clone: Path) -> None:
    done = generate(cluster(clone, "persistent"), KUSTOMIZE="/nowhere/kustomize")
    assert (done.returncode, done.stdout) == (3, "")
