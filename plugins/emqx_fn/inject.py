"""Plan -> workload: write what is the function's, keep what was set by hand, refuse what contradicts."""

from __future__ import annotations

from collections.abc import Iterable

from emqx_fn import graph as g
from emqx_fn import plan
from emqx_fn.environment import DISCOVERY_ANNOTATION, Evaluator, Variable, container_path, entry_of, env_path, unquoted, unresolved
from emqx_fn.family import DISCOVERY_VARIABLES
from emqx_fn.graph import Graph, Object
from emqx_fn.problem import Problem
from emqx_fn.record import MISSING, Record, get, put, shown
from emqx_fn.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from emqx_fn.record import Path


PLACEHOLDER = "not rendered"  # how the serviceAccountName of a shipped workload begins until it is rendered
_POD: Path = ("spec", "template", "spec")
_HANDLERS = ("exec", "grpc", "tcpSocket")  # a probe has one handler: with one of these it is not the function's httpGet
# Special variables that beat the ones the function writes.
_ALIASES = {"EMQX_NODE__COOKIE": "EMQX_NODE_COOKIE", "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD": "EMQX_ADMIN_PASSWORD"}


class Injector:
    """Writes one cluster's plan into its workload. Problems are collected in `problems`."""

    def __init__(self, graph: Graph, workload: Object, container: dict[str, Any], s: Settings, record: Record, hand: dict[str, Variable]) -> None:
        self.graph, self.workload, self.container = graph, workload, container
        self.s, self.record, self.hand = s, record, hand
        self.problems: list[Problem] = []
        self.own: frozenset[str] = frozenset()  # variables written here, not by hand

    def bad(self, rule: str, object: str, path: str, message: str, fix: str) -> None:
        self.problems.append(Problem(rule, object, path, message, fix))

    def contradiction(self, object: str, path: str, expected: str, got: str, why: str, fix: str = "remove this entry: the plugin sets it") -> None:
        self.bad("contradiction", object, path, f"expected {expected} ({why}); got {got}", fix)

    def pods(self) -> None:
        """Everything in the workload: environment, ports, probes, mounts, token."""
        self.discovery_service()
        self.ports()
        self.environment()
        self.probes()
        self.volumes()
        if self.s.family.pre_stop:
            self.record.write(self.workload, container_path(self.container, "lifecycle", "preStop"), {"exec": {"command": list(self.s.family.pre_stop)}})
        self.token()

    def discovery_service(self) -> None:
        path = ("spec", "template", "metadata", "annotations", DISCOVERY_ANNOTATION)
        if self.s.service is None:
            return
        self.reference(self.workload, path, self.s.service)

    def reference(self, target: Object, path: Path, to: Object) -> None:
        """Write `to`'s name, unless what stands there already means it: kustomize fixes names at the end of the build."""
        present = get(target.data, path)
        value = present if present in to.names else to.name
        if not self.record.write(target, path, value):
            self.contradiction(str(target), shown(path), repr(to.name), repr(present), f"{to} is meant")

    def token(self) -> None:
        path = (*_POD, "automountServiceAccountToken")
        needed = self.s.strategy == "k8s"
        by_hand = self.record.by_hand(self.workload, path)
        if by_hand is MISSING:
            self.record.write(self.workload, path, needed)
        elif needed and by_hand is not True:
            self.contradiction(str(self.workload), shown(path), "true", "false", "k8s discovery reads the pod's token", "remove this field")

    # -- environment

    def environment(self) -> None:
        """Put the entries in their order: helpers, then what was set by hand, then the rest."""
        entries = plan.environment(self.s)
        entries += plan.unused_listeners(self.s, self.declared_by_hand())
        evaluator = self.evaluator(entries)
        mine = []
        for entry in entries:
            variable = self.variable(entry.name)
            if variable is None:
                self.removed_by_hand(entry)
                mine.append(entry)
            else:
                self.compare(entry, variable, evaluator)
        self.own = frozenset(entry.name for entry in mine)
        self.foreign({entry.name for entry in entries})
        self.node_name(evaluator)
        self.write_env(mine)

    def variable(self, name: str) -> Variable | None:
        """The variable set by hand, under its name or under the alias that beats it."""
        alias = f"{name}D" if name.endswith("__ENABLE") else _ALIASES.get(name, "")  # 5.1 renamed `enabled` and still takes it
        return self.hand.get(name) or self.hand.get(alias)

    def evaluator(self, entries: Iterable[plan.Entry]) -> Evaluator:
        """What each variable will hold once everything is written."""
        evaluator = Evaluator(self.workload, self.s.service.name if self.s.service else "")
        for entry in entries:
            if entry.helper:
                evaluator.add(entry.name, entry.data())
        for variable in self.hand.values():
            evaluator.add(variable.name, entry_of(variable))
        return evaluator

    def compare(self, entry: plan.Entry, variable: Variable, evaluator: Evaluator) -> None:
        if entry.default or (entry.value == "$(POD_NAMESPACE)" and not self.workload.namespace):
            return  # which namespace is right, the build does not say
        expected, got = evaluator.expand(entry.value) if entry.source is None else "", self.as_read(variable, evaluator)
        same = variable.source == entry.source if entry.source else variable.value is not None and expected == got
        if not same and not (entry.name.endswith("BIND") and got in (entry.value.rpartition(":")[2], f":{entry.value.rpartition(':')[2]}")):
            shown_value = "a reference" if variable.value is None else repr(variable.value)
            self.contradiction(variable.object, variable.path, repr(entry.value) if entry.source is None else "the pod's own field", shown_value, entry.why)

    def as_read(self, variable: Variable, evaluator: Evaluator) -> str:
        """The value by hand as EMQX takes it: from 5.0 on a key's value is HOCON, while a script's variable is text."""
        value = evaluator.expand(variable.value or "")
        return unquoted(value) if self.s.version.major >= 5 and "__" in variable.name else value

    def removed_by_hand(self, entry: plan.Entry) -> None:
        path = env_path(self.container, entry.name)
        if get(self.workload.data, path) is MISSING and self.record.last(self.workload, path) is not MISSING and not entry.default:
            message = "expected the entry that the plugin wrote in a layer below; a patch removed it"
            self.bad("contradiction", str(self.workload), shown(path), message, f"remove that patch: {entry.why}")

    def foreign(self, own: set[str]) -> None:
        """Discovery variables by hand that this family or strategy does not read."""
        for name in sorted(DISCOVERY_VARIABLES - own):
            variable = self.hand.get(name)
            if variable is not None:
                message = f"expected no such variable: EMQX {self.s.version} with discovery {self.s.strategy} does not read it"
                fix = f"remove it; the plugin sets {', '.join(sorted(own & DISCOVERY_VARIABLES))}"
                self.bad("other-family", variable.object, variable.path, message, fix)

    def node_name(self, evaluator: Evaluator) -> None:
        """A whole node name by hand beats EMQX_NAME and EMQX_HOST: it must be the same one."""
        hosts = {"ip": "<ip>", "hostname": f"<pod>.{self.s.service.name if self.s.service else ''}.{evaluator.expand('$(POD_NAMESPACE)')}.svc.{self.s.domain}"}
        expected = f"{self.s.node_name}@{hosts.get(self.s.host_type, '<host>')}"
        for name in ("EMQX_NODE_NAME", "EMQX_NODE__NAME"):
            variable = self.hand.get(name)
            if variable is not None and evaluator.expand(variable.value or "") != expected:
                self.contradiction(
                    variable.object,
                    variable.path,
                    repr(expected),
                    repr(variable.value),
                    "the name that discovery finds",
                    "remove it: EMQX_NAME and EMQX_HOST name the node",
                )

    def write_env(self, mine: list[plan.Entry]) -> None:
        path = container_path(self.container, "env")
        for entry in mine:
            self.record.write(self.workload, env_path(self.container, entry.name), entry.data())
        by_name = {item["name"]: item for item in g.items(self.container, "env") if "name" in item}
        first = [entry.name for entry in mine if entry.helper]
        last = [entry.name for entry in mine if not entry.helper]
        middle = [name for name in by_name if name not in first and name not in last]
        ordered = [by_name[name] for name in [*first, *middle, *last]]
        if ordered != self.container.get("env"):
            put(self.workload, path, ordered)
        self.references(ordered)

    def references(self, env: list[dict[str, Any]]) -> None:
        """A `$(VAR)` that is defined later, or nowhere, would reach the broker as these very characters."""
        env = [item for item in env if "name" in item]
        names = {item["name"] for item in env}
        known = {variable.name for variable in self.hand.values() if variable.object != str(self.workload) and variable.name not in names}
        for item in env:
            for name in unresolved(str(item.get("value", "")), known):
                if name in names or name.startswith("EMQX_"):
                    path = shown(env_path(self.container, item["name"]))
                    self.bad(
                        "unresolved-reference",
                        str(self.workload),
                        path,
                        f"expected $({name}) to be defined before it is used",
                        f"move {name} before this entry, or define it",
                    )
            known.add(item["name"])

    def judge(self) -> list[Problem]:
        """What is wrong with the container as it stands; nothing is written."""
        self.references(g.items(self.container, "env"))
        for name in plan.PROBES:
            self.probe_by_hand(container_path(self.container, name))
        return self.problems

    # -- ports, probes, volumes

    def declared_by_hand(self) -> set[int]:
        """Port numbers that people declared on the container."""
        declared = [port for port in g.items(self.container, "ports") if not self.is_mine("ports", "name", port)]
        return {port["containerPort"] for port in declared if isinstance(port.get("containerPort"), int)}

    def is_mine(self, field: str, key: str, entry: dict[str, Any]) -> bool:
        """Whether the function wrote this entry of a list of the container, and nobody changed it since."""
        return bool(self.record.last(self.workload, container_path(self.container, field, (key, entry.get(key)))) == entry)

    def ports(self) -> None:
        present = g.items(self.container, "ports")
        for port in plan.ports(self.s):
            path = self.port_path(port.name)
            entry = _container_port(port)
            same_number = next((item for item in present if item.get("containerPort") == port.number and item.get("protocol", "TCP") == port.protocol), None)
            if same_number is not None and same_number.get("name") not in (None, port.name):
                continue  # a name of the user's own: Services may refer to it
            if same_number is not None and self.record.last(self.workload, path) != same_number:
                continue
            if not self.record.write(self.workload, path, entry):
                got = get(self.workload.data, path)
                self.contradiction(
                    str(self.workload),
                    shown(path),
                    f"containerPort {port.number}/{port.protocol}",
                    str(got.get("containerPort")),
                    f"a port of {self.s.config}",
                    f"rename this port, or set the port in {self.s.config}",
                )

    def member_ports(self) -> list[tuple[plan.Port, str | int]]:
        """The ports that members reach each other on, with their names in the container."""
        return [(port, self.port_name(port)) for port in plan.ports(self.s) if port.number in (plan.ERLANG_PORT, plan.RPC_PORT)]

    def order_ports(self) -> None:
        """The user's ports as they stand, then the function's in the order of the plan, whichever layer added them."""
        order = [port.name for port in plan.ports(self.s)]
        present = g.items(self.container, "ports")
        mine = sorted(
            (port for port in present if self.record.is_written(self.workload, self.port_path(port.get("name")))), key=lambda port: order.index(port["name"])
        )
        ordered = [port for port in present if port not in mine] + mine
        if ordered != present:
            put(self.workload, container_path(self.container, "ports"), ordered)

    def port_path(self, name: Any) -> Path:
        return container_path(self.container, "ports", ("name", name))

    def port_name(self, port: plan.Port) -> str | int:
        """How the container calls this port."""
        for item in g.items(self.container, "ports"):
            if item.get("containerPort") == port.number and item.get("protocol", "TCP") == port.protocol:
                return str(item["name"]) if item.get("name") else port.number
        return port.name

    def probes(self) -> None:
        for name, probe in plan.probes(self.s, self.port_name(plan.status_port(self.s))).items():  # type: ignore[arg-type]
            path = container_path(self.container, name)
            if self.record.by_hand(self.workload, path) is not MISSING and self.record.last(self.workload, (*path, "httpGet", "path")) is MISSING:
                self.probe_by_hand(path)
                continue
            other_handler = set(_HANDLERS) & set(g.mapping(get(self.workload.data, path)))
            for field in () if other_handler else ("path", "port"):
                self.record.write(self.workload, (*path, "httpGet", field), probe["httpGet"][field], optional=True)
            for field in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
                self.record.write(self.workload, (*path, field), probe[field], optional=True)
            self.probe_by_hand(path)

    def probe_by_hand(self, path: Path) -> None:
        """What people set in a probe stays; only what this family never answers is refused."""
        request = g.mapping(get(self.workload.data, path), "httpGet")
        names: dict[Any, int] = {item.get("name"): item.get("containerPort", 0) for item in g.items(self.container, "ports")}
        port = request.get("port")
        number = names.get(port, port)
        if request.get("path") == "/status" and self.s.family.management_port == 0 and number == 8081:
            fix = f"use port {self.s.dashboard_port}" + (", or remove the probe: the plugin writes it" if self.s.rendered else "")
            self.bad(
                "probe-port",
                str(self.workload),
                shown((*path, "httpGet", "port")),
                f"expected the dashboard's port; EMQX {self.s.version} listens on no port 8081",
                fix,
            )

    def volumes(self) -> None:
        for volume in plan.secret_volumes(self.s):
            self.record.write(self.workload, (*_POD, "volumes", ("name", volume.name)), {"name": volume.name, **volume.source})
            self.record.write(self.workload, container_path(self.container, "volumeMounts", ("mountPath", volume.mount["mountPath"])), volume.mount)
        name = self.data_volume()
        if name:
            mount = self.s.family.mount
            entry = {"name": name, "mountPath": mount.path, **({"subPath": mount.sub_path} if mount.sub_path else {})}
            self.record.write(self.workload, container_path(self.container, "volumeMounts", ("mountPath", mount.path)), entry)

    def data_volume(self) -> str:
        """Name of the volume for EMQX's data that no mount of the user's uses yet; empty where there is none."""
        mounted = {g.text(mount, "name") for mount in g.items(self.container, "volumeMounts") if not self.is_mine("volumeMounts", "mountPath", mount)}
        claims = g.claim_templates(self.workload)
        if len(claims) == 1:
            return "" if claims[0] in mounted else claims[0]
        volumes = [g.text(volume, "name") for volume in g.items(g.pod_spec(self.workload), "volumes")]
        return "data" if "data" in [*claims, *volumes] and "data" not in mounted else ""


def _container_port(port: plan.Port) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": port.name, "containerPort": port.number}
    return entry | {"protocol": port.protocol} if port.protocol != "TCP" else entry
