"""One run over a stream: find the clusters, inject each, check each."""

from __future__ import annotations

import json
import re

from emqx_fn import API_VERSION, GROUP, __version__, judge
from emqx_fn import graph as g
from emqx_fn.case import Case, case_of
from emqx_fn.environment import by_hand, discreet, inline_secrets
from emqx_fn.formed import Formed, left_over
from emqx_fn.graph import Graph, Object
from emqx_fn.inject import Injector
from emqx_fn.isolation import members_apart
from emqx_fn.network import Network
from emqx_fn.plan import stamp_facts
from emqx_fn.problem import Problem, Refusal, refuse
from emqx_fn.rbac import Access
from emqx_fn.record import Record
from emqx_fn.settings import OTHER_STRATEGIES, Resolver, Settings, find_workload
from emqx_fn.spec import ABOUT_VARIABLES, Spec, Waiver, parse_spec
from emqx_fn.wire import Document, new_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


WRITTEN = f"{GROUP}/written"  # on the EmqxCluster: the record
RENDERED_BY = f"{GROUP}/rendered-by"  # on the workload: the stamp
RENDERED_FOR = f"{GROUP}/rendered-for"
RENDERED_SPEC = f"{GROUP}/spec"
INLINE = f"{GROUP}/from-function-config"  # on an EmqxCluster that a run with a spec of its own left behind
LOCAL_CONFIG = "config.kubernetes.io/local-config"


def inject(documents: list[Document], config: dict[str, Any]) -> list[Document]:
    """The documents with every cluster injected and checked. Raises Refusal with all problems of the run."""
    graph = Graph(not_empty(documents))
    settings = _settings_objects(graph, config)
    problems: list[Problem] = []
    taken: set[int] = set()
    for found in settings:
        try:
            problems += _cluster(graph, found, taken)
        except Refusal as refusal:
            problems += refusal.problems
    problems += left_over(graph)
    if problems:
        raise Refusal(unique(problems))
    return graph.documents


def not_empty(documents: list[Document]) -> list[Document]:
    """The documents, in a list of its own. Refuses an empty stream."""
    if not documents:
        message = "expected the resources of a build; got an empty stream, and empty output would delete the cluster"
        raise refuse("empty-stream", "", "", message, "list the workload under resources of the kustomization that runs the plugin")
    return list(documents)


_ABOUT_VALUE = (*ABOUT_VARIABLES, "contradiction", "inline-secret", "invalid-value", "replicants", "service-name")


def unique(problems: list[Problem]) -> list[Problem]:
    """One problem a field: a wrong value is also not the derived one, and saying so twice helps nobody. No secret by its looks is in them."""
    first: dict[tuple[str, str, str], Problem] = {}
    for problem in problems:
        slot = "value" if problem.path and problem.rule in _ABOUT_VALUE else problem.lines()
        told = first.get((problem.object, problem.path, slot))
        if told and told.rule == "inline-secret" and problem.rule == "other-family":
            slot = "name"  # the secret has to move, and to another variable
        shown = problem._replace(message=discreet(problem.message), fix=discreet(problem.fix))
        first.setdefault((problem.object, problem.path, slot), shown)
    return list(first.values())


def is_settings(data: dict[str, Any]) -> bool:
    """Whether an object is of this project's API group; a foreign CRD may have a kind of the same name."""
    return str(data.get("apiVersion", "")).startswith(f"{GROUP}/")


def _settings_objects(graph: Graph, config: dict[str, Any]) -> list[Object]:
    """The EmqxClusters to apply: those of the stream, or the one that the config itself is."""
    found = [item for item in graph.objects("EmqxCluster") if is_settings(item.data)]
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
    record = read_record(settings)
    problems = _write(graph, workload, settings, spec, record)
    _leave_record(settings, record)
    return without_waived(problems, spec.allow)


def _write(graph: Graph, workload: Object, settings: Object, spec: Spec, record: Record) -> list[Problem]:
    container, resolved, problems = resolve(graph, workload, str(settings), spec, record)
    problems += apply(graph, workload, container, resolved, record)
    _stamp(workload, settings.data.get("spec"), resolved)
    return problems


def resolve(graph: Graph, workload: Object, label: str, spec: Spec, record: Record, *, rendered: bool = True) -> tuple[dict[str, Any], Settings, list[Problem]]:
    """The EMQX container of a workload, its settings, and what is wrong with them."""
    container = _container(workload)
    hand, problems = by_hand(graph, workload, container, record)
    problems += inline_secrets(hand)
    resolver = Resolver(label, spec, graph, workload, container, hand, rendered=rendered)
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


def apply(graph: Graph, workload: Object, container: dict[str, Any], resolved: Settings, record: Record) -> list[Problem]:
    """Write the plan, then check what came out."""
    hand, _ = by_hand(graph, workload, container, record)
    injector = Injector(graph, workload, container, resolved, record, hand)
    access = Access(graph, workload, resolved, record)
    injector.pods()
    network = Network(graph, workload, resolved, record, injector.port_name)
    network.publish()
    access.grant()
    formed = Formed(injector)
    formed.fill(network.policies())
    record.forget([workload, *g.services_of(graph, workload), *network.policies(), *([formed.job] if formed.job else [])])
    injector.order_ports()
    formed.stamp()
    problems = injector.problems + network.problems + access.problems + formed.problems + _apart(graph, workload, injector, resolved)
    return problems + judge.problems(case_of(graph, workload, container, resolved, injector.own), problems)


def as_it_stands(case: Case) -> list[Problem]:
    """What is wrong with a cluster that somebody else wrote; nothing is written."""
    hand, _ = by_hand(case.graph, case.workload, case.container, Record())
    injector = Injector(case.graph, case.workload, case.container, case.s, Record(), hand)
    problems = injector.judge() + _apart(case.graph, case.workload, injector, case.s)
    return problems + judge.problems(case, problems)


def _apart(graph: Graph, workload: Object, injector: Injector, s: Settings) -> list[Problem]:
    alone = s.strategy in OTHER_STRATEGIES or s.replicas < 2
    return [] if alone else members_apart(graph, workload, injector.member_ports())


def _stamp(workload: Object, spec: Any, resolved: Settings) -> None:
    """Say on the workload, not on its pods, who rendered it and for what: a new plugin release must not roll the pods."""
    annotations = _annotations(workload)
    annotations[RENDERED_BY] = f"emqx-gitops/{__version__}"
    annotations[RENDERED_FOR] = stamp_facts(resolved)
    annotations[RENDERED_SPEC] = json.dumps(plain(spec or {}), separators=(",", ":"), sort_keys=True)


def plain(value: Any) -> Any:
    """Data for json: scalars in their own spelling become strings."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def read_record(settings: Object) -> Record:
    """What the function wrote last time. Refuses a record that is not the function's own."""
    try:
        return Record(settings.annotation(WRITTEN))
    except (ValueError, AttributeError, IndexError):
        message = "expected what the plugin itself wrote there"
        raise refuse("invalid-value", str(settings), f"metadata.annotations[{WRITTEN}]", message, "remove this annotation: no file should have it") from None


def _annotations(target: Object) -> dict[str, Any]:
    metadata = target.data["metadata"]
    if metadata.get("annotations") is None:
        metadata["annotations"] = {}
    annotations = metadata["annotations"]
    if not isinstance(annotations, dict):
        raise refuse("invalid-value", str(target), "metadata.annotations", "expected a mapping", "write the annotations as a mapping")
    target.document.changed = True
    return annotations


def _leave_record(settings: Object, record: Record) -> None:
    annotations = _annotations(settings)
    annotations[WRITTEN] = record.text()


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


def without_waived(problems: list[Problem], allow: tuple[Waiver, ...]) -> list[Problem]:
    """The problems that `policy.allow` does not waive."""
    return [problem for problem in problems if not any(waiver.covers(problem) for waiver in allow)]
