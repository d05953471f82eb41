"""What Argo CD and Flux each do with a change: what they delete, what they ask, what they replace in the text.

Sources: docs/sync, and the engines' own documentation that it names. The annotations that decide are read from the object
as it was: an engine prunes what it knows from the cluster.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from emqx_fn.graph import mapping
from emqx_gitops.inventory import references
from emqx_gitops.published import lineage
from emqx_gitops.resources import Resource
from emqx_gitops.review.impact.change import Change, Side
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import count, listed
from emqx_gitops.review.model import Finding

_OPTIONS = "argocd.argoproj.io/sync-options"
_PRUNE = "kustomize.toolkit.fluxcd.io/prune"
_WAVE = "argocd.argoproj.io/sync-wave"
_SUBSTITUTE = "kustomize.toolkit.fluxcd.io/substitute"
_HOLD_DATA = ("Namespace", "PersistentVolume", "PersistentVolumeClaim")
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_ASKS, _KEEPS = ("Prune=confirm", "Delete=confirm"), ("Prune=false", "Delete=false")


def findings(change: Change) -> Iterator[Finding]:
    """What the engines do."""
    yield from _pruned(change)
    yield from _protections(change)
    yield from _generations(change)
    yield from _substitutions(change)
    yield from _waves(change)


def _annotation(resource: Resource, key: str) -> str:
    return str(mapping(resource.metadata, "annotations").get(key) or "")


def _options(resource: Resource) -> set[str]:
    return {option.strip() for option in _annotation(resource, _OPTIONS).split(",")}


# -- what goes


def _pruned(change: Change) -> Iterator[Finding]:
    gone = [resource for resource in change.gone() if not _has_successor(change, resource)]
    data = [resource for resource in gone if resource.key.kind in _HOLD_DATA and not _is_kept(resource)]
    for resource in data:
        message = f"it is no longer rendered, and data goes with it. {_argo([resource])}. {_flux([resource])}"
        plan = (f"to keep it: annotate it {_OPTIONS}: Prune=false,Delete=false and {_PRUNE}: disabled, in a change before this one",)
        yield found("prune-data", resource, message, "", plan)
    rest = [resource for resource in gone if resource not in data]
    if rest:
        labels = listed(resource.label for resource in rest)
        message = f"{count(len(rest), 'object')} {'is' if len(rest) == 1 else 'are'} no longer rendered: {labels}. {_argo(rest)}. {_flux(rest)}"
        plan = (f"for the rendered branch, say in the last paragraph of the commit: {_trailers(change, rest)}",)
        yield found("prune", rest[0], message, "", plan)


def _trailers(change: Change, gone: list[Resource]) -> str:
    """What lets `emqx-gitops publish` remove them."""
    if not change.after.resources:
        return f"Removes: {change.before.rendering.name}"
    return ", ".join(f"Removes: {lineage(resource.key).label}" for resource in gone)


def _is_kept(resource: Resource) -> bool:
    return "Prune=false" in _options(resource) and _annotation(resource, _PRUNE) == "disabled"


def _has_successor(change: Change, resource: Resource) -> bool:
    """Whether it is an earlier generation of a ConfigMap or Secret that is still rendered, or a Job that runs again by another name."""
    if resource.key.kind == "Job":
        return any(difference.before is resource and difference.after is not None for difference in change.differences)
    own = lineage(resource.key)
    return own.name != resource.key.name and any(lineage(other.key) == own for other in change.after.of_kind(resource.key.kind))


def _argo(gone: list[Resource]) -> str:
    asks = [resource.label for resource in gone if "Prune=confirm" in _options(resource)]
    keeps = [resource.label for resource in gone if "Prune=false" in _options(resource)]
    rest = len(gone) - len(asks) - len(keeps)
    parts = [f"asks before it deletes {listed(asks)}"] if asks else []
    parts += [f"keeps {listed(keeps)}, and stays OutOfSync"] if keeps else []
    parts += ["deletes " + ("the rest" if asks or keeps else _them(gone)) + " where it prunes"] if rest else []
    return f"Argo CD {'; '.join(parts)}"


def _flux(gone: list[Resource]) -> str:
    keeps = [resource.label for resource in gone if _annotation(resource, _PRUNE) == "disabled"]
    if len(keeps) == len(gone):
        return f"Flux keeps {_them(gone)}, and knows no more of {_them(gone)}"
    return f"Flux deletes {_them(gone)} where it prunes" + (f", but keeps {listed(keeps)}" if keeps else "")


def _them(gone: list[Resource]) -> str:
    return "it" if len(gone) == 1 else "them"


# -- what protected, and does no more


def _protections(change: Change) -> Iterator[Finding]:
    for before, after, fields in change.changed():
        lost = [option for option in (*_ASKS, *_KEEPS) if option in _options(before) and not _is_held(option, after)]
        text = [f"Argo CD's {listed(lost)}"] if lost else []
        text += ["Flux's prune: disabled"] if _annotation(before, _PRUNE) == "disabled" != _annotation(after, _PRUNE) else []
        if text and after.key.kind in (*_HOLD_DATA, "StatefulSet", "Deployment", "Secret"):
            path = next((field for field in fields if field.path[:2] == ("metadata", "annotations") and field.path[-1] == (_OPTIONS if lost else _PRUNE)), "")
            message = f"{' and '.join(text)} {'go' if len(text) > 1 else 'goes'}: the next change that does not render it deletes it without a question"
            yield found("protection-gone", after, message, path)


def _is_held(option: str, after: Resource) -> bool:
    """Whether the object is as safe by another word: who is never asked is never deleted either."""
    name = option.partition("=")[0]
    return option in _options(after) or f"{name}=false" in _options(after)


# -- generations


def _generations(change: Change) -> Iterator[Finding]:
    for difference in change.differences:
        before, after = difference.before, difference.after
        if before is None or after is None or before.key == after.key or lineage(before.key) != lineage(after.key):
            continue
        bare = [name for name, safe in (("Argo CD", "PruneLast=true" in _options(before)), ("Flux", _annotation(before, _PRUNE) == "disabled")) if not safe]
        if bare:
            message = f"{after.label} follows {before.label}. A pod that has not rolled yet still names the old one: {' and '.join(bare)} may prune it before, "
            message += "and a container that restarts then does not start. The rendered branch keeps it one generation longer"
            yield found(
                "prune-before-roll", after, message, "", ("list the component sync/argocd/annotations or sync/flux/annotations, or sync the rendered branch",)
            )


# -- text


def _substitutions(change: Change) -> Iterator[Finding]:
    earlier = {id(difference.after): difference.before for difference in change.differences}
    for difference in change.differences:
        after, before = difference.after, earlier[id(difference.after)]
        if after is None or _annotation(after, _SUBSTITUTE) == "disabled":
            continue
        had = set(_VARIABLE.findall(before.text)) if before and _annotation(before, _SUBSTITUTE) != "disabled" else set()
        fresh = [variable for variable in _VARIABLE.findall(after.text) if variable not in had]
        if fresh:
            message = f"it holds {listed(fresh)}. Flux with a postBuild takes that for its own variable: strict, it refuses the sync, else it puts in nothing. "
            message += "Argo CD leaves it as it is"
            yield found("substitution", after, message, "", (f"annotate it {_SUBSTITUTE}: disabled, as the component sync/flux/annotations does",))


# -- order


def _waves(change: Change) -> Iterator[Finding]:
    """What pods need comes after them: Argo CD waits for the pods first, and they wait for what they need."""
    for workload in change.after.resources:
        if not workload.is_workload:
            continue
        late = [resource for resource in _late(change.after, workload) if resource.key not in change.before.by_key]
        if late:
            names = listed(f"{resource.label} in wave {_wave(resource)}" for resource in late)
            message = (
                f"its pods need {names}, and it comes in wave {_wave(workload)}: Argo CD waits for the pods before it goes on, and they wait for what they "
            )
            message += "need. Flux knows no waves"
            yield found("wave-deadlock", workload, message, "", (f"give what the pods need a lower {_WAVE} than the workload",))


def _late(side: Side, workload: Resource) -> list[Resource]:
    namespace = workload.key.namespace
    needed = [side.generation(kind, namespace, name) for kind, name, _ in dict.fromkeys(references(workload))]
    needed.append(side.generation("ServiceAccount", namespace, str(workload.pod_spec.get("serviceAccountName"))))
    return [resource for resource in needed if resource and _wave(resource) > _wave(workload)]


def _wave(resource: Resource) -> int:
    said = _annotation(resource, _WAVE)
    return int(said) if said.removeprefix("-").isdecimal() and said.isascii() else 0
