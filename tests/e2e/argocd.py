"""Argo CD: redis, repo-server, application-controller and, when asked for, applicationset-controller as plain processes."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from cluster.client import Cluster, Object
from cluster.controlplane import ROOT, Processes, free_ports, program
from cluster.rendering import KUSTOMIZE, build, documents, replacing
from sync.manifests import ARGOCD as INSTALLED

from .engine import App, State
from .repository import EMQX_GITOPS, Repository
from .waiting import until, until_fine

NAMESPACE = "argocd"
APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"
MANIFESTS = ROOT / ".tools" / "cluster" / "manifests" / "argocd"
SYNC = ROOT / "sync" / "argocd"
CONTROLLER = "argocd-application-controller"
GENERATOR = "argocd-applicationset-controller"
# Where the images of the two routes hold what this clone holds.
IN_IMAGE = "/opt/emqx-gitops"
REFRESH = "argocd.argoproj.io/refresh"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
COMMIT = re.compile("[0-9a-f]{40}")
APPROVED = "argocd.argoproj.io/deletion-approved"


def installation(folder: Path) -> dict[tuple[str, str], Object]:
    """Argo CD's own manifests and what both routes add to them, as their pages say to build it; by kind and name."""
    (folder / "argo-cd.yaml").write_text(INSTALLED)
    components = [os.path.relpath(SYNC / route / "repo-server", folder.resolve()) for route in ("native", "cmp")]
    content = {"namespace": NAMESPACE, "resources": ["argo-cd.yaml"], "components": components}
    (folder / "kustomization.yaml").write_text(json.dumps(content))
    return {(one["kind"], one["metadata"]["name"]): one for one in documents(build(folder, plugins=False))}


def configuration(installed: Mapping[tuple[str, str], Object]) -> list[Object]:
    """What the controllers insist on."""
    labels = {"app.kubernetes.io/part-of": "argocd"}
    kinds = {"argocd-rbac-cm": "ConfigMap", "argocd-secret": "Secret"}
    empty = [{"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}} for name, kind in kinds.items()]
    return [installed["ConfigMap", "argocd-cm"], *empty]


def environment(installed: Mapping[tuple[str, str], Object], container: str) -> dict[str, str]:
    """What a container of the repo-server's pod is given; what is in its image is this clone here."""
    (found,) = (one for one in installed["Deployment", "argocd-repo-server"]["spec"]["template"]["spec"]["containers"] if one["name"] == container)
    return {entry["name"]: entry["value"].replace(IN_IMAGE, str(ROOT)) for entry in found["env"]}


def plugin(installed: Mapping[tuple[str, str], Object]) -> str:
    """The file that the sidecar mounts."""
    (found,) = (one["data"]["plugin.yaml"] for (_, name), one in installed.items() if name.startswith("argocd-emqx-gitops-"))
    return str(found)


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
        installed = installation(self._home("installation"))
        for item in configuration(installed):
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
            env=environment(installed, "argocd-repo-server"),
        )
        sidecar = self._home("sidecar")
        (sidecar / "plugin.yaml").write_text(plugin(installed))
        self._run("argocd-cmp-server", f"--config-dir-path={sidecar}", env={**environment(installed, "emqx-gitops"), "HOME": str(sidecar)})
        self.start()

    @contextmanager
    def generating(self) -> Iterator[None]:
        """With the controller that makes Applications of ApplicationSets."""
        metrics, probe, webhook = (f"127.0.0.1:{port}" for port in free_ports(3))
        self._run(
            GENERATOR,
            f"--namespace={NAMESPACE}",
            f"--argocd-repo-server=127.0.0.1:{self._repo_server}",
            "--repo-server-plaintext",
            f"--metrics-addr={metrics}",
            f"--probe-addr={probe}",
            f"--webhook-addr={webhook}",
        )
        yield
        self._processes.kill(GENERATOR)

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
        found = self._cluster.expect(200, "GET", self._path(app))
        last = found["status"].get("operationState", {})
        if any(one["value"] == number for one in last.get("operation", {}).get("info", [])):
            return "" if last["phase"] == "Succeeded" else str(last)
        if "operation" not in found:
            # An order that meets a sync under way goes with it.
            self._order(app, number)
        return str(last)

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

    def _run(self, name: str, *flags: str, env: Mapping[str, str] | None = None) -> None:
        """Argo CD is one program that a variable turns into any of its parts."""
        home = self._home(name)
        folders = ("TLS_DATA_PATH", "SSH_DATA_PATH", "GPG_DATA_PATH", "GNUPGHOME", "PLUGINSOCKFILEPATH", "CMP_WORKDIR")
        whole = {
            **os.environ,
            # What the images of the two routes hold: kustomize, emqx-gitops.
            "PATH": f"{KUSTOMIZE.parent}:{EMQX_GITOPS.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(home),
            "KUBECONFIG": str(self._cluster.kubeconfig),
            "ARGOCD_BINARY_NAME": name,
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_SYNC_WAVE_DELAY": "0",
            **{f"ARGOCD_{folder}": str(self._home(folder.lower())) for folder in folders},
            **(env or {}),
        }
        self._processes.start([program("argocd"), *flags], name, whole)

    def _redis_flags(self) -> list[str]:
        return ["--redis", f"127.0.0.1:{self._redis}"]


def complaints(status: Object) -> list[str]:
    """Why it cannot render or compare, and what the API server refused."""
    conditions = [one["message"] for one in status.get("conditions", []) if one["type"].endswith("Error")]
    last = status.get("operationState", {}).get("syncResult", {})
    of_this = last.get("revision") == status.get("sync", {}).get("revision")
    refused = [one["message"] for one in last.get("resources", []) if one.get("status") == "SyncFailed"]
    return [*conditions, *(refused if of_this else [])]
