"""Every theme over one change, worst first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from emqx_gitops.review.impact import (
    budgets,
    claims,
    configuration,
    engines,
    exposure,
    identity,
    immutable,
    members,
    policies,
    references,
    rights,
    rolls,
    versions,
)
from emqx_gitops.review.impact.change import Change, change_of
from emqx_gitops.review.model import SEVERITIES, Finding, Pair

_THEMES: tuple[Callable[[Change], Iterator[Finding]], ...] = (
    immutable.findings,
    claims.findings,
    identity.findings,
    members.findings,
    versions.findings,
    rights.findings,
    exposure.findings,
    policies.findings,
    engines.findings,
    budgets.findings,
    rolls.findings,
    configuration.findings,
    references.findings,
)


def findings(pair: Pair) -> list[Finding]:
    """What the change of one target does, worst first; nothing where one of its two states does not render."""
    change = change_of(pair)
    if change is None:
        return []
    found = dict.fromkeys(finding for theme in _THEMES for finding in theme(change))
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
