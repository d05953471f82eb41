"""Builds the programs that the tests run against, from pinned Go modules, into .tools/cluster/bin.

    build.py                    what `make test-cluster` needs
    build.py e2e                what `make e2e` needs
    build.py sync               the same without a node on which containers really run
    build.py kubectl etcd       only these

A program whose sources, flags and compiler have not changed is left alone; what is built once needs no network again.
Manifests that belong to a program (its CRDs, kwok's stages) come out of its module into .tools/cluster/manifests/PROGRAM.
Some few come from Debian's packages instead, see debian.py. Standard library only.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
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
sys.path[:0] = [str(MODULES), str(ROOT / "tools")]

import debian  # noqa: E402 - found by the line above, as the next ones are
from builds import BuildError, beside, folder_beside  # noqa: E402

from bootstrap import go_environment  # noqa: E402

# `make GO=…` hands it down in the environment.
GO = Path(os.environ.get("GO") or ROOT / ".tools" / "go" / "bin" / "go")
OUTPUT = ROOT / ".tools" / "cluster"

KUBERNETES_VERSION = "k8s.io/component-base/version"
ARGOCD = "github.com/argoproj/argo-cd/v3"
DISTRIBUTION = "github.com/distribution/distribution/v3"
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
    # A folder of that module, if tests need the YAML in it.
    yaml: str = ""

    @property
    def folder(self) -> Path:
        return MODULES / self.module

    @property
    def path(self) -> Path:
        return OUTPUT / "bin" / self.name

    @property
    def manifests(self) -> Path:
        return OUTPUT / "manifests" / self.name

    @property
    def stamp(self) -> Path:
        return OUTPUT / "stamps" / self.name


def kubernetes(name: str, minutes: str) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes", minutes)


def kustomize(minor: str) -> Program:
    package = "sigs.k8s.io/kustomize/kustomize/v5"
    return Program(f"kustomize-{minor}", f"kustomize-{minor}", package, package, "half a minute")


def flux(name: str) -> Program:
    module = f"github.com/fluxcd/{name}"
    return Program(name, name, module, module, "five minutes", yaml="config/crd/bases")


# The quick ones first: they already serve tests/parity.
TEST_CLUSTER = (
    kustomize("5.4"),
    kustomize("5.6"),
    kubernetes("kubectl", "half a minute"),
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", "a minute"),
    kubernetes("kube-controller-manager", "two minutes"),
    kubernetes("kube-apiserver", "five minutes"),
)
PROGRAMS = (
    *TEST_CLUSTER,
    kubernetes("kube-scheduler", "half a minute"),
    kubernetes("kubelet", "a minute"),
    kubernetes("kube-proxy", "a minute"),
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok", "two minutes", yaml="kustomize/stage"),
    Program("coredns", "coredns", "github.com/coredns/coredns", "github.com/coredns/coredns", "two minutes"),
    flux("source-controller"),
    flux("kustomize-controller"),
    Program("registry", "registry", f"{DISTRIBUTION}/cmd/registry", DISTRIBUTION, "two minutes"),
    # All of Argo CD in one: its name, or ARGOCD_BINARY_NAME, says which part it is to be.
    Program("argocd", "argocd", f"{ARGOCD}/cmd", ARGOCD, "five minutes", yaml="manifests/crds"),
    Program("kind", "kind", "sigs.k8s.io/kind", "sigs.k8s.io/kind", "half a minute"),
)
KNOWN = {one.name: one for one in (*PROGRAMS, *debian.TOOLS)}
# What only a node needs on which containers really run: Linux, and root.
NODE = ("kubelet", "kube-proxy", "coredns", "containerd", "runc", "cni", "nft")
# It needs a container engine and a registry: .github/workflows/kind.yaml has them.
ELSEWHERE = ("kind",)
GROUPS = {
    "test-cluster": (*(program.name for program in TEST_CLUSTER), *(["busybox"] if sys.platform == "linux" else [])),
    "sync": tuple(name for name in KNOWN if name not in (*NODE, *ELSEWHERE)),
    "e2e": tuple(name for name in KNOWN if name not in ELSEWHERE),
}


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
    if program.package.startswith("sigs.k8s.io/kustomize/"):
        return [f"-X {KUSTOMIZE_VERSION}.version={pinned}"]
    if program.module == "argocd":
        return [f"-X {ARGOCD}/common.version={pinned.removeprefix('v')}"]
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
    text = "\0".join([compiler, program.package, program.yaml, *flags(program), *pins])
    return hashlib.sha256(text.encode()).hexdigest()


def is_built(program: Program, wanted: str) -> bool:
    there = program.path.exists() and (program.manifests.exists() or not program.yaml)
    return there and program.stamp.exists() and program.stamp.read_text() == wanted


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


def build(program: Program, wanted: str) -> None:
    """Builds one program and only then marks it as built."""
    print(f"{program.name} {version(program)}: building, about {program.minutes} on two cores", flush=True)
    started = time.monotonic()
    with beside(program.path) as new:
        compile_to(new, program)
    if program.yaml:
        copy_manifests(program)
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


def copy_manifests(program: Program) -> None:
    """Tests do not look into Go's cache themselves: it may be emptied, and its folders are read-only."""
    source = module_folder(program) / program.yaml
    found = [path.relative_to(source) for path in sorted(source.rglob("*.yaml"))]
    wanted = [path for path in found if "testdata" not in path.parts]
    if not wanted:
        raise BuildError(f"{program.name}: expected YAML in {source}")
    with folder_beside(program.manifests) as new:
        for path in wanted:
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / path, new / path)


def module_folder(program: Program) -> Path:
    """Where Go keeps the module of a program that it has just built."""
    command = [GO, "list", "-m", "-mod=readonly", "-f", "{{.Dir}}", program.versioned_by]
    answer = subprocess.run(command, cwd=program.folder, env=environment(), capture_output=True, text=True)
    if answer.returncode:
        raise BuildError(f"{program.name}: go list failed\n  {answer.stderr.strip()}")
    return Path(answer.stdout.strip())


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


def chosen(names: Sequence[str]) -> list[str]:
    """The programs of these names and groups, in building order."""
    for name in names:
        if name not in GROUPS and name not in KNOWN:
            raise UsageError(f"expected one of {', '.join([*GROUPS, *KNOWN])}; got '{name}'")
    wanted = {program for name in names for program in GROUPS.get(name, (name,))}
    return [name for name in KNOWN if name in wanted]


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    summary, _, _ = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(prog="build.py", description=summary)
    parser.add_argument("name", nargs="*", default=["test-cluster"], help="a program, or a group: test-cluster (when none is named), sync, e2e")
    return parser.parse_args(argv)


def make(names: Sequence[str]) -> None:
    with alone():
        # Seconds, or a program to install: better known before the long builds.
        debian.provide([tool for tool in debian.TOOLS if tool.name in names], OUTPUT)
        build_all([program for program in PROGRAMS if program.name in names])
    print(f"{', '.join(names)}: in {OUTPUT.relative_to(ROOT) / 'bin'}")


def build_all(programs: Sequence[Program]) -> None:
    compiler = compiler_version() if programs else ""
    for program in programs:
        wanted = digest(program, compiler)
        if not is_built(program, wanted):
            build(program, wanted)


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
