"""A masked review -> text for a terminal: each target with what happens, worst first, then what differs; the gate at the end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal

from emqx_gitops.review import lines, markup
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import NEED_CONSENT, SEVERITIES, Consent, Finding, Review, TargetReview
from emqx_gitops.terminal import counted

Paint = Callable[[str, str], str]

_WORDS: tuple[Literal["added", "removed", "renamed", "changed"], ...] = ("added", "removed", "renamed", "changed")


def text(review: Shown, paint: Paint) -> str:
    """The whole review."""
    found = [f"from {_short(review.base)} to {_short(review.head)}"]
    found += [line for target in review.targets for line in _target(target, paint)]
    found += _skipped(review)
    found += _plugin(review)
    found += [line for consent in review.unused_consents for line in _unused(consent)]
    return markup.no_commands("\n".join([*found, paint("green" if review.passes else "red", lines.gate(review))])) + "\n"


def _short(label: str) -> str:
    return label[:12] if re.fullmatch("[0-9a-f]{40,}", label) else label


def _target(target: TargetReview, paint: Paint) -> Iterator[str]:
    yield f"{paint(_color(target), target.pair.target.name)}: {_summary(target)}"
    for problem in target.problems:
        yield from _indented([f"refused: {problem.lines()}"])
    accepted = dict(target.consents)
    for finding in target.findings:
        yield from _indented(_finding(finding, accepted.get(finding), paint))
    for difference in target.pair.differences:
        yield f"  {lines.headline(difference)}"
        for field in difference.fields:
            yield from _indented(lines.of_field(field), 4)


def _color(target: TargetReview) -> str:
    return "red" if target.problems or target.open else "green"


def _summary(target: TargetReview) -> str:
    pair = target.pair
    changes = Counter(difference.what for difference in pair.differences)
    parts = ["new" if pair.before is None else "gone"] if pair.before is None or pair.after is None else []
    parts += [f"{counted(changes[what], 'object')} {what}" for what in _WORDS if changes[what]]
    severities = Counter(finding.severity for finding in target.findings)
    parts += [f"{severities[severity]} {severity}" for severity in SEVERITIES if severities[severity]]
    parts += [counted(len(target.problems), "problem")] if target.problems else []
    return ", ".join(parts) or "nothing changes"


def _finding(finding: Finding, consent: Consent | None, paint: Paint) -> Iterator[str]:
    severity = paint("red", finding.severity) if finding.severity in NEED_CONSENT else finding.severity
    place = ": ".join(part for part in (finding.object, finding.path) if part)
    mark = ", by the plugin" if finding.cause == "plugin" else ""
    yield f"{severity}: {place + ': ' if place else ''}{finding.message} [{finding.rule}]{mark}"
    for number, step in enumerate(finding.plan, 1):
        first, *rest = step.splitlines() or [""]
        yield f"  {number}. {first}"
        yield from (f"     {line}" for line in rest)
    if consent:
        yield f"  accepted: {said(consent)}"
    elif finding.needs_consent:
        yield "  needs a consent"


def said(consent: Consent) -> str:
    """Why it is accepted, by whom, and until when."""
    until = f", until {consent.until}" if consent.until else ""
    return f"{consent.reason} ({consent.source}{until})"


def _indented(found: Iterator[str] | list[str], by: int = 2) -> Iterator[str]:
    return (f"{' ' * by}{line}" for block in found for line in block.splitlines())


def _skipped(review: Review) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name, why in review.skipped:
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield f"not rendered, for {why}: {', '.join(names) if len(names) <= 9 else counted(len(names), 'target')}"


def _plugin(review: Review) -> Iterator[str]:
    old, new = review.plugin
    if old != new:
        yield f"plugin: {old[:12]} -> {new[:12]}; what it changed by itself is marked"


def _unused(consent: Consent) -> Iterator[str]:
    line = f"{consent.rule} {consent.where} because {consent.reason}" if consent.rule else consent.reason
    yield f"consent without effect: {line} ({consent.source}): {consent.note}"
