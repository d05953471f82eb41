"""Flux: source-controller and kustomize-controller as plain processes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from cluster.client import Cluster, Object
from cluster.controlplane import ROOT, Command, Processes, free_ports, program
from cluster.rendering import adding, build, replacing

from .engine import App, State
from .repository import Repository
from .waiting import until, until_fine

NAMESPACE = "flux-system"
SOURCES = f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/gitrepositories"
ARTIFACTS = f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/ocirepositories"
KUSTOMIZATIONS = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
MANIFESTS = ROOT / ".tools" / "cluster" / "manifests"
REQUEST = "reconcile.fluxcd.io/requestedAt"

# What is minutes in production.
QUICK = ("--min-retry-delay=500ms", "--max-retry-delay=2s", "--requeue-dependency=2s", "--interval-jitter-percentage=0")


def layer(app: App, repository: Repository) -> Object:
    """What the documentation says to write over sync/flux/git, and a shorter wait after a failure."""
    return {
        "resources": ["../../sync/flux/git"],
        "patches": [replacing("GitRepository", "/spec/url", repository.url), *patches(app, repository)],
    }


def artifact_layer(app: App, repository: Repository, url: str, secret: str) -> Object:
    """The same over sync/flux/oci, for a registry that asks for a password and speaks plain HTTP, as it is on loopback."""
    source = "OCIRepository"
    own = [replacing(source, "/spec/url", url), adding(source, "/spec/secretRef", {"name": secret}), adding(source, "/spec/insecure", True)]
    return {"resources": ["../../sync/flux/oci"], "patches": [*own, *patches(app, repository)]}


def patches(app: App, repository: Repository) -> list[Object]:
    return [
        replacing("Kustomization", "/spec/path", f"./{repository.path(app.overlay)}"),
        replacing("Kustomization", "/metadata/name", app.name),
        replacing("Kustomization", "/spec/retryInterval", "2s"),
    ]


class Flux:
    """Both controllers, with an API server and a folder."""

    name = "flux"

    def __init__(self, processes: Processes, cluster: Cluster, folder: Path) -> None:
        self._processes = processes
        self._cluster = cluster
        self._folder = folder
        self._requests = itertools.count(1)
        self._sources: dict[App, str] = {}

    def bring_up(self) -> None:
        cluster = self._cluster
        for name in ("source-controller", "kustomize-controller"):
            cluster.kubectl("create", f"--filename={MANIFESTS / name}")
        for path in (SOURCES, KUSTOMIZATIONS):
            until(f"{path} served", lambda path=path: cluster.request("GET", path).status == 200)
        cluster.kubectl("create", "namespace", NAMESPACE)
        metrics, health, storage, *self._ports = free_ports(5)
        self._run(
            "source-controller",
            *addresses(metrics, health),
            f"--storage-path={self._home('storage')}",
            f"--storage-addr=127.0.0.1:{storage}",
            f"--storage-adv-addr=127.0.0.1:{storage}",
        )
        self.start()

    def start(self) -> None:
        self._run("kustomize-controller", *addresses(*self._ports))

    def kill(self) -> None:
        self._processes.kill("kustomize-controller")

    def follow(self, app: App, repository: Repository) -> None:
        self._follow(app, repository, SOURCES, layer(app, repository))

    def follow_artifact(self, app: App, repository: Repository, url: str, secret: str) -> None:
        """Starts to keep the app as it is in an OCI artifact."""
        self._follow(app, repository, ARTIFACTS, artifact_layer(app, repository, url, secret))

    def _follow(self, app: App, repository: Repository, sources: str, kustomization: Object) -> None:
        self._sources[app] = f"{sources}/emqx-rendered"
        self._cluster.apply(NAMESPACE, build(repository.dry.layer(f"flux-{app.overlay}", kustomization, plugin=False), plugins=False))

    def forget(self, app: App, *, with_all: bool) -> None:
        path = f"{KUSTOMIZATIONS}/{app.name}"
        if with_all:
            self._cluster.expect(200, "PATCH", path, body={"spec": {"deletionPolicy": "Delete"}})
        self._cluster.expect(200, "DELETE", path)

    def look(self, app: App) -> None:
        self._request(self._sources[app])

    def sync_again(self, apps: Sequence[App]) -> None:
        requests = {app: self._request(f"{KUSTOMIZATIONS}/{app.name}") for app in apps}
        for app, request in requests.items():
            until_fine(f"flux: {app.name} reconciled again", lambda app=app, request=request: self._unfinished(app, request))

    def _unfinished(self, app: App, request: str) -> str:
        status = self._cluster.expect(200, "GET", f"{KUSTOMIZATIONS}/{app.name}")["status"]
        return "" if status.get("lastHandledReconcileAt") == request and condition(status)["status"] == "True" else str(status)

    def state(self, app: App) -> State:
        status = self._cluster.expect(200, "GET", f"{KUSTOMIZATIONS}/{app.name}").get("status", {})
        ready = condition(status)
        fine = ready["status"] == "True" and status.get("lastAppliedRevision") == status.get("lastAttemptedRevision")
        message = ready["message"] if ready["status"] == "False" else ""
        return State(status.get("lastAttemptedRevision", "").rpartition(":")[2], fine, message)

    def origin(self, app: App) -> str:
        """The source that an artifact says it was made from."""
        status = self._cluster.expect(200, "GET", f"{KUSTOMIZATIONS}/{app.name}")["status"]
        return str(status.get("lastAppliedOriginRevision", ""))

    def is_there(self, app: App) -> bool:
        return self._cluster.request("GET", f"{KUSTOMIZATIONS}/{app.name}").status == 200

    def _request(self, path: str) -> str:
        """Asks for a reconcile now; each request has a text of its own."""
        text = f"e2e-{next(self._requests)}"
        self._cluster.expect(200, "PATCH", path, body={"metadata": {"annotations": {REQUEST: text}}})
        return text

    def _home(self, name: str) -> Path:
        home = self._folder / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _run(self, name: str, *flags: str) -> None:
        home = str(self._home(name))
        env = {**os.environ, "HOME": home, "TMPDIR": home, "KUBECONFIG": str(self._cluster.kubeconfig), "RUNTIME_NAMESPACE": NAMESPACE}
        command: Command = [program(name), "--watch-all-namespaces", "--enable-leader-election=false", *QUICK, *flags]
        self._processes.start(command, env=env)


def addresses(metrics: int, health: int) -> list[str]:
    return [f"--metrics-addr=127.0.0.1:{metrics}", f"--health-addr=127.0.0.1:{health}"]


def condition(status: Object) -> Object:
    """Whether it is ready, and why not."""
    nothing: Object = {"status": "Unknown", "message": ""}
    return next((one for one in status.get("conditions", []) if one["type"] == "Ready"), nothing)
