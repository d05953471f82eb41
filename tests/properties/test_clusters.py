"""Will it cluster: for every release, overlay and way to discover, the names that nodes give themselves are the names that discovery returns."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from . import broker
from .builds import FAMILIES, MODES, Mode, applied, injected, numbers, stream
from .kube import World

MEMBERS = 3
PAIRS = [(mode, version) for mode in MODES for version in FAMILIES if mode.known_to(version)]
CASES = [pytest.param(mode, version, id=f"{mode}-{version}") for mode, version in PAIRS]

Objects = list[dict[str, Any]]


def rendered(mode: Mode, version: str) -> Objects:
    return applied(injected(stream(mode, version)))


def world(mode: Mode, **changes: Any) -> World:
    return World(ip_family=mode.ip_family, **changes)


@pytest.mark.parametrize(("mode", "version"), CASES)
def test_one_cluster_forms(mode: Mode, version: str) -> None:
    outcome = broker.run(rendered(mode, version), world(mode))
    assert outcome.reasons == ()
    assert outcome.is_one_cluster_of(MEMBERS)
    assert set(outcome.discovered) == {frozenset(outcome.nodes)}


def mode(name: str) -> Mode:
    return next(found for found in MODES if str(found) == name)


@pytest.mark.parametrize("version", FAMILIES)
def test_persistent_nodes_keep_their_names_when_all_addresses_change(version: str) -> None:
    objects = rendered(mode("persistent:hostname"), version)
    assert broker.run(objects, World(first_address=11)).nodes == broker.run(objects, World(first_address=97)).nodes


@pytest.mark.parametrize("version", FAMILIES)
@pytest.mark.parametrize("name", ["deployment-ip:dns", "statefulset-hostname:hostname", "statefulset-hostname:a"])
def test_another_cluster_domain_forms_there_and_nowhere_else(name: str, version: str) -> None:
    found = mode(name)
    spec = copy.deepcopy(found.spec)
    spec["discovery"]["clusterDomain"] = "k8s.example.org"
    objects = rendered(Mode(found.name, found.overlay, spec), version)
    assert broker.run(objects, World(domain="k8s.example.org")).is_one_cluster_of(MEMBERS)
    assert not broker.run(objects, World(domain="cluster.local")).is_one_cluster_of(MEMBERS)


@pytest.mark.parametrize("version", FAMILIES)
def test_manual_discovery_starts_every_node_and_joins_none(version: str) -> None:
    objects = rendered(Mode("manual", "statefulset-hostname", {"discovery": {"strategy": "manual"}}), version)
    outcome = broker.run(objects)
    assert len(outcome.nodes) == len(outcome.clusters) == MEMBERS
    assert all("discovery is manual" in reason for reason in outcome.reasons)


# -- the model can fail: take one thing away, and the cluster does not form


def without_variable(objects: Objects, name: str) -> Objects:
    result = copy.deepcopy(objects)
    for item in workloads(result):
        container = item["spec"]["template"]["spec"]["containers"][0]
        container["env"] = [entry for entry in container["env"] if entry["name"] != name]
    return result


def workloads(objects: Objects) -> Objects:
    return [item for item in objects if item["kind"] in ("Deployment", "StatefulSet")]


def variables(objects: Objects) -> list[str]:
    return [entry["name"] for item in workloads(objects) for entry in item["spec"]["template"]["spec"]["containers"][0]["env"]]


_K8S = "EMQX_CLUSTER__K8S__"
# Every release refuses or misses these in the k8s strategy; the rest has a default or a second way that is right as well.
_ALWAYS = {f"{_K8S}SERVICE_NAME", f"{_K8S}NAMESPACE", "POD_NAMESPACE", "DISCOVERY_SERVICE"}


def strategy_variable(version: str) -> str:
    return "EMQX_CLUSTER__DISCOVERY" if numbers(version) < (5,) else "EMQX_CLUSTER__DISCOVERY_STRATEGY"


def necessary_for_k8s(version: str) -> set[str]:
    needed = _ALWAYS | {strategy_variable(version)}
    if numbers(version) < (5, 1, 1):
        needed |= {f"{_K8S}APISERVER"}
    if numbers(version) < (5,):
        needed |= {f"{_K8S}APP_NAME", "EMQX_NAME"}
    return needed | necessary_for_more_than_one(version)


def necessary_for_more_than_one(version: str) -> set[str]:
    if numbers(version)[:2] == (4, 2):
        return {"EMQX_RPC__PORT_DISCOVERY"}  # else RPC is on 5370, which the NetworkPolicy does not admit
    return {"EMQX_LICENSE__KEY"} if numbers(version) >= (5, 9) else set()


def necessary(mode: Mode, version: str) -> set[str]:
    """Variables without which no cluster forms, from what each release documents."""
    if mode.name == "ip":
        return necessary_for_k8s(version) | {"POD_IP"}
    if mode.name == "hostname":
        return necessary_for_k8s(version) | {f"{_K8S}ADDRESS_TYPE", f"{_K8S}SUFFIX", "POD_NAME"}
    if mode.name == "dns":  # without ADDRESS_TYPE both sides fall back to ip together
        return necessary_for_k8s(version) | {f"{_K8S}SUFFIX"}
    needed = {strategy_variable(version), "EMQX_CLUSTER__DNS__NAME", "POD_NAMESPACE", "DISCOVERY_SERVICE"} | necessary_for_more_than_one(version)
    needed |= {"EMQX_CLUSTER__DNS__APP", "EMQX_NAME"} if numbers(version) < (5,) else set()
    if (5, 0, 0) <= numbers(version) < (5, 0, 4):
        needed |= {"EMQX_HOST"} if mode.name == "srv" else set()  # these entrypoints do not know srv
    if mode.name == "srv":
        return needed | {"EMQX_CLUSTER__DNS__TYPE" if numbers(version) < (5,) else "EMQX_CLUSTER__DNS__RECORD_TYPE", "POD_NAME"}
    return needed | {"POD_IP"}


REMOVALS = [pytest.param(mode, version, id=f"{mode}-{version}") for mode, version in PAIRS if mode.ip_family == "IPv4"]


@pytest.mark.parametrize(("mode", "version"), REMOVALS)
def test_exactly_the_necessary_variables_are_necessary(mode: Mode, version: str) -> None:
    objects = rendered(mode, version)
    broken = {name for name in variables(objects) if not broker.run(without_variable(objects, name), world(mode)).is_one_cluster_of(MEMBERS)}
    assert broken == necessary(mode, version)


def changed(objects: Objects, kind: str, change: Any) -> Objects:
    result = copy.deepcopy(objects)
    found = [item for item in result if item["kind"] == kind]
    assert found
    for item in found:
        change(item)
    return result


def test_without_its_role_every_node_is_alone() -> None:
    objects = rendered(mode("persistent:hostname"), "5.8.9")
    for kind in ("Role", "RoleBinding"):
        outcome = broker.run([item for item in objects if item["kind"] != kind])
        assert len(outcome.clusters) == MEMBERS
        assert "403" in outcome.reasons[0]


def test_a_role_for_another_service_does_not_help() -> None:
    objects = rendered(mode("persistent:hostname"), "5.8.9")
    broken = changed(objects, "Role", lambda role: role["rules"][0].update(resourceNames=["emqx"]))
    assert len(broker.run(broken).clusters) == MEMBERS


def test_without_the_token_every_node_is_alone() -> None:
    objects = rendered(mode("deployment-ip:ip"), "4.4.19")
    broken = changed(objects, "Deployment", lambda item: item["spec"]["template"]["spec"].pop("automountServiceAccountToken"))
    outcome = broker.run(broken)
    assert len(outcome.clusters) == MEMBERS
    assert "no service account token" in outcome.reasons[0]


def test_without_the_annotation_nobody_knows_the_service() -> None:
    objects = rendered(mode("statefulset-hostname:hostname"), "6.3.0")
    broken = changed(objects, "StatefulSet", lambda item: item["spec"]["template"]["metadata"].pop("annotations"))
    assert not broker.run(broken).is_one_cluster_of(MEMBERS)


def test_before_they_are_ready_members_need_a_service_that_publishes_them() -> None:
    objects = rendered(mode("statefulset-hostname:hostname"), "5.8.9")
    broken = changed(objects, "Service", lambda item: item["spec"].pop("publishNotReadyAddresses", None))
    assert not broker.run(broken, World(ready=False)).is_one_cluster_of(MEMBERS)
    assert broker.run(broken, World(ready=True)).is_one_cluster_of(MEMBERS)


def test_a_policy_that_admits_no_member_splits_the_cluster() -> None:
    objects = rendered(mode("persistent:hostname"), "5.8.9")
    broken = changed(objects, "NetworkPolicy", lambda item: item["spec"].update(ingress=item["spec"]["ingress"][1:]))
    outcome = broker.run(broken)
    assert len(outcome.clusters) == MEMBERS
    assert "4370" in outcome.reasons[0]


def test_the_rpc_port_of_4_2_is_admitted_only_because_it_is_set() -> None:
    objects = without_variable(rendered(mode("deployment-ip:ip"), "4.2.14"), "EMQX_RPC__PORT_DISCOVERY")
    outcome = broker.run(objects)
    assert len(outcome.clusters) == MEMBERS
    assert "5370" in outcome.reasons[0]


def test_a_workload_that_was_never_rendered_does_not_start() -> None:
    outcome = broker.run(applied(stream(mode("persistent:hostname"), "5.8.9")))
    assert outcome.nodes == ()
    assert "the API server refuses serviceAccountName" in outcome.reasons[0]
