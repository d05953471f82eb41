"""The ServiceAccount of the pods, and the one permission that k8s discovery needs: `get` on one Endpoints object.

ekka makes exactly one call, GET /api/v1/namespaces/NAMESPACE/endpoints/SERVICE, in every EMQX release.
"""

from __future__ import annotations

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import CLUSTER_LABEL, PREFIXES, PREVIOUS_KINDS, PREVIOUS_NAMES, PREVIOUS_NAMESPACES, SUFFIXES, Graph, Object
from emqx_fn.inject import PLACEHOLDER
from emqx_fn.problem import Problem
from emqx_fn.record import MISSING, Record, get, put
from emqx_fn.settings import Settings
from emqx_fn.wire import new_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from emqx_fn.record import Path


GROUP = "rbac.authorization.k8s.io"
# Annotations that mean the workload itself: how to sync and prune it, and what wrote it.
_NOT_CARRIED = ("kubernetes.io/", "k8s.io/", "emqx-gitops.dev/", "argoproj.io/", "toolkit.fluxcd.io/")
_ACCOUNT: Path = ("spec", "template", "spec", "serviceAccountName")


class Access:
    """Gives one workload its ServiceAccount and that account what discovery needs."""

    def __init__(self, graph: Graph, workload: Object, s: Settings, record: Record) -> None:
        self.graph, self.workload, self.s, self.record = graph, workload, s, record
        self.problems: list[Problem] = []

    def bad(self, rule: str, object: str, path: str, message: str, fix: str) -> None:
        self.problems.append(Problem(rule, object, path, message, fix))

    def grant(self) -> None:
        """Write ServiceAccount, Role and RoleBinding; take away what an earlier layer needed and this one does not."""
        account = self.account()
        names = account.names if account else (account_of(self.workload),)
        bindings = bindings_of(self.graph, self.workload, names)
        roles = [role for binding in bindings for role in [role_of(self.graph, binding)] if role is not None]
        if self.s.strategy != "k8s" or self.s.service is None:
            self.revoke(roles, bindings)
            return
        if not (account or self.workload).namespace and not bindings:
            message = "expected a namespace: the RoleBinding's subject needs it, and the API server refuses one without"
            self.bad("namespace-unknown", str(self.workload), "metadata.namespace", message, "set `namespace:` in the kustomization")
            return
        self.renamed_by_kustomize(self.s.service)
        self.allow(self.s.service, roles, bindings, account, names)

    def renamed_by_kustomize(self, service: Object) -> None:
        """base/ makes resourceNames follow the Service's name; kustomize cannot know that a stranger's Role means another object."""
        if CLUSTER_LABEL not in g.pod_labels(self.workload):
            return
        for role in self.graph.objects("Role", service.names):
            if role.namespace != self.workload.namespace:
                continue
            for index, rule in enumerate(g.items(role.data, "rules")):
                resources = [item for item in rule.get("resources") or [] if item not in ("endpoints", "services")]
                if resources and set(service.names) & set(rule.get("resourceNames") or []):
                    message = f"expected no {', '.join(resources)} named as {service}: kustomize would rename the entry with the Service"
                    path = f"rules[{index}].resourceNames"
                    self.bad("renamed-by-kustomize", str(role), path, message, "give that object another name, or leave resourceNames out")

    # -- ServiceAccount

    def account(self) -> Object | None:
        """The pods' ServiceAccount: the one named by hand, else the workload's namesake, else a new one."""
        present = g.text(g.pod_spec(self.workload), "serviceAccountName")
        mine = present.startswith(PLACEHOLDER) or not present or self.record.last(self.workload, _ACCOUNT) == present
        if not mine:
            return self.graph.resolve("ServiceAccount", present, self.workload)
        found = next((item for item in self.graph.objects("ServiceAccount", self.workload.names) if self.is_namesake(item)), None)
        found = found or self.add("v1", "ServiceAccount", {"automountServiceAccountToken": False})
        if present.startswith(PLACEHOLDER):
            put(self.workload, _ACCOUNT, found.name)
        value = present if present in found.names else found.name
        self.record.write(self.workload, _ACCOUNT, value)
        return found

    def is_namesake(self, found: Object) -> bool:
        related = bool(set(found.names) & set(self.workload.names)) and g.together(found, self.workload)
        return related and (found.name == self.workload.name or found.same_layers(self.workload))

    def add(self, api_version: str, kind: str, fields: dict[str, Any]) -> Object:
        """A new object, named and labelled as the workload, so that layers above rename both alike."""
        metadata: dict[str, Any] = {"name": self.workload.name}
        if self.workload.namespace:
            metadata["namespace"] = self.workload.namespace
        labels = g.mapping(self.workload.data, "metadata", "labels")
        if labels:
            metadata["labels"] = dict(labels)
        annotations = self.annotations(kind)
        if annotations:
            metadata["annotations"] = annotations
        found = self.graph.add(new_document({"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}))
        if kind != "ServiceAccount":  # that one stays, whatever discovery becomes
            self.record.note(found, ("added",), True)
        return found

    def annotations(self, kind: str) -> dict[str, Any]:
        """The workload's annotations, and what kustomize knows of its earlier names: its layers are the new object's layers."""
        carried = {}
        for key, value in g.mapping(self.workload.data, "metadata", "annotations").items():
            foreign = not any(owner in key for owner in _NOT_CARRIED)
            if foreign or key in (PREVIOUS_NAMES, PREVIOUS_NAMESPACES, PREFIXES, SUFFIXES):
                carried[key] = value
            if key == PREVIOUS_KINDS:
                carried[key] = ",".join(kind for _ in str(value).split(","))
        return carried

    # -- Role and RoleBinding

    def rule(self, name: str) -> dict[str, Any]:
        return {"apiGroups": [""], "resources": ["endpoints"], "resourceNames": [name], "verbs": ["get"]}

    def allow(self, service: Object, roles: list[Object], bindings: list[Object], account: Object | None, names: tuple[str, ...]) -> None:
        """Use the Role that is there, or add one."""
        if not any(self.narrow(role, service, names) for role in roles):
            self.own(service, account, names)
        for binding in bindings:
            self.subject(binding, account, names)

    def narrow(self, role: Object, service: Object, names: tuple[str, ...]) -> bool:
        """Find the rule for endpoints and leave of it what discovery uses. False where the Role has none, or is somebody else's too."""
        if self.is_shared(role, names):
            return False
        rules = g.items(role.data, "rules")
        for index, rule in enumerate(rules):
            if rule.get("resources") != ["endpoints"] or "" not in (rule.get("apiGroups") or []):
                continue
            named = rule.get("resourceNames") or []
            wanted = self.rule(named[0] if len(named) == 1 and named[0] in service.names else service.name)
            if rule != wanted:
                rules[index] = wanted
                put(role, ("rules",), rules)
            if self.record.last(role, ("rule",)) is not MISSING or self.record.last(role, ("added",)) is not MISSING:
                self.remember(role, wanted)
            return True
        return False

    def is_shared(self, role: Object, names: tuple[str, ...]) -> bool:
        """Whether others hold the Role: what they need of it is not known here."""
        bindings = [found for found in self.graph.objects("RoleBinding", role.names) if role_of(self.graph, found) is role]
        return any(subject.get("name") not in names for binding in bindings for subject in g.items(binding.data, "subjects"))

    def remember(self, role: Object, rule: dict[str, Any]) -> None:
        self.record.note(role, ("rule",), rule)
        if self.record.last(role, ("added",)) is True:
            self.record.note(role, ("added",), True)

    def own(self, service: Object, account: Object | None, names: tuple[str, ...]) -> None:
        """A Role and a RoleBinding of the workload's name."""
        name = self.workload.name
        same_name = [found for kind in ("Role", "RoleBinding") for found in self.graph.objects(kind, [name]) if found.name == name]
        taken = [found for found in same_name if g.together(found, self.workload)]
        if taken and all(self.record.last(found, ("added",)) is True for found in taken):
            self.rebind(taken, service, account, names)
            return
        if taken:
            message = f"expected the name {name} to be free for discovery's own permission; {taken[0]} is another's"
            fix = f"rename it, or bind it to the ServiceAccount {names[0]} if it is meant for EMQX"
            self.bad("name-taken", str(taken[0]), "metadata.name", message, fix)
            return
        role = self.add(f"{GROUP}/v1", "Role", {"rules": [self.rule(service.name)]})
        self.record.note(role, ("rule",), self.rule(service.name))
        reference = {"apiGroup": GROUP, "kind": "Role", "name": role.name}
        self.add(f"{GROUP}/v1", "RoleBinding", {"roleRef": reference, "subjects": [self.new_subject(account, names)]})

    def new_subject(self, account: Object | None, names: tuple[str, ...]) -> dict[str, Any]:
        if namespace := self.subject_namespace(account):
            return {"kind": "ServiceAccount", "name": names[0], "namespace": namespace}
        # kustomize completes a subject that has an earlier name; the name that this layer gives is none yet.
        earlier = account.annotation(PREVIOUS_NAMES).split(",") if account else names
        return {"kind": "ServiceAccount", "name": earlier[-1]}

    def rebind(self, own: list[Object], service: Object, account: Object | None, names: tuple[str, ...]) -> None:
        """A layer changed the ServiceAccount of the pods, or the rules of the function's own Role: what is missing in it comes back."""
        for found in own:
            self.record.note(found, ("added",), True)
            if found.kind == "Role":
                last, rules = self.record.last(found, ("rule",)), g.items(found.data, "rules")
                put(found, ("rules",), [*(rule for rule in rules if rule != last), self.rule(service.name)])
                self.record.note(found, ("rule",), self.rule(service.name))
            else:
                kept = [subject for subject in g.items(found.data, "subjects") if subject.get("name") not in self.workload.names]
                put(found, ("subjects",), [*kept, self.new_subject(account, names)])

    def subject(self, binding: Object, account: Object | None, names: tuple[str, ...]) -> None:
        """Let the subject's namespace be the ServiceAccount's."""
        if self.record.last(binding, ("added",)) is True:
            self.record.note(binding, ("added",), True)
        for subject in g.items(binding.data, "subjects"):
            if subject.get("name") not in names:
                continue
            wanted = self.subject_namespace(account)
            present = subject.get("namespace")
            if not present and account is None and not self.workload.namespace:
                path = f"subjects[{subject.get('name')}].namespace"
                message = "expected a namespace: the API server refuses a subject without one"
                self.bad("namespace-unknown", str(binding), path, message, "set `namespace:` in the kustomization")
            elif present and binding.namespace != self.workload.namespace:
                continue  # who says the namespace of the binding means that of the subject too
            elif present != (account or self.workload).namespace and subject.get("namespace", "") != wanted:
                subject["namespace"] = wanted
                if not wanted:
                    del subject["namespace"]
                binding.document.changed = True

    def subject_namespace(self, account: Object | None) -> str:
        """Empty where kustomize writes it at the end of the build; a namespace of a layer in between it would not recognise."""
        if account is not None and account.annotation(PREVIOUS_NAMES):
            return ""
        return (account or self.workload).namespace

    def revoke(self, roles: list[Object], bindings: list[Object]) -> None:
        """Without k8s discovery nothing is needed: what the function added goes again."""
        for role in roles:
            last = self.record.last(role, ("rule",))
            rules = g.items(role.data, "rules")
            if last in rules:
                kept = [rule for rule in rules if rule != last]
                put(role, ("rules",), kept)
                if not kept and self.record.last(role, ("added",)) is True:
                    self.graph.remove(role)
                    for binding in bindings:
                        if self.record.last(binding, ("added",)) is True:
                            self.graph.remove(binding)


def check(case: Case) -> list[Problem]:
    """RoleBindings and Roles of the pods' ServiceAccount that no API server takes."""
    name = account_of(case.workload)
    account = case.graph.resolve("ServiceAccount", name, case.workload)
    problems: list[Problem] = []
    names = account.names if account else (name,)
    bindings = bindings_of(case.graph, case.workload, names) + bindings_of(case.graph, case.workload, names, "ClusterRoleBinding")
    for binding in bindings:
        problems += _api_version(binding)
        if account is None and not case.s.rendered:
            problems += _without_namespace(binding, name)
    roles = [role_of(case.graph, binding, kind) for binding in bindings for kind in ("Role", "ClusterRole")]
    return problems + [problem for role in roles if role is not None for problem in _api_version(role)]


def _api_version(found: Object) -> list[Problem]:
    problems = []
    version = g.text(found.data, "apiVersion")
    if version != f"{GROUP}/v1":
        message = f"expected {GROUP}/v1; got {version!r}, which no supported API server has"
        problems.append(Problem("api-version", str(found), "apiVersion", message, f"write apiVersion: {GROUP}/v1"))
    group = g.mapping(found.data, "roleRef").get("apiGroup") or GROUP
    if group != GROUP:
        message = f"expected {GROUP}; got {group!r}"
        problems.append(Problem("api-version", str(found), "roleRef.apiGroup", message, f"write apiGroup: {GROUP}"))
    return problems


def _without_namespace(binding: Object, name: str) -> list[Problem]:
    message = "expected a namespace: the API server refuses a subject without one"
    return [
        Problem("namespace-unknown", str(binding), f"subjects[{name}].namespace", message, "write the namespace of the pods here")
        for subject in g.items(binding.data, "subjects")
        if subject.get("kind") == "ServiceAccount" and subject.get("name") == name and not subject.get("namespace")
    ]


def bindings_of(graph: Graph, workload: Object, names: tuple[str, ...], kind: str = "RoleBinding") -> list[Object]:
    """The bindings of a workload's ServiceAccount, which has or had these names."""
    return [found for found in graph.objects(kind, names) if _binds(graph, found, workload, names)]


def _binds(graph: Graph, binding: Object, workload: Object, names: tuple[str, ...]) -> bool:
    subjects = [item for item in g.items(binding.data, "subjects") if item.get("kind") == "ServiceAccount" and item.get("name") in names]
    return bool(subjects) and g.together(binding, workload) and g.near(graph, binding, workload)


def role_of(graph: Graph, binding: Object, kind: str = "Role") -> Object | None:
    """The Role that a binding gives; None for one of another kind, and for one that is not in the build."""
    reference = g.mapping(binding.data, "roleRef")
    return graph.resolve(kind, g.text(reference, "name"), binding) if reference.get("kind") == kind else None


def account_of(workload: Object) -> str:
    """Name of the ServiceAccount that the pods run as."""
    found = get(workload.data, _ACCOUNT)
    return found if isinstance(found, str) and found else "default"
