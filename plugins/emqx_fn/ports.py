"""Ports by name and number: what Services and probes ask for, and what the pod declares and listens on."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import Object
from emqx_fn.listening import PROBES, Reach, containers, probe_target, reach_of, service_port_path
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def target_ports(case: Case) -> list[Problem]:
    """Named target ports that no container declares: the Service has no endpoints for them."""
    names = {name for container in containers(case.workload) for port in g.items(container, "ports") if (name := g.text(port, "name"))}
    found = []
    for service in g.services_of(case.graph, case.workload):
        for entry in g.items(service.data, "spec", "ports") if g.text(service.data, "spec", "type") != "ExternalName" else ():
            target = entry.get("targetPort")
            if not isinstance(target, str) or target in names or _declared_elsewhere(case, service, target):
                continue
            path = f"{service_port_path(entry)}.targetPort"
            declared = ", ".join(sorted(names)) or "none has a name"
            message = f"expected the name of a port that a container of {case.workload} declares ({declared}); got {str(target)!r}"
            fix = f"write the number without quotes: {target}" if target.isdecimal() else "correct the name, or declare the port in the container"
            found.append(Problem("target-port", str(service), path, message, fix))
    return found


def _declared_elsewhere(case: Case, service: Object, name: str) -> bool:
    """Whether the Service selects pods of another workload too, and these have the port."""
    selector = g.mapping(service.data, "spec", "selector")
    return any(
        other is not case.workload and g.selects(selector, g.pod_labels(other)) and any(g.text(port, "name") == name for port in _ports(other))
        for kind in (*g.WORKLOADS, "DaemonSet")
        for other in case.graph.objects(kind, [name])
    )


def _ports(workload: Object) -> list[dict[str, Any]]:
    return [port for container in containers(workload) for port in g.items(container, "ports")]


def port_names(case: Case) -> list[Problem]:
    """Names of container ports that the API server refuses."""
    found = []
    for container in containers(case.workload):
        seen: set[str] = set()
        for port in g.items(container, "ports"):
            name = g.text(port, "name")
            path = f"spec.template.spec.containers[{g.text(container, 'name')}].ports[{port.get('containerPort')}].name"
            if name in seen:
                message = f"expected each name once in a container; {name!r} stands twice, and the API server refuses that"
                found.append(Problem("target-port", str(case.workload), path, message, "rename one of the two ports"))
            elif name and not _is_port_name(name):
                message = f"expected a port name (at most 15 of a-z, 0-9 and -, one letter at least); got {str(name)!r}"
                found.append(Problem("target-port", str(case.workload), path, message, "choose such a name, here and in the Services that use it"))
            seen |= {name} - {""}
    return found


def _is_port_name(name: str) -> bool:
    known = name.isascii() and name == name.lower() and name.replace("-", "").isalnum() and any(letter.isalpha() for letter in name)
    return known and len(name) <= 15 and "--" not in name and name.strip("-") == name


def undeclared_ports(case: Case) -> list[Problem]:
    """Numeric target ports that no container declares and that nothing known listens on. Warnings."""
    reach = reach_of(case)
    declared = [port.get("containerPort") for port in _ports(case.workload)]
    message = "expected a port that a container declares or that a known listener has; got {}"
    return [
        Problem(
            "undeclared-port",
            str(lead.service),
            f"{lead.path}.targetPort",
            message.format(lead.port),
            "correct the number, or declare the port in the container",
        )
        for lead in reach.leads
        if declared and lead.port not in declared and not reach.may_listen(lead.port)
    ]


def probe_ports(reach: Reach) -> list[Problem]:
    """Probes that nobody answers: the kubelet restarts a healthy broker, or never calls it ready."""
    case = reach.case
    return [Problem("probe-port", str(case.workload), case.container_path(path), message, fix) for name in PROBES for path, message, fix in _probe(reach, name)]


def _probe(reach: Reach, name: str) -> Iterator[tuple[str, str, str]]:
    """Path, message and fix of what is wrong with a probe."""
    case = reach.case
    path, port = probe_target(case, name)
    request = g.mapping(case.container, name, "httpGet")
    scheme = (g.text(request, "scheme") or "HTTP").lower()
    schemes = {socket.type for socket in reach.at(port) if not socket.speaks_mqtt}
    if path and isinstance(port, str):
        declared = ", ".join(sorted(g.text(item, "name") for item in g.items(case.container, "ports")))
        yield path, f"expected the name of a port that this container declares ({declared}); got {str(port)!r}", "correct the name, or use the number"
    elif request and schemes and scheme not in schemes and reach.complete:
        other = next(iter(schemes)).upper()
        fix = f"set scheme: {other}" if other == "HTTPS" else "remove scheme"
        yield f"{name}.httpGet.scheme", f"expected {other}: the listener at port {port} speaks {other}; got {scheme.upper()}", fix
    elif isinstance(port, int) and not (reach.may_listen(port) or _of_sidecar(case, port) or _said_by_injection(case, request, port)):
        known = ", ".join(str(number) for number in sorted({socket.port for socket in reach.sockets if socket.on}))
        yield path, f"expected a port that the broker listens on ({known}); got {port}", _right_port(reach)


def _right_port(reach: Reach) -> str:
    """How to ask the listener of the HTTP API that is on: the port of the release where there is none."""
    answering = {socket.type: socket.port for socket in reach.sockets if socket.on and not socket.speaks_mqtt}
    if list(answering) == ["https"]:
        return f"use port {answering['https']} with scheme: HTTPS, or switch the listener on"
    port = reach.case.s.family.management_port or answering.get("http") or reach.case.s.dashboard_port
    return f"use port {port}, or switch the listener on"


def _of_sidecar(case: Case, port: int) -> bool:
    others = (container for container in containers(case.workload) if container is not case.container)
    return any(item.get("containerPort") == port for container in others for item in g.items(container, "ports"))


def _said_by_injection(case: Case, request: dict[str, Any], port: int) -> bool:
    """Whether `inject` refuses this probe itself."""
    return port == 8081 and case.s.family.management_port == 0 and request.get("path") == "/status"
