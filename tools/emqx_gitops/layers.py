"""A kustomization and everything local that it is made of, topmost first: the files a person can edit."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from emqx_gitops.project import kustomization_file

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml: slower, the same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

# Components first: they patch the resources beside them.
_PLUGIN_FIELDS = ("generators", "transformers", "validators")
_FOLDER_FIELDS = ("components", "resources", "bases", *_PLUGIN_FIELDS)


class Rename(NamedTuple):
    """What one layer puts around the names below it."""

    prefix: str
    suffix: str


class Start(NamedTuple):
    """Where a text begins in its file, counted from 1: a patch may be a block inside a kustomization."""

    line: int
    column: int


TOP = Start(1, 1)


class Place(NamedTuple):
    """A position in a file, counted from 1."""

    file: Path
    line: int
    column: int


@dataclass(frozen=True)
class Layer:
    """One kustomization; `renames` are its own and those of the layers above it, nearest first."""

    file: Path
    root: yaml.MappingNode
    renames: tuple[Rename, ...]
    depth: int

    @property
    def folder(self) -> Path:
        """Where its relative paths start."""
        return self.file.parent


@dataclass(frozen=True)
class Fragment:
    """YAML that a layer contributes to an object: the object itself, or a patch of it."""

    node: yaml.Node
    file: Path
    start: Start
    layer: Layer
    kind: str  # a regular expression where a patch target is one
    name: str

    def about(self, kind: str, name: str) -> bool:
        """Whether it contributes to the object that is called so in this layer or in one above."""
        return bool(_full(self.kind, kind)) and any(_full(self.name, known) for known in names_below(name, self.layer.renames))

    def place(self, mark: yaml.Mark) -> Place:
        """A mark inside `node` as a place in the file."""
        return Place(self.file, mark.line + self.start.line, mark.column + self.start.column)


def _full(pattern: str, text: str) -> bool:
    try:
        return pattern == text or not pattern or re.fullmatch(pattern, text) is not None
    except re.error:
        return False


def names_below(name: str, renames: tuple[Rename, ...]) -> set[str]:
    """The names an object can have had in a layer, given its name there or in any layer above."""
    names = {name}
    for count in range(1, len(renames) + 1):
        prefix = "".join(rename.prefix for rename in reversed(renames[:count]))
        suffix = "".join(rename.suffix for rename in renames[:count])
        if name.startswith(prefix) and name.endswith(suffix) and len(name) > len(prefix) + len(suffix):
            names.add(name[len(prefix) : len(name) - len(suffix)])
    return names


def compose(text: str) -> list[yaml.Node]:
    """The documents of a text as nodes with positions; none where it is not YAML (kustomize reports that itself)."""
    try:
        return list(yaml.compose_all(text, Loader=_Loader))
    except (yaml.YAMLError, RecursionError):
        return []


def value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of `key` in a mapping node."""
    pair = entry(node, key)
    return pair[1] if pair else None


def entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of `key` in a mapping node."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((pair for pair in pairs if pair[0].value == key), None)


def scalar(node: yaml.Node | None, *path: str) -> str:
    """The text of the scalar at `path`, or an empty one."""
    for key in path:
        node = value(node, key)
    return node.value if isinstance(node, yaml.ScalarNode) else ""


def sequence(node: yaml.Node | None, key: str) -> list[yaml.Node]:
    """The items of the list at `key`."""
    found = value(node, key)
    return list(found.value) if isinstance(found, yaml.SequenceNode) else []


def walk(folder: Path) -> list[Layer]:
    """The layers of a build, topmost first. What is not on this machine (a Git URL) is left out."""
    layers: list[Layer] = []
    waiting: deque[tuple[Path, tuple[Layer, ...]]] = deque([(folder, ())])
    seen: set[tuple[Path, tuple[Rename, ...]]] = set()
    while waiting:
        current, above = waiting.popleft()
        layer = _layer(current, above)
        # kustomize refuses layers that contain themselves; its message comes through here.
        if layer is None or (layer.file, layer.renames) in seen or any(layer.file == upper.file for upper in above):
            continue
        seen.add((layer.file, layer.renames))
        layers.append(layer)
        waiting.extend((child, (layer, *above)) for child in _folders(layer))
    return layers


def _layer(folder: Path, above: tuple[Layer, ...]) -> Layer | None:
    file = kustomization_file(folder)
    nodes = compose(_text(file)) if file else []
    if file is None or not nodes or not isinstance(nodes[0], yaml.MappingNode):
        return None
    rename = Rename(scalar(nodes[0], "namePrefix"), scalar(nodes[0], "nameSuffix"))
    return Layer(file, nodes[0], (rename, *(above[0].renames if above else ())), len(above))


def _folders(layer: Layer) -> Iterator[Path]:
    for path in _paths(layer):
        if path.is_dir():
            yield path


def _paths(layer: Layer) -> Iterator[Path]:
    for field in _FOLDER_FIELDS:
        for item in sequence(layer.root, field):
            text = scalar(item)
            # A Git URL, or an object written into the list itself.
            if text and "\n" not in text and "://" not in text:
                yield (layer.folder / text).resolve()


def fragments(layer: Layer) -> Iterator[Fragment]:
    """What a layer's own files say about objects; first what wins: patches over what they patch, and the last of them."""
    for item in reversed(sequence(layer.root, "patches")):
        yield from _patch(layer, item)
    for item in reversed(sequence(layer.root, "patchesStrategicMerge")):
        yield from _patch_text(layer, item, None)
    for item in reversed(sequence(layer.root, "patchesJson6902")):
        yield from _patch(layer, item)
    for path in _paths(layer):
        if path.is_file():
            yield from _objects(layer, path, _text(path), TOP, None)
    for item in (item for field in _PLUGIN_FIELDS for item in sequence(layer.root, field)):
        if "\n" in scalar(item):
            yield from _objects(layer, layer.file, scalar(item), _start(layer, item), None)


def injects(layer: Layer) -> bool:
    """Whether a layer lists plugins/inject, perhaps by a Git URL that nobody reads here."""
    return any("plugins/inject" in scalar(item) for item in sequence(layer.root, "transformers"))


def _patch(layer: Layer, item: yaml.Node) -> Iterator[Fragment]:
    body = value(item, "path") or value(item, "patch")
    if body is not None:
        yield from _patch_text(layer, body, value(item, "target"))


def _patch_text(layer: Layer, body: yaml.Node, target: yaml.Node | None) -> Iterator[Fragment]:
    text = scalar(body)
    if "\n" in text or text.lstrip().startswith(("{", "[", "- ")):
        yield from _objects(layer, layer.file, text, _start(layer, body), target)
    elif (layer.folder / text).is_file():
        path = (layer.folder / text).resolve()
        yield from _objects(layer, path, _text(path), TOP, target)


def _start(layer: Layer, body: yaml.Node) -> Start:
    """Where the text of an inline patch begins."""
    if getattr(body, "style", None) not in ("|", ">"):
        return Start(body.start_mark.line + 1, body.start_mark.column + 1)
    # A block scalar's text begins on the line after its indicator, and its indentation is not part of the text.
    lines = _text(layer.file).splitlines()[body.start_mark.line + 1 :]
    first = next((line for line in lines if line.strip()), "")
    return Start(body.start_mark.line + 2, len(first) - len(first.lstrip()) + 1)


def _objects(layer: Layer, path: Path, text: str, start: Start, target: yaml.Node | None) -> Iterator[Fragment]:
    for node in (node for document in compose(text) for node in _unwrapped(document)):
        kind, name = scalar(node, "kind"), scalar(node, "metadata", "name")
        if target is not None:
            kind, name = scalar(target, "kind"), scalar(target, "name")
        elif not (kind and name):
            continue
        yield Fragment(node, path, start, layer, kind, name)


def _unwrapped(node: yaml.Node) -> list[yaml.Node]:
    return sequence(node, "items") if scalar(node, "kind") == "List" and scalar(node, "apiVersion") == "v1" else [node]


def plain(file: Path, text: str) -> list[Fragment]:
    """The objects of a text that no kustomization made."""
    root = yaml.MappingNode("tag:yaml.org,2002:map", [])
    return list(_objects(Layer(file, root, (), 0), file, text, TOP, None))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
