"""A container that restarts in mid-roll needs the ConfigMap that its pod still names; what a sync deletes too early is missing then.

`emqx-gitops publish` keeps the superseded one in its branch (docs/sync/publish.md), so a sync of that branch does not delete it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cluster.client import Object
from cluster.controlplane import ROOT
from cluster.live import name_of
from cluster.rendering import Clone, Document, clone_into, documents

from .brokers import Brokers, waiting
from .node import Node
from .nodes import ready
from .repository import BRANCH, EMQX_GITOPS, commit, run
from .waiting import until_fine

# Only the last member rolls: the others stay in mid-roll for as long as a test likes.
HELD = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
LARGER = {
    "configMapGenerator": [{"name": "emqx-env", "behavior": "merge", "literals": ["EMQX_MQTT__MAX_PACKET_SIZE=2MB"]}],
    "patches": [{"patch": json.dumps({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "emqx"}, "spec": HELD})}],
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """One under Git, with a remote to publish to."""
    folder = tmp_path_factory.mktemp("published")
    run(folder, "git", "init", "--quiet", "--bare", "remote.git")
    run(folder, "git", "init", "--quiet", "main")
    run(folder / "main", "git", "remote", "add", "origin", folder / "remote.git")
    shutil.copy(ROOT / ".gitignore", folder / "main")
    return clone_into(folder / "main")


def publish(brokers: Brokers, message: str) -> list[Document]:
    """The objects that the branch then holds for this cluster."""
    main, rendered = brokers.clone.folder, brokers.clone.folder.with_name(message)
    commit(main, "main", message)
    run(main, EMQX_GITOPS, "publish", f"clusters/{brokers.namespace}")
    run(main, "git", "clone", "--quiet", f"--branch={BRANCH}", main.with_name("remote.git"), rendered)
    return [one for path in sorted(Path(rendered, "clusters", brokers.namespace).glob("*.yaml")) for one in documents(path.read_text())]


def prune(brokers: Brokers, objects: list[Document]) -> None:
    """Deletes the generated ConfigMaps that are not among the objects, as a sync does at once."""
    kept = {name_of(one) for one in objects if one["kind"] == "ConfigMap"}
    there = {name_of(one) for one in brokers.cluster.items(brokers.namespace, "v1/configmaps")}
    for name in sorted(there - kept - {"kube-root-ca.crt"}):
        brokers.cluster.kubectl("delete", "configmap", "--namespace", brokers.namespace, name)


def named(pod: Object) -> str:
    """The ConfigMap that the pod takes its variables from."""
    return str(pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"])


def state(brokers: Brokers, name: str) -> tuple[int, str]:
    """How often the container was started again, and how it is."""
    pod = brokers.cluster.object(brokers.namespace, "v1/pods", name)
    count = pod["status"]["containerStatuses"][0]["restartCount"]
    return count, "ready" if ready(pod) else waiting(pod)


def await_state(brokers: Brokers, name: str, wanted: tuple[int, str]) -> None:
    until_fine(f"{name} is {wanted}", lambda: "" if state(brokers, name) == wanted else str(state(brokers, name)))


def test_container_restarts_in_mid_roll(node: Node, clone: Clone) -> None:
    brokers = Brokers(node, clone, "statefulset-hostname", "restarts")
    brokers.start()
    publish(brokers, "Start")
    before = brokers.await_formed()

    rendering = documents(brokers.render(**LARGER))
    published = publish(brokers, "Larger")
    brokers.apply(published)
    prune(brokers, published)
    until_fine("the last member has the new setting", lambda: "" if largest(brokers) == "2MB" else largest(brokers) or "none")

    brokers.restart("emqx-0")
    await_state(brokers, "emqx-0", (1, "ready"))
    after = brokers.await_formed()
    assert (after["emqx-0"]["id"], after["emqx-0"]["starts"]) == (before["emqx-0"]["id"], 2)
    assert {name: report["max_packet_size"] for name, report in after.items()} == {"emqx-0": "", "emqx-1": "", "emqx-2": "2MB"}

    # What a sync of the rendering itself would do now.
    old = named(brokers.cluster.object(brokers.namespace, "v1/pods", "emqx-1"))
    assert old not in {name_of(one) for one in rendering}
    prune(brokers, rendering)
    brokers.restart("emqx-1")
    await_state(brokers, "emqx-1", (0, f'CreateContainerConfigError configmap "{old}" not found'))
    brokers.end()


def largest(brokers: Brokers) -> str:
    report = brokers.report("emqx-2")
    return report["max_packet_size"] if report else "no report"
