"""The node leaves nothing behind, however the tests end, and nothing leads out of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.controlplane import ROOT

from .node import CGROUPS, Node, why_not
from .waiting import until_fine

# The node without its programs: what the machine has of it is there already.
KILLED = """
import time
from cluster.controlplane import own_processes
from e2e.node import cleared_away, free_link, join, start_init

with own_processes() as processes:
    init = start_init(processes)
    link = free_link(init)
    with cleared_away(init, link.name):
        join(link, init)
        print(processes.folder, init, link.name, flush=True)
        time.sleep(600)
"""


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT / "tests", stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None  # a pipe, see above
        folder, init, link = tests.stdout.readline().split()
        things = [Path(folder), Path("/proc", init), Path("/sys/class/net", link)]
        there = cgroups(link)
        assert there
        assert all(thing.exists() for thing in things)
        tests.kill()
    until_fine("all of it is gone", lambda: " ".join(str(thing) for thing in [*things, *there] if thing.exists()))


def cgroups(link: str) -> list[Path]:
    return [*CGROUPS.glob(link), *CGROUPS.glob(f"*/{link}")]


def test_no_route_leads_out(node: Node) -> None:
    routes = node.run("ip", "route", "show")
    assert all(line.startswith(("198.18.", "198.19.")) for line in routes.splitlines()), routes
    assert "unreachable" in node.run("sh", "-c", "ip route get 192.0.2.1 2>&1 || true")
