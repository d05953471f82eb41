"""The API server accepts what is rendered, and its controllers make the pods."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .client import Cluster
from .live import await_pods, name_of, workload_objects
from .rendering import FAMILIES, OVERLAYS, ROOT, Clone, build, documents

Namespaces = Callable[[], str]


@pytest.fixture(scope="module")
def shared(fresh: Namespaces) -> str:
    """A namespace for what is only tried, not kept."""
    return fresh()


@pytest.fixture(scope="module")
def shipped(cluster: Cluster) -> str:
    """The namespace that the overlays name."""
    return cluster.create_namespace("emqx")


def accepts(cluster: Cluster, namespace: str, stream: str) -> None:
    """Server-side dry run: no error, and no warning of Pod Security or of a deprecated field."""
    said = cluster.apply(namespace, stream, "--dry-run=server")
    assert said.warnings == ""
    assert said.out.count("serverside-applied (server dry run)") == len(documents(stream))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_as_it_is_shipped(cluster: Cluster, shipped: str, overlay: str) -> None:
    accepts(cluster, shipped, build(ROOT / "overlays" / overlay))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_family(cluster: Cluster, shared: str, clone: Clone, overlay: str, family: str) -> None:
    layer = clone.over(overlay, "user", namespace=shared, **FAMILIES[family].fields())
    accepts(cluster, shared, build(layer))


@pytest.mark.parametrize("replicas", [3, 1])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_admitted(cluster: Cluster, namespace: str, clone: Clone, overlay: str, replicas: int) -> None:
    count = [{"name": "emqx", "count": replicas}]
    cluster.apply(namespace, build(clone.over(overlay, "user", namespace=namespace, replicas=count)))
    await_pods(cluster, namespace, replicas)


def test_each_pod_gets_its_own_claim(cluster: Cluster, namespace: str, clone: Clone) -> None:
    cluster.apply(namespace, build(clone.over("persistent", "user", namespace=namespace)))
    await_pods(cluster, namespace, 3)
    claims = {name_of(claim) for claim in cluster.items(namespace, "v1/persistentvolumeclaims")}
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in cluster.items(namespace, "v1/pods")
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert len(claims) == 3
    assert mounted == claims


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_another_family_over_a_running_cluster(cluster: Cluster, namespace: str, clone: Clone, overlay: str) -> None:
    """Selectors, claims and everything else that may not change stay the same over all families."""
    for family in FAMILIES.values():
        cluster.apply(namespace, build(clone.over(overlay, "user", namespace=namespace, **family.fields())))
    (workload,) = workload_objects(cluster, namespace)
    assert workload["spec"]["template"]["spec"]["containers"][0]["image"] == f"emqx/emqx:{family.tag}"
