"""The git commands that a review needs: write a commit's files somewhere, and tell which paths differ.

Not `git worktree add`, which registers the folder in the repository, and leaves it there when the run is killed. Not `git archive`,
which leaves out and rewrites what `export-ignore` and `export-subst` say, and so shows what no checkout has.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from emqx_gitops.errors import ToolFailure
from emqx_gitops.git import Git, words

SUBMODULE, LINK = "160000", "120000"
# A hook of the person's must not run: not even the one that hears of any index.
_CONFIG = ("-c", f"core.hooksPath={os.devnull}")
_DIFF = ("--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff", "--no-relative", "--ignore-submodules=none")


def check_out(repository: Git, commit: str, folder: Path, without: Iterable[str] = ()) -> None:
    """Write the files of a commit into `folder`, as a checkout would: filters and line ends too, and submodules that are here.

    `without` these folders: to write thousands of files takes longer than to render what a change reaches.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="emqx-gitops-index-") as scratch:
        env = {"GIT_INDEX_FILE": str(Path(scratch, "index")), "GIT_WORK_TREE": str(folder)}
        left_out = Path(scratch, "left-out")
        left_out.write_text("".join(f"{path}\0" for path in sorted(without)), encoding="utf-8")
        remove = ("rm", "--cached", "--force", "--quiet", "-r", "--ignore-unmatch", f"--pathspec-from-file={left_out}", "--pathspec-file-nul")
        for command in (("read-tree", commit), *([remove] if without else []), ("checkout-index", "--all", "--force", "--quiet")):
            done = repository.try_run(*_CONFIG, *command, env=env)
            if done.code:
                raise ToolFailure(f"git {command[0]}: {words(done)}", "check the space on the disk, and the filters that .gitattributes names")
    for path, what in repository.files(commit).items():
        mode, _, name = what.split()
        below = Git(repository.top / path)
        if mode == SUBMODULE and (below.top / ".git").exists() and below.has(name):
            check_out(below, name, folder / path)


def changed(repository: Git, base: str, head: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Each path that differs between two commits, and the modes it has and had; an empty `head` is the work tree."""
    with TemporaryDirectory(prefix="emqx-gitops-index-") as scratch:
        # `git diff` writes what it learns into the index, locks or not: into a copy.
        index, copy = Path(repository.run("rev-parse", "--path-format=absolute", "--git-path", "index").removesuffix("\n")), Path(scratch, "index")
        if index.exists():
            shutil.copy2(index, copy)  # with its time, by which Git tells what may have changed since
        done = repository.try_run(*_CONFIG, "diff", *_DIFF, base, *([head] if head else []), "--", env={"GIT_INDEX_FILE": str(copy)})
    if done.code:
        raise ToolFailure(f"git diff: {words(done)}", "correct what git says")
    found = iter(done.stdout.split("\0"))
    for entry in found:
        if entry:
            old, new, *_ = entry.removeprefix(":").split()
            yield next(found), frozenset((old, new))


def untracked(repository: Git) -> Iterator[str]:
    """What lies in the work tree and no commit has, ignored or not; a folder stands for all that is in it."""
    listed = repository.run("ls-files", "-z", "--others", "--directory", "--no-empty-directory")
    yield from (path.rstrip("/") for path in listed.split("\0") if path)
