"""Two clusters in one namespace: no selector of one finds a pod of the other, and neither blocks or feeds the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .client import Cluster, Object, eventually, path_of
from .discovery import addresses, discovered, headless_of, own_name
from .live import (
    Workload,
    await_pods,
    match_labels,
    name_of,
    run_pods,
    selected,
    workload_objects,
    workloads,
)
from .rendering import Clone, build

Namespaces = Callable[[], str]
Clones = Callable[[], Clone]

NAMES: dict[str, list[Object]] = {
    "prefix": [{"namePrefix": "a-"}, {"namePrefix": "b-"}],
    "suffix": [{"nameSuffix": "-a"}, {"nameSuffix": "-b"}],
    "both": [{"namePrefix": "x-", "nameSuffix": "-a"}, {"namePrefix": "x-", "nameSuffix": "-b"}],
    # The shipped one beside one with a name that contains its name.
    "plain": [{}, {"nameSuffix": "-2"}],
}


@dataclass(frozen=True)
class Case:
    """How two layers over one overlay come into one namespace."""

    overlays: tuple[str, str]
    names: str
    plugin: bool
    together: bool

    def __str__(self) -> str:
        runs = "plugin" if self.plugin else "no-plugin"
        return f"{'+'.join(dict.fromkeys(self.overlays))}-{self.names}-{runs}-{'one-build' if self.together else 'two-builds'}"


def cases() -> Iterator[Case]:
    for names, plugin, together in itertools.product(NAMES, (True, False), (True, False)):
        yield Case(("persistent", "persistent"), names, plugin, together)
    for plugin in (True, False):
        yield Case(("deployment-ip", "deployment-ip"), "prefix", plugin, together=True)
        yield Case(("statefulset-hostname", "statefulset-hostname"), "suffix", plugin, together=False)
    # Of two kinds: both workloads are called emqx below.
    for names, plugin in itertools.product(("prefix", "suffix", "plain"), (True, False)):
        yield Case(("persistent", "deployment-ip"), names, plugin, together=True)
        yield Case(("deployment-ip", "statefulset-hostname"), names, plugin, together=True)


def streams(clone: Clone, case: Case, namespace: str) -> list[str]:
    """What the user builds: each layer, or a folder that lists both."""
    layers = [
        clone.over(overlay, f"cluster-{number}", plugin=case.plugin, namespace=namespace, **fields)
        for number, (overlay, fields) in enumerate(zip(case.overlays, NAMES[case.names], strict=True))
    ]
    if case.together:
        both: dict[str, Any] = {"resources": [f"../{layer.name}" for layer in layers]}
        layers = [clone.layer("both", both, plugin=False)]
    return [build(layer) for layer in layers]


@dataclass(frozen=True)
class Pair:
    """Two running clusters."""

    cluster: Cluster
    namespace: str
    workloads: tuple[Workload, Workload]

    def items(self, resource: str) -> list[Object]:
        return self.cluster.items(self.namespace, resource)

    def selected(self, labels: Object) -> frozenset[str]:
        return selected(self.cluster, self.namespace, labels)

    def whose(self, found: Object) -> Workload:
        """The cluster an object belongs to: its label names the workload."""
        label = found["metadata"]["labels"]["emqx-gitops.dev/cluster"]
        return next(workload for workload in self.workloads if workload.name == label)


@pytest.fixture(scope="module", params=cases(), ids=str)
def pair(request: pytest.FixtureRequest, cluster: Cluster, fresh: Namespaces, clones: Clones) -> Pair:
    """Both applied, with three pods each that run and are ready."""
    namespace = fresh()
    for stream in streams(clones(), request.param, namespace):
        cluster.apply(namespace, stream)
    await_pods(cluster, namespace, 6)
    run_pods(cluster, namespace)
    first, second = workloads(cluster, namespace)
    both = Pair(cluster, namespace, (first, second))
    eventually(lambda: all(len(pods_behind(both, workload)) >= 3 for workload in both.workloads), "addresses of the pods")
    return both


def test_each_workload_has_its_own_three_pods(pair: Pair) -> None:
    first, second = pair.workloads
    assert (len(first.pods), len(second.pods)) == (3, 3)
    assert first.name != second.name
    assert not first.pods & second.pods


def test_workloads_select_their_own(pair: Pair) -> None:
    for found in workload_objects(pair.cluster, pair.namespace):
        assert pair.selected(match_labels(found["spec"]["selector"])) == pair.whose(found).pods


def test_services_select_their_own(pair: Pair) -> None:
    services = pair.items("v1/services")
    assert len(services) == 6
    for found in services:
        assert pair.selected(found["spec"]["selector"]) == pair.whose(found).pods, name_of(found)


def test_headless_services_lead_to_their_own(pair: Pair) -> None:
    """One cluster's headless Service that selects by a shared label leads to all six pods."""
    for workload in pair.workloads:
        assert pods_behind(pair, workload) == workload.pods


def test_nodes_discover_their_own(pair: Pair) -> None:
    pods = {name_of(pod): pod for pod in pair.items("v1/pods")}
    for workload in pair.workloads:
        members = [pods[name] for name in workload.pods]
        names = frozenset(map(own_name, members))
        assert [discovered(pair.cluster, pair.namespace, member) for member in members] == [names] * 3


def pods_behind(pair: Pair, workload: Workload) -> frozenset[str]:
    found = headless_of(pair.cluster, pair.namespace, workload.name)
    return frozenset(address["targetRef"]["name"] for address in addresses(found))


def test_disruption_budgets_select_their_own(pair: Pair) -> None:
    budgets = pair.items("policy/v1/poddisruptionbudgets")
    assert len(budgets) == 2
    for found in budgets:
        assert pair.selected(match_labels(found["spec"]["selector"])) == pair.whose(found).pods


def test_every_pod_can_be_evicted(pair: Pair) -> None:
    """With two budgets over one pod the API server refuses, and a node is never drained."""
    eventually(lambda: all(may_disrupt(found) for found in pair.items("policy/v1/poddisruptionbudgets")), "budgets are counted")
    for workload in pair.workloads:
        for pod in workload.pods:
            assert evict(pair, pod) == 201, pod


def may_disrupt(budget: Object) -> bool:
    return bool(budget.get("status", {}).get("disruptionsAllowed") == 1)


def evict(pair: Pair, pod: str) -> int:
    path = f"{path_of(pair.namespace, 'v1/pods')}/{pod}/eviction"
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod},
        "deleteOptions": {"dryRun": ["All"]},
    }
    return pair.cluster.request("POST", path, body=eviction).status


def test_network_policies_select_their_own(pair: Pair) -> None:
    policies = pair.items("networking.k8s.io/v1/networkpolicies")
    assert len(policies) == 2
    for found in policies:
        assert pair.selected(match_labels(found["spec"]["podSelector"])) == pair.whose(found).pods


def test_erlang_ports_are_open_to_their_own(pair: Pair) -> None:
    for found in pair.items("networking.k8s.io/v1/networkpolicies"):
        (peer,) = next(rule["from"] for rule in found["spec"]["ingress"] if {"erlang", "rpc"} <= ports(rule))
        assert pair.selected(match_labels(peer["podSelector"])) == pair.whose(found).pods


def test_spread_counts_their_own(pair: Pair) -> None:
    for found in workload_objects(pair.cluster, pair.namespace):
        for selector in scheduling_selectors(found["spec"]["template"]["spec"]):
            assert pair.selected(match_labels(selector)) == pair.whose(found).pods


def scheduling_selectors(spec: Object) -> list[Object]:
    """Of the soft anti-affinity and of the spread over zones; both are always there."""
    preferred = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    terms = [term["podAffinityTerm"]["labelSelector"] for term in preferred]
    spread = [constraint["labelSelector"] for constraint in spec["topologySpreadConstraints"]]
    assert terms
    assert spread
    return terms + spread


def ports(rule: Object) -> set[Any]:
    return {port["port"] for port in rule["ports"]}
