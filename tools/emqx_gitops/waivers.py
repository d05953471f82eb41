"""Waivers and time: which have expired on a day that the caller or the last commit names, and which waive nothing.

Never the clock: the same commit gives the same report.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from emqx_fn.graph import items, text
from emqx_fn.problem import Problem
from emqx_fn.run import RENDERED_SPEC
from emqx_fn.spec import Waiver
from emqx_gitops import process
from emqx_gitops.errors import ToolFailure, UsageFailure

if TYPE_CHECKING:
    from emqx_fn.policy import Review
    from emqx_gitops.rendering import Rendering
    from emqx_gitops.resources import Resource
    from emqx_gitops.validate import Waived


class Judged(NamedTuple):
    """A review after its waivers were held against a day; `checked` says whether there was one."""

    review: Review
    checked: bool


def given_day(text: str | None) -> str:
    """The day of `--date`, or an empty string."""
    try:
        day = date.fromisoformat(text or "").isoformat()
    except ValueError:
        day = ""
    if text is not None and text != (day or None):
        raise UsageFailure(f"--date: expected a day, YYYY-MM-DD; got {text!r}", "for example: --date 2026-01-31")
    return day


def commit_day(folder: Path) -> str:
    """The day of the last commit of the repository around `folder`; empty where there is no repository, or no git."""
    try:
        said = process.run(["git", "-C", str(folder), "log", "-1", "--format=%cs"])
    except ToolFailure:
        return ""
    return said.stdout.strip() if said.code == 0 else ""


def judge(review: Review, rendering: Rendering, given: str, *, complete: bool = True) -> Judged:
    """The review as of a day, else of the last commit: what an expired waiver let pass is wrong again, and so is the waiver.

    A waiver that waives nothing is said only where the review is complete.
    """
    workloads = [resource for resource in rendering.resources if resource.is_emqx]
    day = given or (commit_day(rendering.origin.folder) if any(waiver.until for waiver in review.allow) else "")
    expired = [waiver for waiver in dict.fromkeys(review.allow) if day and waiver.until and waiver.until < day]
    problems = [problem for problem, waiver in review.waived if waiver in expired]
    problems += [_expired(waiver, _owner(waiver, workloads), day) for waiver in expired]
    kept = [(problem, waiver) for problem, waiver in review.waived if waiver not in expired]
    # With problems left, a rule may not have run yet.
    idle = _idle(review) if complete and not review.problems else []
    warnings = [_unused(waiver, _owner(waiver, workloads)) for waiver in idle]
    found = review._replace(problems=[*review.problems, *problems], warnings=[*review.warnings, *warnings], waived=kept)
    return Judged(found, bool(day))


def _idle(review: Review) -> list[Waiver]:
    used = {waiver for _, waiver in review.waived}
    return [waiver for waiver in dict.fromkeys(review.allow) if waiver not in used]


def _expired(waiver: Waiver, owner: str, day: str) -> Problem:
    message = f"expected a waiver that holds on {day}; that of {_shown(waiver)} ({waiver.reason}) ended on {waiver.until}"
    return Problem("waiver-expired", owner, _path(waiver), message, "remove what it waives, or decide anew and set another until")


def _unused(waiver: Waiver, owner: str) -> Problem:
    message = f"expected a waiver that something needs; nothing here breaks {_shown(waiver)}"
    return Problem("unused-waiver", owner, _path(waiver), message, "remove the waiver", severity="warning")


def _shown(waiver: Waiver) -> str:
    return f"{waiver.rule} by {waiver.variable}" if waiver.variable else waiver.rule


def _path(waiver: Waiver) -> str:
    return f"spec.policy.allow[{waiver.variable or waiver.rule}]"


def _owner(waiver: Waiver, workloads: list[Resource]) -> str:
    """The EmqxCluster whose settings hold the waiver."""
    named = [workload for workload in workloads if _holds(workload, waiver)]
    return f"EmqxCluster/{named[0].key.name}" if named else ""


def _holds(workload: Resource, waiver: Waiver) -> bool:
    try:
        spec = json.loads(text(workload.metadata, "annotations", RENDERED_SPEC) or "{}")
    except ValueError:
        return False
    keys = ("rule", "reason", "until", "variable")
    return any(tuple(entry.get(key, "") for key in keys) == tuple(waiver) for entry in items(spec, "policy", "allow"))


def period(waived: Waived) -> str:
    """Until when a waiver holds, to follow its reason."""
    until = waived.waiver.until
    if not until:
        return ""
    return f" (until {until})" if waived.checked else f" (until {until}; not checked: no Git commit to take a day from, and no --date)"
