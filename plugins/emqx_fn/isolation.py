"""NetworkPolicies: members that a policy keeps apart are Ready, and every one of them is a cluster of its own."""

from __future__ import annotations

from emqx_fn import graph as g
from emqx_fn.graph import Graph, Object
from emqx_fn.plan import Port
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def members_apart(graph: Graph, workload: Object, ports: list[tuple[Port, str | int]]) -> list[Problem]:
    """A problem for each port (with its name in the container) that no policy of the build admits from the members' own pods."""
    labels = g.pod_labels(workload)
    isolates = [
        (policy, _isolates(policy, labels))
        for policy in graph.objects("NetworkPolicy")
        if policy.namespace == workload.namespace and g.near(graph, policy, workload)
    ]
    policies = [policy for policy, isolated in isolates if isolated]
    if not policies or any(isolated is None for _, isolated in isolates):
        return []
    rules = [rule for policy in policies for rule in g.items(policy.data, "spec", "ingress")]
    fix = "add a rule: from a podSelector with the pods' own labels, ports erlang and rpc"
    return [
        Problem(
            "member-ports",
            str(policies[0]),
            "spec.ingress",
            f"expected a rule that admits port {port.number} ({name}) from the members' own pods; there is none, so every member would stay alone",
            fix,
        )
        for port, name in ports
        if not any(_from_members(rule, labels) and _to_port(rule, port.number, name) for rule in rules)
    ]


def _isolates(policy: Object, labels: dict[str, Any]) -> bool | None:
    """Whether the policy restricts what reaches these pods; None where the YAML does not tell."""
    types = g.mapping(policy.data, "spec").get("policyTypes") or ["Ingress"]
    return g.matches(g.mapping(policy.data, "spec", "podSelector"), labels) if "Ingress" in types else False


def _from_members(rule: dict[str, Any], labels: dict[str, Any]) -> bool:
    peers = g.items(rule, "from")
    return not peers or any(_is_member(peer, labels) for peer in peers)


def _is_member(peer: dict[str, Any], labels: dict[str, Any]) -> bool:
    """Whether the peer may be a member: namespaces and addresses are not judged."""
    unknown = "namespaceSelector" in peer or "ipBlock" in peer
    return unknown or g.matches(g.mapping(peer, "podSelector"), labels) is not False


def _to_port(rule: dict[str, Any], number: int, name: str | int) -> bool:
    ports = g.items(rule, "ports")
    return not ports or any(_admits(entry, number, name) for entry in ports)


def _admits(entry: dict[str, Any], number: int, name: str | int) -> bool:
    if entry.get("protocol", "TCP") != "TCP":
        return False
    port, end = entry.get("port"), entry.get("endPort")
    in_range = isinstance(port, int) and isinstance(end, int) and port <= number <= end
    return port is None or port in (number, name) or in_range
