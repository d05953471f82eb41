"""What the function wrote: three-way merge between its last values, what is there now, and its new values.

A field that still holds what the function wrote last is the function's, and is computed again. Any other value was set
by hand: it is kept, or refused where the cluster would not form with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from emqx_fn.graph import Object
from emqx_fn.problem import refuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # A step of a path is a key, or (key field, value) for an entry of a list.
    Step = str | tuple[str, Any]
    Path = tuple[Step, ...]


MISSING: Any = type("Missing", (), {"__repr__": lambda _: "nothing"})()


def shown(path: Path) -> str:
    """A path as a person writes it: `spec.template.spec.containers[emqx].env[EMQX_HOST]`."""
    result = ""
    for step in path:
        if isinstance(step, tuple):
            result += f"[{step[1]}]"
        elif step.replace("_", "").replace("-", "").isalnum():
            result += f".{step}"
        else:
            result += f"[{step}]"
    return result.removeprefix(".")


def get(data: Any, path: Path) -> Any:
    """The value at `path`, or MISSING."""
    for step in path:
        if isinstance(step, tuple):
            data = next((item for item in data if _is_entry(item, step)), MISSING) if isinstance(data, list) else MISSING
        else:
            data = data.get(step, MISSING) if isinstance(data, dict) else MISSING
        if data is MISSING:
            return MISSING
    return data


def _is_entry(item: Any, step: tuple[str, Any]) -> bool:
    return isinstance(item, dict) and item.get(step[0]) == step[1]


def put(target: Object, path: Path, value: Any) -> None:
    """Set the value at `path`, making what is missing on the way. Refuses a field of the wrong kind on the way."""
    data: Any = target.data
    for index, step in enumerate(path):
        last = index == len(path) - 1
        following = value if last else [] if isinstance(path[index + 1], tuple) else {}
        wanted: type = list if isinstance(step, tuple) else dict
        if not isinstance(data, wanted):
            expected = "a list" if wanted is list else "a mapping"
            raise refuse("invalid-value", str(target), shown(path[:index]), f"expected {expected}; got {data!r}", f"write {expected} there")
        data = _enter(data, step, following, last)
    target.document.changed = True


def _enter(data: Any, step: Step, following: Any, last: bool) -> Any:
    if isinstance(step, tuple):
        for index, item in enumerate(data):
            if _is_entry(item, step):
                if last:
                    data[index] = following
                return data[index]
        data.append(following if last else {step[0]: step[1]})
        return data[-1]
    if last or data.get(step) is None:
        data[step] = following
    return data[step]


def delete(target: Object, path: Path) -> None:
    """Remove the value at `path`, and the containers that it leaves empty."""
    parent = get(target.data, path[:-1])
    step = path[-1]
    if isinstance(step, tuple):
        parent[:] = [item for item in parent if not _is_entry(item, step)]
    else:
        del parent[step]
    target.document.changed = True
    if len(path) > 1 and (not parent or (isinstance(parent, dict) and isinstance(path[-2], tuple) and list(parent) == [path[-2][0]])):
        delete(target, path[:-1])


class Record:
    """The values written last time and this time, over all objects of one cluster."""

    def __init__(self, text: str = "") -> None:
        self._last: dict[str, dict[Path, Any]] = {}
        self._now: dict[str, dict[Path, Any]] = {}
        for name, tree in (json.loads(text) if text else {}).items():
            self._last[name] = dict(_leaves(tree, ()))

    def last(self, target: Object, path: Path) -> Any:
        """The value written last time, or MISSING."""
        for name in target.names:
            values = self._last.get(f"{target.kind}/{name}")
            if values is not None and path in values:
                return values[path]
        return MISSING

    def by_hand(self, target: Object, path: Path) -> Any:
        """The value at `path` if a person set it, else MISSING."""
        value = get(target.data, path)
        return MISSING if value is MISSING or value == self.last(target, path) else value

    def write(self, target: Object, path: Path, value: Any, *, optional: bool = False) -> bool:
        """Set the function's value; False where a value set by hand stands there and stays.

        `optional`: a value that somebody deleted after the function wrote it stays deleted.
        """
        present, last = get(target.data, path), self.last(target, path)
        if present is MISSING and last is not MISSING and optional:
            self.note(target, path, last)
            return False
        if present is MISSING or present == last:
            self.note(target, path, value)
            if present is MISSING or present != value:
                put(target, path, value)
            return True
        return bool(present == value)

    def is_written(self, target: Object, path: Path) -> bool:
        """Whether the function wrote this value in this run."""
        return path in self._now.get(str(target), {})

    def note(self, target: Object, path: Path, value: Any) -> None:
        """Remember a value that has no place of its own in the object: the caller finds and removes it."""
        self._now.setdefault(str(target), {})[path] = value

    def forget(self, targets: list[Object]) -> None:
        """Remove what was written last time, is not written any more, and still stands as it was written."""
        for target in targets:
            now = self._now.get(str(target), {})
            for name in target.names:
                for path, value in self._last.get(f"{target.kind}/{name}", {}).items():
                    if path not in now and get(target.data, path) == value:
                        delete(target, path)

    def text(self) -> str:
        """The record as it travels in the stream: a tree as compact JSON, in a stable order."""
        forest: dict[str, Any] = {}
        for name, values in self._now.items():
            for path, value in values.items():
                _grow(forest.setdefault(name, {}), path, value)
        return json.dumps(forest, separators=(",", ":"), ensure_ascii=False, sort_keys=True)


# In the tree an entry of a list is a key `[name=emqx]`, and a value is wrapped in a list, which no step is.


def _grow(tree: dict[str, Any], path: Path, value: Any) -> None:
    *branches, last = [step if isinstance(step, str) else f"[{step[0]}={step[1]}]" for step in path]
    for branch in branches:
        tree = tree.setdefault(branch, {})
    tree[last] = [value]


def _leaves(tree: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for key, item in tree.items():
        field, equals, value = key[1:-1].partition("=")
        step: Step = (field, value) if key[0] == "[" and equals else key
        if isinstance(item, list):
            yield (*path, step), item[0]
        else:
            yield from _leaves(item, (*path, step))
