"""What stands in front of a workload and behind it, before and after; and the diagrams of it."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from tests.review.impact.harness import pair, stream
from tests.review.impact.test_properties import ODD, leaves

from emqx_gitops.project import Target
from emqx_gitops.review import topology
from emqx_gitops.review.diagram import diagram
from emqx_gitops.review.differences import differences
from emqx_gitops.review.drawing import drawing
from emqx_gitops.review.markup import mermaid
from emqx_gitops.review.model import Pair
from emqx_gitops.review.topology import BEHIND, FRONT, Node, Topology

from . import nasty

PERSISTENT = {"stream": "persistent"}
INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "mqtt", "namespace": "emqx"},
    "spec": {"rules": [{"host": "mqtt.example.com", "http": {"paths": [{"path": "/", "backend": {"service": {"name": "emqx"}}}]}}]},
}


def told(found: Topology) -> list[str]:
    return [f"{node.state} {node.title}: {'; '.join(node.facts)}" for node in found.nodes.values()]


def changed(case: dict[str, Any]) -> list[str]:
    return [line for line in told(topology.of(pair(case))) if not line.startswith("same")]


def test_all_of_a_cluster() -> None:
    found = topology.of(pair(PERSISTENT))
    host = "emqx-headless.emqx.svc.cluster.local"
    assert told(found) == [
        "same StatefulSet/emqx: 3 members; image emqx/emqx:5.8.9",
        "same Service/emqx: ClusterIP; mqtt 1883, ws 8083",
        "same Service/emqx-dashboard: ClusterIP; dashboard 18083",
        "same Service/emqx-headless: headless; erlang 4370, rpc 5369",
        "same PodDisruptionBudget/emqx: maxUnavailable 1",
        "same NetworkPolicy/emqx: members to erlang, rpc; pods of the namespace to dashboard; everybody to mqtt, ws",
        *(f"same Pod/emqx-{number}: emqx@emqx-{number}.{host}" for number in range(3)),
        "same Claims data: 2Gi for each member; whenDeleted Retain; whenScaled Retain",
        "same ConfigMap/emqx-env-6ct58987ht: ",
        "same ServiceAccount/emqx: may get on endpoints named emqx-headless, in namespace emqx",
    ]
    assert not found.changes
    assert {column: [node.column for node in found.nodes.values()].count(column) for column in (FRONT, BEHIND)} == {FRONT: 5, BEHIND: 6}


def test_members_that_go() -> None:
    host = "emqx-headless.emqx.svc.cluster.local"
    assert changed({**PERSISTENT, "change": {"StatefulSet/emqx": {"spec": {"replicas": 1}}}}) == [
        "changed StatefulSet/emqx: 1 member (now); image emqx/emqx:5.8.9; 3 members (before)",
        f"removed Pod/emqx-1: emqx@emqx-1.{host}",
        f"removed Pod/emqx-2: emqx@emqx-2.{host}",
    ]


def test_members_that_restart() -> None:
    found = changed({**PERSISTENT, "replace": {"emqx/emqx:5.8.9": "emqx/emqx:5.8.10"}})
    assert [line.partition(":")[0] for line in found] == ["changed StatefulSet/emqx", "changed Pod/emqx-0", "changed Pod/emqx-1", "changed Pod/emqx-2"]


def test_another_generation_of_the_settings_is_the_same_thing() -> None:
    found = changed(
        {**PERSISTENT, "change": {"ConfigMap/emqx-env-6ct58987ht": {"data": {"EMQX_A": "b"}}}, "replace": {"emqx-env-6ct58987ht": "emqx-env-2222222222"}}
    )
    assert "changed ConfigMap/emqx-env-2222222222: ConfigMap/emqx-env-6ct58987ht (before)" in found


def test_ways_in() -> None:
    rules = ("members to erlang, rpc", "pods of the namespace to dashboard", "everybody to mqtt, ws")
    assert changed({**PERSISTENT, "add": [INGRESS], "change": {"NetworkPolicy/emqx": {"spec": {"ingress": [{}]}}}}) == [
        "added Ingress/mqtt: mqtt.example.com",
        "changed NetworkPolicy/emqx: " + "; ".join(["everybody to all ports (now)", *(f"{rule} (before)" for rule in rules)]),
    ]


def test_rights() -> None:
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "more", "namespace": "emqx"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "emqx", "namespace": "emqx"}],
    }
    (line,) = changed({**PERSISTENT, "add": [binding]})
    assert line.endswith("may all that ClusterRole/edit allows, in namespace emqx (now)")


@pytest.mark.parametrize(("case", "state"), [({"gone": True}, "removed"), ({"new": True}, "added")])
def test_a_target_that_comes_or_goes(case: dict[str, Any], state: str) -> None:
    assert {node.state for node in topology.of(pair({**PERSISTENT, **case})).nodes.values()} == {state}


def test_many_members_and_many_objects_are_counted() -> None:
    service = next(item for item in stream(PERSISTENT) if item["kind"] == "Service")
    more = [{**service, "metadata": {**service["metadata"], "name": f"s{number}"}} for number in range(60)]
    found = topology.of(pair({**PERSISTENT, "add": more, "before": {"add": more}, "change": {"StatefulSet/emqx": {"spec": {"replicas": 500}}}}))
    assert (len(found.nodes), found.more > 0) == (40, True)
    assert "494 more Pods" in {node.title for node in found.nodes.values()}
    assert len(diagram(found)) < 50_000


@pytest.mark.parametrize("seed", range(25))
def test_odd_values(seed: int) -> None:
    """Whatever stands in a field, it is drawn."""
    chance = random.Random(seed)
    documents = stream(PERSISTENT)
    for _ in range(3):
        owner, key = chance.choice([place for document in documents for place in leaves(document)])
        owner[key] = json.loads(json.dumps(chance.choice(ODD)))
    before, after = stream(PERSISTENT), json.loads(json.dumps(documents))
    for item in after:
        item["metadata"] = item["metadata"] if isinstance(item.get("metadata"), dict) else {"name": "x"}
    old, new = nasty.rendering(before), nasty.rendering(after)
    found = topology.of(Pair(Target(Path("x"), "x"), old, new, differences(old, new)))
    assert diagram(found)
    assert drawing(found, "x", after=True)


# Diagrams


@settings(deadline=None)
@given(text=nasty.TEXTS)
def test_a_label_of_mermaid_ends_where_it_should(text: str) -> None:
    """Tried with Mermaid 11 itself: it shows these labels letter by letter, but for a space of no width behind `$` and the like."""
    label = mermaid(text)
    assert re.fullmatch(r"(?:[A-Za-z0-9 /,.-]|#\d+;)*", label)
    assert not re.search(r"(?:^|[^A-Za-z0-9])[-./,]|[-./,](?:$|[^A-Za-z0-9])", label)


@settings(deadline=None)
@given(text=nasty.TEXTS)
def test_a_diagram_has_the_lines_that_it_has_anyway(text: str) -> None:
    def lines(of: str) -> list[str]:
        nodes = {name: Node(FRONT, of, (of,), (of, f"x{of}"), "changed") for name in ("a", "b")}
        return [re.sub('".*"', "", line) for line in diagram(Topology(nodes, (("a", "b"),), 2)).split("\n")]

    assert lines(text) == lines("x")
    assert lines("x")[:5] == ["```mermaid", "flowchart LR", "  n0[]:::changed", "  n1[]:::changed", "  n0 --> n1"]


def test_both_sides_are_drawn_alike() -> None:
    """What stays does not move."""
    found = topology.of(pair(yaml.safe_load("{stream: persistent, change: {StatefulSet/emqx: {spec: {replicas: 1}}}}")))
    before, after = (set(re.findall(r"<rect [^>]*>", drawing(found, "x", after=side))) for side in (False, True))
    assert after < before
    assert len(before - after) == 2
