"""A review from beginning to end: render both sides, say what differs and what that does, judge the head, hold it against the consents."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from emqx_fn.problem import Problem
from emqx_gitops import inventory, validate, waivers
from emqx_gitops.errors import UsageFailure
from emqx_gitops.kustomize import Kustomize
from emqx_gitops.rendering import Rendering
from emqx_gitops.review import gate, pairs, revisions, sides, trees
from emqx_gitops.review.impact import findings
from emqx_gitops.review.model import SEVERITIES, Consent, Finding, Review, TargetReview
from emqx_gitops.review.pairs import Rendered
from emqx_gitops.review.revisions import Range
from emqx_gitops.review.sides import Compared


@dataclass(frozen=True)
class Settings:
    """How to look: with which kustomize, how many builds at a time, with which consents; waivers and consents must hold on `day`."""

    kustomize: Kustomize
    jobs: int
    accepted: tuple[Consent, ...] = ()
    day: str = ""


def review(names: list[str], start: Path, settings: Settings) -> Review:
    """The review of what a command line names: a range of revisions, or two folders."""
    if len(names) > 2:
        raise UsageFailure(f"diff: expected a range of revisions, or two folders; got {len(names)} words", "for example: emqx-gitops diff main...HEAD")
    if len(names) == 2:
        old, new = names
        return of_named(old, new, settings)
    return of_range(revisions.parse("".join(names), start), start, settings)


def of_range(span: Range, start: Path, settings: Settings) -> Review:
    """The review of a range of commits, as seen from a folder of the project."""
    consents = [*settings.accepted, *gate.of_commits(span)]
    settings = replace(settings, day=settings.day or revisions.day(span))
    with trees.of_commits(span, start) as states:
        return _review(sides.of_trees(states, settings.kustomize), (span.base, span.head_label), consents, settings)


def of_named(old: str, new: str, settings: Settings) -> Review:
    """The review of two folders or files."""
    settings = replace(settings, day=settings.day or waivers.commit_day(Path(new) if Path(new).is_dir() else Path(new).parent))
    return _review(sides.of_named(old, new, settings.kustomize), (old, new), list(settings.accepted), settings)


def _review(compared: Compared, labels: tuple[str, str], consents: list[Consent], settings: Settings) -> Review:
    rendered = pairs.render(compared.sides, settings.jobs)
    reviewed = [_target(one, settings.day) for one in rendered]
    granted, unused = gate.grant(reviewed, consents, settings.day)
    return Review(*labels, compared.plugin, granted, tuple(compared.skipped), unused)


def _target(rendered: Rendered, day: str) -> TargetReview:
    problems = _problems(rendered.pair.after, day)
    # A head that is refused needs no consent to its being unknown: nobody could give it.
    found = [finding for finding in _findings(rendered) if not problems or finding.rule != "settings-unknown"]
    return TargetReview(rendered.pair, tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))), problems)


def _problems(after: Rendering | None, day: str) -> tuple[Problem, ...]:
    """Why the head does not render, or would be refused by `emqx-gitops validate`, schemas apart."""
    if after is None or after.problems:
        return after.problems if after else ()
    judged = waivers.judge(validate.by_rules(after), after, day).review
    return after.located(dict.fromkeys([*inventory.check(after.resources), *judged.problems]))


def _findings(rendered: Rendered) -> list[Finding]:
    pair = rendered.pair
    if pair.before and pair.before.problems:
        return [_not_comparable(pair.before)]
    if pair.after and pair.after.problems:
        return []
    found = findings(pair)
    by_people = rendered.by_people
    if by_people is None:
        return [*found, *_not_told_apart(rendered)]
    known = {_identity(finding) for finding in findings(by_people)}
    return [finding if _identity(finding) in known else finding._replace(cause="plugin") for finding in found]


def _identity(finding: Finding) -> tuple[str, str, str]:
    return finding.rule, finding.object, finding.path


def _not_comparable(before: Rendering) -> Finding:
    first = before.problems[0].lines().partition("\n")[0]
    message = f"expected a base that renders, to compare with; it does not, so nobody can tell what this changes: {first}"
    return Finding("base-not-rendered", "danger", "", "", message, ("look at the rendering of the head as if all of it were new",))


def _not_told_apart(rendered: Rendered) -> Iterable[Finding]:
    if rendered.between and rendered.between.problems:
        message = "expected the newer plugin to render the older input too; it does not, so changes of the plugin look like changes of the input"
        yield Finding("plugin-not-told-apart", "info", "", "", message)
