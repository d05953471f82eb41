"""What the review takes for equal, the API server holds as equal: a default written out, another spelling, another order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review import defaults
from emqx_gitops.review.differences import differences
from emqx_gitops.sources import Read

from .client import Cluster, Object, path_of

Namespaces = Callable[[], str]
LABELS = {"app": "a"}
PROBE = {"httpGet": {"path": "/", "port": 80}}
POD = {
    "containers": [
        {
            "name": "c",
            "image": "i:1",
            "ports": [{"containerPort": 80}, {"containerPort": 81}],
            "env": [{"name": "A"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}},
            "livenessProbe": PROBE,
            "readinessProbe": PROBE,
            "startupProbe": PROBE,
            "volumeMounts": [{"name": "one", "mountPath": "/one"}, {"name": "two", "mountPath": "/two"}],
        }
    ],
    "initContainers": [{"name": "i", "image": "i:1"}],
    "tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}],
    "volumes": [
        {"name": "one", "configMap": {"name": "m"}},
        {"name": "two", "secret": {"secretName": "s"}},
        {"name": "three", "projected": {"sources": [{"secret": {"name": "s"}}]}},
        {"name": "four", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ],
}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
CLAIM = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
PLURALS = {
    "StatefulSet": "apps/v1/statefulsets",
    "Deployment": "apps/v1/deployments",
    "Service": "v1/services",
    "PersistentVolumeClaim": "v1/persistentvolumeclaims",
    "RoleBinding": "rbac.authorization.k8s.io/v1/rolebindings",
    "Role": "rbac.authorization.k8s.io/v1/roles",
    "NetworkPolicy": "networking.k8s.io/v1/networkpolicies",
}
OBJECTS: dict[str, Object] = {
    "StatefulSet": {"spec": {"serviceName": "s", "selector": {"matchLabels": LABELS}, "template": TEMPLATE, "volumeClaimTemplates": [CLAIM]}},
    "Deployment": {"spec": {"selector": {"matchLabels": LABELS}, "template": TEMPLATE}},
    "Service": {"spec": {"selector": LABELS, "ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}},
    "PersistentVolumeClaim": {"spec": CLAIM["spec"]},
    "RoleBinding": {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "n"}]},
    "Role": {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
    "NetworkPolicy": {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}, {"port": 81}]}]}},
}
CONTAINER = "spec.template.spec.containers.0"
SAME: list[tuple[str, str, Any]] = [
    *(
        ("StatefulSet", f"{CONTAINER}.{probe}.{field}", value)
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
        for field, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))
    ),
    ("StatefulSet", f"{CONTAINER}.readinessProbe.httpGet.scheme", "HTTP"),
    ("StatefulSet", f"{CONTAINER}.ports.0.protocol", "TCP"),
    ("StatefulSet", f"{CONTAINER}.env.0.value", ""),
    ("StatefulSet", f"{CONTAINER}.env.1.valueFrom.fieldRef.apiVersion", "v1"),
    ("StatefulSet", f"{CONTAINER}.terminationMessagePath", "/dev/termination-log"),
    ("StatefulSet", f"{CONTAINER}.terminationMessagePolicy", "File"),
    ("StatefulSet", f"{CONTAINER}.volumeMounts.0.readOnly", False),
    ("StatefulSet", f"{CONTAINER}.resources.requests.cpu", "0.1"),
    ("StatefulSet", f"{CONTAINER}.resources.requests.memory", "1024Mi"),
    ("StatefulSet", "spec.template.spec.initContainers.0.terminationMessagePath", "/dev/termination-log"),
    ("StatefulSet", "spec.template.spec.initContainers.0.terminationMessagePolicy", "File"),
    ("StatefulSet", "spec.template.spec.volumes.0.configMap.defaultMode", 0o644),
    ("StatefulSet", "spec.template.spec.volumes.1.secret.defaultMode", 0o644),
    ("StatefulSet", "spec.template.spec.volumes.2.projected.defaultMode", 0o644),
    ("StatefulSet", "spec.template.spec.volumes.3.downwardAPI.defaultMode", 0o644),
    *(("StatefulSet", f"spec.template.spec.{field}", False) for field in ("hostNetwork", "hostPID", "hostIPC")),
    ("StatefulSet", "spec.template.spec.restartPolicy", "Always"),
    ("StatefulSet", "spec.template.spec.dnsPolicy", "ClusterFirst"),
    ("StatefulSet", "spec.template.spec.schedulerName", "default-scheduler"),
    ("StatefulSet", "spec.template.spec.terminationGracePeriodSeconds", 30),
    ("StatefulSet", "spec.template.spec.securityContext", {}),
    ("StatefulSet", "spec.template.spec.nodeSelector", {}),
    ("StatefulSet", "spec.template.metadata.annotations", {}),
    ("StatefulSet", "spec.template.spec.initContainers.0.resources", {}),
    ("StatefulSet", "spec.replicas", 1),
    ("StatefulSet", "spec.revisionHistoryLimit", 10),
    ("StatefulSet", "spec.minReadySeconds", 0),
    ("StatefulSet", "spec.podManagementPolicy", "OrderedReady"),
    ("StatefulSet", "spec.updateStrategy", {"type": "RollingUpdate"}),
    ("StatefulSet", "spec.updateStrategy", {"rollingUpdate": {"partition": 0}}),
    ("StatefulSet", "spec.persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"}),
    ("StatefulSet", "spec.volumeClaimTemplates.0.apiVersion", "v1"),
    ("StatefulSet", "spec.volumeClaimTemplates.0.kind", "PersistentVolumeClaim"),
    ("StatefulSet", "spec.volumeClaimTemplates.0.spec.volumeMode", "Filesystem"),
    ("Deployment", "spec.replicas", 1),
    ("Deployment", "spec.revisionHistoryLimit", 10),
    ("Deployment", "spec.minReadySeconds", 0),
    ("Deployment", "spec.progressDeadlineSeconds", 600),
    ("Deployment", "spec.paused", False),
    ("Deployment", "spec.strategy", {"type": "RollingUpdate"}),
    ("Deployment", "spec.strategy", {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}),
    ("Service", "spec.ports.0.protocol", "TCP"),
    ("Service", "spec.type", "ClusterIP"),
    ("Service", "spec.sessionAffinity", "None"),
    ("Service", "spec.internalTrafficPolicy", "Cluster"),
    ("Service", "spec.publishNotReadyAddresses", False),
    ("Service", "spec.ports.0.targetPort", 80),
    ("PersistentVolumeClaim", "spec.volumeMode", "Filesystem"),
    ("RoleBinding", "roleRef.apiGroup", "rbac.authorization.k8s.io"),
    ("RoleBinding", "subjects.0.apiGroup", ""),
    ("NetworkPolicy", "spec.ingress.0.ports.0.protocol", "TCP"),
    ("NetworkPolicy", "spec.policyTypes", ["Ingress"]),
]
# The pods of a template that says them are others.
OTHER: list[tuple[str, str, Any]] = [
    ("StatefulSet", f"{CONTAINER}.env.1.valueFrom.fieldRef.fieldPath", "metadata.namespace"),
    ("StatefulSet", "spec.template.spec.volumes.0.configMap.optional", False),
    ("StatefulSet", "spec.template.spec.automountServiceAccountToken", True),
    ("StatefulSet", f"{CONTAINER}.securityContext", {}),
    ("StatefulSet", f"{CONTAINER}.resources.requests.memory", "1G"),
]
# Turned round: whether the API server sees another object.
ORDERS: list[tuple[str, str]] = [
    ("StatefulSet", f"{CONTAINER}.env"),
    ("StatefulSet", f"{CONTAINER}.ports"),
    ("StatefulSet", f"{CONTAINER}.volumeMounts"),
    ("StatefulSet", "spec.template.spec.volumes"),
    ("StatefulSet", "spec.template.spec.tolerations"),
]


@pytest.mark.parametrize(("kind", "path", "value"), SAME, ids=lambda part: json.dumps(part) if not isinstance(part, str) else part)
def test_the_same(cluster: Cluster, shared: str, kind: str, path: str, value: Any) -> None:
    before = made(kind, shared, name_of(SAME, (kind, path, value)))
    after = changed(before, path, value)
    assert differences(rendering(before), rendering(after)) == ()
    assert spec(cluster, before) == spec(cluster, after)


@pytest.mark.parametrize(("kind", "path", "value"), OTHER, ids=lambda part: json.dumps(part) if not isinstance(part, str) else part)
def test_another(cluster: Cluster, shared: str, kind: str, path: str, value: Any) -> None:
    before = made(kind, shared, "other-" + name_of(OTHER, (kind, path, value)))
    after = changed(before, path, value)
    assert differences(rendering(before), rendering(after)) != ()
    assert spec(cluster, before) != spec(cluster, after)


@pytest.mark.parametrize(("kind", "path"), ORDERS)
def test_order(cluster: Cluster, shared: str, kind: str, path: str) -> None:
    before = made(kind, shared, "order-" + name_of(ORDERS, (kind, path)))
    after = changed(before, path, list(reversed(at(before, path))))
    assert (differences(rendering(before), rendering(after)) == ()) == (spec(cluster, before) == spec(cluster, after))


def test_every_default_is_asked_about() -> None:
    """Each row of the tables is the end of one of the paths above."""
    asked = {tuple(step for step in (kind, *path.split(".")) if not step.isdecimal()) + extra for kind, path, value in SAME for extra in inside(value)}
    rows = [*defaults._DEFAULTS, *defaults._OF_KIND]
    assert [row for row in rows if not any(_ends(path, row) for path in asked)] == []


def inside(value: Any) -> list[tuple[str, ...]]:
    """The paths in a mapping, and its own."""
    return [(), *((key, *rest) for key, item in value.items() for rest in inside(item))] if isinstance(value, dict) else [()]


def _ends(path: tuple[str, ...], row: tuple[str, ...]) -> bool:
    steps = row[1:] if row[0] == path[0] else row
    return path[-len(steps) :] == steps


@pytest.fixture(scope="module")
def shared(fresh: Namespaces) -> str:
    return fresh()


def name_of(table: list[Any], row: Any) -> str:
    return f"n{table.index(row)}"


def made(kind: str, namespace: str, name: str) -> Object:
    version = PLURALS[kind].rpartition("/")[0]
    item: Object = json.loads(json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **OBJECTS[kind]}))
    return item


def at(item: Any, path: str) -> Any:
    for name in path.split("."):
        item = item[int(name)] if name.isdecimal() else item.setdefault(name, {})
    return item


def changed(item: Object, path: str, value: Any) -> Object:
    copy: Object = json.loads(json.dumps(item))
    head, _, last = path.rpartition(".")
    at(copy, head)[last] = value
    return copy


def rendering(item: Object) -> Rendering:
    result = from_text("t", Read(()), yaml.safe_dump(item))
    assert result.problems == ()
    return result


def spec(cluster: Cluster, item: Object) -> Any:
    """The object as the API server holds it once this is applied, by a dry run over what is there, or by the first apply."""
    kind, metadata = item["kind"], item["metadata"]
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(item))
    held = cluster.expect(200, "GET", f"{path_of(metadata['namespace'], PLURALS[kind])}/{metadata['name']}")
    return {key: value for key, value in held.items() if key not in ("metadata", "status")}
