"""Claims that a change leaves behind, with data that nobody reads any more, and claims that it deletes."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn.graph import mapping
from emqx_gitops.resources import Resource
from emqx_gitops.review import defaults
from emqx_gitops.review.impact.change import Change, claims_of, templates
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import between, kubectl, listed
from emqx_gitops.review.model import Field, Finding


def findings(change: Change) -> Iterator[Finding]:
    """What becomes of the claims of StatefulSets."""
    for resource in change.gone():
        if resource.key.kind == "StatefulSet":
            yield from _of_gone(resource)
    for before, after, fields in change.changed("StatefulSet"):
        yield from _of_scaled(before, after)
        yield from _of_templates(before, after)
        yield from _retention(after, fields)


def _policy(workload: Resource, when: str) -> str:
    return str(mapping(workload.data, "spec", "persistentVolumeClaimRetentionPolicy").get(when) or "Retain")


def _of_gone(workload: Resource) -> Iterator[Finding]:
    claims = claims_of(workload)
    if claims and _policy(workload, "whenDeleted") == "Delete":
        path = "spec.persistentVolumeClaimRetentionPolicy.whenDeleted"
        yield _deleted(workload, claims, path, "The StatefulSet goes, and its retention policy says whenDeleted: Delete")
    elif claims:
        yield _left(workload, claims, "The StatefulSet goes, and its claims stay")


def _of_scaled(before: Resource, after: Resource) -> Iterator[Finding]:
    claims = [claim for claim in claims_of(before) if claim not in claims_of(after)]
    if not claims or templates(before) != templates(after):
        return
    if _policy(after, "whenScaled") == "Delete":
        yield _deleted(after, claims, "spec.persistentVolumeClaimRetentionPolicy.whenScaled", "The retention policy says whenScaled: Delete")
    else:
        yield _left(after, claims, "Members go, and their claims stay: scaled up again, they start with the old data")


def _of_templates(before: Resource, after: Resource) -> Iterator[Finding]:
    gone = [name for name in templates(before) if name not in templates(after)]
    claims = [claim for claim in claims_of(before) if any(claim.startswith(f"{name}-{before.key.name}-") for name in gone)]
    if claims:
        yield _left(after, claims, "No template makes these claims any more")


def _deleted(workload: Resource, claims: list[str], path: str, why: str) -> Finding:
    message = f"{why}: the claims {listed(claims)} are deleted, and the data in them"
    plan = (kubectl(workload, "patch", "statefulset", workload.key.name, "-p", _RETAIN) + ", before the merge",)
    return found("claims-deleted", workload, message, path, plan)


_RETAIN = '\'{"spec":{"persistentVolumeClaimRetentionPolicy":{"whenDeleted":"Retain","whenScaled":"Retain"}}}\''


def _left(workload: Resource, claims: list[str], why: str) -> Finding:
    message = f"{why}: {listed(claims)}"
    plan = (f"when nobody needs the data any more: {kubectl(workload, 'delete', 'pvc', *claims)}",)
    return found("claims-left-behind", workload, message, "", plan)


def _retention(after: Resource, fields: tuple[Field, ...]) -> Iterator[Finding]:
    for field in fields:
        names = defaults.names(field.path)
        if names[:2] == ("spec", "persistentVolumeClaimRetentionPolicy") and field.after == "Delete":
            when = "the StatefulSet is deleted" if names[-1] == "whenDeleted" else "it is scaled down"
            message = f"{names[-1]} goes {between(defaults.effective('StatefulSet', field.path, field.before), field.after)}: "
            message += f"from now on the claims go as soon as {when}, with the data in them"
            yield found("claim-retention", after, message, field)
