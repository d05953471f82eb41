"""A workload that the plugin has not rendered cannot start: the API server refuses it, and says why."""

from __future__ import annotations

import pytest

from .client import Cluster, Refused
from .live import workload_objects
from .rendering import ROOT, Clone, build

PLACEHOLDER = "not rendered: run kustomize build --enable-alpha-plugins"


@pytest.mark.parametrize("workload", ["deployment", "statefulset"])
def test_base_is_refused(cluster: Cluster, namespace: str, workload: str) -> None:
    with pytest.raises(Refused) as raised:
        cluster.apply(namespace, build(ROOT / "base" / workload, plugins=False))
    assert f'spec.template.spec.serviceAccountName: Invalid value: "{PLACEHOLDER}"' in str(raised.value)
    assert workload_objects(cluster, namespace) == []


def test_base_is_refused_for_nothing_else(cluster: Cluster, namespace: str) -> None:
    """One complaint about the workload, so that it is the placeholder which keeps it out."""
    with pytest.raises(Refused) as raised:
        cluster.apply(namespace, build(ROOT / "base" / "statefulset", plugins=False))
    assert str(raised.value).count("Invalid value") == 1


def test_overlay_without_the_flag_does_not_render(clone: Clone) -> None:
    with pytest.raises(AssertionError, match="external plugins disabled"):
        build(clone.overlay("persistent"), plugins=False)
