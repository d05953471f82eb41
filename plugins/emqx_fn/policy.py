"""EmqxPolicy: the same checks over a stream that nobody is to change, and what an injection would still change in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from emqx_fn import GROUP, environment, judge
from emqx_fn import graph as g
from emqx_fn.case import Case, case_of
from emqx_fn.graph import Graph, Object
from emqx_fn.inject import PLACEHOLDER
from emqx_fn.plan import stamp_facts
from emqx_fn.problem import Problem, Refusal, refuse
from emqx_fn.rbac import account_of
from emqx_fn.record import MISSING, Record, shown
from emqx_fn.run import RENDERED_FOR, RENDERED_SPEC, apply, as_it_stands, is_settings, not_empty, plain, read_record, resolve, unique
from emqx_fn.settings import Settings
from emqx_fn.spec import Spec, Waiver, parse_policy, parse_spec
from emqx_fn.values import holds_secret
from emqx_fn.wire import Document, dump, load, read_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from emqx_fn.record import Path
else:
    from emqx_fn.light import NamedTuple


class Review(NamedTuple):
    """What the rules say of a stream: reasons to refuse it, what deserves a thought, and what a waiver lets pass."""

    problems: list[Problem]
    warnings: list[Problem]
    waived: list[tuple[Problem, Waiver]]
    allow: list[Waiver]


def review(text: str, policies: Sequence[dict[str, Any]] = ()) -> Review:
    """The rules over a stream, rendered or written by hand: what is wrong in it, and what an injection would still change."""
    try:
        return _review(read_stream(text).documents, policies, advice=True)
    except Refusal as refusal:
        return Review(list(refusal.problems), [], [], [])


def check(text: str) -> list[Problem]:
    """The problems of a stream that no waiver lets pass."""
    return review(text).problems


def validate(documents: list[Document], config: dict[str, Any]) -> list[Problem]:
    """Like `check`, for documents that are already split. Works on copies."""
    return _review(documents, [config], advice=False).problems


def _review(documents: list[Document], policies: Sequence[dict[str, Any]], *, advice: bool) -> Review:
    graph = Graph(not_empty([_copy(document) for document in documents]), final=True)
    label = _label(policies[0]) if policies else ""
    in_stream = [item.data for item in graph.objects("EmqxPolicy") if is_settings(item.data)]
    parsed = [parse_policy(policy.get("spec"), _label(policy)) for policy in (*policies, *in_stream)]
    allow = tuple(waiver for waivers, _ in parsed for waiver in waivers)
    problems = [problem for _, found in parsed for problem in found]
    found = g.candidates(graph)
    if not found:
        message = "expected a Deployment or StatefulSet that runs EMQX; the build has none"
        raise refuse("no-workload", label, "", message, "add it to resources; a mirrored image is found by the container name emqx")
    settings = {item.name: item for item in graph.objects("EmqxCluster") if is_settings(item.data)}
    result = Review(problems, [], [], list(allow))
    for workload in found:
        try:
            _judge(_Target(graph, workload, settings.get(workload.name)), allow, result, advice=advice)
        except Refusal as refusal:
            result.problems.extend(refusal.problems)
    for job in graph.objects("Job", [g.CHECK]):
        result.problems.extend(_not_rendered(job))
    return result._replace(problems=unique(result.problems), warnings=unique(result.warnings))


def _label(policy: dict[str, Any]) -> str:
    return f"EmqxPolicy/{g.text(policy, 'metadata', 'name') or 'check'}"


class _Target(NamedTuple):
    """A workload to check, and its EmqxCluster where the stream has one."""

    graph: Graph
    workload: Object
    settings: Object | None


def _judge(target: _Target, allow: tuple[Waiver, ...], result: Review, *, advice: bool) -> None:
    """Put what is found into the lists of `result`."""
    spec = stamped_spec(target.workload)
    found = _check_workload(target, spec, result.warnings if advice else None)
    waivers = (*allow, *spec.allow)
    result.allow.extend(spec.allow)
    stays = [problem for problem in found if not any(waiver.covers(problem) for waiver in waivers)]
    result.problems.extend(unique(stays))
    for problem in unique([problem for problem in found if problem not in stays]):
        result.waived.append((problem, next(waiver for waiver in waivers if waiver.covers(problem))))


def _copy(document: Document) -> Document:
    return Document(document.output(), document.source, document.first_line)


def stamped_spec(workload: Object) -> Spec:
    """The settings that the workload was rendered by; empty ones where the function has not run."""
    try:
        data = json.loads(workload.annotation(RENDERED_SPEC) or "{}")
    except ValueError:
        raise refuse("invalid-value", str(workload), f"metadata.annotations[{RENDERED_SPEC}]", "expected JSON", "render again") from None
    spec, problems = parse_spec(data, f"EmqxCluster/{workload.name}")
    if problems:
        raise Refusal(problems)
    return spec


def case_in(graph: Graph, workload: Object) -> Case:
    """The case of a workload in a stream that nobody is to change. Refuses one that is not rendered, or whose stamp nobody can read."""
    problems = _not_rendered(workload)
    if problems:
        raise Refusal(problems)
    label, stamped = f"EmqxCluster/{workload.name}", bool(workload.annotation(RENDERED_SPEC))
    container, resolved, _ = resolve(graph, workload, label, stamped_spec(workload), Record(), rendered=stamped)
    return case_of(graph, workload, container, resolved)


def _not_rendered(workload: Object) -> list[Problem]:
    if not account_of(workload).startswith(PLACEHOLDER):
        return []
    message = "expected a rendered workload; the plugin has not run"
    fix = "build with `kustomize build --enable-alpha-plugins`, and list transformers: [../../plugins/inject] in the layer"
    return [Problem("not-rendered", str(workload), "spec.template.spec.serviceAccountName", message, fix)]


def _check_workload(target: _Target, spec: Spec, warnings: list[Problem] | None) -> list[Problem]:
    graph, workload, own = target
    stamp = workload.annotation(RENDERED_SPEC)
    job = g.check_of(graph, workload)
    not_rendered = _not_rendered(workload) or (_not_rendered(job) if job else [])
    if not_rendered:
        return not_rendered
    record = read_record(own) if own else Record()
    container, resolved, problems = resolve(graph, workload, f"EmqxCluster/{workload.name}", spec, record, rendered=bool(stamp))
    stale = _stale_facts(workload, container, resolved)
    if stale:
        return problems + stale
    case = case_of(graph, workload, container, resolved)
    if warnings is not None:
        warnings += judge.warnings(case)
    if not stamp:
        return problems + as_it_stands(case)
    problems += judge.problems(case, problems)
    before = {id(document): load(dump(document.data), "stdin") for document in graph.documents if _may_change(document, workload)}
    added = len(graph.documents)
    problems += apply(graph, workload, container, resolved, record)
    for document in graph.documents[:added]:
        if id(document) in before:
            problems += _would_change(document, before[id(document)])
    return problems + [problem for document in graph.documents[added:] for problem in _would_add(document)]


_WRITTEN_KINDS = frozenset({"Deployment", "StatefulSet", "Role", "RoleBinding", "Job"})
# Fields that a person may change or leave out above the layer that runs the plugin; the members find each other all the same.
_FREE = ("startupProbe", "readinessProbe", "livenessProbe", f"{GROUP}/rendered-", RENDERED_SPEC)


def _may_change(document: Document, workload: Object) -> bool:
    return document.kind in _WRITTEN_KINDS and any(name in document.text for name in workload.names)


def _would_change(document: Document, before: Any) -> list[Problem]:
    """What an injection would change: a layer above changed something since, and did not run it."""
    name = f"{document.kind}/{g.text(document.data, 'metadata', 'name')}"
    changes = ((shown(path), old, new) for path, old, new in _differences(before, document.data, ()))
    return [
        Problem("stale", name, place, f"expected {_brief(new)}; got {_brief(old)}", "add transformers: [../../plugins/inject] to the layer that changes it")
        for place, old, new in changes
        if not any(part in place for part in _FREE)
    ]


def _differences(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """Fields that differ, lists of named entries by name and whatever their order."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _differences(before.get(key, MISSING), after.get(key, MISSING), (*path, key))
    elif path and isinstance(path[-1], str) and path[-1] in _LIST_KEYS and isinstance(after, list):
        field = _LIST_KEYS[path[-1]]
        old = {item.get(field): item for item in before if isinstance(item, dict)} if isinstance(before, list) else {}
        new = {item.get(field): item for item in after if isinstance(item, dict)}
        for key in [*old, *(key for key in new if key not in old)]:
            entry = (*path, (field, key))
            if path[-1] == "containers":
                yield from _differences(old.get(key, MISSING), new.get(key, MISSING), entry)
            elif old.get(key) != new.get(key):
                yield entry, old.get(key, MISSING), new.get(key, MISSING)
    elif before != after:
        yield path, before, after


_LIST_KEYS = {"containers": "name", "env": "name", "volumeMounts": "mountPath", "volumes": "name", "ports": "name"}


def _brief(value: Any) -> str:
    """A value in a message, short enough to read; never a secret, nor a container, whose variables may hold one."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, dict) and "image" in value:
        return f"container {value.get('name')}"
    if isinstance(value, dict) and "value" in value and "name" in value:
        hidden = environment.is_clear(str(value["name"]), str(value["value"])) or holds_secret(str(value["value"]))
        return "a value that is not shown here" if hidden else repr(str(value["value"]))
    text = json.dumps(plain(value), separators=(", ", ": "), ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def _would_add(document: Document) -> list[Problem]:
    """An object that the function wrote, or found, and that is gone; a missing Role breaks the chain, and is said there."""
    if document.kind != "ServiceAccount":
        return []
    name = f"{document.kind}/{g.text(document.data, 'metadata', 'name')}"
    return [Problem("stale", name, "", "expected the ServiceAccount of the pods in the build; there is none", "add it again")]


def _stale_facts(workload: Object, container: dict[str, Any], resolved: Settings) -> list[Problem]:
    """A layer above changed what the function computed from, and did not run it again."""
    text = workload.annotation(RENDERED_FOR)
    if not text:
        return []
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise refuse("invalid-value", str(workload), f"metadata.annotations[{RENDERED_FOR}]", "expected JSON", "render again")
    now = json.loads(stamp_facts(resolved))
    names = {"version": "the image", "replicas": "spec.replicas"}
    image = f"spec.template.spec.containers[{container['name']}].image"
    return [
        Problem(
            "stale",
            str(workload),
            {"version": image, "replicas": "spec.replicas"}[key],
            f"expected {key} {facts.get(key)!r}, which the plugin rendered for; {names[key]} now says {now[key]!r}",
            "add transformers: [../../plugins/inject] to the layer that changes it",
        )
        for key in names
        if facts.get(key) != now[key]
    ]
