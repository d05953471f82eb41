"""Builds the programs that the tests run against, from pinned Go modules, into .tools/cluster/bin.

    build.py                    everything
    build.py kubectl etcd       only these

A program whose sources, flags and compiler have not changed is left alone. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MODULES = Path(__file__).resolve().parent
ROOT = MODULES.parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from bootstrap import go_environment  # noqa: E402 - found by the line above

# `make GO=…` hands it down in the environment.
GO = Path(os.environ.get("GO") or ROOT / ".tools" / "go" / "bin" / "go")
OUTPUT = ROOT / ".tools" / "cluster"

KUBERNETES_VERSION = "k8s.io/component-base/version"
KUSTOMIZE_VERSION = "sigs.k8s.io/kustomize/api/provenance"

# Without a beat a build of minutes looks like one that hangs.
BEAT_SECONDS = 10
# `go build -v` names each package that it compiles, alone on its line.
PACKAGE_LINE = re.compile(r"[\w.~/-]+")


@dataclass(frozen=True)
class Program:
    """One executable: its wrapper module, its package, and the module whose version it reports."""

    name: str
    module: str
    package: str
    versioned_by: str
    minutes: str

    @property
    def folder(self) -> Path:
        return MODULES / self.module

    @property
    def path(self) -> Path:
        return OUTPUT / "bin" / self.name

    @property
    def stamp(self) -> Path:
        return OUTPUT / "stamps" / self.name


def kubernetes(name: str, minutes: str) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", minutes)


def kustomize(minor: str) -> Program:
    package = "sigs.k8s.io/kustomize/kustomize/v5"
    return Program(f"kustomize-{minor}", f"kustomize-{minor}", package, package, "half a minute")


# The quick ones first: they already serve tests/parity.
PROGRAMS = (
    kustomize("5.4"),
    kustomize("5.6"),
    kubernetes("kubectl", "half a minute"),
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", "a minute"),
    kubernetes("kube-controller-manager", "two minutes"),
    kubernetes("kube-apiserver", "five minutes"),
)


class BuildError(Exception):
    """A program cannot be built; the text says why and what to do."""


class UsageError(Exception):
    """There is no such program."""


def version(program: Program) -> str:
    """The version that the wrapper module pins; it stands nowhere else."""
    go_mod = program.folder / "go.mod"
    pinned = re.search(rf"^(?:require)?\s*{re.escape(program.versioned_by)} (v\S+)", go_mod.read_text(), re.MULTILINE)
    if pinned is None:
        raise BuildError(f"{go_mod}: expected a require line for {program.versioned_by}")
    return pinned[1]


def linker_variables(program: Program) -> list[str]:
    """What a release build sets: without it a Kubernetes program has a version that clients cannot parse."""
    pinned = version(program)
    if program.module == "kubernetes":
        major, minor, _ = pinned.removeprefix("v").split(".", 2)
        named = {"gitVersion": pinned, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
        return [f"-X {KUBERNETES_VERSION}.{name}={value}" for name, value in named.items()]
    if program.module.startswith("kustomize"):
        return [f"-X {KUSTOMIZE_VERSION}.version={pinned}"]
    return []


def flags(program: Program) -> list[str]:
    # -s -w: no symbol tables, half the size. -buildvcs=false: the wrapper's commit says nothing about the program.
    linker = " ".join(["-s", "-w", *linker_variables(program)])
    return ["-trimpath", "-mod=readonly", "-buildvcs=false", f"-ldflags={linker}"]


def environment() -> dict[str, str]:
    env, _ = go_environment(OUTPUT / "bin")
    return env


def cache_flags() -> list[str]:
    """Set-up decides where Go keeps its caches: its own folder for somebody who does not use Go."""
    _, private = go_environment(OUTPUT / "bin")
    return private


def compiler_version() -> str:
    if not GO.exists():
        raise BuildError(f"{GO}: expected the Go compiler of the set-up\n  fix: make setup")
    answer = subprocess.run([GO, "version"], env=environment(), capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def digest(program: Program, compiler: str) -> str:
    """Everything that decides what comes out of a build."""
    pins = [(program.folder / name).read_text() for name in ("go.mod", "go.sum")]
    text = "\0".join([compiler, program.package, *flags(program), *pins])
    return hashlib.sha256(text.encode()).hexdigest()


def is_built(program: Program, wanted: str) -> bool:
    return program.path.exists() and program.stamp.exists() and program.stamp.read_text() == wanted


@contextmanager
def alone() -> Iterator[None]:
    """One build at a time: a second one waits, then finds everything built."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with (OUTPUT / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is under way: waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name next to `path` that takes its place at the end: nobody sees half a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def build(program: Program, wanted: str) -> None:
    """Builds one program and only then marks it as built."""
    print(f"{program.name} {version(program)}: building, about {program.minutes} on two cores", flush=True)
    started = time.monotonic()
    with beside(program.path) as new:
        compile_to(new, program)
    with beside(program.stamp) as new:
        new.write_text(wanted)
    size = program.path.stat().st_size / 2**20
    print(f"{program.name}: built in {time.monotonic() - started:.0f} s, {size:.0f} MiB", flush=True)


def compile_to(new: Path, program: Program) -> None:
    command: list[str | Path] = [GO, "build", "-v", *cache_flags(), *flags(program), "-o", new, program.package]
    with running(command, program.folder) as process:
        assert process.stderr is not None  # a pipe, see below; this tells the type checker
        said = follow(program, process.stderr)
    if process.returncode:
        fix = "mend what is said above; where modules come through a proxy, set GOPROXY"
        raise BuildError(f"{program.name}: go build failed\n{said}  fix: {fix}")


@contextmanager
def running(command: Sequence[str | Path], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block, also when the block is interrupted."""
    quiet, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment(), stdout=quiet, stderr=pipe, text=True) as process:
        try:
            yield process
        except BaseException:
            process.send_signal(signal.SIGINT)  # then the compiler tidies up after itself
            process.communicate()
            raise


def follow(program: Program, lines: IO[str]) -> str:
    """Reads the compiler's talk to its end, shows how far it is, and returns what was no progress."""
    count, said, started, shown = 0, "", time.monotonic(), time.monotonic()
    for line in lines:
        if PACKAGE_LINE.fullmatch(line.strip()):
            count += 1
        elif not line.startswith("go: downloading"):
            said += f"  {line}"
        if time.monotonic() - shown >= BEAT_SECONDS:
            shown = time.monotonic()
            print(f"{program.name}: {count} packages compiled, {shown - started:.0f} s", flush=True)
    return said


def chosen(names: Sequence[str]) -> list[Program]:
    """The programs of these names in building order; all of them for no name."""
    known = {program.name: program for program in PROGRAMS}
    for name in names:
        if name not in known:
            raise UsageError(f"expected one of {', '.join(known)}; got '{name}'")
    return [program for program in PROGRAMS if not names or program.name in names]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="build.py", description=summary)
    parser.add_argument("name", nargs="*", help="a program; all of them when none is named")
    return parser.parse_args(argv)


def make(programs: Sequence[Program]) -> None:
    compiler = compiler_version()
    with alone():
        for program in programs:
            wanted = digest(program, compiler)
            if not is_built(program, wanted):
                build(program, wanted)
    print(f"{', '.join(program.name for program in programs)}: in {OUTPUT.relative_to(ROOT) / 'bin'}")


def main(argv: Sequence[str] | None = None) -> int:
    try:
        make(chosen(arguments(argv).name))
    except UsageError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 2
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("\nbuild.py: interrupted; what was built stays, run it again for the rest", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
