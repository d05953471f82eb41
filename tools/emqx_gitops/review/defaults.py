"""What the API server fills in: a field that is left out and one that holds its default are the same object.

Only what it writes into the object counts. `optional: false` in a reference, say, is kept as it is written, and is not
here. The test `tests/cluster/test_defaults.py` asks an API server about each line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emqx_fn.record import MISSING

if TYPE_CHECKING:
    from emqx_fn.record import Path

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

# By the last steps of the path, entries of lists left out.
_DEFAULTS: dict[tuple[str, ...], Any] = {
    ("ports", "protocol"): "TCP",
    ("env", "value"): "",
    ("fieldRef", "apiVersion"): "v1",
    ("httpGet", "scheme"): "HTTP",
    **{(probe, field): value for probe in _PROBES for field, value in _PROBE.items()},
    **{(source, "defaultMode"): 0o644 for source in ("configMap", "secret", "projected", "downwardAPI")},
    ("containers", "terminationMessagePath"): "/dev/termination-log",
    ("containers", "terminationMessagePolicy"): "File",
    ("initContainers", "terminationMessagePath"): "/dev/termination-log",
    ("initContainers", "terminationMessagePolicy"): "File",
    ("volumeMounts", "readOnly"): False,
    **{("template", "spec", field): False for field in ("hostNetwork", "hostPID", "hostIPC")},
    ("template", "spec", "restartPolicy"): "Always",
    ("template", "spec", "dnsPolicy"): "ClusterFirst",
    ("template", "spec", "schedulerName"): "default-scheduler",
    ("template", "spec", "terminationGracePeriodSeconds"): 30,
    ("spec", "revisionHistoryLimit"): 10,
    ("spec", "minReadySeconds"): 0,
    ("volumeClaimTemplates", "apiVersion"): "v1",
    ("volumeClaimTemplates", "kind"): "PersistentVolumeClaim",
    ("volumeClaimTemplates", "spec", "volumeMode"): "Filesystem",
}
_OF_KIND: dict[tuple[str, ...], Any] = {
    ("StatefulSet", "spec", "replicas"): 1,
    ("StatefulSet", "spec", "podManagementPolicy"): "OrderedReady",
    ("StatefulSet", "updateStrategy", "type"): "RollingUpdate",
    ("StatefulSet", "rollingUpdate", "partition"): 0,
    ("StatefulSet", "persistentVolumeClaimRetentionPolicy", "whenDeleted"): "Retain",
    ("StatefulSet", "persistentVolumeClaimRetentionPolicy", "whenScaled"): "Retain",
    ("Deployment", "spec", "replicas"): 1,
    ("Deployment", "spec", "progressDeadlineSeconds"): 600,
    ("Deployment", "spec", "paused"): False,
    ("Deployment", "strategy", "type"): "RollingUpdate",
    ("Deployment", "rollingUpdate", "maxSurge"): "25%",
    ("Deployment", "rollingUpdate", "maxUnavailable"): "25%",
    ("Service", "spec", "type"): "ClusterIP",
    ("Service", "spec", "sessionAffinity"): "None",
    ("Service", "spec", "internalTrafficPolicy"): "Cluster",
    ("Service", "spec", "publishNotReadyAddresses"): False,
    ("PersistentVolumeClaim", "spec", "volumeMode"): "Filesystem",
    ("RoleBinding", "subjects", "apiGroup"): "",
    ("RoleBinding", "roleRef", "apiGroup"): "rbac.authorization.k8s.io",
}
# Left out, these mappings are the same as empty ones: what is in them has its defaults, or none at all.
_IMPLIED = frozenset(
    (
        *("updateStrategy", "strategy", "rollingUpdate", "persistentVolumeClaimRetentionPolicy"),
        *("annotations", "labels", "resources", "limits", "requests", "data", "binaryData", "stringData", "nodeSelector"),
    )
)


def names(path: Path) -> tuple[str, ...]:
    """The fields of a path, without the entries of lists."""
    return tuple(step for step in path if isinstance(step, str))


def default(kind: str, path: Path) -> Any:
    """What the API server puts where nothing is; MISSING where that is nothing."""
    fields, kind = names(path), kind.removeprefix("Cluster")
    for count in (3, 2):
        tail = fields[-count:]
        for table, key in ((_OF_KIND, (kind, *tail)), (_DEFAULTS, tail)):
            if key in table:
                return table[key]
    return MISSING


def is_implied(path: Path) -> bool:
    """Whether a mapping that is left out is an empty one; at the pod's own `securityContext` too."""
    fields = names(path)
    return fields[-1] in _IMPLIED or fields[-3:] == ("template", "spec", "securityContext")


def effective(kind: str, path: Path, value: Any) -> Any:
    """The value as the API server holds it."""
    return default(kind, path) if value is MISSING else value


def completed(kind: str, path: Path, data: dict[str, Any]) -> dict[str, Any]:
    """A mapping with what the API server fills in from what stands beside it."""
    if kind == "Service" and path and path[-1] != "ports" and names(path)[-1] == "ports" and "port" in data:
        return {"targetPort": data["port"], **data}
    if kind == "NetworkPolicy" and path == ("spec",):
        return {"policyTypes": ["Ingress", "Egress"] if data.get("egress") else ["Ingress"], **data}
    return data
