"""Who can reach the broker now and could not before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import mapping
from emqx_fn.listening import Reach, Socket, is_open, reach_of
from emqx_fn.problem import Refusal
from emqx_fn.routes import KINDS
from emqx_gitops.resources import Resource
from emqx_gitops.review import defaults
from emqx_gitops.review.impact.change import Change, Cluster
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import listed
from emqx_gitops.review.model import Difference, Field, Finding

_CLEAR = ("tcp", "ws")


def findings(change: Change) -> Iterator[Finding]:
    """Ways in that a change opens."""
    for difference in change.differences:
        if difference.after is not None and difference.resource.key.kind == "Service":
            yield from _service(change, difference)
        elif difference.after is not None and difference.resource.key.kind in KINDS:
            yield from _route(difference, difference.after)
    for cluster in change.clusters:
        yield from _listeners(cluster)
        yield from _authentication(cluster)


# -- Services


def _service(change: Change, difference: Difference) -> Iterator[Finding]:
    after = difference.after
    assert after is not None
    opened = _open(change.after.graph, after)
    before = _open(change.before.graph, difference.before) if difference.before else None
    if opened is None:
        return
    ports = [port for port in _ports(opened) if before is None or port not in _ports(before)]
    was_open = before is not None
    if not ports and was_open:
        return
    kind = "externalIPs" if mapping(after.data, "spec").get("externalIPs") else str(mapping(after.data, "spec").get("type"))
    shown = ports if was_open else _ports(opened)
    message = f"from outside the cluster one can reach {listed(shown)} of the pods now, by a Service of type {kind}{_dashboard(change, after, shown)}"
    plan = ("restrict it by loadBalancerSourceRanges, or keep it inside the cluster by type ClusterIP",)
    yield found(
        "exposed", after, message, _path(difference.fields, ("spec", "type"), ("spec", "externalIPs"), ("spec", "ports"), ("metadata", "annotations")), plan
    )


def _path(fields: tuple[Field, ...], *starts: tuple[str, ...]) -> Field | str:
    return next((field for start in starts for field in fields if defaults.names(field.path)[: len(start)] == start), "")


def _open(graph: g.Graph | None, resource: Resource) -> g.Object | None:
    for service in graph.objects("Service", [resource.key.name]) if graph else ():
        if (service.name, service.namespace) == (resource.key.name, resource.key.namespace):
            return service if is_open(service) else None
    return None


def _ports(service: g.Object) -> list[str]:
    return [f"{entry.get('name') or 'port'} {entry.get('port')}" for entry in g.items(service.data, "spec", "ports")]


def _dashboard(change: Change, service: Resource, shown: list[str]) -> str:
    for cluster in change.clusters:
        reach = _reach(cluster.new)
        for socket in reach.sockets if reach else ():
            leads = [lead for lead in reach.to(socket) if lead.service.name == service.key.name] if reach else []
            if socket.on and not socket.speaks_mqtt and any(f"{lead.entry.get('name') or 'port'} {lead.entry.get('port')}" in shown for lead in leads):
                return ", the dashboard and the HTTP API among them"
    return ""


def _reach(case: Case | None) -> Reach | None:
    try:
        return reach_of(case) if case else None
    except Refusal:
        return None


# -- Ingress, routes


def _route(difference: Difference, after: Resource) -> Iterator[Finding]:
    before = _entries(difference.before) if difference.before else []
    ways = [way for way in _entries(after) if way not in before]
    if ways:
        message = f"clients outside the cluster get a way in: {listed(ways)}"
        plan = ("let in only whom it is for, by what its controller has for that (TLS, a login, allowed addresses), or take the way out",)
        yield found("exposed", after, message, _path(difference.fields, ("spec",)), plan)


def _entries(route: Resource) -> list[str]:
    """Host, path and Service of each way that a route opens."""
    return [*_of_ingress(route), *_of_gateway(route)]


def _of_ingress(route: Resource) -> Iterator[str]:
    for rule in g.items(route.data, "spec", "rules"):
        for path in g.items(rule, "http", "paths"):
            service = mapping(path, "backend", "service")
            yield f"{rule.get('host') or '*'}{path.get('path') or '/'} to {service.get('name')}:{_port(mapping(service, 'port'))}"
    service = mapping(route.data, "spec", "defaultBackend", "service")
    if service:
        yield f"everything else to {service.get('name')}:{_port(mapping(service, 'port'))}"


def _port(port: dict[str, Any]) -> Any:
    return port.get("name") or port.get("number")


def _of_gateway(route: Resource) -> Iterator[str]:
    hosts = mapping(route.data, "spec").get("hostnames")
    for rule in g.items(route.data, "spec", "rules"):
        for backend in g.items(rule, "backendRefs"):
            for host in hosts if isinstance(hosts, list) and hosts else ["*"]:
                yield f"{host} to {backend.get('name')}:{backend.get('port')}"


# -- listeners


def _listeners(cluster: Cluster) -> Iterator[Finding]:
    before, after = _reach(cluster.old), _reach(cluster.new)
    if before is None or after is None:
        return
    had = {(socket.type, socket.port) for socket in before.sockets if socket.on}
    for socket in after.sockets:
        if socket.on and (socket.type, socket.port) not in had:
            yield _listener(cluster, after, socket)


def _listener(cluster: Cluster, reach: Reach, socket: Socket) -> Finding:
    kind = "dashboard" if not socket.speaks_mqtt else socket.type
    leads = [f"{lead.service}" for lead in reach.to(socket)]
    message = f"the broker listens on {socket.port} too, {kind}{', without TLS' if socket.type in (*_CLEAR, 'http') else ''}"
    message += f"; {listed(leads)} leads there" if leads else "; no Service leads there"
    variable = socket.settings.get("BIND")
    return found("listener-added", cluster.after, message, variable.path if variable and variable.object == cluster.after.label else "")


# -- authentication


def _authentication(cluster: Cluster) -> Iterator[Finding]:
    if not cluster.cases:
        return
    old, new = cluster.cases
    off = [name for name in new.env if _lets_in(new, name) and not _lets_in(old, name)]
    gone = sorted({name for name in old.env if _authenticates(name)} - {name for name in new.env if _authenticates(name)})
    if off:
        message = f"clients need no login any more: {listed(f'{name}={new.value(name)}' for name in off)}"
        yield found("authentication-off", cluster.after, message, cluster.variable(*off))
    elif gone and not any(_authenticates(name) for name in new.env):
        message = f"nothing authenticates clients by variables any more: {listed(gone)} is gone"
        yield found("authentication-off", cluster.after, message, cluster.variable(*gone))


def _authenticates(name: str) -> bool:
    return name.upper().startswith("EMQX_AUTHENTICATION")


def _lets_in(case: Case, name: str) -> bool:
    value, upper = case.value(name).strip('" ').lower(), name.upper()
    if upper.startswith("EMQX_LISTENERS__") and upper.endswith("__ENABLE_AUTHN"):
        return value == "false"
    if upper in ("EMQX_ALLOW_ANONYMOUS", "EMQX_ZONE__EXTERNAL__ALLOW_ANONYMOUS"):
        return value == "true"
    return False
