"""The Job that asks the members whether they found each other, against members that run: it passes, fails, and waits for a roll."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.client import Object
from cluster.live import name_of
from cluster.rendering import FAMILIES, Clone, Document, clone_into, documents, operation

from .brokers import Brokers, start_all
from .members import uids
from .node import Node
from .waiting import until

LARGER = {"configMapGenerator": [{"name": "emqx-env", "behavior": "merge", "literals": ["EMQX_MQTT__MAX_PACKET_SIZE=2MB"]}]}
KEY = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "emqx-api-key"}, "stringData": {"api-key": "cluster-formed:keyofthetests:viewer\n"}}]
# Where the Role is missing, nobody comes any more.
PATIENCE = operation("replace", "Job", "/spec/template/spec/containers/0/env/1", {"name": "PATIENCE", "value": "5"})


def checked(node: Node, clone: Clone, name: str, overlay: str, family: str = "5.8", **fields: object) -> Brokers:
    """A cluster with the check."""
    return Brokers(node, clone, overlay, f"formed-{name}", FAMILIES[family], {"components": ["../../base/cluster-formed"], **fields}, with_key)


def with_key(objects: list[Document]) -> list[Document]:
    return [*KEY, *objects]


def without_role(objects: list[Document]) -> list[Document]:
    return [*KEY, *(one for one in objects if one["kind"] not in ("Role", "RoleBinding"))]


@pytest.fixture(scope="module")
def clusters(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Brokers]]:
    clone = clone_into(tmp_path_factory.mktemp("clone"))
    alone = Brokers(
        node,
        clone,
        "statefulset-hostname",
        "formed-alone",
        fields={"components": ["../../base/cluster-formed"], "patches": [PATIENCE]},
        change=without_role,
    )
    started = {
        "persistent": checked(node, clone, "persistent", "persistent"),
        "user-and-password": checked(node, clone, "user-and-password", "deployment-ip", "4.4"),
        "alone": alone,
    }
    start_all(started.values())
    yield started
    for brokers in started.values():
        brokers.end()


def job(brokers: Brokers, *, besides: frozenset[str] = frozenset()) -> Object:
    """The only Job that is not one of these."""
    (found,) = (one for one in brokers.cluster.items(brokers.namespace, "batch/v1/jobs") if one["metadata"]["uid"] not in besides)
    return found


def ended(brokers: Brokers, *, besides: frozenset[str] = frozenset()) -> Object:
    """The Job, when it is over."""
    until(f"{brokers.namespace}: the Job is over", lambda: condition(job(brokers, besides=besides)) != "")
    return job(brokers, besides=besides)


def condition(found: Object) -> str:
    return next((one["type"] for one in found["status"].get("conditions", []) if one["status"] == "True" and one["type"] in ("Complete", "Failed")), "")


def log(brokers: Brokers, found: Object) -> str:
    return brokers.cluster.kubectl("logs", "--namespace", brokers.namespace, f"job/{name_of(found)}").out


@pytest.mark.parametrize("name", ["persistent", "user-and-password"])
def test_three_members_of_three(clusters: dict[str, Brokers], name: str) -> None:
    brokers = clusters[name]
    found = ended(brokers)
    assert condition(found) == "Complete", log(brokers, found)
    reports = brokers.await_formed()
    said = log(brokers, found)
    assert said.endswith("formed: 3 of 3\n")
    assert all(report["name"] in said for report in reports.values())
    assert "keyofthetests" not in said
    assert "passwordofthetests" not in said


def test_ready_members_that_are_clusters_of_one(clusters: dict[str, Brokers]) -> None:
    brokers = clusters["alone"]
    found = ended(brokers)
    assert condition(found) == "Failed", log(brokers, found)
    said = log(brokers, found)
    assert said.count("lists 1 of 3 as running") >= 3
    assert said.endswith("not formed: all 3 members answer, and after 5 s they are not one cluster of 3\n")
    # Once is enough: to ask again would not change the answer.
    assert found["status"]["failed"] == 1
    assert json.dumps(found["status"]["conditions"]).count("PodFailurePolicy") >= 1


@pytest.mark.parametrize("name", ["persistent", "user-and-password"])
def test_changed_setting_is_asked_about_when_the_roll_is_over(clusters: dict[str, Brokers], name: str) -> None:
    brokers = clusters[name]
    ended(brokers)
    before = uids(brokers.cluster.items(brokers.namespace, "batch/v1/jobs"))
    old = uids(brokers.pods())
    brokers.apply(documents(brokers.render(**LARGER)))
    found = ended(brokers, besides=before)
    assert condition(found) == "Complete", log(brokers, found)
    assert uids(brokers.pods()) & old == set()
    assert all(one["metadata"]["creationTimestamp"] <= found["status"]["completionTime"] for one in brokers.pods())
    assert "members run this pod template and are ready" in log(brokers, found)
