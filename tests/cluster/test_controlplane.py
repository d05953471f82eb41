"""The control plane itself: it is as strict as the tests take it to be, and it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .client import Cluster, Refused, eventually
from .controlplane import ControlPlaneError, Processes, control_plane, free_ports, wait_until

ROOT = Path(__file__).resolve().parents[2]

PLAIN_SPEC = {"containers": [{"name": "plain", "image": "plain"}]}
PLAIN_POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"}, "spec": PLAIN_SPEC}


def test_ports_differ() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50


def test_restricted_namespace_refuses_a_plain_pod(cluster: Cluster, namespace: str) -> None:
    with pytest.raises(Refused, match='violates PodSecurity "restricted:latest"'):
        cluster.apply(namespace, json.dumps(PLAIN_POD))


def test_unknown_field_is_refused(cluster: Cluster, namespace: str) -> None:
    pod = {**PLAIN_POD, "spec": {**PLAIN_SPEC, "restartPolice": "Never"}}
    with pytest.raises(Refused, match="restartPolice"):
        cluster.apply(namespace, json.dumps(pod))


def test_nobody_gets_in_without_a_token(cluster: Cluster) -> None:
    assert cluster.request("GET", "/api/v1/namespaces", token="made-up").status == 401


def test_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "short-lived"
    script.write_text("#!/bin/sh\necho address already in use\nexit 3\n")
    script.chmod(0o755)
    processes = Processes(tmp_path)
    try:
        processes.start([script])
        with pytest.raises(ControlPlaneError) as raised:
            wait_until(lambda: False, processes, "what never comes")
    finally:
        processes.end()
    assert str(raised.value) == "short-lived ended with 3:\n  address already in use"


def test_failing_test_leaves_nothing() -> None:
    folders: list[Path] = []
    with pytest.raises(ZeroDivisionError):
        fail_while_running(folders)
    (folder,) = folders
    assert not folder.exists()
    assert processes_of(folder) == []


def fail_while_running(folders: list[Path]) -> None:
    with control_plane() as running:
        folders.append(running.home)
        assert processes_of(running.home) != []
        raise ZeroDivisionError


HOLD = """
import sys, time
sys.path.insert(0, {tests!r})
from cluster.controlplane import control_plane
with control_plane() as running:
    print(running.home, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_killed_run_leaves_nothing(end: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(tests=str(ROOT / "tests"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        folder = Path(holder.stdout.readline().strip())
        assert folder.name.startswith("emqx-gitops-cluster-")
        assert processes_of(folder) != []
        holder.send_signal(end)
    eventually(lambda: not folder.exists() and not processes_of(folder), f"nothing left of {folder}")


def processes_of(folder: Path) -> list[str]:
    """The commands that name this folder, that is everything which a control plane starts."""
    return [command for command in commands() if str(folder) in command]


def commands() -> list[str]:
    if not Path("/proc/self/cmdline").exists():
        return subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [command for entry in Path("/proc").glob("[0-9]*/cmdline") if (command := read_if_there(entry))]


def read_if_there(path: Path) -> str:
    """Nothing for a process that ended meanwhile."""
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
