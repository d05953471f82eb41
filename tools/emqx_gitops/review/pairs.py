"""What stands on both sides -> each target as it was and as it will be; and whether people or the plugin changed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from emqx_fn.problem import Problem
from emqx_gitops import rendering
from emqx_gitops.kustomize import Kustomize
from emqx_gitops.process import parallel
from emqx_gitops.project import Target
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Key
from emqx_gitops.review.differences import differences
from emqx_gitops.review.model import Cause, Difference, Field, Pair
from emqx_gitops.review.trees import Tree
from emqx_gitops.sources import Built

Build = Callable[[], Rendering]


class Sides(NamedTuple):
    """How a target comes to be; None where the folder is not there. `between` is the older input by the newer plugin, where the plugins differ."""

    target: Target
    before: Build | None
    after: Build | None
    between: Build | None = None


@dataclass(frozen=True)
class Rendered:
    """A pair, and what lies between."""

    pair: Pair
    between: Rendering | None = None

    @property
    def by_people(self) -> Pair | None:
        """Only what the input changed; None where the two plugins cannot be told apart."""
        if self.between is None or self.between.problems or self.pair.after is None:
            return None
        return _pair(self.pair.target, self.between, self.pair.after)


def build(tree: Tree, target: Target, kustomize: Kustomize) -> Build:
    """What renders a target of a tree; what is said of it names no folder that will be gone."""
    return partial(_build, tree, target, kustomize)


def _build(tree: Tree, target: Target, kustomize: Kustomize) -> Rendering:
    found = rendering.render(kustomize, target)
    problems = tuple(map(tree.cleaned, found.problems))
    return replace(found, origin=_InTree(target.path, tree), problems=problems, warnings=tree.without_place(found.warnings))


@dataclass(frozen=True)
class _InTree(Built):
    """A rendering of a tree that is gone when its problems are read."""

    tree: Tree

    def locate(self, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
        """Look in the tree, and name its files as the repository does."""
        return tuple(map(self.tree.cleaned, super().locate(problems)))


def render(sides: list[Sides], jobs: int) -> list[Rendered]:
    """Every pair, up to `jobs` builds at a time."""
    found = _run({(number, side): getattr(one, side) for number, one in enumerate(sides) for side in ("before", "after")}, jobs)
    pairs = [_pair(one.target, found.get((number, "before")), found.get((number, "after"))) for number, one in enumerate(sides)]
    between = _run({(number, ""): sides[number].between for number, pair in enumerate(pairs) if pair.differences and pair.before and pair.after}, jobs)
    return [_told_apart(pair, between.get((number, ""))) for number, pair in enumerate(pairs)]


def _run(builds: dict[tuple[int, str], Build | None], jobs: int) -> dict[tuple[int, str], Rendering]:
    wanted = {key: build for key, build in builds.items() if build is not None}
    return dict(zip(wanted, parallel(_call, wanted.values(), jobs), strict=True))


def _call(build: Build) -> Rendering:
    return build()


def _pair(target: Target, before: Rendering | None, after: Rendering | None) -> Pair:
    return Pair(target, before, after, _differences(before, after))


def _differences(before: Rendering | None, after: Rendering | None) -> tuple[Difference, ...]:
    if any(one and one.problems for one in (before, after)):
        return ()
    if before and after:
        return differences(before, after)
    return (
        *(Difference(None, resource) for resource in (after.resources if after else ())),
        *(Difference(resource, None) for resource in (before.resources if before else ())),
    )


def _told_apart(pair: Pair, between: Rendering | None) -> Rendered:
    """The pair with the cause of each difference: what the older input already becomes by the newer plugin, nobody wrote."""
    by_people = Rendered(pair, between).by_people
    if between is None or by_people is None:
        return Rendered(pair, between)
    known = {id(difference.after): difference for difference in by_people.differences if difference.after}
    left = {resource.key for resource in between.resources}
    found = tuple(_with_cause(difference, known.get(id(difference.after)), left) for difference in pair.differences)
    return Rendered(replace(pair, differences=found), between)


def _with_cause(difference: Difference, by_people: Difference | None, left: set[Key]) -> Difference:
    if difference.after is None:
        gone_by_people = difference.before is not None and difference.before.key in left
        return replace(difference, cause=_cause(gone_by_people))
    fields = tuple(field._replace(cause=_cause(_has(by_people, field))) for field in difference.fields)
    if fields:
        return replace(difference, fields=fields, cause=_cause(any(field.cause == "input" for field in fields)))
    return replace(difference, cause=_cause(by_people is not None and by_people.what == difference.what))


def _cause(by_people: bool) -> Cause:
    return "input" if by_people else "plugin"


def _has(difference: Difference | None, field: Field) -> bool:
    """Whether people changed the field, something in it, or what it is in."""
    if difference is None:
        return False
    return difference.before is None or any(_nested(field, other) for other in difference.fields)


def _nested(one: Field, other: Field) -> bool:
    length = min(len(one.path), len(other.path))
    return one.path[:length] == other.path[:length]
