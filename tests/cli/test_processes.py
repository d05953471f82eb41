"""Tools that are missing, old, broken or killed; runs that are interrupted. Never half a result, never a wrong exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import Repo

OLD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: old\n"


def program(repo: Repo, name: str, body: str) -> Path:
    """A program that stands in for one of the tools."""
    path = repo.write(f"bin/{name}", f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def start(repo: Repo, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(repo.command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=repo.path, env=repo.env)


def wait_for(path: Path) -> str:
    """The text of a file that another process is about to write."""
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)
    return path.read_text().strip()


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody waits for has)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def test_a_kustomize_that_is_not_there(plain: Repo) -> None:
    ran = plain.run("render", "clusters/plain", "--kustomize", "/no/such/kustomize")
    expected = "emqx-gitops: /no/such/kustomize: expected a kustomize binary; there is none\n  fix: correct --kustomize (or $KUSTOMIZE), or leave it out\n"
    assert (ran.code, ran.out, ran.err) == (3, "", expected)


def test_the_kustomize_that_a_variable_names_is_used(plain: Repo) -> None:
    ran = plain.run("render", "clusters/plain", env={"KUSTOMIZE": "/no/such/kustomize"})
    assert (ran.code, ran.err.partition(":")[0]) == (3, "emqx-gitops")
    assert "/no/such/kustomize: expected a kustomize binary" in ran.err


def test_an_empty_variable_names_no_kustomize(plain: Repo) -> None:
    assert plain.run("render", "clusters/plain", env={"KUSTOMIZE": ""}).code == 0


def test_a_kustomize_that_is_too_old(plain: Repo) -> None:
    old = program(plain, "kustomize", "echo v5.3.0")
    ran = plain.run("render", "clusters/plain", "--kustomize", str(old))
    expected = f"emqx-gitops: {old}: expected kustomize 5.4 or newer; it is 5.3.0\n  fix: install a newer one, or name another with --kustomize\n"
    assert (ran.code, ran.out, ran.err) == (3, "", expected)


def test_a_kustomize_that_is_killed(plain: Repo) -> None:
    killed = program(plain, "kustomize", '[ "$1" = version ] || kill -9 $$')
    ran = plain.run("render", "clusters/plain", "--kustomize", str(killed))
    expected = f"emqx-gitops: {killed}: expected it to end by itself; SIGKILL ended it\n  fix: look for a lack of memory, then run it again\n"
    assert (ran.code, ran.out, ran.err) == (3, "", expected)


def test_a_kustomize_that_prints_nothing_and_says_fine(plain: Repo) -> None:
    silent = program(plain, "kustomize", "exit 0")
    ran = plain.run("render", "clusters/plain", "--kustomize", str(silent))
    assert (ran.code, ran.out) == (1, "")
    assert "[empty-rendering]" in ran.err


def test_a_kustomize_that_fails_and_says_nothing(plain: Repo) -> None:
    mute = program(plain, "kustomize", '[ "$1" = version ]')
    ran = plain.run("render", "clusters/plain", "--kustomize", str(mute))
    assert (ran.code, ran.out) == (1, "")
    assert "clusters/plain: kustomize failed and said nothing [kustomize]" in ran.err


def test_the_plugin_of_this_installation_runs_whatever_the_environment_says(repo: Repo) -> None:
    ran = repo.run("render", "overlays/persistent", env={"KUSTOMIZE_PLUGIN_HOME": "/somebody/elses"})
    assert (ran.code, ran.err) == (0, "")
    assert "emqx-gitops.dev/rendered-by: emqx-gitops/" in ran.out


def test_nothing_is_left_in_the_folder_for_temporary_files(repo: Repo, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    repo.write("overlays/persistent/emqx.yaml", "apiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxCluster\nmetadata: {name: emqx}\nspec: {versio: '5'}\n")
    assert repo.run("validate", "overlays/persistent", "overlays/deployment-ip", env={"TMPDIR": str(scratch)}).code == 1
    assert list(scratch.iterdir()) == []


def test_a_plugin_that_finds_no_python_is_a_broken_tool(plain: Repo) -> None:
    said = "emqx-gitops: no Python 3.10 or newer with PyYAML found (shims are not used); run: make -C '/clone' setup"
    broken = program(plain, "kustomize", f'[ "$1" = version ] || {{ echo "Error: {said}" >&2; exit 1; }}')
    ran = plain.run("render", "clusters/plain", "--kustomize", str(broken))
    expected = "emqx-gitops: no Python 3.10 or newer with PyYAML found (shims are not used)\n  fix: make -C '/clone' setup\n"
    assert (ran.code, ran.out, ran.err) == (3, "", expected)


def test_a_kubeconform_that_is_not_there(repo: Repo) -> None:
    ran = repo.run("validate", "overlays/persistent", "--kubeconform", "/no/such/kubeconform")
    expected = (
        "emqx-gitops: /no/such/kubeconform: expected a kubeconform binary; there is none\n  fix: correct --kubeconform (or $KUBECONFORM), or leave it out\n"
    )
    assert (ran.code, ran.out, ran.err) == (3, "", expected)


def test_a_kubeconform_that_says_no_json(repo: Repo) -> None:
    broken = program(repo, "kubeconform", "echo out of order >&2; exit 7")
    ran = repo.run("validate", "overlays/persistent", "--kubeconform", str(broken), "--kubernetes-version", "1.33")
    expected = f"emqx-gitops: {broken}: expected a JSON report; got exit 7: out of order\n  fix: run `emqx-gitops doctor`\n"
    assert (ran.code, ran.out, ran.err) == (3, "", expected)


def test_a_kubeconform_that_validates_less_than_there_is(repo: Repo) -> None:
    lazy = program(repo, "kubeconform", """echo '{"resources": []}'""")
    ran = repo.run("validate", "overlays/persistent", "--kubeconform", str(lazy), "--kubernetes-version", "1.33")
    assert (ran.code, ran.out) == (3, "")
    assert "overlays/persistent: expected kubeconform to report 10 objects for Kubernetes 1.33; it reported 0" in ran.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_programs_and_leaves_the_output_as_it_was(plain: Repo, number: signal.Signals) -> None:
    plain.write("out/old.yaml", OLD)
    plain.write("out/.emqx-gitops-output", "# Written by an earlier run\nold.yaml\n")
    pid_file = plain.path / "pid"
    slow = program(plain, "kustomize", f'[ "$1" = version ] && exit 0\nsleep 300 &\necho $! > {pid_file}\nwait')
    running = start(plain, "render", "--all", "--jobs", "2", "-o", "out", "--kustomize", str(slow))
    child = int(wait_for(pid_file))
    running.send_signal(number)
    out, _ = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, "")
    deadline = time.monotonic() + 10
    while not gone(child):
        assert time.monotonic() < deadline, "what kustomize started is still running"
        time.sleep(0.01)
    assert sorted(path.name for path in (plain.path / "out").iterdir()) == [".emqx-gitops-output", "old.yaml"]
    assert [path.name for path in plain.path.iterdir() if ".new-" in path.name] == []


def test_a_run_killed_while_it_writes_leaves_the_old_folder_whole_and_the_next_run_cleans_up(plain: Repo) -> None:
    objects = "---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c{number}\n" for number in range(3000))
    plain.write("clusters/plain/configmap.yaml", objects)
    plain.write("out/old.yaml", OLD)
    plain.write("out/.emqx-gitops-output", "# Written by an earlier run\nold.yaml\n")
    stream = plain.write("stream.yaml", objects)
    quick = program(plain, "kustomize", f'[ "$1" = version ] || cat {stream}')
    running = start(plain, "render", "clusters/plain", "--split", "-o", "out", "--kustomize", str(quick))
    deadline = time.monotonic() + 60
    while not (half := [path for path in plain.path.glob(".out.new-*") if any(path.rglob("configmap-*"))]):
        assert running.poll() is None, "it was through before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
    running.kill()
    running.communicate(timeout=30)
    assert half[0].is_dir()
    assert sorted(path.name for path in (plain.path / "out").iterdir()) == [".emqx-gitops-output", "old.yaml"]
    ran = plain.run("render", "clusters/plain", "--split", "-o", "out", "--kustomize", str(quick))
    assert (ran.code, len(list((plain.path / "out").rglob("*.yaml")))) == (0, 3000)
    assert list(plain.path.glob(".out.*")) == []


def test_a_reader_that_goes_away_is_no_crash(plain: Repo) -> None:
    running = start(plain, "render", "clusters/plain")
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    said = running.stderr.read()
    running.stderr.close()
    running.wait(timeout=60)
    assert "Traceback" not in said


def test_a_disk_that_says_no_is_a_failure_with_the_file(plain: Repo) -> None:
    target = "/proc/emqx-gitops-cannot-be-here/out"
    ran = plain.run("render", "clusters/plain", "-o", target)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("emqx-gitops: /proc/emqx-gitops-cannot-be-here: ")
    assert os.path.exists("/proc/emqx-gitops-cannot-be-here") is False
