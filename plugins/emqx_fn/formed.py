"""Settings -> the Job of base/cluster-formed, which asks the members whether they found each other.

Its Service selects the pods of the newest template by a fingerprint: while a roll goes on, the old members may well be a cluster.
"""

from __future__ import annotations

import json
import re

from emqx_fn import graph as g
from emqx_fn import plan
from emqx_fn.environment import DISCOVERY_ANNOTATION
from emqx_fn.graph import CHECK, CLUSTER_LABEL, NAME_LABEL, TEMPLATE_LABEL, Graph, Object
from emqx_fn.inject import PLACEHOLDER, Injector
from emqx_fn.problem import Problem
from emqx_fn.record import get, put
from emqx_fn.spec import SecretKey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from emqx_fn.record import Path


HASH_SUFFIX = "internal.config.kubernetes.io/needsHashSuffix"  # kustomize appends a hash of the content to the name
_HASHED_NAME = re.compile(r".+-[2456789bcdfghkmt]{10}")  # the alphabet of that hash
_HOOK = "argocd.argoproj.io/hook"
_POD: Path = ("spec", "template", "spec")
_ACCOUNT: Path = (*_POD, "serviceAccountName")
_LABEL: Path = ("spec", "template", "metadata", "labels", TEMPLATE_LABEL)
# A roll goes member by member, each with 150 s to stop and ten minutes to start; see the probes in `plan`.
_SECONDS, _SECONDS_A_MEMBER = 600, 900


class Formed:
    """Fills in the Job of one cluster, where the build has one. Problems are collected in `problems`."""

    def __init__(self, injector: Injector) -> None:
        self.injector, self.graph, self.workload = injector, injector.graph, injector.workload
        self.s, self.record = injector.s, injector.record
        self.job = g.check_of(self.graph, self.workload)
        self.problems: list[Problem] = []

    def bad(self, object: str, path: str, message: str, fix: str) -> None:
        self.problems.append(Problem("cluster-formed", object, path, message, fix))

    def fill(self, policies: list[Object]) -> None:
        """Everything but the fingerprint. `policies`: the NetworkPolicies of the cluster."""
        if self.job is None:
            return
        self.namespace()
        self.account(self.job)
        self.pod(self.job)
        self.name(self.job)
        for policy in policies:
            self.admit(policy)

    def namespace(self) -> None:
        """A layer that says no namespace leaves the component outside that of the cluster."""
        for kind in ("Job", "Service", "ServiceAccount"):
            found = g.part_of_check(self.graph, self.workload, kind)
            if found and self.workload.namespace and not found.namespace:
                put(found, ("metadata", "namespace"), self.workload.namespace)

    def account(self, job: Object) -> None:
        """The ServiceAccount of the component, unless a person chose another."""
        if not g.text(g.pod_spec(job), "serviceAccountName").startswith(PLACEHOLDER):
            return
        account = g.part_of_check(self.graph, self.workload, "ServiceAccount")
        if account is None:
            self.bad(str(job), "spec.template.spec.serviceAccountName", "expected ServiceAccount/emqx-cluster-formed in the build; there is none", _WHOLE)
        else:
            put(job, _ACCOUNT, account.name)

    def pod(self, job: Object) -> None:
        """What the Job takes over from the members, and what it must know of them."""
        containers = g.items(g.pod_spec(job), "containers")
        if not containers:
            self.bad(str(job), "spec.template.spec.containers", "expected the container that asks the members; there is none", _WHOLE)
            return
        container: Path = (*_POD, "containers", ("name", containers[0].get("name")))
        for field in ("image", "imagePullPolicy"):
            self.follow(job, (*container, field), self.injector.container.get(field))
        self.follow(job, (*_POD, "imagePullSecrets"), g.pod_spec(self.workload).get("imagePullSecrets"))
        self.record.write(job, ("spec", "activeDeadlineSeconds"), _SECONDS + _SECONDS_A_MEMBER * self.s.replicas)
        status = plan.status_port(self.s)
        for name, value in (("MEMBERS", self.s.replicas), ("PORT", status.number), ("API_PATH", self.s.family.nodes_path)):
            _put(job, (*container, "env", ("name", name)), {"name": name, "value": str(value)})
        for entry in self.credentials(job):
            self.record.write(job, (*container, "env", ("name", entry["name"])), entry)

    def follow(self, job: Object, path: Path, value: Any) -> None:
        """Write the members' own value. A layer may have changed both alike: then the Job's is still not a choice of its own."""
        if value is None:
            return
        if get(job.data, path) == value:
            self.record.note(job, path, value)
        else:
            self.record.write(job, path, value)

    def credentials(self, job: Object) -> list[dict[str, Any]]:
        """The key from the file that the members read, or the user that older releases make at their first start."""
        s = self.s
        if s.api_key and s.family.api_key_file:
            return [_secret("API_KEY", s.api_key)]
        user, variable = s.family.api_user, s.family.api_secret or s.family.dashboard_password
        chosen = self.injector.variable(user)
        password = self.injector.variable(variable)
        reference = s.password if password is None else _reference(password.source)
        if reference is None or (chosen is not None and chosen.value is None):
            message = f"expected {variable} from a Secret, and {user} as text: the check asks the members with them; got something else"
            self.bad(
                str(job), "spec.template.spec.containers", message, "take the password from a Secret by secretKeyRef, or remove both: the plugin sets them"
            )
            return []
        return [{"name": "API_USER", "value": chosen.value if chosen else "admin"}, _secret("API_PASSWORD", reference)]

    def name(self, job: Object) -> None:
        """A Job cannot be changed, so each has a name of its own; but for Argo CD's hooks, which replace the one of their name."""
        annotations = g.mapping(job.data, "metadata", "annotations")
        wanted = _HOOK not in annotations
        if self.graph.final or wanted == (HASH_SUFFIX in annotations):
            return
        if wanted:
            put(job, ("metadata", "annotations", HASH_SUFFIX), "enabled")
        else:
            del annotations[HASH_SUFFIX]
            job.document.changed = True

    def admit(self, policy: Object) -> None:
        """The Job may reach the HTTP API, and nothing else."""
        ports = [{"port": self.injector.port_name(plan.status_port(self.s))}]
        for rule in g.items(policy.data, "spec", "ingress"):
            froms = [g.mapping(item, "podSelector", "matchLabels") for item in g.items(rule, "from")]
            if any(labels.get(NAME_LABEL) == CHECK for labels in froms) and rule.get("ports") != ports:
                rule["ports"] = ports
                policy.document.changed = True

    def stamp(self) -> None:
        """Put the fingerprint where it is read. Nothing may change the pod template any more."""
        if self.job is None:
            return
        service = g.part_of_check(self.graph, self.workload, "Service")
        if service is None:
            self.bad(str(self.job), "", "expected Service/emqx-cluster-formed in the build, which tells the members' addresses; there is none", _WHOLE)
            return
        value = fingerprint(self.graph, self.workload)
        _put(self.workload, _LABEL, value)
        self.record.note(self.workload, _LABEL, value)
        _put(service, ("spec", "selector", TEMPLATE_LABEL), value)
        _put(self.job, ("spec", "template", "metadata", "annotations", TEMPLATE_LABEL), value)


_WHOLE = "list base/cluster-formed under components, and delete no part of it"


def left_over(graph: Graph) -> list[Problem]:
    """Jobs of the component that belong to no workload, or to one of two that cannot be told apart."""
    message = f"expected one workload of base/ in the build whose pods carry the label {CLUSTER_LABEL} of this Job; got none, or several"
    fix = "list the component in the folder of the cluster, and transformers: [../../plugins/inject] beside it"
    jobs = [job for job in graph.objects("Job", [CHECK]) if g.mapping(job.data, "metadata", "labels").get(NAME_LABEL) == CHECK]
    owned = [g.check_of(graph, workload) for workload in g.candidates(graph)] if jobs else []
    return [Problem("cluster-formed", str(job), f"metadata.labels[{CLUSTER_LABEL}]", message, fix) for job in jobs if job not in owned]


def _put(target: Object, path: Path, value: Any) -> None:
    if get(target.data, path) != value:
        put(target, path, value)


def _secret(name: str, key: SecretKey) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": key.name, "key": key.key}}}


def _reference(source: dict[str, Any]) -> SecretKey | None:
    reference = g.mapping(source, "secretKeyRef")
    return SecretKey(g.text(reference, "name"), g.text(reference, "key")) if reference else None


# -- the fingerprint

# Where a pod template names another object: field with the reference, kind.
_REFERENCES = {
    **dict.fromkeys(("configMapRef", "configMapKeyRef", "configMap"), "ConfigMap"),
    **dict.fromkeys(("secretRef", "secretKeyRef", "secret"), "Secret"),
    "persistentVolumeClaim": "PersistentVolumeClaim",
}
_NAME_FIELDS = ("name", "secretName", "claimName")
# Names that kustomize may still change at the end of the build; they say nothing about what the pods do.
_NAMES = (CLUSTER_LABEL, TEMPLATE_LABEL, DISCOVERY_ANNOTATION, "serviceAccountName")
_LETTERS = str.maketrans("0123456789abcdef", "bcdfghjklmnpqrst")  # no number to any YAML reader, and no word


def fingerprint(graph: Graph, workload: Object) -> str:
    """Ten letters that change exactly when the pods do: by their template, and by the content of what is named by its content.

    The same in every layer and in the final rendering, where kustomize has given all objects their last names.
    """
    import hashlib  # only where a build has the check

    text = json.dumps(_nameless(graph, workload, g.mapping(workload.data, "spec", "template")), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(_LETTERS)


def _nameless(graph: Graph, workload: Object, data: Any) -> Any:
    if isinstance(data, list):
        return [_nameless(graph, workload, item) for item in data]
    if not isinstance(data, dict):
        return data
    result = {}
    for key, value in data.items():
        if key in _REFERENCES and isinstance(value, dict):
            result[key] = _meaning(graph, workload, _REFERENCES[key], value)
        elif key not in _NAMES:
            result[key] = _nameless(graph, workload, value)
    return result


def _meaning(graph: Graph, workload: Object, kind: str, reference: dict[str, Any]) -> dict[str, Any]:
    """A reference with what it refers to in place of the name, where that is in the build."""
    field = next((field for field in _NAME_FIELDS if field in reference), "")
    found = graph.resolve(kind, g.text(reference, field), workload) if field else None
    if found is None:
        return reference
    content = {part: found.data.get(part) for part in ("data", "binaryData", "stringData")} if _is_named_by_content(found) else {}
    return {**reference, field: content}


def _is_named_by_content(found: Object) -> bool:
    return found.annotation(HASH_SUFFIX) == "enabled" or _HASHED_NAME.fullmatch(found.name) is not None
