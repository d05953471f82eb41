"""A commit becomes an artifact in a registry, and the artifact a running cluster, with Flux."""

from __future__ import annotations

import json

import pytest

from .conftest import Lab
from .engine import App, await_synced
from .flux import NAMESPACE, Flux
from .members import await_members, claims, names, pods, uids, versions
from .registry import PASSWORD, started
from .repository import EMQX_GITOPS, run

pytestmark = pytest.mark.parametrize("engine", ["flux"], indirect=True, scope="session")

OVERLAY = "persistent"
FOLDER = f"clusters/{OVERLAY}"
NAME = "platform/emqx-rendered"


def test_commit_to_an_artifact_to_members_that_find_each_other(lab: Lab, engine: Flux) -> None:
    """Started, rolled by a changed setting, and left alone by a commit that changes no object."""
    app, cluster = App(OVERLAY, "emqx-flux-artifact"), lab.cluster
    registry = started(lab.processes, lab.folder("registry"))
    repository = lab.repository("artifact", "flux", {app.overlay: app.namespace})
    cluster.create_namespace(app.namespace)
    cluster.kubectl("create", "--filename=-", stdin=repository.secrets(app.overlay))
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(registry.secret("registry", NAMESPACE)))

    commit = repository.commit("Start a cluster")
    with pytest.raises(AssertionError, match="UNAUTHORIZED") as refused:
        run(repository.dry.folder, "env", "DOCKER_CONFIG=/nonexistent", EMQX_GITOPS, "publish", FOLDER, "--oci", f"{registry.url(NAME)}:main")
    assert PASSWORD not in str(refused.value)
    first = digest(registry.publish(repository, NAME, FOLDER))
    engine.follow_artifact(app, repository, registry.url(NAME), "registry")
    await_synced(engine, app, first)
    assert engine.origin(app) == f"sha1:{commit}"
    await_members(cluster, app, 3)

    before = uids(pods(cluster, app)), names(cluster, app), claims(cluster, app)
    repository.set(app.overlay, "EMQX_MQTT__MAX_PACKET_SIZE", "2MB")
    commit = repository.commit("Take larger packets")
    second = digest(registry.publish(repository, NAME, FOLDER))
    await_synced(engine, app, second)
    assert engine.origin(app) == f"sha1:{commit}"
    assert (await_members(cluster, app, 3, none_of=before[0]), claims(cluster, app)) == before[1:]

    there = versions(cluster, app)
    repository.commit("Change nothing")
    assert registry.publish(repository, NAME, FOLDER).startswith(f"{registry.url(NAME)}:main: nothing changed since sha256:{second[:12]}, ")
    engine.sync_again([app])
    await_synced(engine, app, second)
    assert versions(cluster, app) == there
    engine.forget(app, with_all=False)


def digest(said: str) -> str:
    """The digest with which the command ends, without its algorithm."""
    return said.rsplit(maxsplit=1)[-1].removeprefix("sha256:")
