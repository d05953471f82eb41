"""Targets -> renderings, in parallel and fail-closed: text that may be handed on, or the problems that forbid it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from emqx_fn.problem import Problem, Refusal
from emqx_gitops import guard, resources
from emqx_gitops.errors import Problems
from emqx_gitops.kustomize import Kustomize
from emqx_gitops.process import parallel
from emqx_gitops.project import Target
from emqx_gitops.resources import Resource
from emqx_gitops.sources import Built, Origin, Read


@dataclass(frozen=True)
class Rendering:
    """What one target became. With problems, the text must not be handed on."""

    name: str
    origin: Origin
    text: str
    resources: tuple[Resource, ...]
    problems: tuple[Problem, ...]
    warnings: str = ""

    @property
    def policies(self) -> list[dict[str, Any]]:
        """Every EmqxPolicy that its layers list, or that is in it."""
        inside = [resource.data for resource in self.resources if resource.is_settings and resource.key.kind == "EmqxPolicy"]
        return [*self.origin.settings("EmqxPolicy"), *inside]

    def is_set_by(self, resource: Resource) -> bool:
        """Whether an object only says how to judge a stream; what kustomize builds goes to a cluster, which has no such kind."""
        return resource.is_settings and isinstance(self.origin, Read)

    def located(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        """Problems with the place in the source they come from; failing that, with the target's name."""
        return _located(self.origin, self.name, problems)


def render_all(targets: list[Target], kustomize: Kustomize, jobs: int) -> list[Rendering]:
    """Every target rendered, up to `jobs` at a time."""
    return parallel(partial(render, kustomize), targets, jobs)


def render(kustomize: Kustomize, target: Target) -> Rendering:
    """One target rendered and guarded."""
    origin = Built(target.path)
    build = kustomize.build(target.path)
    if build.problems:
        return Rendering(target.name, origin, "", (), _located(origin, target.name, build.problems))
    return _guarded(target.name, origin, build.text, build.warnings)


def from_text(name: str, origin: Origin, text: str) -> Rendering:
    """A stream that was rendered before, perhaps by somebody else's tools: the policy says whether it forms a cluster."""
    return _guarded(name, origin, text, "")


def _guarded(name: str, origin: Origin, text: str, warnings: str) -> Rendering:
    try:
        found = resources.read(text, name)
    except Refusal as refusal:
        return Rendering(name, origin, "", (), _located(origin, name, refusal.problems))
    return Rendering(name, origin, resources.opened(text, found), found, _located(origin, name, guard.check(found, stamped=origin.stamps)), warnings)


def _located(origin: Origin, name: str, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(problem if problem.where else problem._replace(where=name) for problem in origin.locate(tuple(problems)))


def required(renderings: list[Rendering]) -> list[Rendering]:
    """The renderings, or all their problems as one failure."""
    problems = [problem for rendering in renderings for problem in rendering.problems]
    if problems:
        # What is wrong in the base shows in each overlay: say it once.
        raise Problems(list(dict.fromkeys(problems)))
    return renderings
