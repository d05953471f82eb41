"""Rules about the members together: how many there are, what they share, and who may stop them."""

from __future__ import annotations

import re

from emqx_fn import environment
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.environment import Variable, is_replicant
from emqx_fn.graph import Object
from emqx_fn.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_COOKIES = ("EMQX_NODE_COOKIE", "EMQX_NODE__COOKIE")  # the first one wins
_WELL_KNOWN_COOKIES = ("emqxsecretcookie", "emqx50elixir")
# One that differs from the settings is a contradiction already.
_SETS_DOMAIN = ("EMQX_CLUSTER__K8S__SUFFIX", "EMQX_CLUSTER__DNS__NAME", "EMQX_HOST", "EMQX_NODE_NAME", "EMQX_NODE__NAME")
_DATABASE = "EMQX_DURABLE_STORAGE__"
_HASHED = 52  # the pods' label controller-revision-hash is the StatefulSet's name and 11 characters more
_LABEL = 63
_NODE_NAME = 255  # an Erlang atom


def check(case: Case) -> list[Problem]:
    """What is wrong with the members of one cluster."""
    found: list[Problem] = []
    for rule in (replicants, cookie, durable_storage, disruption_budget, autoscaled_members, cluster_domain, name_length):
        found += rule(case)
    return found


# -- roles


def replicants(case: Case) -> list[Problem]:
    """Replicants that the edition refuses, or that hang on a single core."""
    role = environment.role(case.env)
    if case.s.version.major < 5 or role is None or not is_replicant(case.env):
        return []
    if case.s.edition == "community" and case.s.version >= (5, 8, 0):
        message = f"expected core: the community edition of EMQX {case.s.version} stops at any other role; got replicant"
        return [Problem("replicants", role.object, role.path, message, "remove it, or use the image emqx/emqx-enterprise")]
    cores = [workload for workload, _, env in others(case) if not is_replicant(env)]
    members = sum(g.replicas(workload) for workload in cores)
    if not cores:
        return without_cores(case)
    if members > 1 or any(_autoscalers(case, core) for core in cores):
        return []
    message = f"expected at least 2 cores, because the replicants of {case.workload} stand still while a single one restarts; got {members}"
    return [Problem("replicants", str(cores[0]), "spec.replicas", message, "set replicas: 3")]


def without_cores(case: Case) -> list[Problem]:
    """Replicants that ask a Service of the build for cores, and it knows nobody but themselves."""
    role, service = environment.role(case.env), case.s.service
    if role is None or service is None or service not in g.services_of(case.graph, case.workload) or others(case):
        return []
    message = f"expected core members behind {service}, which the replicants ask for them; it selects these replicants, and the build has no cores; got 0"
    return [Problem("replicants", role.object, role.path, message, "remove it, or add the cores: a StatefulSet of 3 with the same cookie and EMQX_NAME")]


def others(case: Case) -> list[tuple[Object, dict[str, Any], dict[str, Variable]]]:
    """The other workloads of the namespace that run EMQX, their containers, and what those see."""
    found = []
    for workload in g.candidates(case.graph):
        container = g.emqx_containers(workload)[0]
        if workload is not case.workload and workload.namespace == case.workload.namespace and g.text(container, "name"):
            found.append((workload, container, environment.final(case.graph, workload, container, "")))
    return found


# -- the cookie


def cookie(case: Case) -> list[Problem]:
    """Members without a cookie of their own take the one that everybody knows; those with another one stay alone."""
    given = next((case.env[name] for name in _COOKIES if name in case.env), None)
    if given is None:
        return _no_cookie(case)
    if (given.value or "").strip('"') in _WELL_KNOWN_COOKIES:
        message = "expected a cookie of your own: whoever knows it runs code in every member; got the one that EMQX ships with"
        fix = "put 32 random letters and digits into a Secret, and refer to it by valueFrom.secretKeyRef"
        return [Problem("cookie", given.object, given.path, message, fix)]
    return _other_cookie(case, given) if is_replicant(case.env) else []


def _no_cookie(case: Case) -> list[Problem]:
    if case.s.replicas < 2 or _may_come_from_elsewhere(case):
        return []
    message = f"expected {_COOKIES[1]}, the same for {case.s.replicas} members: without it they take the one that EMQX ships with; got nothing"
    fix = "refer to a Secret of 32 random letters and digits by valueFrom.secretKeyRef"
    return [Problem("cookie", str(case.workload), case.container_path("env"), message, fix)]


def _may_come_from_elsewhere(case: Case) -> bool:
    """Whether a file, a script or an object outside the build could hold the cookie."""
    etc = any(g.text(mount, "mountPath").startswith("/opt/emqx/etc") for mount in g.items(case.container, "volumeMounts"))
    return etc or "EMQX_ETC_DIR" in case.env or bool(environment.hidden(case.graph, case.workload, case.container))


def _other_cookie(case: Case, given: Variable) -> list[Problem]:
    mine = _secret_of(given)
    theirs = {}
    for workload, _, env in others(case):
        variable = next((env[name] for name in _COOKIES if name in env), None)
        if variable and not is_replicant(env):
            theirs[_secret_of(variable)] = workload
    if not mine or not theirs or mine in theirs or "" in theirs:
        return []
    name, core = next(iter(theirs.items()))
    message = f"expected the Secret {name!r}, as {core} has it: with another cookie no replicant joins its cores; got {mine!r}"
    return [Problem("cookie", given.object, given.path, message, f"take both from one Secret: name: {name}")]


def _secret_of(variable: Variable) -> str:
    """The Secret that a variable comes from, or an empty string."""
    kind, _, name = variable.object.partition("/")
    return g.text(variable.source, "secretKeyRef", "name") or (name if kind == "Secret" else "")


# -- storage


def durable_storage(case: Case) -> list[Problem]:
    """A storage that knows one member only, in a cluster of several."""
    if case.s.version < (5, 8, 0):
        return []
    local = [variable for name, variable in case.env.items() if name.startswith(_DATABASE) and name.endswith("__BACKEND") and variable.value == "builtin_local"]
    sessions = case.env.get("EMQX_DURABLE_SESSIONS__ENABLE")
    enabled = sessions if sessions and sessions.value == "true" else None
    community = case.s.edition == "community"
    fix = "set it to builtin_raft" + (", with the image emqx/emqx-enterprise" if community else "")
    if enabled and (community or any(variable.name == f"{_DATABASE}MESSAGES__BACKEND" for variable in local)):
        message = f"expected the backend builtin_raft: EMQX {case.s.version} starts durable sessions on builtin_local only with the strategy singleton"
        fix = "use the image emqx/emqx-enterprise, or remove this variable" if community else f"set {_DATABASE}MESSAGES__BACKEND: builtin_raft"
        return [Problem("durable-storage", enabled.object, enabled.path, f"{message}; got {case.s.strategy}", fix)]
    if community or case.s.replicas < 2:
        return []
    message = f"expected builtin_raft: each of {case.s.replicas} members would keep messages of its own that no other sees; got builtin_local"
    return [Problem("durable-storage", variable.object, variable.path, message, fix) for variable in local]


# -- who may stop a member


def disruption_budget(case: Case) -> list[Problem]:
    """Budgets that stop every drain of a node, or let it take the majority."""
    budgets = _budgets(case)
    found = []
    for second in budgets[1:]:
        message = f"expected one budget for these pods; {budgets[0]} selects them too, and the API server evicts no pod that has two"
        found.append(Problem("disruption-budget", str(second), "spec.selector", message, f"remove one of the two, or give {second} another selector"))
    if not _autoscalers(case, case.workload):
        found += [problem for budget in budgets for problem in _allowed(case, budget)]
    return found


def _budgets(case: Case) -> list[Object]:
    labels = g.pod_labels(case.workload)
    words = [*(str(value) for value in labels.values()), "selector: {}"]
    return [
        budget
        for budget in case.graph.objects("PodDisruptionBudget", words)
        if budget.namespace == case.workload.namespace and _covers(budget, labels) and g.near(case.graph, budget, case.workload)
    ]


def _covers(budget: Object, labels: dict[str, Any]) -> bool:
    """Whether the budget is for these pods: an empty selector is for all."""
    selector = g.mapping(budget.data, "spec").get("selector")
    return isinstance(selector, dict) and g.matches(selector, labels) is True


def _allowed(case: Case, budget: Object) -> list[Problem]:
    spec, members = g.mapping(budget.data, "spec"), case.s.replicas
    field = "maxUnavailable" if spec.get("maxUnavailable") is not None else "minAvailable"
    count = _share(spec.get(field), members)
    if count is None or not members:
        return []
    evicted = count if field == "maxUnavailable" else members - count
    got = f"got {field}: {spec[field]}"
    if evicted < 1:
        message = f"expected a budget that lets 1 of {members} go, or no node with a member can be drained; {got}"
    elif members > 2 and 2 * (members - evicted) <= members and not is_replicant(case.env):
        message = f"expected the majority of {members} to stay; {got}, which lets {evicted} go at once"
    else:
        return []
    return [Problem("disruption-budget", str(budget), f"spec.{field}", message, "set maxUnavailable: 1, and no minAvailable")]


def _share(value: Any, members: int) -> int | None:
    """A number of pods, or a percentage of them rounded up as the controller does it."""
    if isinstance(value, int):
        return value
    text = str(value)
    return -(-members * int(text[:-1]) // 100) if re.fullmatch(r"\d{1,4}%", text) else None


def autoscaled_members(case: Case) -> list[Problem]:
    """Members that come and go by load take their data with them, or fight with the replicas of Git."""
    workload = case.workload
    scalers = _autoscalers(case, workload)
    if not scalers:
        return []
    scaler = scalers[0]
    claims = workload.kind == "StatefulSet" and bool(g.claim_templates(workload))
    if claims or not is_replicant(case.env):
        what = "each has data on its own volume" if claims else "cores hold the cluster's data"
        message = f"expected a fixed number of members, because {what}; got one that follows the load of {workload}"
        refused = case.s.edition == "community" and case.s.version >= (5, 8, 0)
        fix = "remove it" if refused else "remove it, and scale replicants (EMQX_NODE__ROLE=replicant in a Deployment of their own)"
        return [Problem("autoscaled-members", str(scaler), "spec.scaleTargetRef", message, fix)]
    if g.mapping(workload.data, "spec").get("replicas") is None:
        return []
    message = f"expected none, because {scaler} decides it, and every sync would set it back; got {g.replicas(workload)}"
    return [Problem("autoscaled-members", str(workload), "spec.replicas", message, "remove replicas; in a patch, set replicas: null")]


def _autoscalers(case: Case, workload: Object) -> list[Object]:
    """What scales the workload: a HorizontalPodAutoscaler, or a ScaledObject of KEDA, whose targets are Deployments unless it says."""
    found = []
    for kind, default in (("HorizontalPodAutoscaler", ""), ("ScaledObject", "Deployment")):
        for scaler in case.graph.objects(kind, workload.names):
            target = g.mapping(scaler.data, "spec", "scaleTargetRef")
            named = target.get("kind", default) == workload.kind and target.get("name") in workload.names
            if named and scaler.namespace == workload.namespace and g.near(case.graph, scaler, workload):
                found.append(scaler)
    return found


# -- names


def cluster_domain(case: Case) -> list[Problem]:
    """Names of Services that end in the domain of another Kubernetes cluster."""
    found = []
    for name, variable in case.env.items():
        value = variable.value or ""
        if name in _SETS_DOMAIN or not (".svc." in value or ".pod." in value):
            continue
        ours = name.startswith("EMQX_CLUSTER__")
        # Elsewhere another domain may be meant: a bridge to a broker in another cluster. Only the one that everybody copies is suspect.
        others = [other for other in re.findall(r"\.(?:svc|pod)\.([a-z0-9][-a-z0-9.]*)", value) if other.rstrip(".") != case.s.domain]
        wrong = next((other.rstrip(".") for other in others if ours or other.rstrip(".") == "cluster.local"), "")
        if wrong:
            message = f"expected the cluster's domain {case.s.domain!r}; got {wrong!r}"
            fix = f"end the name in {case.s.domain}, or at .svc: the pod's DNS search list adds the domain"
            found.append(Problem("cluster-domain", variable.object, variable.path, message, fix))
    return found


def name_length(case: Case) -> list[Problem]:
    """Names that Kubernetes or Erlang make too long of the names given here."""
    workload, found = case.workload, []
    limit = _HASHED if workload.kind == "StatefulSet" else _LABEL if "emqx-gitops.dev/cluster" in g.pod_labels(workload) else 0
    if limit and len(workload.name) > limit:
        why = "the label controller-revision-hash of its pods adds 11 and may have 63" if workload.kind == "StatefulSet" else "it is a label of its pods"
        message = f"expected at most {limit} characters, because {why}; got {len(workload.name)}"
        found.append(Problem("name-length", str(workload), "metadata.name", message, "choose a shorter name, or a shorter namePrefix"))
    for service in g.services_of(case.graph, workload):
        if len(service.name) > _LABEL:
            message = f"expected at most {_LABEL} characters, as in every part of a DNS name; got {len(service.name)}"
            found.append(Problem("name-length", str(service), "metadata.name", message, "choose a shorter name, or a shorter namePrefix"))
    return found or _node_name(case)


def _node_name(case: Case) -> list[Problem]:
    host = case.env.get("EMQX_HOST")
    pod = f"{case.workload.name}-{max(case.s.replicas - 1, 0)}"
    length = len(f"{case.s.node_name}@{case.value('EMQX_HOST')}".replace("<pod>", pod).replace("<namespace>", "").encode())
    if host is None or length <= _NODE_NAME:
        return []
    message = f"expected at most {_NODE_NAME} bytes in the node's name, which is an Erlang atom; got {length}"
    fix = "choose shorter names for the workload, its Service or the namespace"
    return [Problem("name-length", host.object, host.path, message, fix)]
