"""Renders overlays, and layers that a test writes over them, with the pinned kustomize and this clone's plugin."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
KUSTOMIZE = ROOT / ".tools" / "bin" / "kustomize"
BUILD_SECONDS = 60.0

OVERLAYS = ("deployment-ip", "statefulset-hostname", "persistent")
WORKLOADS = ("Deployment", "StatefulSet")

Document = dict[str, Any]


def build(folder: Path, *, plugins: bool = True) -> str:
    """What `kustomize build` prints for this folder; a failure fails the test with its message."""
    flags = ["--enable-alpha-plugins"] if plugins else []
    ended = subprocess.run(
        [KUSTOMIZE, "build", *flags, folder],
        env={**os.environ, "KUSTOMIZE_PLUGIN_HOME": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def documents(stream: str) -> list[Document]:
    return [document for document in yaml.load_all(stream, Loader=yaml.CSafeLoader) if document]


def of_kind(stream: str, *kinds: str) -> list[Document]:
    return [document for document in documents(stream) if document["kind"] in kinds]


def settings_patch(spec: Document) -> Document:
    """A patch of the cluster's settings, whatever they are called by then."""
    patch = {"apiVersion": "emqx-gitops.dev/v1alpha1", "kind": "EmqxCluster", "metadata": {"name": "any"}, "spec": spec}
    return {"target": {"kind": "EmqxCluster"}, "patch": json.dumps(patch)}


def replacing(kind: str, path: str, value: Any) -> Document:
    """A patch that replaces one field of the object of this kind."""
    return operation("replace", kind, path, value)


def adding(kind: str, path: str, value: Any) -> Document:
    """A patch that adds one field to the object of this kind."""
    return operation("add", kind, path, value)


def operation(verb: str, kind: str, path: str, value: Any) -> Document:
    return {"target": {"kind": kind}, "patch": json.dumps([{"op": verb, "path": path, "value": value}])}


@dataclass(frozen=True)
class Clone:
    """A copy of what kustomize reads, to write layers into as a user would."""

    folder: Path

    def overlay(self, name: str) -> Path:
        return self.folder / "overlays" / name

    def layer(self, name: str, kustomization: Document, *, plugin: bool = True) -> Path:
        """A folder clusters/`name` that lists the plugin unless told not to; an earlier one of the name is replaced."""
        folder = self.folder / "clusters" / name
        folder.mkdir(parents=True, exist_ok=True)
        transformers = {"transformers": ["../../plugins/inject"]} if plugin else {}
        # JSON is YAML.
        (folder / "kustomization.yaml").write_text(json.dumps({**kustomization, **transformers}, indent=2))
        return folder

    def over(self, overlay: str, name: str, *, plugin: bool = True, **fields: Any) -> Path:
        """A layer over one of the overlays with these further fields of a kustomization."""
        return self.layer(name, {"resources": [f"../../overlays/{overlay}"], **fields}, plugin=plugin)


def clone_into(folder: Path) -> Clone:
    for name in ("base", "overlays", "plugins"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return Clone(folder)


@dataclass(frozen=True)
class Family:
    """An EMQX version line, and the settings without which it does not run three nodes."""

    tag: str
    settings: Document = field(default_factory=dict)

    def image(self) -> list[Document]:
        return [{"name": "emqx/emqx", "newTag": self.tag}]

    def fields(self) -> Document:
        """The fields of a kustomization that turn an overlay to this family."""
        patches = {"patches": [settings_patch(self.settings)]} if self.settings else {}
        return {"images": self.image(), **patches}


# More than one node needs a licence from 5.9 on.
LICENSED = {"license": {"type": "evaluation"}}
FAMILIES = {
    "4.1": Family("v4.1.5"),
    "4.2": Family("v4.2.14"),
    "4.3": Family("4.3.22"),
    "4.4": Family("4.4.19"),
    "5.0.3": Family("5.0.3"),
    "5.0": Family("5.0.26"),
    "5.8": Family("5.8.9"),
    "5.10": Family("5.10.4", LICENSED),
    "6.2": Family("6.2.2", LICENSED),
}
