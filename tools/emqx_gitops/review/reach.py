"""Which targets a change can reach: those that are built from a path that differs. What cannot be told counts as reached."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import yaml

from emqx_fn import GROUP
from emqx_gitops import layers
from emqx_gitops.project import KUSTOMIZATION_NAMES
from emqx_gitops.review.views import View, parents

_PLUGIN_FIELDS = ("generators", "transformers", "validators")


class Changes(NamedTuple):
    """The paths that differ; `unclear` says why more may, so that every target has to be rendered."""

    paths: frozenset[str]
    unclear: str = ""


class Choice(NamedTuple):
    """The targets before and after, by their folders; those that a change can reach, and folders that their rendering has no need of."""

    before: frozenset[str]
    after: frozenset[str]
    reached: tuple[str, ...]
    unneeded: frozenset[str] = frozenset()


class Named(NamedTuple):
    """What a kustomization names: any path, and folders with a kustomization; `clear` where it can read nothing else."""

    paths: frozenset[str]
    folders: frozenset[tuple[str, bool]] = frozenset()
    clear: bool = True


def choose(before: View, after: View, root: str, changes: Changes) -> Choice:
    """The targets to render, and what need not be there for that."""
    old, new = frozenset(before.layers(root)), frozenset(after.layers(root))
    reach = Reach(after, changes)
    everything = bool(changes.unclear) or reach.is_touched(posixpath.normpath(posixpath.join(root, "plugins")))
    reached = tuple(name for name in sorted(old | new) if everything or name not in old & new or reach.touches(name))
    others = (old | new).difference(reached)
    return Choice(old, new, reached, _unneeded((before, after), reached, others))


def _unneeded(views: Iterable[View], reached: tuple[str, ...], others: frozenset[str]) -> frozenset[str]:
    """The other targets whose folders nothing names that is to be rendered, before or after."""
    for view in views:
        sources = Sources(view)
        paths, clear = sources.closure(reached)
        if not clear:
            return frozenset()
        around = paths.union(parent for path in paths for parent in parents(path))
        others = frozenset(name for name in others if name not in around and paths.isdisjoint((".", *parents(name))))
    return others


class Sources:
    """What the kustomizations of a tree are made of, each looked at once.

    A kustomization reads what its strings name, whatever field they stand in.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[tuple[str, bool], Named] = {}

    def closure(self, folders: Iterable[str]) -> tuple[set[str], bool]:
        """Every path that the folders are made of, down to the last layer; and whether that is all."""
        waiting, seen = [(folder, False) for folder in folders], set[tuple[str, bool]]()
        paths: set[str] = set()
        clear = True
        while waiting:
            folder = waiting.pop()
            if folder not in seen:
                seen.add(folder)
                named = self.of(*folder)
                paths |= {name for path in named.paths for name in self.names(path)}
                waiting.extend(named.folders)
                clear = clear and named.clear
        return paths, clear

    def names(self, path: str) -> set[str]:
        """A path as it is named, and what a link in it leads to."""
        return {path, self._view.real(path)}

    def of(self, folder: str, as_plugin: bool) -> Named:
        """What a folder with a kustomization names, the folder itself too."""
        key = (folder, as_plugin)
        if key not in self._known:
            self._known[key] = self._of(folder, as_plugin=as_plugin)
        return self._known[key]

    def _of(self, folder: str, *, as_plugin: bool) -> Named:
        node = _mapping(self._kustomization(folder))
        if node is None:
            return Named(frozenset((folder,)), clear=False)
        found = [Named(frozenset((folder,)))]
        for key, value in node.value:
            plugin = as_plugin or key.value in _PLUGIN_FIELDS
            found += [self._named(folder, text, as_plugin=plugin) for text in _strings(value)]
        paths, folders = (frozenset[object]().union(*(getattr(named, field) for named in found)) for field in ("paths", "folders"))
        return Named(paths, folders, all(named.clear for named in found))  # type: ignore[arg-type]

    def _kustomization(self, folder: str) -> str:
        files = (posixpath.join(folder, name) for name in KUSTOMIZATION_NAMES)
        return next((self._view.text(file) for file in files if self._view.is_file(file)), "")

    def _named(self, folder: str, text: str, *, as_plugin: bool) -> Named:
        if "\n" in text:
            return Named(frozenset(), clear=not as_plugin or _reads_nothing(text))
        paths = {posixpath.normpath(posixpath.join(folder, part)) for part in {text, text.partition("=")[2]} if part}
        below = frozenset(path for path in paths if not path.startswith(("../", "/")))
        folders = frozenset((path, as_plugin) for path in below if self._view.is_folder(path) and self._kustomization(path))
        # A plugin of somebody else's, or a builtin one with paths in its settings, may read any file.
        clear = not as_plugin or all(_reads_nothing(self._view.text(path)) for path in below if self._view.is_file(path))
        return Named(below, folders, clear and not any(map(self._view.hides, below)))


class Reach:
    """What the changes touch. It is the newer tree that is looked at: as long as nothing there is touched, the older one says the same."""

    def __init__(self, view: View, changes: Changes) -> None:
        self._sources = Sources(view)
        self._changed = changes.paths
        self._around = {*changes.paths, *(parent for path in changes.paths for parent in parents(path)), *(["."] if changes.paths else [])}
        self._known: dict[tuple[str, bool], bool] = {}

    def touches(self, folder: str, as_plugin: bool = False) -> bool:
        """Whether what the folder is built from may have changed."""
        key = (folder, as_plugin)
        if key not in self._known:
            self._known[key] = False  # a layer that contains itself is for kustomize to refuse
            named = self._sources.of(folder, as_plugin)
            touched = not named.clear or any(map(self.is_touched, named.paths))
            self._known[key] = touched or any(self.touches(*below) for below in named.folders)
        return self._known[key]

    def is_touched(self, path: str) -> bool:
        """Whether a path differs, or has something in it that does, or is in something that does."""
        return any(name in self._around or not self._changed.isdisjoint(parents(name)) for name in self._sources.names(path))


def _mapping(text: str) -> yaml.MappingNode | None:
    nodes = layers.compose(text)
    return nodes[0] if nodes and isinstance(nodes[0], yaml.MappingNode) else None


def _strings(node: yaml.Node) -> Iterator[str]:
    """Every scalar in it, also those of YAML that stands in a string."""
    if isinstance(node, yaml.ScalarNode):
        yield node.value
        if "\n" in node.value:
            yield from (text for document in layers.compose(node.value) for text in _strings(document))
    elif isinstance(node, yaml.MappingNode):
        yield from (text for _, value in node.value for text in _strings(value))
    elif isinstance(node, yaml.SequenceNode):
        yield from (text for item in node.value for text in _strings(item))


def _reads_nothing(text: str) -> bool:
    """Whether these are settings of our own plugin only, which reads its standard input."""
    documents = layers.compose(text)
    return bool(documents) and all(layers.scalar(document, "apiVersion").startswith(f"{GROUP}/") for document in documents)
