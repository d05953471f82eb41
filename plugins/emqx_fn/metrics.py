"""Prometheus: scrapes that the broker refuses, because from 6.3 on its endpoint asks for an API key, and pods that are scraped twice."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import Object
from emqx_fn.listening import Reach, containers
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_KEY_FILE = "EMQX_API_KEY__BOOTSTRAP_FILE"
_SWITCH = "EMQX_PROMETHEUS__ENABLE_BASIC_AUTH"
_ENDPOINT = "/api/v5/prometheus"
_SCRAPE = "prometheus.io/scrape"
# Settings of the older form: with one of them the endpoint stays open. https://github.com/emqx/emqx/pull/17437
_OLDER = ("ENABLE", "HEADERS", "INTERVAL", "JOB_NAME", "PUSH_GATEWAY_SERVER")


def check(reach: Reach) -> list[Problem]:
    """Scrapes of the broker's own endpoint that it would refuse."""
    case = reach.case
    if case.s.version < (6, 3) or not reach.complete or _has_key(case) or _is_open(case):
        return []
    message = f"expected an API key: EMQX {case.s.version} answers a scrape without one with 401; {_KEY_FILE} is not set"
    fix = f"mount a Secret with the key, set {_KEY_FILE} to its path, and give the scraper the same key; or set {_SWITCH}=false"
    return [Problem("metrics-without-api-key", str(item), path, message, fix) for item, path in (*_monitors(reach), *_annotated(reach))]


def _has_key(case: Case) -> bool:
    return "EMQX_API_KEY" in case.env or (_KEY_FILE in case.env and case.env[_KEY_FILE].value != "")


def _is_open(case: Case) -> bool:
    """Whether the endpoint asks for nothing, or that cannot be told."""
    switch = case.env.get(_SWITCH)
    known = switch is None or switch.value is not None
    older = any(f"EMQX_PROMETHEUS__{name}" in case.env for name in _OLDER) or any(name.endswith("_COLLECTOR") for name in case.env)
    return not known or older or "EMQX_PROMETHEUS" in case.env or case.value(_SWITCH).strip('" ') == "false"


def scraped_twice(reach: Reach) -> list[Problem]:
    """ServiceMonitors that reach the same port of the pods through several Services: every sum over the metrics is a multiple."""
    case = reach.case
    found = []
    for monitor in case.graph.objects("ServiceMonitor"):
        services = _selected(monitor, case)
        for endpoint in g.items(monitor.data, "spec", "endpoints"):
            leads = [lead for lead in reach.leads if lead.service in services and endpoint.get("port") == lead.entry.get("name")]
            twice = [lead for lead in leads if lead.port == leads[0].port]
            if len(twice) < 2 or _chooses(endpoint):
                continue
            names = " and ".join(str(lead.service) for lead in twice)
            port = str(endpoint.get("port"))
            message = f"expected one Service with these labels and a port {port!r}, because each pod is scraped through each of them; got {names}"
            fix = "give one of them a label of its own, and select that one by it; or use a PodMonitor"
            found.append(Problem("scraped-twice", str(monitor), "spec.selector", message, fix))
    return found


def _chooses(endpoint: dict[str, Any]) -> bool:
    """Whether relabelling may leave one target of several."""
    return any(str(item.get("action", "replace")).lower().startswith(("keep", "drop")) for item in g.items(endpoint, "relabelings"))


def _selected(monitor: Object, case: Case) -> list[Object]:
    return [service for service in g.services_of(case.graph, case.workload) if _picks(monitor, g.mapping(service.data, "metadata", "labels"), case)]


def _monitors(reach: Reach) -> Iterator[tuple[Object, str]]:
    """ServiceMonitors and PodMonitors of the broker's endpoint, and the path of the endpoint in them."""
    case = reach.case
    for monitor in case.graph.objects("ServiceMonitor", [_ENDPOINT]):
        services = _selected(monitor, case)
        leads = [lead for lead in reach.leads if lead.service in services]
        for index, endpoint in enumerate(g.items(monitor.data, "spec", "endpoints")):
            ports = [lead.port for lead in leads if endpoint.get("port") == lead.entry.get("name")]
            target = _numbers(case, endpoint.get("targetPort")) if services else []
            if _is_ours(reach, endpoint, [*ports, *target]):
                yield monitor, f"spec.endpoints[{index}]"
    for monitor in case.graph.objects("PodMonitor", [_ENDPOINT]):
        for index, endpoint in enumerate(g.items(monitor.data, "spec", "podMetricsEndpoints")):
            named = [number for field in ("port", "portNumber", "targetPort") for number in _numbers(case, endpoint.get(field))]
            if _picks(monitor, g.pod_labels(case.workload), case) and _is_ours(reach, endpoint, named):
                yield monitor, f"spec.podMetricsEndpoints[{index}]"


def _picks(monitor: Object, labels: dict[str, Any], case: Case) -> bool:
    """Whether the monitor selects an object of the workload's namespace with these labels; expressions are not judged."""
    selector = g.mapping(monitor.data, "spec", "selector")
    chosen = g.mapping(monitor.data, "spec", "namespaceSelector")
    names = chosen.get("matchNames")
    here = case.workload.namespace in names if isinstance(names, list) and names else monitor.namespace == case.workload.namespace
    return "matchExpressions" not in selector and g.selects(g.mapping(selector, "matchLabels"), labels) and (chosen.get("any") is True or here)


def _numbers(case: Case, port: Any) -> list[Any]:
    """The container port that a name or a number means."""
    declared = [item for container in containers(case.workload) for item in g.items(container, "ports")]
    return [port] if isinstance(port, int) else [item.get("containerPort") for item in declared if port and item.get("name") == port]


def _is_ours(reach: Reach, endpoint: dict[str, Any], ports: list[Any]) -> bool:
    managed = [socket.port for port in ports for socket in reach.at(port) if not socket.speaks_mqtt]
    return g.text(endpoint, "path").startswith(_ENDPOINT) and bool(managed)


def _annotated(reach: Reach) -> Iterator[tuple[Object, str]]:
    """Annotations that older set-ups of Prometheus scrape by."""
    workload = reach.case.workload
    places = [(workload, g.mapping(workload.data, "spec", "template", "metadata", "annotations"), "spec.template.metadata.annotations")]
    services = (service for service in g.services_of(reach.case.graph, workload) if not g.headless(service))
    places += [(service, g.mapping(service.data, "metadata", "annotations"), "metadata.annotations") for service in services]
    for found, values, path in places:
        scraped = str(values.get(_SCRAPE)).lower() == "true"
        port = str(values.get("prometheus.io/port", reach.case.s.dashboard_port))
        if scraped and g.text(values, "prometheus.io/path").startswith(_ENDPOINT) and port == str(reach.case.s.dashboard_port):
            yield found, f"{path}[{_SCRAPE}]"
