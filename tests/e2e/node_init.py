"""Process 1 of the node: makes its mounts private to it, then waits. When it ends, the kernel ends everything in its namespaces.

    unshare --mount --net --pid --fork --kill-child python node_init.py FOLDER READY

FOLDER becomes a file system in memory for all that the node writes. READY is written at the end: the number of this process as the machine knows it.
Standard library only: it runs without the packages of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

# The kubelet wants these values and would set them for the whole machine.
WANTED = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
# Where programs write whatever their configuration says.
WRITTEN = ("/var/lib", "/var/log")


def mount(*words: str | Path) -> None:
    subprocess.run(["mount", *words], check=True)


def cover(folder: Path, path: str) -> None:
    """What is written below the path from now on is written to memory, and is seen only here."""
    layer = folder / path.strip("/").replace("/", "-")
    for name in ("new", "work"):
        (layer / name).mkdir(parents=True)
    mount("-t", "overlay", "-o", f"lowerdir={path},upperdir={layer / 'new'},workdir={layer / 'work'}", "overlay", path)


def pretend(folder: Path, name: str, value: int) -> None:
    """A file in front of a setting of the machine: reads give the value, writes go nowhere."""
    setting = Path("/proc/sys", name)
    if setting.exists():
        instead = folder / name.replace("/", "-")
        instead.write_text(f"{value}\n")
        mount("--bind", instead, setting)


def prepare(folder: Path) -> None:
    mount("-t", "proc", "proc", "/proc")
    mount("-t", "tmpfs", "-o", "mode=755", "node", folder)
    mount("-t", "tmpfs", "-o", "mode=755", "run", "/run")
    for path in WRITTEN:
        cover(folder, path)
    for name, value in WANTED.items():
        pretend(folder, name, value)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def wait_for_orphans() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.2)


def main(folder: Path, ready: Path) -> None:
    # /proc still is the machine's.
    number = os.readlink("/proc/self")
    prepare(folder)
    ready.with_suffix(".new").write_text(number)
    ready.with_suffix(".new").rename(ready)
    wait_for_orphans()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
