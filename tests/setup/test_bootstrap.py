"""`make setup`: a fresh clone becomes one that works; what is up to date is skipped, what was broken off is done again, what cannot be is told."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import bootstrap

from .conftest import Clone, real_python
from .machine import ROOT, Ran, program, run

NOT_ON_PATH = '{home}/.local/bin is not on PATH: add this line to the start file of your shell\n  export PATH="$HOME/.local/bin:$PATH"\n'


def steady(said: str) -> str:
    """Progress without times and machines."""
    said = re.sub(r"(?m)^ +\d+ s.*\n", "", said)
    said = re.sub(r"done in [\d.]+ s", "done in N s", said)
    return said.replace(real_python(), "PYTHON")


# --- a fresh clone ----------------------------------------------------------------------------------------------------


def test_a_fresh_clone_is_set_up_step_by_step_aloud(first_run: tuple[Clone, Ran]) -> None:
    clone, ran = first_run
    assert ran.code == 0
    assert steady(ran.err) == (
        "[1/4] Python packages into .venv, with PYTHON ...\n      done in N s\n"
        "[2/4] Go 1.26.6, 70 MB ...\n      done in N s\n"
        "[3/4] kustomize v5.8.2, built with Go ...\n      done in N s\n"
        "[4/4] kubeconform v0.8.0, built with Go ...\n      done in N s\n"
        f"linked {clone.plugin_link} -> {clone.root}/plugins/emqx-gitops.dev\n"
        f"linked {clone.home}/.local/bin/kustomize -> {clone.root}/.tools/bin/kustomize\n"
        f"linked {clone.home}/.local/bin/emqx-gitops -> {clone.root}/.venv/bin/emqx-gitops\n" + NOT_ON_PATH.format(home=clone.home)
    )


@pytest.mark.parametrize(("command", "version"), [(["kustomize", "version"], "v5.8.2\n"), (["kubeconform", "-v"], "v0.8.0\n")])
def test_the_programs_are_the_pinned_ones(clone: Clone, command: list[str], version: str) -> None:
    assert run([clone.root / ".tools" / "bin" / command[0], *command[1:]], clone.env).out == version


def test_the_missions_command_works_in_any_folder(clone: Clone, tmp_path: Path) -> None:
    kustomize = clone.home / ".local" / "bin" / "kustomize"
    ran = run([kustomize, "build", "--enable-alpha-plugins", clone.root / "overlays" / "persistent"], clone.env, tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "emqx-gitops.dev/rendered-by" in ran.out


def test_the_command_line_works_through_its_link(clone: Clone, tmp_path: Path) -> None:
    ran = run([clone.home / ".local" / "bin" / "emqx-gitops", "version"], clone.env, tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert "0.1.0" in ran.out


def test_somebodys_home_gets_the_links_and_nothing_of_go(clone: Clone) -> None:
    assert sorted(path.name for path in clone.home.iterdir() if path.name in ("go", ".config", ".local", ".cache")) == [".config", ".local"]


def test_somebody_without_go_gets_private_caches(tmp_path: Path) -> None:
    env, flags = bootstrap.go_environment(tmp_path / "bin", {"HOME": str(tmp_path), "GOPROXY": "a mirror"})
    cache = ROOT / ".tools" / "go-cache"
    places = {"GOPATH": str(cache), "GOMODCACHE": str(cache / "mod"), "GOCACHE": str(cache / "build"), "XDG_CONFIG_HOME": str(cache / "config")}
    assert {name: env[name] for name in places} == places
    assert (env["GOPROXY"], flags) == ("a mirror", ["-modcacherw"])


@pytest.mark.parametrize("trace", ["go/pkg/mod", ".config/go/env", "GOPATH", "GOMODCACHE", "GOENV"])
def test_somebody_with_go_keeps_their_caches(tmp_path: Path, trace: str) -> None:
    environ = {"HOME": str(tmp_path)}
    if "/" in trace:
        (tmp_path / trace).mkdir(parents=True)
    else:
        environ[trace] = "theirs"
    env, flags = bootstrap.go_environment(tmp_path / "bin", environ)
    assert {name: value for name, value in env.items() if not name.startswith(("GOBIN", "GOTOOLCHAIN", "GOWORK", "GO111MODULE", "CGO"))} == environ
    assert flags == []


def test_go_settings_that_would_build_something_else_are_dropped(tmp_path: Path) -> None:
    env, _ = bootstrap.go_environment(tmp_path, {"GOROOT": "x", "GOOS": "plan9", "GOARCH": "arm", "GOWORK": "x", "GOTOOLCHAIN": "go1.99"})
    assert (env.get("GOROOT"), env.get("GOOS"), env.get("GOARCH"), env["GOWORK"], env["GOTOOLCHAIN"]) == (None, None, None, "off", "local")


# --- again ------------------------------------------------------------------------------------------------------------


def test_a_second_run_does_nothing_in_less_than_two_seconds(clone: Clone) -> None:
    watched = [clone.root / ".tools" / "bin" / "kustomize", clone.root / ".venv" / "pyvenv.cfg", clone.plugin_link]
    before = [path.lstat() for path in watched]
    began = time.monotonic()
    ran = clone.make("setup")
    assert time.monotonic() - began < 2
    assert ran == Ran(0, "", NOT_ON_PATH.format(home=clone.home))
    assert [(now.st_mtime_ns, now.st_ino) for now in map(Path.lstat, watched)] == [(then.st_mtime_ns, then.st_ino) for then in before]


@pytest.mark.parametrize(
    ("file", "due"),
    [
        ("requirements.lock", ["Python packages into .venv"]),
        ("tools/go.sum", ["kustomize", "kubeconform"]),
        ("tools/go.mod", ["kustomize", "kubeconform"]),
        ("tools/go.lock", ["Go", "kustomize", "kubeconform"]),
        ("README.md", []),
    ],
)
def test_a_changed_lock_makes_due_what_follows_from_it(clone: Clone, file: str, due: list[str]) -> None:
    path = clone.root / file
    old = path.read_bytes() if path.exists() else None
    path.write_bytes((old or b"") + b"\n")
    try:
        assert clone.due() == due
    finally:
        path.write_bytes(old) if old is not None else path.unlink()
    assert clone.due() == []


@pytest.mark.parametrize(
    ("file", "due"),
    [(".tools/bin/kubeconform", ["kubeconform"]), (".tools/go/bin/go", ["Go"]), (".venv/bin/python", ["Python packages into .venv"])],
)
def test_what_was_deleted_is_due(clone: Clone, file: str, due: list[str]) -> None:
    path, aside = clone.root / file, clone.root / "aside"
    path.rename(aside)
    try:
        assert clone.due() == due
    finally:
        aside.rename(path)
    assert clone.due() == []


def test_crane_is_built_only_for_who_publishes_artifacts(clone: Clone) -> None:
    assert clone.due() == []
    assert clone.due("--crane") == ["crane"]


def test_a_clone_that_was_moved_is_set_up_again(clone: Clone) -> None:
    moved = clone.root.with_name("moved")
    clone.root.rename(moved)
    try:
        assert Clone(moved, clone.env).due() == ["Python packages into .venv"]
    finally:
        moved.rename(clone.root)


def test_another_python_on_path_is_no_reason_to_begin_anew(clone: Clone) -> None:
    """Somebody with two shells would wait for a new virtualenv at each change of shell."""
    assert started_with(clone, "sys.executable = '/bin/sh'", "--check") == Ran(0, "", "")
    assert started_with(clone, "sys.executable = '/bin/sh'", "--check", "--python-asked").out.startswith("Python packages into .venv, with /")


# --- broken off -------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_kubeconform(clone: Clone) -> Iterator[Clone]:
    """A clone in which one program is still to be built; put right in the end."""
    (clone.root / ".tools" / "bin" / "kubeconform").unlink()
    yield clone
    assert clone.make("setup").code == 0
    assert clone.due() == []


def pretended_go(folder: Path, install: str) -> Path:
    return program(folder / "go", f'case "$*" in version) echo "go version go1.26.0 x/y";; env*) ;; *) {install};; esac')


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_step_ends_its_program_and_is_done_again(without_kubeconform: Clone, tmp_path: Path, signum: signal.Signals) -> None:
    clone = without_kubeconform
    go = pretended_go(tmp_path, f"echo $$ > '{tmp_path}/pid'; exec sleep 600")
    command = [real_python(), "-I", "tools/bootstrap.py", "--no-links", "--kustomize", clone.root / ".tools/bin/kustomize", "--go", go]
    process = subprocess.Popen(command, env=clone.env, cwd=clone.root, stderr=subprocess.PIPE, text=True)
    pid = await_text(tmp_path / "pid")
    process.send_signal(signum)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.endswith(" ...\nemqx-gitops: interrupted; make goes on from here next time\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert "kubeconform" in clone.due()


def await_text(path: Path) -> str:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and path.read_text(encoding="utf-8").endswith("\n"):
            return path.read_text(encoding="utf-8").strip()
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


FAILURES = {
    "dial tcp: lookup example: no such host": (
        "check the network, a package registry cannot be reached: proxies and mirrors are taken from HTTPS_PROXY, pip's configuration and GOPROXY"
    ),
    "write /tmp/x: No space left on device": "free some room (1.5 GB are needed), then run make again",
    "verifying module: checksum mismatch": "look for a proxy that alters files, or clear the cache: a download is not the file that the lock pins",
    "tls: x509: unknown authority": "name the file of your network's own certificate authority by PIP_CERT and SSL_CERT_FILE",
    "something new": "read .tools/log/kubeconform.log, then run make again",
}


@pytest.mark.parametrize("words", FAILURES)
def test_a_step_that_fails_tells_its_last_words_and_the_way_out(without_kubeconform: Clone, tmp_path: Path, words: str) -> None:
    clone = without_kubeconform
    go = pretended_go(tmp_path, f"echo '{words}' >&2; exit 7")
    kustomize = clone.root / ".tools" / "bin" / "kustomize"
    ran = run([real_python(), "-I", "tools/bootstrap.py", "--no-links", "--kustomize", kustomize, "--go", go], clone.env, clone.root)
    assert ran.code == 3
    assert ran.err.partition("...\n")[2] == (
        f"emqx-gitops: set-up stopped: kubeconform: go ended with 7; its last words:\n    {words}\n  fix: {FAILURES[words]}\n"
    )


def test_a_download_that_is_not_the_pinned_one_changes_nothing(clone: Clone) -> None:
    lock, stamp = clone.root / "tools" / "go.lock", clone.root / ".tools" / "go.stamp"
    old, done = lock.read_text(encoding="utf-8"), stamp.read_text(encoding="utf-8")
    lock.write_text(re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", old), encoding="utf-8")
    try:
        ran = clone.make("setup")
        still_due = clone.due()
    finally:
        lock.write_text(old, encoding="utf-8")
        stamp.write_text(done, encoding="utf-8")
    assert ran.code == 2  # make's own
    assert "  fix: look for a proxy that alters files, or clear the cache: a download is not the file that the lock pins\n" in ran.err
    assert still_due[0] == "Go"
    assert run([clone.root / ".tools" / "go" / "bin" / "go", "version"], clone.env).out.startswith("go version go1.26.6 ")


def test_two_set_ups_at_a_time_wait_for_each_other(clone: Clone) -> None:
    command = [real_python(), "-I", "tools/bootstrap.py", "--no-links"]
    with (clone.root / ".tools" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(command, env=clone.env, cwd=clone.root, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert process.stderr.readline() == "another set-up of this clone is running: waiting for it\n"
        assert process.poll() is None
    assert process.communicate(timeout=20)[1] == ""
    assert process.returncode == 0


# --- what somebody asks for -------------------------------------------------------------------------------------------


def test_a_kustomize_that_is_asked_for_is_used_aloud(clone: Clone, tmp_path: Path) -> None:
    asked = program(tmp_path / "kustomize", "echo v5.6.0")
    ran = clone.make("setup", f"KUSTOMIZE={asked}", "LINKS=no")
    assert ran == Ran(0, "", f"kustomize: {asked}, version 5.6.0, as asked for by KUSTOMIZE= (the pinned one is v5.8.2)\n")


def test_a_kubeconform_that_is_asked_for_is_used_aloud(clone: Clone, tmp_path: Path) -> None:
    asked = program(tmp_path / "kubeconform", "echo development")
    ran = clone.make("setup", f"KUBECONFORM={asked}", "LINKS=no")
    assert ran == Ran(0, "", f"kubeconform: {asked}, which tells no version, as asked for by KUBECONFORM= (the pinned one is v0.8.0)\n")


def test_what_is_asked_for_is_not_built(clone: Clone) -> None:
    with_one, with_both = ["--kustomize", "x"], ["--kustomize", "x", "--kubeconform", "x"]
    aside = clone.root / ".tools.aside"
    (clone.root / ".tools").rename(aside)
    try:
        assert clone.due() == ["Go", "kustomize", "kubeconform"]
        assert clone.due(*with_one) == ["Go", "kubeconform"]
        assert clone.due(*with_both) == []
    finally:
        aside.rename(clone.root / ".tools")


@pytest.mark.parametrize(
    ("says", "got"),
    [("echo v5.3.0", "5.3.0"), ("echo hello", "no version"), ("exit 1", "no version")],
)
def test_a_kustomize_that_is_too_old_is_refused(clone: Clone, tmp_path: Path, says: str, got: str) -> None:
    asked = program(tmp_path / "kustomize", says)
    ran = clone.make("setup", f"KUSTOMIZE={asked}")
    assert ran.code == 2
    assert ran.err.startswith(
        f"emqx-gitops: set-up stopped: KUSTOMIZE={asked}: expected kustomize 5.4 or newer; it says {got}\n"
        "  fix: name a newer one, or leave KUSTOMIZE out to have the pinned one built\n"
    )


def test_a_program_that_is_not_there_is_refused(clone: Clone) -> None:
    ran = clone.make("setup", "KUBECONFORM=/nowhere/kubeconform")
    assert ran.err.startswith(
        "emqx-gitops: set-up stopped: KUBECONFORM=/nowhere/kubeconform: expected a program; there is none, or it is not executable\n"
        "  fix: correct the path, or leave KUBECONFORM out\n"
    )


def test_a_go_that_is_too_old_is_refused(clone: Clone, tmp_path: Path) -> None:
    ran = clone.make("setup", f"GO={program(tmp_path / 'go', 'echo go version go1.24.1 linux/amd64')}")
    assert ran.err.startswith(
        f"emqx-gitops: set-up stopped: GO={tmp_path}/go: expected Go 1.26 or newer; it says 'go version go1.24.1 linux/amd64'\n"
        "  fix: install a newer one, or leave GO out\n"
    )


# --- Python -----------------------------------------------------------------------------------------------------------


def test_without_any_python_one_line_says_what_to_do(clone: Clone) -> None:
    ran = run(["make", "setup"], clone.env, clone.root)
    assert ran.err.startswith(
        "emqx-gitops: expected Python 3.10 or newer on PATH; install it (Debian: python3 python3-venv), or name it: make PYTHON=/path/to/python3\n"
    )


def test_a_python_that_was_named_and_is_too_old_is_refused(clone: Clone, tmp_path: Path) -> None:
    old = program(tmp_path / "python3.9", "exit 1")
    ran = run(["make", "setup", f"PYTHON={old}"], clone.env, clone.root)
    assert ran.err.startswith(f"emqx-gitops: expected Python 3.10 or newer as PYTHON={old}; install it")


def test_a_python_that_is_new_enough_is_found_behind_one_that_is_not(clone: Clone, tmp_path: Path) -> None:
    program(tmp_path / "python3", "exit 1")
    (tmp_path / "python3.12").symlink_to(real_python())
    ran = run(["make", "setup", "LINKS=no"], {**clone.env, "PATH": f"{tmp_path}:{clone.env['PATH']}"}, clone.root)
    assert ran == Ran(0, "", "")


def started_with(clone: Clone, change: str, *arguments: str) -> Ran:
    """bootstrap.py in a Python that was changed first."""
    code = f"import runpy, sys, importlib.util; {change}; runpy.run_path('tools/bootstrap.py', run_name='__main__')"
    return run([real_python(), "-I", "-c", code, *arguments], clone.env, clone.root)


def test_bootstrap_itself_refuses_an_old_python(clone: Clone) -> None:
    ran = started_with(clone, "sys.executable, sys.version_info = '/usr/bin/python3.9', (3, 9, 2, 'final', 0)")
    assert ran == Ran(
        1, "", "emqx-gitops: expected Python 3.10 or newer; /usr/bin/python3.9 is 3.9\n  fix: install a newer one, or name it: make PYTHON=/path/to/python3\n"
    )


def test_a_python_without_ensurepip_is_told_with_the_package_to_install(clone: Clone) -> None:
    stamp = clone.root / ".venv" / "set-up.stamp"
    old = stamp.read_text(encoding="utf-8")
    stamp.unlink()
    ran = started_with(clone, "importlib.util.find_spec = lambda name: None")
    stamp.write_text(old, encoding="utf-8")
    version = run([real_python(), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], clone.env).out.strip()
    assert ran.code == 3
    assert ran.err.partition(" ...\n")[2] == (
        f"emqx-gitops: set-up stopped: python: {real_python()} cannot make virtualenvs, its module ensurepip is missing (Debian and Ubuntu package it apart)\n"
        f"  fix: sudo apt-get install python{version}-venv, or name another Python: make PYTHON=/path/to/python3\n"
    )
    assert (clone.root / ".venv" / "bin" / "emqx-gitops").exists()  # the old virtualenv is left in peace


# --- the way back -----------------------------------------------------------------------------------------------------


def test_uninstall_takes_the_links_back_and_make_puts_them_there_again(clone: Clone) -> None:
    ran = clone.make("uninstall")
    assert ran == Ran(
        0,
        "",
        f"removed {clone.plugin_link}\nremoved {clone.home}/.local/bin/kustomize\nremoved {clone.home}/.local/bin/emqx-gitops\n"
        f"everything else that make made lies in this folder: {clone.root}\n",
    )
    assert not clone.plugin_link.is_symlink()
    assert clone.make("uninstall").err == f"there was no link to this clone\neverything else that make made lies in this folder: {clone.root}\n"
    clone.make("link")
    assert clone.plugin_link.is_symlink()


def test_a_link_to_another_clone_does_not_stop_make_and_force_takes_it_over(clone: Clone, tmp_path: Path) -> None:
    clone.plugin_link.unlink()
    clone.plugin_link.symlink_to(tmp_path)
    ran = clone.make("setup")
    assert ran.code == 0
    assert ran.err.endswith(
        f"attention: {clone.plugin_link}: expected a link to this clone, {clone.root}; it leads to {tmp_path}\n"
        "  fix: keep that one, or make it lead here: make link FORCE=1\n"
    )
    assert clone.make("link", "FORCE=1").err.startswith(f"linked {clone.plugin_link} -> {clone.root}/plugins/emqx-gitops.dev (before: {tmp_path})\n")
