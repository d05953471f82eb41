"""Argo CD: redis, repo-server and application-controller as plain processes."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from cluster.client import Cluster, Object
from cluster.controlplane import ROOT, Processes, free_ports, program
from cluster.rendering import KUSTOMIZE, adding, build, documents, replacing

from .engine import App, State
from .repository import EMQX_GITOPS, Repository
from .waiting import until, until_fine

NAMESPACE = "argocd"
APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"
MANIFESTS = ROOT / ".tools" / "cluster" / "manifests" / "argocd"
SYNC = ROOT / "sync" / "argocd"
CONTROLLER = "argocd-application-controller"
REFRESH = "argocd.argoproj.io/refresh"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
COMMIT = re.compile("[0-9a-f]{40}")
APPROVED = "argocd.argoproj.io/deletion-approved"


def configuration() -> list[Object]:
    """What an installation brings and the controllers insist on, with what the native route adds to it."""
    labels = {"app.kubernetes.io/part-of": "argocd"}
    kinds = {"argocd-cm": "ConfigMap", "argocd-rbac-cm": "ConfigMap", "argocd-secret": "Secret"}
    options = native_options()
    # Argo CD reads the options of a version and never uses them: https://github.com/argoproj/argo-cd/issues/27673
    data = {"argocd-cm": {**options, "kustomize.path.emqx": str(KUSTOMIZE), "kustomize.buildOptions": options["kustomize.buildOptions.emqx"]}}
    return [{"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}, "data": data.get(name)} for name, kind in kinds.items()]


def native_options() -> dict[str, str]:
    (patch,) = documents((SYNC / "native" / "repo-server" / "argocd-cm.yaml").read_text())
    options: dict[str, str] = patch["data"]
    return options


def project(repository: Repository) -> Object:
    return {"resources": ["../../sync/argocd/project"], "patches": [replacing("AppProject", "/spec/sourceRepos/0", repository.url)]}


def layer(app: App, repository: Repository, route: str) -> Object:
    """What the documentation says to write over the route's application, and a shorter wait after a failure."""
    return {
        "resources": [f"../../sync/argocd/{route}/application"],
        "patches": [
            replacing("Application", "/spec/source/repoURL", repository.url),
            replacing("Application", "/spec/source/path", repository.path(app.overlay)),
            replacing("Application", "/metadata/name", app.name),
            replacing("Application", "/spec/syncPolicy/retry/backoff/duration", "1s"),
            # Or it goes on with the commit that was refused, up to the last of its attempts.
            adding("Application", "/spec/syncPolicy/retry/refresh", True),
        ],
    }


class ArgoCD:
    """What reads Git and what applies, with an API server and a folder."""

    name = "argocd"

    def __init__(self, processes: Processes, cluster: Cluster, folder: Path) -> None:
        self._processes = processes
        self._cluster = cluster
        self._folder = folder
        self._requests = itertools.count(1)

    def bring_up(self) -> None:
        cluster = self._cluster
        cluster.kubectl("create", f"--kustomize={MANIFESTS}")
        until("Applications served", lambda: cluster.request("GET", APPLICATIONS).status == 200)
        cluster.kubectl("create", "namespace", NAMESPACE)
        for item in configuration():
            cluster.apply(NAMESPACE, json.dumps(item))
        self._redis, self._repo_server, repo_metrics, self._metrics = free_ports(4)
        storage = ["--save", "", "--appendonly", "no", "--dir", str(self._home("redis"))]
        self._processes.start([program("redis-server"), "--bind", "127.0.0.1", "--port", str(self._redis), *storage])
        self._run(
            "argocd-repo-server",
            "--address=127.0.0.1",
            f"--port={self._repo_server}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={repo_metrics}",
            *self._redis_flags(),
            "--disable-tls",
            # Instead of three minutes.
            "--revision-cache-expiration=1s",
        )
        plugin = self._home("plugin")
        shutil.copy(SYNC / "cmp" / "repo-server" / "plugin.yaml", plugin)
        self._run("argocd-cmp-server", f"--config-dir-path={plugin}")
        self.start()

    def end(self) -> None:
        for name in (CONTROLLER, "argocd-cmp-server", "argocd-repo-server", "redis-server"):
            self._processes.kill(name)

    def start(self) -> None:
        self._run(
            CONTROLLER,
            f"--namespace={NAMESPACE}",
            f"--repo-server=127.0.0.1:{self._repo_server}",
            "--repo-server-plaintext",
            f"--metrics-port={self._metrics}",
            *self._redis_flags(),
            "--enable-k8s-event=none",
        )

    def kill(self) -> None:
        self._processes.kill(CONTROLLER)

    def follow(self, app: App, repository: Repository, route: str = ".") -> None:
        """By the rendered branch, or by `native` or `cmp` from the branch that people write."""
        layers = {"argocd-project": project(repository), f"argocd-{app.overlay}": layer(app, repository, route)}
        for name, content in layers.items():
            self._cluster.apply(NAMESPACE, build(repository.dry.layer(name, content, plugin=False), plugins=False))

    def forget(self, app: App, *, with_all: bool) -> None:
        path = self._path(app)
        # The end of a refresh takes all annotations away when its own was the only one it knew, an approval too.
        until(f"{app.name} not being refreshed", lambda: REFRESH not in self._cluster.expect(200, "GET", path)["metadata"].get("annotations", {}))
        if with_all:
            self._cluster.expect(200, "PATCH", path, body={"metadata": {"finalizers": [FINALIZER]}})
        self._cluster.expect(200, "DELETE", path)
        if with_all:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            self._cluster.expect(200, "PATCH", path, body={"metadata": {"annotations": {APPROVED: now}}})

    def look(self, app: App) -> None:
        self._cluster.expect(200, "PATCH", self._path(app), body={"metadata": {"annotations": {REFRESH: "normal"}}})

    def sync_again(self, apps: Sequence[App]) -> None:
        number = str(next(self._requests))
        for app in apps:
            self._order(app, number)
        for app in apps:
            until_fine(f"argocd: {app.name} synced again", lambda app=app: self._unfinished(app, number))

    def _order(self, app: App, number: str) -> None:
        spec = self._cluster.expect(200, "GET", self._path(app))["spec"]
        sync = {"prune": True, "syncOptions": spec["syncPolicy"]["syncOptions"]}
        self._cluster.expect(200, "PATCH", self._path(app), body={"operation": {"info": [{"name": "e2e", "value": number}], "sync": sync}})

    def _unfinished(self, app: App, number: str) -> str:
        last = self._cluster.expect(200, "GET", self._path(app))["status"].get("operationState", {})
        asked = last.get("operation", {}).get("info", [])
        return "" if last.get("phase") == "Succeeded" and any(one["value"] == number for one in asked) else str(last)

    def state(self, app: App) -> State:
        status = self._cluster.expect(200, "GET", self._path(app)).get("status", {})
        sync, health, last = (status.get(name, {}) for name in ("sync", "health", "operationState"))
        fine = sync.get("status") == "Synced" and health.get("status") == "Healthy" and last.get("phase") != "Running"
        # What cannot be rendered has the branch's name there.
        commit = sync.get("revision", "")
        return State(commit if COMMIT.fullmatch(commit) else "", fine, " ".join(complaints(status)))

    def is_there(self, app: App) -> bool:
        return self._cluster.request("GET", self._path(app)).status == 200

    def _path(self, app: App) -> str:
        return f"{APPLICATIONS}/{app.name}"

    def _home(self, name: str) -> Path:
        home = self._folder / name
        home.mkdir(parents=True, exist_ok=True)
        return home

    def _run(self, name: str, *flags: str) -> None:
        """Argo CD is one program that a variable turns into any of its parts."""
        home = self._home(name)
        folders = ("TLS_DATA_PATH", "SSH_DATA_PATH", "GPG_DATA_PATH", "GNUPGHOME", "PLUGINSOCKFILEPATH", "CMP_WORKDIR")
        env = {
            **os.environ,
            # What the images of the two routes hold: kustomize, emqx-gitops, the plugin.
            "PATH": f"{KUSTOMIZE.parent}:{EMQX_GITOPS.parent}:{os.environ['PATH']}",
            "KUSTOMIZE_PLUGIN_HOME": str(ROOT / "plugins"),
            "HOME": str(home),
            "TMPDIR": str(home),
            "KUBECONFIG": str(self._cluster.kubeconfig),
            "ARGOCD_BINARY_NAME": name,
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_SYNC_WAVE_DELAY": "0",
            **{f"ARGOCD_{folder}": str(self._home(folder.lower())) for folder in folders},
        }
        self._processes.start([program("argocd"), *flags], name, env)

    def _redis_flags(self) -> list[str]:
        return ["--redis", f"127.0.0.1:{self._redis}"]


def complaints(status: Object) -> list[str]:
    """Why it cannot render or compare, and what the API server refused."""
    conditions = [one["message"] for one in status.get("conditions", []) if one["type"].endswith("Error")]
    last = status.get("operationState", {}).get("syncResult", {})
    of_this = last.get("revision") == status.get("sync", {}).get("revision")
    refused = [one["message"] for one in last.get("resources", []) if one.get("status") == "SyncFailed"]
    return [*conditions, *(refused if of_this else [])]
