"""Disruption budgets: how many pods of a workload an eviction may take at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.graph import mapping
from emqx_gitops.resources import Resource
from emqx_gitops.review.impact.change import Change, Side, members
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import count, listed
from emqx_gitops.review.model import Finding


def findings(change: Change) -> Iterator[Finding]:
    """Budgets that no longer keep a majority of the members."""
    for cluster in change.clusters:
        number = min(members(cluster.before), members(cluster.after))
        old, new = _together(change.before, cluster.before, number), _together(change.after, cluster.after, number)
        majority = number // 2 + 1
        if number > 2 and number - new < majority <= number - old:
            budgets = listed(budget.label for budget in of(change.after, cluster.after))
            message = (
                f"who drains nodes may take {count(new, 'member')} of {number} at a time, {'by ' + budgets if budgets else 'for no budget says otherwise'}: "
            )
            message += f"so far it was {old}, and a majority stayed"
            yield found("budget-weakened", cluster.after, message, "", ("keep a PodDisruptionBudget with maxUnavailable: 1",))


def _together(side: Side, workload: Resource, number: int) -> int:
    return min([number, *(max(0, found) for budget in of(side, workload) if (found := allowed(budget, number)) is not None)])


def of(side: Side, workload: Resource) -> list[Resource]:
    """The budgets that select the pods of a workload."""
    labels = mapping(workload.data, "spec", "template", "metadata", "labels")
    near = (budget for budget in side.of_kind("PodDisruptionBudget") if budget.key.namespace == workload.key.namespace)
    return [budget for budget in near if g.matches(mapping(budget.data, "spec", "selector"), labels)]


def allowed(budget: Resource, number: int) -> int | None:
    """How many of so many pods may be missing; None where the budget does not say."""
    spec = mapping(budget.data, "spec")
    if "maxUnavailable" in spec:
        return share(spec["maxUnavailable"], number, up=True)
    return number - share(spec["minAvailable"], number, up=True) if "minAvailable" in spec else None


def share(asked: object, number: int, *, up: bool) -> int:
    """A number, or a share of so many pods."""
    text = str(asked)
    if text.endswith("%") and text[:-1].isdecimal():
        part = number * int(text[:-1]) / 100
        return math.ceil(part) if up else math.floor(part)
    return int(text) if text.isdecimal() else 0
