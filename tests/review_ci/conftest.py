"""A forge that answers, and a runner that runs the workflow's steps against it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .forge import TOKEN, GitHub, GitLab, served
from .workflow import Runner, environment

BASE, HEAD, NEWER = "b" * 40, "c" * 40, "d" * 40
REPORT = "## 1 danger\n\n`clusters/a`: **scale-down**\n"
# As far as anybody looks at it.
SAME: dict[str, Any] = {"name": "clusters/a", "findings": [], "problems": [], "differences": []}
SOMETHING = {"targets": [SAME, {**SAME, "name": "clusters/b", "differences": [{"what": "changed"}]}], "unusedConsents": []}
NOTHING = {"targets": [SAME], "unusedConsents": []}

# Stands for emqx-gitops: notes how it was called, reports what the test says, and ends as it says.
PROGRAM = f"""\
#!{sys.executable} -I
import json, os, pathlib, shutil, sys
here = pathlib.Path(__file__).parent
(here / "called.json").write_text(json.dumps(sys.argv[1:]))
(here / "env.json").write_text(json.dumps(dict(os.environ)))
for path in (pathlib.Path(word.split("=")[2]) for word in sys.argv if word.startswith("--write=")):
    if (here / "reports" / path.name).exists():
        shutil.copy(here / "reports" / path.name, path)
sys.exit(int((here / "code").read_text()))
"""


@dataclass(frozen=True)
class Program:
    """What stands for emqx-gitops."""

    folder: Path

    def says(self, comment: str = REPORT, summary: str = "# Summary\n", code: int = 0, review: dict[str, Any] | None = None) -> None:
        for name, text in (("comment.md", comment), ("summary.md", summary), ("review.json", json.dumps(review or SOMETHING))):
            (self.folder / "reports" / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        (self.folder / "code").write_text(str(code), encoding="utf-8")

    @property
    def called(self) -> list[str]:
        found: list[str] = json.loads((self.folder / "called.json").read_text(encoding="utf-8"))
        return found

    @property
    def env(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.folder / "env.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(name="program")
def fixture_program(tmp_path: Path) -> Program:
    program = Program(tmp_path / "bin")
    (program.folder / "reports").mkdir(parents=True)
    (program.folder / "emqx-gitops").write_text(PROGRAM, encoding="utf-8")
    (program.folder / "emqx-gitops").chmod(0o755)
    program.says()
    return program


@pytest.fixture(name="github")
def fixture_github() -> Iterator[GitHub]:
    forge = GitHub(HEAD)
    with served(forge):
        yield forge


@pytest.fixture(name="gitlab")
def fixture_gitlab() -> Iterator[GitLab]:
    forge = GitLab(HEAD)
    with served(forge):
        yield forge


def pull_request(*, fork: bool = False, branch: str = "topic", head: str = HEAD) -> dict[str, Any]:
    """The event, with what may matter of it."""
    owner = "stranger" if fork else "example"
    return {
        "action": "synchronize",
        "pull_request": {
            "number": 12,
            "title": branch,
            "labels": [],
            "base": {"ref": "main", "sha": BASE, "repo": {"full_name": "example/clusters"}},
            "head": {"ref": branch, "sha": head, "repo": {"full_name": f"{owner}/clusters"}},
        },
        "repository": {"full_name": "example/clusters", "default_branch": "main"},
    }


def merge_group(head_ref: str = f"refs/heads/gh-readonly-queue/main/pr-12-{BASE}") -> dict[str, Any]:
    """The same of the merge queue."""
    return {
        "action": "checks_requested",
        "merge_group": {"head_sha": HEAD, "head_ref": head_ref, "base_sha": BASE, "base_ref": "refs/heads/main"},
        "repository": {"full_name": "example/clusters", "default_branch": "main"},
    }


def writes(folder: str) -> list[str]:
    """The options for all forms of a report."""
    forms = {"comment.md": "markdown-comment", "summary.md": "markdown-summary", "review.md": "markdown"}
    forms |= {"review.html": "html", "review.json": "json", "review.txt": "text"}
    return [f"--write={form}={folder}/{name}" for name, form in forms.items()]


Start = Callable[..., Runner]


@pytest.fixture(name="start")
def fixture_start(tmp_path: Path, github: GitHub, program: Program) -> Start:
    """A run of the workflow: `start(event, run=2)`."""
    (tmp_path / "home").mkdir()

    def start(event: dict[str, Any] | None = None, **changed: Any) -> Runner:
        event = event or pull_request()
        name = "pull_request" if "pull_request" in event else "merge_group"
        folder = tmp_path / f"run-{changed.get('run', 1)}-{changed.get('attempt', 1)}"
        folder.mkdir(exist_ok=True)
        return Runner(folder, environment(tmp_path / "home", program.folder, github.url), name, event, TOKEN, **changed)

    return start
