"""The names that discovery makes of the API server's answer are the names that the nodes give themselves."""

from __future__ import annotations

from typing import Any

import pytest

from .client import Cluster, eventually
from .discovery import addresses, discovered, headless_of, own_name
from .live import await_pods, run_pods
from .rendering import FAMILIES, OVERLAYS, Clone, build, settings_patch

STRATEGIES: dict[str, dict[str, Any]] = {
    "derived": {},
    "ip": {"discovery": {"addressType": "ip"}},
    "dns-srv": {"discovery": {"strategy": "dns", "recordType": "srv"}},
    "dns-a": {"discovery": {"strategy": "dns", "recordType": "a"}},
}
# Not every family, overlay and strategy go together; these do.
CASES = [
    *((overlay, family, "derived") for overlay in OVERLAYS for family in FAMILIES),
    *(("statefulset-hostname", family, "dns-srv") for family in ("4.4", "5.0", "5.8", "6.2")),
    *(("deployment-ip", family, "dns-a") for family in FAMILIES),
    *(("statefulset-hostname", family, "ip") for family in FAMILIES),
]


@pytest.mark.parametrize(("overlay", "family", "strategy"), CASES)
def test_nodes_find_each_other(cluster: Cluster, namespace: str, clone: Clone, overlay: str, family: str, strategy: str) -> None:
    """Two layers of names over the overlay, three running pods, and what each of them would ask for."""
    settings = {**FAMILIES[family].settings, **STRATEGIES[strategy]}
    clone.over(overlay, "inner", namePrefix="eu-", namespace=namespace, images=FAMILIES[family].image(), patches=[settings_patch(settings)])
    outer = clone.layer("outer", {"resources": ["../inner"], "namePrefix": "prod-"}, plugin=False)
    cluster.apply(namespace, build(outer))
    await_pods(cluster, namespace, 3)
    run_pods(cluster, namespace)
    eventually(lambda: len(addresses(headless_of(cluster, namespace, "prod-eu-emqx"))) == 3, "three addresses")
    pods = cluster.items(namespace, "v1/pods")
    names = frozenset(map(own_name, pods))
    assert len(names) == 3
    for pod in pods:
        assert discovered(cluster, namespace, pod) == names
