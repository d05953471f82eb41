"""The git commands that publishing needs: they read, add objects, and push once.

The index, the work tree and the branches of the person stay as they are; git itself notes a push in the remote-tracking branch.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from emqx_gitops import process
from emqx_gitops.errors import ToolFailure, UsageFailure
from emqx_gitops.process import Completed

Item = TypeVar("Item")

FILE = "100644 blob "  # how a plain file begins in `ls-tree`
# A hook of git sets these for its own repository.
_UNSET = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_SET = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LITERAL_PATHSPECS": "1", "GIT_NO_REPLACE_OBJECTS": "1"}
# What a person has configured must not change the tree or the commit, nor what git invents for a name.
_CONFIG = (
    "core.ignoreCase=false",
    "core.splitIndex=false",
    "core.fsmonitor=false",
    "i18n.commitEncoding=UTF-8",
    "log.showSignature=false",
    "user.useConfigOnly=true",
)
_ARGUMENTS = 500  # at a time: a command line has an end


@dataclass(frozen=True)
class Git:
    """A repository, by the folder of its work tree."""

    top: Path

    def run(self, *args: str, env: Mapping[str, str] | None = None, fix: str = "correct what git says") -> str:
        """What git prints; a ToolFailure with git's own words where it fails."""
        done = self.try_run(*args, env=env)
        if done.code:
            raise ToolFailure(f"git {args[0]}: {words(done)}", fix)
        return done.stdout

    def try_run(self, *args: str, env: Mapping[str, str] | None = None) -> Completed:
        """Run git, whatever comes of it."""
        settings = [word for setting in _CONFIG for word in ("-c", setting)]
        kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
        return process.run(["git", "--no-optional-locks", "-C", str(self.top), *settings, *args], env={**kept, **_SET, **(env or {})})

    def has(self, commit: str) -> bool:
        """Whether the commit is here."""
        return self.try_run("cat-file", "-e", f"{commit}^{{commit}}").code == 0

    def is_ancestor(self, one: str, other: str) -> bool:
        """Whether `other` comes after `one`, or is the same."""
        return self.try_run("merge-base", "--is-ancestor", one, other).code == 0

    def tip(self, remote: str, branch: str) -> str:
        """The commit at the end of the remote's branch; empty where there is no such branch."""
        listed = self.run("ls-remote", "--", remote, f"refs/heads/{branch}", fix=f"check the remote {remote!r} and your access to it: git ls-remote {remote}")
        return listed.partition("\t")[0]

    def fetch(self, remote: str, branch: str) -> None:
        """Bring the objects of the remote's branch, and no ref."""
        options = ("--quiet", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-gc", "--no-recurse-submodules", "--refmap=")
        self.run("fetch", *options, "--", remote, f"refs/heads/{branch}", fix="run it again")

    def files(self, commit: str) -> dict[str, str]:
        """Path -> mode, type and id of everything in the commit's tree."""
        entries = (entry.partition("\t") for entry in self.run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0") if entry)
        return {path: what for what, _, path in entries}

    def blobs(self, texts: Iterable[str], *, write: bool) -> list[str]:
        """The ids of these texts, which become objects only with `write`."""
        with tempfile.TemporaryDirectory(prefix="emqx-gitops-publish-") as folder:
            paths = []
            for number, text in enumerate(texts):
                paths.append(str(path := Path(folder, str(number))))
                path.write_text(text, encoding="utf-8", newline="\n")
            options = ("--no-filters", *(["-w"] if write else []))
            return [name for part in _parts(paths) for name in self.run("hash-object", *options, "--", *part).split()]

    def tree(self, files: Mapping[str, str]) -> str:
        """The tree of plain files (path -> `FILE` and id), made in an index of its own."""
        with tempfile.TemporaryDirectory(prefix="emqx-gitops-publish-") as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
            for part in _parts(files.items()):
                entries = (f"100644,{what.removeprefix(FILE)},{path}" for path, what in part)
                self.run("update-index", "--add", *(word for entry in entries for word in ("--cacheinfo", entry)), env=env)
            return self.run("write-tree", env=env).strip()

    def commit(self, tree: str, parent: str, message: str, date: str) -> str:
        """A commit on `parent` (empty: on none), made by the person that git knows, at `date`."""
        env = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        fix = "say who commits: git config user.name … and git config user.email …"
        return self.run("commit-tree", tree, *(["-p", parent] if parent else []), "-m", message, env=env, fix=fix).strip()

    def push(self, remote: str, branch: str, commit: str, expected: str) -> Completed:
        """Move the remote's branch to `commit`, in one step, if it is still at `expected` (empty: still not there)."""
        ref = f"refs/heads/{branch}"
        options = ("--quiet", "--no-follow-tags", "--recurse-submodules=no", f"--force-with-lease={ref}:{expected}")
        return self.try_run("push", *options, "--", remote, f"{commit}:{ref}")


def around(folder: Path) -> Git:
    """The repository around a folder."""
    done = Git(folder).try_run("rev-parse", "--show-toplevel")
    if done.code:
        raise UsageFailure(f"{folder}: expected a folder in a Git repository; {words(done)}", "publish from a clone")
    return Git(Path(done.stdout.removesuffix("\n")))


def words(done: Completed) -> str:
    """What git says of its failure, in one line and without what a URL holds before its host."""
    said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
    return without_password(said) or f"it ended with {done.code} and said nothing"


def without_password(text: str) -> str:
    """A text without what URLs in it hold before their hosts."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _parts(items: Iterable[Item]) -> Iterator[list[Item]]:
    rest = iter(items)
    while part := list(islice(rest, _ARGUMENTS)):
        yield part
