"""kustomize 5.4, 5.6 and kubectl's own give what the pinned kustomize gives."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / ".tools" / "cluster" / "bin"
SECONDS = 60.0

OVERLAYS = ("deployment-ip", "statefulset-hostname", "persistent")
# Everything that moves names: two layers of prefix, a namespace, replicas, another family, a line of settings.
LAYERS: dict[str, dict[str, Any]] = {
    "inner": {
        "resources": ["../../overlays/persistent"],
        # Its Job's name ends in kustomize's own hash.
        "components": ["../../base/cluster-formed"],
        "namePrefix": "eu-",
        "namespace": "messaging",
        "transformers": ["../../plugins/inject"],
    },
    "outer": {
        "resources": ["../inner"],
        "namePrefix": "prod-",
        "nameSuffix": "-1",
        "replicas": [{"name": "eu-emqx", "count": 5}],
        "images": [{"name": "emqx/emqx", "newTag": "4.4.19"}],
        "configMapGenerator": [{"name": "emqx-env", "namespace": "messaging", "behavior": "merge", "literals": ["EMQX_MQTT__MAX_PACKET_SIZE=2MB"]}],
        "transformers": ["../../plugins/inject"],
    },
    "plain": {"resources": ["../inner"], "namePrefix": "again-"},
    "two": {"resources": ["../outer", "../plain"]},
}
BROKEN = {
    "resources": ["../../overlays/persistent"],
    "transformers": ["../../plugins/inject"],
    "patches": [
        {
            "target": {"kind": "EmqxCluster"},
            "patch": json.dumps([{"op": "add", "path": "/spec/discovery", "value": {"addressType": "hostnam"}}]),
        }
    ],
}


@dataclass(frozen=True)
class Tool:
    """A program that builds a kustomization."""

    program: Path
    verb: str
    version: tuple[str, ...]
    answer: str

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        assert self.program.exists(), f"{self.program.relative_to(ROOT)} is not there; fix: make cluster-tools"
        environment = {**os.environ, "KUSTOMIZE_PLUGIN_HOME": str(ROOT / "plugins")}
        command = [self.program, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)

    def build(self, folder: Path) -> subprocess.CompletedProcess[str]:
        return self.run(self.verb, "--enable-alpha-plugins", folder)


PINNED = Tool(ROOT / ".tools" / "bin" / "kustomize", "build", ("version",), "v5.8.2")
OTHERS = {
    "kustomize-5.4": Tool(BUILT / "kustomize-5.4", "build", ("version",), "v5.4.3"),
    "kustomize-5.6": Tool(BUILT / "kustomize-5.6", "build", ("version",), "v5.6.0"),
    "kubectl": Tool(BUILT / "kubectl", "kustomize", ("version", "--client"), "Kustomize Version: v5.8.1"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What kustomize reads, with layers over it."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("base", "overlays", "plugins"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name, kustomization in {**LAYERS, "broken": BROKEN}.items():
        layer = folder / "clusters" / name
        layer.mkdir(parents=True)
        (layer / "kustomization.yaml").write_text(json.dumps(kustomization))
    return folder


@pytest.fixture(scope="module")
def pinned(clone: Path) -> Callable[[str], str]:
    """What the pinned kustomize gives for a folder of the clone."""

    def output(path: str) -> str:
        built = PINNED.build(clone / path)
        assert built.returncode == 0, built.stderr
        return built.stdout

    return output


def objects(stream: str) -> list[Any]:
    return list(yaml.load_all(stream, Loader=yaml.CSafeLoader))


TARGETS = [*(f"overlays/{name}" for name in OVERLAYS), *(f"clusters/{name}" for name in LAYERS)]


@pytest.mark.parametrize("tool", [PINNED, *OTHERS.values()], ids=["pinned", *OTHERS])
def test_tool_is_the_version_it_stands_for(tool: Tool) -> None:
    assert tool.answer in tool.run(*tool.version).stdout.splitlines()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("tool", OTHERS.values(), ids=OTHERS)
def test_same_bytes(clone: Path, pinned: Callable[[str], str], tool: Tool, target: str) -> None:
    built = tool.build(clone / target)
    assert built.returncode == 0, built.stderr
    assert objects(built.stdout) == objects(pinned(target))
    assert built.stdout == pinned(target)


@pytest.mark.parametrize("tool", [PINNED, *OTHERS.values()], ids=["pinned", *OTHERS])
def test_refusal_is_shown_and_nothing_printed(clone: Path, tool: Tool) -> None:
    built = tool.build(clone / "clusters" / "broken")
    assert built.returncode == 1
    assert built.stdout == ""
    assert "expected one of ip, hostname, dns; got 'hostnam' [invalid-value]" in built.stderr


@pytest.mark.parametrize("tool", [PINNED, *OTHERS.values()], ids=["pinned", *OTHERS])
def test_without_the_flag_nothing_is_built(clone: Path, tool: Tool) -> None:
    built = tool.run(tool.verb, clone / "overlays" / "persistent")
    assert built.returncode == 1
    assert built.stdout == ""
    assert "external plugins disabled" in built.stderr
