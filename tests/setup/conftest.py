"""One clone is set up for real, once; the tests that change it put it right again."""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machine import SYSTEM_PATH, Ran, caches, copy_clone, passed_on, run


@dataclass(frozen=True)
class Clone:
    """A copy of this clone, and the environment of the person who works in it."""

    root: Path
    env: dict[str, str]

    @property
    def home(self) -> Path:
        return Path(self.env["HOME"])

    @property
    def plugin_link(self) -> Path:
        return self.home / ".config" / "kustomize" / "plugin" / "emqx-gitops.dev"

    def make(self, *arguments: str, **env: str) -> Ran:
        """make, with the Python that runs these tests."""
        return run(["make", f"PYTHON={real_python()}", *arguments], {**self.env, **env}, self.root)

    def due(self, *arguments: str, **env: str) -> list[str]:
        """The steps that set-up would take, without what differs between machines."""
        said = run([real_python(), "-I", "tools/bootstrap.py", "--check", *arguments], {**self.env, **env}, self.root)
        return [re.sub(r", with .*| v?[\d.]+,.*", "", line) for line in said.out.splitlines()]


def real_python() -> str:
    """The interpreter beneath the virtualenv."""
    return os.path.realpath(sys.executable)


@pytest.fixture(scope="session")
def machine_env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of somebody who has nothing yet."""
    home = tmp_path_factory.mktemp("home")
    # Not the system's own folders: a kustomize there would be found, and the tests would depend on it.
    folder = tmp_path_factory.mktemp("path")
    for name in ("sh", "make", "env", "cat", "sleep", "readlink", "rm", "sed", "git"):
        (folder / name).symlink_to(shutil.which(name, path=SYSTEM_PATH) or name)
    return {**passed_on(), **caches(), "HOME": str(home), "PATH": str(folder)}


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory, machine_env: dict[str, str]) -> tuple[Clone, Ran]:
    """A fresh clone, in a folder with a blank, and what the first `make setup` in it said."""
    clone = Clone(copy_clone(tmp_path_factory.mktemp("work") / "a clone"), machine_env)
    return clone, clone.make("setup")


@pytest.fixture(scope="session")
def clone(first_run: tuple[Clone, Ran]) -> Clone:
    """A clone that is set up."""
    clone, ran = first_run
    assert ran.code == 0, ran.err
    return clone
