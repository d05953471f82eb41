"""NetworkPolicies that restrict what leaves the pods: whether members still reach each other, DNS and the API server."""

from __future__ import annotations

from collections.abc import Iterable

from emqx_fn import graph as g
from emqx_fn.graph import Graph, Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def restricting(graph: Graph, workload: Object) -> list[Object]:
    """The policies that restrict what leaves the workload's pods; where the YAML does not tell of one, none is judged."""
    labels = g.pod_labels(workload)
    policies = [policy for policy in graph.objects("NetworkPolicy", ["gress"]) if policy.namespace == workload.namespace and _about_egress(policy)]
    selected = [(policy, g.matches(g.mapping(policy.data, "spec", "podSelector"), labels)) for policy in policies if g.near(graph, policy, workload)]
    return [] if any(matched is None for _, matched in selected) else [policy for policy, matched in selected if matched]


def rules(policies: Iterable[Object]) -> list[dict[str, Any]]:
    """What the policies let out, together."""
    return [rule for policy in policies for rule in g.items(policy.data, "spec", "egress")]


def to_members(rule: dict[str, Any], labels: dict[str, Any]) -> bool:
    """Whether the rule may be for pods with these labels: namespaces and addresses are not judged."""
    peers = g.items(rule, "to")
    return not peers or any(_leaves(peer) or g.matches(g.mapping(peer, "podSelector"), labels) is not False for peer in peers)


def to_others(rule: dict[str, Any]) -> bool:
    """Whether the rule may be for what is outside the namespace."""
    peers = g.items(rule, "to")
    return not peers or any(_leaves(peer) for peer in peers)


def to_port(rule: dict[str, Any], number: int, name: str | int, protocol: str = "TCP") -> bool:
    """Whether the rule admits a port, by its number or by its name in the container."""
    ports = g.items(rule, "ports")
    return not ports or any(_admits(entry, number, name, protocol) for entry in ports)


def _about_egress(policy: Object) -> bool:
    spec = g.mapping(policy.data, "spec")
    types = spec.get("policyTypes") or (["Egress"] if "egress" in spec else [])
    return isinstance(types, list) and "Egress" in types


def _leaves(peer: dict[str, Any]) -> bool:
    return "namespaceSelector" in peer or "ipBlock" in peer


def _admits(entry: dict[str, Any], number: int, name: str | int, protocol: str) -> bool:
    if entry.get("protocol", "TCP") != protocol:
        return False
    port, end = entry.get("port"), entry.get("endPort")
    in_range = isinstance(port, int) and isinstance(end, int) and port <= number <= end
    return port is None or port in (number, name) or in_range
