"""What is kept as the right rendering is what the API server takes: a server-side dry run of each, strict about fields, and without a warning."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import pytest

from cluster.client import Cluster, Object
from cluster.rendering import OVERLAYS, ROOT, Clone, build, clone_into, documents
from overlays.test_overlays import layer

TESTS = ROOT / "tests"
TABLES = TESTS / "overlays" / "goldens"
GOLDENS = [*sorted(TABLES.glob("*.yaml")), *sorted((TESTS / "overlays" / "cases").glob("*/expected.yaml"))]
FUNCTION = TESTS / "fn" / "cases"
IMAGE = re.compile(r"image: emqx/emqx:\S+")
LOCAL = "config.kubernetes.io/local-config"
DRY_RUN = "dryRun=All&fieldValidation=Strict&fieldManager=dry-run&force=true"
REQUESTS = 8


@dataclass(frozen=True)
class Judge:
    """Asks the API server about objects, and makes the namespaces that they name."""

    cluster: Cluster
    _namespaces: set[str] = field(default_factory=lambda: {"default"})
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def _resources(self) -> dict[tuple[str, str], Object]:
        """Version and kind -> what the API server says of the resource."""
        groups = self.cluster.expect(200, "GET", "/apis")["groups"]
        versions = ["v1", *(version["groupVersion"] for group in groups for version in group["versions"])]
        lists = {version: self.cluster.expect(200, "GET", root(version))["resources"] for version in versions}
        return {(version, one["kind"]): one for version, found in lists.items() for one in found if "/" not in one["name"]}

    def problems(self, items: Iterable[Object]) -> list[str]:
        """What the API server refuses and warns of, each with the object that it is about."""
        with ThreadPoolExecutor(REQUESTS) as pool:
            return [problem for found in pool.map(self._problems_of, items) for problem in found]

    def _problems_of(self, item: Object) -> list[str]:
        what = f"{item['kind']}/{item['metadata']['name']}"
        resource = self._resources.get((item["apiVersion"], item["kind"]))
        if resource is None:
            return [f"{what}: no such kind in {item['apiVersion']}"]
        path = f"{self._collection(item, resource)}/{item['metadata']['name']}?{DRY_RUN}"
        answer = self.cluster.request("PATCH", path, body=item, content="application/apply-patch+yaml")
        said = list(answer.warnings) if answer.status in (200, 201) else [answer.body["message"]]
        return [f"{what}: {one}" for one in said]

    def _collection(self, item: Object, resource: Object) -> str:
        if not resource["namespaced"]:
            return f"{root(item['apiVersion'])}/{resource['name']}"
        namespace = item["metadata"].get("namespace", "golden")
        with self._lock:
            if namespace not in self._namespaces:
                self._namespaces.add(self.cluster.create_namespace(namespace))
        return f"{root(item['apiVersion'])}/namespaces/{namespace}/{resource['name']}"


def root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


@pytest.fixture(scope="module")
def judge(cluster: Cluster) -> Judge:
    return Judge(cluster)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return clone_into(tmp_path_factory.mktemp("clone"))


def test_every_release_in_every_overlay(judge: Judge, clone: Clone) -> None:
    with ThreadPoolExecutor() as pool:
        found = {
            (overlay, tag): judge.problems(documents(stream))
            for table in pool.map(partial(table_of, clone), OVERLAYS)
            for (overlay, tag), stream in table.items()
        }
    assert len(found) > 60
    assert {one: problems for one, problems in found.items() if problems} == {}


def table_of(clone: Clone, overlay: str) -> dict[tuple[str, str], str]:
    """Overlay and release -> rendering. Where the golden says that the next release changes the image alone, that is all that is done."""
    table: dict[tuple[str, str], str] = {}
    stream = ""
    for about in (TABLES / f"families-{overlay}.diff").read_text().split("=== ")[1:]:
        tag, *changes = about.splitlines()
        only_image = stream and all(line[1:].startswith("        image: emqx/emqx:") for line in changes)
        stream = IMAGE.sub(f"image: emqx/emqx:{tag}", stream) if only_image else rendered(clone, overlay, tag)
        table[overlay, tag] = stream
    return table


def rendered(clone: Clone, overlay: str, tag: str) -> str:
    folder = clone.folder / "clusters" / f"{overlay}-{tag}"
    folder.mkdir(parents=True)
    (folder / "kustomization.yaml").write_text(layer(overlay, tag))
    return build(folder)


def test_every_golden_rendering(judge: Judge) -> None:
    found = {str(path.relative_to(TESTS)): judge.problems(documents(path.read_text())) for path in GOLDENS}
    assert len(found) > 10
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_what_the_function_makes_of_yaml_of_others(judge: Judge) -> None:
    """Their security contexts are theirs; `stream` holds what is odd on purpose."""
    cases = [path for path in sorted(FUNCTION.rglob("expected.yaml")) if "stream" not in path.parts]
    found = {str(path.relative_to(FUNCTION)): [one for one in judge.problems(of_cluster(path)) if "would violate PodSecurity" not in one] for path in cases}
    assert len(found) > 40
    assert {path: problems for path, problems in found.items() if problems} == {}


def of_cluster(path: Path) -> list[Object]:
    """Without the settings, which kustomize leaves out."""
    return [item for item in documents(path.read_text()) if LOCAL not in item["metadata"].get("annotations", {})]


def test_a_wrong_field_is_seen(judge: Judge) -> None:
    """Strict means that a field which the API server does not know is refused, also in a dry run."""
    (service, *_) = (item for item in documents(GOLDENS[0].read_text()) if item["kind"] == "Service")
    service["spec"]["portz"] = []
    said = "failed to create typed patch object (emqx/emqx; /v1, Kind=Service): .spec.portz: field not declared in schema"
    assert judge.problems([service]) == [f"Service/emqx: {said}"]
