"""The Secrets that the command line prints are what the pods refer to, and are never replaced by a second run."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path

import pytest

from .client import Cluster, Object, Refused
from .live import await_pods
from .rendering import ROOT, Clone, build

CLI = ROOT / ".venv" / "bin" / "emqx-gitops"


def secrets_of(folder: Path) -> str:
    ended = subprocess.run([CLI, "secrets", folder], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def referred_to(pod: Object) -> set[tuple[str, str]]:
    """Secret and key of every variable that comes from one."""
    entries = [entry for container in pod["spec"]["containers"] for entry in container.get("env", [])]
    references = [entry["valueFrom"]["secretKeyRef"] for entry in entries if "secretKeyRef" in entry.get("valueFrom", {})]
    return {(reference["name"], reference["key"]) for reference in references}


def test_pods_find_every_secret(cluster: Cluster, namespace: str, clone: Clone) -> None:
    layer = clone.over("persistent", "user", namespace=namespace, namePrefix="eu-")
    cluster.kubectl("create", "--filename=-", stdin=secrets_of(layer))
    cluster.apply(namespace, build(layer))
    await_pods(cluster, namespace, 3)
    stored = {
        (secret["metadata"]["name"], key): base64.b64decode(value) for secret in cluster.items(namespace, "v1/secrets") for key, value in secret["data"].items()
    }
    for pod in cluster.items(namespace, "v1/pods"):
        assert referred_to(pod) == set(stored)
    assert all(len(value) >= 16 for value in stored.values())


def test_second_run_is_refused_and_changes_nothing(cluster: Cluster, namespace: str, clone: Clone) -> None:
    """A new cookie would split the cluster."""
    layer = clone.over("persistent", "user", namespace=namespace)
    cluster.kubectl("create", "--filename=-", stdin=secrets_of(layer))
    before = cluster.items(namespace, "v1/secrets")
    with pytest.raises(Refused) as raised:
        cluster.kubectl("create", "--filename=-", stdin=secrets_of(layer))
    assert str(raised.value).count("AlreadyExists") == len(before) == 2
    assert cluster.items(namespace, "v1/secrets") == before


def test_secrets_cannot_be_changed_by_hand(cluster: Cluster, namespace: str, clone: Clone) -> None:
    cluster.kubectl("create", "--filename=-", stdin=secrets_of(clone.over("persistent", "user", namespace=namespace)))
    with pytest.raises(Refused, match="field is immutable when `immutable` is set"):
        cluster.kubectl("patch", "secret", "emqx-cookie", "--namespace", namespace, '--patch={"stringData": {"cookie": "other"}}')


def test_a_secret_of_which_a_part_is_given_is_made_by_the_command_that_is_told(cluster: Cluster, namespace: str, clone: Clone, tmp_path: Path) -> None:
    """The words of the command go through a shell, and then to kubectl."""
    (tmp_path / "license.key").write_text("the licence\n")
    reference = {name: {"secretKeyRef": {"name": "all", "key": name}} for name in ("license", "cookie")}
    patch = [
        {"op": "add", "path": f"/spec/{field}", "value": value}
        for field, value in (("license", reference["license"]), ("node", {"cookie": reference["cookie"]}))
    ]
    images = [{"name": "emqx/emqx", "newTag": "5.10.0"}]
    layer = clone.over("persistent", "user", namespace=namespace, images=images, patches=[{"target": {"kind": "EmqxCluster"}, "patch": json.dumps(patch)}])
    told = subprocess.run([CLI, "secrets", layer, "--only", "all"], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == ""
    command = told.stderr.splitlines()[1].strip().removeprefix("kubectl")
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path).stdout.split("\n")
    cluster.kubectl(*(word.replace("=license.key", f"={tmp_path}/license.key") for word in words if word))
    cluster.kubectl("create", "--filename=-", stdin=secrets_of(layer))
    cluster.apply(namespace, build(layer))
    await_pods(cluster, namespace, 3)
    data = cluster.object(namespace, "v1/secrets", "all")["data"]
    assert base64.b64decode(data["license"]) == b"the licence\n"
    assert re.fullmatch("c[0-9a-f]{48}", base64.b64decode(data["cookie"]).decode())
