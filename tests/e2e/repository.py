"""The Git repository of somebody who runs EMQX: clusters on our overlays in branch `main`, their renderings in branch `rendered`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.rendering import OVERLAYS, ROOT, Clone, clone_into

EMQX_GITOPS = Path(sys.executable).with_name("emqx-gitops")
SECONDS = 60.0
BRANCH = "rendered"


def run(folder: Path, *command: str | Path) -> str:
    """A command that must end well, with an identity for Git and none of the machine's settings."""
    identity = {f"GIT_{who}_{what}": "e2e@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    ended = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS)
    assert ended.returncode == 0, f"{' '.join(map(str, command))}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@dataclass(frozen=True)
class Repository:
    """A working copy of each of the two branches, and where the engines find them."""

    dry: Clone
    rendered: Path
    url: str

    def path(self, overlay: str) -> str:
        """Where the rendering of the cluster on this overlay lies, from the root of the branch."""
        return f"clusters/{overlay}"

    def cluster(self, overlay: str) -> Path:
        return self.dry.folder / "clusters" / overlay

    def secrets(self, overlay: str) -> str:
        """The Secrets that this cluster needs, which do not go through Git."""
        return run(self.dry.folder, EMQX_GITOPS, "secrets", f"clusters/{overlay}")

    def publish(self, message: str) -> str:
        """Commits what was changed, publishes it in the other branch, and tells that branch's commit."""
        self.commit(message)
        run(self.dry.folder, EMQX_GITOPS, "publish", *(f"clusters/{overlay}" for overlay in OVERLAYS if self.cluster(overlay).exists()))
        self._fetch()
        return head(self.rendered)

    def commit(self, message: str) -> str:
        """Commits what was changed in the branch that people write."""
        return commit(self.dry.folder, "main", message)

    def touch(self) -> str:
        """A commit in the rendered branch that changes no object."""
        (self.rendered / "NOTES").write_text("Nothing that is applied.\n")
        return commit(self.rendered, BRANCH, "Change nothing")

    def break_rendering(self, overlay: str, file: str, change: Callable[[str], str]) -> str:
        """A commit that somebody made by hand in the rendered branch."""
        path = self.rendered / self.path(overlay) / file
        path.write_text(change(path.read_text()))
        return commit(self.rendered, BRANCH, f"Break {file}")

    def mend_rendering(self) -> str:
        """Takes the last commit of the rendered branch back."""
        run(self.rendered, "git", "revert", "--no-edit", "HEAD")
        run(self.rendered, "git", "push", "--quiet", "origin", f"HEAD:{BRANCH}")
        return head(self.rendered)

    def _fetch(self) -> None:
        run(self.rendered, "git", "fetch", "--quiet", "origin", BRANCH)
        run(self.rendered, "git", "reset", "--quiet", "--hard", "FETCH_HEAD")

    def set(self, overlay: str, variable: str, value: str) -> None:
        """A setting for the brokers of this cluster, instead of an earlier one of that name."""
        set_variable(self.cluster(overlay), variable, value)

    def scale(self, overlay: str, count: int) -> None:
        edit(self.cluster(overlay), replicas=[{"name": "emqx", "count": count}])


def set_variable(folder: Path, variable: str, value: str) -> None:
    path = folder / "emqx.env"
    others = [line for line in path.read_text().splitlines() if not line.startswith(f"{variable}=")]
    path.write_text("\n".join([*others, f"{variable}={value}", ""]))


def edit(folder: Path, **fields: Any) -> None:
    path = folder / "kustomization.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **fields}, sort_keys=False))


def commit(folder: Path, branch: str, message: str) -> str:
    """Everything in the folder, pushed; also when nothing changed, as a change elsewhere in the branch would be."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--allow-empty", f"--message={message}")
    run(folder, "git", "push", "--quiet", "origin", f"HEAD:{branch}")
    return head(folder)


def head(folder: Path) -> str:
    return run(folder, "git", "rev-parse", "HEAD").strip()


def found(folder: Path, remote: Path, url: str, engine: str, namespaces: dict[str, str]) -> Repository:
    """A new repository with one cluster on each overlay, as the documentation says to start one for this engine."""
    run(folder, "git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", remote)
    dry, rendered = folder / "main", folder / BRANCH
    for copy in (dry, rendered):
        run(folder, "git", "init", "--quiet", copy)
        run(copy, "git", "remote", "add", "origin", remote)
    repository = Repository(clone_into(dry), rendered, url)
    shutil.copy(ROOT / ".gitignore", dry)
    shutil.copytree(ROOT / "sync", dry / "sync")
    for overlay, namespace in namespaces.items():
        run(dry, EMQX_GITOPS, "new", f"clusters/{overlay}", "--from", overlay, "--namespace", namespace)
        edit(repository.cluster(overlay), components=[f"../../sync/{engine}/annotations"])
    return repository
