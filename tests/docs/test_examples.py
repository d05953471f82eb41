"""What README.md shows is what comes out: its files build, and its output is the real one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .documents import ROOT, Block, blocks

README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
KUSTOMIZE = os.environ.get("KUSTOMIZE") or str(ROOT / ".tools" / "bin" / "kustomize")
BROKER = {
    "statefulset.yaml": """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: mqtt
spec:
  serviceName: mqtt-headless
  replicas: 3
  selector:
    matchLabels:
      app: mqtt
  template:
    metadata:
      labels:
        app: mqtt
    spec:
      containers:
        - name: emqx
          image: emqx/emqx:5.8.9
          env:
            - name: EMQX_CLUSTER__K8S__SERVICE_NAME
              value: mqtt
""",
    "services.yaml": """\
apiVersion: v1
kind: Service
metadata:
  name: mqtt
spec:
  selector:
    app: mqtt
  ports:
    - name: mqtt
      port: 1883
---
apiVersion: v1
kind: Service
metadata:
  name: mqtt-headless
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    app: mqtt
""",
}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a user's clone has of YAML."""
    for folder in ("base", "overlays", "plugins"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "KUSTOMIZE_PLUGIN_HOME": str(ROOT / "plugins"), "KUSTOMIZE": KUSTOMIZE, "NO_COLOR": "1"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def kustomize(folder: Path, layer: str) -> subprocess.CompletedProcess[str]:
    return run([KUSTOMIZE, "build", "--enable-alpha-plugins", layer], folder)


def cli(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "emqx_gitops", *words], folder)


def with_output(command: str) -> Block:
    return next(block for block in README if block.text.startswith(f"$ {command}"))


def file_of(path: str) -> str:
    """The block whose first line, a comment, names the file."""
    return next(block.text for block in README if block.text.startswith(f"# {path}\n"))


def test_the_rendering_is_the_shown_one() -> None:
    command, _, shown = with_output("kustomize build --enable-alpha-plugins overlays/persistent").text.partition("\n")
    rendered = kustomize(ROOT, command.split()[-1]).stdout
    place = 0
    for piece in re.split(r"^…\n", shown, flags=re.MULTILINE):
        # `kind: Role` is also the beginning of RoleBinding's reference: whole lines count, in their order.
        lines = [line for line in piece.splitlines() if line]
        for line in lines:
            place = rendered.find(f"{line}\n", place)
            assert place >= 0, line


def test_the_cluster_written_by_hand_builds(clone: Path) -> None:
    folder = clone / "clusters" / "prod"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(file_of("clusters/prod/kustomization.yaml"), encoding="utf-8")
    built = kustomize(clone, "clusters/prod")
    assert (built.stderr, built.returncode) == ("", 0)
    assert "  name: prod-emqx\n  namespace: emqx-prod\n" in built.stdout
    assert "  replicas: 5\n" in built.stdout


def test_a_new_cluster_says_what_is_shown(clone: Path) -> None:
    new, validate = re.findall(r"^\$ emqx-gitops (.*)\n((?:[^$].*\n)+)", with_output("emqx-gitops new").text, re.MULTILINE)
    said = cli(clone, *new[0].split())
    assert (said.stderr, said.returncode) == (new[1], 0)
    said = cli(clone, *validate[0].split())
    assert (said.stdout, said.returncode) == (validate[1], 0)


def test_settings_patch_and_advice_are_the_shown_ones(clone: Path) -> None:
    assert cli(clone, "new", "clusters/staging", "--from", "persistent", "--namespace", "messaging").returncode == 0
    folder = clone / "clusters" / "staging"
    (folder / "emqx.yaml").write_text(next(block.text for block in README if block.text.startswith("# yaml-language-server")), encoding="utf-8")
    layer = (folder / "kustomization.yaml").read_text(encoding="utf-8")
    (folder / "kustomization.yaml").write_text(f"{layer}patches:\n  - path: emqx.yaml\nimages:\n  - name: emqx/emqx\n    newTag: 6.1.4\n", encoding="utf-8")
    command, _, shown = with_output("emqx-gitops secrets clusters/staging").text.partition("\n")
    said = cli(clone, *command.split()[2:])
    assert said.stderr.strip() == shown.strip()
    assert said.returncode == 0


def test_yaml_of_ones_own_is_refused_and_builds_as_shown(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    for name, text in BROKER.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in ("kustomization.yaml", "inject.yaml"):
        (folder / name).write_text(file_of(f"broker/{name}"), encoding="utf-8")
    refused = kustomize(tmp_path, "broker")
    assert refused.stdout == ""
    assert refused.stderr.startswith(with_output("kustomize build --enable-alpha-plugins broker").text.partition("\n")[2])
    (folder / "statefulset.yaml").write_text(BROKER["statefulset.yaml"].partition("          env:\n")[0], encoding="utf-8")
    built = kustomize(tmp_path, "broker")
    assert (built.stderr, built.returncode) == ("", 0)
