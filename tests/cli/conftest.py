"""A copy of the repository to work in, and the command line as a person calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
# What of this clone a user's repository consists of; the program and its plugin always run from the clone itself.
PARTS = ("base", "overlays", "plugins/inject", "plugins/check", "plugins/schemas")
# Nothing that the person running the tests has set may change what the program says.
UNSET = ("CRANE", "KUSTOMIZE", "KUBECONFORM", "KUSTOMIZE_PLUGIN_HOME", "NO_COLOR", "FORCE_COLOR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")


@dataclass(frozen=True)
class Ran:
    """How a call ended and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Repo:
    """A repository with our overlays, in a folder of its own."""

    path: Path
    env: dict[str, str] = field(repr=False)

    def command(self, *args: str, hocon: bool = True) -> list[str]:
        """The command line; without `hocon`, as in a Python that has no parser for it."""
        without = "import sys; sys.modules['hocon'] = None; from emqx_gitops.cli import main; main()"
        return [sys.executable, *(("-m", "emqx_gitops") if hocon else ("-c", without)), *args]

    def run(self, *args: str, stdin: str = "", env: dict[str, str] | None = None, cwd: Path | None = None, hocon: bool = True) -> Ran:
        """Run emqx-gitops in the repository."""
        done = subprocess.run(
            self.command(*args, hocon=hocon),
            input=stdin.encode(),
            capture_output=True,
            cwd=cwd or self.path,
            env={**self.env, **(env or {})},
            timeout=SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path


def environment(home: Path) -> dict[str, str]:
    """The environment of a person with an empty home."""
    kept = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**kept, "HOME": str(home), "COLUMNS": "100", "TERM": "xterm"}


@pytest.fixture(name="make_repo")
def fixture_make_repo(tmp_path: Path) -> Callable[[], Repo]:
    def make() -> Repo:
        path, home = tmp_path / "repo", tmp_path / "home"
        for part in PARTS:
            shutil.copytree(ROOT / part, path / part)
        home.mkdir()
        return Repo(path, environment(home))

    return make


@pytest.fixture(name="repo")
def fixture_repo(make_repo: Callable[[], Repo]) -> Repo:
    return make_repo()


@pytest.fixture(name="plain")
def fixture_plain(repo: Repo) -> Repo:
    """The repository with a cluster folder that holds no EMQX: quick to render, and no business of the function."""
    repo.write("clusters/plain/kustomization.yaml", "resources:\n  - configmap.yaml\n")
    repo.write("clusters/plain/configmap.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: plain\n")
    return repo
