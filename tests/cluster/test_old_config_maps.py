"""The command of docs/sync/flux.md that lists ConfigMaps to delete never lists one that a pod, or a revision to go back to, still names."""

from __future__ import annotations

import os
import re
import subprocess

from .client import Cluster, eventually
from .live import await_pods
from .rendering import ROOT, Clone, build


def documented() -> str:
    (command,) = re.findall(r"```sh\n(named=.*?)```", (ROOT / "docs" / "sync" / "flux.md").read_text(), re.DOTALL)
    return str(command)


def listed(cluster: Cluster, namespace: str) -> list[str]:
    env = {"PATH": f"{cluster.program.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(cluster.home), "KUBECONFIG": str(cluster.kubeconfig)}
    command = ["sh", "-euc", documented().replace("emqx-prod", namespace)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def await_revisions(cluster: Cluster, namespace: str, count: int) -> None:
    eventually(lambda: len(cluster.items(namespace, "apps/v1/replicasets")) == count, f"{count} revisions")


def test_only_what_nothing_names(cluster: Cluster, namespace: str, clone: Clone) -> None:
    for revision, size in enumerate(("2MB", "3MB"), start=1):
        settings = {"name": "emqx-env", "behavior": "merge", "literals": [f"EMQX_MQTT__MAX_PACKET_SIZE={size}"]}
        cluster.apply(namespace, build(clone.over("deployment-ip", "user", namespace=namespace, configMapGenerator=[settings])))
        await_revisions(cluster, namespace, revision)
    # Revisions alone name them now.
    cluster.kubectl("--namespace", namespace, "scale", "deployment/emqx", "--replicas=0")
    await_pods(cluster, namespace, 0)
    cluster.kubectl("--namespace", namespace, "create", "configmap", "emqx-env-2222222222")
    assert sum("-env-" in found["metadata"]["name"] for found in cluster.items(namespace, "v1/configmaps")) == 3
    assert listed(cluster, namespace) == ["configmap/emqx-env-2222222222"]
