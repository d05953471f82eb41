"""EMQX's own settings: how each change takes effect, and which ones never do on a cluster that has started before.

Values stay unsaid: a variable may hold a secret.
"""

from __future__ import annotations

from collections.abc import Iterator

from emqx_fn.case import Case
from emqx_fn.environment import Variable
from emqx_gitops.review.impact.change import Change, Cluster
from emqx_gitops.review.impact.identity import cold_variables, renaming_variables, same_variable
from emqx_gitops.review.impact.members import first_pod
from emqx_gitops.review.impact.rules import found
from emqx_gitops.review.impact.words import kubectl, listed
from emqx_gitops.review.model import Finding

# Read once, when a database is made (docs/emqx-families.md, Credentials); from then on the database knows better.
_FIRST_START = (
    "EMQX_DASHBOARD__DEFAULT_USER__LOGIN",
    "EMQX_DASHBOARD__DEFAULT_USER__PASSWORD",
    "EMQX_ADMIN_PASSWORD",
    "EMQX_MANAGEMENT__DEFAULT_APPLICATION__ID",
    "EMQX_MANAGEMENT__DEFAULT_APPLICATION__SECRET",
    "EMQX_DASHBOARD__DEFAULT_USERNAME",
    "EMQX_DASHBOARD__DEFAULT_PASSWORD",
    "EMQX_DASHBOARD__BOOTSTRAP_USERS_FILE",
    "EMQX_MANAGEMENT__BOOTSTRAP_APPS_FILE",
)
_PASSWORDS = ("EMQX_DASHBOARD__DEFAULT_USER__PASSWORD", "EMQX_ADMIN_PASSWORD", "EMQX_DASHBOARD__DEFAULT_PASSWORD")


def findings(change: Change) -> Iterator[Finding]:
    """What becomes of the variables that differ."""
    for cluster in change.clusters:
        if cluster.cases and not cluster.replaced and _same_family(*cluster.cases):
            names = _changed(change, cluster, *cluster.cases)
            first = [name for name in names if name.upper() in _FIRST_START]
            if first:
                yield _first_start(cluster, first)
            if names:
                yield _kinds(change, cluster, names, first)


def _same_family(old: Case, new: Case) -> bool:
    """Whether both are configured by the same names; else all of them change, and the version says why."""
    return old.s.family.bind == new.s.family.bind


def _changed(change: Change, cluster: Cluster, old: Case, new: Case) -> list[str]:
    def one(case: Case, name: str) -> Variable | None:
        return case.env.get(name)

    names = [name for name in (*new.env, *(name for name in old.env if name not in new.env)) if name.startswith("EMQX_")]
    return [name for name in names if not same_variable(change, cluster, one(old, name), one(new, name))]


def _first_start(cluster: Cluster, names: list[str]) -> Finding:
    message = f"{listed(names)} changed, and EMQX reads it at the first start of a cluster only: this one keeps what it has"
    old = cluster.new is not None and cluster.new.s.version < (5, 0, 0)
    command = "emqx_ctl admins passwd admin NEW-PASSWORD" if old else "emqx ctl admins passwd admin NEW-PASSWORD"
    plan = (kubectl(cluster.after, "exec", first_pod(cluster.after), "--", command),) if any(name in _PASSWORDS for name in names) else ()
    return found("first-start-only", cluster.after, message, cluster.variable(*names), plan)


def _kinds(change: Change, cluster: Cluster, names: list[str], first: list[str]) -> Finding:
    cold = [name for name in (*cold_variables(change, cluster), *renaming_variables(cluster)) if name in names]
    rolling = [name for name in names if name not in (*cold, *first)]
    rolls = any(field.path[:2] == ("spec", "template") for field in cluster.fields)
    when = "as each pod restarts" if rolls else "when somebody restarts the pods, for nothing here does"
    kinds = [
        (f"rolling ({when})", rolling),
        ("cold (members of both values are no cluster)", cold),
        ("none (read at the first start only)", first),
    ]
    message = "; ".join(f"{kind}: {listed(found, limit=12)}" for kind, found in kinds if found)
    return found("restart-kind", cluster.after, f"how settings take effect. {message[0].upper()}{message[1:]}", cluster.variable(*names))
