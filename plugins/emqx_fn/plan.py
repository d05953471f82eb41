"""Settings -> what the container needs: environment, ports, probes, mounts. Nothing here touches the stream."""

from __future__ import annotations

import json

from emqx_fn.environment import DISCOVERY_ANNOTATION
from emqx_fn.settings import OTHER_STRATEGIES, Settings
from emqx_fn.spec import Listener, SecretKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


API_SERVER = "https://kubernetes.default.svc:443"
ERLANG_PORT = 4370  # ekka: 4370 plus the digits at the end of the node name, which may have none
RPC_PORT = 5369
_PORT_NAMES = {"tcp": "mqtt", "ssl": "mqtts", "ws": "ws", "wss": "wss", "quic": "mqtt-quic"}
_DEFAULT_PORTS = {"tcp": 1883, "ssl": 8883, "ws": 8083, "wss": 8084}
LICENSE_FILE = "/opt/emqx/etc/emqx.lic"
API_KEYS = "/opt/emqx/keys"  # not below etc/, where a file could hold settings


class Entry(NamedTuple):
    """A variable that the function sets. `why` says which setting it follows; a `default` gives way to a value set by hand."""

    name: str
    value: str = ""
    source: dict[str, Any] | None = None
    why: str = ""
    default: bool = False
    helper: bool = False  # others are composed from it, so it comes first

    def data(self) -> dict[str, Any]:
        """The entry as it stands in `env`."""
        return {"name": self.name, "value": self.value} if self.source is None else {"name": self.name, "valueFrom": self.source}


class Port(NamedTuple):
    """A port of the container; `listener` is empty for those between members and for the HTTP API."""

    name: str
    number: int
    protocol: str = "TCP"
    listener: str = ""


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}


def _secret(key: SecretKey) -> dict[str, Any]:
    return {"secretKeyRef": {"name": key.name, "key": key.key}}


def environment(s: Settings) -> list[Entry]:
    """The variables in their order. An entry refers only to entries before it: the kubelet resolves `$(VAR)` in order."""
    return [*_helpers(s), *_node(s), *_discovery(s), *_network(s), *_listeners(s), *_dashboard(s), *_license(s)]


def _helpers(s: Settings) -> list[Entry]:
    entries = [
        Entry("POD_NAME", source=_field("metadata.name")),
        Entry("POD_NAMESPACE", source=_field("metadata.namespace")),
        Entry("POD_IP", source=_field("status.podIP")),
    ]
    if s.service:
        # The name follows namePrefix and nameSuffix through the annotation: kustomize knows it as a reference.
        entries.append(Entry("DISCOVERY_SERVICE", source=_field(f"metadata.annotations['{DISCOVERY_ANNOTATION}']")))
    return [entry._replace(helper=True, why="the pod's own") for entry in entries]


def _node(s: Settings) -> list[Entry]:
    entries = [Entry("EMQX_NAME", s.node_name, why=f"as {s.config} says at spec.node.name")]
    hosts = {"ip": "$(POD_IP)", "hostname": f"$(POD_NAME).$(DISCOVERY_SERVICE).$(POD_NAMESPACE).svc.{s.domain}"}
    if s.host_type in hosts:
        entries.append(Entry("EMQX_HOST", hosts[s.host_type], why=f"nodes are named by {s.host_type}"))
    entries.append(Entry("EMQX_NODE__COOKIE", source=_secret(s.cookie), why=f"as {s.config} says at spec.node.cookie", default=True))
    return entries


def _discovery(s: Settings) -> list[Entry]:
    entries = [Entry(s.family.strategy, s.strategy, why=f"as {s.config} says at spec.discovery.strategy")]
    if s.strategy == "k8s":
        entries += _k8s(s)
    elif s.strategy == "dns":
        name = f"$(DISCOVERY_SERVICE).$(POD_NAMESPACE).svc.{s.domain}"
        entries.append(Entry("EMQX_CLUSTER__DNS__NAME", name, why="the headless Service"))
        if s.family.record_type:
            entries.append(Entry(s.family.record_type, s.record_type, why=f"as {s.config} says at spec.discovery.recordType"))
    if s.strategy not in OTHER_STRATEGIES:
        index = 0 if s.strategy == "k8s" else 1
        entries += [Entry(name, s.node_name, why="as EMQX_NAME: both name the node") for name in s.family.app_names[index : index + 1]]
    if s.autoclean:
        entries.append(Entry("EMQX_CLUSTER__AUTOCLEAN", s.autoclean, why=f"as {s.config} says at spec.discovery.autoclean"))
    if s.autoheal is not None:
        entries.append(Entry("EMQX_CLUSTER__AUTOHEAL", s.family.switch[0 if s.autoheal else 1], why=f"as {s.config} says at spec.discovery.autoheal"))
    return entries


def _k8s(s: Settings) -> list[Entry]:
    entries = [
        # Explicit in every family: 4.x has no default, and that of 5.0 is an address of upstream's own laboratory.
        Entry("EMQX_CLUSTER__K8S__APISERVER", API_SERVER, why="the API server's name inside every cluster", default=True),
        Entry("EMQX_CLUSTER__K8S__SERVICE_NAME", "$(DISCOVERY_SERVICE)", why="the Service that selects the members"),
        Entry("EMQX_CLUSTER__K8S__NAMESPACE", "$(POD_NAMESPACE)", why="the members' own namespace"),
        Entry("EMQX_CLUSTER__K8S__ADDRESS_TYPE", s.address_type, why=f"as {s.config} says at spec.discovery.addressType"),
    ]
    if s.address_type != "ip":
        # The entrypoint has a default of its own that discovery does not see: unset, the two would build different names.
        part = "svc" if s.address_type == "hostname" else "pod"
        entries.append(Entry("EMQX_CLUSTER__K8S__SUFFIX", f"{part}.{s.domain}", why=f"as {s.config} says at spec.discovery.clusterDomain"))
    return entries


def _network(s: Settings) -> list[Entry]:
    entries = []
    if s.family.rpc_manual:
        # Else gen_rpc listens on 5370 here, and on 5369 in every other family.
        entries.append(Entry("EMQX_RPC__PORT_DISCOVERY", "manual", why=f"port {RPC_PORT}"))
    if s.ip_family == "IPv6":
        why = f"as {s.config} says at spec.ipFamily"
        entries.append(Entry("EMQX_CLUSTER__PROTO_DIST", "inet6_tcp", why=why))
        entries += [Entry(name, value, why=why, default=True) for name, value in s.family.rpc_listen]
    return entries


def _address(s: Settings, port: int) -> str:
    # Never the port alone: with EMQX_SECURITY_PROFILE=hardened that means the loopback interface.
    return f"[::]:{port}" if s.ip_family == "IPv6" else f"0.0.0.0:{port}"


def listener_name(s: Settings, listener: Listener) -> str:
    """The listener's name in EMQX's configuration: the one that the release starts by itself, or its own."""
    first = s.family.first_listener
    return first if listener.name == listener.type else listener.name.upper().replace("-", "_")


def _listeners(s: Settings) -> list[Entry]:
    entries = []
    for listener in s.listeners:
        keys = {"type": listener.type.upper(), "name": listener_name(s, listener)}
        why = f"as {s.config} says at spec.listeners.{listener.name}"
        entries.append(Entry(s.family.bind.format(**keys), _address(s, listener.port), why=f"{why}.port"))
        if listener.secret:
            prefix = (s.family.quic_tls if listener.type == "quic" else s.family.tls).format(**keys)
            entries.append(Entry(f"{prefix}CERTFILE", f"{tls_path(listener)}/tls.crt", why=f"{why}.tls", default=True))
            entries.append(Entry(f"{prefix}KEYFILE", f"{tls_path(listener)}/tls.key", why=f"{why}.tls", default=True))
    return entries


def unused_listeners(s: Settings, declared: set[int]) -> list[Entry]:
    """Switch off the listeners that the release starts by itself and nobody asked for; two of them serve a certificate whose key is public.

    `declared`: ports that the container declares by hand; who declares one wants its listener.
    """
    if not s.family.listener_enable:
        return []
    used = {listener.type for listener in s.listeners if listener.name == listener.type}
    unused = [kind for kind, port in _DEFAULT_PORTS.items() if kind not in used and port not in declared]
    why = f"as {s.config} says at spec.listeners"
    return [
        Entry(s.family.listener_enable.format(type=kind.upper(), name=s.family.first_listener), s.family.switch[1], why=why, default=True) for kind in unused
    ]


def _dashboard(s: Settings) -> list[Entry]:
    f = s.family
    # 4.x takes the port alone for the IPv4 wildcard, and has no security profile that would change that.
    address = str(s.dashboard_port) if f.management_port else _address(s, s.dashboard_port)
    entries = [Entry(f.dashboard_bind, address, why=f"as {s.config} says at spec.dashboard.port")]
    if s.ip_family == "IPv6":
        entries += [Entry(name, "true", why=f"as {s.config} says at spec.ipFamily") for name in f.dashboard_inet6]
    entries.append(Entry(f.dashboard_password, source=_secret(s.password), why=f"as {s.config} says at spec.dashboard.password", default=True))
    if f.api_secret:
        entries.append(Entry(f.api_secret, source=_secret(s.password), why="the HTTP API's own credentials, else admin/public", default=True))
    if s.api_key:
        entries.append(Entry(f.api_key_file, f"{API_KEYS}/api-key", why="the API keys of spec.dashboard.apiKey, which may hold yours too"))
    return entries


def _license(s: Settings) -> list[Entry]:
    why = f"as {s.config} says at spec.license"
    if s.evaluation:
        return [Entry(s.family.license_variable, "evaluation", why=why)]
    if s.license is None:
        return []
    if s.family.license_variable:
        return [Entry(s.family.license_variable, source=_secret(s.license), why=why, default=True)]
    return [Entry("EMQX_LICENSE__FILE", LICENSE_FILE, why=why)]


def ports(s: Settings) -> list[Port]:
    """The container's ports: listeners in the order of the spec, then the HTTP API, then those between members."""
    result = [Port(port_name(listener), listener.port, "UDP" if listener.type == "quic" else "TCP", listener.name) for listener in s.listeners]
    result.append(Port("dashboard", s.dashboard_port))
    if s.family.management_port:
        result.append(Port("mgmt", s.family.management_port))
    return [*result, Port("erlang", ERLANG_PORT), Port("rpc", RPC_PORT)]


def status_port(s: Settings) -> Port:
    """The port that answers the probes, and on which the HTTP API is."""
    return next(port for port in ports(s) if port.name == s.family.status_port)


def port_name(listener: Listener) -> str:
    """The port's name in container, Service and NetworkPolicy."""
    return _PORT_NAMES[listener.type] if listener.name == listener.type else listener.name


PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def probes(s: Settings, port: str) -> dict[str, dict[str, Any]]:
    """The three probes, all on the status path: it answers once the broker runs, and says nothing about the cluster."""
    request = {"path": s.family.status_path, "port": port}
    return {
        # Ten minutes: a member with a large database may wait for its peers' tables.
        "startupProbe": {"httpGet": request, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 120},
        "readinessProbe": {"httpGet": request, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 3},
        "livenessProbe": {"httpGet": request, "periodSeconds": 15, "timeoutSeconds": 5, "failureThreshold": 4},
    }


class Volume(NamedTuple):
    """A Secret in the pod and where the container sees it."""

    name: str
    source: dict[str, Any]
    mount: dict[str, Any]


def tls_path(listener: Listener) -> str:
    """Folder of a listener's certificate in the container."""
    return f"/opt/emqx/etc/tls/{listener.name}"


def secret_volumes(s: Settings) -> list[Volume]:
    """Certificates of the listeners, API keys, and the licence file of 4.x Enterprise."""
    result = []
    for listener in s.listeners:
        if listener.secret:
            name = f"tls-{listener.name}"
            mount = {"name": name, "mountPath": tls_path(listener), "readOnly": True}
            result.append(Volume(name, {"secret": {"secretName": listener.secret}}, mount))
    if s.api_key:
        source = {"secret": {"secretName": s.api_key.name, "items": [{"key": s.api_key.key, "path": "api-key"}]}}
        result.append(Volume("api-key", source, {"name": "api-key", "mountPath": API_KEYS, "readOnly": True}))
    if s.license and not s.family.license_variable:
        source = {"secret": {"secretName": s.license.name, "items": [{"key": s.license.key, "path": "emqx.lic"}]}}
        mount = {"name": "license", "mountPath": LICENSE_FILE, "subPath": "emqx.lic", "readOnly": True}
        result.append(Volume("license", source, mount))
    return result


def stamp_facts(s: Settings) -> str:
    """The facts that a layer above could change under the function's feet, as compact JSON."""
    return json.dumps({"version": str(s.version), "replicas": s.replicas}, separators=(",", ":"))
