"""A pair of renderings as the themes look at it: objects by kind, and the EMQX clusters of both sides with their settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from emqx_fn import chain
from emqx_fn import graph as g
from emqx_fn.case import Case
from emqx_fn.graph import Graph, Object, mapping
from emqx_fn.policy import case_in
from emqx_fn.problem import Refusal
from emqx_fn.wire import read_stream
from emqx_gitops.published import lineage
from emqx_gitops.rendering import Rendering
from emqx_gitops.resources import CLUSTER_LABEL, Key, Resource
from emqx_gitops.review.differences import differences
from emqx_gitops.review.model import Difference, Field, Pair
from emqx_gitops.sources import Built


class Side:
    """One rendering: its objects, and the case of each workload that runs EMQX."""

    def __init__(self, rendering: Rendering) -> None:
        self.rendering = rendering
        self.resources = tuple(resource for resource in rendering.resources if not resource.is_settings)
        self.by_key: dict[Key, Resource] = {resource.key: resource for resource in self.resources}

    @cached_property
    def _graph(self) -> Graph | Refusal:
        try:
            graph = Graph(read_stream(self.rendering.text).documents, final=True)
            for document in graph.documents:
                graph.object(document)
        except Refusal as refusal:
            return refusal
        return graph

    @property
    def graph(self) -> Graph | None:
        """The objects as rules see them; None where one is not of the shape that Kubernetes gives it."""
        return None if isinstance(self._graph, Refusal) else self._graph

    @cached_property
    def _cases(self) -> dict[tuple[str, str, str], Case | Refusal]:
        workloads = g.candidates(self.graph) if self.graph else []
        return {(workload.kind, workload.namespace, workload.name): self._case(workload) for workload in workloads}

    def _case(self, workload: Object) -> Case | Refusal:
        assert self.graph is not None
        try:
            return case_in(self.graph, workload)
        except Refusal as refusal:
            return refusal

    def _settled(self, resource: Resource) -> Case | Refusal | None:
        return self._graph if isinstance(self._graph, Refusal) else self._cases.get((resource.key.kind, resource.key.namespace, resource.key.name))

    def case(self, resource: Resource) -> Case | None:
        """The settings of a workload; None where it runs no EMQX, or they cannot be told."""
        found = self._settled(resource)
        return found if isinstance(found, Case) else None

    def why_unknown(self, resource: Resource) -> str:
        """Why the settings of a workload cannot be told; empty where they can."""
        found = self._settled(resource)
        if isinstance(found, Refusal):
            problem = found.problems[0]
            return ": ".join(part for part in (problem.object, problem.path, problem.message) if part)
        return "" if found else "no container of it runs EMQX"

    def of_kind(self, *kinds: str) -> Iterator[Resource]:
        """The objects of these kinds."""
        return (resource for resource in self.resources if resource.key.kind in kinds)

    def generation(self, kind: str, namespace: str, name: str) -> Resource | None:
        """The object that a reference of a pod means."""
        return next((resource for resource in self.of_kind(kind) if (resource.key.namespace, resource.key.name) == (namespace, name)), None)


@dataclass(frozen=True)
class Cluster:
    """A workload that runs EMQX, before and after; `replaced` where it is another object of the API server now."""

    before: Resource
    after: Resource
    fields: tuple[Field, ...]
    old: Case | None
    new: Case | None

    @property
    def replaced(self) -> bool:
        return self.before.key != self.after.key

    @property
    def cases(self) -> tuple[Case, Case] | None:
        """The settings of both sides, where both can be told."""
        return (self.old, self.new) if self.old and self.new else None

    def field(self, *starts: tuple[str, ...]) -> Field | None:
        """The first field that differs below one of these paths, entries of lists left out."""
        for field in self.fields:
            names = tuple(step for step in field.path if isinstance(step, str))
            if any(names[: len(start)] == start for start in starts):
                return field
        return None

    def variable(self, *names: str) -> Field | str:
        """The field that holds one of these variables, or an empty path."""
        wanted = {name.upper() for name in names}
        hits = (field for field in self.fields if any(isinstance(step, tuple) and str(step[1]).upper() in wanted for step in field.path))
        return next(hits, "")


@dataclass(frozen=True)
class Change:
    """What differs, with both sides."""

    before: Side
    after: Side
    differences: tuple[Difference, ...]

    def changed(self, *kinds: str) -> Iterator[tuple[Resource, Resource, tuple[Field, ...]]]:
        """Objects of these kinds that stay the same object of the API server and differ."""
        for difference in self.differences:
            before, after = difference.before, difference.after
            if before and after and before.key == after.key and (not kinds or after.key.kind in kinds):
                yield before, after, difference.fields

    def gone(self) -> Iterator[Resource]:
        """Objects that the API server will not be told of any more: removed, or by another name now."""
        for difference in self.differences:
            if difference.before and (difference.after is None or difference.before.key != difference.after.key):
                yield difference.before

    def come(self) -> Iterator[Resource]:
        """Objects that the API server has not seen yet."""
        for difference in self.differences:
            if difference.after and (difference.before is None or difference.before.key != difference.after.key):
                yield difference.after

    @cached_property
    def workloads(self) -> list[tuple[Resource, Resource, tuple[Field, ...]]]:
        """Every Deployment and StatefulSet that stays the same object, changed or not."""
        fields = {difference.after.key: difference.fields for difference in self.differences if difference.after}
        kept = ((self.before.by_key.get(resource.key), resource) for resource in self.after.resources if resource.is_workload)
        return [(before, after, fields.get(after.key, ())) for before, after in kept if before]

    @cached_property
    def clusters(self) -> list[Cluster]:
        """The EMQX clusters that are there before and after, under whatever name or kind."""
        fields = {id(difference.after): difference.fields for difference in self.differences if difference.after}
        return [
            Cluster(before, after, fields.get(id(after), ()) if before.key[:2] == after.key[:2] else (), self.before.case(before), self.after.case(after))
            for before, after in self._paired_workloads()
        ]

    def _paired_workloads(self) -> Iterator[tuple[Resource, Resource]]:
        earlier = {id(difference.after): difference.before for difference in self.differences}
        old = [resource for resource in self.before.resources if resource.is_emqx]
        new = [resource for resource in self.after.resources if resource.is_emqx]
        left, fresh = list(old), []
        for resource in new:
            twin = self.before.by_key.get(resource.key) or earlier.get(id(resource))
            if twin in left:
                left.remove(twin)
                yield twin, resource
            else:
                fresh.append(resource)
        for resource in fresh:
            twin = next((other for other in left if _same_cluster(other, resource)), left[0] if len(left) == len(fresh) == 1 else None)
            if twin is not None:
                left.remove(twin)
                yield twin, resource

    @cached_property
    def lost_workloads(self) -> list[Resource]:
        """EMQX workloads that are gone without a successor."""
        kept = [id(cluster.before) for cluster in self.clusters]
        return [resource for resource in self.before.resources if resource.is_emqx and id(resource) not in kept]


def _same_cluster(one: Resource, other: Resource) -> bool:
    labels = [mapping(resource.metadata, "labels").get(CLUSTER_LABEL) for resource in (one, other)]
    return one.key.namespace == other.key.namespace and (one.key.name == other.key.name or (None not in labels and labels[0] == labels[1]))


def change_of(pair: Pair) -> Change | None:
    """The change of one target, or None where one of its states does not render. A folder that is not there has no objects."""
    nothing = Rendering(pair.target.name, Built(Path(pair.target.path)), "", (), ())
    before, after = pair.before or nothing, pair.after or nothing
    if before.problems or after.problems:
        return None
    found = pair.differences if pair.before and pair.after else differences(before, after)
    return Change(Side(before), Side(after), tuple(difference for difference in found if not difference.resource.is_settings))


def node_name(case: Case | None) -> str:
    """The name that each member gives itself, with `<pod>` and `<ip>`; empty where the YAML does not tell."""
    try:
        link = next((link for link in chain.links(case) if link.name == "node name"), None) if case else None
    except Refusal:
        return ""
    return link.text if link and link.ok and link.known else ""


def members(workload: Resource) -> int:
    """How many pods it asks for."""
    asked = mapping(workload.data, "spec").get("replicas")
    return asked if isinstance(asked, int) and not isinstance(asked, bool) else 1


def pods(workload: Resource) -> list[str]:
    """Names of the pods of a StatefulSet, the first first."""
    start = mapping(workload.data, "spec", "ordinals").get("start")
    first = start if isinstance(start, int) else 0
    return [f"{workload.key.name}-{number}" for number in range(first, first + members(workload))]


def claims_of(workload: Resource) -> list[str]:
    """Names of the claims that a StatefulSet makes for its pods."""
    return [f"{template}-{pod}" for template in templates(workload) for pod in pods(workload)]


def templates(workload: Resource) -> list[str]:
    """Names of the volume claim templates."""
    return [str(mapping(entry, "metadata").get("name")) for entry in g.items(workload.data, "spec", "volumeClaimTemplates")]


def same_secret(change: Change, namespace: str, old: tuple[str, str], new: tuple[str, str]) -> bool:
    """Whether a key of a Secret, by name and key, holds the same as far as the renderings show; what they do not show is as its name is."""
    before, after = change.before.generation("Secret", namespace, old[0]), change.after.generation("Secret", namespace, new[0])
    if before and after:
        return _entry(before, old[1]) == _entry(after, new[1])
    return old[1] == new[1] and lineage(Key("", "Secret", namespace, old[0])) == lineage(Key("", "Secret", namespace, new[0]))


def _entry(resource: Resource, key: str) -> list[Any]:
    return [mapping(resource.data, field).get(key) for field in ("data", "stringData", "binaryData")]
