"""What a member makes of its environment: the name it gives itself, whom it asks for the others, and the names it would be told.

By the rules of each release's entrypoint, start script and ekka, which docs/emqx-families.md collects. `<pod>`, `<ip>` and `<dashed-ip>`
stand for what differs from member to member.
"""

from __future__ import annotations

from emqx_fn import environment
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.environment import DISCOVERY_ANNOTATION, Variable, unquoted
from emqx_fn.graph import Object
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from emqx_fn.light import NamedTuple


RULE = "will-not-cluster"
POD, IP, DASHED_IP, NAMESPACE = "<pod>", "<ip>", "<dashed-ip>", "<namespace>"
BY_HAND = ("manual", "static", "singleton")  # nobody is asked: members join by hand, or never
_STRATEGY = ("CLUSTER__DISCOVERY", "CLUSTER__DISCOVERY_STRATEGY")
_LABORATORY = "http://10.110.111.204:8080"  # upstream's own API server, the default up to 5.1.0
_FILES = ("/opt/emqx/etc", "/opt/emqx/etc/emqx.conf", "/opt/emqx/etc/base.hocon")
_ROOTS = ("EMQX_CLUSTER", "EMQX_CLUSTER__K8S", "EMQX_CLUSTER__DNS")  # from 5.0 on a whole branch may be one value


class Unknown(Exception):
    """The YAML does not tell."""


class Broken(Exception):
    """No cluster forms: why, and what was computed so far."""

    def __init__(self, problem: Problem, text: str = "") -> None:
        super().__init__(problem.message)
        self.problem, self.text = problem, text


class Source(NamedTuple):
    """Whom a member asks: an Endpoints object or DNS records, both of one Service. `app` and `host` make the names it is told."""

    service: Object
    text: str
    app: str
    host: str
    variable: str  # what decides the form of `host`

    @property
    def name(self) -> str:
        """The name of a member as discovery tells it."""
        return f"{self.app}@{self.host}"


class Member:
    """One member of a case. A method raises Unknown where the YAML does not tell, and Broken where it tells that no cluster forms."""

    def __init__(self, case: Case) -> None:
        self.case, self.s, self.version = case, case.s, case.s.version
        self.old = self.version < (5, 0, 0)
        self.env = _environment(case)
        self._keys = {name.upper(): name for name in self.env if name.startswith("EMQX_")}  # configuration keys know no case
        self._hidden = environment.hidden(case.graph, case.workload, case.container)
        self._file = next((place for place in _files(case)), "") or next((name for name in _ROOTS if name in self._keys and not self.old), "")
        self.namespace = case.workload.namespace or self._namespace()

    # -- variables

    def given(self, name: str) -> str:
        """A variable as the entrypoint sees it; empty where it is not set."""
        variable = self.env.get(name)
        return self._value(variable) if variable else ""

    def key(self, path: str, default: str = "") -> str:
        """A configuration key, called as its variable is after EMQX_. In 4.x an empty one is unset."""
        variable = self.env.get(self._keys.get(f"EMQX_{path}", ""))
        if variable is None:
            if self._hidden or self._file:
                raise Unknown(f"EMQX_{path} may be set by {self._hidden or self._file}")
            return default
        value = self._value(variable)
        return value or default if self.old else unquoted(value)

    def is_set(self, path: str) -> bool:
        return f"EMQX_{path}" in self._keys

    def _value(self, variable: Variable) -> str:
        if variable.value is None or "<" in _plain(variable.value):
            raise Unknown(f"{variable.name} has a value that the YAML does not tell")
        return variable.value.replace(NAMESPACE, self.namespace)

    def _namespace(self) -> str:
        """The namespace that YAML without one is written for, as its variables tell."""
        said = self.case.value("EMQX_CLUSTER__K8S__NAMESPACE")
        for name in ("EMQX_CLUSTER__DNS__NAME", "EMQX_HOST", "EMQX_NODE_NAME", "EMQX_NODE__NAME"):
            head, found, _ = self.case.value(name).partition(".svc.")
            said = said or (head.rpartition(".")[2] if found else "")
        return said or NAMESPACE

    def broken(self, message: str, fix: str, *variables: str, rule: str = RULE, at: tuple[str, str] | None = None, text: str = "") -> Broken:
        """A problem at the first of the variables that is set, else at the container's environment, else where `at` says."""
        name = next((self._keys[item.upper()] for item in variables if item.upper() in self._keys), "")
        place = (self.env[name].object, self.env[name].path) if name else (str(self.case.workload), self.case.container_path("env"))
        return Broken(Problem(rule, *(at or place), message, fix), text)

    # -- its own name

    def node_name(self) -> tuple[str, tuple[str, ...]]:
        """The whole name and the variables that make it."""
        used = ("EMQX_NODE_NAME", "EMQX_NODE__NAME") if self.version >= (5, 0, 21) else ("EMQX_NODE_NAME",)
        for variable in used:
            if self.given(variable):
                return self._checked(self.given(variable), variable), (variable,)
        if self._hidden and not (self.given("EMQX_HOST") and (self.given("EMQX_NAME") or not self.old)):
            raise Unknown(f"EMQX_HOST may be set by {self._hidden}")
        name = self.given("EMQX_NAME") or ("emqx" if not self.old else self._hostname())
        whole = f"{name}@{self.given('EMQX_HOST') or self._default_host()}"
        return self._checked(whole, "EMQX_HOST"), tuple(item for item in ("EMQX_NAME", "EMQX_HOST") if self.given(item))

    def _hostname(self) -> str:
        return POD if self.case.workload.kind == "StatefulSet" else g.text(g.pod_spec(self.case.workload), "hostname") or POD

    def _checked(self, name: str, variable: str) -> str:
        prefix, _, host = name.partition("@")
        plain = _plain(prefix)
        if POD in prefix or IP in prefix or not plain or (self.version >= (4, 4, 0) and not _is_word(plain.replace("_", ""))):
            got = repr(prefix) if self.given("EMQX_NAME") or variable != "EMQX_HOST" else f"{prefix}, because EMQX_NAME is not set"
            message = f"expected one name before the @ for all members, of letters, digits, - and _; got {got}"
            rule = "node-name" if variable == "EMQX_HOST" and self.given("EMQX_NAME") else RULE
            raise self.broken(message, "set EMQX_NAME: emqx", "EMQX_NAME" if variable == "EMQX_HOST" else variable, rule=rule, text=name)
        if host != IP and not _is_long(_plain(host)):
            message = f"expected an address or a name with a dot after the @; got {host!r}"
            raise self.broken(message, f"set EMQX_HOST: {self._host_to_set()}", variable, text=name)
        if self.s.replicas > 1 and not any(item in name for item in (POD, IP, DASHED_IP)):
            message = f"expected a name of its own for each of {self.s.replicas} members; got {name!r} for all of them"
            raise self.broken(message, f"set EMQX_HOST: {self._host_to_set()}", variable, text=name)
        return name

    def _host_to_set(self) -> str:
        """What EMQX_HOST should be for this workload, as far as it can be told."""
        if self.case.workload.kind != "StatefulSet" or self.s.host_type == "ip":
            return "$(POD_IP)"
        return self.host_by_name()

    def host_by_name(self) -> str:
        """The EMQX_HOST of a StatefulSet's pod that keeps its name."""
        service = g.text(self.case.workload.data, "spec", "serviceName") or "HEADLESS-SERVICE"
        return f"$(POD_NAME).{service}.$(POD_NAMESPACE).svc.{self.s.domain}"

    def _default_host(self) -> str:
        """What the entrypoint makes of an unset EMQX_HOST: it ends the container where it does not find a name in /etc/hosts."""
        strict = (4, 4, 0) <= self.version < (5, 0, 0) or self.version >= (5, 0, 4)
        strategy = self.given(self.s.family.strategy)
        kind, namespace = self.given("EMQX_CLUSTER__K8S__ADDRESS_TYPE"), self.given("EMQX_CLUSTER__K8S__NAMESPACE")
        suffix = self.given("EMQX_CLUSTER__K8S__SUFFIX")
        if namespace and kind in ("dns", "hostname") and (strategy == "k8s" or not strict):
            if kind == "hostname":
                return self._in_hosts(namespace, suffix or "svc.cluster.local")
            return f"{DASHED_IP if self._local_ip() else ''}.{namespace}.{suffix or 'pod.cluster.local'}"
        record = self.given("EMQX_CLUSTER__DNS__TYPE" if self.old else "EMQX_CLUSTER__DNS__RECORD_TYPE")
        own = f"{self._hostname()}.{self.given('EMQX_CLUSTER__DNS__NAME')}"
        if strict and strategy == "dns" and record == "srv" and own in self._hosts():
            return own
        return self._local_ip()

    def _local_ip(self) -> str:
        """Every release's entrypoint looks for an IPv4 address only."""
        return "" if self.s.ip_family == "IPv6" else IP

    def _in_hosts(self, namespace: str, suffix: str) -> str:
        hosts, pattern = self._hosts(), f"{self._hostname()}.*.{namespace}.{suffix}"
        head, found, _ = hosts.rpartition(f".{namespace}.{suffix}")
        if not (head and found and self._local_ip()):
            rule = "hostname-on-deployment" if self.case.workload.kind == "Deployment" and self.s.address_type == "hostname" else RULE
            message = f"expected a name like {pattern} in the pods' /etc/hosts, where the entrypoint looks for it; got {hosts or 'none'}: the container exits"
            raise self.broken(message, f"set EMQX_HOST: {self._host_to_set()}", "EMQX_CLUSTER__K8S__SUFFIX", "EMQX_CLUSTER__K8S__ADDRESS_TYPE", rule=rule)
        return head + found

    def _hosts(self) -> str:
        """The full name in the pod's own line of /etc/hosts; only pods with a subdomain have one."""
        governing = self.governing()
        said = governing.name if governing else g.text(self.case.workload.data, "spec", "serviceName")
        subdomain = said if self.case.workload.kind == "StatefulSet" else g.text(g.pod_spec(self.case.workload), "subdomain")
        return f"{self._hostname()}.{subdomain}.{self.namespace}.svc.{self.s.domain}" if subdomain else ""

    def governing(self) -> Object | None:
        """The Service that gives the pods of a StatefulSet their DNS names."""
        if self.case.workload.kind != "StatefulSet":
            return None
        return self.case.graph.resolve("Service", g.text(self.case.workload.data, "spec", "serviceName"), self.case.workload)

    # -- whom it asks

    def strategy(self) -> str:
        """The discovery strategy that this release reads."""
        path = self.s.family.strategy.removeprefix("EMQX_")
        value = self.key(path)
        if not value:
            other = f"EMQX_{_STRATEGY[self.old]}"
            rule = "other-family" if other in self._keys else RULE
            message = f"expected a discovery strategy; got none, so EMQX {self.version} stays at manual and asks nobody: every member would stay alone"
            raise self.broken(message, f"set EMQX_{path}: k8s (or dns; manual, if the members are joined by hand)", other, rule=rule, text="manual, by default")
        if value in ("etcd", "mcast"):
            raise Unknown(f"{value}: not judged")
        if value not in ("k8s", "dns", *BY_HAND):
            raise self.broken(f"expected k8s or dns; got {value!r}", "choose one of them", f"EMQX_{path}", rule="invalid-value", text=repr(value))
        return value

    def source(self, prefix: str) -> Source:
        """Whom it asks; `prefix` is its own name before the @."""
        return self._endpoints(prefix) if self.strategy() == "k8s" else self._records(prefix)

    def _endpoints(self, prefix: str) -> Source:
        self._required("K8S", "APISERVER", "SERVICE_NAME", "APP_NAME", "NAMESPACE")
        server = self._api_server()
        name, kind = self.key("CLUSTER__K8S__SERVICE_NAME", "emqx"), self.key("CLUSTER__K8S__ADDRESS_TYPE", "ip")
        variable = "EMQX_CLUSTER__K8S__SERVICE_NAME"
        namespace = self._own_namespace(self.key("CLUSTER__K8S__NAMESPACE", "default"), "EMQX_CLUSTER__K8S__NAMESPACE")
        if kind not in ("ip", "hostname", "dns"):
            raise self.broken(
                f"expected ip, hostname or dns; got {kind!r}", "choose one of them", "EMQX_CLUSTER__K8S__ADDRESS_TYPE", rule="invalid-value", text=repr(kind)
            )
        service = self._service(name, variable)
        if kind == "hostname":
            self._governed(service, variable, "hostname-on-deployment" if self.s.address_type == "hostname" else RULE)
        self._selecting(service, named=kind == "hostname")
        suffix = self.key("CLUSTER__K8S__SUFFIX", "" if self.old else "pod.local")
        part = {"dns": "pod", "hostname": "svc"}.get(kind, "")
        if part and suffix and not suffix.startswith(f"{part}."):
            message = f"expected {part}.{self.s.domain}: only such names resolve for addresses of type {kind}; got {suffix!r}"
            raise self.broken(message, f"set EMQX_CLUSTER__K8S__SUFFIX: {part}.{self.s.domain}", "EMQX_CLUSTER__K8S__SUFFIX", text=suffix)
        app = self.key("CLUSTER__K8S__APP_NAME") if self.old else prefix
        hosts = {"ip": IP, "dns": f"{DASHED_IP}.{namespace}.{suffix}", "hostname": f"{POD}.{service.name}.{namespace}.{suffix}"}
        host = hosts[kind] if suffix or kind == "ip" else hosts[kind].partition(".")[0]
        return Source(service, f"Endpoints {name} in namespace {namespace}, at {server}", app, host, "EMQX_CLUSTER__K8S__ADDRESS_TYPE")

    def _required(self, root: str, *keys: str) -> None:
        """4.x has no defaults: it does not start without these."""
        for key in keys if self.old else ():
            if not self.key(f"CLUSTER__{root}__{key}"):
                name = f"EMQX_CLUSTER__{root}__{key}"
                raise self.broken(f"expected {name}; it is not set, and EMQX {self.version} does not start without it", f"set {name}", name)

    def _api_server(self) -> str:
        default = "https://kubernetes.default.svc:443" if self.version >= (5, 1, 1) else _LABORATORY
        server = self.key("CLUSTER__K8S__APISERVER", default)
        if not server or server.startswith((_LABORATORY, "http://kubernetes.default")):
            name = "EMQX_CLUSTER__K8S__APISERVER"
            got = repr(server) if self.is_set(name[5:]) else f"{server!r}, the default of EMQX {self.version}"
            message = f"expected the address of the API server, https://kubernetes.default.svc:443; got {got}"
            raise self.broken(message, f"set {name}: https://kubernetes.default.svc:443", name, text=server)
        return server

    def _records(self, prefix: str) -> Source:
        self._required("DNS", "NAME", "APP")
        variable, name = "EMQX_CLUSTER__DNS__NAME", self.key("CLUSTER__DNS__NAME", "localhost")
        record = self.s.family.record_type
        kind = self.key(record.removeprefix("EMQX_"), "a") if record else "a"
        if kind not in self.s.family.record_types:
            message = f"expected one of {', '.join(self.s.family.record_types)} for EMQX {self.version}; got {kind!r}"
            raise self.broken(message, f"set {record}: {self.s.family.record_types[0]}", record, rule="record-type", text=repr(kind))
        if kind == "a" and self.s.ip_family == "IPv6":
            rule = "ip-family" if self.s.record_type == "a" else RULE
            raise self.broken("expected aaaa or srv: the pods have IPv6 addresses; got a", f"set {record}: aaaa", record, rule=rule, text="a")
        if kind == "aaaa":
            self._with_ipv6(record)
        parts = name.rstrip(".").split(".", 3)
        if parts[2:3] != ["svc"] or len(parts) < 4:
            if self.is_set(variable[5:]) and "." in name:
                raise Unknown(f"{name} is not the name of a Service")
            message = f"expected the DNS name of the headless Service of these pods; got {name!r}"
            raise self.broken(message, f"set {variable}: {self._dns_name()}", variable, text=name)
        self._own_namespace(parts[1], variable)
        service = self._service(parts[0], variable)
        if not g.headless(service):
            rule = "service-name" if self.s.record_type == "srv" and service is self.governing() else RULE
            message = f"expected a headless Service: DNS tells its members' addresses only then; {service} has a cluster IP"
            raise self.broken(message, "set clusterIP: None, or name the headless Service", rule=rule, at=(str(service), "spec.clusterIP"), text=name)
        if kind == "srv":
            self._governed(service, variable, "srv-on-deployment" if self.s.record_type == "srv" else RULE)
        self._selecting(service, named=kind == "srv")
        app = self.key("CLUSTER__DNS__APP") if self.old else prefix
        host = f"{POD}.{name.rstrip('.')}" if kind == "srv" else IP
        return Source(service, f"{kind.upper()} records of {name}", app, host, record or variable)

    def _dns_name(self) -> str:
        """The name to ask DNS for, as far as it can be told."""
        head = next((service.name for service in g.services_of(self.case.graph, self.case.workload) if g.headless(service)), "SERVICE")
        return f"{head}.{self.namespace.replace(NAMESPACE, '$(POD_NAMESPACE)')}.svc.{self.s.domain}"

    def _with_ipv6(self, record: str) -> None:
        """AAAA records hold IPv6 addresses: the Service must have them, and Erlang must listen there."""
        spec = g.mapping(self.s.service.data, "spec") if self.s.service else {}
        families, policy = spec.get("ipFamilies"), spec.get("ipFamilyPolicy", "SingleStack")
        if families == ["IPv4"] and policy == "SingleStack":
            why = f"{self.s.service} has IPv4 addresses only"
        elif not families and "inet6" not in self.key("CLUSTER__PROTO_DIST"):
            # Whatever the family of the Kubernetes cluster: of IPv4 there are no such records, and on IPv6 no member listens.
            why = "AAAA records hold IPv6 addresses, and EMQX_CLUSTER__PROTO_DIST does not say inet6_tcp"
        else:
            return
        raise self.broken(f"expected a, or srv: {why}; got aaaa", f"set {record}: a", record, rule="ip-family", text="aaaa")

    # -- the Service

    def _own_namespace(self, said: str, variable: str) -> str:
        if self.namespace == NAMESPACE:
            return NAMESPACE if said == "default" else said
        if said != self.namespace:
            message = f"expected {self.namespace}, the members' own namespace; got {said!r}"
            raise self.broken(message, "read it with fieldRef metadata.namespace", variable, text=said)
        return said

    def _service(self, name: str, variable: str) -> Object:
        workload = self.case.workload
        for service in self.case.graph.objects("Service", [name] if name else ()):
            if service.name == name and g.together(service, workload):
                return service
        own = next((service.name for service in g.services_of(self.case.graph, workload) if g.headless(service)), "")
        rule = RULE if self.s.service else "no-discovery-service"
        if self.s.service is None and "hostname" in (self.s.address_type, self.s.host_type):
            rule = {"Deployment": "hostname-on-deployment" if self.s.address_type else "srv-on-deployment"}.get(workload.kind, "service-name")
        message = f"expected the name of a Service of these pods; got {name!r}, which is not in the build"
        fix = f"set {variable}: {own}" if own else "add a headless Service (clusterIP: None) that selects these pods"
        raise self.broken(message, fix, variable, rule=rule, text=name)

    def _selecting(self, service: Object, *, named: bool) -> None:
        selector = g.mapping(service.data, "spec", "selector")
        if not selector:
            raise Unknown(f"{service} has no selector: its Endpoints are written by hand")
        if service not in g.services_of(self.case.graph, self.case.workload):
            rule = "no-discovery-service" if self.s.service is None else "service-name" if named and service is self.s.service else RULE
            message = f"expected a selector that matches the labels of the pods; that of {service} does not"
            fix = "make it match the labels of the pod template"
            raise self.broken(message, fix, rule=rule, at=(str(service), "spec.selector"), text=service.name)

    def _governed(self, service: Object, variable: str, on_deployment: str) -> None:
        """Only the governing headless Service knows the pods' host names."""
        workload, governing = self.case.workload, self.governing()
        if workload.kind != "StatefulSet":
            message = "expected ip for a Deployment: its pods have no DNS names of their own; got hostname"
            raise self.broken(message, "use ip, or a StatefulSet", "EMQX_CLUSTER__K8S__ADDRESS_TYPE", rule=on_deployment, text=service.name)
        reported = on_deployment != RULE and (governing is None or not g.headless(governing) or self.is_set("CLUSTER__K8S__SERVICE_NAME"))
        rule = "service-name" if reported else RULE
        if governing is not service:
            name = governing.name if governing else g.text(workload.data, "spec", "serviceName")
            wanted = f"{name}, as spec.serviceName says" if name else "the headless Service's name in spec.serviceName"
            message = f"expected {wanted}: only its addresses carry the pods' host names; got {service.name if name else 'nothing'}"
            at = None if name else (str(workload), "spec.serviceName")
            fix = f"set {variable} to it" if name else f"set serviceName: {service.name}"
            raise self.broken(message, fix, variable, rule=rule, at=at, text=service.name)
        if not g.headless(service):
            message = f"expected a headless Service: only that gives each pod a DNS name of its own; {service} has a cluster IP"
            raise self.broken(message, "set clusterIP: None", rule=rule, at=(str(service), "spec.clusterIP"), text=service.name)

    # -- ports

    def ports(self, prefix: str) -> tuple[int, int]:
        """The ports of the Erlang distribution and of RPC; the digits at the end of the name before the @ move them."""
        digits = prefix[len(prefix.rstrip("0123456789")) :][-9:]
        moved = int(digits or 0)
        manual = self.key("RPC__PORT_DISCOVERY", "stateless" if self.s.family.rpc_manual else "manual") == "manual"
        if not manual and self.version >= (4, 2, 0):
            return 4370 + moved, 5370 + moved
        said = (self.key("RPC__SERVER_PORT") if self.version >= (5, 8, 0) else "") or self.key("RPC__TCP_SERVER_PORT", "5369")
        if not said.isdecimal() or len(said) > 5:
            raise Unknown(f"{said!r} is no port")
        return 4370 + moved, int(said)


def _is_word(text: str) -> bool:
    """Whether these are ASCII letters, digits and hyphens."""
    return text.isascii() and text.replace("-", "x").isalnum()


def _is_long(host: str) -> bool:
    """Whether Erlang takes it for the host of a long node name: an address, or a name with a dot."""
    if ":" in host:
        return True
    labels = host.split(".")
    return len(labels) > 1 and all(_is_word(label) and label[0] != "-" and label[-1] != "-" for label in labels)


def _plain(text: str) -> str:
    """A name as it might be in a pod."""
    return text.replace(POD, "pod").replace(DASHED_IP, "1-2-3-4").replace(IP, "1.2.3.4").replace(NAMESPACE, "namespace")


def _environment(case: Case) -> dict[str, Variable]:
    """The final environment, by the annotation that stands on the pod template and not by what it ought to be."""
    service = case.s.service
    said = g.text(case.workload.data, "spec", "template", "metadata", "annotations", DISCOVERY_ANNOTATION)
    means = service.name if service and said in service.names else said
    return case.env if means == (service.name if service else "") else environment.final(case.graph, case.workload, case.container, means)


def _files(case: Case) -> list[str]:
    """Mounts that may bring a configuration file."""
    mounts = [g.text(mount, "mountPath").rstrip("/") for mount in g.items(case.container, "volumeMounts")]
    return [f"a file mounted at {path}" for path in mounts if path in _FILES or path.startswith("/opt/emqx/data/configs")]
