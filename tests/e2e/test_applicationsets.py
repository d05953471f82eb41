"""ApplicationSets make the Applications of a rendered branch, and take none away; nor does Argo CD take data away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from cluster.client import Object, path_of
from cluster.rendering import OVERLAYS, adding, build, replacing

from .argocd import APPLICATIONS, APPROVED, NAMESPACE, ArgoCD, project
from .conftest import Lab, Story
from .engine import App, await_synced
from .members import claims, pods, uids
from .repository import BRANCH, commit, head, run
from .waiting import until, until_fine

SETS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applicationsets"
GENERATE = {"metadata": {"annotations": {"argocd.argoproj.io/application-set-refresh": "true"}}}

pytestmark = pytest.mark.parametrize("engine", ["argocd"], indirect=True, scope="session")


@pytest.fixture(scope="module")
def story(lab: Lab, engine: ArgoCD) -> Iterator[Story]:
    """Three clusters in a rendered branch, named as the ApplicationSets name their Applications."""
    apps = tuple(App(overlay, f"emqx-{overlay}") for overlay in OVERLAYS)
    repository = lab.repository("sets", "argocd", {app.overlay: app.namespace for app in apps})
    for app in apps:
        lab.cluster.create_namespace(app.namespace)
        lab.cluster.kubectl("create", "--filename=-", stdin=repository.secrets(app.overlay))
    repository.publish("Start three clusters")
    with engine.generating():
        yield Story(lab.cluster, engine, repository, apps)


def follow(story: Story, folder: str, at: str, *destinations: Object) -> str:
    """Applies the project and an ApplicationSet with what the documentation says to patch; tells the path of the set."""
    url = story.repository.url
    sources = [replacing("ApplicationSet", f"{at}/git/repoURL", url), replacing("ApplicationSet", "/spec/template/spec/source/repoURL", url)]
    further = [adding("AppProject", "/spec/destinations/-", destination) for destination in destinations]
    layers = {
        "argocd-project": {**project(story.repository), "patches": [*project(story.repository)["patches"], *further]},
        f"argocd-{folder}": {"resources": [f"../../sync/argocd/{folder}"], "patches": sources},
    }
    for name, content in layers.items():
        story.cluster.apply(NAMESPACE, build(story.repository.dry.layer(name, content, plugin=False), plugins=False))
    return f"{SETS}/emqx-{folder}"


def applications(story: Story, owner: str) -> dict[str, Object]:
    """The specs of the Applications that an ApplicationSet owns, by name."""
    found = story.cluster.expect(200, "GET", APPLICATIONS)["items"]
    owners = {one["metadata"]["name"]: [by["name"] for by in one["metadata"].get("ownerReferences", [])] for one in found}
    return {one["metadata"]["name"]: one["spec"] for one in found if owner in owners[one["metadata"]["name"]]}


def remove(story: Story, *paths: str) -> str:
    """A commit in the rendered branch without these files and folders."""
    run(story.repository.rendered, "git", "rm", "-r", "--quiet", *paths)
    return commit(story.repository.rendered, BRANCH, f"Remove {', '.join(paths)}")


def test_fleet_gives_each_cluster_the_folder_that_its_label_names(story: Story) -> None:
    asks = {"east": "persistent", "west": "deployment-ip", "north": "persistent"}
    servers = {name: f"https://{name}.invalid" for name in asks}
    for name, folder in asks.items():
        story.cluster.apply(NAMESPACE, json.dumps(cluster_secret(name, servers[name], folder)))
    path = follow(story, "fleet", "/spec/generators/0/matrix/generators/0", *({"server": server, "namespace": "emqx-*"} for server in servers.values()))
    until("an Application for each cluster", lambda: len(applications(story, "emqx-fleet")) == len(asks))
    made = {name: (spec["source"]["path"], spec["destination"]["server"]) for name, spec in applications(story, "emqx-fleet").items()}
    assert made == {f"emqx-{folder}-{name}": (f"clusters/{folder}", servers[name]) for name, folder in asks.items()}

    story.cluster.expect(200, "DELETE", path)
    until("nobody owns the Applications", lambda: not applications(story, "emqx-fleet"))
    for name in made:
        story.cluster.expect(200, "DELETE", f"{APPLICATIONS}/{name}")
    for name in asks:
        story.cluster.expect(200, "DELETE", f"{path_of(NAMESPACE, 'v1/secrets')}/{name}")


def cluster_secret(name: str, server: str, folder: str) -> Object:
    """A cluster as Argo CD notes it, of which nothing answers."""
    labels = {"argocd.argoproj.io/secret-type": "cluster", "emqx-gitops.dev/folder": folder}
    data = {"name": name, "server": server, "config": "{}"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "stringData": data}


def test_folders_become_applications_that_outlive_them(story: Story) -> None:
    path = follow(story, "folders", "/spec/generators/0")
    until("an Application for each folder", lambda: len(applications(story, "emqx-folders")) == len(OVERLAYS))
    found = applications(story, "emqx-folders")
    assert {name: spec["source"]["path"] for name, spec in found.items()} == {app.name: f"clusters/{app.overlay}" for app in story.apps}
    assert all(spec["syncPolicy"]["retry"]["refresh"] for spec in found.values())
    story.await_formed(head(story.repository.rendered))

    gone, *others = story.apps
    before = uids(pods(story.cluster, gone))
    after = remove(story, f"clusters/{gone.overlay}")
    story.cluster.expect(200, "PATCH", path, body=GENERATE)
    until("the ApplicationSet is done", lambda: not story.cluster.expect(200, "GET", path)["metadata"].get("annotations"))
    for app in others:
        await_synced(story.engine, app, after)
    assert story.engine.is_there(gone)
    assert uids(pods(story.cluster, gone)) == before

    story.cluster.expect(200, "DELETE", path)
    until("the ApplicationSet is gone", lambda: story.cluster.request("GET", path).status == 404)
    # What Kubernetes does to what was owned comes after the owner is gone.
    until("nobody owns the Applications", lambda: not applications(story, "emqx-folders"))
    assert [app for app in story.apps if not story.engine.is_there(app)] == []
    assert uids(pods(story.cluster, gone)) == before

    only_approved_goes(story, story.apps[-1])
    for app in story.apps:
        story.engine.forget(app, with_all=False)


def only_approved_goes(story: Story, app: App) -> None:
    """A StatefulSet that left the branch waits for a person; the Namespace that left with it stays, and so do the claims."""
    kept, brokers = (claims(story.cluster, app), namespace(story, app)), uids(pods(story.cluster, app))
    last = remove(story, *(f"clusters/{app.overlay}/{file}" for file in ("statefulset-emqx.yaml", f"namespace-{app.namespace}.yaml")))
    story.engine.look(app)
    until_fine("Argo CD asks", lambda: "" if "Waiting for pruning confirmation of apps/v1/StatefulSet/emqx" in operation(story, app) else operation(story, app))
    assert uids(pods(story.cluster, app)) == brokers

    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    story.cluster.expect(200, "PATCH", f"{APPLICATIONS}/{app.name}", body={"metadata": {"annotations": {APPROVED: now}}})
    until("the brokers are gone", lambda: not pods(story.cluster, app))
    until_fine("the sync ends", lambda: "" if f"Succeeded {last}" in operation(story, app) else operation(story, app))
    until("the Namespace is missed", lambda: story.cluster.expect(200, "GET", f"{APPLICATIONS}/{app.name}")["status"]["sync"]["status"] == "OutOfSync")
    assert (claims(story.cluster, app), namespace(story, app)) == kept
    assert len(kept[0]) == 3


def operation(story: Story, app: App) -> str:
    """How far the last sync is, which commit it is of, and what it says."""
    last = story.cluster.expect(200, "GET", f"{APPLICATIONS}/{app.name}")["status"].get("operationState", {})
    return f"{last.get('phase')} {last.get('syncResult', {}).get('revision')}: {last.get('message')}"


def namespace(story: Story, app: App) -> tuple[str, bool]:
    """Which one it is, and whether it is on its way out."""
    metadata = story.cluster.expect(200, "GET", f"/api/v1/namespaces/{app.namespace}")["metadata"]
    return metadata["uid"], "deletionTimestamp" in metadata
