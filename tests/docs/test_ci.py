"""`.ci/run`: its steps, the home that it throws away, and what it leaves behind when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .documents import ROOT

# Stands for make: notes what it was asked for and where home is, then does what the test says for that step.
MAKE = """\
#!/bin/sh
# A shell's background job ignores the interrupt.
trap 'echo interrupted >>"$NOTES/steps"; kill $!; exit 130' INT
echo "${1-}" >>"$NOTES/steps"
echo "$HOME" >>"$NOTES/homes"
echo "$PYTEST_DEBUG_TEMPROOT" >>"$NOTES/temporary"
echo "${KUSTOMIZE_PLUGIN_HOME-unset} ${XDG_CONFIG_HOME-unset}" >>"$NOTES/environment"
case ${1-} in
    "$FAILS") exit 2 ;;
    "$HANGS") sleep 60 & wait ;;
esac
"""


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "make").write_text(MAKE, encoding="utf-8")
    (tmp_path / "bin" / "make").chmod(0o755)
    (tmp_path / "tmp").mkdir()
    return tmp_path


def start(notes: Path, *, fails: str = "none", hangs: str = "none") -> subprocess.Popen[str]:
    env = {
        **os.environ,
        "PATH": f"{notes / 'bin'}:{os.environ['PATH']}",
        "TMPDIR": str(notes / "tmp"),
        "NOTES": str(notes),
        "FAILS": fails,
        "HANGS": hangs,
        "KUSTOMIZE_PLUGIN_HOME": "/somebody's",
        "XDG_CONFIG_HOME": "/somebody's",
    }
    return subprocess.Popen([ROOT / ".ci" / "run"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def test_all_steps_run_in_a_home_that_goes_again(notes: Path) -> None:
    process = start(notes)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert lines(notes / "steps") == ["", "lint", "test", "test-cluster", "e2e"]
    assert len(set(lines(notes / "homes"))) == 1
    assert lines(notes / "temporary") == lines(notes / "homes")
    assert lines(notes / "homes")[0].startswith(str(notes / "tmp"))
    assert set(lines(notes / "environment")) == {"unset unset"}
    assert list((notes / "tmp").iterdir()) == []


def test_a_failing_step_is_the_last(notes: Path) -> None:
    process = start(notes, fails="lint")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2, output
    assert lines(notes / "steps") == ["", "lint"]
    assert list((notes / "tmp").iterdir()) == []


def test_stopped_it_interrupts_its_step_and_waits_for_it(notes: Path) -> None:
    process = start(notes, hangs="test")
    deadline = time.monotonic() + 30
    while "test" not in lines(notes / "steps") and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert lines(notes / "steps") == ["", "lint", "test", "interrupted"]
    assert list((notes / "tmp").iterdir()) == []


@pytest.mark.parametrize(("words", "links"), [(["e2e"], False), (["e2e", "LINKS=yes"], True), (["dev"], True)])
def test_the_tests_from_commit_to_cluster_make_no_links(words: list[str], links: bool) -> None:
    # Also when a make with settings of its own runs these tests.
    env = {name: value for name, value in os.environ.items() if name not in ("LINKS", "MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS")}
    said = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60).stdout
    assert ("--no-links" not in said) is links
