"""What a rendering has become in the API server: its workloads, their pods, what they read from the API server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .client import Cluster, Object, eventually, path_of

WORKLOADS = ("apps/v1/deployments", "apps/v1/statefulsets")


@dataclass(frozen=True)
class Workload:
    """A Deployment or StatefulSet and the pods that its controller made."""

    kind: str
    name: str
    pods: frozenset[str]


def name_of(found: Object) -> str:
    return str(found["metadata"]["name"])


def owner(found: Object) -> str:
    """`Kind/name` of the controller, or nothing."""
    return next((f"{ref['kind']}/{ref['name']}" for ref in found["metadata"].get("ownerReferences", [])), "")


def owners(cluster: Cluster, namespace: str) -> dict[str, str]:
    """Pod -> `Kind/name` of the workload it belongs to, through the ReplicaSet of a Deployment."""
    through = {f"ReplicaSet/{name_of(found)}": owner(found) for found in cluster.items(namespace, "apps/v1/replicasets")}
    pods = {name_of(pod): owner(pod) for pod in cluster.items(namespace, "v1/pods")}
    return {pod: through.get(owned_by, owned_by) for pod, owned_by in pods.items()}


def workloads(cluster: Cluster, namespace: str) -> list[Workload]:
    of = owners(cluster, namespace)
    return [Workload(found["kind"], name_of(found), pods_of(of, f"{found['kind']}/{name_of(found)}")) for found in workload_objects(cluster, namespace)]


def workload_objects(cluster: Cluster, namespace: str) -> list[Object]:
    return [found for resource in WORKLOADS for found in cluster.items(namespace, resource)]


def pods_of(of: dict[str, str], workload: str) -> frozenset[str]:
    return frozenset(pod for pod, owned_by in of.items() if owned_by == workload)


def refusals(cluster: Cluster, namespace: str) -> list[str]:
    """Why controllers could not make pods, as they report it."""
    events = cluster.items(namespace, "v1/events", fieldSelector="reason=FailedCreate")
    return [str(event["message"]) for event in events]


def await_pods(cluster: Cluster, namespace: str, count: int) -> None:
    """Waits until there are so many pods, and fails at once with the reason when one is refused."""

    def enough() -> bool:
        assert refusals(cluster, namespace) == []
        return len(cluster.items(namespace, "v1/pods")) == count

    eventually(enough, f"{count} pods in namespace {namespace}")


def selected(cluster: Cluster, namespace: str, labels: Object) -> frozenset[str]:
    """The pods that the API server finds for these labels."""
    assert labels, "an empty selector means every pod of the namespace"
    text = ",".join(f"{key}={value}" for key, value in labels.items())
    return frozenset(map(name_of, cluster.items(namespace, "v1/pods", labelSelector=text)))


def match_labels(selector: Object) -> Object:
    """The labels of a selector; nothing here writes any other form."""
    assert set(selector) == {"matchLabels"}, selector
    labels: Object = selector["matchLabels"]
    return labels


def run_pods(cluster: Cluster, namespace: str) -> None:
    """Say of every pod what a scheduler and a kubelet would: it has a node and an address, it runs, it is ready."""
    for number, pod in enumerate(cluster.items(namespace, "v1/pods"), start=1):
        bind(cluster, namespace, pod)
        report_ready(cluster, namespace, pod, f"10.0.0.{number}")


def bind(cluster: Cluster, namespace: str, pod: Object) -> None:
    """Give the pod a node: without one it gets no place in Endpoints. Nobody asks whether the node exists."""
    binding = {"metadata": {"name": name_of(pod)}, "target": {"kind": "Node", "name": "nowhere"}}
    cluster.expect(201, "POST", f"{path_of(namespace, 'v1/pods')}/{name_of(pod)}/binding", body=binding)


def report_ready(cluster: Cluster, namespace: str, pod: Object, address: str) -> None:
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": ready}
    # By name only, whatever its version is by now.
    body = {"metadata": {"name": name_of(pod), "namespace": namespace}, "status": status}
    path = f"{path_of(namespace, 'v1/pods')}/{name_of(pod)}/status"
    cluster.expect(200, "PATCH", path, body=body)


def environment(pod: Object) -> dict[str, str]:
    """The variables of the first container as the kubelet would resolve them; Secrets stay out."""
    values: dict[str, str] = {}
    for entry in pod["spec"]["containers"][0].get("env", []):
        source = entry.get("valueFrom", {})
        if "fieldRef" in source:
            values[entry["name"]] = pod_field(pod, source["fieldRef"]["fieldPath"])
        elif "value" in entry:
            values[entry["name"]] = expanded(entry["value"], values)
    return values


def expanded(text: str, values: dict[str, str]) -> str:
    """`$(NAME)` of an earlier entry, as the kubelet puts it in."""
    for name, value in values.items():
        text = text.replace(f"$({name})", value)
    return text


def pod_field(pod: Object, path: str) -> str:
    """A downward API field; one that only a running pod has is empty."""
    if path.startswith("metadata.annotations['"):
        return str(pod["metadata"]["annotations"][path.removeprefix("metadata.annotations['").removesuffix("']")])
    value: Any = pod
    for step in path.split("."):
        value = value.get(step, "") if isinstance(value, dict) else ""
    return str(value)
