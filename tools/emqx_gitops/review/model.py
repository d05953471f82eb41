"""What a review is made of: two states of each target, how their objects differ, and what that does to the cluster that runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from emqx_fn.problem import Problem
from emqx_fn.record import MISSING, shown
from emqx_gitops.project import Target
from emqx_gitops.published import lineage
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import Resource

if TYPE_CHECKING:
    from emqx_fn.record import Path

Cause = Literal["input", "plugin"]
Severity = Literal["refused", "danger", "disruption", "notice", "info"]

# Worst first. `refused`: the sync will not go through. `danger`: data, identity, secrets or exposure. `disruption`: clients
# notice. `notice`: somebody has to do or know something. `info`: what happens, and is meant.
SEVERITIES: tuple[Severity, ...] = ("refused", "danger", "disruption", "notice", "info")
NEED_CONSENT: frozenset[Severity] = frozenset({"refused", "danger"})


class Field(NamedTuple):
    """A field that differs. `before` and `after` are YAML values, or MISSING; `cause` says whether people or the plugin changed it.

    Of a list whose order means nothing, the entries that went and those that came; of a list of named entries whose order
    alone changed, the names in their order.
    """

    path: Path
    before: Any
    after: Any
    cause: Cause = "input"

    @property
    def name(self) -> str:
        """As a person writes it: `spec.template.spec.containers[emqx].image`."""
        return shown(self.path)


@dataclass(frozen=True)
class Difference:
    """An object that differs. `before` or `after` is None where it is new or gone; two names are a rename, or another hash of the content."""

    before: Resource | None
    after: Resource | None
    fields: tuple[Field, ...] = ()
    cause: Cause = "input"  # of its coming or going; each field has its own

    @property
    def resource(self) -> Resource:
        """The object as it will be, or as it was where it goes."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def what(self) -> Literal["added", "removed", "renamed", "changed"]:
        """In one word."""
        if self.before is None or self.after is None:
            return "added" if self.before is None else "removed"
        return "changed" if lineage(self.before.key) == lineage(self.after.key) else "renamed"


@dataclass(frozen=True)
class Pair:
    """One target at base and at head; None where the folder is not there. Its renderings are final, or have problems.

    `differences` are in the order of the rendering at head; those that are gone come last. Empty where one of the two does not render.
    """

    target: Target
    before: Rendering | None
    after: Rendering | None
    differences: tuple[Difference, ...] = ()


class Finding(NamedTuple):
    """What a change does. `object` is `Kind/name` as in a Problem; `plan` the commands or steps to go through with it, in order.

    `path` is the field that did it, where one did.
    """

    rule: str
    severity: Severity
    object: str
    path: str
    message: str
    plan: tuple[str, ...] = ()
    cause: Cause = "input"

    @property
    def needs_consent(self) -> bool:
        """Whether it fails the gate until a person accepts it."""
        return self.severity in NEED_CONSENT


class Consent(NamedTuple):
    """That somebody accepts a finding: its rule, where (`*` or a target, optionally with `:Kind/name`), and why. `source` says who said so.

    `until` is its last day, or empty. `note` says of one that does not count why.
    """

    rule: str
    where: str
    reason: str
    source: str
    until: str = ""
    note: str = ""


@dataclass(frozen=True)
class TargetReview:
    """One target: what differs, and what that means, worst first. `consents` has the consent to each finding that has one."""

    pair: Pair
    findings: tuple[Finding, ...]
    problems: tuple[Problem, ...] = ()  # why head does not render or validate
    consents: tuple[tuple[Finding, Consent], ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The worst that is to be said of it; None where nothing is."""
        found = {finding.severity for finding in self.findings}
        return "refused" if self.problems else next((severity for severity in SEVERITIES if severity in found), None)

    @property
    def open(self) -> tuple[Finding, ...]:
        """Findings that need a consent and have none."""
        given = [finding for finding, _ in self.consents]
        return tuple(finding for finding in self.findings if finding.needs_consent and finding not in given)


class Skipped(NamedTuple):
    """A target that was not rendered, and why the change cannot reach it."""

    name: str
    why: str


@dataclass(frozen=True)
class Review:
    """All of it. `base` and `head` are commits, or names of folders; `plugin` has the plugin's digest at both."""

    base: str
    head: str
    plugin: tuple[str, str]
    targets: tuple[TargetReview, ...]
    skipped: tuple[Skipped, ...] = ()
    unused_consents: tuple[Consent, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the gate opens: everything renders, and a person accepted what needs it."""
        return not any(target.open or target.problems for target in self.targets)


__all__ = [
    "MISSING",
    "NEED_CONSENT",
    "SEVERITIES",
    "Cause",
    "Consent",
    "Difference",
    "Field",
    "Finding",
    "Pair",
    "Review",
    "Severity",
    "Skipped",
    "TargetReview",
]
