"""The JSON Schemas: committed, valid, and of one mind with the function."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft7Validator

from emqx_fn.spec import parse_policy, parse_spec
from emqx_gitops import schema
from emqx_gitops.installation import clone_root

from .conftest import ROOT, Repo


@pytest.mark.parametrize("name", schema.KINDS)
def test_the_committed_file_is_up_to_date(name: str) -> None:
    assert (ROOT / "plugins" / "schemas" / f"{name}.json").read_text() == schema.text(schema.KINDS[name])


@pytest.mark.parametrize("name", schema.KINDS)
def test_it_is_a_schema_of_draft_7(name: str) -> None:
    Draft7Validator.check_schema(schema.schema(schema.KINDS[name]))


def test_it_is_printed_on_demand(repo: Repo) -> None:
    ran = repo.run("schema", "emqxcluster")
    assert (ran.code, ran.out, ran.err) == (0, schema.text("EmqxCluster"), "")


def test_a_check_says_what_is_out_of_date(tmp_path: Any) -> None:
    assert clone_root() == ROOT
    for name in schema.KINDS:
        (tmp_path / f"{name}.json").write_text(schema.text(schema.KINDS[name]))
    assert schema.stale(tmp_path) == {}
    (tmp_path / "emqxpolicy.json").write_text("{}\n")
    assert list(schema.stale(tmp_path)) == ["emqxpolicy.json"]


def test_the_check_of_this_clone_passes(repo: Repo) -> None:
    ran = repo.run("schema", "--check")
    assert (ran.code, ran.out, ran.err) == (0, "", "")


def test_every_field_says_what_it_means() -> None:
    def silent(node: dict[str, Any], path: str) -> list[str]:
        children = [*node.get("properties", {}).items(), *[("*", node[key]) for key in ("items", "additionalProperties") if isinstance(node.get(key), dict)]]
        return [*([] if "description" in node else [path]), *(found for name, child in children for found in silent(child, f"{path}.{name}"))]

    spec = schema.schema("EmqxCluster")["properties"]["spec"]
    assert [path for path in silent(spec, "spec") if path != "spec"] == []


# What both must accept, and what both must refuse. Rules between fields are the function's alone.
GOOD: list[Any] = [
    None,
    {},
    {"requires": ">=0.1,<1"},
    {"version": "5.8.9", "edition": "enterprise", "ipFamily": "IPv6"},
    {"version": None, "discovery": {"addressType": None}},
    {"workload": {"kind": "StatefulSet", "name": "emqx"}},
    {"node": {"name": "emqx", "cookie": {"secretKeyRef": {"name": "a", "key": "b"}}}},
    {"discovery": {"strategy": "dns", "recordType": "srv", "clusterDomain": "k8s.example.com", "autoclean": "24h", "autoheal": True}},
    {"listeners": {"tcp": {"port": 1883}, "mqtt-internal": {"type": "tcp", "port": 11883}, "ws": None}},
    {"license": {"type": "evaluation"}},
    {"policy": {"allow": [{"rule": "fs-group", "reason": "because", "until": "2027-01-31"}]}},
]
BAD: list[Any] = [
    "text",
    [],
    {"versio": "5.8.9"},
    {"version": 5.8},
    {"version": "latest"},
    {"edition": "Enterprise"},
    {"workload": {"kind": "DaemonSet", "name": "emqx"}},
    {"workload": {"kind": "Deployment"}},
    {"node": {"name": "emqx1"}},
    {"node": {"cookie": "inline"}},
    {"node": {"cookie": {"secretKeyRef": {"name": "a"}}}},
    {"discovery": {"strategy": "kubernetes"}},
    {"discovery": {"autoheal": "yes"}},
    {"discovery": {"autoclean": "soon"}},
    {"dashboard": {"port": 0}},
    {"dashboard": {"port": 65536}},
    {"dashboard": {"port": "18083"}},
    {"listeners": {"TCP": {"port": 1}}},
    {"listeners": {"tcp": {}}},
    {"listeners": [{"port": 1}]},
    {"policy": {"allow": [{"rule": "fs-group"}]}},
    {"policy": {"allow": [{"rule": "fs-group", "reason": "   "}]}},
    {"policy": {"allow": [{"rule": "fs-group", "reason": "y", "until": "tomorrow"}]}},
]


def accepts(kind: str, spec: Any) -> bool:
    data = {"apiVersion": "emqx-gitops.dev/v1alpha1", "kind": kind, "metadata": {"name": "emqx"}, "spec": spec}
    return Draft7Validator(schema.schema(kind)).is_valid(data)


@pytest.mark.parametrize("spec", GOOD, ids=json.dumps)
def test_schema_and_function_accept(spec: Any) -> None:
    assert parse_spec(spec, "EmqxCluster/emqx")[1] == []
    assert accepts("EmqxCluster", spec)


@pytest.mark.parametrize("spec", BAD, ids=json.dumps)
def test_schema_and_function_refuse(spec: Any) -> None:
    assert parse_spec(spec, "EmqxCluster/emqx")[1] != []
    assert not accepts("EmqxCluster", spec)


@pytest.mark.parametrize(
    ("spec", "good"),
    [({}, True), ({"allow": []}, True), ({"allow": [{"rule": "fs-group", "reason": "b"}]}, True), ({"allow": {}}, False), ({"version": "5.8.9"}, False)],
)
def test_schema_and_function_agree_on_a_policy(spec: Any, good: bool) -> None:
    assert (parse_policy(spec, "EmqxPolicy/check")[1] == []) is good
    assert accepts("EmqxPolicy", spec) is good


def test_the_object_around_the_spec_is_checked_too() -> None:
    validator = Draft7Validator(schema.schema("EmqxCluster"))
    right = {"apiVersion": "emqx-gitops.dev/v1alpha1", "kind": "EmqxCluster", "metadata": {"name": "a"}}
    assert validator.is_valid(right)
    for wrong in ({"kind": "Emqx"}, {"apiVersion": "v1"}, {"metadata": {}}, {"discovery": {}}):
        assert not validator.is_valid({**right, **wrong})


def test_every_settings_file_of_ours_fits() -> None:
    import yaml

    files = sorted((ROOT / "overlays").glob("*/emqx.yaml"))
    assert files
    for file in files:
        Draft7Validator(schema.schema("EmqxCluster")).validate(yaml.safe_load(file.read_text()))
        assert file.read_text().startswith("# yaml-language-server: $schema=../../plugins/schemas/emqxcluster.json\n")
