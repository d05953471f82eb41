"""What a person writes, such as `main...HEAD` -> the two commits that are meant, and what the commits between them say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from emqx_gitops import git
from emqx_gitops.errors import UsageFailure
from emqx_gitops.git import Git

WORK_TREE = "work tree"
_DEFAULTS = ("refs/remotes/origin/HEAD", "refs/remotes/origin/main", "refs/remotes/origin/master", "refs/heads/main", "refs/heads/master")


class Range(NamedTuple):
    """Two commits of a repository; `head` is empty for the work tree."""

    git: Git
    base: str
    head: str

    @property
    def head_label(self) -> str:
        """How reports name the newer side."""
        return self.head or WORK_TREE

    @property
    def last(self) -> str:
        """The newest commit."""
        return self.head or "HEAD"


def parse(text: str, start: Path) -> Range:
    """The commits that a range means, as Git reads it: `A..B` these two, `A...B` from where B left A, `A` that with the work tree.

    Without any text: from where the current branch left the default branch, to the work tree.
    """
    repository = _around(start)
    if "..." in text:
        base, _, head = text.partition("...")
        return _from_merge_base(repository, base or "HEAD", _commit(repository, head or "HEAD"))
    if ".." in text:
        base, _, head = text.partition("..")
        return Range(repository, _commit(repository, base or "HEAD"), _commit(repository, head or "HEAD"))
    return _from_merge_base(repository, text or _default(repository), "")


def _around(folder: Path) -> Git:
    done = Git(folder).try_run("rev-parse", "--show-toplevel")
    if done.code:
        raise UsageFailure(f"diff: expected a Git repository; {git.words(done)}", "run it in a clone, or name two folders: emqx-gitops diff OLD NEW")
    return Git(Path(done.stdout.removesuffix("\n")).resolve())


def _default(repository: Git) -> str:
    found = next((ref for ref in _DEFAULTS if repository.try_run("rev-parse", "--verify", "--quiet", ref).code == 0), None)
    if found is None:
        raise UsageFailure("diff: expected a default branch (main or master, here or at origin); there is none", "name what to compare with: main...HEAD")
    return found


def _commit(repository: Git, name: str) -> str:
    done = repository.try_run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if done.code:
        fix = "correct it, or fetch it first; in a workflow, give actions/checkout `fetch-depth: 0`"
        raise UsageFailure(f"diff: expected a branch, tag or commit; this clone has no {name!r}", fix)
    return done.stdout.split()[-1]


def _from_merge_base(repository: Git, base: str, head: str) -> Range:
    one, other = _commit(repository, base), head or _commit(repository, "HEAD")
    done = repository.try_run("merge-base", one, other)
    if done.code:
        shallow = repository.run("rev-parse", "--is-shallow-repository").strip() == "true"
        fix = "run `git fetch --unshallow`; in a workflow, give actions/checkout `fetch-depth: 0`" if shallow else f"compare the two themselves: {base}..HEAD"
        message = f"diff: expected {base} and {head[:12] or 'HEAD'} to have a commit in common; this clone {'is shallow' if shallow else 'has none'}"
        raise UsageFailure(message, fix)
    return Range(repository, done.stdout.split()[0], head)


class Trailer(NamedTuple):
    """A line at the end of a commit's message."""

    commit: str
    value: str


def trailers(span: Range, key: str) -> Iterator[Trailer]:
    """The values of a trailer in the commits of the range, oldest first."""
    form = f"--format=%x00%H%n%(trailers:key={key},valueonly,unfold)"
    said = span.git.run("log", "--reverse", "--topo-order", form, f"{span.base}..{span.last}")
    for entry in said.split("\0")[1:]:
        commit, *values = entry.splitlines()
        yield from (Trailer(commit, value.strip()) for value in values if value.strip())


def day(span: Range) -> str:
    """The day of the newest commit."""
    return span.git.run("log", "-1", "--format=%cs", span.last).strip()
