"""How two lists of an object are compared: entry by entry under the key that Kubernetes merges by, as sets, or as a whole.

The keys are those of Kubernetes' own types (`x-kubernetes-list-map-keys`, `patchMergeKey`). Which lists are sets is a
matter of meaning: a Role with its rules the other way round gives the same rights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from emqx_fn.graph import mapping

Entry = dict[str, Any]
# Names an entry of a list by a field and its value, or says None where it has not got the field.
Name = Callable[[Entry], "tuple[str, Any] | None"]


def _by(field: str) -> Name:
    return lambda entry: (field, entry[field]) if isinstance(entry.get(field), (str, int)) else None


def _by_port(field: str) -> Name:
    def name(entry: Entry) -> tuple[str, Any] | None:
        number, protocol = entry.get(field), entry.get("protocol") or "TCP"
        if not isinstance(number, (str, int)):
            return None
        return field, number if protocol == "TCP" else f"{number}/{protocol}"

    return name


def _by_both(first: str, second: str) -> Name:
    return lambda entry: (first, f"{entry[first]}, {entry[second]}") if first in entry and second in entry else None


def _template(entry: Entry) -> tuple[str, Any] | None:
    name = mapping(entry, "metadata").get("name")
    return ("name", name) if isinstance(name, str) else None


def _path(entry: Entry) -> tuple[str, Any]:
    return "path", f"{entry.get('path') or '/'}, {entry.get('pathType')}"


def _host(entry: Entry) -> tuple[str, Any]:
    return "host", str(entry.get("host") or "*")


_NAMED = ("containers", "initContainers", "ephemeralContainers", "env", "volumes", "imagePullSecrets", "sysctls", "resourceClaims", "schedulingGates")
_KEYED: dict[str, Name] = {
    **{field: _by("name") for field in _NAMED},
    "volumeMounts": _by("mountPath"),
    "volumeDevices": _by("devicePath"),
    "hostAliases": _by("ip"),
    "readinessGates": _by("conditionType"),
    "topologySpreadConstraints": _by_both("topologyKey", "whenUnsatisfiable"),
    "volumeClaimTemplates": _template,
}
# Lists called `ports`, `rules` and `paths` mean something else in each kind.
_OF_KIND: dict[tuple[str, str], Name] = {
    ("Service", "ports"): _by_port("port"),
    ("Ingress", "rules"): _host,
    ("Ingress", "paths"): _path,
}
_SETS = frozenset(
    (
        *("accessModes", "add", "drop", "finalizers", "loadBalancerSourceRanges", "externalIPs", "supplementalGroups"),
        *("matchExpressions", "matchFields", "values", "tolerations", "items", "tls"),
        *("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs", "subjects"),
        *("ingress", "egress", "from", "to", "except", "policyTypes"),
    )
)
_SETS_OF_KIND = {("Role", "rules"), ("ClusterRole", "rules"), ("NetworkPolicy", "ports")}


def names(kind: str, field: str, before: list[Any], after: list[Any]) -> Name | None:
    """How entries of this list are told apart, or None where this list has no key, or an entry is without, or one is there twice."""
    name = _OF_KIND.get((kind, field)) or (_by_port("containerPort") if field == "ports" and kind != "NetworkPolicy" else _KEYED.get(field))
    return name if name and _distinct(name, before) and _distinct(name, after) else None


def _distinct(name: Name, entries: list[Any]) -> bool:
    found = [name(entry) if isinstance(entry, dict) else None for entry in entries]
    return None not in found and len(set(found)) == len(found)


def is_set(kind: str, field: str) -> bool:
    """Whether the order of this list means nothing."""
    return field in _SETS or (kind, field) in _SETS_OF_KIND
