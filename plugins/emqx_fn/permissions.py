"""What a subject of the build may do: every rule that a RoleBinding or ClusterRoleBinding of the build gives it, itself or by a group."""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import PREVIOUS_NAMESPACES, Graph, Object
from emqx_fn.problem import Problem
from emqx_fn.rbac import GROUP, account_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


WELL_KNOWN = ("cluster-admin", "admin", "edit", "view")  # in every cluster; each may get Endpoints
_GROUPS = ("system:serviceaccounts", "system:authenticated")
_BINDINGS = ("RoleBinding", "ClusterRoleBinding")


class Grant(NamedTuple):
    """One rule that a subject gets. An empty `namespace` of a ClusterRoleBinding's means all of them; `rule` is None where the build does not tell."""

    binding: Object
    role: str  # Kind/name
    path: str  # of the rule in the Role; of the roleRef where the Role is not in the build
    rule: dict[str, Any] | None
    subject: str
    anywhere: bool
    served: bool  # whether binding and Role have an API version that is served

    @property
    def namespace(self) -> str:
        """Where it holds; empty for everywhere."""
        return "" if self.anywhere else self.binding.namespace

    @property
    def place(self) -> tuple[str, str]:
        """Object and path, for messages."""
        return (self.role, self.path) if self.path.startswith("rules") else (str(self.binding), self.path)

    def allows(self, verb: str, resource: str, names: tuple[str, ...], namespace: str) -> bool:
        """Whether it lets the subject do this to an object of the core group that has, or had, one of these names."""
        rule = self.rule
        here = self.anywhere or not namespace or not self.namespace or self.namespace == namespace
        if rule is None or not here or not self.served:
            return False
        named = _texts(rule, "resourceNames")
        return (
            _has(rule, "verbs", verb)
            and _has(rule, "resources", resource)
            and _has(rule, "apiGroups", "")
            and ("resourceNames" not in rule or not named or bool(set(named) & set(names)))
        )

    def mentions(self, resource: str) -> bool:
        """Whether the rule names the resource."""
        return resource in _texts(self.rule or {}, "resources")

    def text(self) -> str:
        """The rule in words: `get on endpoints emqx-headless`."""
        if self.rule is None:
            return f"what {self.role} says, which is not in the build"
        rule = self.rule
        if self.path == "roleRef":
            return f"all that {self.role} allows"
        urls, names = _texts(rule, "nonResourceURLs"), _texts(rule, "resourceNames")
        verbs = "everything" if "*" in _texts(rule, "verbs") else ", ".join(_texts(rule, "verbs")) or "nothing"
        groups = [group for group in _texts(rule, "apiGroups") if group not in ("", "*")]
        things = ", ".join("all resources" if item == "*" else item for item in _texts(rule, "resources")) or ", ".join(urls) or "nothing"
        return verbs + f" on {things}" + (f" of {', '.join(groups)}" if groups else "") + (f" named {', '.join(names)}" if names else "")

    def where(self) -> str:
        """Where it holds, in words."""
        return "in all namespaces" if self.anywhere else f"in namespace {self.namespace}" if self.namespace else "in its namespace"


def of(graph: Graph, workload: Object) -> list[Grant]:
    """All rules that the ServiceAccount of a workload's pods gets."""
    name, namespace = account_of(workload), workload.namespace
    account = graph.resolve("ServiceAccount", name, workload)
    names = account.names if account else (name,)
    earlier = account.annotation(PREVIOUS_NAMESPACES).split(",") if account else []
    found = []
    for kind in _BINDINGS:
        for binding in graph.objects(kind, [*names, *_GROUPS]):
            subject = next((item for item in g.items(binding.data, "subjects") if _means(item, names, namespace, earlier)), None)
            if subject is not None and (subject.get("kind") == "Group" or g.near(graph, binding, workload)):
                found += list(_grants(graph, binding, _label(subject, binding)))
    return found


def subjects(graph: Graph) -> dict[str, list[Grant]]:
    """Every subject of the build and what it gets: those that a binding names, and ServiceAccounts that none does."""
    found: dict[str, list[Grant]] = {}
    for kind in _BINDINGS:
        for binding in graph.objects(kind):
            for subject in g.items(binding.data, "subjects"):
                label = _label(subject, binding)
                found.setdefault(label, []).extend(_grants(graph, binding, label))
    for account in graph.objects("ServiceAccount"):
        found.setdefault(_label({"kind": "ServiceAccount", "name": account.name, "namespace": account.namespace}, account), [])
    return dict(sorted(found.items()))


def mounts_token(graph: Graph, workload: Object) -> bool:
    """Whether the pods hold a token of their ServiceAccount."""
    said = g.pod_spec(workload).get("automountServiceAccountToken")
    if said is None:
        account = graph.resolve("ServiceAccount", account_of(workload), workload)
        said = account.data.get("automountServiceAccountToken") if account else None
    return said is not False


def check(case: Case) -> list[Problem]:
    """Rules that give the pods' ServiceAccount more than the one request of discovery. Without a token in the pods nobody can use them."""
    if not mounts_token(case.graph, case.workload):
        return []
    asks, service = case.s.strategy == "k8s", case.s.service
    if asks and service is None:
        return []  # whom it asks is what is wrong, and said elsewhere
    # A Role for the Service that is named, and the wrong one: the wrong name is what is said.
    names = (*service.names, case.value("EMQX_CLUSTER__K8S__SERVICE_NAME")) if asks and service else ()
    who = "for the ServiceAccount of the EMQX pods"
    needed = f"get on endpoints named {names[0]} and no more {who}" if asks else f"no permission {who}, because discovery {case.s.strategy} asks no API server"
    return [
        Problem(
            "excess-permissions",
            *grant.place,
            f"expected {needed}; got {grant.text()}, {grant.where()}{_by_group(grant)}",
            f"{_less(grant, names)}, or waive excess-permissions with a reason",
        )
        for grant in of(case.graph, case.workload)
        if grant.rule is not None and _texts(grant.rule, "verbs") and not _is_needed(grant, names, case.workload.namespace)
    ]


def _less(grant: Grant, names: tuple[str, ...]) -> str:
    if names and grant.path != "roleRef" and not grant.anywhere and _texts(grant.rule or {}, "resources") == ["endpoints"]:
        return f"write {{apiGroups: [''], resources: [endpoints], resourceNames: [{names[0]}], verbs: [get]}}"
    return f"take the pods' ServiceAccount out of {grant.binding}" if grant.subject.startswith("ServiceAccount/") else f"narrow {grant.binding}"


def _by_group(grant: Grant) -> str:
    return f", by {grant.subject}" if grant.subject.startswith("Group/") else ""


def _is_needed(grant: Grant, names: tuple[str, ...], namespace: str) -> bool:
    rule = grant.rule or {}
    exact = [_texts(rule, key) for key in ("apiGroups", "resources", "verbs")] == [[""], ["endpoints"], ["get"]]
    here = not grant.anywhere and (grant.namespace == namespace or not (grant.namespace and namespace))
    return here and exact and bool(_texts(rule, "resourceNames")) and set(_texts(rule, "resourceNames")) <= set(names)


def _means(subject: dict[str, Any], names: tuple[str, ...], namespace: str, earlier: list[str]) -> bool:
    """Whether a subject is this ServiceAccount, or a group it is in."""
    kind, name, said = subject.get("kind"), subject.get("name"), subject.get("namespace")
    if kind == "ServiceAccount":
        return name in names and (not said or not namespace or said == namespace or said in earlier)
    if kind == "Group":
        return name in _GROUPS or (bool(namespace) and name == f"{_GROUPS[0]}:{namespace}")
    return kind == "User" and name in [f"system:serviceaccount:{namespace}:{item}" for item in names]


def _label(subject: dict[str, Any], referrer: Object) -> str:
    kind, name = subject.get("kind"), subject.get("name")
    namespace = (subject.get("namespace") or referrer.namespace) if kind == "ServiceAccount" else ""
    return f"{kind}/{name}" + (f" in namespace {namespace}" if namespace else "")


# What the well-known ClusterRoles say, no more exactly than a message needs.
_EVERYTHING: dict[str, Any] = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_RULES = {
    "cluster-admin": _EVERYTHING,
    "admin": _EVERYTHING,
    "edit": _EVERYTHING,
    "view": {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
}


def _grants(graph: Graph, binding: Object, subject: str) -> Iterator[Grant]:
    reference = g.mapping(binding.data, "roleRef")
    kind, name = g.text(reference, "kind"), g.text(reference, "name")
    anywhere = binding.kind == "ClusterRoleBinding"
    served = g.text(binding.data, "apiVersion") == f"{GROUP}/v1" and (reference.get("apiGroup") or GROUP) == GROUP
    role = graph.resolve(kind, name, binding) if kind in ("Role", "ClusterRole") and not (anywhere and kind == "Role") else None
    if role is None or "aggregationRule" in role.data:
        rule = _RULES.get(name) if kind == "ClusterRole" and role is None else None
        yield Grant(binding, f"{kind}/{name}", "roleRef", rule, subject, anywhere, served)
        return
    served = served and g.text(role.data, "apiVersion") == f"{GROUP}/v1"
    for index, rule in enumerate(g.items(role.data, "rules")):
        yield Grant(binding, str(role), f"rules[{index}]", rule, subject, anywhere, served)


def _texts(rule: dict[str, Any], key: str) -> list[str]:
    found = rule.get(key)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _has(rule: dict[str, Any], key: str, wanted: str) -> bool:
    return bool({"*", wanted} & set(_texts(rule, key)))
