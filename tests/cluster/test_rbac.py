"""What the pods may do at the API server: get the one Endpoints object that they discover each other through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from .client import Cluster, path_of
from .live import await_pods, environment
from .rendering import OVERLAYS, Clone, build, settings_patch

Namespaces = Callable[[], str]
Clones = Callable[[], Clone]

DNS = {"patches": [settings_patch({"discovery": {"strategy": "dns"}})]}


@dataclass(frozen=True)
class Account:
    """The ServiceAccount of running pods, and the Service that their variables name."""

    namespace: str
    name: str
    service: str
    mounts_token: bool

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def running(cluster: Cluster, namespace: str, clone: Clone, overlay: str, **fields: Any) -> Account:
    """Applies a layer over the overlay and tells what its pods got."""
    cluster.apply(namespace, build(clone.over(overlay, "user", namespace=namespace, **fields)))
    await_pods(cluster, namespace, 3)
    accounts = {account_of(namespace, pod) for pod in cluster.items(namespace, "v1/pods")}
    assert len(accounts) == 1
    return accounts.pop()


def account_of(namespace: str, pod: dict[str, Any]) -> Account:
    spec = pod["spec"]
    sources = [source for volume in spec["volumes"] for source in volume.get("projected", {}).get("sources", [])]
    mounts_token = any("serviceAccountToken" in source for source in sources)
    service = environment(pod).get("EMQX_CLUSTER__K8S__SERVICE_NAME", "")
    return Account(namespace, spec["serviceAccountName"], service, mounts_token)


def extra_rules(cluster: Cluster, account: Account) -> list[Any]:
    """The rules of this account that not every account of the namespace has, as it sees them itself."""
    everybody = rules(cluster, account.namespace, "default")
    return [rule for rule in rules(cluster, account.namespace, account.name) if rule not in everybody]


def rules(cluster: Cluster, namespace: str, account: str) -> list[Any]:
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    status = cluster.expect(201, "POST", path, token=cluster.token(namespace, account), body=review)["status"]
    return [*status["resourceRules"], *status["nonResourceRules"]]


def may(cluster: Cluster, account: Account, verb: str, resource: str, name: str) -> bool:
    group, _, plural = resource.rpartition("/")
    asked = {"namespace": account.namespace, "verb": verb, "group": group, "resource": plural, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account.user, "resourceAttributes": asked},
    }
    answer = cluster.expect(201, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=review)
    return bool(answer["status"]["allowed"])


REFUSED = [
    ("list", "endpoints", ""),
    ("watch", "endpoints", ""),
    ("watch", "endpoints", "{service}"),
    ("update", "endpoints", "{service}"),
    ("patch", "endpoints", "{service}"),
    ("delete", "endpoints", "{service}"),
    ("get", "endpoints", ""),
    ("get", "endpoints", "{account}"),
    ("get", "endpoints", "{service}-2"),
    ("get", "services", "{service}"),
    ("get", "pods", ""),
    ("list", "pods", ""),
    ("get", "secrets", "{account}-cookie"),
    ("get", "configmaps", "{account}-env"),
    ("get", "discovery.k8s.io/endpointslices", "{service}"),
    ("create", "serviceaccounts/token", "{account}"),
]


@pytest.fixture(scope="module", params=OVERLAYS)
def account(request: pytest.FixtureRequest, cluster: Cluster, fresh: Namespaces, clones: Clones) -> Account:
    """Of each overlay under a prefix, since names that a layer changed are where it goes wrong."""
    return running(cluster, fresh(), clones(), request.param, namePrefix="eu-")


def test_name_follows_the_layer(account: Account) -> None:
    assert account.service == "eu-emqx-headless"


def test_one_rule_and_no_other(cluster: Cluster, account: Account) -> None:
    assert extra_rules(cluster, account) == [{"verbs": ["get"], "apiGroups": [""], "resources": ["endpoints"], "resourceNames": [account.service]}]


def test_may_get_what_discovery_reads(cluster: Cluster, account: Account) -> None:
    assert may(cluster, account, "get", "endpoints", account.service)


@pytest.mark.parametrize(("verb", "resource", "name"), REFUSED)
def test_may_not(cluster: Cluster, account: Account, verb: str, resource: str, name: str) -> None:
    named = name.format(service=account.service, account=account.name)
    assert not may(cluster, account, verb, resource, named)


def test_may_not_in_another_namespace(cluster: Cluster, account: Account, namespace: str) -> None:
    assert not may(cluster, replace(account, namespace=namespace, name=account.name), "get", "endpoints", account.service)


def test_token_of_the_pods_over_http(cluster: Cluster, account: Account) -> None:
    """The request that the broker makes, and its neighbours."""
    endpoints = path_of(account.namespace, "v1/endpoints")
    token = cluster.token(account.namespace, account.name)
    answer = cluster.request("GET", f"{endpoints}/{account.service}", token=token)
    assert (answer.status, answer.body["kind"]) == (200, "Endpoints")
    for path in (endpoints, f"{endpoints}?watch=true", f"{endpoints}/other", f"{endpoints}/{account.name}"):
        assert cluster.request("GET", path, token=token).status == 403, path
    assert cluster.request("GET", f"{endpoints}/{account.service}", token=f"{token}x").status == 401


def test_pods_have_the_token(account: Account) -> None:
    assert account.mounts_token


@pytest.mark.parametrize("overlay", [overlay for overlay in OVERLAYS if overlay != "deployment-ip"])
def test_dns_gets_nothing(cluster: Cluster, namespace: str, clone: Clone, overlay: str) -> None:
    account = running(cluster, namespace, clone, overlay, **DNS)
    assert extra_rules(cluster, account) == []
    assert not account.mounts_token
    assert not may(cluster, account, "get", "endpoints", "emqx-headless")
