"""Spec + stream -> settings: what the user says, else what the YAML already sets by hand, else what follows from the workload."""

from __future__ import annotations

import re
from collections.abc import Iterable

from emqx_fn import graph as g
from emqx_fn.environment import Variable, is_replicant, unquoted
from emqx_fn.family import SUPPORTED, Family, Version, edition_of_image, family, parse_image, parse_version, supported, version_of_tag
from emqx_fn.graph import Graph, Object
from emqx_fn.problem import Problem, nearest, refuse
from emqx_fn.spec import DEFAULT_LISTENERS, FIELDS, Listener, SecretKey, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


_DOMAIN = re.compile(r"(?:^|.*\.)(?:svc|pod)\.([a-z0-9][-a-z0-9.]*)")
_NODE_NAME = re.compile((FIELDS["node"].fields or {})["name"].pattern)


# Strategies that ask no Service: people join the members, list them, or run something that keeps the list.
OTHER_STRATEGIES = ("manual", "static", "etcd", "mcast", "singleton")


class Settings(NamedTuple):
    """Everything that decides what is written. `config` names the EmqxCluster, for messages."""

    config: str
    version: Version
    family: Family
    edition: str
    replicas: int
    ip_family: str
    node_name: str
    strategy: str
    address_type: str  # of the k8s strategy; empty for the others
    record_type: str  # of the dns strategy; empty for the others
    domain: str
    service: Object | None  # the Service that members find each other through
    cookie: SecretKey
    password: SecretKey
    api_key: SecretKey | None  # of the HTTP API, for the releases that take it from a file
    license: SecretKey | None
    evaluation: bool
    autoclean: str | None
    autoheal: bool | None
    dashboard_port: int
    listeners: tuple[Listener, ...]
    licensed: bool  # by the settings, or by a variable that people set
    rendered: bool  # the function writes this cluster; False: it judges what somebody else wrote
    by_hand: dict[str, tuple[str, str]]  # field of the EmqxCluster that a variable decided -> object and path of that variable

    @property
    def host_type(self) -> str:
        """What follows the @ of a node name: ip, hostname, or dns (the entrypoint makes it from the pod's address)."""
        if self.strategy == "dns":
            return "hostname" if self.record_type == "srv" else "ip"
        if self.strategy == "k8s":
            return self.address_type
        return "hostname" if self.service else "ip"


class Resolver:
    """Derives the settings of one workload and collects the problems on the way."""

    def __init__(
        self, config: str, spec: Spec, graph: Graph, workload: Object, container: dict[str, Any], hand: dict[str, Variable], *, rendered: bool = True
    ) -> None:
        self.rendered = rendered
        self.config, self.spec, self.graph = config, spec, graph
        self.workload, self.container, self.hand = workload, container, hand
        self.problems: list[Problem] = []
        self.decided: dict[str, tuple[str, str]] = {}
        self.hocon = False  # values are HOCON

    def resolve(self) -> Settings:
        """The settings. Refuses where no version is known; other problems are in `problems`."""
        spec, workload = self.spec, self.workload
        version = self.version()
        rules = family(version)
        self.hocon = version.major >= 5
        strategy = self.choose("spec.discovery.strategy", spec.strategy, [rules.strategy], ("k8s", "dns", *rules.other_strategies), "k8s")
        address_type = record_type = ""
        if strategy == "k8s":
            # What nobody renders has the release's own default.
            default = "hostname" if workload.kind == "StatefulSet" and self.rendered else "ip"
            allowed = ("ip", "hostname", "dns")
            address_type = self.choose("spec.discovery.addressType", spec.address_type, ["EMQX_CLUSTER__K8S__ADDRESS_TYPE"], allowed, default)
        if strategy == "dns":
            record_type = self.choose("spec.discovery.recordType", spec.record_type, [rules.record_type], ("srv", "a", "aaaa"), self.record_type(rules))
        service = self.service(strategy, address_type, record_type)
        ip_family = spec.ip_family or next(iter(_strings(g.mapping(service.data, "spec").get("ipFamilies")) if service else []), "IPv4")
        edition = spec.edition or edition_of_image(g.text(self.container, "image"), version)
        key, evaluation = self.license(rules)
        licence = self.hand.get("EMQX_LICENSE__KEY")
        return Settings(
            config=self.config,
            version=version,
            family=rules,
            edition=edition,
            replicas=g.replicas(workload),
            ip_family=ip_family,
            node_name=self.node_name(),
            strategy=strategy,
            address_type=address_type,
            record_type=record_type,
            domain=self.domain(),
            service=service,
            cookie=spec.cookie or SecretKey(f"{workload.name}-cookie", "cookie"),
            password=spec.password or SecretKey(f"{workload.name}-dashboard", "password"),
            api_key=self.api_key(rules),
            license=key,
            evaluation=evaluation,
            autoclean=spec.autoclean,
            autoheal=spec.autoheal,
            dashboard_port=spec.dashboard_port or 18083,
            listeners=DEFAULT_LISTENERS if spec.listeners is None else spec.listeners,
            licensed=key is not None or evaluation or (licence is not None and unquoted(licence.value or "…") not in ("", "default")),
            rendered=self.rendered,
            by_hand=self.decided,
        )

    def bad(self, rule: str, object: str, path: str, message: str, fix: str) -> None:
        self.problems.append(Problem(rule, object, path, message, fix))

    def first(self, names: Iterable[str]) -> Variable | None:
        found = next((self.hand[name] for name in names if name in self.hand and self.hand[name].value is not None), None)
        if found and self.hocon and found.name.startswith("EMQX_CLUSTER__"):
            return found._replace(value=unquoted(found.value or ""))
        return found

    def choose(self, path: str, said: str | None, names: list[str], allowed: tuple[str, ...], default: str) -> str:
        """What the spec says, else the variable set by hand, else the default; refuses a variable that says otherwise."""
        variable = self.first(names)
        if variable is None:
            return said or default
        value = variable.value or ""
        if value not in allowed:
            guess = nearest(value, allowed)
            fix = f"did you mean {guess!r}?" if guess else f"choose one of {', '.join(allowed)}"
            self.bad("invalid-value", variable.object, variable.path, f"expected one of {', '.join(allowed)}; got {value!r}", fix)
            return said or default
        if said and value != said:
            message = f"expected {said!r}, as {self.config} says at {path}; got {value!r}"
            self.bad("contradiction", variable.object, variable.path, message, f"remove this entry, or set {path}: {value}")
        if not said:
            self.decided[path] = (variable.object, variable.path)
        return said or value

    def version(self) -> Version:
        image = g.text(self.container, "image")
        parts = parse_image(image)
        tagged = version_of_tag(parts.tag)
        said = parse_version(self.spec.version) if self.spec.version else None
        path = f"spec.template.spec.containers[{self.container.get('name')}].image"
        version = said or tagged
        if version is None:
            got = f"the tag {parts.tag!r}" if parts.tag else "no tag"
            message = f"expected a tag that names a version, such as 5.8.9; got {got} in {image!r}"
            raise refuse("image-without-version", str(self.workload), path, message, f"name a version in the tag, or set spec.version in {self.config}")
        if said and tagged and tagged[:2] != said[:2] and supported(tagged):
            message = f"expected {tagged}, as the image's tag says; got {str(said)!r}"
            self.bad("contradiction", self.config, "spec.version", message, "remove spec.version: it is only for images whose tag names no version")
        if not supported(version):
            fix = f"use a supported version; for a newer release that works like an older one, set spec.version in {self.config}"
            raise refuse("unsupported-version", str(self.workload), path, f"expected EMQX {SUPPORTED}; got {version} in {image!r}", fix)
        return version

    def record_type(self, rules: Family) -> str:
        if not self.rendered:
            return "a"  # the default of every release
        if self.workload.kind == "StatefulSet":
            return "srv" if "srv" in rules.record_types else "a"
        return "aaaa" if self.spec.ip_family == "IPv6" else "a"

    def node_name(self) -> str:
        variable = self.first(["EMQX_NAME"])
        if variable is None:
            return self.spec.node_name or "emqx"
        value = variable.value or ""
        if not _NODE_NAME.fullmatch(value):
            message = f"expected letters, digits, - and _, beginning with a letter and not ending in a digit; got {value!r}"
            self.bad("node-name", variable.object, variable.path, message, "choose such a name: a digit at its end moves the Erlang port away from 4370")
        if self.spec.node_name and value != self.spec.node_name:
            message = f"expected {self.spec.node_name!r}, as {self.config} says at spec.node.name; got {value!r}"
            self.bad("contradiction", variable.object, variable.path, message, f"remove this entry, or set spec.node.name: {value}")
        return self.spec.node_name or value

    def domain(self) -> str:
        variable = self.first(["EMQX_CLUSTER__K8S__SUFFIX", "EMQX_CLUSTER__DNS__NAME", "EMQX_HOST"])
        match = _DOMAIN.fullmatch(variable.value or "") if variable else None
        return self.spec.cluster_domain or (match[1].rstrip(".") if match else "cluster.local")

    def api_key(self, rules: Family) -> SecretKey | None:
        """The one that the settings name, else the one that the check of base/cluster-formed needs."""
        if rules.api_key_file:
            return self.spec.api_key or (SecretKey(f"{self.workload.name}-api-key", "api-key") if g.check_of(self.graph, self.workload) else None)
        if self.spec.api_key:
            message = f"expected no API key: EMQX {self.version()} takes none from a file; got one"
            self.bad("invalid-value", self.config, "spec.dashboard.apiKey", message, "remove it, or use EMQX 5.0.14 or newer")
        return None

    def license(self, rules: Family) -> tuple[SecretKey | None, bool]:
        variable = self.hand.get("EMQX_LICENSE__KEY")
        if self.spec.license or self.spec.evaluation or variable is None:
            return self.spec.license, self.spec.evaluation
        reference = g.mapping(variable.source, "secretKeyRef")
        if reference and rules.license_variable:
            return SecretKey(g.text(reference, "name"), g.text(reference, "key")), False
        if not self.rendered:
            self.decided["spec.license"] = (variable.object, variable.path)
        return None, unquoted(variable.value or "") == "evaluation"

    def service(self, strategy: str, address_type: str, record_type: str) -> Object | None:
        """The Service that discovery reads: the governing one where nodes are named by hostname, else any that selects the pods."""
        if is_replicant(self.hand) and not self.rendered:
            return self.named_service(strategy)
        selecting = g.services_of(self.graph, self.workload)
        governing = self.governing_service()
        if address_type == "hostname" or record_type == "srv":
            return self.hostname_service(governing, selecting)
        heads = [service for service in selecting if g.headless(service)]
        if strategy in OTHER_STRATEGIES:
            return governing if governing in heads else None
        chosen = self.best_service(governing, heads if strategy == "dns" else selecting, heads)
        if chosen is None and not self.looks_for_nobody():
            wanted = "a headless Service" if strategy == "dns" else "a Service"
            message = f"expected {wanted} in the build that selects these pods; there is none, so the members cannot find each other"
            labels = ", ".join(f"{key}: {value}" for key, value in g.pod_labels(self.workload).items())
            self.bad(
                "no-discovery-service",
                str(self.workload),
                "spec.template.metadata.labels",
                message,
                f"add a headless Service (clusterIP: None) with the selector {{{labels}}}",
            )
        return chosen

    def looks_for_nobody(self) -> bool:
        """Whether this is a single broker of somebody else's, and nothing asks for a cluster."""
        return not self.rendered and g.replicas(self.workload) < 2 and "spec.discovery.strategy" not in self.decided

    def best_service(self, governing: Object | None, fitting: list[Object], heads: list[Object]) -> Object | None:
        """The one that the YAML names, else the governing one, else a headless one: its Endpoints list members before they are ready."""
        variable = self.first(["EMQX_CLUSTER__K8S__SERVICE_NAME"])
        named = [service for service in fitting if variable is not None and variable.value in service.names]
        preferred = [service for service in heads if service is governing]
        return next(iter([*named, *preferred, *heads, *fitting]), None)

    def named_service(self, strategy: str) -> Object | None:
        """The Service that the variables name: replicants ask that of the cores, which does not select them."""
        variable = self.first(["EMQX_CLUSTER__DNS__NAME" if strategy == "dns" else "EMQX_CLUSTER__K8S__SERVICE_NAME"])
        return self.graph.resolve("Service", (variable.value or "").partition(".")[0], self.workload) if variable else None

    def governing_service(self) -> Object | None:
        return self.graph.resolve("Service", g.text(self.workload.data, "spec", "serviceName"), self.workload)

    def hostname_service(self, governing: Object | None, selecting: list[Object]) -> Object | None:
        workload = str(self.workload)
        if self.workload.kind == "Deployment":
            return None  # refused by its own rule
        name = g.text(self.workload.data, "spec", "serviceName")
        heads = [service.name for service in selecting if g.headless(service)]
        fix = f"set serviceName: {heads[0]}" if heads else "add a headless Service (clusterIP: None) that selects these pods, and name it here"
        if governing is None:
            got = f"{name!r}, which is not in the build" if name else "nothing"
            self.bad("service-name", workload, "spec.serviceName", f"expected the name of the headless Service of these pods; got {got}", fix)
        elif not g.headless(governing):
            message = f"expected a headless Service: only that gives each pod a DNS name of its own; {governing} has a cluster IP"
            fixed = not heads and bool(g.text(governing.data, "spec", "clusterIP"))  # by hand: it was meant to be this Service
            place = (str(governing), "spec.clusterIP") if fixed else (workload, "spec.serviceName")
            self.bad("service-name", *place, message, "set clusterIP: None" if fixed else fix)
        elif self.other_service(governing):
            pass
        elif governing not in selecting:
            message = f"expected a Service that selects these pods; the selector of {governing} does not match their labels"
            self.bad("service-name", workload, "spec.serviceName", message, f"make the selector of {governing} match the labels of the pod template")
        return governing

    def other_service(self, governing: Object) -> bool:
        """A discovery Service by hand that is not the governing one: its addresses carry no host names."""
        variable = self.first(["EMQX_CLUSTER__K8S__SERVICE_NAME"])
        other = self.graph.resolve("Service", variable.value or "", self.workload) if variable else None
        if variable is None or other is None or other is governing:
            return False
        message = f"expected {governing.name}, the headless Service of spec.serviceName: only its addresses carry the pods' host names; got {variable.value!r}"
        fix = "remove this entry: the plugin sets it" if self.rendered else f"set it to {governing.name}"
        self.bad("service-name", variable.object, variable.path, message, fix)
        return True


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def find_workload(graph: Graph, config: str, name: str, spec: Spec, taken: set[int]) -> Object:
    """The workload an EmqxCluster configures: the one its spec names, else the only one with an EMQX image, else its namesake."""
    if spec.workload:
        kind, wanted = spec.workload
        named = [found for found in graph.objects(kind, [wanted]) if wanted in found.names]
        if len(named) == 1:
            return named[0]
        got = f"{len(named)} of that name" if named else "none"
        raise refuse(
            "no-workload",
            config,
            "spec.workload",
            f"expected {kind}/{wanted} in the build; got {got}",
            "correct kind and name, or add the workload to resources",
        )
    found = g.candidates(graph)
    namesakes = [candidate for candidate in found if candidate.name == name]
    free = [candidate for candidate in found if id(candidate) not in taken]
    chosen = namesakes if len(found) > 1 else free
    if len(chosen) == 1:
        return chosen[0]
    if not found:
        message = "expected a Deployment or StatefulSet that runs EMQX; the build has none"
        raise refuse("no-workload", config, "", message, "add it to resources; a mirrored image is found by the container name emqx")
    names = ", ".join(str(candidate) for candidate in found)
    raise refuse(
        "two-workloads", config, "spec.workload", f"expected one workload that runs EMQX; got {names}", "say which by spec.workload: {kind: …, name: …}"
    )
