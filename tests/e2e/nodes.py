"""Nodes in three zones, without machines: kwok says of pods what a kubelet would, and a real scheduler places them."""

from __future__ import annotations

import json

import yaml

from cluster.client import Cluster, Object
from cluster.controlplane import ROOT, Command, Processes, program
from cluster.rendering import build, documents

from .waiting import until

STAGES = ROOT / ".tools" / "cluster" / "manifests" / "kwok"
ZONES = ("a", "b", "c")
# Long enough to find a roll under way, short enough to wait for.
START_MILLISECONDS = 700


def scheduler(cluster: Cluster) -> Command:
    return [program("kube-scheduler"), f"--kubeconfig={cluster.kubeconfig}", "--leader-elect=false", "--secure-port=0"]


def kwok(cluster: Cluster) -> Command:
    config = cluster.home / "kwok.yaml"
    config.write_text(yaml.safe_dump_all(stages()))
    return [
        program("kwok"),
        f"--kubeconfig={cluster.kubeconfig}",
        f"--config={config}",
        "--manage-all-nodes",
        "--cidr=10.128.0.0/16",
        # Without leases the nodes are NotReady every now and then, and their pods with them.
        "--node-lease-duration-seconds=40",
    ]


def stages() -> list[Object]:
    """What happens to pods, nodes and claims, with pods that take a moment to become ready."""
    found = [*documents(build(STAGES / "fast", plugins=False)), *documents(build(STAGES / "volume" / "fast", plugins=False))]
    kept = [stage for stage in found if stage["kind"] == "Stage"]
    for stage in kept:
        if stage["metadata"]["name"] == "pod-ready":
            stage["spec"]["delay"] = {"durationMilliseconds": START_MILLISECONDS}
    return kept


def node(zone: str) -> Object:
    name = f"node-{zone}"
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone, "kubernetes.io/os": "linux"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def ready(found: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found.get("status", {}).get("conditions", []))


def add_nodes(processes: Processes, cluster: Cluster) -> None:
    """Nodes on which pods become Ready, and storage for claims."""
    storage = [found for found in documents(build(STAGES / "volume" / "fast", plugins=False)) if found["kind"] == "StorageClass"]
    for item in (*storage, *map(node, ZONES)):
        cluster.kubectl("create", "--filename=-", stdin=json.dumps(item))
    processes.start(scheduler(cluster))
    processes.start(kwok(cluster))
    until("three nodes ready", lambda: sum(map(ready, cluster.expect(200, "GET", "/api/v1/nodes")["items"])) == len(ZONES))
