"""One run over a stream: find the clusters, inject each, check each; or only say what a run would change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from emqx_fn import API_VERSION, GROUP, __version__
from emqx_fn import graph as g
from emqx_fn.check import WAIVABLE, Checker
from emqx_fn.environment import by_hand, inline_secrets
from emqx_fn.graph import Graph, Object
from emqx_fn.inject import PLACEHOLDER, Injector
from emqx_fn.plan import stamp_facts
from emqx_fn.problem import Problem, Refusal, refuse
from emqx_fn.rbac import Access, account_of
from emqx_fn.record import MISSING, Path, Record, shown
from emqx_fn.settings import Resolver, Settings, find_workload
from emqx_fn.spec import Spec, Waiver, parse_policy, parse_spec
from emqx_fn.wire import Document, dump, load, new_document, read_stream

WRITTEN = f"{GROUP}/written"  # on the EmqxCluster: the record
RENDERED_BY = f"{GROUP}/rendered-by"  # on the workload: the stamp
RENDERED_FOR = f"{GROUP}/rendered-for"
RENDERED_SPEC = f"{GROUP}/spec"
INLINE = f"{GROUP}/from-function-config"  # on an EmqxCluster that a run with a spec of its own left behind
LOCAL_CONFIG = "config.kubernetes.io/local-config"


def inject(documents: list[Document], config: dict[str, Any]) -> list[Document]:
    """The documents with every cluster injected and checked. Raises Refusal with all problems of the run."""
    graph = Graph(_not_empty(documents))
    settings = _settings_objects(graph, config)
    problems: list[Problem] = []
    taken: set[int] = set()
    for found in settings:
        try:
            problems += _cluster(graph, found, taken)
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(_unique(problems))
    return graph.documents


def _not_empty(documents: list[Document]) -> list[Document]:
    if not documents:
        message = "expected the resources of a build; got an empty stream, and empty output would delete the cluster"
        raise refuse("empty-stream", "", "", message, "list the workload under resources of the kustomization that runs the plugin")
    return list(documents)


def _unique(problems: list[Problem]) -> list[Problem]:
    """One problem a field: a wrong value is also not the derived one, and saying so twice helps nobody."""
    first: dict[tuple[str, str, str], Problem] = {}
    for problem in problems:
        about_value = problem.path and problem.rule in ("invalid-value", "service-name", "inline-secret", "contradiction")
        first.setdefault((problem.object, problem.path, "value" if about_value else problem.lines()), problem)
    return list(first.values())


def _is_settings(data: dict[str, Any]) -> bool:
    return str(data.get("apiVersion", "")).startswith(f"{GROUP}/")


def _settings_objects(graph: Graph, config: dict[str, Any]) -> list[Object]:
    """The EmqxClusters to apply: those of the stream, or the one that the config itself is."""
    found = [item for item in graph.objects("EmqxCluster") if _is_settings(item.data)]
    name = g.text(config, "metadata", "name") or "inject"
    if "spec" not in config:
        if not found:
            message = "expected settings: there is no EmqxCluster in the build, and the transformer's own config has no spec"
            raise refuse("no-settings", f"EmqxCluster/{name}", "spec", message, "list emqx.yaml under resources of the layer, or write spec here")
        return found
    own = [item for item in found if item.annotation(INLINE) == name]
    others = [item for item in found if item not in own]
    if others:
        message = f"expected the settings in one place; {others[0]} is in the build too"
        raise refuse("two-settings", f"EmqxCluster/{name}", "spec", message, "remove spec here, or remove the EmqxCluster from resources")
    if not own:
        metadata = {"name": name, "annotations": {LOCAL_CONFIG: "true", INLINE: name}}
        own = [graph.add(new_document({"apiVersion": API_VERSION, "kind": "EmqxCluster", "metadata": metadata, "spec": {}}))]
    own[0].data["spec"] = config["spec"]
    own[0].document.changed = True
    return own


def _cluster(graph: Graph, settings: Object, taken: set[int]) -> list[Problem]:
    """Inject one cluster; its problems."""
    label = str(settings)
    version = settings.data.get("apiVersion")
    if version != API_VERSION:
        raise refuse("invalid-value", label, "apiVersion", f"expected {API_VERSION}; got {version!r}", f"write apiVersion: {API_VERSION}")
    spec, problems = parse_spec(settings.data.get("spec"), label)
    unknown = [key for key in settings.data if key not in ("apiVersion", "kind", "metadata", "spec")]
    problems += [Problem("unknown-field", label, key, f"expected spec; got {key!r}", "move the settings below spec") for key in unknown]
    problems += _required_version(spec, label)
    if problems:
        raise Refusal(problems)
    workload = find_workload(graph, label, settings.name, spec, taken)
    taken.add(id(workload))
    record = Record(settings.annotation(WRITTEN))
    problems = _write(graph, workload, settings, spec, record)
    _leave_record(settings, record)
    return _waived(problems, spec.allow)


def _write(graph: Graph, workload: Object, settings: Object, spec: Spec, record: Record) -> list[Problem]:
    container, resolved, problems = _resolve(graph, workload, str(settings), spec, record)
    problems += _apply(graph, workload, container, resolved, record)
    _stamp(workload, settings.data.get("spec"), resolved)
    return problems


def _resolve(graph: Graph, workload: Object, label: str, spec: Spec, record: Record) -> tuple[dict[str, Any], Settings, list[Problem]]:
    container = _container(workload)
    hand, problems = by_hand(graph, workload, container, record)
    problems += inline_secrets(hand)
    resolver = Resolver(label, spec, graph, workload, container, hand)
    resolved = resolver.resolve()
    return container, resolved, problems + resolver.problems


def _container(workload: Object) -> dict[str, Any]:
    found = g.emqx_containers(workload)
    if len(found) != 1:
        names = ", ".join(str(item.get("name")) for item in found) or "none"
        path = "spec.template.spec.containers"
        raise refuse("no-container", str(workload), path, f"expected one container that runs EMQX; got {names}", "name it emqx, or give it an EMQX image")
    if not g.text(found[0], "name"):
        raise refuse("no-container", str(workload), "spec.template.spec.containers", "expected a name for the EMQX container; it has none", "add name: emqx")
    return found[0]


def _apply(graph: Graph, workload: Object, container: dict[str, Any], resolved: Settings, record: Record) -> list[Problem]:
    """Write the plan, then check what came out."""
    hand, _ = by_hand(graph, workload, container, record)
    injector = Injector(graph, workload, container, resolved, record, hand)
    access = Access(graph, workload, resolved, record)
    injector.pods()
    injector.services()
    injector.network_policies()
    access.grant()
    record.forget([workload, *g.services_of(graph, workload), *injector.policies()])
    injector.order_ports()
    return injector.problems + access.problems + Checker(workload, container, resolved).check()


def _stamp(workload: Object, spec: Any, resolved: Settings) -> None:
    """Say on the workload, not on its pods, who rendered it and for what: a new plugin release must not roll the pods."""
    annotations = workload.data.setdefault("metadata", {}).setdefault("annotations", {})
    annotations[RENDERED_BY] = f"emqx-gitops/{__version__}"
    annotations[RENDERED_FOR] = stamp_facts(resolved)
    annotations[RENDERED_SPEC] = json.dumps(_plain(spec or {}), separators=(",", ":"), sort_keys=True)
    workload.document.changed = True


def _plain(value: Any) -> Any:
    """Data for json: scalars in their own spelling become strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _leave_record(settings: Object, record: Record) -> None:
    annotations = settings.data.setdefault("metadata", {}).setdefault("annotations", {})
    if not isinstance(annotations, dict):
        raise refuse("invalid-value", str(settings), "metadata.annotations", "expected a mapping", "write the annotations as a mapping")
    annotations[WRITTEN] = record.text()
    settings.document.changed = True


_COMPARISON = re.compile(r"(>=|<=|==|>|<)([\d.]+)")


def _required_version(spec: Spec, label: str) -> list[Problem]:
    if spec.requires is None:
        return []
    mine = _numbers(__version__)
    tests = {">=": mine.__ge__, "<=": mine.__le__, "==": mine.__eq__, ">": mine.__gt__, "<": mine.__lt__}
    if all(tests[operator](_numbers(number)) for operator, number in _COMPARISON.findall(spec.requires)):
        return []
    import os

    place = os.path.dirname(os.path.abspath(__file__))
    message = f"expected a plugin {spec.requires}; this is {__version__} in {place}"
    return [Problem("plugin-version", label, "spec.requires", message, "install that version (make, or emqx-gitops plugin install), or change spec.requires")]


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in version.split(".")]
    return tuple(numbers + [0] * (3 - len(numbers)))


def _waived(problems: list[Problem], allow: tuple[Waiver, ...]) -> list[Problem]:
    rules = {waiver.rule for waiver in allow} & WAIVABLE
    return [problem for problem in problems if problem.rule not in rules]


# -- the same checks without writing


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
    graph = Graph(_not_empty([_copy(document) for document in documents]))
    found = g.candidates(graph)
    if not found:
        message = "expected a Deployment or StatefulSet that runs EMQX; the build has none"
        raise refuse("no-workload", label, "", message, "add it to resources; a mirrored image is found by the container name emqx")
    settings = {item.name: item for item in graph.objects("EmqxCluster") if _is_settings(item.data)}
    for workload in found:
        try:
            problems += _waived(_check_workload(graph, workload, settings), allow)
        except Refusal as refusal:
            problems += refusal.problems
    return _unique(problems)


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
    record = Record(own.annotation(WRITTEN) if own else "")
    container, resolved, problems = _resolve(graph, workload, f"EmqxCluster/{workload.name}", spec, record)
    stale = _stale_facts(workload, resolved)
    if stale:
        return problems + stale
    written = [document for document in graph.documents if document.kind in _WRITTEN_KINDS and _is_near(document, workload)]
    before = [load(dump(document.data), "stdin") for document in written]
    added = len(graph.documents)
    problems += _apply(graph, workload, container, resolved, record)
    for document, original in zip(written, before, strict=True):
        problems += _would_change(document, original, stamped=bool(stamp))
    problems += [problem for document in graph.documents[added:] for problem in _would_add(document, stamped=bool(stamp))]
    return _waived(problems, spec.allow)


_WRITTEN_KINDS = frozenset({"Deployment", "StatefulSet", "Role", "RoleBinding", "NetworkPolicy"})
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
    text = json.dumps(_plain(value), separators=(", ", ": "), ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."


def _would_add(document: Document, *, stamped: bool) -> list[Problem]:
    name = f"{document.kind}/{g.text(document.data, 'metadata', 'name')}"
    if document.kind == "Role":
        message = "expected the permission to get the Endpoints that discovery reads; no Role bound to the pods' ServiceAccount gives it"
        return [Problem("not-injected", name, "", message, "run the plugin over this build, or add it by hand")]
    if document.kind == "ServiceAccount" and stamped:
        return [Problem("stale", name, "", "expected the ServiceAccount of the pods in the build; there is none", "add it again")]
    return []


def _stale_facts(workload: Object, resolved: Settings) -> list[Problem]:
    """A layer above changed what the function computed from, and did not run it again."""
    text = workload.annotation(RENDERED_FOR)
    if not text:
        return []
    try:
        facts = json.loads(text)
        now = json.loads(stamp_facts(resolved))
    except ValueError:
        raise refuse("invalid-value", str(workload), f"metadata.annotations[{RENDERED_FOR}]", "expected JSON", "render again") from None
    names = {"version": "the image", "replicas": "spec.replicas"}
    return [
        Problem(
            "stale",
            str(workload),
            {"version": "spec.template.spec.containers", "replicas": "spec.replicas"}[key],
            f"expected {key} {facts.get(key)!r}, which the plugin rendered for; {names[key]} now says {now[key]!r}",
            "add transformers: [../../plugins/inject] to the layer that changes it",
        )
        for key in names
        if facts.get(key) != now[key]
    ]
