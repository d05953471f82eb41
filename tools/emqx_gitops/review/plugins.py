"""Which plugin renders a tree: the one that it brings along, else the installed one; and whether two are the same."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import emqx_fn
from emqx_gitops import installation
from emqx_gitops.kustomize import Kustomize
from emqx_gitops.review.trees import Tree

_FUNCTION = "emqx_fn"


class Plugin(NamedTuple):
    """A plugin by the folder in which kustomize finds it. `digest` is that of the function, `launchers` that of what starts it."""

    home: Path | None  # None: the installed one
    digest: str
    launchers: str = ""


def of(tree: Tree) -> Plugin:
    """The plugin of a tree. One that is the same as the installed one is run from there, where it is compiled already."""
    home = tree.root / "plugins"
    installed = _installed()
    if not (home / installation.GROUP).is_dir():
        return installed
    found = Plugin(home, digest(home / _FUNCTION), digest(home / installation.GROUP))
    return installed if found[1:] == installed[1:] else found


def _installed() -> Plugin:
    function, root = Path(emqx_fn.__file__).parent, installation.clone_root()
    return Plugin(None, digest(function), digest(root / "plugins" / installation.GROUP) if root else "")


def digest(folder: Path) -> str:
    """As `emqx-gitops publish` notes it: what `git ls-files | LC_ALL=C sort | xargs sha256sum | sha256sum` prints in the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    return sha256("".join(f"{sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names).encode()).hexdigest()


def run_by(kustomize: Kustomize, plugin: Plugin) -> Kustomize:
    """The same kustomize with this plugin."""
    return replace(kustomize, plugin_home=plugin.home) if plugin.home else kustomize
