"""A model of the broker: from rendered objects to the clusters that would form, by the rules of each release's entrypoint and of ekka.

Written from the behaviour of the releases, never from the function: the function decides which variables to set, this
decides what a broker makes of whatever variables there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .kube import Cluster, Data, NotStarted, Pod, World, emqx_container, is_address, named_port, path

_TAG = re.compile(r":[ve]?(\d+)\.(\d+)(?:\.(\d+))?")
_FQDN = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+")
_API_HOSTS = ("kubernetes.default.svc", "kubernetes.default", "kubernetes")
# Boot options that Kubernetes' own service variables would overwrite in 4.1 and 4.2.
_LINKED = {"emqx-tcp": "EMQX_TCP_PORT", "emqx-ssl": "EMQX_SSL_PORT", "emqx-ws": "EMQX_WS_PORT", "emqx-wss": "EMQX_WSS_PORT"}

Release = tuple[int, int, int]
ORDINARY = World()


@dataclass(frozen=True)
class Node:
    """A broker that started: its name, its settings by dotted path, and the names that its discovery would return."""

    pod: Pod
    release: Release
    name: str
    config: dict[str, str]
    cookie: str
    may_cluster: bool

    @property
    def prefix(self) -> str:
        return self.name.partition("@")[0]

    @property
    def host(self) -> str:
        return self.name.partition("@")[2]

    @property
    def _digits(self) -> int:
        found = re.search(r"\d+$", self.prefix)
        return int(found[0]) if found else 0

    @property
    def erlang_port(self) -> int:
        return 4370 + self._digits

    @property
    def rpc_port(self) -> int:
        """5369; 4.2 shifts another base by the name's digits, because its entrypoint does not say `manual`."""
        stateless = self.release[:2] == (4, 2) and self.config.get("rpc.port_discovery", "stateless") == "stateless"
        server = self.config.get("rpc.server_port") if self.release >= (5, 8, 0) else None
        return 5370 + self._digits if stateless else int(server or self.config.get("rpc.tcp_server_port") or 5369)

    @property
    def listens(self) -> str:
        """Address families that both inter-node listeners serve; empty where they differ."""
        distribution = "IPv6" if self.config.get("cluster.proto_dist", "inet_tcp").startswith("inet6") else "IPv4"
        variable = "rpc.listen_address" if self.release >= (5, 3, 1) else "rpc.tcp_server_ip" if (4, 3, 0) <= self.release < (5, 0, 0) else ""
        rpc = "IPv6" if ":" in self.config.get(variable, "0.0.0.0") else "IPv4"
        return distribution if distribution == rpc else ""


@dataclass(frozen=True)
class Outcome:
    """The clusters that formed, as sets of node names, why pods are missing or alone, and what each node would discover."""

    clusters: tuple[frozenset[str], ...]
    reasons: tuple[str, ...]
    nodes: tuple[str, ...]
    discovered: tuple[frozenset[str], ...]

    def is_one_cluster_of(self, count: int) -> bool:
        return len(self.clusters) == 1 and len(self.clusters[0]) == count


def run(objects: Iterable[Data], world: World = ORDINARY) -> Outcome:
    """Start every EMQX pod of these objects and let the nodes find each other."""
    cluster = Cluster(tuple(objects), world)
    nodes, reasons = _start(cluster)
    found: dict[str, frozenset[str]] = {}
    links: dict[str, set[str]] = {node.name: {node.name} for node in nodes}
    for node in nodes:
        try:
            found[node.name] = frozenset(_discover(cluster, node))
            for other in _joinable(cluster, node, nodes, found[node.name]):
                links[node.name].add(other)
                links[other].add(node.name)
        except _Alone as alone:
            found.setdefault(node.name, frozenset())
            reasons.append(f"{node.name}: {alone}")
    return Outcome(_components(links), tuple(reasons), tuple(node.name for node in nodes), tuple(found[node.name] for node in nodes))


class _Alone(Exception):
    """This node's discovery fails, or a member refuses it; it goes on alone."""


def _components(links: dict[str, set[str]]) -> tuple[frozenset[str], ...]:
    result: list[frozenset[str]] = []
    for start in links:
        if any(start in cluster for cluster in result):
            continue
        seen, todo = {start}, [start]
        while todo:
            fresh = links[todo.pop()] - seen
            seen |= fresh
            todo += sorted(fresh)
        result.append(frozenset(seen))
    return tuple(result)


# -- starting


def _start(cluster: Cluster) -> tuple[list[Node], list[str]]:
    nodes, reasons = [], []
    for pod in cluster.pods():
        try:
            node = _boot(cluster, pod)
            _probed(cluster, node)
            nodes.append(node)
        except NotStarted as error:
            reasons.append(f"{pod.name}: {error}")
    return nodes, reasons


def _boot(cluster: Cluster, pod: Pod) -> Node:
    container = emqx_container(pod.template)
    assert container is not None
    cluster.account(pod)
    environment = cluster.environment(pod)
    release = release_of(container["image"])
    _service_links(cluster, pod, release)
    return start(pod, environment, release)


def start(pod: Pod, environment: dict[str, str], release: Release) -> Node:
    """The node that this release's start script makes of the variables; raises `NotStarted`."""
    config = _config(environment, release)
    _check_config(config, release)
    name = node_name(pod, environment, release)
    if release >= (4, 4, 0) and not re.fullmatch(r"[0-9A-Za-z_-]+", name.partition("@")[0]):
        raise NotStarted(f"the start script refuses the node name {name!r}")
    if not is_address(name.partition("@")[2]) and not _FQDN.fullmatch(name.partition("@")[2]):
        raise NotStarted(f"a long node name needs an address or a name with a dot: {name!r}")
    cookie = environment.get("EMQX_NODE_COOKIE") or environment.get("EMQX_NODE__COOKIE") or "emqxsecretcookie"
    return Node(pod, release, name, config, cookie, release < (5, 9, 0) or config.get("license.key", "default") not in ("", "default"))


def release_of(image: str) -> Release:
    found = _TAG.search(image)
    assert found, f"the model needs a version in the tag of {image}"
    return int(found[1]), int(found[2]), int(found[3] or 999)


def _service_links(cluster: Cluster, pod: Pod, release: Release) -> None:
    if release >= (4, 3, 0) or pod.spec.get("enableServiceLinks") is False:
        return
    for service in cluster.of("Service", namespace=pod.namespace):
        name = path(service, "metadata", "name")
        if name in _LINKED and path(service, "spec", "clusterIP") != "None":
            raise NotStarted(f"service link {_LINKED[name]}=tcp://… is read as a listener's port")


def _config(environment: dict[str, str], release: Release) -> dict[str, str]:
    """`EMQX_A__B` as `a.b`. An empty value means unset in 4.x."""
    named = {name[5:].lower().replace("__", "."): value for name, value in environment.items() if name.startswith("EMQX_")}
    return named if release >= (5, 0, 0) else {key: value for key, value in named.items() if value}


def _strategy_key(release: Release) -> str:
    return "cluster.discovery" if release < (5, 0, 0) else "cluster.discovery_strategy"


def strategy_of(config: dict[str, str], release: Release) -> str:
    return config.get(_strategy_key(release), "manual")


def _record_types(release: Release) -> tuple[str, ...]:
    return ("a", "aaaa", "srv") if release >= (5, 6, 0) else ("a", "srv") if release >= (4, 4, 0) else ("a",)


def record_type_of(config: dict[str, str], release: Release) -> str:
    key = "cluster.dns.record_type" if release >= (5, 0, 0) else "cluster.dns.type" if release >= (4, 4, 0) else ""
    return config.get(key, "a")


def _check_config(config: dict[str, str], release: Release) -> None:
    """What stops the start: a value outside its enum, and in 4.x a key that its strategy needs."""
    strategies = {"manual", "static", "dns", "etcd", "k8s"} | ({"mcast"} if release < (5, 4, 0) else set()) | ({"singleton"} if release >= (5, 8, 0) else set())
    strategy = strategy_of(config, release)
    if strategy not in strategies:
        raise NotStarted(f"discovery {strategy!r} is none of {', '.join(sorted(strategies))}")
    if config.get("cluster.k8s.address_type", "ip") not in ("ip", "dns", "hostname"):
        raise NotStarted(f"address_type {config['cluster.k8s.address_type']!r}")
    if record_type_of(config, release) not in _record_types(release):
        raise NotStarted(f"record type {record_type_of(config, release)!r} is not known")
    needed = {"k8s": ("apiserver", "service_name", "app_name", "namespace"), "dns": ("name", "app")}.get(strategy, ())
    missing = [key for key in needed if f"cluster.{strategy}.{key}" not in config] if release < (5, 0, 0) else []
    if missing:
        raise NotStarted(f"translation_missing_setting: {', '.join(missing)}")


# -- the entrypoint


def node_name(pod: Pod, environment: dict[str, str], release: Release) -> str:
    """The node's whole name, as the image's entrypoint and start script compose it."""
    by_hand = environment.get("EMQX_NODE_NAME") or (environment.get("EMQX_NODE__NAME") if release >= (5, 0, 21) else "")
    if by_hand:
        return by_hand
    name = environment.get("EMQX_NAME") or ("emqx" if release >= (5, 0, 0) else pod.system_hostname)
    return f"{name}@{environment.get('EMQX_HOST') or _default_host(pod, environment, release)}"


def _default_host(pod: Pod, environment: dict[str, str], release: Release) -> str:
    """What the entrypoint makes of an unset EMQX_HOST; it ends the container where grep finds nothing (`set -e`)."""
    local_ip = "" if ":" in pod.ip else pod.ip  # every release looks for an IPv4 address only
    strict = (4, 4, 0) <= release < (5, 0, 0) or release >= (5, 0, 4)
    strategy = environment.get("EMQX_CLUSTER__DISCOVERY_STRATEGY" if release >= (5, 0, 0) else "EMQX_CLUSTER__DISCOVERY", "")
    address_type, namespace = environment.get("EMQX_CLUSTER__K8S__ADDRESS_TYPE"), environment.get("EMQX_CLUSTER__K8S__NAMESPACE")
    suffix = environment.get("EMQX_CLUSTER__K8S__SUFFIX")
    if namespace and (strategy == "k8s" or not strict):
        if address_type == "dns":
            return f"{local_ip.replace('.', '-')}.{namespace}.{suffix or 'pod.cluster.local'}"
        if address_type == "hostname":
            return _grep(pod, local_ip, f"{pod.system_hostname}.*.{namespace}.{suffix or 'svc.cluster.local'}")
    record = environment.get("EMQX_CLUSTER__DNS__RECORD_TYPE" if release >= (5, 0, 0) else "EMQX_CLUSTER__DNS__TYPE")
    own = f"{pod.system_hostname}.{environment.get('EMQX_CLUSTER__DNS__NAME', '')}"
    if strict and strategy == "dns" and record == "srv" and own in pod.hosts_line:
        return own
    return local_ip


def _grep(pod: Pod, local_ip: str, pattern: str) -> str:
    found = re.search(pattern, pod.hosts_line) if local_ip and pod.hosts_line.startswith(local_ip) else None
    if found is None:
        raise NotStarted(f"the entrypoint exits 1: no {pattern!r} in /etc/hosts")
    return found[0]


# -- probes


def _probed(cluster: Cluster, node: Node) -> None:
    """The kubelet restarts a container whose startup or liveness probe asks where this release never answers."""
    container = emqx_container(node.pod.template)
    assert container is not None
    for probe in ("startupProbe", "livenessProbe"):
        request = path(container, probe, "httpGet")
        if request is None:
            continue
        port = request["port"] if isinstance(request["port"], int) else named_port(node.pod.template, request["port"])
        if (port, request["path"]) not in status(node):
            raise NotStarted(f"{probe}: nothing answers at :{port}{request['path']}")


def status(node: Node) -> set[tuple[int, str]]:
    """Where the release answers probes: port and path."""
    release = node.release
    if release < (5, 0, 0):
        return set() if _hides_plugins(node) else {(_port(node.config.get("management.listener.http", "8081")), "/status")}
    port = _port(node.config.get("dashboard.listeners.http.bind", "18083"))
    return {(port, "/api/v5/status")} | ({(port, "/status")} if release >= (5, 0, 10) else set())


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _hides_plugins(node: Node) -> bool:
    """An empty volume over data/ hides loaded_plugins: no HTTP API, until releases that write a default list."""
    release = node.release
    if release >= (4, 4, 8) or (4, 3, 19) <= release < (4, 4, 0):
        return False
    container = emqx_container(node.pod.template) or {}
    return any(item.get("mountPath", "").rstrip("/") == "/opt/emqx/data" for item in container.get("volumeMounts") or [])


# -- discovery


def _discover(cluster: Cluster, node: Node) -> set[str]:
    strategy = strategy_of(node.config, node.release)
    if strategy == "k8s":
        return _discover_k8s(cluster, node)
    if strategy == "dns":
        return _discover_dns(cluster, node)
    raise _Alone(f"discovery is {strategy}: nobody is asked")


def setting_of(node: Node, key: str, default: str) -> str:
    return node.config.get(f"cluster.k8s.{key}", default)


def _discover_k8s(cluster: Cluster, node: Node) -> set[str]:
    """One GET of one Endpoints object, with the pod's token."""
    later = node.release >= (5, 0, 0)
    _check_api_server(node)
    namespace, name = setting_of(node, "namespace", "default"), setting_of(node, "service_name", "emqx")
    if not cluster.has_token(node.pod):
        raise _Alone("no service account token in the pod")
    if not cluster.may_get_endpoints(node.pod, namespace, name):
        raise _Alone(f"403: cannot get endpoints {name!r} in {namespace!r}")
    service = cluster.get("Service", namespace, name)
    if service is None:
        raise _Alone(f"404: endpoints {name!r} not found in {namespace!r}")
    app = node.prefix if later else setting_of(node, "app_name", "")
    kind, suffix = setting_of(node, "address_type", "ip"), setting_of(node, "suffix", "pod.local" if later else "")
    return {f"{app}@{_address(cluster, service, pod, kind, namespace, suffix)}" for pod in cluster.members(service)}


def _check_api_server(node: Node) -> None:
    server = setting_of(node, "apiserver", "https://kubernetes.default.svc:443" if node.release >= (5, 1, 1) else "http://10.110.111.204:8080")
    found = re.fullmatch(r"https://([^:/]+)(?::443)?", server)
    hosts = {*_API_HOSTS, f"kubernetes.default.svc.{node.pod.world.domain}"}
    if found is None or found[1] not in hosts:
        raise _Alone(f"no API server at {server!r}")


def _address(cluster: Cluster, service: Data, pod: Pod, kind: str, namespace: str, suffix: str) -> str:
    dashed = pod.ip.replace(".", "-")
    if kind == "ip":
        return pod.ip
    if kind == "dns":
        return f"{dashed}.{namespace}.{suffix}" if suffix else dashed
    hostname = cluster.endpoint_hostname(service, pod)
    if not hostname:
        raise _Alone('{badkey,<<"hostname">>}: the address has no hostname')
    return f"{hostname}.{path(service, 'metadata', 'name')}.{namespace}.{suffix}" if suffix else hostname


def _discover_dns(cluster: Cluster, node: Node) -> set[str]:
    name, kind = node.config.get("cluster.dns.name", "localhost"), record_type_of(node.config, node.release)
    app = node.prefix if node.release >= (5, 0, 0) else node.config["cluster.dns.app"]
    addresses = [ip for ip in cluster.resolve(name) if (":" in ip) == (kind == "aaaa")]
    found = cluster.services_targets(name) if kind == "srv" else addresses
    if not found:
        raise _Alone(f"no {kind} record for {name!r}")
    return {f"{app}@{host}" for host in found}


# -- joining


def _joinable(cluster: Cluster, node: Node, nodes: list[Node], names: frozenset[str]) -> list[str]:
    """Members that `node` joins. One name that nobody answers to aborts the round, so then there is none."""
    running = {other.name: other for other in nodes}
    if not names:
        raise _Alone("discovery lists nobody")
    for name in sorted(names):
        if name not in running:
            raise _Alone(f"nobody is called {name!r}")
        if name != node.name:
            _check_connection(cluster, node, running[name])
    return sorted(names)


def _check_connection(cluster: Cluster, node: Node, other: Node) -> None:
    if node.cookie != other.cookie:
        raise _Alone(f"{other.name} has another cookie")
    if not (node.may_cluster and other.may_cluster):
        raise _Alone("SINGLE_NODE_LICENSE")
    if node.release[:2] != other.release[:2]:
        raise _Alone(f"{other.name} is of another family")
    for source, target in ((node, other), (other, node)):
        _check_reachable(cluster, source, target)


def _check_reachable(cluster: Cluster, source: Node, target: Node) -> None:
    if target.pod.ip not in cluster.resolve(target.host):
        raise _Alone(f"{target.host!r} does not resolve to {target.pod.ip}")
    if target.listens != target.pod.world.ip_family:
        raise _Alone(f"{target.name} does not listen on {target.pod.world.ip_family}")
    # A node dials the RPC port that its own settings name.
    if source.rpc_port != target.rpc_port:
        raise _Alone(f"{target.name} listens for RPC on {target.rpc_port}, not {source.rpc_port}")
    for port in (target.erlang_port, target.rpc_port):
        if not cluster.admits(source.pod, target.pod, port):
            raise _Alone(f"no NetworkPolicy admits port {port} of {target.name}")
