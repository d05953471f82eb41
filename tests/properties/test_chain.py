"""The chain of links and the model of the broker were written apart: over the same builds they say the same, in both directions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emqx_fn import chain
from emqx_fn.case import Case, case_of
from emqx_fn.chain import Link
from emqx_fn.discovery import BY_HAND
from emqx_fn.graph import Graph, candidates
from emqx_fn.problem import Refusal
from emqx_fn.record import Record
from emqx_fn.run import RENDERED_SPEC, resolve
from emqx_fn.spec import parse_spec
from emqx_fn.wire import read_stream

from . import broker
from .builds import MODES, Mode
from .kube import World
from .test_clusters import CASES, MEMBERS, PAIRS, changed, rendered, variables, without_variable, workloads
from .test_fuzz import mutate
from .test_no_split import _REFUSED_BY_KUBERNETES

Objects = list[dict[str, Any]]


def cases(objects: Objects) -> list[Case]:
    """The clusters of rendered objects, as the rules see them."""
    graph = Graph(read_stream(yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False)).documents)
    found = []
    for workload in candidates(graph):
        spec, _ = parse_spec(json.loads(workload.annotation(RENDERED_SPEC) or "{}"), "EmqxCluster/emqx")
        container, resolved, _ = resolve(graph, workload, "EmqxCluster/emqx", spec, Record())
        found.append(case_of(graph, workload, container, resolved))
    return found


def links(objects: Objects) -> list[Link]:
    (case,) = cases(objects)
    return chain.links(case)


def broken(found: list[Link]) -> list[str]:
    return [f"{link.name}: {link.problem.message}" for link in found if link.problem]


def forms(objects: Objects, mode: Mode) -> bool:
    """In the end: discovery asks again and again, so that the pods are ready."""
    return broker.run(objects, World(ip_family=mode.ip_family, ready=True)).is_one_cluster_of(MEMBERS)


def agree(objects: Objects, mode: Mode) -> None:
    """Both directions, wherever the YAML tells all and nobody chose to join the members by hand."""
    found = links(objects)
    if all(link.known for link in found) and not any(link.text in BY_HAND for link in found):
        assert forms(objects, mode) == (not broken(found)), broken(found)


@pytest.mark.parametrize(("mode", "version"), CASES)
def test_what_the_function_renders_holds_link_by_link(mode: Mode, version: str) -> None:
    found = links(rendered(mode, version))
    assert broken(found) == []
    assert all(link.known for link in found), found
    assert [link.name for link in found][:6] == ["image", "node name", "strategy", "source", "names", "same names"]


SPREAD = ("4.1.5", "4.2.14", "4.4.19", "5.0.3", "5.8.9", "6.3.0")
SOME_RELEASES = [pytest.param(mode, version, id=f"{mode}-{version}") for mode, version in PAIRS if version in SPREAD]
SOME_IPV4 = [pytest.param(mode, version, id=f"{mode}-{version}") for mode, version in PAIRS if version in SPREAD and mode.ip_family == "IPv4"]


@pytest.mark.parametrize(("mode", "version"), SOME_RELEASES)
def test_without_a_variable_both_say_the_same(mode: Mode, version: str) -> None:
    objects = rendered(mode, version)
    for name in variables(objects):
        try:
            agree(without_variable(objects, name), mode)
        except AssertionError as error:
            raise AssertionError(f"without {name}: {error}") from None


# -- one change elsewhere


def change(kind: str, alter: Callable[[dict[str, Any]], Any]) -> Callable[[Objects], Objects]:
    return lambda objects: changed(objects, kind, alter) if any(item["kind"] == kind for item in objects) else objects


def without(kind: str) -> Callable[[Objects], Objects]:
    return lambda objects: [item for item in objects if item["kind"] != kind]


def env(**values: str) -> Callable[[Objects], Objects]:
    def alter(objects: Objects) -> Objects:
        result = copy.deepcopy(objects)
        for item in workloads(result):
            entries = item["spec"]["template"]["spec"]["containers"][0]["env"]
            entries[:] = [entry for entry in entries if entry["name"] not in values] + [{"name": name, "value": value} for name, value in values.items()]
        return result

    return alter


def pod(**fields: Any) -> Callable[[Objects], Objects]:
    def alter(objects: Objects) -> Objects:
        result = copy.deepcopy(objects)
        for item in workloads(result):
            item["spec"]["template"]["spec"].update(fields)
        return result

    return alter


def egress(*rules: dict[str, Any]) -> Callable[[Objects], Objects]:
    return change("NetworkPolicy", lambda item: item["spec"].update(policyTypes=["Ingress", "Egress"], egress=list(rules)))


def headless(**fields: Any) -> Callable[[Objects], Objects]:
    return change("Service", lambda item: item["spec"].update(fields) if item["metadata"]["name"] == "emqx-headless" else None)


_OTHER = {"podSelector": {"matchLabels": {"app": "other"}}}
CHANGES: dict[str, Callable[[Objects], Objects]] = {
    "no-role": without("Role"),
    "no-binding": without("RoleBinding"),
    "no-account": pod(serviceAccountName="default"),
    "no-service": without("Service"),
    "no-policy": without("NetworkPolicy"),
    "role-for-another": change("Role", lambda item: item["rules"][0].update(resourceNames=["emqx"])),
    "role-that-lists": change("Role", lambda item: item["rules"][0].update(verbs=["list", "watch"])),
    "role-for-all": change("Role", lambda item: item["rules"][0].update(verbs=["get", "list"], resources=["services", "endpoints"])),
    "role-elsewhere": change("Role", lambda item: item["metadata"].update(namespace="other")),
    "old-role": change("Role", lambda item: item.update(apiVersion="rbac.authorization.k8s.io/v1beta1")),
    "subject-elsewhere": change("RoleBinding", lambda item: item["subjects"][0].update(namespace="other")),
    "no-token": pod(automountServiceAccountToken=False),
    "token": pod(automountServiceAccountToken=True),
    "no-annotation": lambda objects: changed(objects, workloads(objects)[0]["kind"], lambda item: item["spec"]["template"]["metadata"].pop("annotations")),
    "other-annotation": lambda objects: changed(
        objects,
        workloads(objects)[0]["kind"],
        lambda item: item["spec"]["template"]["metadata"].update(annotations={"emqx-gitops.dev/discovery-service": "emqx"}),
    ),
    "selector": headless(selector={"app": "other"}),
    "cluster-ip": headless(clusterIP="10.0.0.1"),
    "not-published": headless(publishNotReadyAddresses=False),
    "service-elsewhere": change("Service", lambda item: item["metadata"].update(namespace="other")),
    "service-name": change("StatefulSet", lambda item: item["spec"].update(serviceName="emqx")),
    "no-service-name": change("StatefulSet", lambda item: item["spec"].pop("serviceName")),
    "closed": change("NetworkPolicy", lambda item: item["spec"].update(ingress=item["spec"]["ingress"][1:])),
    "half-closed": change("NetworkPolicy", lambda item: item["spec"]["ingress"][0].update(ports=[{"port": "erlang"}])),
    "egress-shut": egress(),
    "egress-open": egress({}),
    "egress-members": egress(
        {"to": [{"podSelector": {}}], "ports": [{"port": 4370}, {"port": 5369}]}, {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 443}]}
    ),
    "egress-others": egress({"to": [_OTHER]}, {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 443}]}),
    "egress-one-port": egress({"to": [{"podSelector": {}}], "ports": [{"port": 4370}]}, {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 443}]}),
    "egress-by-name": egress(
        {"to": [{"podSelector": {}}], "ports": [{"port": "erlang"}, {"port": "rpc"}]}, {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 443}]}
    ),
    "name": env(EMQX_NAME="mq"),
    "name-with-digit": env(EMQX_NAME="mq7"),
    "name-of-pod": env(EMQX_NAME="$(POD_NAME)"),
    "name-with-dot": env(EMQX_NAME="e.m"),
    "host-ip": env(EMQX_HOST="$(POD_IP)"),
    "host-fixed": env(EMQX_HOST="emqx.example.org"),
    "host-short": env(EMQX_HOST="$(POD_NAME)"),
    "host-dashed": env(EMQX_HOST="$(POD_NAME).emqx-headless"),
    "unresolved": env(EMQX_HOST="$(NOBODY).emqx-headless.emqx.svc.cluster.local"),
    "whole-name-ip": env(EMQX_NODE_NAME="emqx@$(POD_IP)"),
    "whole-name-hostname": env(EMQX_NODE_NAME="emqx@$(POD_NAME).emqx-headless.$(POD_NAMESPACE).svc.cluster.local"),
    "key-name-ip": env(EMQX_NODE__NAME="emqx@$(POD_IP)"),
    "manual": env(EMQX_CLUSTER__DISCOVERY="manual", EMQX_CLUSTER__DISCOVERY_STRATEGY="manual"),
    "kubernetes": env(EMQX_CLUSTER__DISCOVERY="kubernetes", EMQX_CLUSTER__DISCOVERY_STRATEGY="kubernetes"),
    "dns": env(EMQX_CLUSTER__DISCOVERY="dns", EMQX_CLUSTER__DISCOVERY_STRATEGY="dns"),
    "k8s": env(EMQX_CLUSTER__DISCOVERY="k8s", EMQX_CLUSTER__DISCOVERY_STRATEGY="k8s"),
    "namespace": env(EMQX_CLUSTER__K8S__NAMESPACE="other"),
    "suffix": env(EMQX_CLUSTER__K8S__SUFFIX="svc.example.org"),
    "suffix-empty": env(EMQX_CLUSTER__K8S__SUFFIX=""),
    "service": env(EMQX_CLUSTER__K8S__SERVICE_NAME="emqx"),
    "service-unknown": env(EMQX_CLUSTER__K8S__SERVICE_NAME="mqtt"),
    "address-ip": env(EMQX_CLUSTER__K8S__ADDRESS_TYPE="ip"),
    "address-hostname": env(EMQX_CLUSTER__K8S__ADDRESS_TYPE="hostname"),
    "address-dns": env(EMQX_CLUSTER__K8S__ADDRESS_TYPE="dns"),
    "app-name": env(EMQX_CLUSTER__K8S__APP_NAME="mq", EMQX_CLUSTER__DNS__APP="mq"),
    "api-server": env(EMQX_CLUSTER__K8S__APISERVER="http://10.110.111.204:8080"),
    "dns-name": env(EMQX_CLUSTER__DNS__NAME="emqx.$(POD_NAMESPACE).svc.cluster.local"),
    "dns-name-dot": env(EMQX_CLUSTER__DNS__NAME="emqx-headless.$(POD_NAMESPACE).svc.cluster.local."),
    "dns-name-elsewhere": env(EMQX_CLUSTER__DNS__NAME="emqx-headless.other.svc.cluster.local"),
    "record-a": env(EMQX_CLUSTER__DNS__TYPE="a", EMQX_CLUSTER__DNS__RECORD_TYPE="a"),
    "record-srv": env(EMQX_CLUSTER__DNS__TYPE="srv", EMQX_CLUSTER__DNS__RECORD_TYPE="srv"),
    "rpc-moved": env(EMQX_RPC__TCP_SERVER_PORT="5400"),
    "cookie": env(EMQX_NODE_COOKIE="$(POD_NAME)"),
    "licence": env(EMQX_LICENSE__KEY="default"),
}


@pytest.mark.parametrize(("mode", "version"), SOME_IPV4)
def test_after_one_change_both_say_the_same(mode: Mode, version: str) -> None:
    objects = rendered(mode, version)
    wrong = []
    for name, alter in CHANGES.items():
        try:
            agree(alter(objects), mode)
        except AssertionError as error:
            wrong.append(f"{name}: {error}"[:700])
        except Refusal:
            continue
    assert not wrong, "\n\n".join(wrong)


BASES = [(MODES[0], "4.4.19"), (MODES[5], "4.1.5"), (MODES[8], "6.3.0"), (MODES[-2], "5.8.9")]


@pytest.mark.parametrize(("mode", "version"), BASES, ids=[f"{mode}-{version}" for mode, version in BASES])
@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_after_any_change_both_say_the_same(mode: Mode, version: str, seed: int) -> None:
    objects = copy.deepcopy(rendered_once(mode, version))
    mutate(objects, Random(seed))
    try:
        (case,) = cases(objects)
        found = chain.links(case)
    except (Refusal, ValueError):  # no longer one cluster, or of a shape that is refused
        assume(condition=False)
    try:
        formed = forms(objects, mode)
    except _REFUSED_BY_KUBERNETES:
        return
    if case.s.replicas == MEMBERS and broken(found):
        assert not formed, broken(found)


@cache
def rendered_once(mode: Mode, version: str) -> Objects:
    return rendered(mode, version)
