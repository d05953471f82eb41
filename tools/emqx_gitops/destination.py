"""Where renderings are published: what `publish` needs of it, whether it is a branch or an OCI artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import emqx_fn
from emqx_gitops.published import Refused


@dataclass(frozen=True)
class Source:
    """The commit that is rendered; `date` as git takes it, @SECONDS ZONE."""

    commit: str
    subject: str
    date: str


class Destination(Protocol):
    """A branch or an artifact, as it was found. Nothing of it changes before `replace`, and then all of it at once."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def option(self) -> str:
        """The option of the command line that names it."""

    @property
    def tip(self) -> str:
        """The id of what is there, as messages show it; empty where there is nothing yet."""

    @property
    def published(self) -> str:
        """The source commit of what is there, if it has one."""

    @property
    def files(self) -> Mapping[str, str]:
        """Path -> what stands for the content of the file: equal for equal contents."""

    def text(self, path: str) -> str:
        """The content of a file. Raises KeyError where there is none."""

    def kept(self, path: str) -> str:
        """What stands for a file that is taken over from what is there."""

    def made(self, texts: Mapping[str, str], *, write: bool) -> dict[str, str]:
        """Path -> what stands for the content, for new files; what is stored in advance is stored only with `write`."""

    def since(self, folder: str) -> str:
        """The source commit that the folder was last published from, with a change; empty where nothing tells."""

    def replace(self, files: Mapping[str, str], source: Source) -> str:
        """Put these files there in one step, if it is still as it was found; the new id."""


def lost(name: str) -> Refused:
    """Somebody else was faster."""
    return Refused(f"{name}: expected to be the only one that publishes; somebody else did at the same time, and nothing was written", "run it again")


def plugin_digest() -> str:
    """What `git ls-files | LC_ALL=C sort | xargs sha256sum | sha256sum` prints in the folder of the function, with its algorithm."""
    root = Path(emqx_fn.__file__).parent
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    listed = "".join(f"{sha256((root / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
    return f"sha256:{sha256(listed.encode()).hexdigest()}"
