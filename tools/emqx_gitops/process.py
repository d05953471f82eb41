"""The one place that starts other programs, and that ends them when the run is interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from emqx_gitops.errors import ToolFailure

Item = TypeVar("Item")
Result = TypeVar("Result")

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopping = threading.Event()


@dataclass(frozen=True)
class Completed:
    """How a program ended and what it said."""

    code: int
    stdout: str
    stderr: str


def run(command: list[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Completed:
    """Run a program to its end. A program that cannot start, or that a signal ended, is a ToolFailure."""
    process = _start(command, env, cwd)
    try:
        stdout, stderr = process.communicate()
    except BaseException:
        _kill(process)
        raise
    finally:
        with _lock:
            _running.discard(process)
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise ToolFailure(f"{command[0]}: expected it to end by itself; {name} ended it", "look for a lack of memory, then run it again")
    return Completed(process.returncode, stdout, stderr)


def _start(command: list[str], env: Mapping[str, str] | None, cwd: Path | None) -> subprocess.Popen[str]:
    with _lock:
        if _stopping.is_set():
            raise KeyboardInterrupt
        try:
            # A session of its own: the program and what it starts (kustomize starts our function) end together.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            fix = "check that the file is there and may be executed; `emqx-gitops doctor` shows what is used"
            raise ToolFailure(f"{command[0]}: expected a program; {error.strerror}", fix) from None
        _running.add(process)
    return process


def stop_all() -> None:
    """End every running program, and start no more."""
    with _lock:
        _stopping.set()
        processes = list(_running)
    for process in processes:
        _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def parallel(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> list[Result]:
    """`function` of every item, up to `jobs` at a time, results in the items' order."""
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, KeyboardInterrupt):
                stop_all()
            raise


def default_jobs() -> int:
    """As many as there are processors."""
    return os.cpu_count() or 1
