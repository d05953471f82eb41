"""Which object of one rendering was which of the other: by key, by generation of one content, by likeness."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from emqx_gitops.published import lineage
from emqx_gitops.resources import Resource

Pairs = list[tuple[Resource, Resource]]

# How much of two objects is the same, from 0 to 1: enough with names that are alike, and enough by itself.
_ALIKE, _NAMES_ALIKE, _SAME = 0.5, 0.5, 0.8
_TELLING = 8  # fields; small objects are alike whatever they are
_NAMES = (".metadata.name", ".metadata.namespace", ".apiVersion", ".kind")


def pairs(before: tuple[Resource, ...], after: tuple[Resource, ...]) -> Pairs:
    """Objects that are one object before and after; each is in one pair at most."""
    found: Pairs = []
    for find in (_of_one_key, _of_one_lineage, _renamed):
        old, new = {id(resource) for resource, _ in found}, {id(resource) for _, resource in found}
        found += find([resource for resource in before if id(resource) not in old], [resource for resource in after if id(resource) not in new])
    return found


def _of_one_key(before: list[Resource], after: list[Resource]) -> Pairs:
    return _one_to_one(before, after, lambda resource: resource.key)


def _of_one_lineage(before: list[Resource], after: list[Resource]) -> Pairs:
    return _one_to_one(before, after, lambda resource: (resource.key.group, lineage(resource.key)))


def _one_to_one(before: list[Resource], after: list[Resource], name: Callable[[Resource], object]) -> Pairs:
    waiting: dict[object, list[Resource]] = {}
    for resource in before:
        waiting.setdefault(name(resource), []).append(resource)
    return [(waiting[name(resource)].pop(0), resource) for resource in after if waiting.get(name(resource))]


def _renamed(before: list[Resource], after: list[Resource]) -> Pairs:
    """Those that went and those that came, where only another name sets them apart; the likest first."""
    old, new = [_Likeness(resource) for resource in before], [_Likeness(resource) for resource in after]
    scores = [(one.to(other), row, column) for row, one in enumerate(old) for column, other in enumerate(new)]
    rows: set[int] = set()
    found: dict[int, int] = {}
    for score, row, column in sorted(scores, key=lambda item: (-item[0], *item[1:])):
        if score and row not in rows and column not in found:
            rows.add(row)
            found[column] = row
    return [(before[row], after[column]) for column, row in sorted(found.items())]


class _Likeness:
    """An object, to be compared with many."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.kind = resource.key[:2]
        self.name = lineage(resource.key).name

    @cached_property
    def leaves(self) -> dict[str, str]:
        return {path: value for path, value in _leaves(self.resource.data, "") if path not in _NAMES}

    def to(self, other: _Likeness) -> float:
        """From 0, for two things, to 2."""
        if self.kind != other.kind:
            return 0.0
        contents = self._contents(other)
        if contents < _ALIKE:
            return 0.0
        names = SequenceMatcher(None, self.name, other.name, autojunk=False).ratio()
        enough = names >= _NAMES_ALIKE or (contents >= _SAME and len(other.leaves) >= _TELLING)
        return contents + names if enough else 0.0

    def _contents(self, other: _Likeness) -> float:
        """A field with another value counts half: a prefix changes names inside an object too."""
        both, every = self.leaves.keys() & other.leaves.keys(), self.leaves.keys() | other.leaves.keys()
        score = sum(1.0 if self.leaves[path] == other.leaves[path] else 0.5 for path in both)
        return score / len(every) if every else 1.0


def _leaves(data: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}")
    elif isinstance(data, list) and data:
        for index, value in enumerate(data):
            yield from _leaves(value, f"{path}[{index}]")
    else:
        yield path, str(data)
