"""NetworkPolicies: what may reach a workload's pods, and what they may reach, over all policies that select them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from emqx_fn import graph as g
from emqx_fn.graph import mapping
from emqx_gitops.resources import Resource
from emqx_gitops.review.impact.change import Change, Side
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import listed
from emqx_gitops.review.model import Difference, Finding

_WAYS = (("Ingress", "ingress", "from", "reach its pods"), ("Egress", "egress", "to", "be reached by its pods"))
_OWN, _ALL_PODS, _EVERYBODY, _EVERY_PORT = "its own pods", "all pods of the namespace", "everybody", "every port"


class Way(NamedTuple):
    """One port and one peer that is let through."""

    port: str
    peer: str

    def covers(self, other: Way) -> bool:
        """Whether the other is let through too."""
        peers = (other.peer, _EVERYBODY, *((_ALL_PODS,) if other.peer.startswith((_OWN, "pods with")) else ()))
        return self.port in (other.port, _EVERY_PORT) and self.peer in peers


def findings(change: Change) -> Iterator[Finding]:
    """What is let through and was not, workload by workload."""
    changed = [difference for difference in change.differences if difference.resource.key.kind == "NetworkPolicy"]
    for before, after in _workloads(change) if changed else ():
        for way in _WAYS:
            old, new = _through(change.before, before, way), _through(change.after, after, way)
            more = [one for one in new if not any(other.covers(one) for other in old)]
            if more:
                ways = listed((f"{one.port} for {one.peer}" for one in more), limit=9)
                message = f"{_because(changed)} more may {way[3]}: {ways}. So far it was {_text(old)}"
                yield found("policy-loosened", after, message, "", ("name the ports and the peers that are meant, and no others",))


def _because(changed: list[Difference]) -> str:
    by = listed(difference.resource.label for difference in changed if difference.after)
    without = listed(difference.resource.label for difference in changed if not difference.after)
    return " and ".join([f"by {by}"] * bool(by) + [f"without {without}"] * bool(without))


def _workloads(change: Change) -> list[tuple[Resource, Resource]]:
    same = [(before, after) for before, after, _ in change.workloads]
    return same + [(cluster.before, cluster.after) for cluster in change.clusters if cluster.replaced]


def _text(ways: list[Way]) -> str:
    return listed(f"{one.port} for {one.peer}" for one in ways) or "nothing"


def _through(side: Side, workload: Resource, way: tuple[str, str, str, str]) -> list[Way]:
    """All that the policies let through; without a policy that is everything."""
    kind, field, peers, _ = way
    labels = mapping(workload.data, "spec", "template", "metadata", "labels")
    judging = [policy for policy in side.of_kind("NetworkPolicy") if policy.key.namespace == workload.key.namespace and _judges(policy, kind, labels)]
    if not judging:
        return [Way(_EVERY_PORT, _EVERYBODY)]
    ways = [one for policy in judging for rule in g.items(policy.data, "spec", field) for one in _of_rule(rule, peers, labels)]
    return list(dict.fromkeys(ways))


def _judges(policy: Resource, kind: str, labels: dict[str, Any]) -> bool:
    types = mapping(policy.data, "spec").get("policyTypes")
    judged = types if isinstance(types, list) else ["Ingress", *(["Egress"] if mapping(policy.data, "spec").get("egress") else [])]
    return kind in judged and g.matches(mapping(policy.data, "spec", "podSelector"), labels) is not False


def _of_rule(rule: dict[str, Any], peers: str, labels: dict[str, Any]) -> Iterator[Way]:
    ports = [_port(port) for port in g.items(rule, "ports")] or [_EVERY_PORT]
    for port, peer in product(ports, [_peer(peer, labels) for peer in g.items(rule, peers)] or [_EVERYBODY]):
        yield Way(port, peer)


def _port(port: dict[str, Any]) -> str:
    if "port" not in port:
        return _EVERY_PORT if port.get("protocol", "TCP") == "TCP" else f"every {port['protocol']} port"
    last = f"-{port['endPort']}" if "endPort" in port else ""
    return f"{port['port']}{last}" + ("" if port.get("protocol", "TCP") == "TCP" else f"/{port['protocol']}")


def _peer(peer: dict[str, Any], labels: dict[str, Any]) -> str:
    block, selector = mapping(peer, "ipBlock"), mapping(peer, "podSelector")
    if block:
        kept = listed(map(str, block["except"])) if isinstance(block.get("except"), list) else ""
        return _EVERYBODY if str(block.get("cidr")).endswith("/0") and not kept else f"{block.get('cidr')}" + (f" but {kept}" if kept else "")
    if "namespaceSelector" in peer:
        return f"{_selected(selector) or 'all pods'} of namespaces {_selected(mapping(peer, 'namespaceSelector')) or 'with any name'}"
    if selector and g.matches(selector, labels):
        return _OWN
    return _selected(selector) or _ALL_PODS


def _selected(selector: dict[str, Any]) -> str:
    pairs = [f"{key}={value}" for key, value in mapping(selector, "matchLabels").items()]
    pairs += [" ".join(map(str, (item.get("key"), item.get("operator"), *(item.get("values") or ())))) for item in g.items(selector, "matchExpressions")]
    return f"pods with {', '.join(pairs)}" if pairs else ""
