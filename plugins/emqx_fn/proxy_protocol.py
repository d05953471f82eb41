"""PROXY protocol: a listener that expects its header drops every connection without one, and one that does not drops every connection with it."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.graph import Object
from emqx_fn.listening import Lead, Reach, Socket
from emqx_fn.problem import Problem
from emqx_fn.routes import Backend

_RULE = "proxy-protocol"
_BETA = "service.beta.kubernetes.io/"
# Annotations that make a provider's load balancer send the header.
_SENDERS = (
    f"{_BETA}aws-load-balancer-proxy-protocol",  # https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/
    f"{_BETA}do-loadbalancer-enable-proxy-protocol",  # https://docs.digitalocean.com/products/kubernetes/how-to/configure-load-balancers/
    "load-balancer.hetzner.cloud/uses-proxyprotocol",  # https://github.com/hetznercloud/hcloud-cloud-controller-manager
    f"{_BETA}linode-loadbalancer-default-proxy-protocol",  # https://linode.github.io/linode-cloud-controller-manager/docs/configuration/annotations.html
    f"{_BETA}ovh-loadbalancer-proxy-protocol",  # https://help.ovhcloud.com/csm/en-public-cloud-kubernetes-expose-applications-using-load-balancer
    "loadbalancer.openstack.org/proxy-protocol",  # https://github.com/kubernetes/cloud-provider-openstack
    f"{_BETA}scw-loadbalancer-proxy-protocol-v1",  # https://github.com/scaleway/scaleway-cloud-controller-manager; these two may list ports
    f"{_BETA}scw-loadbalancer-proxy-protocol-v2",
)
# A list of attributes of the target groups, where the AWS Load Balancer Controller takes the header from.
_TARGET_GROUPS = f"{_BETA}aws-load-balancer-target-group-attributes"
_NO = ("", "false", "none", "off", "0")
_ON = ("true", "on")


def check(reach: Reach, backends: list[Backend]) -> list[Problem]:
    """Listeners and Services that do not agree whether the header is sent."""
    listeners = [socket for socket in reach.sockets if socket.on and socket.type in ("tcp", "ssl", "ws", "wss")]
    return [problem for socket in listeners for problem in (_nobody_sends(reach, backends, socket) if _expects(socket) else _not_expected(reach, socket))]


def _expects(socket: Socket) -> bool:
    return socket.value("PROXY_PROTOCOL") in _ON


def _nobody_sends(reach: Reach, backends: list[Backend], socket: Socket) -> Iterator[Problem]:
    """A load balancer sends no header. In front of a ClusterIP, a NodePort or a route may be a sender that is not in the build."""
    leads = [lead for lead in reach.to(socket) if not g.headless(lead.service)]
    services = [lead.service for lead in leads]
    routed = any(backend.service is service for backend in backends for service in services)
    balanced = [service for service in services if g.text(service.data, "spec", "type") == "LoadBalancer"]
    if not balanced or routed or any(g.text(service.data, "spec", "type") == "NodePort" or _mentions(service) for service in services):
        return
    variable = socket.settings["PROXY_PROTOCOL"]
    message = (
        f"expected a sender of the PROXY protocol: {balanced[0]} (LoadBalancer) leads to the listener {socket.type} and sends no such header; "
        f"got {variable.value!r}"
    )
    fix = f"annotate {balanced[0]} so that its load balancer sends the header, or remove {variable.name}"
    yield Problem(_RULE, variable.object, variable.path, message, fix)


def _not_expected(reach: Reach, socket: Socket) -> Iterator[Problem]:
    variable = socket.settings.get("PROXY_PROTOCOL")
    if variable.value is None if variable else not reach.complete:
        return
    for lead in reach.to(socket):
        key = _sender(lead)
        if key and g.text(lead.service.data, "spec", "type") == "LoadBalancer":
            on = reach.case.s.family.switch[0]
            message = (
                f"expected no PROXY protocol header: the listener {socket.type} behind port {lead.entry.get('port')} does not take it and drops the connection"
            )
            fix = f"set {socket.stem}__PROXY_PROTOCOL={on}, or remove this annotation"
            yield Problem(_RULE, str(lead.service), f"metadata.annotations[{key}]", message, fix)


def _sender(lead: Lead) -> str:
    """The annotation by which the load balancer sends the header to this port."""
    if "proxy_protocol_v2.enabled=true" in lead.service.annotation(_TARGET_GROUPS).lower().replace(" ", ""):
        return _TARGET_GROUPS
    for key in _SENDERS:
        value = lead.service.annotation(key).strip().lower()
        ports = [part.strip() for part in value.split(",")]
        if value not in _NO and (not ports[0].isdecimal() or str(lead.entry.get("port")) in ports):
            return key
    return ""


def _mentions(service: Object) -> bool:
    """Whether any annotation speaks of the PROXY protocol: a provider may not be in the table."""
    annotations = g.mapping(service.data, "metadata", "annotations")
    return any("proxyprotocol" in f"{key}{value}".lower().replace("-", "").replace("_", "") for key, value in annotations.items())
