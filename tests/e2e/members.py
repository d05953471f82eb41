"""The members of an EMQX cluster as the API server knows them, and whether each would find all of them."""

from __future__ import annotations

from cluster.client import Cluster, Object, path_of
from cluster.discovery import addresses, discovered, headless_of, own_name
from cluster.live import name_of

from .engine import App
from .nodes import ready
from .waiting import until_fine

KINDS = (
    "v1/configmaps",
    "v1/endpoints",
    "v1/persistentvolumeclaims",
    "v1/pods",
    "v1/secrets",
    "v1/serviceaccounts",
    "v1/services",
    "apps/v1/deployments",
    "apps/v1/statefulsets",
    "discovery.k8s.io/v1/endpointslices",
    "networking.k8s.io/v1/networkpolicies",
    "policy/v1/poddisruptionbudgets",
    "rbac.authorization.k8s.io/v1/rolebindings",
    "rbac.authorization.k8s.io/v1/roles",
)


def pods(cluster: Cluster, app: App) -> list[Object]:
    """The members, and not what asks them whether they found each other."""
    return cluster.items(app.namespace, "v1/pods", labelSelector="app.kubernetes.io/name=emqx")


def names(cluster: Cluster, app: App) -> frozenset[str]:
    """The names that the nodes give themselves."""
    return frozenset(map(own_name, pods(cluster, app)))


def uids(found: list[Object]) -> frozenset[str]:
    return frozenset(one["metadata"]["uid"] for one in found)


def claims(cluster: Cluster, app: App) -> frozenset[str]:
    return uids(cluster.items(app.namespace, "v1/persistentvolumeclaims"))


def await_members(cluster: Cluster, app: App, count: int, *, none_of: frozenset[str] = frozenset()) -> frozenset[str]:
    """Until so many pods are ready, none of them one of these, and each finds just them with its own token; tells their names."""
    until_fine(f"{count} members of {app.name} find each other", lambda: problem_of_members(cluster, app, count, none_of))
    return names(cluster, app)


def problem_of_members(cluster: Cluster, app: App, count: int, none_of: frozenset[str]) -> str:
    there = pods(cluster, app)
    unready = [name_of(pod) for pod in there if not ready(pod) or "deletionTimestamp" in pod["metadata"]]
    old = [name_of(pod) for pod in there if pod["metadata"]["uid"] in none_of]
    if len(there) != count or unready or old:
        return f"pods {sorted(map(name_of, there))}, not ready {unready}, to be replaced {old}"
    named = frozenset(map(own_name, there))
    if len(addresses(headless_of(cluster, app.namespace, "emqx"))) != count:
        return f"addresses in Endpoints {addresses(headless_of(cluster, app.namespace, 'emqx'))}"
    wrong = {name_of(pod): sorted(seen) for pod in there if (seen := discovered(cluster, app.namespace, pod)) != named}
    return f"wanted {sorted(named)}, discovered {wrong}" if wrong else ""


def versions(cluster: Cluster, app: App) -> dict[str, str]:
    """The version of every object of the namespace: what nobody writes to keeps it."""
    return {
        f"{kind}/{name_of(found)}": found["metadata"]["resourceVersion"]
        for kind in KINDS
        for found in cluster.expect(200, "GET", path_of(app.namespace, kind))["items"]
    }
