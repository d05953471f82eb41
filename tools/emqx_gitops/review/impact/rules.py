"""Every finding by its id: how much it weighs. What each means, and what to do, is on its page in docs/review/rules."""

from __future__ import annotations

from collections.abc import Sequence

from emqx_gitops.resources import Resource
from emqx_gitops.review.model import Field, Finding, Severity

RULES: dict[str, Severity] = {
    # what the API server answers
    "immutable-statefulset": "refused",
    "immutable-claim-template": "refused",
    "immutable-selector": "refused",
    "immutable-claim": "refused",
    "claim-shrinks": "refused",
    "immutable-service": "refused",
    "immutable-role-ref": "refused",
    "immutable-job": "refused",
    "immutable-data": "refused",
    "immutable-class": "refused",
    "strategy-leftover": "refused",
    "older-kubernetes": "notice",
    "cluster-ip-stays": "notice",
    # data and who it belongs to
    "workload-removed": "danger",
    "workload-replaced": "danger",
    "node-renamed": "danger",
    "data-moved": "danger",
    "settings-unknown": "danger",
    "cold-restart": "danger",
    "claims-deleted": "danger",
    "claim-retention": "danger",
    "claim-grows": "notice",
    "claims-left-behind": "notice",
    "scale-down": "danger",
    "scale-up": "info",
    # versions
    "version-downgrade": "danger",
    "version-skips": "danger",
    "version-database": "danger",
    "version-note": "notice",
    # who may do what, and from where
    "rights-gained": "danger",
    "rights-lost": "notice",
    "rights-of-discovery": "info",
    "exposed": "danger",
    "policy-loosened": "danger",
    "authentication-off": "danger",
    "listener-added": "notice",
    # sync
    "prune-data": "danger",
    "protection-gone": "danger",
    "wave-deadlock": "danger",
    "prune": "notice",
    "prune-before-roll": "info",
    "substitution": "notice",
    # pods
    "roll-breaks-quorum": "danger",
    "roll-exceeds-budget": "disruption",
    "roll-may-stick": "disruption",
    "pods-roll": "disruption",
    "budget-weakened": "notice",
    "not-rolled": "notice",
    "no-restart": "info",
    # settings
    "first-start-only": "notice",
    "restart-kind": "info",
    "secret-needed": "notice",
}


def found(rule: str, resource: Resource | str, message: str, path: Field | str = "", plan: Sequence[str] = ()) -> Finding:
    """A finding of this rule. The field that did it, where there is one, says who changed it."""
    label = resource if isinstance(resource, str) else resource.label
    if isinstance(path, Field):
        return Finding(rule, RULES[rule], label, path.name, message, tuple(plan), path.cause)
    return Finding(rule, RULES[rule], label, path, message, tuple(plan))
