"""Ingresses and routes of the Gateway API: HTTP belongs to listeners that speak it."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.graph import Object
from emqx_fn.listening import Lead, Reach, Socket
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


_HTTP = ("Ingress", "HTTPRoute")
KINDS = (*_HTTP, "TLSRoute", "TCPRoute")
# How controllers are told to pass connections on as they are, HTTP or not.
_PASSES_ON = ("ssl-passthrough", "tcp-service-port")


class Backend(NamedTuple):
    """A port of one of the cluster's Services behind a route. `lead` is None where the Service has no such port."""

    route: Object
    path: str
    hosts: tuple[str, ...]
    service: Object
    port: Any
    lead: Lead | None

    @property
    def speaks_http(self) -> bool:
        """Whether the route takes requests apart; else it passes connections on."""
        return self.route.kind in _HTTP and not _passes_on(self.route)


def backends(reach: Reach) -> list[Backend]:
    """Every backend in the build that is a Service of this cluster."""
    case = reach.case
    services = g.services_of(case.graph, case.workload)
    words = [name for service in services for name in service.names]
    routes = [route for kind in KINDS for route in case.graph.objects(kind, words) if words and g.near(case.graph, route, case.workload)]
    return [backend for route in routes for backend in _of_route(reach, route, services)]


def check(reach: Reach, found: list[Backend]) -> list[Problem]:
    """What is wrong with the routes."""
    return [problem for backend in found for problem in (*_protocol(reach, backend), *_dashboard(reach, backend))]


def _protocol(reach: Reach, backend: Backend) -> Iterator[Problem]:
    route, lead = backend.route, backend.lead
    place = f"{backend.service} port {backend.port}"
    if lead is None:
        ports = ", ".join(str(port.get("name") or port.get("port")) for port in g.items(backend.service.data, "spec", "ports")) or "it has none"
        message = f"expected a port of {backend.service} ({ports}); got {backend.port!r}"
        yield Problem("route-protocol", str(route), backend.path, message, "name one of these ports, or add the listener behind it")
        return
    sockets = [socket for socket in reach.sockets if socket.port == lead.port and socket.protocol == "TCP"]
    on = [socket for socket in sockets if socket.on]
    if sockets and not on:
        message = f"expected a listener behind {place}; the listener {sockets[0].type} at {lead.port} is off"
        yield Problem("route-protocol", str(route), backend.path, message, "switch the listener on, or remove this route")
    elif on and backend.speaks_http and all(socket.type in ("tcp", "ssl") for socket in on):
        message = f"expected a backend that speaks HTTP: {place} leads to the listener {on[0].type}, and MQTT over TCP is no HTTP"
        fix = "lead it to the port of the ws listener, or publish MQTT by a TCPRoute, a TLSRoute or a Service of type LoadBalancer"
        yield Problem("route-protocol", str(route), backend.path, message, fix)


def _dashboard(reach: Reach, backend: Backend) -> Iterator[Problem]:
    if backend.lead and backend.route.kind in _HTTP and any(not socket.speaks_mqtt for socket in reach.at(backend.lead.port)):
        message = f"expected the dashboard and the HTTP API to stay inside the cluster; this {backend.route.kind} publishes them"
        fix = "remove this backend, or waive dashboard-exposed in policy.allow and say why"
        yield Problem("dashboard-exposed", str(backend.route), backend.path, message, fix)


def published_by(reach: Reach, found: list[Backend], socket: Socket) -> list[Backend]:
    """Backends that pass connections on to the listener as they are."""
    leads = [lead.path + str(lead.service) for lead in reach.to(socket)]
    return [backend for backend in found if backend.lead and not backend.speaks_http and backend.lead.path + str(backend.service) in leads]


def _of_route(reach: Reach, route: Object, services: list[Object]) -> Iterator[Backend]:
    entries = _of_ingress(route) if route.kind == "Ingress" else _of_gateway(route)
    for path, hosts, name, namespace, port in entries:
        for service in services:
            if name in service.names and namespace == service.namespace:
                lead = next((lead for lead in reach.leads if lead.service is service and port in (lead.entry.get("name"), lead.entry.get("port"))), None)
                known = lead or not any(port in (entry.get("name"), entry.get("port")) for entry in g.items(service.data, "spec", "ports"))
                if port is not None and known:
                    yield Backend(route, path, hosts, service, port, lead)


def _of_ingress(route: Object) -> Iterator[tuple[str, tuple[str, ...], str, str, Any]]:
    spec = g.mapping(route.data, "spec")
    places: list[tuple[str, tuple[str, ...], Any]] = [("spec.defaultBackend", (), g.mapping(spec, "defaultBackend"))]
    for number, rule in enumerate(g.items(spec, "rules")):
        hosts = (g.text(rule, "host"),) if g.text(rule, "host") else ()
        paths = enumerate(g.items(rule, "http", "paths"))
        places += [(f"spec.rules[{number}].http.paths[{index}].backend", hosts, g.mapping(path, "backend")) for index, path in paths]
    for place, names, backend in places:
        port = g.mapping(backend, "service", "port")
        yield f"{place}.service.port", names, g.text(backend, "service", "name"), route.namespace, _scalar(port.get("name") or port.get("number"))


def _of_gateway(route: Object) -> Iterator[tuple[str, tuple[str, ...], str, str, Any]]:
    hosts = g.mapping(route.data, "spec").get("hostnames")
    names = tuple(host for host in hosts if isinstance(host, str)) if isinstance(hosts, list) else ()
    for number, rule in enumerate(g.items(route.data, "spec", "rules")):
        for index, reference in enumerate(g.items(rule, "backendRefs")):
            if reference.get("kind", "Service") == "Service":
                namespace = g.text(reference, "namespace") or route.namespace
                yield f"spec.rules[{number}].backendRefs[{index}].port", names, g.text(reference, "name"), namespace, _scalar(reference.get("port"))


def _scalar(value: Any) -> Any:
    return value if isinstance(value, (str, int)) else None


def _passes_on(route: Object) -> bool:
    annotations = g.mapping(route.data, "metadata", "annotations")
    return any(str(key).endswith(_PASSES_ON) and str(value).lower() != "false" for key, value in annotations.items())
