"""A masked review -> JSON. The names of its fields are a contract, described in docs/review/README.md."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from emqx_fn.problem import Problem
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import MISSING, SEVERITIES, Consent, Difference, Field, Finding, Review, TargetReview
from emqx_gitops.review.text import Paint

VERSION = 1


def as_json(review: Shown, _: Paint) -> str:
    """The whole review."""
    return json.dumps(_review(review), indent=2, ensure_ascii=False, default=str) + "\n"


def _review(review: Review) -> dict[str, Any]:
    severities = Counter(finding.severity for target in review.targets for finding in target.findings)
    return {
        "version": VERSION,
        "base": review.base,
        "head": review.head,
        "passes": review.passes,
        "plugin": {"base": review.plugin[0], "head": review.plugin[1]},
        "findings": {severity: severities[severity] for severity in SEVERITIES},
        "targets": [_target(target) for target in review.targets],
        "skipped": [skipped._asdict() for skipped in review.skipped],
        "unusedConsents": [_consent(consent) for consent in review.unused_consents],
    }


def _target(target: TargetReview) -> dict[str, Any]:
    accepted = dict(target.consents)
    return {
        "name": target.pair.target.name,
        "state": "added" if target.pair.before is None else "removed" if target.pair.after is None else "changed" if _differs(target) else "same",
        "severity": target.worst,
        "problems": [_problem(problem) for problem in target.problems],
        "findings": [_finding(finding, accepted.get(finding)) for finding in target.findings],
        "differences": [_difference(difference) for difference in target.pair.differences],
    }


def _differs(target: TargetReview) -> bool:
    return bool(target.pair.differences or target.problems or target.findings)


def _problem(problem: Problem) -> dict[str, str]:
    return {field: getattr(problem, field) for field in ("rule", "object", "path", "message", "fix", "where")}


def _finding(finding: Finding, consent: Consent | None) -> dict[str, Any]:
    row = {**finding._asdict(), "plan": list(finding.plan), "needsConsent": finding.needs_consent}
    return {**row, "consent": _consent(consent) if consent else None}


def _consent(consent: Consent) -> dict[str, str]:
    return {field: value for field, value in consent._asdict().items() if value}


def _difference(difference: Difference) -> dict[str, Any]:
    before, after = difference.before, difference.after
    row: dict[str, Any] = {"what": difference.what, "object": difference.resource.label, "cause": difference.cause}
    if before and after and before.key != after.key:
        row["was"] = before.label
    if before is None or after is None:
        return {**row, "content": difference.resource.data}
    return {**row, "fields": [_field(field) for field in difference.fields]}


def _field(field: Field) -> dict[str, Any]:
    """A value that is not there has no key; null is one."""
    values = {side: value for side, value in (("before", field.before), ("after", field.after)) if value is not MISSING}
    return {"path": field.name, **values, "cause": field.cause}
