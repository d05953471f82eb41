"""What the review says of a roll that hangs, the StatefulSet controller does: nobody runs these pods, so each hangs until it is said to be ready."""

from __future__ import annotations

import json

import pytest

from .client import Cluster, Object, eventually, path_of
from .live import bind, report_ready

LABELS = {"app": "it"}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def stateful_set(image: str, policy: str) -> Object:
    container = {"name": "c", "image": image, "securityContext": RESTRICTED}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    spec = {"replicas": 3, "serviceName": "it", "podManagementPolicy": policy, "selector": {"matchLabels": LABELS}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "it"}, "spec": spec}


class Roll:
    """A StatefulSet of three pods that are all ready."""

    def __init__(self, cluster: Cluster, namespace: str, policy: str) -> None:
        self.cluster, self.namespace, self.policy = cluster, namespace, policy
        self.apply("i:1")
        for number in range(3):
            self.await_image(number, "i:1")
            self.ready(number)

    def apply(self, image: str) -> None:
        self.cluster.apply(self.namespace, json.dumps(stateful_set(image, self.policy)))

    def images(self) -> dict[str, str]:
        pods = self.cluster.items(self.namespace, "v1/pods")
        return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}

    def await_image(self, number: int, image: str) -> None:
        eventually(lambda: self.images().get(f"it-{number}") == image, f"it-{number} with {image}")

    def ready(self, number: int) -> None:
        pod = self.cluster.object(self.namespace, "v1/pods", f"it-{number}")
        bind(self.cluster, self.namespace, pod)
        report_ready(self.cluster, self.namespace, pod, f"10.0.0.{number + 1}")

    def lose(self, number: int) -> None:
        """A pod goes with its node: no kubelet is here to end it in its own time."""
        path = f"{path_of(self.namespace, 'v1/pods')}/it-{number}?gracePeriodSeconds=0"
        self.cluster.expect(200, "DELETE", path)

    def settled(self) -> bool:
        """Whether the controller has seen the newest spec; it acts in the same pass."""
        found = self.cluster.object(self.namespace, "apps/v1/statefulsets", "it")
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    def pass_by(self) -> None:
        """Lets the controller look once more, by a change that means nothing to the pods."""
        body = {"spec": {"minReadySeconds": 0, "revisionHistoryLimit": 9}}
        self.cluster.expect(200, "PATCH", f"{path_of(self.namespace, 'apps/v1/statefulsets')}/it", body=body)
        eventually(self.settled, "a pass of the controller")


@pytest.fixture(params=["Parallel", "OrderedReady"])
def roll(request: pytest.FixtureRequest, cluster: Cluster, namespace: str) -> Roll:
    """A roll that hangs at the highest pod, after some passes of the controller."""
    found = Roll(cluster, namespace, request.param)
    found.apply("i:broken")
    end(found, 2)
    found.await_image(2, "i:broken")
    found.pass_by()
    return found


def test_the_others_keep_the_old_revision(roll: Roll) -> None:
    assert roll.images() == {"it-0": "i:1", "it-1": "i:1", "it-2": "i:broken"}


def test_a_lost_pod_comes_back_with_the_new_revision(roll: Roll) -> None:
    roll.lose(0)
    roll.await_image(0, "i:broken")


def test_going_back_alone(roll: Roll) -> None:
    """With OrderedReady the controller waits for the pod that hangs, until somebody deletes it; with Parallel it replaces it."""
    roll.apply("i:1")
    if roll.policy == "OrderedReady":
        eventually(roll.settled, "a pass of the controller")
        roll.pass_by()
        assert deleting(roll) == []
        assert roll.images()["it-2"] == "i:broken"
        roll.lose(2)
    roll.await_image(2, "i:1")


def deleting(roll: Roll) -> list[str]:
    return [pod["metadata"]["name"] for pod in roll.cluster.items(roll.namespace, "v1/pods") if "deletionTimestamp" in pod["metadata"]]


def end(roll: Roll, number: int) -> None:
    """The kubelet's part: a pod that is to go ends."""
    eventually(lambda: deleting(roll) == [f"it-{number}"], f"it-{number} is to go, and no other")
    roll.lose(number)
