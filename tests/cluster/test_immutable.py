"""What the review says the API server will refuse, it refuses; and what it says nothing of, it takes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review.differences import differences
from emqx_gitops.review.impact import findings
from emqx_gitops.review.model import Pair
from emqx_gitops.sources import Read

from .client import Cluster, Object, Refused, path_of

Namespaces = Callable[[], str]
LABELS = {"app": "a"}
TEMPLATE = {
    "metadata": {"labels": LABELS},
    "spec": {"containers": [{"name": "c", "image": "i:1"}]},
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}
DYNAMIC = {**CLAIM, "storageClassName": "grows"}


def of(kind: str, version: str, **fields: Any) -> Object:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "it"}, **fields}


def claim_template(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {**CLAIM, **spec}}


OBJECTS: dict[str, Object] = {
    "statefulset": of(
        "StatefulSet",
        "apps/v1",
        spec={
            "replicas": 0,
            "serviceName": "s",
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            "volumeClaimTemplates": [claim_template("data")],
        },
    ),
    "deployment": of("Deployment", "apps/v1", spec={"replicas": 0, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}),
    "partitioned": of(
        "StatefulSet",
        "apps/v1",
        spec={
            "replicas": 0,
            "serviceName": "s",
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            "updateStrategy": {"rollingUpdate": {"partition": 1}},
        },
    ),
    "rolling": of(
        "Deployment",
        "apps/v1",
        spec={
            "replicas": 0,
            "selector": {"matchLabels": LABELS},
            "template": TEMPLATE,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        },
    ),
    "claim": of("PersistentVolumeClaim", "v1", spec=DYNAMIC),
    "service": of("Service", "v1", spec={"selector": LABELS, "ports": [{"port": 80}]}),
    "headless": of("Service", "v1", spec={"clusterIP": "None", "selector": LABELS, "ports": [{"port": 80}]}),
    "load balancer": of("Service", "v1", spec={"type": "LoadBalancer", "loadBalancerClass": "a/b", "selector": LABELS, "ports": [{"port": 80}]}),
    "binding": of("RoleBinding", "rbac.authorization.k8s.io/v1", roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, subjects=[]),
    "job": of("Job", "batch/v1", spec={"suspend": False, "template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}}),
    "settings": of("ConfigMap", "v1", data={"a": "1"}),
    "frozen settings": of("ConfigMap", "v1", data={"a": "1"}, immutable=True),
    "secret": of("Secret", "v1", type="Opaque", stringData={"a": "1"}),
    "frozen secret": of("Secret", "v1", type="Opaque", stringData={"a": "1"}, immutable=True),
    "budget": of("PodDisruptionBudget", "policy/v1", spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}),
    "policy": of("NetworkPolicy", "networking.k8s.io/v1", spec={"podSelector": {"matchLabels": LABELS}, "policyTypes": ["Ingress"]}),
    "account": of("ServiceAccount", "v1", automountServiceAccountToken=False),
    "storage class": of("StorageClass", "storage.k8s.io/v1", provisioner="a/b", parameters={"a": "1"}),
    "priority class": of("PriorityClass", "scheduling.k8s.io/v1", value=1),
}


class Step(NamedTuple):
    """One change of one object, as a path and a value; None takes the field away."""

    object: str
    path: str
    value: Any

    def __str__(self) -> str:
        return f"{self.object}:{self.path}={json.dumps(self.value)}"


STEPS = [
    *(
        Step("statefulset", path, value)
        for path, value in {
            "spec.replicas": 1,
            "spec.minReadySeconds": 5,
            "spec.revisionHistoryLimit": 3,
            "spec.ordinals": {"start": 1},
            "spec.updateStrategy": {"type": "OnDelete"},
            "spec.persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Delete"},
            "spec.template.spec.containers.0.image": "i:2",
            "spec.template.metadata.annotations": {"a": "b"},
            "spec.template.metadata.labels.b": "c",
            "metadata.labels": {"a": "b"},
            "spec.podManagementPolicy": "Parallel",
            "spec.serviceName": "t",
            "spec.selector.matchLabels": {"app": "b"},
            "spec.volumeClaimTemplates.0.spec.resources.requests.storage": "3Gi",
            "spec.volumeClaimTemplates.0.spec.storageClassName": "fast",
            "spec.volumeClaimTemplates.0.spec.accessModes": ["ReadWriteOncePod"],
            "spec.volumeClaimTemplates.0.metadata.labels": {"a": "b"},
            "spec.volumeClaimTemplates.0.metadata.name": "other",
            "spec.volumeClaimTemplates": None,
        }.items()
    ),
    Step("statefulset", "spec.volumeClaimTemplates.0.spec.resources.requests.storage", "1Gi"),
    # No change at all, though the text is another one.
    Step("statefulset", "spec.volumeClaimTemplates.0.spec.resources.requests.storage", "2048Mi"),
    Step("statefulset", "spec.podManagementPolicy", "OrderedReady"),
    Step("deployment", "spec.selector.matchLabels", {"app": "b"}),
    Step("deployment", "spec.replicas", 1),
    Step("deployment", "spec.strategy", {"type": "Recreate"}),
    Step("deployment", "spec.paused", True),
    Step("deployment", "spec.template.spec.containers.0.image", "i:2"),
    Step("partitioned", "spec.updateStrategy", {"type": "OnDelete"}),
    Step("partitioned", "spec.updateStrategy.rollingUpdate.partition", 2),
    Step("rolling", "spec.strategy", {"type": "Recreate"}),
    Step("rolling", "spec.strategy", {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 0}}),
    Step("claim", "spec.resources.requests.storage", "3Gi"),
    Step("claim", "spec.resources.requests.storage", "1Gi"),
    Step("claim", "spec.resources.requests.storage", "2048Mi"),
    Step("claim", "spec.storageClassName", "other"),
    Step("claim", "spec.storageClassName", None),
    Step("claim", "spec.accessModes", ["ReadWriteOncePod"]),
    Step("claim", "spec.volumeMode", "Block"),
    Step("claim", "spec.volumeMode", "Filesystem"),
    Step("claim", "spec.volumeAttributesClassName", "silver"),
    Step("claim", "metadata.annotations", {"a": "b"}),
    Step("service", "spec.clusterIP", "None"),
    Step("service", "spec.clusterIP", "10.96.7.7"),
    Step("service", "spec.type", "NodePort"),
    Step("service", "spec.type", "LoadBalancer"),
    Step("service", "spec.selector", {"app": "b"}),
    Step("service", "spec.ports", [{"port": 81}]),
    Step("service", "spec.ipFamilyPolicy", "PreferDualStack"),
    Step("service", "spec.publishNotReadyAddresses", True),
    Step("headless", "spec.clusterIP", "10.96.7.8"),
    Step("headless", "spec.clusterIP", None),
    Step("headless", "spec.publishNotReadyAddresses", True),
    Step("load balancer", "spec.loadBalancerClass", "c/d"),
    Step("load balancer", "spec.loadBalancerSourceRanges", ["10.0.0.0/8"]),
    Step("binding", "roleRef.name", "other"),
    Step("binding", "roleRef.kind", "ClusterRole"),
    Step("binding", "subjects", [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}]),
    Step("job", "spec.template.spec.containers.0.image", "i:2"),
    Step("job", "spec.completions", 3),
    Step("job", "spec.completionMode", "Indexed"),
    Step("job", "spec.podFailurePolicy", {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}),
    Step("job", "spec.parallelism", 0),
    Step("job", "spec.backoffLimit", 2),
    Step("job", "spec.activeDeadlineSeconds", 60),
    Step("job", "spec.ttlSecondsAfterFinished", 60),
    Step("settings", "data.a", "2"),
    Step("settings", "immutable", True),
    Step("frozen settings", "data.a", "2"),
    Step("frozen settings", "data.b", "2"),
    Step("frozen settings", "binaryData", {"b": "AA=="}),
    Step("frozen settings", "immutable", None),
    Step("frozen settings", "immutable", False),
    Step("frozen settings", "metadata.labels", {"a": "b"}),
    Step("secret", "stringData.a", "2"),
    Step("secret", "type", "other/type"),
    Step("frozen secret", "stringData.a", "2"),
    Step("frozen secret", "immutable", None),
    Step("budget", "spec.maxUnavailable", 2),
    Step("budget", "spec.selector.matchLabels", {"app": "b"}),
    Step("policy", "spec.podSelector", {}),
    Step("account", "automountServiceAccountToken", True),
    Step("storage class", "parameters.a", "2"),
    Step("storage class", "provisioner", "c/d"),
    Step("storage class", "reclaimPolicy", "Retain"),
    Step("storage class", "volumeBindingMode", "WaitForFirstConsumer"),
    Step("storage class", "allowVolumeExpansion", True),
    Step("priority class", "value", 2),
    Step("priority class", "description", "d"),
]
WIDE = ("storage class", "priority class")
# kubectl's own merge takes away what the API server has filled in here; who applies by the server does not.
ONLY_BY_THE_SERVER = Step("deployment", "spec.strategy", {"type": "Recreate"})


@pytest.fixture(scope="module")
def shared(cluster: Cluster, fresh: Namespaces) -> str:
    """A namespace with nothing in the way: what is tried here never runs."""
    grows = {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "grows"}, "provisioner": "a/b", "allowVolumeExpansion": True}
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(grows))
    return fresh()


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("way", ["--server-side", "--server-side=false"])
def test_verdict(cluster: Cluster, shared: str, step: Step, way: str) -> None:
    before, after = both(step, f"{STEPS.index(step)}-{'client' if way.endswith('false') else 'server'}", "" if step.object in WIDE else shared)
    apply(cluster, before, way)
    if step.object == "claim":
        bind(cluster, before)
    merged_by_kubectl = step == ONLY_BY_THE_SERVER and way == "--server-side=false"
    assert foreseen(before, after) == (refused(cluster, after, way) or merged_by_kubectl)


def both(step: Step, suffix: str, namespace: str) -> tuple[Object, Object]:
    before = json.loads(json.dumps(OBJECTS[step.object]))
    before["metadata"] = {"name": f"it-{suffix}", **({"namespace": namespace} if namespace else {})}
    after = json.loads(json.dumps(before))
    *steps, last = step.path.split(".")
    place = after
    for name in steps:
        place = place[int(name)] if name.isdecimal() else place.setdefault(name, {})
    if step.value is None:
        del place[last]
    else:
        place[last] = step.value
    if step.path == "spec.selector.matchLabels" and "template" in after["spec"]:
        after["spec"]["template"]["metadata"]["labels"] = step.value
    return before, after


def apply(cluster: Cluster, item: Object, way: str, *flags: str) -> None:
    cluster.kubectl("apply", way, "--filename=-", *flags, stdin=json.dumps(item))


def refused(cluster: Cluster, item: Object, way: str) -> bool:
    """What the API server answers, by a dry run."""
    try:
        apply(cluster, item, way, "--dry-run=server")
    except Refused as answer:
        return "is invalid" in str(answer) or "forbidden" in str(answer)
    return False


def foreseen(before: Object, after: Object) -> bool:
    old, new = rendering(before), rendering(after)
    pair = Pair(Target(Path("t"), "t"), old, new, differences(old, new))
    return any(finding.severity == "refused" for finding in findings(pair))


def rendering(item: Object) -> Rendering:
    made = from_text("t", Read(()), yaml.safe_dump(item))
    assert made.problems == ()
    return made


def bind(cluster: Cluster, claim: Object) -> None:
    """Say of the claim what a provisioner would: it has a volume of the size that it asked for."""
    metadata = claim["metadata"]
    path = f"{path_of(metadata['namespace'], 'v1/persistentvolumeclaims')}/{metadata['name']}/status"
    cluster.expect(200, "PATCH", path, body={"status": {"phase": "Bound", "capacity": {"storage": "2Gi"}}})
