"""Argo CD renders the branch that people write itself: by its own kustomize with our plugin, or by the sidecar."""

from __future__ import annotations

import pytest

from .argocd import ArgoCD
from .conftest import Lab, prepare
from .engine import await_refused
from .members import await_members, await_rolled, config_maps, pods, settings_named, uids, versions
from .waiting import until

pytestmark = pytest.mark.parametrize("engine", ["argocd"], indirect=True, scope="session")


@pytest.mark.parametrize("route", ["native", "cmp"])
def test_commit_to_the_branch_that_people_write(lab: Lab, engine: ArgoCD, route: str) -> None:
    """Three clusters form, a changed setting rolls them, and what the plugin refuses changes nothing."""
    story = prepare(lab, engine, route)
    commit = story.repository.commit("Start three clusters")
    for app in story.apps:
        engine.follow(app, story.repository, route)
    story.await_formed(commit)

    before = {app: uids(pods(lab.cluster, app)) for app in story.apps}
    settings = {app: settings_named(pods(lab.cluster, app)) for app in story.apps}
    for app in story.apps:
        story.repository.set(app.overlay, "EMQX_MQTT__MAX_PACKET_SIZE", "2MB")
    commit = story.repository.commit("Take larger packets")
    for app in story.apps:
        engine.look(app)
    await_rolled(lab.cluster, before)
    story.await_formed(commit)
    for app in story.apps:
        await_members(lab.cluster, app, 3, none_of=before[app])
        until(f"the old settings of {app.name} are pruned", lambda app=app: not settings[app] & config_maps(lab.cluster, app))

    app = story.apps[-1]
    there = versions(lab.cluster, app)
    story.repository.set(app.overlay, "EMQX_CLUSTER__DISCOVERY_STRATEGY", "manual")
    message = await_refused(engine, app, story.repository.commit("Take their discovery away"))
    assert "EMQX_CLUSTER__DISCOVERY_STRATEGY" in message
    assert versions(lab.cluster, app) == there
    for app in story.apps:
        engine.forget(app, with_all=False)
