"""Schemas of Kubernetes without a network: each file holds all that it refers to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from emqx_gitops import crds, kubeconform, rendering, resources, schemas
from emqx_gitops.schemas import Catalog
from emqx_gitops.sources import Read

from .conftest import Repo

KINDS = [
    ("StatefulSet", "apps/v1"),
    ("Service", "v1"),
    ("NetworkPolicy", "networking.k8s.io/v1"),
    ("Role", "rbac.authorization.k8s.io/v1"),
    ("CustomResourceDefinition", "apiextensions.k8s.io/v1"),  # its schema contains itself
]

DEAD_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")


@cache
def source() -> Path:
    return schemas.source_folder()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def prepared(tmp_path: Path, version: str, kind: str, api_version: str) -> dict[str, Any]:
    catalog = Catalog(version, source(), tmp_path)
    assert catalog.prepare(kind, api_version)
    loaded: dict[str, Any] = json.loads((catalog.folder / schemas.file_name(kind, api_version)).read_text())
    return loaded


def test_every_supported_minor_is_there() -> None:
    assert schemas.available(source()) == ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]


@pytest.mark.parametrize("version", ["1.29", "1.37"])
@pytest.mark.parametrize(("kind", "api_version"), KINDS)
def test_a_prepared_schema_refers_to_nothing_outside_itself(tmp_path: Path, version: str, kind: str, api_version: str) -> None:
    schema = prepared(tmp_path, version, kind, api_version)
    found = set(references(schema))
    assert found
    assert all(reference.removeprefix("#/$defs/") in schema["$defs"] for reference in found)
    assert "$id" not in schema
    Draft202012Validator.check_schema(schema)


def test_a_prepared_schema_says_what_the_package_says(tmp_path: Path) -> None:
    from kubernetes_validate import ValidationError, validate

    schema = Draft202012Validator(prepared(tmp_path, "1.33", "Service", "v1"))
    for ports in ([{"port": 1}], [{"port": "a"}], [{"port": 1, "x": 1}], [{}], [{"port": 1, "targetPort": "a"}], [{"port": 1, "targetPort": 1.5}], {}):
        data = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports}}
        try:
            validate(data, "1.33", strict=True)
            expected = True
        except ValidationError:
            expected = False
        assert schema.is_valid(data) is expected, ports


def test_a_group_that_only_begins_alike_is_another_group(tmp_path: Path) -> None:
    catalog = Catalog("1.37", source(), tmp_path)
    assert catalog.prepare("NetworkPolicy", "networking.k8s.io/v1") is True
    assert catalog.prepare("NetworkPolicy", "networking.example.com/v1") is False
    assert catalog.prepare("StatefulSetSpec", "apps/v1") is False


def test_another_release_of_the_package_gets_another_folder(tmp_path: Path) -> None:
    other = tmp_path / "v1.37.0-local-strict"
    other.mkdir()
    text = (source() / "v1.37.0-local-strict" / "_definitions.json").read_text()
    (other / "_definitions.json").write_text(text + "\n")
    assert Catalog("1.37", tmp_path, tmp_path).folder != Catalog("1.37", source(), tmp_path).folder


def test_nothing_is_fetched(repo: Repo, tmp_path: Path) -> None:
    """With an empty cache and every way out closed; kubeconform says so when it tries one."""
    folder = repo.path / "overlays" / "persistent"
    built = repo.run("render", "overlays/persistent").out
    script = (
        "import sys; from pathlib import Path; from emqx_gitops import kubeconform, rendering, schemas; from emqx_gitops.sources import Built\n"
        "made = rendering.from_text('x', Built(Path(sys.argv[1])), sys.stdin.read())\n"
        "catalogs = tuple(schemas.Catalog(version, schemas.source_folder(), Path(sys.argv[2])) for version in schemas.SUPPORTED)\n"
        "print(len(made.resources), kubeconform.Kubeconform(kubeconform.find(None), catalogs, (), ()).validate([made], 2))\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(tmp_path / "cache")]
    ran = subprocess.run(command, input=built, capture_output=True, text=True, check=False, env={**repo.env, **DEAD_PROXY}, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "10 [[]]\n", "")


def test_the_schemas_as_the_package_ships_them_do_not_work_without_a_network(repo: Repo) -> None:
    """Why they are prepared at all."""
    stream = repo.write("stream.yaml", "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: a\n")
    template = f"{source() / 'v1.37.0-local-strict'}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [kubeconform.find(None), "-strict", "-output", "json", "-schema-location", template, str(stream)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={**repo.env, **DEAD_PROXY}, timeout=120)
    assert (ran.returncode, json.loads(ran.stdout)["resources"][0]["status"]) == (1, "statusError")


CRD = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget}
  versions:
    - name: v1
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: %s
"""


def accepts(spec_schema: dict[str, Any], spec: Any) -> bool:
    (found,) = crds.schemas(resources.read(CRD % json.dumps(spec_schema), "crd")).values()
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found).is_valid({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": spec})


OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (OBJECT, {"a": 1}, {"a": 1, "b": 1}),
        ({**OBJECT, "x-kubernetes-preserve-unknown-fields": True}, {"a": 1, "b": 1}, {"a": "x"}),
        ({**OBJECT, "additionalProperties": True}, {"b": 1}, {"a": "x"}),
        ({"type": "object", "additionalProperties": OBJECT}, {"x": {"a": 1}}, {"x": {"b": 1}}),
        ({"type": "object"}, {"anything": 1}, "text"),
        ({"x-kubernetes-int-or-string": True}, "50%", True),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^[0-9]+$"}, "5", "x"),
        ({"type": "object", "x-kubernetes-embedded-resource": True}, {"apiVersion": "v1", "kind": "A", "metadata": {"x": 1}}, {"b": 1}),
        ({"type": "string", "nullable": True, "enum": ["a"]}, None, "b"),
        ({"type": "string"}, "a", None),
        ({"type": "array", "items": OBJECT, "maxItems": 1}, [{"a": 1}], [{"b": 1}]),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 0.5, 0),
        ({"type": "number", "maximum": 1.5, "exclusiveMaximum": False}, 1.5, 2),
        ({**OBJECT, "anyOf": [{"required": ["a"]}, {"properties": {"a": {"minimum": 3}}, "required": ["a"]}]}, {"a": 1}, {}),
        ({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "not": {"required": ["a", "b"]}}, {"a": 1}, {"a": 1, "b": 1}),
    ],
)
def test_a_crd_is_as_strict_as_the_api_server(schema: dict[str, Any], good: Any, bad: Any) -> None:
    assert accepts(schema, good)
    assert not accepts(schema, bad)


def test_a_crd_cannot_name_a_file_outside_the_scratch_folder() -> None:
    text = CRD % json.dumps(OBJECT)
    assert not crds.schemas(resources.read(text.replace("kind: Widget", "kind: ../../Widget"), "crd"))
    assert not crds.schemas(resources.read(text.replace("group: example.com", "group: ../example.com"), "crd"))


def test_two_objects_of_one_name_in_two_namespaces_are_both_counted(tmp_path: Path) -> None:
    text = "---\n".join(f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {namespace}}}\ndata: {{a: 1}}\n" for namespace in ("one", "two"))
    made = rendering.from_text("stream", Read(((Path("stream"), text),)), text)
    checker = kubeconform.Kubeconform(kubeconform.find(None), (Catalog("1.37", source(), tmp_path),), (), ())
    ((problem,),) = checker.validate([made], 1)
    assert (problem.object, problem.path, problem.message) == ("ConfigMap/a", "data.a", "expected string; got number (Kubernetes 1.37)")
