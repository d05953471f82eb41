"""Whatever people change in the YAML: the function refuses, or what it prints never splits into several clusters in silence."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from emqx_fn.problem import Refusal

from . import broker
from .builds import MODES, applied, documents, injected, stream
from .kube import World
from .test_fuzz import as_stream, mutate

BASES = {
    "deployment-ip-4.4.19": stream(MODES[0], "4.4.19"),
    "statefulset-hostname-4.1.5": stream(MODES[5], "4.1.5"),
    "statefulset-srv-6.3.0": stream(MODES[8], "6.3.0"),
    "persistent-hostname-5.8.9": stream(MODES[-2], "5.8.9"),
}
# The API server refuses such an object, so nothing of it runs.
_REFUSED_BY_KUBERNETES = (AttributeError, AssertionError, KeyError, TypeError, ValueError)


def name_of(item: dict[str, Any]) -> str:
    """Namespace and name, whatever stands there."""
    metadata = item.get("metadata")
    return str([metadata.get("namespace"), metadata.get("name")]) if isinstance(metadata, dict) else ""


def outcome(objects: list[dict[str, Any]]) -> broker.Outcome | None:
    """What would form, or None where the function or Kubernetes refuses."""
    try:
        text = injected(as_stream(objects).decode())
    except Refusal:
        return None
    try:
        result = applied(text)
        names = [(str(item.get("kind")), name_of(item)) for item in result]
        if len(names) != len(set(names)):
            return None  # kustomize builds no two objects of one identity
        return broker.run(result, World(ready=True))  # in the end: discovery asks again and again
    except _REFUSED_BY_KUBERNETES:
        return None


@pytest.mark.parametrize("name", BASES)
@settings(max_examples=250)
@given(st.integers(0, 2**32))
def test_one_change_never_splits_in_silence(name: str, seed: int) -> None:
    objects = documents(BASES[name])
    mutate(objects, Random(seed))
    found = outcome(copy.deepcopy(objects))
    assume(found is not None)
    assert found is not None
    assert len(found.clusters) <= 1, found.reasons


def test_most_changes_are_harmless_and_form_one_cluster() -> None:
    """The property above is not empty: many changed streams pass, and form a cluster."""
    formed = 0
    for seed in range(100):
        objects = documents(BASES["persistent-hostname-5.8.9"])
        mutate(objects, Random(seed))
        found = outcome(objects)
        formed += found is not None and found.is_one_cluster_of(3)
    assert formed >= 50
