"""The folders below sync/, and what the pinned kustomize builds of them and of the clusters that list them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SYNC = ROOT / "sync"
KUSTOMIZE = os.environ.get("KUSTOMIZE") or str(ROOT / ".tools" / "bin" / "kustomize")
_KINDS = {path.parent: yaml.safe_load(path.read_text())["kind"] for path in sorted(SYNC.rglob("kustomization.yaml"))}
FOLDERS = [folder for folder, kind in _KINDS.items() if kind == "Kustomization"]
COMPONENTS = [folder for folder, kind in _KINDS.items() if kind == "Component"]
# The parts of Argo CD's own manifests that the components patch.
ARGOCD = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  labels:
    app.kubernetes.io/part-of: argocd
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: argocd-repo-server
spec:
  template:
    spec:
      containers:
        - name: argocd-repo-server
          image: quay.io/argoproj/argocd:v3.2.11
          env:
            - name: REDIS_SERVER
              value: redis
          volumeMounts:
            - name: plugins
              mountPath: /home/argocd/cmp-server/plugins
      initContainers:
        - name: copyutil
          image: quay.io/argoproj/argocd:v3.2.11
      volumes:
        - name: var-files
          emptyDir: {}
        - name: plugins
          emptyDir: {}
"""


def name(folder: Path) -> str:
    return folder.relative_to(SYNC).as_posix()


def rendered(folder: Path, *, plugins: bool = True) -> str:
    """The output of a build that must succeed."""
    command = [KUSTOMIZE, "build", *(["--enable-alpha-plugins"] if plugins else []), str(folder)]
    result = subprocess.run(command, env={**os.environ, "KUSTOMIZE_PLUGIN_HOME": str(ROOT / "plugins")}, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def built(folder: Path) -> list[dict[str, Any]]:
    """The objects of a folder that needs no plugin."""
    return list(yaml.safe_load_all(rendered(folder, plugins=False)))


def one(folder: str, kind: str) -> dict[str, Any]:
    """The only object of a kind that a folder builds."""
    (found,) = (item for item in built(SYNC / folder) if item["kind"] == kind)
    return found


def objects(stream: str) -> dict[tuple[str, str], Any]:
    """The objects of a stream by kind and name."""
    return {(item["kind"], item["metadata"]["name"]): item for item in yaml.safe_load_all(stream)}


def write(folder: Path, files: dict[str, str]) -> Path:
    """A folder with these files."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
    return folder


def cluster(clone: Path, overlay: str, *engines: str) -> Path:
    """A cluster's folder, as `emqx-gitops new` writes it and a person adds the components of engines."""
    components = "".join(f"components: [{', '.join(f'../../sync/{engine}/annotations' for engine in engines)}]\n" if engines else "")
    return write(
        clone / "clusters" / "-".join(("one", *engines)),
        {
            "kustomization.yaml": f"namespace: emqx-one\nnamePrefix: one-\nresources: [../../overlays/{overlay}, namespace.yaml]\n{components}"
            "configMapGenerator: [{name: emqx-env, behavior: merge, literals: ['EMQX_MQTT__MAX_PACKET_SIZE=2MB']}]\ntransformers: [../../plugins/inject]\n",
            "namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: emqx-one\n",
        },
    )
