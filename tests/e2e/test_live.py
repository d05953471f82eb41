"""The check of a live cluster, on nodes where pods become ready and no container runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from cluster.client import Cluster
from cluster.rendering import ROOT
from live.check import STEPS, running_nodes

SECONDS = 240.0


def check(cluster: Cluster, overlay: str, *flags: str, namespace: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tests" / "live" / "check.py", f"overlays/{overlay}", f"--namespace={namespace}", *flags]
    env = {**os.environ, "KUBECTL": str(cluster.program), "KUBECONFIG": str(cluster.kubeconfig), "TMPDIR": str(cluster.home)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)


def test_passes_and_leaves_nothing(cluster: Cluster) -> None:
    ended = check(cluster, "persistent", "--no-brokers", namespace="live")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout
    first, *steps = ended.stdout.splitlines()
    assert first == "skipped: what brokers say of the cluster, by --no-brokers: no container runs here"
    assert [line.split(": ")[1] for line in steps] == list(STEPS)
    assert "it goes: 5 claims stay" in steps[-1]
    assert cluster.request("GET", "/api/v1/namespaces/live").status == 404
    assert list(cluster.home.glob("emqx-gitops-live-*")) == []


def test_where_no_broker_answers_it_fails_and_shows_what_is_there(cluster: Cluster) -> None:
    ended = check(cluster, "deployment-ip", "--seconds=20", namespace="live-silent")
    assert ended.returncode == 1
    assert re.search(r"check\.py: 3 members find each other: not within 20 s; there was: wanted \['emqx@", ended.stderr), ended.stderr
    assert re.search(r"kubectl get pods.*:\nNAME +READY", ended.stderr)
    assert cluster.request("GET", "/api/v1/namespaces/live-silent").status == 404


def test_namespace_that_is_there_is_refused_and_stays(cluster: Cluster) -> None:
    ended = check(cluster, "persistent", "--no-brokers", namespace="kube-public")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "check.py: --namespace: expected one that is not there yet; got kube-public\n  fix: name another, it is removed at the end\n"
    assert cluster.request("GET", "/api/v1/namespaces/kube-public").status == 200


SAID = [
    "Cluster status: #{running_nodes => ['emqx@10.0.0.1','emqx@10.0.0.2'],\n                  stopped_nodes => ['emqx@10.0.0.3']}\n",
    "Cluster status: #{running_nodes =>\n    ['emqx@10.0.0.1',\n     'emqx@10.0.0.2'],\n                  stopped_nodes => []}\n",
]


@pytest.mark.parametrize("said", SAID, ids=["a line", "lines"])
def test_stopped_nodes_do_not_run(said: str) -> None:
    assert running_nodes(said) == {"emqx@10.0.0.1", "emqx@10.0.0.2"}
