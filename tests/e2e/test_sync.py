"""A commit becomes a running cluster, with each engine; all three overlays at once, since one branch holds them all.

The tests of one engine are a story: each goes on from what the one before it left, all of it synced.
"""

from __future__ import annotations

import pytest

from cluster.client import path_of
from cluster.live import environment, workload_objects

from .conftest import Story
from .engine import App, await_refused, await_synced
from .members import await_members, await_rolled, claims, config_maps, names, pods, settings_named, uids, versions
from .waiting import until

pytestmark = pytest.mark.parametrize("engine", ["flux", "argocd"], indirect=True, scope="session")


def test_pods_of_a_cluster_are_in_three_zones(story: Story) -> None:
    for app in story.apps:
        assert {pod["spec"]["nodeName"] for pod in pods(story.cluster, app)} == {"node-a", "node-b", "node-c"}, app


def test_token_of_a_pod_gets_the_endpoints_and_nothing_else(story: Story) -> None:
    for app in story.apps:
        pod = pods(story.cluster, app)[0]
        service = environment(pod)["EMQX_CLUSTER__K8S__SERVICE_NAME"]
        token = story.cluster.token(app.namespace, pod["spec"]["serviceAccountName"], pod)
        endpoints = path_of(app.namespace, "v1/endpoints")
        assert status(story, f"{endpoints}/{service}", token) == 200
        assert status(story, endpoints, token) == 403
        assert status(story, f"{endpoints}/emqx", token) == 403
        without_role = story.cluster.token(app.namespace, "default")
        assert status(story, f"{endpoints}/{service}", without_role) == 403


def status(story: Story, path: str, token: str) -> int:
    return story.cluster.request("GET", path, token=token).status


def test_second_sync_changes_nothing(story: Story) -> None:
    before = {app: versions(story.cluster, app) for app in story.apps}
    story.engine.sync_again(story.apps)
    commit = story.repository.touch()
    for app in story.apps:
        await_synced(story.engine, app, commit)
        assert versions(story.cluster, app) == before[app]


def test_role_removed_by_hand_comes_back(story: Story) -> None:
    for app in story.apps:
        story.cluster.expect(200, "DELETE", f"{path_of(app.namespace, 'rbac.authorization.k8s.io/v1/roles')}/emqx")
    story.engine.sync_again(story.apps)
    for app in story.apps:
        await_members(story.cluster, app, 3)


def test_changed_setting_rolls_the_pods(story: Story) -> None:
    before = {app: (uids(pods(story.cluster, app)), names(story.cluster, app), claims(story.cluster, app)) for app in story.apps}
    settings = {app: settings_named(pods(story.cluster, app)) for app in story.apps}
    for app in story.apps:
        story.repository.set(app.overlay, "EMQX_MQTT__MAX_PACKET_SIZE", "2MB")
    commit = story.repository.publish("Take larger packets")
    for app in story.apps:
        story.engine.look(app)
    await_rolled(story.cluster, {app: old_pods for app, (old_pods, _, _) in before.items()})
    for app in story.apps:
        await_synced(story.engine, app, commit)
    for app, (old_pods, old_names, old_claims) in before.items():
        new_names = await_members(story.cluster, app, 3, none_of=old_pods)
        assert new_names == old_names or not keeps_names(app)
        assert claims(story.cluster, app) == old_claims
        # One generation back, for those that have not rolled yet.
        assert settings[app] <= config_maps(story.cluster, app)


def keeps_names(app: App) -> bool:
    """A node that is named by its address may have another name in its next life."""
    return app.overlay != "deployment-ip"


def test_scale_up_and_down(story: Story) -> None:
    before = {app: names(story.cluster, app) for app in story.apps}
    for count in (5, 3):
        for app in story.apps:
            story.repository.scale(app.overlay, count)
        story.publish(f"Scale to {count}")
        for app in story.apps:
            await_members(story.cluster, app, count)
    for app in story.apps:
        if keeps_names(app):
            assert names(story.cluster, app) == before[app]
        assert len(claims(story.cluster, app)) == (5 if app.overlay == "persistent" else 0)


def test_deleted_pod_comes_back(story: Story) -> None:
    for app in story.apps:
        there = pods(story.cluster, app)
        before = names(story.cluster, app)
        victim = there[0]["metadata"]
        story.cluster.expect(200, "DELETE", f"{path_of(app.namespace, 'v1/pods')}/{victim['name']}")
        after = await_members(story.cluster, app, 3, none_of=frozenset([victim["uid"]]))
        assert after == before or not keeps_names(app)


def test_controller_killed_in_mid_sync(story: Story) -> None:
    """Two more commits, one before and one while it is away: it ends at the newer."""
    before = {app: uids(pods(story.cluster, app)) for app in story.apps}
    generations = {app: generation(story, app) for app in story.apps}
    for app in story.apps:
        story.repository.set(app.overlay, "EMQX_MQTT__MAX_QOS_ALLOWED", "1")
    first = story.repository.publish("Allow QoS 1")
    story.engine.look(story.apps[0])
    until("a workload is changed", lambda: any(generation(story, app) != generations[app] for app in story.apps))
    story.engine.kill()
    assert not all(story.engine.state(app).fine and story.engine.state(app).commit == first for app in story.apps), "killed too late"
    for app in story.apps:
        story.repository.set(app.overlay, "EMQX_MQTT__MAX_QOS_ALLOWED", "2")
    second = story.repository.publish("Allow QoS 2")
    story.engine.start()
    for app in story.apps:
        await_synced(story.engine, app, second)
        await_members(story.cluster, app, 3, none_of=before[app])


def generation(story: Story, app: App) -> int:
    (workload,) = workload_objects(story.cluster, app.namespace)
    return int(workload["metadata"]["generation"])


BROKEN = {
    "no YAML": ("service-emqx.yaml", lambda text: f"{text}  ports: [\n", "yaml"),
    "refused by the API server": ("service-emqx.yaml", lambda text: text.replace("port: 1883", "port: 70000"), "between 1 and 65535"),
    "immutable field": ("statefulset-emqx.yaml", lambda text: text.replace("storage: 2Gi", "storage: 3Gi"), "updates to statefulset spec"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_broken_commit_changes_nothing_and_says_why(story: Story, how: str) -> None:
    app = story.apps[-1]
    before = {app: versions(story.cluster, app) for app in story.apps}
    file, change, expected = BROKEN[how]
    commit = story.repository.break_rendering(app.overlay, file, change)
    message = await_refused(story.engine, app, commit)
    assert expected in message
    assert {app: versions(story.cluster, app) for app in story.apps} == before
    mended = story.repository.mend_rendering()
    for app in story.apps:
        await_synced(story.engine, app, mended)
    assert {app: versions(story.cluster, app) for app in story.apps} == before


def test_engine_that_forgets_leaves_the_brokers(story: Story) -> None:
    before = {app: versions(story.cluster, app) for app in story.apps}
    forget(story, with_all=False)
    assert {app: versions(story.cluster, app) for app in story.apps} == before
    start_again(story)


def test_removal_keeps_the_claims(story: Story) -> None:
    before = {app: claims(story.cluster, app) for app in story.apps}
    forget(story, with_all=True)
    for app in story.apps:
        until(f"no pods of {app.name}", lambda app=app: not pods(story.cluster, app))
        assert not workload_objects(story.cluster, app.namespace)
        assert claims(story.cluster, app) == before[app]
    start_again(story)
    for app in story.apps:
        assert claims(story.cluster, app) == before[app]


def forget(story: Story, *, with_all: bool) -> None:
    for app in story.apps:
        story.engine.forget(app, with_all=with_all)
    for app in story.apps:
        until(f"{app.name} forgotten", lambda app=app: not story.engine.is_there(app))


def start_again(story: Story) -> None:
    for app in story.apps:
        story.engine.follow(app, story.repository)
    story.publish("Start again")
    for app in story.apps:
        await_members(story.cluster, app, 3)
