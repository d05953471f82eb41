"""The members of an EMQX cluster as the API server knows them, and whether each would find all of them."""

from __future__ import annotations

from collections.abc import Mapping

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


def await_rolled(cluster: Cluster, old: Mapping[App, frozenset[str]]) -> None:
    """Until none of these pods is left; as long as one is, the ConfigMap that it names is there too: a container that restarts needs it."""

    def left(app: App) -> bool:
        before = config_maps(cluster, app)
        now = pods(cluster, app)
        missing = settings_named(now) - before - config_maps(cluster, app)
        assert not missing, f"{app.name}: pruned in mid-roll: {missing}"
        return bool(old[app] & uids(now))

    until_fine("the pods rolled", lambda: ", ".join(app.name for app in old if left(app)))


def settings_named(found: list[Object]) -> set[str]:
    """The ConfigMaps that pods which are to stay take their variables from."""
    staying = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
    return {source["configMapRef"]["name"] for pod in staying for source in pod["spec"]["containers"][0]["envFrom"]}


def config_maps(cluster: Cluster, app: App) -> set[str]:
    """The names of those of the namespace."""
    return set(map(name_of, cluster.items(app.namespace, "v1/configmaps")))


def versions(cluster: Cluster, app: App) -> dict[str, str]:
    """The version of every object of the namespace: what nobody writes to keeps it."""
    return {
        f"{kind}/{name_of(found)}": found["metadata"]["resourceVersion"]
        for kind in KINDS
        for found in cluster.expect(200, "GET", path_of(app.namespace, kind))["items"]
    }
