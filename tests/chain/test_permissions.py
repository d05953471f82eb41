"""Effective permissions: by Role and ClusterRole, for the account and the groups it is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from emqx_fn import chain, permissions, policy, rbac
from emqx_fn.graph import candidates

from .builds import BY_IP, NARROW, Objects, allowed, binding, build, case, graph_of, role, text

WIDE = {"apiGroups": [""], "resources": ["endpoints", "services"], "verbs": ["get", "list"]}


def granted(*objects: dict[str, Any], namespace: str | None = "mq") -> list[str]:
    whole: Objects = [*build(), *objects]
    if namespace is None:
        for item in whole:
            item["metadata"].pop("namespace", None)
    graph = graph_of(whole)
    (workload,) = candidates(graph)
    return [f"{grant.text()}, {grant.where()}" for grant in permissions.of(graph, workload)]


def without_namespace(item: dict[str, Any]) -> dict[str, Any]:
    return item | {"metadata": {"name": item["metadata"]["name"]}}


def group(name: str) -> dict[str, Any]:
    return {"kind": "Group", "name": name, "apiGroup": "rbac.authorization.k8s.io"}


@pytest.mark.parametrize(
    "subject",
    [
        None,
        group("system:serviceaccounts"),
        group("system:serviceaccounts:mq"),
        group("system:authenticated"),
        {"kind": "User", "name": "system:serviceaccount:mq:emqx"},
    ],
)
def test_the_account_by_itself_and_by_its_groups(subject: dict[str, Any] | None) -> None:
    assert granted(role(WIDE), binding(subject)) == ["get, list on endpoints, services, in namespace mq"]


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "ServiceAccount", "name": "emqx", "namespace": "other"},
        {"kind": "ServiceAccount", "name": "other", "namespace": "mq"},
        group("system:serviceaccounts:other"),
        group("developers"),
        {"kind": "User", "name": "emqx"},
    ],
)
def test_somebody_else(subject: dict[str, Any]) -> None:
    assert granted(role(WIDE), binding(subject)) == []


def test_cluster_roles() -> None:
    whole = role(WIDE, name="reader", kind="ClusterRole")
    assert granted(whole, binding(name="reader", kind="ClusterRole")) == ["get, list on endpoints, services, in namespace mq"]
    assert granted(whole, binding(name="reader", kind="ClusterRole", everywhere=True)) == ["get, list on endpoints, services, in all namespaces"]


@pytest.mark.parametrize("name", permissions.WELL_KNOWN)
def test_well_known_ones_are_known_by_name(name: str) -> None:
    found = permissions.of(graph := graph_of([*build(), binding(name=name, kind="ClusterRole")]), candidates(graph)[0])
    assert [grant.allows("get", "endpoints", ("any",), "mq") for grant in found] == [True]
    assert found[0].text() == f"all that ClusterRole/{name} allows"


def test_what_is_not_in_the_build_is_unknown() -> None:
    assert granted(binding(name="platform", kind="ClusterRole")) == ["what ClusterRole/platform says, which is not in the build, in namespace mq"]
    aggregated = role(name="sum", kind="ClusterRole") | {"aggregationRule": {"clusterRoleSelectors": []}}
    assert granted(aggregated, binding(name="sum", kind="ClusterRole")) == ["what ClusterRole/sum says, which is not in the build, in namespace mq"]


def test_yaml_without_namespaces() -> None:
    assert granted(role(NARROW), binding(), namespace=None) == ["get on endpoints named emqx-headless, in its namespace"]


@pytest.mark.parametrize("rules", [None, [], [None], ["get"], [{}], [{"verbs": None}], [{"verbs": ["get"], "resources": None, "apiGroups": None}]], ids=repr)
def test_odd_cluster_roles_grant_nothing(rules: Any) -> None:
    odd = role(name="odd", kind="ClusterRole") | {"rules": rules}
    objects = [*build(), odd, binding(name="odd", kind="ClusterRole")]
    found = permissions.of(graph := graph_of(objects), candidates(graph)[0])
    assert not any(grant.allows("get", "endpoints", ("emqx-headless",), "mq") for grant in found)
    assert permissions.check(case(objects)) == [] or rules[-1].get("verbs")


def test_every_subject_of_the_build() -> None:
    found = permissions.subjects(graph_of([*allowed(build()), binding(group("developers"), name="view", kind="ClusterRole")]))
    assert {subject: [grant.text() for grant in grants] for subject, grants in found.items()} == {
        "Group/developers": ["all that ClusterRole/view allows"],
        "ServiceAccount/emqx in namespace mq": ["get on endpoints named emqx-headless"],
    }


def test_without_a_token_nobody_can_use_it() -> None:
    objects = [*build(automountServiceAccountToken=False), role(WIDE), binding()]
    assert permissions.check(case(objects)) == []
    objects[0]["automountServiceAccountToken"] = False
    del objects[2]["spec"]["template"]["spec"]["automountServiceAccountToken"]
    assert permissions.check(case(objects)) == []


def test_a_role_for_the_service_that_is_named_by_mistake() -> None:
    wrong = role({**NARROW, "resourceNames": ["emqx"]})
    assert [problem.rule for problem in permissions.check(case([*build(), wrong, binding()]))] == ["excess-permissions"]
    assert permissions.check(case([*build(env=BY_IP | {"EMQX_CLUSTER__K8S__SERVICE_NAME": "emqx"}), wrong, binding()])) == []


def test_no_role_and_no_namespace() -> None:
    (problem,) = chain.check(case([without_namespace(item) for item in build()]))
    assert problem.path == "spec.template.spec.serviceAccountName"
    assert problem.fix.endswith("to it")


@pytest.mark.parametrize("without", [["Deployment"], ["Service"], ["ServiceAccount"], ["Role", "RoleBinding"], ["Deployment", "Service", "ServiceAccount"]])
def test_what_says_no_namespace_lies_with_the_rest(without: list[str]) -> None:
    objects = [without_namespace(item) if item["kind"] in without else item for item in allowed(build())]
    assert {problem.rule for problem in policy.check(text(objects))} <= {"cookie"}


@pytest.mark.parametrize(
    "bound",
    [lambda: allowed(build()), lambda: [*build(), role(NARROW, kind="ClusterRole"), binding(kind="ClusterRole", everywhere=True)]],
    ids=["here", "everywhere"],
)
def test_an_api_version_that_no_server_has(bound: Callable[[], Objects]) -> None:
    objects = bound()
    for item in objects[3:]:
        item["apiVersion"] = "rbac.authorization.kubernetes.io/v1"
    assert [(problem.rule, problem.object) for problem in rbac.check(case(objects))] == [
        ("api-version", f"{objects[4]['kind']}/emqx"),
        ("api-version", f"{objects[3]['kind']}/emqx"),
    ]


def test_a_subject_without_a_namespace() -> None:
    objects = [*build()[1:], role(NARROW), binding({"kind": "ServiceAccount", "name": "emqx"})]
    found = [problem for problem in policy.check(text(objects)) if problem.rule != "cookie"]
    assert [(problem.rule, problem.path) for problem in found] == [("namespace-unknown", "subjects[emqx].namespace")]
