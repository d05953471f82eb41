"""Secrets that the pods ask for and the rendering does not hold: somebody has to make them first."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_gitops import secrets
from emqx_gitops.resources import Resource
from emqx_gitops.review.impact.change import Change
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import listed
from emqx_gitops.review.model import Finding


def findings(change: Change) -> Iterator[Finding]:
    """Secrets, and keys of them, that are needed for the first time."""
    before, after = _needed(change.before.resources), _needed(change.after.resources)
    for (namespace, name), keys in after.items():
        more = sorted(keys - before.get((namespace, name), set()))
        if (namespace, name) in before and not more:
            continue
        what = f"key {listed(more)} of Secret/{name}" if (namespace, name) in before else f"Secret/{name}"
        message = f"the pods need {what}{f' in namespace {namespace}' if namespace else ''}, which the rendering does not hold: without it no new pod starts"
        user = next((resource for resource in change.after.resources if resource.is_workload and resource.key.namespace == namespace), None)
        plan = (f"before the merge: emqx-gitops secrets {change.after.rendering.name} --only {name} | kubectl create -f -",)
        yield found("secret-needed", user or f"Secret/{name}", message, "", plan)


def _needed(resources: tuple[Resource, ...]) -> dict[tuple[str, str], set[str]]:
    return {(secret.namespace, secret.name): {use.key for use in secret.uses if use.key} for secret in secrets.missing(resources)}
