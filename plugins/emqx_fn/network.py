"""Plan -> Services and NetworkPolicy: the listeners' ports where clients reach them, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from emqx_fn import graph as g
from emqx_fn import plan
from emqx_fn.graph import CLUSTER_LABEL, Graph, Object
from emqx_fn.problem import Problem
from emqx_fn.record import MISSING, Record, get, put, shown
from emqx_fn.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from emqx_fn.record import Path


class Network:
    """Publishes one cluster's ports. `port_name` tells how the container calls a port."""

    def __init__(self, graph: Graph, workload: Object, s: Settings, record: Record, port_name: Callable[[plan.Port], str | int]) -> None:
        self.graph, self.workload, self.s, self.record, self.port_name = graph, workload, s, record, port_name
        self.problems: list[Problem] = []

    def publish(self) -> None:
        """Ports in the Services that are the function's to fill, and rules in the NetworkPolicies that carry the cluster's label."""
        for service in g.services_of(self.graph, self.workload):
            if g.headless(service) or g.text(service.data, "spec", "type") == "ExternalName":
                continue
            for port in self.ports_of(service):
                self.service_port(service, port)
        for policy in self.policies():
            self.client_rule(policy)
            self.management_rule(policy)

    # -- Services

    def ports_of(self, service: Object) -> list[plan.Port]:
        """What the function publishes in a Service. One whose ports somebody chose is left alone: it may be open to the world."""
        ports = g.items(service.data, "spec", "ports")
        shipped = CLUSTER_LABEL in g.mapping(service.data, "spec", "selector")
        if not ports or (shipped and set(service.names) & set(self.workload.names)):
            return [port for port in plan.ports(self.s) if port.listener]
        if shipped and any(port.get("targetPort") == "dashboard" for port in ports):
            return [port for port in plan.ports(self.s) if port.name == "mgmt"]
        return [port for port in plan.ports(self.s) if self.record.last(service, (*_service_port(port), "targetPort")) is not MISSING]

    def service_port(self, service: Object, port: plan.Port) -> None:
        """Publish one port. A patch may already hold part of the entry (a nodePort): fields are merged one by one."""
        name = self.port_name(port)
        same = [
            item
            for item in g.items(service.data, "spec", "ports")
            if item.get("targetPort", item.get("port")) in (name, port.number) and item.get("protocol", "TCP") == port.protocol
        ]
        if any("name" in item and not self.is_mine(service, item) for item in same):
            return
        if any("name" not in item for item in same):
            put(service, ("spec", "ports", ("port", port.number), "name"), port.name)
        path = _service_port(port)
        self.record.write(service, (*path, "port"), port.number)
        if port.protocol != "TCP":
            self.record.write(service, (*path, "protocol"), port.protocol)
        if not self.record.write(service, (*path, "targetPort"), name):
            got = get(service.data, (*path, "targetPort"))
            message = f"expected {name!r} (the listener {port.listener or port.name}); got {got!r}"
            fix = "rename this port, or remove it: the plugin writes it"
            self.problems.append(Problem("contradiction", str(service), shown((*path, "targetPort")), message, fix))

    def is_mine(self, service: Object, port: dict[str, Any]) -> bool:
        path: Path = ("spec", "ports", ("name", port.get("name")))
        return bool(self.record.last(service, (*path, "targetPort")) == port.get("targetPort"))

    # -- NetworkPolicies

    def policies(self) -> list[Object]:
        """NetworkPolicies that carry this cluster's label."""
        labels = g.pod_labels(self.workload)
        return [
            policy
            for policy in self.graph.objects("NetworkPolicy", [CLUSTER_LABEL])
            for selector in [g.mapping(policy.data, "spec", "podSelector", "matchLabels")]
            if CLUSTER_LABEL in selector and g.selects(selector, labels)
            if policy.namespace == self.workload.namespace and g.near(self.graph, policy, self.workload)
        ]

    def client_rule(self, policy: Object) -> None:
        """One rule without `from` for the listeners that no rule of the user's mentions."""
        last = self.record.last(policy, ("clients",))
        rules = g.mapping(policy.data, "spec").get("ingress")
        rules = rules if isinstance(rules, list) else []
        if last is not MISSING and last not in rules:
            self.record.note(policy, ("clients",), last)  # changed by hand: the user's from now on
            return
        others = [rule for rule in rules if rule != last]
        by_hand = {item.get("port") for rule in others for item in g.items(rule, "ports")}
        ports = [
            {"port": self.port_name(port), **({"protocol": "UDP"} if port.protocol == "UDP" else {})}
            for port in plan.ports(self.s)
            if port.listener and not by_hand & {self.port_name(port), port.number}
        ]
        wanted = [*others, {"ports": ports}] if ports else others
        if ports:
            self.record.note(policy, ("clients",), {"ports": ports})
        if rules != wanted:
            put(policy, ("spec", "ingress"), wanted)

    def management_rule(self, policy: Object) -> None:
        """4.x has its HTTP API on a port of its own: whoever may reach the dashboard may reach it."""
        for rule in g.items(policy.data, "spec", "ingress"):
            ports = g.items(rule, "ports")
            if not any(port.get("port") == "dashboard" for port in ports):
                continue
            wanted = {"port": "mgmt"}
            had = self.record.last(policy, ("management",)) == wanted
            if self.s.family.management_port:
                self.record.note(policy, ("management",), wanted)
                if wanted not in ports:
                    rule["ports"] = [*ports, wanted]
                    policy.document.changed = True
            elif had and wanted in ports:
                rule["ports"] = [port for port in ports if port != wanted]
                policy.document.changed = True


def _service_port(port: plan.Port) -> Path:
    return ("spec", "ports", ("name", port.name))
