"""How clients, probes and scrapers reach the broker: what would lead nowhere, to the wrong place, or further than is meant."""

from __future__ import annotations

from emqx_fn import certificates, metrics, ports, proxy_protocol, routes
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.listening import PROBES, Lead, Reach, Socket, has_external_ips, is_open, probe_target, reach_of
from emqx_fn.problem import Problem


def check(case: Case) -> list[Problem]:
    """Why the ways to the broker must not be deployed as they stand."""
    reach = reach_of(case)
    backends = routes.backends(reach)
    return [
        *ports.target_ports(case),
        *ports.left_behind(reach),
        *ports.port_names(case),
        *ports.collisions(reach),
        *loopback_binds(reach),
        *ports.probe_ports(reach),
        *dashboard_exposed(reach),
        *routes.check(reach, backends),
        *certificates.check(reach, backends),
        *proxy_protocol.check(reach, backends),
        *metrics.check(reach),
    ]


def loopback_binds(reach: Reach) -> list[Problem]:
    """Listeners on the loopback interface that somebody outside the pod is to reach."""
    found = []
    profile = reach.case.env.get(_by_profile(reach.case))
    for socket in reach.sockets:
        bind = socket.settings.get("BIND") or profile
        who = _user(reach, socket)
        loopback = socket.host.startswith("127.") or socket.host in ("localhost", "::1")
        if not (socket.on and bind and who) or not (loopback or (profile and not socket.host and reach.complete)):
            continue
        address = f"[::]:{socket.port}" if reach.case.s.ip_family == "IPv6" else f"0.0.0.0:{socket.port}"
        got = repr(str(bind.value)) if bind is not profile else "no address at all"
        why = f"with {profile.name}={profile.value} a port alone is on the loopback interface, " if profile and not loopback else ""
        message = f"expected {address}: {why}{'and ' if why else ''}{who} leads there from outside the pod; got {got}"
        found.append(Problem("loopback-bind", bind.object, bind.path, message, f"set {_bind_name(reach, socket)}={address}"))
    return found


def _bind_name(reach: Reach, socket: Socket) -> str:
    variable = socket.settings.get("BIND")
    return variable.name if variable else f"{socket.stem}__BIND" if not reach.case.s.family.management_port else socket.stem


def _by_profile(case: Case) -> str:
    """The variable that puts a port alone on the loopback interface, if there is one.

    From 6.3 on the image's entrypoint says otherwise: https://github.com/emqx/emqx/pull/18557.
    """
    if (6, 2, 1) <= case.s.version < (6, 3) and case.value("EMQX_SECURITY_PROFILE").strip('"') == "hardened":
        return "EMQX_SECURITY_PROFILE"
    address = "EMQX_NODE__DEFAULT_LISTENER_ADDRESS"
    return address if case.s.version >= (6, 3) and case.value(address).strip('"') == "loopback" else ""


def _user(reach: Reach, socket: Socket) -> str:
    """What of the build reaches the listener from outside its container."""
    probes = (name for name in PROBES if socket.port == probe_target(reach.case, name)[1])
    return next((str(lead.service) for lead in reach.to(socket)), "") or next((f"the {name}" for name in probes), "")


def dashboard_exposed(reach: Reach) -> list[Problem]:
    """The dashboard or the HTTP API on a Service that is open beyond the cluster."""
    return [_exposed(lead) for socket in reach.sockets if socket.on and not socket.speaks_mqtt for lead in reach.to(socket) if is_open(lead.service)]


def _exposed(lead: Lead) -> Problem:
    by_address = has_external_ips(lead.service)
    kind = "Service with externalIPs" if by_address else g.text(lead.service.data, "spec", "type")
    message = f"expected the dashboard and the HTTP API on a Service of their own, of type ClusterIP; got port {lead.port} of the pods on a {kind}"
    fix = f"remove this port{' or externalIPs' if by_address else ''}, or waive dashboard-exposed in policy.allow and say why"
    return Problem("dashboard-exposed", str(lead.service), lead.path, message, fix)
