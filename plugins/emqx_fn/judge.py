"""All rules over one cluster: what the broker or the API server would refuse, or silently ignore, and the YAML already shows."""

from __future__ import annotations

from emqx_fn import api_versions, chain, exposure, leaks, permissions, pods, rbac, scale, variables
from emqx_fn.case import Case
from emqx_fn.check import Checker, identity
from emqx_fn.problem import Problem

# With one of these the members find each other by other names, or not at all: the broken link has been named.
_BREAKS = frozenset(
    {
        *("ambiguous-reference", "api-version", "contradiction", "hostname-on-deployment", "invalid-value", "ip-family"),
        *("name-taken", "namespace-unknown", "no-discovery-service", "node-name", "record-type", "service-name", "srv-on-deployment"),
        *("stale", "unresolved-reference"),
    }
)


def problems(case: Case, known: list[Problem]) -> list[Problem]:
    """Why the cluster must not be deployed as it stands; `known` is what is wrong with it already."""
    found = identity(case) + Checker(case).check()
    for rules in (pods, scale, leaks, exposure, rbac, permissions):
        found += rules.check(case)
    found += [problem for problem in variables.check(case.s.version, case.s.edition, case.env) if named(problem) not in case.own]
    told = {(problem.object, problem.path) for problem in found}
    outdated = [problem for problem in api_versions.check(case) if (problem.object, problem.path) not in told]
    broken = any(problem.rule in _BREAKS for problem in (*known, *found))
    return [*found, *outdated, *([] if broken else chain.check(case))]


def named(problem: Problem) -> str:
    """The variable that a problem is about: the last name in brackets of its path."""
    return problem.path.rpartition("[")[2].partition("]")[0]


def warnings(case: Case) -> list[Problem]:
    """What deserves a thought and stops nothing; a render never asks for it."""
    from emqx_fn import advice

    return [*variables.advise(case.s.version, case.s.edition, case.env), *advice.check(case)]
