"""Documents -> objects and how they refer to each other: which workload runs EMQX, which Services select its pods.

While a layer's transformers run, kustomize has renamed objects but not yet the references to them, so a name refers to
an object if the object has it now or had it in a layer below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from emqx_fn import shape
from emqx_fn.family import is_emqx_image
from emqx_fn.problem import Refusal, refuse
from emqx_fn.wire import Document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


PREVIOUS_NAMES = "internal.config.kubernetes.io/previousNames"
PREFIXES = "internal.config.kubernetes.io/prefixes"
PREVIOUS_NAMESPACES = "internal.config.kubernetes.io/previousNamespaces"
PREVIOUS_KINDS = "internal.config.kubernetes.io/previousKinds"
SUFFIXES = "internal.config.kubernetes.io/suffixes"
WORKLOADS = ("Deployment", "StatefulSet")
NAME_LABEL = "app.kubernetes.io/name"
CLUSTER_LABEL = "emqx-gitops.dev/cluster"  # its value follows the workload's name
TEMPLATE_LABEL = "emqx-gitops.dev/template"  # on pods: the fingerprint of their template
CHECK = "emqx-cluster-formed"  # what the objects of base/cluster-formed are labelled as


def mapping(data: Any, *path: str) -> dict[str, Any]:
    """The mapping at `path`, or an empty one: YAML that is not ours may have anything there."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}


def items(data: Any, *path: str) -> list[dict[str, Any]]:
    """The mappings in the list at `path`."""
    found = mapping(data, *path[:-1]).get(path[-1])
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text(data: Any, *path: str) -> str:
    """The string at `path`, or an empty one."""
    found = mapping(data, *path[:-1]).get(path[-1])
    return found if isinstance(found, str) else ""


class Object:
    """A Kubernetes object of the stream. Refuses one whose fields have not the types that Kubernetes gives them."""

    __slots__ = ("data", "document", "name", "names")

    def __init__(self, document: Document) -> None:
        self.document = document
        self.data = document.data
        self.name = text(self.data, "metadata", "name")
        misfits = shape.problems(document.kind, self.name or "?", self.data)
        if misfits:
            raise Refusal(misfits)
        # in order: the name now, then earlier names
        earlier = self.annotation(PREVIOUS_NAMES).split(",")
        self.names = (self.name, *(name for name in reversed(earlier) if name and name != self.name))

    @property
    def kind(self) -> str:
        return self.document.kind

    @property
    def namespace(self) -> str:
        return text(self.data, "metadata", "namespace")

    def annotation(self, key: str) -> str:
        return text(self.data, "metadata", "annotations", key)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    def same_layers(self, other: Object) -> bool:
        """Whether both got the same prefixes and suffixes: how kustomize tells two copies of one base apart."""
        return all(self.annotation(key) == other.annotation(key) for key in (PREFIXES, SUFFIXES))


class Graph:
    """The objects of a stream by kind, read only when somebody asks for the kind.

    `final`: nothing is to be written. Then an object that says no namespace may lie in that of the others; a render that let
    that pass would leave a Service where discovery does not look.
    """

    def __init__(self, documents: list[Document], *, final: bool = False) -> None:
        self.documents, self.final = documents, final
        self._by_kind: dict[str, list[Document]] = {}
        for document in documents:
            self._by_kind.setdefault(document.kind, []).append(document)
        self._objects: dict[int, Object] = {}
        self._services: dict[int, list[Object]] = {}

    def objects(self, kind: str, mentions: Iterable[str] = ()) -> Iterator[Object]:
        """Objects of a kind; with `mentions`, only those whose text has one of the words (the rest stays unread)."""
        words = tuple(mentions)
        for document in self._by_kind.get(kind, ()):
            if not words or any(word in document.text for word in words) or document.changed:
                yield self.object(document)

    def object(self, document: Document) -> Object:
        found = self._objects.get(id(document))
        if found is None:
            found = self._objects[id(document)] = Object(document)
        return found

    def add(self, document: Document) -> Object:
        self.documents.append(document)
        self._by_kind.setdefault(document.kind, []).append(document)
        return self.object(document)

    def remove(self, found: Object) -> None:
        self.documents.remove(found.document)
        self._by_kind[found.kind].remove(found.document)

    def once(self, workload: Object, find: Callable[[Graph, Object], list[Object]]) -> list[Object]:
        """What `find` answers for a workload, asked once a run."""
        found = self._services.get(id(workload))
        if found is None:
            found = self._services[id(workload)] = find(self, workload)
        return found

    def resolve(self, kind: str, name: str, referrer: Object) -> Object | None:
        """The object that `name` in `referrer` means, or None. Refuses when two would fit."""
        if not name:
            return None
        near = [found for found in self._named(kind, name) if together(found, referrer)]
        now = [found for found in near if found.name == name]
        if len(near) > 1:
            near = [found for found in near if found.same_layers(referrer)] or now or near
        if len(near) > 1:
            names = ", ".join(sorted(str(found) for found in near))
            message = f"expected one {kind} that is named {name} here or was in a layer below; got {names}"
            raise refuse("ambiguous-reference", str(referrer), "", message, "give them different names, or different namespaces")
        return near[0] if near else None

    def _named(self, kind: str, name: str) -> list[Object]:
        return [found for found in self.objects(kind, [name]) if name in found.names]


def pod_spec(workload: Object) -> dict[str, Any]:
    """The pod spec of a Deployment or StatefulSet."""
    return mapping(workload.data, "spec", "template", "spec")


def emqx_containers(workload: Object) -> list[dict[str, Any]]:
    """Containers that run EMQX: by image, or by the name `emqx` where the image is a mirror's."""
    containers = items(pod_spec(workload), "containers")
    by_image = [container for container in containers if is_emqx_image(text(container, "image"))]
    return by_image or [container for container in containers if container.get("name") == "emqx"]


def candidates(graph: Graph) -> list[Object]:
    """Workloads that run EMQX, in stream order."""
    return [found for kind in WORKLOADS for found in graph.objects(kind, ["emqx"]) if emqx_containers(found)]


def pod_labels(workload: Object) -> dict[str, Any]:
    """Labels of the workload's pods."""
    return mapping(workload.data, "spec", "template", "metadata", "labels")


def selects(selector: dict[str, Any], labels: dict[str, Any]) -> bool:
    """Whether an equality selector picks pods with these labels; an empty one picks nothing (as in a Service)."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


# Labels that the controllers give each pod.
_LABELS_LATER = ("controller-revision-hash", "pod-template-hash", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index")


def matches(selector: dict[str, Any], labels: dict[str, Any]) -> bool | None:
    """Whether a label selector picks pods with these labels; an empty one picks all. None where the YAML does not tell."""
    answers = [_equal(labels, key, value) for key, value in mapping(selector, "matchLabels").items()]
    answers += [_holds(expression, labels) for expression in items(selector, "matchExpressions")]
    return False if False in answers else None if None in answers else True


def _equal(labels: dict[str, Any], key: str, value: Any) -> bool | None:
    return None if key in _LABELS_LATER else labels.get(key) == value


def _holds(expression: dict[str, Any], labels: dict[str, Any]) -> bool | None:
    key, operator, values = text(expression, "key"), expression.get("operator"), expression.get("values")
    known = operator in ("Exists", "DoesNotExist") or (operator in ("In", "NotIn") and isinstance(values, list))
    if not key or key in _LABELS_LATER or not known:
        return None
    found = key in labels and (operator in ("Exists", "DoesNotExist") or labels[key] in (values or ()))
    return found == (operator in ("In", "Exists"))


def services_of(graph: Graph, workload: Object) -> list[Object]:
    """Services of the workload's namespace that select its pods, in stream order. No run changes a label or a selector."""
    return graph.once(workload, _services_of)


def _services_of(graph: Graph, workload: Object) -> list[Object]:
    labels = pod_labels(workload)
    words = [str(value) for value in labels.values()]
    return [
        service
        for service in graph.objects("Service", words)
        if TEMPLATE_LABEL not in mapping(service.data, "spec", "selector")  # the check's own: neither for clients nor for members
        and selects(mapping(service.data, "spec", "selector"), labels)
        and (service.namespace == workload.namespace or (graph.final and together(service, workload)))
        and near(graph, service, workload)
    ]


def check_of(graph: Graph, workload: Object) -> Object | None:
    """The Job that asks the members of a workload whether they found each other; None where the build has none for it."""
    return part_of_check(graph, workload, "Job")


def part_of_check(graph: Graph, workload: Object, kind: str) -> Object | None:
    """The object of this kind that base/cluster-formed brought for a workload."""
    cluster = pod_labels(workload).get(CLUSTER_LABEL)
    for found in graph.objects(kind, [CHECK]) if cluster else ():
        labels = mapping(found.data, "metadata", "labels")
        if (labels.get(NAME_LABEL), labels.get(CLUSTER_LABEL)) == (CHECK, cluster) and together(found, workload) and near(graph, found, workload):
            return found
    return None


def near(graph: Graph, found: Object, workload: Object) -> bool:
    """Whether an object that fits a workload by its text is not that of the workload's copy.

    With two copies of one base in one build only the layers tell them apart, until kustomize fixes names and labels at its very end.
    """
    labels = {**pod_labels(workload), TEMPLATE_LABEL: ""}
    twins = (other for other in candidates(graph) if other is not workload and {**pod_labels(other), TEMPLATE_LABEL: ""} == labels)
    return found.same_layers(workload) or all(other.same_layers(workload) for other in twins)


def together(found: Object, other: Object) -> bool:
    """Whether two objects may lie in one namespace: one that says none lies in that which the apply names."""
    return found.namespace == other.namespace or not (found.namespace and other.namespace)


def headless(service: Object) -> bool:
    """Whether DNS gives the pods of this Service, and not an address of its own."""
    return text(service.data, "spec", "clusterIP") == "None"


def replicas(workload: Object) -> int:
    """Number of members the workload asks for; Kubernetes' default is 1."""
    found = mapping(workload.data, "spec").get("replicas")
    return found if isinstance(found, int) and not isinstance(found, bool) else 1


def claim_templates(workload: Object) -> list[str]:
    """Names of the volume claim templates."""
    return [text(claim, "metadata", "name") for claim in items(workload.data, "spec", "volumeClaimTemplates")]
