"""What the API server will refuse, and how to get there all the same.

Sources: the update validation of Kubernetes 1.34 and 1.36 (`ValidateStatefulSetUpdate`, `ValidatePersistentVolumeClaimUpdate`,
`ValidateServiceUpdate`, `ValidateJobSpecUpdate` and their likes); `tests/cluster/test_immutable.py` asks a real API server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from emqx_fn.graph import mapping
from emqx_fn.pods import quantity
from emqx_fn.record import MISSING
from emqx_gitops.resources import Resource
from emqx_gitops.review import defaults
from emqx_gitops.review.impact.change import Change, claims_of, pods
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import between, kubectl, listed, sync
from emqx_gitops.review.model import Field, Finding

Fields = list[Field]

# Fields of a StatefulSet's spec that may change, as of 1.29 and newer.
_FREE = ("replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy", "minReadySeconds", "revisionHistoryLimit")
# Seen refused up to 1.32, and allowed from 1.34 on.
_LATER = "revisionHistoryLimit"
# A Job's spec; `completions` too, unless it is indexed.
_JOB = ("template", "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy")
_CLASSES = {
    "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    "PriorityClass": ("value", "preemptionPolicy"),
}
_FORCE = "kustomize.toolkit.fluxcd.io/force"


def findings(change: Change) -> Iterator[Finding]:
    """Fields that may not change in an object that is there."""
    for before, after, fields in change.changed():
        yield from of(before, after, fields)


def of(before: Resource, after: Resource, fields: Iterable[Field]) -> Iterator[Finding]:
    """Those of one object."""
    look = _OF_KIND.get(after.key.kind)
    if look is not None:
        yield from look(before, after, list(fields))


def _names(field: Field) -> tuple[str, ...]:
    return defaults.names(field.path)


def _below_spec(field: Field) -> str:
    """Which field of the spec it is in; empty for the spec itself."""
    return next(iter(_names(field)[1:]), "")


def _below(fields: Fields, *starts: tuple[str, ...]) -> Fields:
    return [field for field in fields if any(_names(field)[: len(start)] == start for start in starts)]


def _shown(kind: str, fields: Fields) -> str:
    """The fields with what they were and will be; not those of a pod, where a variable may hold a secret."""
    return listed(field.name if "template" in field.path else f"{field.name} ({_between(kind, field)})" for field in fields)


def _between(kind: str, field: Field) -> str:
    if isinstance(field.before, (dict, list)) and field.after is MISSING:
        return "gone"
    if isinstance(field.after, (dict, list)) and field.before is MISSING:
        return "new"
    return between(*(defaults.effective(kind, field.path, value) for value in (field.before, field.after)))


# -- workloads


def _stateful_set(before: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    spec = [field for field in fields if _names(field)[0] == "spec"]
    yield from _leftover(before, after, fields, "updateStrategy")
    later = _below(spec, ("spec", _LATER))
    templates = _below(spec, ("spec", "volumeClaimTemplates"))
    fixed = [field for field in spec if _below_spec(field) not in _FREE and field not in templates]
    if fixed:
        message = (
            f"a StatefulSet never changes {_shown(after.key.kind, fixed)}: the API server refuses the whole object, and nothing else of it is applied either"
        )
        yield found("immutable-statefulset", after, message, fixed[0], _recreate(after, fixed))
    if templates:
        yield _claim_templates(before, after, templates)
    if later:
        message = f"API servers before Kubernetes 1.34 may refuse to change {_shown(after.key.kind, later)}"
        yield found("older-kubernetes", after, message, later[0], ("kubectl version", "on an older one: leave the field as it is"))


def _leftover(before: Resource, after: Resource, fields: Fields, strategy: str) -> Iterator[Finding]:
    """Seen on 1.36: what the API server has filled in under `rollingUpdate` is nobody's, stays there, and does not go with another type."""
    field = next(iter(_below(fields, ("spec", strategy, "type"))), None)
    if field is None or field.after not in ("Recreate", "OnDelete") or "rollingUpdate" in mapping(after.data, "spec", strategy):
        return
    written = mapping(before.data, "spec", strategy, "rollingUpdate")
    if all(name in written for name in _FILLED_IN[strategy]):
        return
    who = (
        "the API server refuses it" if strategy == "updateStrategy" else "a server-side apply is refused, as of Flux, and of Argo CD with ServerSideApply=true"
    )
    message = f"{strategy}.type goes {_between(after.key.kind, field)}, and what the API server "
    message += f"filled in under rollingUpdate stays: {who}"
    patch = f'\'{{"spec":{{"{strategy}":{{"type":"{field.after}","rollingUpdate":null}}}}}}\''
    plan = sync("merge", kubectl(after, "patch", after.key.kind.lower(), after.key.name, "--type=merge", "-p", patch))
    yield found("strategy-leftover", after, message, field, plan)


_FILLED_IN = {"updateStrategy": ("partition",), "strategy": ("maxSurge", "maxUnavailable")}


def _after_merge(*steps: str) -> tuple[str, ...]:
    """Before the merge an engine would make again what the steps delete, as it was."""
    return tuple(sync("merge: the sync fails at this object, and leaves it as it is", *steps))


def _recreate(after: Resource, fixed: Fields) -> tuple[str, ...]:
    name = after.key.name
    last = pods(after)[-1:] or [f"{name}-0"]
    restart = {
        "selector": f"the pods that are left have no owner, and hold the names of the new ones: {kubectl(after, 'delete', 'pod', last[0])}, "
        "wait until it is Ready again, then the next lower one",
        "serviceName": f"{kubectl(after, 'rollout', 'restart', f'statefulset/{name}')}: a pod has the DNS name of the new Service from its next start on",
    }
    changed = [_below_spec(field) for field in fixed]
    after_sync = next((restart[field] for field in restart if field in changed), "")
    steps = _after_merge(kubectl(after, "delete", "statefulset", name, "--cascade=orphan") + ": the pods go on")
    return (*steps, after_sync) if after_sync else steps


def _claim_templates(before: Resource, after: Resource, fields: Fields) -> Finding:
    sizes = [field for field in fields if _names(field)[-2:] == ("requests", "storage")]
    rest = [field for field in fields if field not in sizes]
    message = f"a StatefulSet never changes {_shown(after.key.kind, fields)}: the API server refuses the whole object"
    if not rest and sizes and all(_grows(field) for field in sizes):
        message += "; the claims that are there stay as they are, and grow one by one, if their storage class allows it"
        return found("immutable-claim-template", after, message, sizes[0], _grow(before, after, sizes))
    if not rest and sizes:
        message += "; no claim ever shrinks: those that are there keep their size, and only members that come later get the smaller one"
        return found(
            "immutable-claim-template", after, message, sizes[0], ("leave the size as it is, or move the data to claims of another name", *_recreate(after, []))
        )
    message += "; the claims that are there stay as they were made, with their data"
    note = "pods whose volumes no longer fit the template are not changed in place: delete them one by one, the highest first, each Ready before the next"
    return found("immutable-claim-template", after, message, rest[0], (*_recreate(after, []), note))


def _grows(field: Field) -> bool:
    old, new = quantity(field.before), quantity(field.after)
    return old is not None and new is not None and new > old


def _grow(before: Resource, after: Resource, sizes: Fields) -> tuple[str, ...]:
    sizes_of = {str(step[1]): field.after for field in sizes for step in field.path if isinstance(step, tuple)}
    patches = []
    for claim in claims_of(before):
        size = next((size for template, size in sizes_of.items() if claim.startswith(f"{template}-{before.key.name}-")), None)
        if size is not None:
            patch = f'\'{{"spec":{{"resources":{{"requests":{{"storage":"{size}"}}}}}}}}\''
            patches.append(kubectl(after, "patch", "pvc", claim, "-p", patch))
    return ("kubectl get storageclass: the class of the claims says allowVolumeExpansion true", *patches, *_recreate(after, []))


def _deployment(before: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    yield from _leftover(before, after, fields, "strategy")
    selector = _below(fields, ("spec", "selector"))
    if selector:
        message = f"a {after.key.kind} never changes its selector, here {_shown(after.key.kind, selector)}: the API server refuses the whole object"
        name = f"{after.key.kind.lower()}/{after.key.name}"
        plan = _after_merge(kubectl(after, "delete", name) + ": its pods go, all at once")
        yield found("immutable-selector", after, message, selector[0], plan)


def _job(before: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    fixed = _below(fields, *(("spec", field) for field in _JOB))
    if mapping(before.data, "spec").get("completionMode") != "Indexed":
        fixed += _below(fields, ("spec", "completions"))
    if fixed and not _is_recreated(after):
        message = f"a Job never changes {_shown(after.key.kind, fixed)}: the API server refuses the whole object"
        plan = sync(kubectl(after, "delete", "job", after.key.name) + ", or give the Job another name with every change")
        yield found("immutable-job", after, message, fixed[0], plan)


def _is_recreated(job: Resource) -> bool:
    """Whether the engines delete it before they apply it again; `argocd.argoproj.io/hook` does by default."""
    annotations = mapping(job.metadata, "annotations")
    return annotations.get(_FORCE) == "enabled" or "argocd.argoproj.io/hook" in annotations


# -- claims, Services, the rest


def _claim(_: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    spec = [field for field in fields if _names(field)[0] == "spec"]
    sizes = [field for field in spec if _names(field)[-2:] == ("requests", "storage")]
    fixed = [field for field in spec if field not in sizes and _names(field)[:2] != ("spec", "volumeAttributesClassName")]
    if fixed:
        message = f"a PersistentVolumeClaim never changes {_shown(after.key.kind, fixed)}: the API server refuses the whole object"
        plan = ("make a claim of another name, and copy the data while the broker is stopped", "let the workload name the new claim")
        yield found("immutable-claim", after, message, fixed[0], plan)
    for field in sizes:
        if _grows(field):
            message = f"the claim grows {between(field.before, field.after)}: the API server lets it once it is bound, if its storage class allows it"
            yield found("claim-grows", after, message, field, ("kubectl get storageclass: the class of the claim says allowVolumeExpansion true",))
        else:
            message = f"a claim never shrinks, here {between(field.before, field.after)}: the API server refuses"
            yield found("claim-shrinks", after, message, field, ("leave the size as it is, or make a smaller claim of another name and copy the data",))


def _service(before: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    if "ExternalName" in (_type(before), _type(after)):
        return
    for field in fields:
        if _names(field) in (("spec", "clusterIP"), ("spec", "clusterIPs")) and field.after is MISSING:
            message = (
                f"the address of the Service stays {_text(field.before)}, though it says nothing of it any more: the API server keeps what it has once given"
            )
            yield found("cluster-ip-stays", after, message, field, sync("merge", _delete_service(after)))
        elif _is_fixed(before, after, field):
            message = f"a Service never changes {_shown(after.key.kind, [field])}: the API server refuses the whole object"
            yield found("immutable-service", after, message, field, _after_merge(_delete_service(after)))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _type(service: Resource) -> str:
    return str(mapping(service.data, "spec").get("type") or "ClusterIP")


def _is_fixed(before: Resource, after: Resource, field: Field) -> bool:
    name = _names(field)
    if name in (("spec", "clusterIP"), ("spec", "clusterIPs")):
        return True
    if name == ("spec", "ipFamilies"):
        # One side says nothing: then it is what the API server chose, which may well be the same.
        return isinstance(field.before, list) and isinstance(field.after, list) and field.before[:1] != field.after[:1]
    return name == ("spec", "loadBalancerClass") and _type(before) == _type(after) == "LoadBalancer"


def _delete_service(after: Resource) -> str:
    return kubectl(after, "delete", "service", after.key.name) + ": its address goes, and a load balancer's too; who uses it waits until the sync"


def _binding(_: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    reference = _below(fields, ("roleRef",))
    if reference:
        message = f"a {after.key.kind} never changes its Role, here {_shown(after.key.kind, reference)}: the API server refuses the whole object"
        plan = _after_merge(kubectl(after, "delete", after.key.kind.lower(), after.key.name) + ": until the sync its subjects have not these rights")
        yield found("immutable-role-ref", after, message, reference[0], plan)


def _data(before: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    """The values stay unsaid: they may be secret."""
    types = _below(fields, ("type",)) if after.key.kind == "Secret" else []
    frozen = _below(fields, ("data",), ("binaryData",), ("stringData",), ("immutable",)) if before.data.get("immutable") is True else []
    fixed = types + frozen
    if fixed:
        why = (
            f"a Secret never changes its type, here {_shown(after.key.kind, types)}"
            if types
            else f"it is immutable, and {listed(field.name for field in frozen)} changed"
        )
        plan = (
            "give it another name with every change, as configMapGenerator and secretGenerator do",
            *sync("or: " + kubectl(after, "delete", after.key.kind.lower(), after.key.name) + ": pods that start before the sync wait for it"),
        )
        yield found("immutable-data", after, f"{why}: the API server refuses the whole object", fixed[0], plan)


def _class(_: Resource, after: Resource, fields: Fields) -> Iterator[Finding]:
    fixed = _below(fields, *((field,) for field in _CLASSES[after.key.kind]))
    if fixed:
        message = f"a {after.key.kind} never changes {_shown(after.key.kind, fixed)}: the API server refuses the whole object"
        yield found("immutable-class", after, message, fixed[0], ("make one of another name, and let new objects name it",))


_OF_KIND: dict[str, Callable[[Resource, Resource, Fields], Iterator[Finding]]] = {
    "StatefulSet": _stateful_set,
    "Deployment": _deployment,
    "ReplicaSet": _deployment,
    "DaemonSet": _deployment,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Service": _service,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "ConfigMap": _data,
    "Secret": _data,
    **dict.fromkeys(_CLASSES, _class),
}
