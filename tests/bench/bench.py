"""`make bench`: times and memory as ratios to a floor, so that they mean the same on every machine.

The floor is what any function in Python must do: start the same interpreter, import PyYAML, load the same stream with the
C loader and print it as JSON. Runs are interleaved: a slow moment of the machine hits both sides of a ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
OVERLAY = ROOT / "overlays" / "persistent"
LAUNCHER = PLUGINS / "emqx-gitops.dev" / "v1alpha1" / "emqxcluster" / "EmqxCluster"
CONFIG = PLUGINS / "inject" / "emqxcluster.yaml"
FLOOR = "import json, sys, yaml; json.dump(list(yaml.load_all(sys.stdin, yaml.CSafeLoader)), sys.stdout, default=str)"
FOREIGN = (0, 1_000, 10_000)
GOAL = 1.5


@dataclass(frozen=True)
class Run:
    """One process: seconds of wall clock, seconds of processor, MiB at its peak."""

    seconds: float
    processor: float
    memory: float


@dataclass(frozen=True)
class Program:
    """A command with its standard input."""

    name: str
    command: tuple[str, ...]
    stdin: Path | None = None

    def run(self) -> Run:
        """Run it to the end, output thrown away. Stops the bench where it fails."""
        started = time.perf_counter()
        child = os.posix_spawn(self.command[0], self.command, environment(), file_actions=self._files())
        _, status, used = os.wait4(child, 0)
        seconds = time.perf_counter() - started
        if status:
            sys.exit(f"bench: {self.name} failed: {' '.join(self.command)}")
        return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))

    def _files(self) -> list[tuple[int, ...] | tuple[int, int, str, int, int]]:
        source = str(self.stdin or os.devnull)
        return [(os.POSIX_SPAWN_OPEN, 0, source, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


def environment() -> dict[str, str]:
    """What kustomize needs to find the plugin, and nothing that changes a time."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "KUSTOMIZE_PLUGIN_HOME": str(PLUGINS)}


@dataclass(frozen=True)
class Ratio:
    """`measured` ÷ `floor` over interleaved pairs."""

    title: str
    measured: tuple[Run, ...]
    floor: tuple[Run, ...]

    def of(self, value: Callable[[Run], float]) -> float:
        return statistics.median(value(run) for run in self.measured) / statistics.median(value(run) for run in self.floor)

    @property
    def spread(self) -> tuple[float, float]:
        """The middle half of the ratios of pairs."""
        pairs = sorted(one.seconds / other.seconds for one, other in zip(self.measured, self.floor, strict=True))
        return pairs[len(pairs) // 4], pairs[(3 * len(pairs)) // 4]

    def row(self) -> tuple[str, ...]:
        low, high = self.spread
        return (
            self.title,
            *(f"{statistics.median(run.seconds for run in runs) * 1000:.1f} ms" for runs in (self.measured, self.floor)),
            f"{self.of(lambda run: run.seconds):.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{self.of(lambda run: run.processor):.2f}",
            f"{statistics.median(run.memory for run in self.measured):.0f} MiB",
            f"{self.of(lambda run: run.memory):.2f}",
        )


HEADINGS = ("", "time", "floor", "ratio", "middle half", "processor", "memory", "ratio")


def compare(title: str, measured: Program, floor: Program, rounds: int) -> Ratio:
    """Run both in turns; the first pair only warms the caches."""
    pairs = [(measured.run(), floor.run()) for _ in range(rounds + 1)][1:]
    return Ratio(title, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def show(rows: Sequence[Sequence[str]]) -> None:
    """A table: the first column left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [text.ljust(width) if not column else text.rjust(width) for column, (text, width) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())


# -- what is measured


def kustomize() -> str:
    """The kustomize that `make` uses."""
    return os.environ.get("KUSTOMIZE") or str(ROOT / ".tools" / "bin" / "kustomize")


def build(folder: Path, *options: str) -> Program:
    return Program(f"kustomize build {folder.name}", (kustomize(), "build", *options, str(folder)))


def recorded(work: Path) -> Path:
    """The stream that the plugin sees in a build of the overlay."""
    stream = work / "stream.yaml"
    recorder = work / "home" / "emqx-gitops.dev" / "v1alpha1" / "emqxcluster" / "EmqxCluster"
    recorder.parent.mkdir(parents=True)
    recorder.write_text('#!/bin/sh\nexec tee "$BENCH_STREAM"\n')
    recorder.chmod(0o755)
    settings = {**environment(), "KUSTOMIZE_PLUGIN_HOME": str(work / "home"), "BENCH_STREAM": str(stream)}
    command = [kustomize(), "build", "--enable-alpha-plugins", str(OVERLAY)]
    child = os.posix_spawn(command[0], command, settings, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
    if os.waitpid(child, 0)[1]:
        sys.exit("bench: kustomize cannot build overlays/persistent; fix: make")
    return stream


def with_foreign(stream: Path, count: int) -> Path:
    """The stream with other people's objects around it: small ones, as most of a cluster's are."""
    objects = []
    for index in range(count):
        labels = "".join(f"    label-{number}: value-{number}\n" for number in range(4))
        data = "".join(f"  key-{number}: |\n    line one of {index}\n    line two\n" for number in range(3))
        objects.append(f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: foreign-{index}\n  namespace: other\n  labels:\n{labels}data:\n{data}---\n")
    result = stream.with_name(f"stream-{count}.yaml")
    result.write_text("".join(objects) + stream.read_text())
    return result


def rendered(work: Path) -> Path:
    """A kustomization that lists the overlay's finished output: the same objects, nothing to compute."""
    folder = work / "rendered"
    folder.mkdir()
    output = folder / "all.yaml"
    command = [kustomize(), "build", "--enable-alpha-plugins", str(OVERLAY)]
    child = os.posix_spawn(command[0], command, environment(), file_actions=[(os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT, 0o644)])
    if os.waitpid(child, 0)[1]:
        sys.exit("bench: kustomize cannot build overlays/persistent; fix: make")
    (folder / "kustomization.yaml").write_text(json.dumps({"resources": [output.name]}))
    return folder


def main() -> int:
    """Measure, print, and answer whether the goal is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds: numbers to glance at, not to quote")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), 7 if quick else 40)


def measure(work: Path, rounds: int) -> int:
    stream = recorded(work)
    ratios = []
    for count in FOREIGN:
        source = with_foreign(stream, count)
        plugin = Program("the plugin", (str(LAUNCHER), str(CONFIG)), source)
        floor = Program("the floor", (sys.executable, "-I", "-c", FLOOR), source)
        title = f"plugin, {count:,} foreign objects" if count else "plugin"
        ratios.append(compare(title, plugin, floor, rounds if count < 10_000 else max(3, rounds // 8)))
    whole = compare("whole build", build(OVERLAY, "--enable-alpha-plugins"), build(rendered(work)), rounds)
    show([HEADINGS, *(ratio.row() for ratio in [*ratios, whole])])
    print()
    print(linear(ratios))
    goal = ratios[0].of(lambda run: run.seconds)
    print(f"plugin ÷ floor: {goal:.2f}, goal {GOAL}: {'met' if goal <= GOAL else 'missed'}")
    return 0 if goal <= GOAL else 1


def linear(ratios: Sequence[Ratio]) -> str:
    """Processor time for each foreign object, at a thousand and at ten thousand: the same where the function is linear.

    The least of the runs: a difference of two medians would mostly be the machine's noise.
    """
    base, *more = (min(run.processor for run in ratio.measured) for ratio in ratios)
    each = [(seconds - base) / count * 1e6 for seconds, count in zip(more, FOREIGN[1:], strict=True)]
    return f"for each foreign object: {each[0]:.1f} µs at {FOREIGN[1]:,}, {each[1]:.1f} µs at {FOREIGN[2]:,} (ratio {each[1] / each[0]:.2f})"


if __name__ == "__main__":
    sys.exit(main())
