"""Waivers and time: which have expired on a day that the caller or the last commit names, and which waive nothing.

Never the clock: the same commit gives the same report.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emqx_fn.graph import items, text
from emqx_fn.problem import Problem
from emqx_fn.run import RENDERED_SPEC
from emqx_fn.spec import Waiver, parse_policy, parse_spec
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
    owners = partial(_owner, rendering)
    day = _day(rendering, given, review.allow)
    expired = _past(review.allow, day)
    problems = [problem for problem, waiver in review.waived if waiver in expired]
    problems += [_expired(waiver, owners(waiver), day) for waiver in expired]
    kept = [(problem, waiver) for problem, waiver in review.waived if waiver not in expired]
    # With problems left, a rule may not have run yet.
    idle = _idle(review) if complete and not review.problems else []
    warnings = [_unused(waiver, owners(waiver)) for waiver in idle]
    found = review._replace(problems=[*review.problems, *problems], warnings=[*review.warnings, *warnings], waived=kept)
    return Judged(found, bool(day))


def ended(rendering: Rendering, given: str) -> list[Problem]:
    """What the sources alone show where nothing was rendered: waivers that have expired."""
    found = [(_Owner(f"EmqxPolicy/{_name(policy)}", "spec.allow"), parse_policy(policy.get("spec"), "")[0]) for policy in rendering.policies]
    clusters = (cluster for cluster in rendering.origin.settings("EmqxCluster") if items(cluster, "spec", "policy", "allow"))
    topmost = islice(clusters, 1)  # its list replaces those below
    found += [(_Owner(f"EmqxCluster/{_name(cluster)}"), parse_spec(cluster.get("spec"), "")[0].allow) for cluster in topmost]
    day = _day(rendering, given, [waiver for _, allow in found for waiver in allow])
    return [_expired(waiver, owner, day) for owner, allow in found for waiver in _past(allow, day)]


def _day(rendering: Rendering, given: str, allow: Iterable[Waiver]) -> str:
    return given or (commit_day(rendering.origin.folder) if any(waiver.until for waiver in allow) else "")


def _past(allow: Iterable[Waiver], day: str) -> list[Waiver]:
    return [waiver for waiver in dict.fromkeys(allow) if day and waiver.until and waiver.until < day]


def _idle(review: Review) -> list[Waiver]:
    used = {waiver for _, waiver in review.waived}
    return [waiver for waiver in dict.fromkeys(review.allow) if waiver not in used]


def _expired(waiver: Waiver, owner: _Owner, day: str) -> Problem:
    message = f"expected a waiver that holds on {day}; that of {_shown(waiver)} ({waiver.reason}) ended on {waiver.until}"
    return Problem("waiver-expired", owner.label, owner.path(waiver), message, "remove what it waives, or decide anew and set another until")


def _unused(waiver: Waiver, owner: _Owner) -> Problem:
    message = f"expected a waiver that something needs; nothing here breaks {_shown(waiver)}"
    return Problem("unused-waiver", owner.label, owner.path(waiver), message, "remove the waiver", severity="warning")


def _shown(waiver: Waiver) -> str:
    return f"{waiver.rule} by {waiver.variable}" if waiver.variable else waiver.rule


class _Owner(NamedTuple):
    """The object that holds a waiver, and its field that does."""

    label: str = ""
    field: str = "spec.policy.allow"

    def path(self, waiver: Waiver) -> str:
        return f"{self.field}[{waiver.variable or waiver.rule}]"


def _owner(rendering: Rendering, waiver: Waiver) -> _Owner:
    """The EmqxCluster that the rendering was made by, or the EmqxPolicy beside it."""
    for workload in rendering.resources:
        if workload.is_emqx and _holds(items(_stamped(workload), "policy", "allow"), waiver):
            return _Owner(f"EmqxCluster/{workload.key.name}")
    for policy in rendering.policies:
        if _holds(items(policy, "spec", "allow"), waiver):
            return _Owner(f"EmqxPolicy/{_name(policy)}", "spec.allow")
    return _Owner()


def _name(data: dict[str, Any]) -> str:
    return text(data, "metadata", "name")


def _stamped(workload: Resource) -> Any:
    try:
        return json.loads(text(workload.metadata, "annotations", RENDERED_SPEC) or "{}")
    except ValueError:
        return {}


def _holds(allow: list[dict[str, Any]], waiver: Waiver) -> bool:
    keys = ("rule", "reason", "until", "variable")
    return any(tuple(entry.get(key) or "" for key in keys) == tuple(waiver) for entry in allow)


def period(waived: Waived) -> str:
    """Until when a waiver holds, to follow its reason."""
    until = waived.waiver.until
    if not until:
        return ""
    return f" (until {until})" if waived.checked else f" (until {until}; not checked: no Git commit to take a day from, and no --date)"
