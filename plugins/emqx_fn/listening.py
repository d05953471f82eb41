"""What the broker will listen on, as the container's final environment leaves it, and which ports of Services lead there."""

from __future__ import annotations

from emqx_fn import environment, plan
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.environment import Variable
from emqx_fn.graph import Object

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


_EVERY_ADDRESS = ("", "0.0.0.0", "::")
_PORTS = {"TCP": 1883, "SSL": 8883, "WS": 8083, "WSS": 8084, "QUIC": 14567, "HTTPS": 18084}
_STARTED = ("TCP", "SSL", "WS", "WSS")  # every release starts one of each by itself
_MANAGEMENT = "EMQX_MANAGEMENT__LISTENER"
_ETC = "/opt/emqx/etc"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_OPEN = ("LoadBalancer", "NodePort")
# A load balancer that stays within the network of the cluster.
# https://kubernetes.io/docs/concepts/services-networking/service/#internal-load-balancer
_INTERNAL = ("load-balancer-internal", "load-balancer-type", "load-balancer-scheme")


class Socket(NamedTuple):
    """A listener. `settings` are its variables by the end of their names, `BIND` and so on; `host` is empty where the bind is a port alone."""

    type: str  # tcp, ssl, ws, wss, quic; http, https: the dashboard and the HTTP API
    stem: str  # how the names of its variables begin
    host: str
    port: int
    on: bool
    settings: dict[str, Variable]
    default: int = 0  # the port of the release where it starts such a listener by itself

    @property
    def speaks_mqtt(self) -> bool:
        """Whether clients connect here; else it is the dashboard's or the HTTP API's."""
        return self.type not in ("http", "https")

    @property
    def protocol(self) -> str:
        return "UDP" if self.type == "quic" else "TCP"

    def value(self, name: str) -> str:
        """The value of a setting, without quotes and in lower case; empty where it is not set or not known."""
        variable = self.settings.get(name)
        return (variable.value or "").strip('" ').lower() if variable else ""


class Lead(NamedTuple):
    """A port of a Service and the number of the container's port behind it."""

    service: Object
    entry: dict[str, Any]
    port: int

    @property
    def path(self) -> str:
        """Where the port stands in the Service."""
        return service_port_path(self.entry)


class Reach(NamedTuple):
    """A cluster's listeners and the ways to them. Not `complete`: a file, an object or a Secret elsewhere sets some, so a missing one proves nothing."""

    case: Case
    sockets: list[Socket]
    leads: list[Lead]
    complete: bool

    def to(self, socket: Socket) -> list[Lead]:
        """Ports of Services that lead to the listener."""
        return [lead for lead in self.leads if lead.port == socket.port and lead.entry.get("protocol", "TCP") == socket.protocol]

    def at(self, port: Any) -> list[Socket]:
        """The listeners that are on at this port of the pod."""
        return [socket for socket in self.sockets if socket.on and socket.port == port]

    def rivals(self, socket: Socket) -> list[Socket]:
        """Other listeners that want the same port, where that is certain: the second to start cannot have it."""
        others = [other for other in self.at(socket.port) if other is not socket and (other.default or "BIND" in other.settings)]
        certain = socket.on and self.complete
        return [other for other in others if certain and other.protocol == socket.protocol and _overlap(socket.host, other.host)]

    def may_listen(self, port: Any) -> bool:
        """Whether anything of the pod may answer at this port, as far as the YAML shows."""
        named = any(str(port) in _numbers(variable.value or "") for variable in self.case.env.values())
        return not self.complete or bool(self.at(port)) or named or port in (plan.ERLANG_PORT, plan.RPC_PORT)


def reach_of(case: Case) -> Reach:
    """The listeners of a cluster and which ports of Services lead to them."""
    found, complete = _sockets(case)
    return Reach(case, found, _leads(case), complete)


def containers(workload: Object) -> list[dict[str, Any]]:
    """Containers that run as long as the pod does, sidecars among the init containers included."""
    pod = g.pod_spec(workload)
    return [*g.items(pod, "containers"), *(item for item in g.items(pod, "initContainers") if item.get("restartPolicy") == "Always")]


def service_port_path(entry: dict[str, Any]) -> str:
    """Path of a port in its Service."""
    return f"spec.ports[{entry.get('name') or entry.get('port')}]"


def is_open(service: Object) -> bool:
    """Whether a Service is reached from outside the cluster, by addresses that it does not restrict."""
    spec = g.mapping(service.data, "spec")
    if has_external_ips(service):
        return True
    if g.text(spec, "type") not in _OPEN:
        return False
    annotations = g.mapping(service.data, "metadata", "annotations")
    internal = any(str(key).endswith(_INTERNAL) and str(value).lower() in ("true", "internal", "0.0.0.0/0") for key, value in annotations.items())
    ranges = spec.get("loadBalancerSourceRanges")
    restricted = isinstance(ranges, list) and bool(ranges) and not any(str(item).endswith("/0") for item in ranges)
    return spec["type"] == "NodePort" or not (internal or restricted)


def has_external_ips(service: Object) -> bool:
    """Whether every node takes connections to addresses from outside for the Service, whatever its type."""
    addresses = g.mapping(service.data, "spec").get("externalIPs")
    return isinstance(addresses, list) and bool(addresses) and g.text(service.data, "spec", "type") != "ExternalName" and not g.headless(service)


def probe_target(case: Case, name: str) -> tuple[str, Any]:
    """Where the probe's port stands in the container, and its number, or its name where the container declares none of that name."""
    probe = g.mapping(case.container, name)
    action = next((action for action in ("httpGet", "tcpSocket", "grpc") if g.mapping(probe, action)), "")
    port = g.mapping(probe, action).get("port")
    if not action or g.text(probe, action, "host"):
        return "", None
    declared = (item.get("containerPort") for item in g.items(case.container, "ports") if item.get("name") == port)
    return f"{name}.{action}.port", next(declared, port)


def _leads(case: Case) -> list[Lead]:
    ports = [port for container in containers(case.workload) for port in g.items(container, "ports")]
    found = []
    for service in g.services_of(case.graph, case.workload):
        for entry in g.items(service.data, "spec", "ports") if g.text(service.data, "spec", "type") != "ExternalName" else ():
            target = entry.get("targetPort") or entry.get("port")
            number = target if isinstance(target, int) else next((port.get("containerPort") for port in ports if port.get("name") == target), None)
            if isinstance(number, int):
                found.append(Lead(service, entry, number))
    return found


def _sockets(case: Case) -> tuple[list[Socket], bool]:
    """The listeners, and whether these are all and nothing but the environment sets them."""
    family = case.s.family
    mqtt, bind = family.bind.partition("__{type}")[0], family.bind.partition("{name}__")[2]
    dashboard = family.dashboard_bind.partition("__HTTP")[0]
    groups: dict[str, dict[str, Variable]] = {f"{mqtt}__{kind}__{family.first_listener}": {} for kind in _STARTED}
    groups[f"{dashboard}__HTTP"] = {}
    if family.management_port:
        groups[f"{_MANAGEMENT}__HTTP"] = {}
    complete = not _has_file(case)
    for variable in case.env.values():
        parts = [part for part in variable.name.upper().split("__") if part]
        stem, setting = "__".join(parts[:3]), "__".join(parts[3:])
        if not stem.startswith((f"{mqtt}__", f"{dashboard}__", f"{_MANAGEMENT}__")):
            complete = complete and stem not in (mqtt, dashboard, "EMQX_DASHBOARD")
        elif len(parts) > 2 and (setting or not bind):
            groups.setdefault(stem, {})[setting or "BIND"] = variable
        else:
            complete = False  # a listener, or all of a type, as one object
    found = [_socket(case, stem, settings, known=complete) for stem, settings in groups.items()]
    # What a Secret from elsewhere may set it seldom does: the usual addresses are taken for granted, and nothing that needs all is said.
    hidden = environment.hidden(case.graph, case.workload, case.container)
    return [socket for socket in found if socket], complete and all(found) and not hidden


def _socket(case: Case, stem: str, settings: dict[str, Variable], *, known: bool) -> Socket | None:
    """The listener, or None where its address is not known."""
    head, kind, last = stem.split("__")
    is_http = kind.startswith("LISTENER")
    kind = last if is_http else kind
    default = (8081 if head == "EMQX_MANAGEMENT" else case.s.dashboard_port) if kind == "HTTP" else _PORTS.get(kind, 0)
    variable = settings.get("BIND")
    switches = [(settings[name].value or "").strip('" ').lower() for name in ("ENABLE", "ENABLED") if name in settings]
    first = last in (case.s.family.first_listener, "HTTP")
    if variable is None:
        by_default = first or not case.s.family.management_port
        started = (kind in (*_STARTED, "HTTP") and by_default) or "true" in switches
        return Socket(kind.lower(), stem, "", default, started and "false" not in switches, settings, default if first else 0) if known else None
    if variable.value == "":
        return Socket(kind.lower(), stem, "", default, False, settings)
    host, _, port = (variable.value or "").strip('" ').rpartition(":")
    if not port.isdecimal():
        return None
    on = int(port) > 0 and "false" not in switches
    return Socket(kind.lower(), stem, host.strip("[]").lower(), int(port) or default, on, settings, default if first else 0)


def _overlap(host: str, other: str) -> bool:
    """Whether sockets with these addresses cannot share a port. IPv4 and IPv6 are not judged: the system decides."""
    families = {":" in address for address in (host, other) if address}
    return host == other or (len(families) < 2 and (host in _EVERY_ADDRESS or other in _EVERY_ADDRESS))


def _has_file(case: Case) -> bool:
    """Whether a volume may hold a configuration file."""
    mounts = [g.text(mount, "mountPath").rstrip("/") for mount in g.items(case.container, "volumeMounts")]
    return any(path.endswith((".conf", ".hocon")) or path == _ETC or f"{_ETC}/".startswith(f"{path}/") for path in mounts)


def _numbers(value: str) -> list[str]:
    return "".join(letter if letter.isdecimal() else " " for letter in value).split()
