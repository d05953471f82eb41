"""Hand-written builds: a careful person's YAML for k8s discovery, and what is changed in it."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from emqx_fn.case import Case, case_of
from emqx_fn.chain import Link, links
from emqx_fn.graph import Graph, candidates
from emqx_fn.record import Record
from emqx_fn.run import resolve
from emqx_fn.spec import Spec
from emqx_fn.wire import read_stream

Objects = list[dict[str, Any]]
GROUP = "rbac.authorization.k8s.io"
_META = {"name": "emqx", "namespace": "mq"}
_FIELDS = {"POD_NAME": "metadata.name", "POD_IP": "status.podIP", "POD_NAMESPACE": "metadata.namespace"}
BY_IP = {
    "EMQX_NAME": "emqx",
    "EMQX_HOST": "$(POD_IP)",
    "EMQX_CLUSTER__DISCOVERY_STRATEGY": "k8s",
    "EMQX_CLUSTER__K8S__APISERVER": "https://kubernetes.default.svc:443",
    "EMQX_CLUSTER__K8S__SERVICE_NAME": "emqx-headless",
    "EMQX_CLUSTER__K8S__NAMESPACE": "mq",
}
BY_HOSTNAME = BY_IP | {
    "EMQX_HOST": "$(POD_NAME).emqx-headless.mq.svc.cluster.local",
    "EMQX_CLUSTER__K8S__ADDRESS_TYPE": "hostname",
    "EMQX_CLUSTER__K8S__SUFFIX": "svc.cluster.local",
}


def role(*rules: dict[str, Any], name: str = "emqx", kind: str = "Role") -> dict[str, Any]:
    metadata = {"name": name} if kind == "ClusterRole" else _META | {"name": name}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata, "rules": list(rules)}


def binding(subject: dict[str, Any] | None = None, name: str = "emqx", kind: str = "Role", everywhere: bool = False) -> dict[str, Any]:
    reference = {"apiGroup": GROUP, "kind": kind, "name": name}
    metadata = {"name": name} if everywhere else _META | {"name": name}
    who = subject or {"kind": "ServiceAccount", "name": "emqx", "namespace": "mq"}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "ClusterRoleBinding" if everywhere else "RoleBinding",
        "metadata": metadata,
        "roleRef": reference,
        "subjects": [who],
    }


NARROW = {"apiGroups": [""], "resources": ["endpoints"], "resourceNames": ["emqx-headless"], "verbs": ["get"]}


def build(kind: str = "Deployment", version: str = "5.8.9", env: dict[str, Any] | None = None, **pod: Any) -> Objects:
    """ServiceAccount, Service and workload; `env` is the container's, a None removes nothing because there is nothing to remove."""
    given = BY_HOSTNAME if kind == "StatefulSet" and env is None else BY_IP if env is None else env
    fields = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in _FIELDS.items()]
    entries = fields + [{"name": name, "value": value} if isinstance(value, str) else {"name": name, **value} for name, value in given.items()]
    container = {"name": "emqx", "image": f"emqx/emqx:{version}", "env": entries}
    template = {"metadata": {"labels": {"app": "emqx"}}, "spec": {"serviceAccountName": "emqx", "containers": [container], **pod}}
    workload = {"apiVersion": "apps/v1", "kind": kind, "metadata": _META, "spec": {"replicas": 3, "template": template}}
    if kind == "StatefulSet":
        workload["spec"]["serviceName"] = "emqx-headless"  # type: ignore[index]
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"app": "emqx"}}
    return copy.deepcopy(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _META},
            {"apiVersion": "v1", "kind": "Service", "metadata": _META | {"name": "emqx-headless"}, "spec": spec},
            workload,
        ]
    )


def allowed(objects: Objects) -> Objects:
    return [*objects, role(NARROW), binding()]


def text(objects: Objects) -> str:
    return yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False)


def graph_of(objects: Objects) -> Graph:
    return Graph(read_stream(text(objects)).documents)


def case(objects: Objects) -> Case:
    graph = graph_of(objects)
    (workload,) = candidates(graph)
    container, resolved, _ = resolve(graph, workload, "EmqxCluster/emqx", Spec(), Record())
    return case_of(graph, workload, container, resolved)


def link(objects: Objects, name: str) -> Link:
    return next(found for found in links(case(objects)) if found.name == name)
