"""What each subject of the build may do more, and less, than before: effective rights, not the text of Roles."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from emqx_fn import permissions
from emqx_fn.permissions import Grant
from emqx_fn.problem import Refusal
from emqx_gitops.resources import Resource
from emqx_gitops.review.impact.change import Change, Side
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import listed
from emqx_gitops.review.model import Finding


class Right(NamedTuple):
    """One thing that somebody may do. `*` is everything; an empty namespace is all of them; `name` of a role that the build does not show is the role."""

    namespace: str
    verb: str
    group: str
    resource: str
    name: str

    def covers(self, other: Right) -> bool:
        """Whether who has this right has the other too."""
        here = not self.namespace or self.namespace == other.namespace
        return here and all(mine in ("*", theirs) for mine, theirs in zip(self[1:], other[1:], strict=True))


_Grants = list[tuple[Grant, frozenset[Right]]]


def findings(change: Change) -> Iterator[Finding]:
    """Rights gained and lost, by subject."""
    before, after = _held(change.before), _held(change.after)
    for subject in sorted({*before, *after}):
        old, new = before.get(subject, []), after.get(subject, [])
        yield from _gained(subject, old, new)
        if subject in after or not _is_gone(change, subject):
            yield from _lost(subject, old, new)


def _held(side: Side) -> dict[str, _Grants]:
    try:
        found = permissions.subjects(side.graph) if side.graph else {}
    except Refusal:
        return {}
    return {subject: [(grant, _rights(grant)) for grant in grants] for subject, grants in found.items()}


def _rights(grant: Grant) -> frozenset[Right]:
    if grant.rule is None:
        return frozenset({Right(grant.namespace, "?", "?", "?", grant.role)})
    rule = grant.rule
    names = _texts(rule, "resourceNames") or ["*"]
    things = [(group, resource) for group in _texts(rule, "apiGroups") for resource in _texts(rule, "resources")]
    things += [("url", url) for url in _texts(rule, "nonResourceURLs")]
    return frozenset(Right(grant.namespace, verb, *thing, name) for verb, thing, name in product(_texts(rule, "verbs"), things, names))


def _texts(rule: dict[str, object], key: str) -> list[str]:
    found = rule.get(key)
    return [str(item) for item in found] if isinstance(found, list) else []


def _more(new: _Grants, old: _Grants) -> list[Grant]:
    """The grants of `new` that give something that no grant of `old` gives."""
    had = [right for _, rights in old for right in rights]
    return [grant for grant, rights in new if any(not any(one.covers(right) for one in had) for right in rights)]


def _gained(subject: str, old: _Grants, new: _Grants) -> Iterator[Finding]:
    more = _more(new, old)
    needed = [grant for grant in more if _is_of_discovery(grant)]
    wide = [grant for grant in more if grant not in needed]
    if wide:
        message = f"{subject} may do more: {_text(wide)}"
        plan = ("give it only what it asks for; emqx-gitops validate says what discovery needs",)
        yield found("rights-gained", str(wide[0].binding), message, wide[0].path if str(wide[0].binding) == wide[0].role else "", plan)
    if needed:
        yield found("rights-of-discovery", str(needed[0].binding), f"{subject} may do what discovery asks for: {_text(needed)}")


def _is_of_discovery(grant: Grant) -> bool:
    """The one request of discovery: one Endpoints object by its name."""
    rule = grant.rule or {}
    exact = [_texts(rule, key) for key in ("apiGroups", "resources", "verbs")] == [[""], ["endpoints"], ["get"]]
    return exact and not grant.anywhere and bool(_texts(rule, "resourceNames"))


def _lost(subject: str, old: _Grants, new: _Grants) -> Iterator[Finding]:
    asks = any(_is_of_discovery(grant) for grant, _ in new)  # of another Service, then: the right has moved
    less = [grant for grant in _more(old, new) if not (asks and _is_of_discovery(grant))]
    if less:
        message = f"{subject} may do less: no longer {_text(less)}"
        yield found("rights-lost", str(less[0].binding), message)


def _is_gone(change: Change, subject: str) -> bool:
    """Whether the subject is a ServiceAccount that the change removes: it needs no rights any more."""
    return any(subject == _subject(resource) for resource in change.gone() if resource.key.kind == "ServiceAccount")


def _subject(account: Resource) -> str:
    return f"ServiceAccount/{account.key.name}" + (f" in namespace {account.key.namespace}" if account.key.namespace else "")


def _text(grants: list[Grant]) -> str:
    return "; ".join(dict.fromkeys(f"{grant.text()}, {grant.where()}, by {listed([str(grant.binding)])}" for grant in grants))
