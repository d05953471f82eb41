"""Rendering -> whether its members find each other, link by link, what every subject may do, and what was waived. For people and as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from emqx_fn import chain, permissions
from emqx_fn import graph as g
from emqx_fn.discovery import BY_HAND
from emqx_fn.environment import discreet
from emqx_fn.graph import Graph, Object
from emqx_fn.policy import case_in, stamped_spec
from emqx_fn.problem import Problem, Refusal
from emqx_fn.spec import Waiver
from emqx_fn.wire import read_stream
from emqx_gitops.errors import Problems
from emqx_gitops.terminal import counted

if TYPE_CHECKING:
    from emqx_fn.chain import Link
    from emqx_gitops.rendering import Rendering

Paint = Callable[[str, str], str]


def text(rendering: Rendering, paint: Paint) -> str:
    """Every cluster of a rendering as a person reads it: a line for each link, then permissions and waivers."""
    found = data(rendering)
    blocks = ["\n".join(_cluster(cluster, paint)) for cluster in found["clusters"]]
    blocks += ["\n".join(lines) for lines in (_subjects(found["subjects"]), _waivers(found["waivers"])) if lines]
    return "\n\n".join(blocks) + "\n"


def data(rendering: Rendering) -> dict[str, Any]:
    """The same as data; the names of its fields are a contract. What nobody can read is a failure with its problems."""
    try:
        return _data(rendering)
    except Refusal as refusal:
        raise Problems(list(rendering.located(refusal.problems))) from None


def _data(rendering: Rendering) -> dict[str, Any]:
    graph = Graph(read_stream(rendering.text, rendering.name).documents, final=True)
    workloads = g.candidates(graph)
    return {
        "name": rendering.name,
        "clusters": [_row(rendering, graph, workload) for workload in workloads],
        "subjects": [{"subject": subject, "may": [_may(grant) for grant in grants]} for subject, grants in permissions.subjects(graph).items()],
        "waivers": [waiver._asdict() for waiver in dict.fromkeys(waiver for workload in workloads for waiver in _allowed(workload))],
    }


def _allowed(workload: Object) -> tuple[Waiver, ...]:
    try:
        return stamped_spec(workload).allow
    except Refusal:
        return ()  # what is wrong with the stamp is said of the cluster


def _row(rendering: Rendering, graph: Graph, workload: Object) -> dict[str, Any]:
    head = {"workload": str(workload), "namespace": workload.namespace}
    try:
        case = case_in(graph, workload)
        found = chain.links(case)
    except Refusal as refusal:
        problems = [_problem(problem) for problem in rendering.located(refusal.problems)]
        return {**head, "version": None, "members": g.replicas(workload), "verdict": "refused", "links": [], "problems": problems}
    links = [_link(rendering, link) for link in found]
    return {**head, "version": str(case.s.version), "members": case.s.replicas, "verdict": _verdict(found), "links": links, "problems": []}


def _verdict(links: list[Link]) -> str:
    if not all(link.ok for link in links):
        return "broken"
    if any(link.name == "strategy" and link.text in BY_HAND for link in links):
        return "by hand"
    return "fine" if all(link.known for link in links) else "unknown"


def _link(rendering: Rendering, link: Link) -> dict[str, Any]:
    problem = _problem(rendering.located([link.problem])[0]) if link.problem else None
    state = "broken" if problem else "ok" if link.known else "unknown"
    return {"name": link.name, "state": state, "value": discreet(link.text), "variables": list(link.variables), "problem": problem}


def _problem(problem: Problem) -> dict[str, Any]:
    said = problem._replace(message=discreet(problem.message), fix=discreet(problem.fix))
    return {key: value for key, value in said._asdict().items() if key != "severity"}


def _may(grant: permissions.Grant) -> dict[str, Any]:
    return {"what": grant.text(), "namespace": grant.namespace or None, "role": grant.role, "binding": str(grant.binding), "known": grant.rule is not None}


# -- for people

_VERDICTS = {
    "fine": ("green", "it will cluster"),
    "broken": ("red", "it will not cluster"),
    "by hand": ("", "nobody is asked: the members have to be joined by hand"),
    "unknown": ("", "it may cluster: the YAML does not tell all"),
    "refused": ("red", "it cannot be judged"),
}


def _cluster(cluster: dict[str, Any], paint: Paint) -> Iterator[str]:
    where = f" in namespace {cluster['namespace']}" if cluster["namespace"] else ""
    version = f"EMQX {cluster['version']}, " if cluster["version"] else ""
    yield f"{cluster['workload']}{where}: {version}{counted(cluster['members'], 'member')}"
    width = max((len(link["name"]) for link in cluster["links"]), default=0)
    for link in cluster["links"]:
        yield _line(link, width, paint)
        if link["problem"]:
            yield from _why(link["problem"])
    for problem in cluster["problems"]:
        yield from _why(problem)
    color, verdict = _VERDICTS[cluster["verdict"]]
    if cluster["verdict"] == "fine" and cluster["members"] < 2:
        verdict = "it has one member; more would find each other"
    yield "  " + (paint(color, verdict) if color else verdict)


def _line(link: dict[str, Any], width: int, paint: Paint) -> str:
    mark = {"ok": paint("green", "ok     "), "broken": paint("red", "broken "), "unknown": "unknown"}[link["state"]]
    variables = f"   ({', '.join(link['variables'])})" if link["variables"] else ""
    return f"  {mark}  {link['name']:<{width}}  {link['value']}{variables}".rstrip()


def _why(problem: dict[str, Any]) -> Iterator[str]:
    whole = Problem(problem["rule"], *(problem[field] for field in ("object", "path", "message", "fix", "where")))
    yield from (f"    {line}" for line in whole.lines().split("\n"))


def _subjects(subjects: list[dict[str, Any]]) -> list[str]:
    lines = ["permissions"] if subjects else []
    for subject in subjects:
        lines.append(f"  {subject['subject']}: " + ("nothing by this build" if not subject["may"] else ""))
        lines[-1] = lines[-1].rstrip()
        for may in subject["may"]:
            where = (
                f"in namespace {may['namespace']}"
                if may["namespace"]
                else "in its namespace"
                if may["binding"].startswith("RoleBinding")
                else "in all namespaces"
            )
            lines.append(f"    {may['what']}, {where}   ({may['role']} by {may['binding']})")
    return lines


def _waivers(waivers: list[dict[str, Any]]) -> list[str]:
    return (["waivers"] if waivers else []) + [f"  {_waiver(Waiver(**waiver))}" for waiver in waivers]


def _waiver(waiver: Waiver) -> str:
    about = f" for {waiver.variable}" if waiver.variable else ""
    until = f" (until {waiver.until})" if waiver.until else ""
    return f"{waiver.rule}{about}: {waiver.reason}{until}"
