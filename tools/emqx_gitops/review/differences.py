"""Two renderings -> how their objects differ: as the API server will see it, not as the text does.

Lists are compared under the keys that Kubernetes merges by, quantities and ports by value, and what the API server fills
in by itself counts as if it were written.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isclose
from typing import TYPE_CHECKING, Any

from emqx_fn.pods import quantity
from emqx_fn.record import MISSING
from emqx_fn.run import RENDERED_BY, RENDERED_FOR, RENDERED_SPEC, WRITTEN
from emqx_gitops.published import lineage
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Resource
from emqx_gitops.review import defaults, lists
from emqx_gitops.review.model import Difference, Field
from emqx_gitops.review.pairing import pairs

if TYPE_CHECKING:
    from emqx_fn.record import Path

# What the function notes for itself; no pod and no person reads it.
BOOKKEEPING = frozenset((RENDERED_BY, RENDERED_FOR, RENDERED_SPEC, WRITTEN))
_NAMES = (("metadata", "name"), ("metadata", "namespace"))
_QUANTITIES = frozenset(("requests", "limits", "hard", "capacity", "sizeLimit", "averageValue", "divisor"))
_PORTS = frozenset(("port", "targetPort", "containerPort", "hostPort", "nodePort"))


def differences(before: Rendering, after: Rendering) -> tuple[Difference, ...]:
    """How each object of two renderings differs; in the order of the second, then those that are gone in the order of the first."""
    found = pairs(before.resources, after.resources)
    earlier, kept = {id(new): old for old, new in found}, {id(old) for old, _ in found}
    changed = [_difference(earlier.get(id(resource)), resource) for resource in after.resources]
    gone = [Difference(resource, None) for resource in before.resources if id(resource) not in kept]
    return (*(difference for difference in changed if difference is not None), *gone)


def _difference(before: Resource | None, after: Resource) -> Difference | None:
    if before is None:
        return Difference(None, after)
    if before.text == after.text:
        return None  # what nobody touched costs nothing
    found = tuple(fields(before, after))
    return Difference(before, after, found) if found or lineage(before.key) != lineage(after.key) else None


def fields(before: Resource, after: Resource) -> Iterator[Field]:
    """The fields that differ, in the order of the second object. The names of the two are not among them."""
    for field in _mappings(after.key.kind, before.data, after.data, ()):
        if field.path not in _NAMES:
            yield field


def _values(kind: str, before: Any, after: Any, path: Path) -> Iterator[Field]:
    before, after = _opened(before, after, path)
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _mappings(kind, before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lists(kind, before, after, path)
    elif not _same(kind, before, after, path):
        yield Field(path, before, after)


def _opened(before: Any, after: Any, path: Path) -> tuple[Any, Any]:
    """Both values, null as what nobody wrote, and what nobody wrote as an empty mapping where it is the same as one."""
    before, after = (MISSING if value is None else value for value in (before, after))
    if isinstance(before if after is MISSING else after, dict) and isinstance(path[-1], str) and defaults.is_implied(path):
        return ({} if value is MISSING else value for value in (before, after))  # type: ignore[return-value]
    return before, after


def _mappings(kind: str, before: dict[str, Any], after: dict[str, Any], path: Path) -> Iterator[Field]:
    before, after = defaults.completed(kind, path, before), defaults.completed(kind, path, after)
    for key in [*after, *(key for key in before if key not in after)]:
        if path != ("metadata", "annotations") or key not in BOOKKEEPING:
            yield from _values(kind, before.get(key, MISSING), after.get(key, MISSING), (*path, str(key)))


def _lists(kind: str, before: list[Any], after: list[Any], path: Path) -> Iterator[Field]:
    field = str(path[-1])
    name = lists.names(kind, field, before, after)
    if name is not None:
        yield from _named(kind, {name(entry): entry for entry in before}, {name(entry): entry for entry in after}, path)
    elif lists.is_set(kind, field):
        yield from _sets(kind, before, after, path)
    elif len(before) != len(after) or any(not _alike(kind, old, new, path) for old, new in zip(before, after, strict=True)):
        yield Field(path, before, after)


def _named(kind: str, before: dict[Any, Any], after: dict[Any, Any], path: Path) -> Iterator[Field]:
    for key in [*after, *(key for key in before if key not in after)]:
        yield from _values(kind, before.get(key, MISSING), after.get(key, MISSING), (*path, key))
    if _order_counts(path) and [key for key in before if key in after] != [key for key in after if key in before]:
        yield Field(path, [value for _, value in before], [value for _, value in after])


def _sets(kind: str, before: list[Any], after: list[Any], path: Path) -> Iterator[Field]:
    went, came = _less(kind, before, after, path), _less(kind, after, before, path)
    if went or came:
        yield Field(path, went or MISSING, came or MISSING)
    elif _order_counts(path) and any(not _alike(kind, old, new, path) for old, new in zip(before, after, strict=True)):
        yield Field(path, before, after)


def _order_counts(path: Path) -> bool:
    """In a pod template it does: the API server keeps the order, sees another template, and the pods restart."""
    return defaults.names(path)[:2] == ("spec", "template")


def _less(kind: str, entries: list[Any], others: list[Any], path: Path) -> list[Any]:
    """The entries without those that the others have too."""
    others = list(others)
    left = []
    for entry in entries:
        twin = next((index for index, other in enumerate(others) if _alike(kind, entry, other, path)), None)
        if twin is None:
            left.append(entry)
        else:
            del others[twin]
    return left


def _alike(kind: str, before: Any, after: Any, path: Path) -> bool:
    """Whether two entries of a list without names are the same."""
    return not any(_values(kind, before, after, (*path, ("", ""))))


def _same(kind: str, before: Any, after: Any, path: Path) -> bool:
    before, after = defaults.effective(kind, path, before), defaults.effective(kind, path, after)
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return True
    return not any(value is MISSING or isinstance(value, (bool, dict, list)) for value in (before, after)) and _by_value(path, before, after)


def _by_value(path: Path, before: Any, after: Any) -> bool:
    names = defaults.names(path)
    if names[-1] in _PORTS:
        return str(before) == str(after)
    old, new = quantity(before), quantity(after)
    return old is not None and new is not None and isclose(old, new) and not _QUANTITIES.isdisjoint(names[-2:])
