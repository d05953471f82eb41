"""The two states that are compared: a commit in a folder of its own, the work tree, or folders that somebody names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from filecmp import cmp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from emqx_fn.problem import Problem
from emqx_gitops import project
from emqx_gitops.review import checkout, reach
from emqx_gitops.review.reach import Changes, Choice
from emqx_gitops.review.revisions import Range
from emqx_gitops.review.views import Committed, OnDisk


@dataclass(frozen=True)
class Tree:
    """One state. `top` is where its files begin, `root` the folder in it that holds overlays/, clusters/ and plugins/."""

    label: str
    top: Path
    root: Path
    is_temporary: bool = False

    def without_place(self, text: str) -> str:
        """A text without the folder that is gone when it is read."""
        return text.replace(f"{self.top}/", "") if self.is_temporary else text

    def cleaned(self, problem: Problem) -> Problem:
        """The problem without that folder."""
        return problem._replace(**{field: self.without_place(getattr(problem, field)) for field in ("where", "message", "fix")})


class States(NamedTuple):
    """Both trees, and the targets of theirs that are to be rendered."""

    before: Tree
    after: Tree
    choice: Choice


@contextmanager
def of_commits(span: Range, start: Path) -> Iterator[States]:
    """The trees of a range; those of commits are gone afterwards, and nothing in the repository has changed."""
    inside = _inside(span, start)
    old, new = Committed(span.git, span.base), Committed(span.git, span.head) if span.head else OnDisk(span.git.top)
    choice = reach.choose(old, new, inside.as_posix(), _changes(span))
    with TemporaryDirectory(prefix="emqx-gitops-diff-") as scratch:
        place = Path(scratch).resolve()
        before = _checked_out(span, span.base, place / "base", inside, choice)
        after = _checked_out(span, span.head, place / "head", inside, choice) if span.head else Tree(span.head_label, span.git.top, span.git.top / inside)
        yield States(before, after, choice)


def _inside(span: Range, start: Path) -> Path:
    """The project's folder in the repository."""
    root = project.find_root(start.resolve())
    return root.relative_to(span.git.top) if root and root.is_relative_to(span.git.top) else Path()


def _checked_out(span: Range, commit: str, folder: Path, inside: Path, choice: Choice) -> Tree:
    checkout.check_out(span.git, commit, folder, choice.unneeded)
    return Tree(commit, folder, folder / inside, is_temporary=True)


def _changes(span: Range) -> Changes:
    found: set[str] = set()
    unclear = ""
    for path, modes in checkout.changed(span.git, span.base, span.head):
        found.add(path)
        if not modes.isdisjoint((checkout.SUBMODULE, checkout.LINK)):
            unclear = unclear or f"{path} is a link or a submodule"
        if "\ufffd" in path:
            unclear = unclear or f"{path} has a name that is not UTF-8"
    # What Git does not know may be read all the same, also what it ignores.
    untracked = () if span.head else checkout.untracked(span.git)
    return Changes(frozenset(found.union(path for path in untracked if not path.endswith("__pycache__"))), unclear)


def of_folders(before: Path, after: Path, labels: tuple[str, str]) -> States:
    """Two folders that each look like a repository."""
    one, other = dict(_files(before)), dict(_files(after))
    paths = {*(one.keys() ^ other.keys()), *(name for name in one.keys() & other.keys() if not _same(one[name], other[name]))}
    links = sorted(name for name in paths if any(files[name].is_symlink() for files in (one, other) if name in files))
    changes = Changes(frozenset(paths), f"{links[0]} is a link" if links else "")
    choice = reach.choose(OnDisk(before), OnDisk(after), ".", changes)
    return States(Tree(labels[0], before, before), Tree(labels[1], after, after), choice)


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in (".git", "__pycache__")]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        for name in (*names, *links):
            path = Path(parent, name)
            yield path.relative_to(folder).as_posix(), path


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    try:
        return cmp(one, other, shallow=False)
    except OSError:
        return False
