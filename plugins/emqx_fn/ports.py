"""Ports by name and number: what Services and probes ask for, and what the pod declares and listens on."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.environment import Variable
from emqx_fn.graph import Object
from emqx_fn.listening import PROBES, Reach, Socket, containers, probe_target, reach_of, service_port_path
from emqx_fn.plan import ERLANG_PORT, RPC_PORT
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


def left_behind(reach: Reach) -> list[Problem]:
    """Ports of Services that lead to where a listener is by default, after its bind has moved it and nothing else is there."""
    found = []
    for socket in reach.sockets if reach.complete else ():
        bind = socket.settings.get("BIND")
        old = socket._replace(port=socket.default)
        moved = bind and socket.on and socket.default not in (0, socket.port) and not reach.rivals(socket)
        if not bind or not moved or reach.may_listen(socket.default) or any(not g.headless(lead.service) for lead in reach.to(socket)):
            continue
        for lead in reach.to(old):
            target = lead.entry.get("targetPort")
            if g.headless(lead.service) or _of_sidecar(reach.case, socket.default):
                continue
            message = f"expected {socket.port}, where {bind.name} puts the listener {socket.type}; got {lead.port}, and nothing listens there"
            named = isinstance(target, str)
            fix = f"set containerPort: {socket.port} of the port {target!r}" if named else f"set targetPort: {socket.port}, and containerPort in the container"
            path = f"{lead.path}.{'targetPort' if target else 'port'}"
            back = "" if bind.name in reach.case.own else f"; or remove {bind.name}"
            found.append(Problem("target-port", str(lead.service), path, message, f"{fix}{back}"))
    return found


def collisions(reach: Reach) -> list[Problem]:
    """Listeners that want a port which is another's. What the function wrote from the settings, the settings' rules judge."""
    found, told = [], set()
    taken = _between_members(reach.case)
    for socket in sorted((socket for socket in reversed(reach.sockets) if socket.on), key=lambda socket: not socket.speaks_mqtt):
        rivals = reach.rivals(socket)
        owner = taken.get(socket.port, "") if reach.complete and socket.protocol == "TCP" else ""
        bind = _given_bind(reach.case, socket)
        if bind is None or not (owner or rivals) or any(rival.stem in told for rival in rivals):
            continue
        told.add(socket.stem)
        by_default = [rival for rival in rivals if "BIND" not in rival.settings]
        other = owner or _owner((by_default or rivals)[0])
        message = f"expected a port of its own for the listener {socket.type}; {socket.port} is that of {other}"
        fix = "choose another port" if owner else "choose another port, or switch one of the two off"
        found.append(Problem("port-collision", bind.object, bind.path, message, fix))
    return found


def _given_bind(case: Case, socket: Socket) -> Variable | None:
    """The variable that somebody chose the port by."""
    bind = socket.settings.get("BIND")
    return bind if bind and bind.name not in case.own else None


def _owner(socket: Socket) -> str:
    if socket.speaks_mqtt:
        return f"the listener {socket.type} ({socket.stem})"
    return f"the HTTP API ({socket.stem})" if socket.stem.startswith("EMQX_MANAGEMENT") else f"the dashboard ({socket.stem})"


def _between_members(case: Case) -> dict[int, str]:
    """The ports that members talk over, as far as they are certain."""
    given = [case.env[name] for name in ("EMQX_NODE__NAME", "EMQX_NODE_NAME", "EMQX_NAME") if name in case.env]
    names = [(variable.value or "<unknown>").strip('"').partition("@")[0] for variable in given] or ["emqx"]
    known = not any(name.endswith((">", *"0123456789")) for name in names)
    found = {ERLANG_PORT: "the Erlang distribution"} if known else {}
    discovery = case.env.get("EMQX_RPC__PORT_DISCOVERY")
    manual = discovery.value == "manual" if discovery else not case.s.family.rpc_manual
    if manual and not any(name.startswith("EMQX_RPC__") and name.endswith("SERVER_PORT") for name in case.env):
        found[RPC_PORT] = "RPC between members"
    return found


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
    told = [(problem.object, problem.path.rpartition(".")[0]) for problem in left_behind(reach)]
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
        if declared and lead.port not in declared and (str(lead.service), lead.path) not in told and not reach.may_listen(lead.port)
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
    elif request and (deaf := [socket for socket in reach.at(port) if socket.speaks_mqtt and socket.protocol == "TCP"]) and not schemes:
        spoken = "MQTT" if deaf[0].type in ("tcp", "ssl") else "WebSocket alone"
        fix = f"{_right_port(reach).partition(', or')[0]}, or tcpSocket for this port"
        yield path, f"expected a port that answers HTTP; got {port}, where the listener {deaf[0].type} speaks {spoken}", fix
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
