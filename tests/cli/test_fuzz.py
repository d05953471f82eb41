"""Streams of any shape: read, guarded, checked and searched for Secrets without a crash, and never an empty success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from emqx_fn.problem import Problem
from emqx_gitops import crds, guard, inventory, rendering, secrets, sources, writer

WORDS = [
    *("apiVersion", "kind", "metadata", "name", "namespace", "labels", "annotations", "spec", "template", "containers", "env", "envFrom"),
    *("valueFrom", "secretKeyRef", "secretRef", "configMapRef", "volumes", "secret", "secretName", "projected", "sources", "serviceAccountName"),
    *("selector", "roleRef", "subjects", "versions", "names", "schema", "openAPIV3Schema", "items", "clusterIP", "image", "key"),
]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.sampled_from(["emqx", "emqx/emqx:5.8.9", "StatefulSet", "Secret", "List", "v1", "apps/v1", "None", "ServiceAccount", "Role", "", "é", "=", "1e3"]),
)
TREES = st.recursive(VALUES, lambda child: st.one_of(st.lists(child, max_size=3), st.dictionaries(st.sampled_from(WORDS), child, max_size=5)), max_leaves=25)
KINDS = st.sampled_from(["StatefulSet", "Deployment", "Service", "RoleBinding", "CustomResourceDefinition", "List", "EmqxCluster"])


def workload(kind: str, spec: Any, metadata: Any) -> dict[str, Any]:
    versions = {"CustomResourceDefinition": "apiextensions.k8s.io/v1", "Service": "v1", "List": "v1"}
    return {"apiVersion": versions.get(kind, "apps/v1"), "kind": kind, "metadata": metadata, "spec": spec, "items": spec}


OBJECTS = st.one_of(
    st.builds(workload, KINDS, TREES, TREES),
    st.builds(lambda kind, pod, name: workload(kind, {"template": {"spec": pod}}, {"name": name}), KINDS, TREES, VALUES),
    TREES,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(OBJECTS, max_size=4))
def test_objects_of_any_shape(objects: list[Any]) -> None:
    text = yaml.safe_dump_all(objects)
    origin = sources.Read(((Path("stream.yaml"), text),))
    made = rendering.from_text("stream", origin, text)
    assert made.resources or made.problems
    problems = [*inventory.check(made.resources), *guard.check(made.resources, stamped=lambda _: True)]
    assert len(made.located(problems)) == len(problems)
    assert len(set(writer.file_names(made.resources).values())) == len({resource.key for resource in made.resources})
    crds.schemas(made.resources)
    for secret in secrets.missing(made.resources):
        assert secret.invented or secrets.advice(secret)
        assert yaml.safe_load(secrets.manifest(secret))["kind"] == "Secret"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_text_of_any_kind(text: str) -> None:
    made = rendering.from_text("stream", sources.Read(((Path("stream.yaml"), text),)), text)
    assert made.resources or made.problems


@settings(max_examples=200, deadline=None)
@given(TREES, st.text("ab.[]/0", max_size=12), st.sampled_from(["StatefulSet/emqx", "", "/", "a", "Kind/"]))
def test_places_of_any_problem_in_any_object(spec: Any, path: str, about: str) -> None:
    text = yaml.safe_dump({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "emqx"}, "spec": spec})
    (found,) = sources.Read(((Path("stream.yaml"), text),)).locate((Problem("rule", about, path, "message", "fix"),))
    assert (found.where != "") is (about == "StatefulSet/emqx")
