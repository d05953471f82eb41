"""A repository with clusters that kustomize builds without any plugin: quick, and as Git knows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.cli.conftest import SECONDS, Ran, environment

from emqx_gitops.kustomize import find
from emqx_gitops.review import revisions, run
from emqx_gitops.review.model import Review

GIT = shutil.which("git") or "git"
BROKER = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: broker
spec:
  replicas: 1
  selector:
    matchLabels:
      app: broker
  template:
    metadata:
      labels:
        app: broker
    spec:
      containers:
        - name: emqx
          image: emqx/emqx:5.8.9
          envFrom:
            - configMapRef:
                name: settings
"""
CLUSTER = """\
namespace: iot
resources:
  - ../../shared
namePrefix: {name}-
configMapGenerator:
  - name: settings
    envs:
      - settings.env
"""


@dataclass(frozen=True)
class Clone:
    """A repository of Git with two clusters, `a` and `b`, on a shared folder."""

    path: Path
    env: dict[str, str] = field(repr=False)

    def git(self, *args: str, cwd: Path | None = None) -> str:
        done = subprocess.run([GIT, *args], cwd=cwd or self.path, env=self.env, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def append(self, name: str, text: str) -> None:
        with (self.path / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def cluster(self, name: str) -> None:
        self.write(f"clusters/{name}/kustomization.yaml", CLUSTER.format(name=name))
        self.write(f"clusters/{name}/settings.env", "EMQX_MQTT__MAX_TOPIC_LEVELS=10\n")

    def commit(self, message: str = "Change something") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def setting(self, cluster: str, line: str, message: str = "Change a setting") -> str:
        self.append(f"clusters/{cluster}/settings.env", f"{line}\n")
        return self.commit(message)

    def diff(self, *args: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> Ran:
        """`emqx-gitops diff`, as a person calls it."""
        command = [sys.executable, "-m", "emqx_gitops", "diff", *args]
        done = subprocess.run(command, cwd=cwd or self.path, env={**self.env, **(env or {})}, capture_output=True, timeout=SECONDS, check=False)
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def review(self, text: str = "main...HEAD", *, jobs: int = 2, cwd: Path | None = None) -> Review:
        """The same without a process of its own."""
        here = cwd or self.path
        return run.of_range(revisions.parse(text, here), here, run.Settings(find(None), jobs))

    def state(self) -> dict[str, bytes]:
        """Every file of the repository and of the work tree."""
        files = (Path(parent, name) for parent, _, names in os.walk(self.path) for name in names)
        return {path.relative_to(self.path).as_posix(): b"" if path.is_symlink() else path.read_bytes() for path in files}


def changed(review: Review) -> dict[str, list[str]]:
    """What differs in each target that was rendered."""
    return {
        target.pair.target.name: [f"{difference.what} {difference.resource.key.kind}" for difference in target.pair.differences] for target in review.targets
    }


@pytest.fixture(name="make_clone")
def fixture_make_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Clone]:
    def make() -> Clone:
        path, home = tmp_path / "clone", tmp_path / "home"
        home.mkdir()
        path.mkdir()
        env = {**environment(home), "GIT_CONFIG_NOSYSTEM": "1"}
        # Reviews without a process of their own run git too.
        for name, value in (("HOME", str(home)), ("GIT_CONFIG_NOSYSTEM", "1")):
            monkeypatch.setenv(name, value)
        clone = Clone(path, env)
        clone.git("init", "--quiet", "--initial-branch=main")
        for name, value in (("user.name", "A"), ("user.email", "a@example.com")):
            clone.git("config", name, value)
        clone.write("shared/broker.yaml", BROKER)
        clone.write("shared/kustomization.yaml", "resources:\n  - broker.yaml\n")
        clone.cluster("a")
        clone.cluster("b")
        clone.commit("Begin")
        clone.git("checkout", "--quiet", "-b", "topic")
        return clone

    return make


@pytest.fixture(name="clone")
def fixture_clone(make_clone: Callable[[], Clone]) -> Clone:
    return make_clone()
