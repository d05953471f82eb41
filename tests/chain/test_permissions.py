"""Effective permissions: by Role and ClusterRole, for the account and the groups it is in."""

from __future__ import annotations

from typing import Any

import pytest

from emqx_fn import permissions
from emqx_fn.graph import candidates

from .builds import NARROW, Objects, allowed, binding, build, case, graph_of, role

WIDE = {"apiGroups": [""], "resources": ["endpoints", "services"], "verbs": ["get", "list"]}


def granted(*objects: dict[str, Any], namespace: str | None = "mq") -> list[str]:
    whole: Objects = [*build(), *objects]
    if namespace is None:
        for item in whole:
            item["metadata"].pop("namespace", None)
    graph = graph_of(whole)
    (workload,) = candidates(graph)
    return [f"{grant.text()}, {grant.where()}" for grant in permissions.of(graph, workload)]


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
