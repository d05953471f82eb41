"""What a rendered EMQX cluster must consist of: a rendering that lost a part would sync as a deletion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from emqx_fn.graph import items, mapping, selects
from emqx_fn.problem import Problem
from emqx_gitops.resources import CLUSTER_LABEL, Resource

# kustomize appends ten characters of this alphabet to the name of what it generates.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABELLED = ("Namespace", "Service")  # kinds whose names are DNS labels, not subdomains
_GENERATED = re.compile(r".+-[2456789bcdfghkmt]{10}")


def check(resources: tuple[Resource, ...]) -> list[Problem]:
    """What is missing from a rendering."""
    workloads = [resource for resource in resources if resource.is_emqx]
    if not workloads:
        message = "expected a Deployment or StatefulSet that runs EMQX; the rendering has none"
        return [Problem("no-cluster", "", "", message, "put the cluster back, or validate only what renders one")]
    problems = [problem for workload in workloads for problem in _workload(workload, resources)]
    names = {(problem.path, problem.message): problem for resource in reversed(resources) for problem in _names(resource)}  # a namespace is said once
    return [*problems, *_orphans(workloads, resources), *_bindings(resources), *reversed(names.values())]


def _workload(workload: Resource, resources: tuple[Resource, ...]) -> Iterator[Problem]:
    if _is_ours(workload):
        yield from _parts(workload, resources)
    for kind, name, path in references(workload):
        if _GENERATED.fullmatch(name) and not _has(resources, kind, name, workload):
            message = f"expected {kind}/{name} in the rendering: its name ends in a generator's hash; it is not there"
            yield Problem("missing-object", workload.label, path, message, "keep the generator in the layer that names it")


def _is_ours(workload: Resource) -> bool:
    """Whether the workload is built on base/; somebody else's may have its ServiceAccount elsewhere, and need no headless Service."""
    return CLUSTER_LABEL in mapping(workload.data, "spec", "template", "metadata", "labels")


def _parts(workload: Resource, resources: tuple[Resource, ...]) -> Iterator[Problem]:
    if not any(_headless_of(workload, resource) for resource in resources):
        message = "expected a headless Service (clusterIP: None) that selects these pods; the rendering has none"
        yield Problem("missing-object", workload.label, "spec.template.metadata.labels", message, "put it back, or correct its selector")
    account = workload.pod_spec.get("serviceAccountName")
    if account and account != "default" and not _has(resources, "ServiceAccount", str(account), workload):
        message = f"expected ServiceAccount/{account} in the rendering; it is not there"
        yield Problem("missing-object", workload.label, "spec.template.spec.serviceAccountName", message, "add the ServiceAccount to the resources")


def _headless_of(workload: Resource, resource: Resource) -> bool:
    spec = mapping(resource.data, "spec")
    labels = mapping(workload.data, "spec", "template", "metadata", "labels")
    right = resource.key.kind == "Service" and resource.key.namespace == workload.key.namespace
    return right and spec.get("clusterIP") == "None" and selects(mapping(spec, "selector"), labels)


def _has(resources: tuple[Resource, ...], kind: str, name: str, beside: Resource) -> bool:
    wanted = (kind, beside.key.namespace, name)
    return any((resource.key.kind, resource.key.namespace, resource.key.name) == wanted for resource in resources)


def references(workload: Resource) -> Iterator[tuple[str, str, str]]:
    """Kind, name and field path of every ConfigMap and Secret that the pods read by name."""
    for container in workload.containers:
        path = f"spec.template.spec.containers[{container.get('name')}]"
        for source in items(container, "envFrom"):
            yield from _named(source, path + ".envFrom", (("ConfigMap", "configMapRef"), ("Secret", "secretRef")))
        for entry in items(container, "env"):
            source = mapping(entry, "valueFrom")
            yield from _named(source, f"{path}.env[{entry.get('name')}]", (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")))
    for volume in items(workload.pod_spec, "volumes"):
        path = f"spec.template.spec.volumes[{volume.get('name')}]"
        for source in [volume, *items(mapping(volume, "projected"), "sources")]:
            yield from _named(source, path, (("ConfigMap", "configMap"), ("Secret", "secret")))


def _named(source: dict[str, Any], path: str, fields: tuple[tuple[str, str], ...]) -> Iterator[tuple[str, str, str]]:
    for kind, field in fields:
        reference = mapping(source, field)
        name = reference.get("name") or reference.get("secretName")
        if name:
            yield kind, str(name), path


def _orphans(workloads: list[Resource], resources: tuple[Resource, ...]) -> Iterator[Problem]:
    """Objects of a cluster whose workload is gone."""
    alive = {(workload.key.namespace, mapping(workload.metadata, "labels").get(CLUSTER_LABEL)) for workload in workloads}
    seen: set[tuple[str, object]] = set()
    for resource in resources:
        cluster = mapping(resource.metadata, "labels").get(CLUSTER_LABEL)
        if cluster is None or (resource.key.namespace, cluster) in alive | seen:
            continue
        seen.add((resource.key.namespace, cluster))
        message = f"expected a workload labelled {CLUSTER_LABEL}: {cluster}; only other objects of that cluster are rendered"
        yield Problem(
            "missing-object", resource.label, f"metadata.labels[{CLUSTER_LABEL}]", message, "put the workload back, or remove what is left of its cluster"
        )


def _bindings(resources: tuple[Resource, ...]) -> Iterator[Problem]:
    """A RoleBinding of one of our ServiceAccounts to a Role that is not there gives no right at all."""
    for binding in resources:
        role = mapping(binding.data, "roleRef")
        accounts = [subject for subject in items(binding.data, "subjects") if subject.get("kind") == "ServiceAccount"]
        ours = any(_has(resources, "ServiceAccount", str(account.get("name")), binding) for account in accounts)
        if binding.key.kind == "RoleBinding" and ours and role.get("kind") == "Role" and not _has(resources, "Role", str(role.get("name")), binding):
            message = f"expected Role/{role.get('name')} in the rendering; it is not there"
            yield Problem("missing-object", binding.label, "roleRef.name", message, "add the Role, or remove the binding")


def _names(resource: Resource) -> Iterator[Problem]:
    """Names that no schema checks and every API server refuses. RBAC objects may have any."""
    namespace = resource.key.namespace
    if namespace and not _LABEL.fullmatch(namespace):
        message = f"expected a-z, 0-9 and -, at most 63; got {namespace!r}"
        yield Problem("invalid-name", resource.label, "metadata.namespace", message, "name another namespace")
    if str(resource.data.get("apiVersion")).startswith("rbac."):
        return
    form, words = (_LABEL, "a-z, 0-9 and -, at most 63") if resource.key.kind in _LABELLED else (_SUBDOMAIN, "a-z, 0-9, - and ., at most 253")
    if not form.fullmatch(resource.key.name):
        yield Problem("invalid-name", resource.label, "metadata.name", f"expected {words}; got {resource.key.name!r}", "choose such a name, prefix and suffix")
    for key, value in mapping(resource.metadata, "labels").items():
        if len(str(value)) > 63:
            message = f"expected at most 63 characters; got {len(str(value))}"
            yield Problem("invalid-name", resource.label, f"metadata.labels[{key}]", message, "shorten namePrefix, nameSuffix or the label")
