"""What the reports with markup, Markdown and HTML, say alike of a masked review."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Literal

from emqx_gitops.review import lines
from emqx_gitops.review.gate import TRAILER
from emqx_gitops.review.markup import visible
from emqx_gitops.review.model import MISSING, SEVERITIES, Consent, Difference, Field, Finding, Review, Severity, TargetReview
from emqx_gitops.terminal import counted

_WORDS: tuple[Literal["added", "removed", "renamed", "changed"], ...] = ("added", "removed", "renamed", "changed")


def short(label: str) -> str:
    """A commit as people quote it; any other name as it is."""
    return label[:12] if re.fullmatch("[0-9a-f]{40,}", label) else label


def touches(target: TargetReview) -> bool:
    """Whether there is anything to say of a target."""
    return bool(target.pair.differences or target.findings or target.problems)


def rank(target: TargetReview) -> tuple[bool, int, str]:
    """The worst first, then by name."""
    worst = target.worst
    return not (target.open or target.problems), SEVERITIES.index(worst) if worst else len(SEVERITIES), target.pair.target.name


def counts(target: TargetReview) -> str:
    """How many objects come, go, and change."""
    found = Counter(difference.what for difference in target.pair.differences)
    state = ["new"] if target.pair.before is None else ["gone"] if target.pair.after is None else []
    return ", ".join(state + [f"{found[what]} {what}" for what in _WORDS if found[what]]) or "none"


def grouped(review: Review, severity: Severity) -> list[tuple[Finding, list[TargetReview]]]:
    """Each finding of a severity with the targets that it is said of, those with open ones first."""
    groups: dict[Finding, list[TargetReview]] = {}
    for target in sorted(review.targets, key=rank):
        for finding in dict.fromkeys(target.findings):
            if finding.severity == severity:
                groups.setdefault(finding, []).append(target)
    return sorted(groups.items(), key=lambda group: not any(group[0] in target.open for target in group[1]))


def answers(finding: Finding, targets: list[TargetReview]) -> list[tuple[TargetReview, Consent | None]]:
    """Where a finding needs a consent, and the consent that it has there; the open ones first."""
    found = [(target, dict(target.consents).get(finding)) for target in targets if finding.needs_consent]
    return sorted(found, key=lambda answer: answer[1] is not None)


def trailer(target: TargetReview, finding: Finding) -> str:
    """The line that accepts a finding, to paste; REASON is left to the person."""
    name = target.pair.target.name
    where = "*" if re.search(r"[\s:]", name) or not name else name
    about = f":{finding.object}" if re.fullmatch(r"[^\s:/]+/\S+", finding.object) else ""
    return f"{TRAILER}: {finding.rule} {visible(where + about)} because REASON"


def skipped(review: Review) -> dict[str, list[str]]:
    """The targets that were not rendered, by the reason."""
    found: dict[str, list[str]] = {}
    for name, why in review.skipped:
        found.setdefault(why, []).append(name)
    return found


def lines_of(difference: Difference) -> Iterator[str]:
    """An object that differs, in lines that begin with `-`, `+` or a blank."""
    yield f"  {lines.headline(difference)}"
    if difference.before is None:
        yield from (f"+     {line}" for line in difference.resource.text.splitlines())
    for field in difference.fields:
        yield from _field(field)


def _field(field: Field) -> Iterator[str]:
    first, *rest = lines.of_field(field)
    if rest:
        yield f"  {first[:1]} {first[2:]}" if first[:1] == "~" else f"{first[:1]}   {first[2:]}"
        yield from (f"{line[4:5]}     {line[6:]}".rstrip() for line in rest)
        return
    for one in (field._replace(after=MISSING), field._replace(before=MISSING)):
        if (one.before, one.after) != (MISSING, MISSING):
            yield from (f"{line[:1]}   {line[2:]}" for line in lines.of_field(one))


def objects(target: TargetReview) -> str:
    """In words, how many objects differ."""
    return f"{counted(len(target.pair.differences), 'object')} ({counts(target)})"
