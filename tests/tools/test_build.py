"""The builder of the test programs, with a compiler that takes no time."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

BUILD = Path(__file__).with_name("build.py")

# Answers `go version`; otherwise counts itself and writes the file that -o names.
COMPILER = """#!/bin/sh
[ "$1" = version ] && { echo "go version go1.26.6 test/test"; exit; }
echo "$*" >> "$0.calls"
echo example.org/one >&2
while [ "$1" != -o ]; do shift; done
echo built > "$2"
"""


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, building into a folder of the test's own."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("build_under_test", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up.
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "OUTPUT", tmp_path / "out")
    monkeypatch.setattr(module, "GO", tmp_path / "go")
    write_compiler(tmp_path, COMPILER)
    return module


def write_compiler(folder: Path, script: str) -> None:
    (folder / "go").write_text(script)
    (folder / "go").chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "go.calls").read_text().splitlines()


def test_builds_what_is_named_and_nothing_twice(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["etcd"]) == 0
    assert (tmp_path / "out" / "bin" / "etcd").read_text() == "built\n"
    assert "etcd v3.6.16: building, about a minute on two cores" in capsys.readouterr().out
    assert build.main(["etcd"]) == 0
    assert capsys.readouterr().out == "etcd: in out/bin\n"
    assert len(calls(tmp_path)) == 1


def test_builds_again_with_another_compiler(build: ModuleType, tmp_path: Path) -> None:
    assert build.main(["etcd"]) == 0
    write_compiler(tmp_path, COMPILER.replace("1.26.6", "1.26.7"))
    assert build.main(["etcd"]) == 0
    assert len(calls(tmp_path)) == 2


def test_kubernetes_knows_its_version(build: ModuleType, tmp_path: Path) -> None:
    assert build.main(["kubectl"]) == 0
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1" in calls(tmp_path)[0]


def test_failed_build_keeps_the_old_program_and_says_why(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["etcd"]) == 0
    write_compiler(tmp_path, COMPILER.replace("1.26.6", "1.26.7").replace("echo built", "echo main.go:1: what is this >&2; exit 1; echo"))
    capsys.readouterr()
    assert build.main(["etcd"]) == 3
    assert capsys.readouterr().err == (
        "build.py: etcd: go build failed\n  main.go:1: what is this\n  fix: mend what is said above; where modules come through a proxy, set GOPROXY\n"
    )
    assert (tmp_path / "out" / "bin" / "etcd").read_text() == "built\n"
    assert [path.name for path in (tmp_path / "out" / "bin").iterdir()] == ["etcd"]


def test_no_compiler(build: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "go").unlink()
    assert build.main(["etcd"]) == 3
    assert capsys.readouterr().err == f"build.py: {tmp_path / 'go'}: expected the Go compiler of the set-up\n  fix: make setup\n"


def test_unknown_program(build: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["etcdd"]) == 2
    assert capsys.readouterr().err == (
        "build.py: expected one of kustomize-5.4, kustomize-5.6, kubectl, etcd, kube-controller-manager, kube-apiserver; got 'etcdd'\n"
    )


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import build
build.OUTPUT, build.GO = Path(sys.argv[2]) / "out", Path(sys.argv[2]) / "go"
sys.exit(build.main(["etcd"]))
"""


def test_interrupted_build_is_done_again(build: ModuleType, tmp_path: Path) -> None:
    write_compiler(tmp_path, COMPILER.replace("echo built", "sleep 60; echo"))
    with subprocess.Popen(
        [sys.executable, "-c", RUN, BUILD.parent, tmp_path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        while not (tmp_path / "go.calls").exists():
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)
        _, said = running.communicate(timeout=10)
    assert running.returncode == 130
    assert said.strip() == "build.py: interrupted; what was built stays, run it again for the rest"
    write_compiler(tmp_path, COMPILER)
    assert build.main(["etcd"]) == 0
    assert (tmp_path / "out" / "bin" / "etcd").read_text() == "built\n"
