"""A rendered YAML stream as frozen resources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from emqx_fn import GROUP, wire
from emqx_fn.family import is_emqx_image
from emqx_fn.graph import items, mapping

WORKLOAD_KINDS = ("Deployment", "StatefulSet")
CLUSTER_LABEL = "emqx-gitops.dev/cluster"
_LIST = re.compile(r"""^\{?\s*["']?kind["']?:\s*["']?List\b""", re.MULTILINE)


class Key(NamedTuple):
    """What makes a resource the same resource."""

    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class Resource:
    """One object of a rendering: its own text, and its data."""

    key: Key
    version: str
    text: str
    data: dict[str, Any] = field(compare=False, repr=False)

    @property
    def label(self) -> str:
        """As messages name it."""
        return f"{self.key.kind}/{self.key.name}"

    @property
    def api_version(self) -> str:
        """As the YAML says it."""
        return f"{self.key.group}/{self.version}" if self.key.group else self.version

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata, which may be empty."""
        return mapping(self.data, "metadata")

    @property
    def is_workload(self) -> bool:
        """Whether it makes pods that this project knows how to write."""
        return self.key.group == "apps" and self.key.kind in WORKLOAD_KINDS

    @property
    def is_settings(self) -> bool:
        """Whether it is an EmqxCluster or EmqxPolicy of ours."""
        return self.key.group == GROUP

    @property
    def pod_spec(self) -> dict[str, Any]:
        """The pod template's spec, which may be empty."""
        return mapping(self.data, "spec", "template", "spec")

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Containers and init containers."""
        return [*items(self.pod_spec, "containers"), *items(self.pod_spec, "initContainers")]

    @property
    def is_emqx(self) -> bool:
        """Whether it is a workload that runs EMQX: by the project's label, an image of EMQX, or (mirrored) a container called emqx."""
        if not self.is_workload:
            return False
        return CLUSTER_LABEL in mapping(self.metadata, "labels") or any(map(_runs_emqx, items(self.pod_spec, "containers")))


def _runs_emqx(container: dict[str, Any]) -> bool:
    return container.get("name") == "emqx" or is_emqx_image(str(container.get("image")))


def read(text: str, source: str) -> tuple[Resource, ...]:
    """The resources of a stream, lists opened. Raises emqx_fn.problem.Refusal for what is no YAML or no object."""
    return tuple(resource for document in wire.read_stream(text, source).documents for resource in _resources(document.data, document.text))


def opened(text: str, found: tuple[Resource, ...]) -> str:
    """The stream that the resources were read from, with its lists opened too."""
    has_list = _LIST.search(text) is not None
    return "---\n".join(resource.text for resource in found) if has_list else text


def _resources(data: dict[str, Any], text: str) -> Iterator[Resource]:
    if str(data["kind"]) == "List" and str(data.get("apiVersion")) == "v1":
        for item in items(data, "items"):
            yield from _resources({"kind": "", **item}, wire.dump(item))
        return
    group, _, version = str(data.get("apiVersion") or "").rpartition("/")
    metadata = mapping(data, "metadata")
    key = Key(group, str(data["kind"]), str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
    yield Resource(key, version, text, data)
