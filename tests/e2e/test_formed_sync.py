"""The Job that asks the members whether they found each other, as the engines run it: when, under which name, and how often.

Its pod runs nowhere here, and ends well; what it finds out, test_formed.py sees.
"""

from __future__ import annotations

import pytest

from cluster.client import Cluster, Object
from cluster.live import name_of

from .conftest import Lab
from .engine import App, Engine, await_synced
from .members import await_members, pods, uids
from .repository import edit

pytestmark = pytest.mark.parametrize("engine", ["flux", "argocd"], indirect=True, scope="session")


def test_it_runs_when_the_pods_changed(lab: Lab, engine: Engine) -> None:
    """Flux: once for each template, whatever else is reconciled. Argo CD: at each sync, in place of the Job before."""
    app, cluster = App("persistent", f"emqx-{engine.name}-formed"), lab.cluster
    repository = lab.repository(f"{engine.name}-formed", engine.name, {app.overlay: app.namespace})
    edit(repository.cluster(app.overlay), components=["../../base/cluster-formed", f"../../sync/{engine.name}/annotations"])
    cluster.create_namespace(app.namespace)
    cluster.kubectl("create", "--filename=-", stdin=repository.secrets(app.overlay))

    commit = repository.publish("Start a cluster that is checked")
    engine.follow(app, repository)
    await_synced(engine, app, commit)
    await_members(cluster, app, 3)
    first = job(cluster, app)

    engine.sync_again([app])
    again = job(cluster, app)
    assert (uid(again) == uid(first)) is (engine.name == "flux")
    assert name_of(again) == name_of(first)

    old = uids(pods(cluster, app))
    repository.set(app.overlay, "EMQX_MQTT__MAX_PACKET_SIZE", "2MB")
    await_synced(engine, app, repository.publish("Take larger packets"))
    await_members(cluster, app, 3, none_of=old)
    second = job(cluster, app)
    assert uid(second) not in (uid(first), uid(again))
    assert (name_of(second) == name_of(first)) is (engine.name == "argocd")
    engine.forget(app, with_all=False)


def job(cluster: Cluster, app: App) -> Object:
    """The only Job, which is complete: the engine has waited for it."""
    (found,) = (one for one in cluster.items(app.namespace, "batch/v1/jobs") if "deletionTimestamp" not in one["metadata"])
    assert [one["status"] for one in found["status"]["conditions"] if one["type"] == "Complete"] == ["True"]
    return found


def uid(found: Object) -> str:
    return str(found["metadata"]["uid"])
