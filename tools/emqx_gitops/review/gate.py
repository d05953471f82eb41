"""Findings and consents -> who accepted what. A finding that needs a consent and has none keeps the gate shut.

A consent is one line, in a commit's message or on the command line: `RULE WHERE [until DAY] because REASON`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from emqx_gitops.errors import UsageFailure
from emqx_gitops.review import revisions
from emqx_gitops.review.model import Consent, Finding, TargetReview
from emqx_gitops.review.revisions import Range

TRAILER = "Accept"
_FORM = "RULE WHERE because REASON"
# The form itself, pasted as it stands, gives no reason.
_CONSENT = re.compile(
    r"(?P<rule>[a-z0-9]+(?:-[a-z0-9]+)*)\s+(?P<where>[^\s:]+(?::[^\s:/]+/\S+)?)(?:\s+until\s+(?P<until>\d{4}-\d{2}-\d{2}))?\s+because\s+(?P<reason>(?!REASON$)\S.*)"
)


def parse(text: str, source: str) -> Consent | None:
    """The consent in a line, if it is one."""
    match = _CONSENT.fullmatch(text.strip())
    return Consent(match["rule"], match["where"], match["reason"], source, match["until"] or "") if match else None


def of_options(lines: Iterable[str]) -> list[Consent]:
    """The consents of the command line."""
    found = []
    for line in lines:
        consent = parse(line, "--accept")
        if consent is None:
            example = "--accept 'workload-replaced clusters/prod:StatefulSet/emqx because it moves to a new cluster on Sunday'"
            raise UsageFailure(f"--accept: expected `{_FORM}`; got {line!r}", f"for example: {example}")
        found.append(consent)
    return found


def of_commits(span: Range) -> list[Consent]:
    """The consents in the last paragraphs of the messages of a range, oldest first. One that cannot be read says so."""
    found = []
    for commit, line in revisions.trailers(span, TRAILER):
        source = f"commit {commit[:12]}"
        unread = Consent("", "", line, source, note=f"expected `{TRAILER}: {_FORM}`")
        found.append(parse(line, source) or unread)
    return found


def grant(targets: Iterable[TargetReview], consents: list[Consent], day: str) -> tuple[tuple[TargetReview, ...], tuple[Consent, ...]]:
    """The targets with the consent to each finding that has one, and the consents that count for nothing, with the reason."""
    judged = [_judged(consent, day) for consent in consents]
    valid = [consent for consent in judged if not consent.note]
    granted = tuple(replace(target, consents=_given(target, valid)) for target in targets)
    used = {consent for target in granted for consent in valid for finding in _needy(target) if _covers(consent, target, finding)}
    unused = (consent if consent.note else consent._replace(note="nothing here needs it") for consent in judged if consent not in used)
    return granted, tuple(unused)


def _judged(consent: Consent, day: str) -> Consent:
    if consent.note or not consent.until:
        return consent
    if not day:
        return consent._replace(note=f"it holds until {consent.until}, and there is no day to hold it against: give --date")
    return consent._replace(note=f"it ended on {consent.until}") if consent.until < day else consent


def _given(target: TargetReview, consents: list[Consent]) -> tuple[tuple[Finding, Consent], ...]:
    found = ((finding, next((consent for consent in consents if _covers(consent, target, finding)), None)) for finding in _needy(target))
    return tuple((finding, consent) for finding, consent in found if consent is not None)


def _needy(target: TargetReview) -> list[Finding]:
    return [finding for finding in target.findings if finding.needs_consent]


def _covers(consent: Consent, target: TargetReview, finding: Finding) -> bool:
    where, _, about = consent.where.partition(":")
    return consent.rule == finding.rule and where in ("*", target.pair.target.name) and about in ("", finding.object)
