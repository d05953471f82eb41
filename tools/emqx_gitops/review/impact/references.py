"""Secrets that the pods ask for and the rendering does not hold: somebody has to make them first."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_gitops import secrets
from emqx_gitops.review.impact.change import Change
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import kubectl, listed
from emqx_gitops.review.model import Finding
from emqx_gitops.secrets import Missing


def findings(change: Change) -> Iterator[Finding]:
    """Secrets, and keys of them, that are needed for the first time."""
    before = {(secret.namespace, secret.name): _keys(secret) for secret in secrets.missing(change.before.resources)}
    for secret in secrets.missing(change.after.resources):
        namespace, name = secret.namespace, secret.name
        there = (namespace, name) in before
        more = sorted(_keys(secret) - before.get((namespace, name), set()))
        if there and not more:
            continue
        what = f"key {listed(more)} of Secret/{name}" if there else f"Secret/{name}"
        message = f"the pods need {what}{f' in namespace {namespace}' if namespace else ''}, which the rendering does not hold: without it no new pod starts"
        user = next((resource for resource in change.after.resources if resource.is_workload and resource.key.namespace == namespace), None)
        yield found("secret-needed", user or f"Secret/{name}", message, "", _grown(secret) if there else _made(change, secret))


def _keys(secret: Missing) -> set[str]:
    return {use.key for use in secret.uses if use.key}


def _made(change: Change, secret: Missing) -> tuple[str, ...]:
    if secret.given and not secret.invented:
        return (f"before the merge: {secrets.command(secret)}",)
    command = f"emqx-gitops secrets {change.after.rendering.name} --only {secret.name}"
    return (f"before the merge: {f'what `{command}` says' if secret.given else f'{command} | kubectl create -f -'}",)


def _grown(secret: Missing) -> tuple[str, ...]:
    """A Secret of `emqx-gitops secrets` is immutable, and holds values that must stay as they are."""
    get = kubectl(secret.namespace, "get", "secret", secret.name, "-o", "yaml")
    return (f"before the merge: {get}, and make it again with the values that it has and this key: one that is immutable is deleted first",)
