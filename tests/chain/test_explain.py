"""What `emqx-gitops explain` prints of a rendering."""

from __future__ import annotations

from pathlib import Path

from emqx_gitops import explain_cluster
from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.sources import Read

from .builds import BY_HOSTNAME, Objects, allowed, build, text


def rendering(objects: Objects) -> Rendering:
    stream = text(objects)
    return from_text("stream.yaml", Read(((Path("stream.yaml"), stream),)), stream)


def plain(_: str, words: str) -> str:
    return words


def test_a_whole_cluster() -> None:
    assert (
        explain_cluster.text(rendering(allowed(build("StatefulSet"))), plain)
        == """\
StatefulSet/emqx in namespace mq: EMQX 5.8.9, 3 members
  ok       image         EMQX 5.8.9, community
  ok       node name     emqx@<pod>.emqx-headless.mq.svc.cluster.local   (EMQX_NAME, EMQX_HOST)
  ok       strategy      k8s   (EMQX_CLUSTER__DISCOVERY_STRATEGY)
  ok       source        Endpoints emqx-headless in namespace mq, at https://kubernetes.default.svc:443
  ok       names         emqx@<pod>.emqx-headless.mq.svc.cluster.local   (EMQX_CLUSTER__K8S__ADDRESS_TYPE)
  ok       same names    what discovery returns is what each member is called
  ok       permission    get endpoints emqx-headless in namespace mq: Role/emqx by RoleBinding/emqx
  ok       token         of ServiceAccount emqx
  ok       member ports  4370 (Erlang distribution), 5369 (RPC)
  ok       cookie        the default one, which everybody knows
  it will cluster

permissions
  ServiceAccount/emqx in namespace mq:
    get on endpoints named emqx-headless, in namespace mq   (Role/emqx by RoleBinding/emqx)
"""
    )


def test_a_broken_link_shows_where_why_and_the_fix() -> None:
    said = explain_cluster.text(rendering(allowed(build("StatefulSet", env=BY_HOSTNAME | {"EMQX_CLUSTER__K8S__SUFFIX": ""}))), plain)
    assert "  broken   same names    emqx@<pod>\n" in said
    assert "    stream.yaml:62:18: StatefulSet/emqx: spec.template.spec.containers[emqx].env[EMQX_CLUSTER__K8S__SUFFIX]: expected discovery" in said
    assert "      fix: set EMQX_CLUSTER__K8S__SUFFIX: svc.cluster.local\n" in said
    assert "  it will not cluster\n" in said


def test_data() -> None:
    found = explain_cluster.data(rendering(build(env={})))
    (cluster,) = found["clusters"]
    assert {key: cluster[key] for key in ("workload", "namespace", "version", "members", "verdict", "problems")} == {
        "workload": "Deployment/emqx",
        "namespace": "mq",
        "version": "5.8.9",
        "members": 3,
        "verdict": "broken",
        "problems": [],
    }
    assert [link["state"] for link in cluster["links"]] == ["ok", "ok", "broken", "ok", "ok"]
    assert cluster["links"][2]["problem"]["rule"] == "will-not-cluster"
    assert found["subjects"] == [{"subject": "ServiceAccount/emqx in namespace mq", "may": []}]
    assert found["waivers"] == []


def test_a_workload_that_cannot_be_judged_says_why() -> None:
    said = explain_cluster.text(rendering(build(version="latest")), plain)
    assert "expected a tag that names a version, such as 5.8.9; got the tag 'latest'" in said
    assert said.splitlines()[3] == "  it cannot be judged"
