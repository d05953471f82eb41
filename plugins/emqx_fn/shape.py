"""What the rest of the function may trust about an object: the fields that it reads have the types that Kubernetes gives them.

Only those fields are looked at; all others are the API server's affair.
"""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# A shape is a type, a mapping of fields (`!`: required, `*`: any other), or a list with the shape of its entries.

_SCALAR = (str, int)  # a port, a label's value: text or number
_TEXTS = {"*": _SCALAR}
_META = {"name!": str, "namespace": str, "labels": _TEXTS, "annotations": _TEXTS}
_REFERENCE = {"name": str, "key": str}
_PROBE = {"httpGet": {"port": _SCALAR, "path": str}}
_CONTAINER = {
    "name": str,
    "image": str,
    "env": [{"name!": str, "value": _SCALAR, "valueFrom": {"fieldRef": {"fieldPath": str}, "secretKeyRef": _REFERENCE}}],
    "envFrom": [{"prefix": str, "configMapRef": _REFERENCE, "secretRef": _REFERENCE}],
    "ports": [{"name": str, "containerPort!": int, "protocol": str}],
    "volumeMounts": [{"name!": str, "mountPath!": str, "subPath": str}],
    "lifecycle": {"preStop": {}},
    "startupProbe": _PROBE,
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
}
_POD = {
    "serviceAccountName": str,
    "automountServiceAccountToken": bool,
    "securityContext": {},
    "containers": [_CONTAINER],
    "volumes": [{"name!": str, "persistentVolumeClaim": {"claimName": str}}],
}
_WORKLOAD = {
    "metadata!": _META,
    "spec": {
        "replicas": int,
        "serviceName": str,
        "podManagementPolicy": str,
        "template": {"metadata": {"labels": _TEXTS, "annotations": _TEXTS}, "spec": _POD},
        "volumeClaimTemplates": [{"metadata": {"name": str}}],
    },
}
_PORT = {"name": str, "port": _SCALAR, "targetPort": _SCALAR, "protocol": str}
_SUBJECT = {"kind": str, "name": str, "namespace": str}
SHAPES: dict[str, Any] = {
    "Deployment": _WORKLOAD,
    "StatefulSet": _WORKLOAD,
    "Job": {"metadata!": _META, "spec": {"template": {"metadata": {"labels": _TEXTS, "annotations": _TEXTS}, "spec": _POD}}},
    "Service": {"metadata!": _META, "spec": {"selector": _TEXTS, "ports": [_PORT], "type": str, "clusterIP": str, "ipFamilies": [str]}},
    "ServiceAccount": {"metadata!": _META},
    "ConfigMap": {"metadata!": _META, "data": _TEXTS},
    "Role": {"metadata!": _META, "rules": [{"apiGroups": [str], "resources": [str], "resourceNames": [str], "verbs": [str]}]},
    "RoleBinding": {"metadata!": _META, "subjects": [_SUBJECT], "roleRef": {"kind": str, "name": str, "apiGroup": str}},
    "NetworkPolicy": {
        "metadata!": _META,
        "spec": {
            "podSelector": {"matchLabels": _TEXTS},
            "policyTypes": [str],
            "ingress": [{"ports": [_PORT], "from": [{"podSelector": {"matchLabels": _TEXTS}}]}],
        },
    },
    "EmqxCluster": {"metadata!": _META},
}
_WORDS = {str: "a string", int: "an integer", bool: "true or false", _SCALAR: "a string or an integer"}


def problems(kind: str, name: str, data: dict[str, Any]) -> list[Problem]:
    """Fields of an object that have another type than Kubernetes gives them."""
    found = []
    for path, expected, value in _misfits(SHAPES.get(kind, {}), data, ""):
        got = _got(expected, value)
        found.append(Problem("invalid-value", f"{kind}/{name}", path, f"expected {expected}; got {got}", f"write {expected} there"))
    return found


def _got(expected: str, value: Any) -> str:
    """What stands there instead. Text where a mapping or a list is expected may be a secret that somebody put there."""
    if isinstance(value, str) and expected in ("a mapping", "a list"):
        return "a string"
    return "nothing" if value is None else "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)


def _misfits(shape: Any, value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield path, "a mapping", value
            return
        yield from _misfits_of_fields(shape, value, path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield path, "a list", value
            return
        for index, item in enumerate(value):
            yield from _misfits(shape[0], item, f"{path}[{index}]")
    elif not isinstance(value, shape) or (isinstance(value, bool) and shape is not bool):
        yield path, _WORDS[shape], value


def _misfits_of_fields(shape: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[tuple[str, str, Any]]:
    every = shape.get("*")
    if every is not None:
        for key, item in value.items():
            if item is not None and isinstance(item, (dict, list)):
                yield f"{path}[{key}]", _WORDS[every], item
        return
    for name, field in shape.items():
        key = name.rstrip("!")
        item = value.get(key)
        if item is not None or name != key:
            yield from _misfits(field, item, f"{path}.{key}" if path else key)
