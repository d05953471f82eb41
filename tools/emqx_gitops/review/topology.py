"""A pair -> what stands in front of each EMQX workload and behind it, before and after, and what of it changes.

The rendering tells it: Services and Ingresses that lead to the pods, policies that select them, members with the names of
their nodes, claims, settings and rights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from emqx_fn import graph as g
from emqx_fn import permissions
from emqx_fn.graph import items, mapping, text
from emqx_fn.problem import Refusal
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Key, Resource
from emqx_gitops.review.impact import change
from emqx_gitops.review.impact.change import Side
from emqx_gitops.review.model import Pair

State = Literal["same", "added", "changed", "removed"]

WAYS_IN, FRONT, WORKLOAD, BEHIND = range(4)  # columns, in the order in which a client passes them
_MEMBERS = 7  # more than that are counted
_NODES = 40


@dataclass(frozen=True)
class Node:
    """A thing with what is to be known of it, before and after. On the side where it is not, the facts are empty."""

    column: int
    title: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    state: State = "same"

    @property
    def facts(self) -> list[str]:
        """Of both sides, in one list."""
        if self.state in ("added", "removed"):
            return list(self.after or self.before)
        gone = [f"{fact} (before)" for fact in self.before if fact not in self.after]
        return [fact if fact in self.before else f"{fact} (now)" for fact in self.after] + gone


@dataclass(frozen=True)
class Topology:
    """Nodes by their identity, arrows between them, and how many nodes are left out."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()
    more: int = 0

    @property
    def changes(self) -> bool:
        """Whether anything of it does."""
        return any(node.state != "same" for node in self.nodes.values())

    def side(self, *, after: bool) -> Topology:
        """What is there before, or after."""
        absent: State = "removed" if after else "added"
        nodes = {name: node for name, node in self.nodes.items() if node.state != absent}
        return Topology(nodes, tuple(edge for edge in self.edges if nodes.keys() >= set(edge)), self.more)


def of(pair: Pair) -> Topology:
    """The topology of a target; empty where it runs no EMQX, or does not render."""
    if any(side and side.problems for side in (pair.before, pair.after)):
        return Topology()
    both = [(one.before.key, one.after.key) for one in pair.differences if one.before and one.after]
    # Where a pod template changes, pods restart.
    changed = {_name(one.after.key) for one in pair.differences if one.before and one.after}
    for one in pair.differences:
        if one.after and any(step.path[:2] == ("spec", "template") for step in one.fields):
            changed.add(f"{_name(one.after.key)} pods")
    before, after = _drawn(pair.before, dict(both)), _drawn(pair.after, {})
    return _limited(_merged(before, after, changed))


@dataclass
class _Drawing:
    """One side. Objects that have another name now go by that one, so that both sides can be laid over each other."""

    renamed: dict[Key, Key]
    nodes: dict[str, tuple[int, str, tuple[str, ...], str]] = field(default_factory=dict)
    edges: dict[tuple[str, str], None] = field(default_factory=dict)

    def name(self, resource: Resource) -> str:
        return _name(self.renamed.get(resource.key, resource.key))

    def object(self, column: int, resource: Resource, *facts: str) -> str:
        return self.add(self.name(resource), column, resource.label, *facts)

    def add(self, name: str, column: int, title: str, *facts: str, kind: str = "") -> str:
        self.nodes.setdefault(name, (column, title, tuple(fact for fact in facts if fact), kind or name))
        return name

    def arrow(self, source: str, target: str) -> None:
        self.edges[source, target] = None


def _name(key: Key) -> str:
    return "/".join((key.kind, key.namespace, key.name))


def _merged(before: _Drawing, after: _Drawing, changed: set[str]) -> Topology:
    nodes = {}
    for name in _in_order(list(before.nodes), list(after.nodes)):
        old, new = before.nodes.get(name), after.nodes.get(name)
        column, title, _, kind = new or old or (0, "", (), "")
        state: State = "added" if old is None else "removed" if new is None else "changed" if old[:3] != new[:3] or kind in changed else "same"
        was = (old[1],) if old and old[1] != title else ()
        nodes[name] = Node(column, title, (*was, *old[2]) if old else (), new[2] if new else (), state)
    return Topology(nodes, tuple(dict.fromkeys([*after.edges, *before.edges])))


def _in_order(before: list[str], after: list[str]) -> list[str]:
    """All names; those that come are behind what they stand behind."""
    names, known = list(before), set(before)
    for number, name in enumerate(after):
        if name not in known:
            names.insert(names.index(after[number - 1]) + 1 if number else 0, name)
    return names


def _limited(found: Topology) -> Topology:
    """What changes first, then workloads, in as many nodes as a person looks at."""
    if len(found.nodes) <= _NODES:
        return found
    ranked = sorted(found.nodes, key=lambda name: (found.nodes[name].state == "same", found.nodes[name].column != WORKLOAD))
    kept = set(ranked[:_NODES])
    nodes = {name: node for name, node in found.nodes.items() if name in kept}
    return replace(found, nodes=nodes, edges=tuple(edge for edge in found.edges if kept >= set(edge)), more=len(found.nodes) - _NODES)


def _drawn(rendering: Rendering | None, renamed: dict[Key, Key]) -> _Drawing:
    drawing = _Drawing(renamed)
    side = Side(rendering) if rendering else None
    for resource in side.resources if side else ():
        if side and resource.is_emqx:
            _cluster(drawing, side, resource)
    return drawing


def _cluster(drawing: _Drawing, side: Side, workload: Resource) -> None:
    images = [f"image {container.get('image')}" for container in items(workload.pod_spec, "containers")[:3]]
    own = drawing.object(WORKLOAD, workload, _count(change.members(workload), "member"), *images)
    near = [resource for resource in side.resources if _together(resource, workload)]
    labels = mapping(workload.data, "spec", "template", "metadata", "labels")
    for resource in near:
        facts = _in_front(resource, labels)
        if facts is not None:
            name = drawing.object(FRONT, resource, *facts)
            drawing.arrow(name, own)
            for way in near if resource.key.kind == "Service" else ():
                if resource.key.name in _backends(way):
                    drawing.arrow(drawing.object(WAYS_IN, way, *_hosts(way)), name)
    for name in [*_members(drawing, side, workload), *_claims(drawing, workload), *_mounted(drawing, near, workload), _account(drawing, side, workload)]:
        drawing.arrow(own, name)


def _together(resource: Resource, workload: Resource) -> bool:
    return not resource.key.namespace or not workload.key.namespace or resource.key.namespace == workload.key.namespace


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _in_front(resource: Resource, labels: dict[str, Any]) -> list[str] | None:
    """What is to be said of a Service or a policy that selects the pods; None for anything else."""
    kind, spec = resource.key.kind, mapping(resource.data, "spec")
    if kind == "Service":
        return _service(spec) if g.selects(mapping(spec, "selector"), labels) else None
    if kind == "NetworkPolicy":
        return list(_policy(spec, labels)) if g.matches(mapping(spec, "podSelector"), labels) is not False else None
    if kind == "PodDisruptionBudget" and g.matches(mapping(spec, "selector"), labels) is not False:
        return [f"{key} {spec[key]}" for key in ("minAvailable", "maxUnavailable") if spec.get(key) is not None]
    return None


def _service(spec: dict[str, Any]) -> list[str]:
    kind = "headless" if spec.get("clusterIP") == "None" else str(spec.get("type") or "ClusterIP")
    ports = [" ".join(str(port[key]) for key in ("name", "port") if key in port) for port in items(spec, "ports")]
    return [kind, ", ".join(ports)]


def _backends(resource: Resource) -> set[str]:
    """Names of the Services that an Ingress leads to."""
    if resource.key.kind != "Ingress":
        return set()
    spec = mapping(resource.data, "spec")
    paths = [path for rule in items(spec, "rules") for path in items(rule, "http", "paths")]
    return {text(backend, "service", "name") for backend in (mapping(spec, "defaultBackend"), *(mapping(path, "backend") for path in paths))}


def _hosts(ingress: Resource) -> list[str]:
    hosts = [text(rule, "host") or "any host" for rule in items(ingress.data, "spec", "rules")]
    return [", ".join(dict.fromkeys(hosts[:5])) + (f" and {len(hosts) - 5} more" if len(hosts) > 5 else "")]


def _policy(spec: dict[str, Any], labels: dict[str, Any]) -> Iterator[str]:
    """Who may come in, and to which ports, rule by rule."""
    types = spec.get("policyTypes")
    if isinstance(types, list) and "Ingress" not in types:
        yield "egress only"
        return
    rules = items(spec, "ingress")
    for rule in rules:
        peers = [_peer(peer, labels) for peer in items(rule, "from")] or ["everybody"]
        ports = [str(port.get("port", "any")) for port in items(rule, "ports")] or ["all ports"]
        yield f"{', '.join(dict.fromkeys(peers))} to {', '.join(ports)}"
    if not rules:
        yield "lets nobody in"


def _peer(peer: dict[str, Any], labels: dict[str, Any]) -> str:
    if "ipBlock" in peer:
        return text(peer, "ipBlock", "cidr") or "an address block"
    pods, namespaces = mapping(peer, "podSelector"), mapping(peer, "namespaceSelector")
    if "namespaceSelector" not in peer:
        return "pods of the namespace" if not pods else "members" if g.matches(pods, labels) else f"pods {_selector(pods)}"
    where = f"namespaces {_selector(namespaces)}" if namespaces else "all namespaces"
    return f"pods {_selector(pods)} of {where}" if pods else f"pods of {where}"


def _selector(selector: dict[str, Any]) -> str:
    equal = [f"{key}={value}" for key, value in mapping(selector, "matchLabels").items()]
    return ", ".join(equal + [f"{item.get('key')} {item.get('operator')}" for item in items(selector, "matchExpressions")])


def _members(drawing: _Drawing, side: Side, workload: Resource) -> Iterator[str]:
    own, count = drawing.name(workload), change.members(workload)
    node = change.node_name(side.case(workload))
    if workload.key.kind != "StatefulSet":
        yield drawing.add(f"{own} pods", BEHIND, "Pods", _count(max(count, 0), "pod"), node)
        return
    start = mapping(workload.data, "spec", "ordinals").get("start")
    first = start if isinstance(start, int) else 0
    shown = count if count <= _MEMBERS else _MEMBERS - 1
    for number in range(first, first + shown):
        pod = f"{workload.key.name}-{number}"
        yield drawing.add(f"{own} {number}", BEHIND, f"Pod/{pod}", node.replace("<pod>", pod), kind=f"{own} pods")
    if count > shown:
        yield drawing.add(f"{own} others", BEHIND, f"{count - shown} more Pods", node, kind=f"{own} pods")


def _claims(drawing: _Drawing, workload: Resource) -> Iterator[str]:
    kept = mapping(workload.data, "spec", "persistentVolumeClaimRetentionPolicy")
    for claim in items(workload.data, "spec", "volumeClaimTemplates"):
        name, size = text(claim, "metadata", "name"), mapping(claim, "spec", "resources", "requests").get("storage")
        facts = [f"{size} for each member" if size else "", text(claim, "spec", "storageClassName"), *(f"{key} {value}" for key, value in sorted(kept.items()))]
        yield drawing.add(f"{drawing.name(workload)} claim {name}", BEHIND, f"Claims {name}", *facts)


def _mounted(drawing: _Drawing, near: list[Resource], workload: Resource) -> Iterator[str]:
    """ConfigMaps, Secrets and claims of the rendering that the pods name."""
    named = set(_references(workload))
    for resource in near:
        if (resource.key.kind, resource.key.name) in named:
            size = mapping(resource.data, "spec", "resources", "requests").get("storage")
            yield drawing.object(BEHIND, resource, str(size) if size else "")


def _references(workload: Resource) -> Iterator[tuple[str, str]]:
    for container in workload.containers:
        for entry in items(container, "envFrom"):
            yield "ConfigMap", text(entry, "configMapRef", "name")
            yield "Secret", text(entry, "secretRef", "name")
        for entry in items(container, "env"):
            yield "ConfigMap", text(entry, "valueFrom", "configMapKeyRef", "name")
            yield "Secret", text(entry, "valueFrom", "secretKeyRef", "name")
    for volume in items(workload.pod_spec, "volumes"):
        for one in (volume, *items(volume, "projected", "sources")):
            yield "ConfigMap", text(one, "configMap", "name")
            yield "Secret", text(one, "secret", "secretName") or text(one, "secret", "name")
            yield "PersistentVolumeClaim", text(one, "persistentVolumeClaim", "claimName")


def _account(drawing: _Drawing, side: Side, workload: Resource) -> str:
    name = text(workload.pod_spec, "serviceAccountName") or "default"
    return drawing.add(f"{drawing.name(workload)} account", BEHIND, f"ServiceAccount/{name}", *_rights(side, workload))


def _rights(side: Side, workload: Resource) -> list[str]:
    with suppress(Refusal):
        candidates = g.candidates(side.graph) if side.graph else []
        own = [found for found in candidates if (found.kind, found.namespace, found.name) == (workload.key.kind, workload.key.namespace, workload.key.name)]
        grants = [grant for found in own if side.graph for grant in permissions.of(side.graph, found)]
        return [f"may {grant.text()}, {grant.where()}" for grant in grants] or ["no rights of its own"]
    return []
