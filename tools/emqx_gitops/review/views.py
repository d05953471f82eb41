"""What lies in a folder, or in a commit that is not written out: paths below its top, with `/` between their parts."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Protocol

from emqx_gitops import project
from emqx_gitops.errors import ToolFailure
from emqx_gitops.git import Git, words
from emqx_gitops.review.checkout import LINK, SUBMODULE

_LINKS = 40  # more in a row lead in a circle
_GREP = ("-z", "-a", "-F", "--full-name", "--no-color", "--no-line-number", "--no-column", "--no-textconv", "--no-recurse-submodules", "-e", "")
_KUSTOMIZATIONS = tuple(f":(glob)**/{name}" for name in project.KUSTOMIZATION_NAMES)


class View(Protocol):
    """A tree of files, to be looked at."""

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder."""

    def is_file(self, path: str) -> bool:
        """Whether there is such a file."""

    def text(self, path: str) -> str:
        """What a file holds; nothing where it is no text."""

    def real(self, path: str) -> str:
        """The path that links lead to."""

    def hides(self, path: str) -> bool:
        """Whether what lies there cannot be seen from here."""

    def layers(self, root: str) -> list[str]:
        """The folders below overlays/ and clusters/ of `root` that can be built."""


class OnDisk:
    """A folder."""

    def __init__(self, top: Path) -> None:
        self._top = os.path.realpath(top)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(self._full(path))

    def is_file(self, path: str) -> bool:
        return os.path.isfile(self._full(path))

    def text(self, path: str) -> str:
        try:
            return Path(self._full(path)).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def real(self, path: str) -> str:
        full = self._full(path)
        return os.path.relpath(os.path.realpath(full), self._top).replace(os.sep, "/") if os.path.lexists(full) else path

    def hides(self, _: str) -> bool:
        return False

    def layers(self, root: str) -> list[str]:
        return [project.shown(folder, Path(self._top)) for folder in project.layers(Path(self._full(root)))]

    def _full(self, path: str) -> str:
        return os.path.join(self._top, path)


class Committed:
    """A commit."""

    def __init__(self, repository: Git, commit: str) -> None:
        self._git, self._commit = repository, commit

    @cached_property
    def _files(self) -> dict[str, str]:
        return self._git.files(self._commit)

    @cached_property
    def _folders(self) -> set[str]:
        return {"."}.union(parent for path in self._files for parent in parents(path))

    @cached_property
    def _links(self) -> set[str]:
        return {path for path, what in self._files.items() if what.startswith(LINK)}

    @cached_property
    def _kustomizations(self) -> dict[str, str]:
        """The text of each kustomization, all by one call."""
        done = self._git.try_run("grep", *_GREP, self._commit, "--", *_KUSTOMIZATIONS, env={"GIT_LITERAL_PATHSPECS": "0"})
        if done.code > 1:  # 1: there is none
            raise ToolFailure(f"git grep: {words(done)}", "correct what git says")
        found: dict[str, list[str]] = {path: [] for path in self._files if posixpath.basename(path) in project.KUSTOMIZATION_NAMES}
        for entry in done.stdout.split("\n"):
            name, mark, line = entry.partition("\0")
            if mark:
                found.setdefault(name.partition(":")[2], []).append(line)
        return {path: "\n".join([*lines, ""]) for path, lines in found.items()}

    def is_folder(self, path: str) -> bool:
        return self.real(path) in self._folders

    def is_file(self, path: str) -> bool:
        found = self._files.get(self.real(path), LINK)
        return not found.startswith((LINK, SUBMODULE))

    def hides(self, path: str) -> bool:
        path = self.real(path)
        return any(self._files.get(part, "").startswith(SUBMODULE) for part in (path, *parents(path)))

    def text(self, path: str) -> str:
        path = self.real(path)
        if path not in self._kustomizations and self.is_file(path):
            self._kustomizations[path] = self._blob(path)
        return self._kustomizations.get(path, "")

    def _blob(self, path: str) -> str:
        return self._git.run("cat-file", "blob", self._files[path].split()[2])

    def real(self, path: str) -> str:
        for _ in range(_LINKS if self._links else 0):
            link = next((part for part in (*parents(path), path) if part in self._links), None)
            if link is None:
                break
            path = posixpath.normpath(posixpath.join(posixpath.dirname(link), self._blob(link), posixpath.relpath(path, link)))
        return path

    def layers(self, root: str) -> list[str]:
        found = {posixpath.dirname(path) or ".": text for path, text in sorted(self._kustomizations.items(), reverse=True)}
        return sorted(folder for folder, text in found.items() if _is_layer(PurePosixPath(posixpath.relpath(folder, root)), text))


def _is_layer(folder: PurePosixPath, kustomization: str) -> bool:
    return folder.parts[:1] in [(name,) for name in project.LAYER_FOLDERS] and project.is_layer(folder, kustomization)


def parents(path: str) -> Iterator[str]:
    """The folders that a path is in, innermost first; without the top."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
