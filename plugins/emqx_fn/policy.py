"""EmqxPolicy: the same checks over a stream that nobody is to change, and what an injection would still change in it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from emqx_fn import GROUP
from emqx_fn import graph as g
from emqx_fn.graph import Graph, Object
from emqx_fn.inject import PLACEHOLDER
from emqx_fn.plan import stamp_facts
from emqx_fn.problem import Problem, Refusal, refuse
from emqx_fn.rbac import account_of
from emqx_fn.record import MISSING, Record, shown
from emqx_fn.run import RENDERED_FOR, RENDERED_SPEC, apply, is_settings, not_empty, plain, read_record, resolve, unique, waived
from emqx_fn.settings import Settings
from emqx_fn.spec import parse_policy, parse_spec
from emqx_fn.wire import Document, dump, load, read_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from emqx_fn.record import Path


def check(text: str, config: dict[str, Any] | None = None) -> list[Problem]:
    """The problems of a stream, rendered or written by hand: what is wrong in it, and what an injection would still change."""
    try:
        return validate(read_stream(text).documents, config or {})
    except Refusal as refusal:
        return list(refusal.problems)


def validate(documents: list[Document], config: dict[str, Any]) -> list[Problem]:
    """Like `check`, for documents that are already split. Works on copies."""
    label = f"EmqxPolicy/{g.text(config, 'metadata', 'name') or 'check'}"
    allow, problems = parse_policy(config.get("spec"), label)
    graph = Graph(not_empty([_copy(document) for document in documents]))
    found = g.candidates(graph)
    if not found:
        message = "expected a Deployment or StatefulSet that runs EMQX; the build has none"
        raise refuse("no-workload", label, "", message, "add it to resources; a mirrored image is found by the container name emqx")
    settings = {item.name: item for item in graph.objects("EmqxCluster") if is_settings(item.data)}
    for workload in found:
        try:
            problems += waived(_check_workload(graph, workload, settings), allow)
        except Refusal as refusal:
            problems += refusal.problems
    return unique(problems)


def _copy(document: Document) -> Document:
    return Document(document.output(), document.source, document.first_line)


def _check_workload(graph: Graph, workload: Object, settings: dict[str, Object]) -> list[Problem]:
    stamp = workload.annotation(RENDERED_SPEC)
    if account_of(workload).startswith(PLACEHOLDER):
        message = "expected a rendered workload; the plugin has not run"
        fix = "build with `kustomize build --enable-alpha-plugins`, and list transformers: [../../plugins/inject] in the layer"
        return [Problem("not-rendered", str(workload), "spec.template.spec.serviceAccountName", message, fix)]
    try:
        data = json.loads(stamp) if stamp else {}
    except ValueError:
        raise refuse("invalid-value", str(workload), f"metadata.annotations[{RENDERED_SPEC}]", "expected JSON", "render again") from None
    spec, problems = parse_spec(data, f"EmqxCluster/{workload.name}")
    if problems:
        return problems
    own = settings.get(workload.name)
    record = read_record(own) if own else Record()
    container, resolved, problems = resolve(graph, workload, f"EmqxCluster/{workload.name}", spec, record)
    stale = _stale_facts(workload, container, resolved)
    if stale:
        return problems + stale
    written = [document for document in graph.documents if document.kind in _WRITTEN_KINDS and _is_near(document, workload)]
    before = [load(dump(document.data), "stdin") for document in written]
    added = len(graph.documents)
    problems += apply(graph, workload, container, resolved, record)
    for document, original in zip(written, before, strict=True):
        problems += _would_change(document, original, stamped=bool(stamp))
    problems += [problem for document in graph.documents[added:] for problem in _would_add(document, stamped=bool(stamp))]
    return waived(problems, spec.allow)


_WRITTEN_KINDS = frozenset({"Deployment", "StatefulSet", "Role", "RoleBinding"})
# Fields that a person may change or leave out above the layer that runs the plugin; the members find each other all the same.
_FREE = ("startupProbe", "readinessProbe", "livenessProbe", f"{GROUP}/rendered-", RENDERED_SPEC)
# What hand-written YAML must say itself, whatever else it leaves to the defaults.
_NEEDED = ("env[EMQX_CLUSTER__", "env[EMQX_NAME]", "env[EMQX_HOST]")


def _is_near(document: Document, workload: Object) -> bool:
    return any(name in document.text for name in workload.names)


def _would_change(document: Document, before: Any, *, stamped: bool) -> list[Problem]:
    """What an injection would still change: something was changed since, or was never there."""
    name = f"{document.kind}/{g.text(document.data, 'metadata', 'name')}"
    problems = []
    for path, old, new in _differences(before, document.data, ()):
        place = shown(path)
        if any(part in place for part in _FREE) or not (stamped or any(part in place for part in _NEEDED)):
            continue
        rule, fix = (
            ("stale", "add transformers: [../../plugins/inject] to the layer that changes it")
            if stamped
            else ("not-injected", "run the plugin over this workload, or add it by hand")
        )
        problems.append(Problem(rule, name, place, f"expected {_brief(new)}; got {_brief(old)}", fix))
    return problems


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
    """A value in a message, short enough to read."""
    if value is MISSING:
        return "nothing"
    if isinstance(value, dict) and "value" in value and "name" in value:
        return repr(str(value["value"]))
    text = json.dumps(plain(value), separators=(", ", ": "), ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def _would_add(document: Document, *, stamped: bool) -> list[Problem]:
    name = f"{document.kind}/{g.text(document.data, 'metadata', 'name')}"
    if document.kind == "Role":
        message = "expected the permission to get the Endpoints that discovery reads; no Role bound to the pods' ServiceAccount gives it"
        return [Problem("not-injected", name, "", message, "run the plugin over this build, or add it by hand")]
    if document.kind == "ServiceAccount" and stamped:
        return [Problem("stale", name, "", "expected the ServiceAccount of the pods in the build; there is none", "add it again")]
    return []


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
