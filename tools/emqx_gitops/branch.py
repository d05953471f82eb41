"""A branch of a remote as the place to publish to: one commit for each change, pushed in one step.

Everything before the push only adds objects to the local repository; the push moves one ref, and only if it is where this run found it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import emqx_fn
from emqx_gitops import git
from emqx_gitops.destination import Source, lost, plugin_digest
from emqx_gitops.errors import ToolFailure, UsageFailure
from emqx_gitops.git import Git

_SOURCE = "Source-commit"
SHORT = 12  # git's own short ids depend on what else is in the clone


@dataclass(frozen=True)
class Branch:
    """The branch as it was found; `commit` is empty when there is none yet, `files` are path -> mode, type and id."""

    git: Git
    remote: str
    name: str
    commit: str
    files: Mapping[str, str]
    option: str = "--branch"

    @property
    def tip(self) -> str:
        return self.commit[:SHORT]

    @property
    def published(self) -> str:
        return self._published() if self.commit else ""

    def text(self, path: str) -> str:
        return self.git.run("cat-file", "blob", _id(self.files[path]))

    def kept(self, path: str) -> str:
        return git.FILE + _id(self.files[path])

    def made(self, texts: Mapping[str, str], *, write: bool) -> dict[str, str]:
        return {path: git.FILE + name for path, name in zip(texts, self.git.blobs(texts.values(), write=write), strict=True)}

    def since(self, folder: str) -> str:
        return self._published("--", folder)

    def _published(self, *paths: str) -> str:
        wanted = ("log", "-1", "--basic-regexp", f"--grep=^{_SOURCE}: ", f"--format=%(trailers:key={_SOURCE},valueonly)", self.commit)
        return "".join(self.git.run(*wanted, *paths).split()[:1])

    def replace(self, files: Mapping[str, str], source: Source) -> str:
        commit = self.git.commit(self.git.tree(files), self.commit, _message(source), source.date)
        done = self.git.push(self.remote, self.name, commit, self.commit)
        # Where the answer was lost, the push was not.
        now = self.git.tip(self.remote, self.name) if done.code else commit
        if now not in (commit, self.commit):
            raise lost(self.name)
        if now != commit:
            raise ToolFailure(f"git push: {git.words(done)}", f"check that you may push to {self.name} of {self.remote!r}; nothing was written")
        return commit


def check(repository: Git, branch: str) -> None:
    """Refuse what is no name of a branch, and the branch that is rendered."""
    if repository.try_run("check-ref-format", f"refs/heads/{branch}").code:
        raise UsageFailure(f"--branch: expected the name of a branch; got {branch!r}", "for example: --branch rendered")
    if repository.try_run("symbolic-ref", "--quiet", "HEAD").stdout.strip() == f"refs/heads/{branch}":
        raise UsageFailure(f"--branch: expected another branch than the one that is rendered; got {branch!r}", "name another: --branch rendered")


def find(repository: Git, remote: str, branch: str) -> Branch:
    """Fetch the branch."""
    tip = repository.tip(remote, branch)
    if tip:
        repository.fetch(remote, branch)
        if not repository.has(tip):
            raise lost(branch)
    return Branch(repository, remote, branch, tip, repository.files(tip) if tip else {})


def _id(what: str) -> str:
    return what.rpartition(" ")[2]


def _message(source: Source) -> str:
    trailers = {_SOURCE: source.commit, "Plugin-digest": plugin_digest(), "Emqx-gitops-version": emqx_fn.__version__}
    return f"Render {source.commit[:SHORT]}: {source.subject}\n\n" + "".join(f"{name}: {value}\n" for name, value in trailers.items())
