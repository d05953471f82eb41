"""Problem -> file:line:column of the YAML that a person wrote."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

from emqx_fn import GROUP, wire
from emqx_fn.graph import items, mapping, text
from emqx_fn.problem import Problem, Refusal
from emqx_gitops import layers
from emqx_gitops.layers import Fragment, Layer, Place
from emqx_gitops.project import shown
from emqx_gitops.resources import CLUSTER_LABEL, Resource

_PLACE = re.compile(r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+)")
_INSIDE = re.compile(r"\+(\d+):(\d+)")  # a position in the text that is the field's value
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")
_HASH = re.compile(r"-[a-z0-9]{10}$")
# About the name of a variable; other rules are about its value, which an entry of `env` has on a line of its own.
_ABOUT_NAMES = ("unknown-variable", "other-family", "dropped-variable", "duplicate-variable")


def place_of(problem: Problem) -> Place | None:
    """The place that a located problem has, if it is one in a file."""
    match = _PLACE.fullmatch(problem.where)
    return Place(Path(match["file"]), int(match["line"]), int(match["column"])) if match else None


class Hit(NamedTuple):
    """A place that says something about the field: how many steps of its path it has, and how far down its layer is.

    `text` is where the text of its value begins, if that is a file or a block with lines of its own.
    """

    steps: int
    depth: int
    place: Place
    text: Place | None = None

    def where(self, wanted: str) -> str:
        """The place as `file:line:column`; that of a line in the text, where `wanted` asks for one."""
        place, inside = self.place, _INSIDE.fullmatch(wanted)
        if inside and self.text:
            place = Place(self.text.file, self.text.line + int(inside[1]) - 1, self.text.column + int(inside[2]) - 1)
        return f"{shown(place.file)}:{place.line}:{place.column}"


class Origin(Protocol):
    """Where a rendering comes from."""

    @property
    def folder(self) -> Path:
        """The folder that it lies in."""

    def locate(self, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """The problems, each with its place in the origin; a place that cannot be told stays as it is.

        `+line:column` in a problem's `where` counts in the text that the field holds.
        """

    def settings(self, kind: str) -> list[dict[str, Any]]:
        """Every EmqxCluster or EmqxPolicy of ours that the rendering itself need not show, topmost first."""

    def stamps(self, resource: Resource) -> bool:
        """Whether a workload must carry the stamp of the function."""


@dataclass(frozen=True)
class Built:
    """A rendering that kustomize built from a folder."""

    folder: Path

    def locate(self, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Look in every file that the folder is built from."""
        found = [(layer, list(layers.fragments(layer))) for layer in layers.walk(self.folder)] if problems else []
        # Positions that come from the function are those of kustomize's merged stream: nobody can open that.
        return tuple(problem._replace(where=_where(problem, _hits(problem, found))) for problem in problems)

    def settings(self, kind: str) -> list[dict[str, Any]]:
        """Those in any file of the layers, patches too, or written into a kustomization."""
        return list(self._settings(kind))

    def _settings(self, kind: str) -> Iterator[dict[str, Any]]:
        found = (fragment for layer in layers.walk(self.folder) for fragment in layers.fragments(layer) if fragment.kind == kind)
        for fragment in found:
            with suppress(Refusal):  # kustomize says what is wrong with it
                if layers.scalar(fragment.node, "apiVersion").startswith(f"{GROUP}/"):
                    yield wire.load(yaml.serialize(fragment.node), "")
                elif kind == "EmqxPolicy" and isinstance(fragment.node, yaml.SequenceNode):
                    yield _allowed_by(wire.load(yaml.serialize(fragment.node), ""), fragment.name)

    def stamps(self, resource: Resource) -> bool:
        """Where it is made of base/, or a layer injects."""
        ours = CLUSTER_LABEL in mapping(resource.data, "spec", "template", "metadata", "labels")
        return ours or any(map(layers.injects, layers.walk(self.folder))) or any(self._settings("EmqxCluster"))


@dataclass(frozen=True)
class Read:
    """A rendering that was there before: files, or standard input."""

    texts: tuple[tuple[Path, str], ...]

    @property
    def folder(self) -> Path:
        """That of the first file."""
        return next((file.parent for file, _ in self.texts), Path())

    def locate(self, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Look in the text itself."""
        fragments = [fragment for file, text in self.texts for fragment in layers.plain(file, text)] if problems else []
        return tuple(problem if place_of(problem) else problem._replace(where=_where(problem, _hits_in(problem, fragments))) for problem in problems)

    def settings(self, _: str) -> list[dict[str, Any]]:
        """None: the stream holds its own."""
        return []

    def stamps(self, _: Resource) -> bool:
        """Never: somebody else may have written it."""
        return False


def _allowed_by(operations: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """What the operations of a JSON patch let an EmqxPolicy allow, as the policy that says so in full."""
    allow: list[Any] = []
    for operation in operations:
        if text(operation, "op") in ("add", "replace"):
            wrapped = operation.get("value")
            for step in reversed(text(operation, "path").strip("/").split("/")):
                wrapped = [wrapped] if step.isdecimal() or step == "-" else {step: wrapped}
            allow += items(wrapped, "spec", "allow")
    return {"kind": "EmqxPolicy", "metadata": {"name": name or "check"}, "spec": {"allow": allow}}


def _where(problem: Problem, hits: Iterable[Hit]) -> str:
    # The most of the path wins; then the topmost layer, whose value is the one that counts.
    best = min(hits, key=lambda hit: (-hit.steps, hit.depth), default=None)
    return best.where(problem.where) if best else ""


def _steps(problem: Problem) -> list[str]:
    return [quoted or plain for quoted, plain in _STEP.findall(problem.path)]


def _hits(problem: Problem, found: list[tuple[Layer, list[Fragment]]]) -> Iterator[Hit]:
    kind, _, name = problem.object.partition("/")
    steps = _steps(problem)
    for layer, fragments in found:
        if not kind:
            yield from _in_kustomization(layer, problem, steps)
            continue
        yield from _by_field(layer, name, steps)
        yield from _generated(layer, kind, name, steps)
        yield from _hits_in(problem, fragments)


def _hits_in(problem: Problem, fragments: Iterable[Fragment]) -> Iterator[Hit]:
    kind, _, name = problem.object.partition("/")
    for fragment in fragments:
        if kind and fragment.about(kind, name):
            yield from _in_fragment(fragment, _steps(problem), problem)


def _in_kustomization(layer: Layer, problem: Problem, steps: list[str]) -> Iterator[Hit]:
    """A problem of kustomize itself: the list item that its message names."""
    for item in layers.sequence(layer.root, steps[0]) if steps else []:
        if layers.scalar(item) and problem.message.endswith(f" {layers.scalar(item)}"):
            yield Hit(1, layer.depth, _place(layer, item))


def _place(layer: Layer, node: yaml.Node) -> Place:
    return Place(layer.file, node.start_mark.line + 1, node.start_mark.column + 1)


def _by_field(layer: Layer, name: str, steps: list[str]) -> Iterator[Hit]:
    """Fields of a kustomization that set a field of an object: replicas, images, namespace."""
    if steps == ["spec", "replicas"]:
        nodes = _replicas(layer, name)
    elif steps[-1:] == ["image"]:
        nodes = _images(layer)
    elif steps == ["metadata", "namespace"]:
        nodes = iter([layers.value(layer.root, "namespace")])
    else:
        nodes = iter(())
    yield from (Hit(len(steps), layer.depth, _place(layer, node)) for node in nodes if node is not None)


def _replicas(layer: Layer, name: str) -> Iterator[yaml.Node | None]:
    known = layers.names_below(name, layer.renames)
    return (layers.value(item, "count") for item in layers.sequence(layer.root, "replicas") if layers.scalar(item, "name") in known)


def _images(layer: Layer) -> Iterator[yaml.Node | None]:
    """The new tag (or digest, or name) of what is an image of EMQX by its old name or its new one."""
    for item in layers.sequence(layer.root, "images"):
        if "emqx" in layers.scalar(item, "name") + layers.scalar(item, "newName"):
            yield layers.value(item, "newTag") or layers.value(item, "digest") or layers.value(item, "newName")


def _generated(layer: Layer, kind: str, name: str, steps: list[str]) -> Iterator[Hit]:
    """Entries of a generated ConfigMap or Secret: a line of an env file, a literal, a file."""
    names = layers.names_below(name, layer.renames) | layers.names_below(_HASH.sub("", name), layer.renames)
    for item in layers.sequence(layer.root, {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}.get(kind, "")):
        if layers.scalar(item, "name") not in names:
            continue
        yield Hit(0, layer.depth, _place(layer, item))
        if steps[:1] == ["data"] and len(steps) > 1:
            yield from (Hit(len(steps), layer.depth, place, text) for place, text in _entries(layer, item, steps[1]))


def _entries(layer: Layer, generator: yaml.Node, key: str) -> Iterator[tuple[Place, Place | None]]:
    for literal in layers.sequence(generator, "literals"):
        if layers.scalar(literal).partition("=")[0] == key:
            yield _place(layer, literal), None
    for file in [*layers.sequence(generator, "envs"), layers.value(generator, "env")]:
        path = (layer.folder / layers.scalar(file)).resolve()
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        yield from ((Place(path, number, 1), None) for number, line in enumerate(lines, 1) if line.partition("=")[0].strip() == key)
    for file in layers.sequence(generator, "files"):
        given, _, path_text = layers.scalar(file).rpartition("=")
        path = (layer.folder / path_text).resolve()
        if (given or path.name) == key:
            yield Place(path, 1, 1), Place(path, 1, 1)


def _in_fragment(fragment: Fragment, steps: list[str], problem: Problem) -> Iterator[Hit]:
    if isinstance(fragment.node, yaml.SequenceNode):
        yield from _in_operations(fragment, steps)
        return
    node: yaml.Node = fragment.node
    to_key = problem.message.startswith("expected a known field")
    mark, count, text = _start(node), 0, None
    for step in steps:
        pair = _enter(node, step)
        if pair is None:
            break
        key, node = pair
        count += 1
        at_value = isinstance(node, yaml.ScalarNode) and node.value and not (to_key and count == len(steps))
        mark = node.start_mark if at_value else key.start_mark
        text = _block(fragment, key) if getattr(node, "style", None) == "|" else None
    value = layers.value(node, "value") if count == len(steps) and steps[-2:-1] == ["env"] and problem.rule not in _ABOUT_NAMES else None
    yield Hit(count, fragment.layer.depth, fragment.place(value.start_mark if value else mark), text)


def _block(fragment: Fragment, key: yaml.Node) -> Place:
    """Where the text of a block scalar begins: on the line after its key, two columns further in, as everybody writes it."""
    place = fragment.place(key.start_mark)
    return place._replace(line=place.line + 1, column=place.column + 2)


def _start(node: yaml.Node) -> yaml.Mark:
    name = layers.value(layers.value(node, "metadata"), "name")
    return name.start_mark if name is not None else node.start_mark


def _enter(node: yaml.Node, step: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Where a step leads: a key of a mapping; an entry of a list by name, by another of its values, or by position."""
    if isinstance(node, yaml.MappingNode):
        return layers.entry(node, step)
    if not isinstance(node, yaml.SequenceNode):
        return None
    named = [item for item in node.value if step in (layers.scalar(item, "name"), layers.scalar(item, "metadata", "name"))]
    by_value = [item for item in node.value if isinstance(item, yaml.MappingNode) and any(layers.scalar(field) == step for _, field in item.value)]
    by_index = node.value[int(step) : int(step) + 1] if step.isdigit() else []
    found = [*named, *by_value, *by_index]
    return (found[0], found[0]) if found else None


def _in_operations(fragment: Fragment, steps: list[str]) -> Iterator[Hit]:
    """JSON 6902 operations: the one whose path leads to the field, or to what contains it."""
    for operation in fragment.node.value:
        pointer = layers.value(operation, "path")
        parts = [part.replace("~1", "/").replace("~0", "~") for part in layers.scalar(pointer).split("/")[1:]]
        if pointer is None or not _leads_to(parts, steps) or _adds_another(operation, parts, steps):
            continue
        mark = (layers.value(operation, "value") or pointer).start_mark
        yield Hit(min(len(parts), len(steps)), fragment.layer.depth, fragment.place(mark))


def _adds_another(operation: yaml.Node, parts: list[str], steps: list[str]) -> bool:
    """Whether an operation adds a list entry, and not the one that the path names."""
    added, step = layers.value(operation, "value"), steps[len(parts) - 1]
    is_entry = layers.scalar(operation, "op") == "add" and (parts[-1] == "-" or parts[-1].isdigit())
    return is_entry and isinstance(added, yaml.MappingNode) and not step.isdigit() and _enter(yaml.SequenceNode("", [added]), step) is None


def _leads_to(parts: list[str], steps: list[str]) -> bool:
    """Whether a pointer names the field or a container of it; a pointer counts list entries where a path names them."""
    pairs = zip(parts, steps, strict=False)
    return 0 < len(parts) <= len(steps) and all(part == step or part.isdigit() or part == "-" for part, step in pairs)
