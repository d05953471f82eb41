"""A member's life: it starts, answers, and looks for the others again and again."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from properties.broker import Node, release_of, start
from properties.kube import NotStarted, Pod, World

from . import api, discovery, peers
from .memory import Memory

# Seconds from one look to the next: while something is missing, and when all is well.
EAGER, CALM = 1.0, 3.0
# Until then process 1 is a script without a trap, which a SIGTERM does not end.
ENDS_ON_TERM = (4, 3, 0)


@dataclass(frozen=True)
class Here(Pod):
    """The pod as it looks from inside."""

    line: str

    @property
    def hosts_line(self) -> str:
        return self.line


def here() -> Here:
    hostname = socket.gethostname()
    ip = socket.gethostbyname(hostname)
    line = next((line for line in Path("/etc/hosts").read_text().splitlines() if line.startswith(f"{ip}\t")), "")
    mounts = [{"mountPath": words.split()[4]} for words in Path("/proc/self/mountinfo").read_text().splitlines()]
    template = {"spec": {"containers": [{"name": "emqx", "volumeMounts": mounts}]}}
    return Here(hostname, "", ip, template, hostname, "", World(), line)


@dataclass
class Member:
    """A node that runs, whom it knows, and what keeps it from the others."""

    node: Node
    memory: Memory
    discovered: list[str] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    problem: str = "it has not looked yet"

    def report(self) -> dict[str, Any]:
        """Everything that it knows."""
        return {
            "name": self.node.name,
            "release": ".".join(map(str, self.node.release)),
            "id": self.memory.id,
            "starts": self.memory.starts,
            "data_of_others": self.memory.others,
            "max_packet_size": self.node.config.get("mqtt.max_packet_size", ""),
            "discovered": self.discovered,
            "members": {name: "running" if name in self.running else "stopped" for name in self.memory.members},
            "problem": self.problem,
        }

    def look(self) -> None:
        """One round: whom discovery names, when all of them answer, and then who is there of all that it knows."""
        reached: dict[str, list[str]] = {}
        try:
            self.discovered = sorted(discovery.discover(self.node))
            for name in self.discovered:
                reached[name] = self.reach(name)
            self.memory.join(name for member, known in reached.items() for name in (member, *known))
            self.problem = ""
        except (discovery.Alone, peers.Unreachable) as error:
            self.problem = str(error)
        self.running = [name for name in self.memory.members if name in reached or self.answers(name)]

    def answers(self, name: str) -> bool:
        try:
            self.reach(name)
        except peers.Unreachable:
            return False
        return True

    def reach(self, name: str) -> list[str]:
        return [] if name == self.node.name else peers.reach(self.node, name, self.memory.members)


def foreground() -> None:
    """Runs until it is told to stop; prints what changes."""
    release = release_of(f"emqx:{os.environ['MEMBER_RELEASE']}")
    member = begin(release)
    stop = threading.Event()
    for number in (signal.SIGINT, *([signal.SIGTERM] if release >= ENDS_ON_TERM else [])):
        signal.signal(number, lambda *_: stop.set())
    peers.listen(member.node, member.memory)
    api.serve(member.node, member.report)
    say(member, f"started, {member.memory.id} for the time {member.memory.starts}")
    if member.memory.others:
        say(member, f"the data of {', '.join(member.memory.others)} is not its own: it starts without")
    last = ""
    while not stop.wait(EAGER if member.problem else CALM):
        member.look()
        now = f"{member.problem or 'fine'}; running: {', '.join(member.running)}"
        if now != last:
            say(member, now)
        last = now


def begin(release: tuple[int, int, int]) -> Member:
    try:
        node = start(here(), dict(os.environ), release)
        return Member(node, Memory(node.name))
    except (NotStarted, OSError) as error:
        sys.exit(f"it does not start: {error}")


def say(member: Member, text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {member.node.name}: {text}", flush=True)


def stop() -> None:
    """What `emqx stop` does in a hook: ends process 1 of the container."""
    os.kill(1, signal.SIGINT)


def main() -> None:
    {"foreground": foreground, "stop": stop}[sys.argv[1]]()
