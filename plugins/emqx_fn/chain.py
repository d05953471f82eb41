"""Will it cluster? From the final YAML alone, link by link: a broken one is named before the merge, and not by three pods that stay alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from emqx_fn import egress, isolation, permissions, scale
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.discovery import BY_HAND, IP, POD, RULE, Broken, Member, Source, Unknown
from emqx_fn.environment import is_replicant
from emqx_fn.graph import Object
from emqx_fn.plan import ERLANG_PORT, RPC_PORT, Port
from emqx_fn.problem import Problem
from emqx_fn.rbac import account_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
_API_PORTS = (443, 6443)
_OWN = (RULE, "ip-family")  # the rest of ip-family is said before the chain is asked


class Link(NamedTuple):
    """One link of the chain: what was computed, and by which variables. `known` is False where the YAML does not tell."""

    name: str
    text: str
    variables: tuple[str, ...] = ()
    problem: Problem | None = None
    known: bool = True

    @property
    def ok(self) -> bool:
        """Whether nothing is known to be wrong with it."""
        return self.problem is None


def links(case: Case) -> list[Link]:
    """All links, in the order in which a member goes through them. Those that hang on a broken or unknown one are left out."""
    return list(_Chain(case).links())


def check(case: Case) -> list[Problem]:
    """The first broken link, where no other rule names it already; a strategy and a name that are both missing are both first."""
    alone = case.s.replicas < 2 and not is_replicant(case.env)
    if alone or (case.s.service is None and case.s.strategy != "manual"):
        return []  # without a Service to discover through the settings have said why
    found = links(case)
    if any(link.name == "strategy" and link.text in BY_HAND for link in found):
        return []
    broken = [link for link in found if link.problem]
    first = [link for name in ("strategy", "node name") for link in broken if link.name == name] or broken[:1]
    return [link.problem for link in first if link.problem and link.problem.rule in _OWN]


class _Chain:
    """Walks one case from the image to the licence."""

    def __init__(self, case: Case) -> None:
        self.case, self.member = case, Member(case)
        self.name = ""
        self.source: Source | None = None

    def links(self) -> Iterator[Link]:
        yield self.link("image", self.image)
        if is_replicant(self.case.env):
            problem = next(iter(scale.without_cores(self.case)), None)
            yield Link("role", "replicant: it asks for the core members of another workload", ("EMQX_NODE__ROLE",), problem, known=False)
            yield self.link("core names", self.core_names)
            return
        yield self.link("node name", self.node_name)
        strategy = self.link("strategy", self.strategy)
        yield strategy
        if strategy.ok and strategy.known and strategy.text not in BY_HAND:
            yield from self.discovery(strategy.text)
        for name, compute in (("member ports", self.ports), ("cookie", self.cookie), ("licence", self.licence)):
            link = self.link(name, compute)
            if link.text or not link.ok:
                yield link

    def link(self, name: str, compute: Callable[[], tuple[str, tuple[str, ...]]]) -> Link:
        try:
            return Link(name, *compute())
        except Unknown as unknown:
            return Link(name, str(unknown), known=False)
        except Broken as broken:
            return Link(name, broken.text, problem=broken.problem)

    def discovery(self, strategy: str) -> Iterator[Link]:
        source = self.link("source", self.ask)
        yield source
        if self.source is None:
            return
        yield Link("names", self.source.name, tuple(name for name in (self.source.variable,) if name in self.member.env))
        if self.name:
            yield self.link("same names", self.same_names)
        if strategy == "k8s":
            yield self.link("permission", self.permission)
            yield self.link("token", self.token)

    # -- who it is, whom it asks

    def image(self) -> tuple[str, tuple[str, ...]]:
        s = self.case.s
        return f"EMQX {s.version}, {s.edition}", ()

    def node_name(self) -> tuple[str, tuple[str, ...]]:
        self.name, variables = self.member.node_name()
        return self.name, variables

    def core_names(self) -> tuple[str, tuple[str, ...]]:
        """From 5.0 on discovery puts a member's own name before the @ of every other's."""
        case, service = self.case, self.case.s.service
        mine, variables = self.member.node_name()
        prefix, theirs = mine.partition("@")[0], {}
        for core, container, env in scale.others(case):
            if not is_replicant(env) and service in g.services_of(case.graph, core):
                named = self.link("", Member(case._replace(workload=core, container=container, env=env)).node_name)
                theirs[named.text.partition("@")[0] if named.ok and named.known else prefix] = core  # what is wrong with it is said of the core
        if not theirs or self.member.old:
            raise Unknown("its core members are not in the build")
        if prefix not in theirs:
            name, core = next(iter(theirs.items()))
            message = f"expected {name} before the @, as {core} has it: discovery tells names of cores with the replicant's own part there; got {prefix}"
            raise self.member.broken(message, f"set EMQX_NAME: {name}", "EMQX_NODE_NAME", "EMQX_NODE__NAME", "EMQX_NAME", text=mine)
        return prefix, variables

    def strategy(self) -> tuple[str, tuple[str, ...]]:
        return self.member.strategy(), (self.case.s.family.strategy,)

    def ask(self) -> tuple[str, tuple[str, ...]]:
        # Without its own name the names that 5.x is told are not known either; the form after the @ still is.
        self.source = self.member.source(self.name.partition("@")[0] or "<name>")
        published = g.mapping(self.source.service.data, "spec").get("publishNotReadyAddresses") is True
        return self.source.text + ("" if published else "; members that are ready only"), ()

    def same_names(self) -> tuple[str, tuple[str, ...]]:
        source, member = self.source, self.member
        assert source is not None
        if source.name == self.name:
            return "what discovery returns is what each member is called", ()
        message = f"expected discovery to return the name that each member gives itself, {self.name}; got {source.name}: every member would stay alone"
        prefix, _, host = self.name.partition("@")
        if source.app != prefix:
            app = "EMQX_CLUSTER__K8S__APP_NAME" if self.member.strategy() == "k8s" else "EMQX_CLUSTER__DNS__APP"
            raise member.broken(message, f"set EMQX_NAME and {app} to the same name, such as emqx", app, text=source.name)
        stem = f"{POD}.{source.service.name}.{member.namespace}."
        if host.startswith(stem) and _form(source.host) == POD and self.member.strategy() == "k8s":
            suffix = "EMQX_CLUSTER__K8S__SUFFIX"
            raise member.broken(message, f"set {suffix}: {host.removeprefix(stem)}", suffix, text=source.name)
        if member.given("EMQX_HOST") and _form(host) == _form(source.host):
            raise member.broken(message, f"set EMQX_HOST: {_as_variable(source.host)}", "EMQX_HOST", "EMQX_CLUSTER__K8S__SUFFIX", text=source.name)
        if source.host == IP or "dashed" in source.host:
            raise member.broken(message, *self.other_form(host, source), text=source.name)
        fix = f"set EMQX_HOST: {_as_variable(source.host)}"
        raise member.broken(message, fix, "EMQX_NODE_NAME", "EMQX_NODE__NAME", "EMQX_HOST", source.variable, text=source.name)

    def other_form(self, host: str, source: Source) -> tuple[str, str]:
        """How to let discovery return names of the form that the members have."""
        k8s = "K8S" in source.variable
        if POD in host and self.case.workload.kind == "StatefulSet" and (k8s or self.case.s.family.record_type):
            return f"set {source.variable}: {'hostname' if k8s else 'srv'}", source.variable
        return "set EMQX_HOST: $(POD_IP), with POD_IP from fieldRef status.podIP", "EMQX_HOST"

    # -- what it may do

    def permission(self) -> tuple[str, tuple[str, ...]]:
        case, source = self.case, self.source
        assert source is not None
        name, names, namespace = source.service.name, source.service.names, case.workload.namespace
        wanted = f"get endpoints {name}" + (f" in namespace {namespace}" if namespace else "")
        grants = permissions.of(case.graph, case.workload)
        grant = next((grant for grant in grants if grant.allows("get", "endpoints", names, namespace)), None)
        if grant is not None:
            return f"{wanted}: {grant.role} by {grant.binding}", ()
        unknown = next((grant for grant in grants if grant.rule is None), None)
        if unknown is not None:
            raise Unknown(f"{unknown.binding} gives {unknown.text()}")
        at = (str(case.workload), "spec.template.spec.serviceAccountName")
        near = next((grant for grant in grants if grant.mentions("endpoints")), None)
        rule = RULE if all(grant.served for grant in grants) else "api-version"
        got = near.text() + f", {near.where()}" if near else "no Role that gives it"
        got += ", by a group or version that no API server has" if near and not near.served else ""
        message = f"expected ServiceAccount {account_of(case.workload)} to {wanted}, which discovery reads; got {got}: every member would stay alone"
        role = f"{{apiGroups: [''], resources: [endpoints], resourceNames: [{name}], verbs: [get]}}"
        fix = f"bind a Role with the rule {role} to it" + (", in that namespace" if namespace else "")
        raise Broken(Problem(rule, *(near.place if near else at), message, fix), got)

    def token(self) -> tuple[str, tuple[str, ...]]:
        case = self.case
        mounted = any(g.text(mount, "mountPath").rstrip("/") == _TOKEN for mount in g.items(case.container, "volumeMounts"))
        if mounted or permissions.mounts_token(case.graph, case.workload):
            return f"of ServiceAccount {account_of(case.workload)}", ()
        path = "spec.template.spec.automountServiceAccountToken"
        message = "expected true: k8s discovery reads the pod's token; got false: every member would stay alone"
        raise Broken(Problem(RULE, str(case.workload), path, message, "set automountServiceAccountToken: true on the pod"), "not mounted")

    # -- how members reach each other

    def ports(self) -> tuple[str, tuple[str, ...]]:
        case = self.case
        erlang, rpc = self.member.ports(self.name.partition("@")[0])
        text = f"{erlang} (Erlang distribution), {rpc} (RPC)"
        self.address_family(text)
        ports = [Port("erlang", erlang), Port("rpc", rpc)]
        apart = isolation.members_apart(case.graph, case.workload, [(port, _port_name(case.container, port.number)) for port in ports])
        if apart:
            # members_apart of a run judges the usual ports, and those of the container as they will be called.
            usual = (erlang, rpc) == (ERLANG_PORT, RPC_PORT) and isolation.members_apart(case.graph, case.workload, [(port, port.name) for port in ports])
            raise Broken(apart[0] if usual else apart[0]._replace(rule=RULE), text)
        self.leaving(ports, text)
        return text, ()

    def address_family(self, text: str) -> None:
        """Both listeners have to serve the pods' address family; IPv4 is the default of both."""
        s = self.case.s
        if s.ip_family != "IPv6":
            return
        needed = [("EMQX_CLUSTER__PROTO_DIST", "inet6_tcp"), *s.family.rpc_listen[:1]]
        for name, value in needed:
            if not ("inet6" in self.member.key(name[5:]) or ":" in self.member.key(name[5:])):
                raise self.member.broken(f"expected {value}, for the pods have IPv6 addresses; got IPv4", f"set {name}: {value}", name, text=text)

    def leaving(self, ports: list[Port], text: str) -> None:
        """Policies that restrict what leaves the pods have to let out what discovery and the members need."""
        case = self.case
        policies = egress.restricting(case.graph, case.workload)
        if not policies:
            return
        rules, labels = egress.rules(policies), g.pod_labels(case.workload)
        for port in ports:
            name = _port_name(case.container, port.number)
            if not any(egress.to_members(rule, labels) and egress.to_port(rule, port.number, name) for rule in rules):
                raise _shut(policies[0], f"port {port.number} ({port.name}) of the members' own pods", text)
        if self.source is None:
            return
        outside = [rule for rule in rules if egress.to_others(rule)]
        if not any(egress.to_port(rule, 53, 53, protocol) for rule in outside for protocol in ("UDP", "TCP")):
            raise _shut(policies[0], "port 53 of the cluster's DNS", text)
        if self.member.strategy() == "k8s" and not any(egress.to_port(rule, port, port) for rule in outside for port in _API_PORTS):
            raise _shut(policies[0], "port 443 (or 6443) of the API server", text)

    # -- what members want of each other

    def cookie(self) -> tuple[str, tuple[str, ...]]:
        variable = next((name for name in ("EMQX_NODE_COOKIE", "EMQX_NODE__COOKIE") if name in self.member.env), "")
        if not variable:
            self.member.key("NODE__COOKIE")  # which may come from elsewhere
            return "the default one, which everybody knows", ()
        value = self.member.env[variable].value or ""
        if POD in value or IP in value or "<metadata.uid>" in value:
            raise self.member.broken("expected one cookie for all members; got one of its own for each", "take it from a Secret", variable, text="one for each")
        return "one for all members", (variable,)

    def licence(self) -> tuple[str, tuple[str, ...]]:
        s = self.case.s
        if not s.family.single_node_license:
            return "", ()
        try:
            key = self.member.key("LICENSE__KEY", "default")
        except Unknown:
            if not self.member.is_set("LICENSE__KEY"):
                raise
            return "set", ("EMQX_LICENSE__KEY",)
        if key in ("", "default") and s.replicas > 1:
            got = "the default one" if key else "none"
            message = f"expected a licence: EMQX {s.version} starts {s.replicas} members only with a key that allows a cluster; got {got}"
            raise self.member.broken(message, "set spec.license, or EMQX_LICENSE__KEY", "EMQX_LICENSE__KEY", rule="license-required", text="none")
        return "evaluation: 25 sessions, 30 days" if key == "evaluation" else "none, for one member" if key in ("", "default") else "set", (
            "EMQX_LICENSE__KEY",
        )


def _shut(policy: Object, what: str, text: str) -> Broken:
    message = f"expected a rule that lets the members reach {what}; there is none, so every member would stay alone"
    return Broken(Problem(RULE, str(policy), "spec.egress", message, f"add a rule to {what}"), text)


def _form(host: str) -> str:
    """What a host is made of: the pod's name, its address, or neither."""
    return "dashed" if "<dashed-ip>" in host else next((part for part in (POD, IP) if part in host), "")


def _as_variable(host: str) -> str:
    return host.replace(POD, "$(POD_NAME)").replace(IP, "$(POD_IP)").replace("<namespace>", "$(POD_NAMESPACE)")


def _port_name(container: dict[str, Any], number: int) -> str | int:
    """How the container calls a port."""
    for item in g.items(container, "ports"):
        if item.get("containerPort") == number and item.get("protocol", "TCP") == "TCP" and g.text(item, "name"):
            return g.text(item, "name")
    return number
