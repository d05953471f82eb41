"""Members on the real node: how a rendering gets there, and what the members then say of themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cluster.client import Answer, Cluster, Object, Refused, path_of
from cluster.controlplane import ROOT
from cluster.live import name_of
from cluster.rendering import FAMILIES, Clone, Document, Family, build, documents

from .engine import App
from .members import pods, uids
from .node import Node
from .node_config import PAUSE_IMAGE
from .node_image import Image
from .nodes import ready
from .waiting import until_fine

MEMBER = Path(__file__).with_name("member")
PROPERTIES = ROOT / "tests" / "properties"
COMMAND = "/opt/emqx/bin/emqx"
# Place in the image -> what lies there. The rules of the releases are those that the properties are tested by.
FILES = {
    COMMAND: MEMBER / "emqx",
    "/opt/emqx/lib/member": MEMBER,
    **{f"/opt/emqx/lib/properties/{name}": PROPERTIES / name for name in ("__init__.py", "broker.py", "kube.py")},
}
SECRETS = {"emqx-cookie": {"cookie": "cookieofthetests"}, "emqx-dashboard": {"password": "passwordofthetests"}}
# One node has to hold dozens of members, and they need nearly nothing.
SMALL = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "128Mi"}}
# A member starts in no time, and five seconds between two questions would be most of a test.
QUICK = 1


def images() -> list[Image]:
    """One for each family, by the name that renderings have, and what holds a pod's namespaces."""
    members = [Image(f"docker.io/emqx/emqx:{one.tag}", (COMMAND, "foreground"), {"MEMBER_RELEASE": one.tag}) for one in FAMILIES.values()]
    return [*members, Image(PAUSE_IMAGE, ("/usr/bin/sleep", "infinity"), {})]


Change = Callable[[list[Document]], list[Document]]


@dataclass(frozen=True)
class Brokers:
    """One EMQX cluster of members in a namespace of its own."""

    node: Node
    clone: Clone
    overlay: str
    namespace: str
    family: Family = FAMILIES["5.8"]
    # Further fields of the kustomization.
    fields: Document = field(default_factory=dict)
    # What somebody did to the rendering by hand.
    change: Change = list
    members: int = 3

    @property
    def cluster(self) -> Cluster:
        return self.node.cluster

    def render(self, **fields: Any) -> str:
        """The rendering of a layer that a user would write over the overlay."""
        return build(self.layer(**fields))

    def layer(self, **fields: Any) -> Path:
        """The folder of such a layer, written anew."""
        parts = [self.family.fields(), self.fields, fields]
        patches = [*(patch for part in parts for patch in part.get("patches", [])), small()]
        merged: Document = {name: value for part in parts for name, value in part.items()}
        replicas = [{"name": "emqx", "count": self.members}]
        return self.clone.over(self.overlay, self.namespace, **{**merged, "namespace": self.namespace, "replicas": replicas, "patches": patches})

    def start(self) -> None:
        """A namespace with the Secrets, and in it the rendering."""
        self.cluster.create_namespace(self.namespace)
        secrets = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data} for name, data in SECRETS.items()]
        self.apply([*secrets, *self.change(documents(self.render()))])

    def end(self) -> None:
        """Deletes the namespace, and does not wait for it."""
        self.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")

    def delete_pods(self, *names: str) -> None:
        self.cluster.kubectl("delete", "pods", "--namespace", self.namespace, "--wait=false", *(names or ["--all"]))

    def restart(self, pod: str) -> None:
        """Ends the container; the kubelet starts it again in the same pod."""
        with suppress(Refused):  # kubectl says so where it ends with its container
            self.cluster.kubectl("exec", "--namespace", self.namespace, pod, "--", COMMAND, "stop")

    def apply(self, objects: Sequence[Document]) -> None:
        self.cluster.apply(self.namespace, yaml.safe_dump_all(objects))

    def pods(self) -> list[Object]:
        return pods(self.cluster, App(self.overlay, self.namespace))

    def ask(self, pod: str, path: str) -> Answer:
        """What a member answers to GET, by way of the API server."""
        port = 18083 if self.family.tag.lstrip("v") >= "5" else 8081
        return self.cluster.request("GET", f"{path_of(self.namespace, 'v1/pods')}/{pod}:{port}/proxy{path}")

    def report(self, pod: str) -> Any:
        """What a member knows; nothing where it does not answer."""
        answer = self.ask(pod, "/report")
        return answer.body if answer.status == 200 else None

    def reports(self) -> dict[str, Any]:
        return {name_of(pod): self.report(name_of(pod)) for pod in self.pods()}

    def log(self, pod: str) -> str:
        return self.cluster.kubectl("logs", "--namespace", self.namespace, pod).out

    def await_formed(self, *, none_of: frozenset[str] = frozenset()) -> dict[str, Any]:
        """Until all members are ready and every one has reached every other; none of the pods is one of these. Tells their reports."""
        found: dict[str, Any] = {}
        until_fine(f"{self.members} of {self.members} members in {self.namespace}", lambda: problem_of(self, none_of, found))
        return found


def small() -> Document:
    container = "/spec/template/spec/containers/0"
    changed = {f"{container}/resources": SMALL, f"{container}/startupProbe/periodSeconds": QUICK}
    operations = [{"op": "replace", "path": path, "value": value} for path, value in changed.items()]
    return {"target": {"kind": "Deployment|StatefulSet"}, "patch": json.dumps(operations)}


def start_all(brokers: Iterable[Brokers]) -> None:
    """Several at once: most of the time each waits."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Brokers.start, brokers))


def problem_of(brokers: Brokers, none_of: frozenset[str], found: dict[str, Any]) -> str:
    brokers.node.processes.check()
    there = brokers.pods()
    unready = {name_of(pod): waiting(pod) for pod in there if not ready(pod) or "deletionTimestamp" in pod["metadata"]}
    old = uids(there) & none_of
    if len(there) != brokers.members or unready or old:
        return f"pods {sorted(map(name_of, there))}, not ready {unready}, to be replaced {len(old)}"
    found.clear()
    found.update(brokers.reports())
    if None in found.values():
        return f"no report from {[name for name, report in found.items() if report is None]}"
    names = {report["name"] for report in found.values()}
    wrong = {name: report for name, report in found.items() if set(running(report)) != names or report["problem"]}
    return "" if len(names) == brokers.members and not wrong else f"members {sorted(names)}, but {wrong}"


def running(report: Any) -> list[str]:
    return [name for name, state in report["members"].items() if state == "running"]


def waiting(pod: Object) -> str:
    """Why the first container does not run, as the kubelet says it."""
    for status in pod["status"].get("containerStatuses", []):
        state = status["state"].get("waiting") or status["state"].get("terminated") or {}
        return f"{state.get('reason', '')} {state.get('message', '')}".strip()
    return str(pod["status"].get("phase", ""))
