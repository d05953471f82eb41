"""Where a problem comes from: file, line and column in what a person wrote."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emqx_fn.problem import Problem
from emqx_gitops import layers, resources
from emqx_gitops.layers import Rename
from emqx_gitops.sources import Built, Read

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: emqx
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: sidecar
          image: other
        - name: emqx
          image: emqx/emqx:5.8.9
          env:
            - name: A
              value: "1"
"""


CLAIMS = """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: emqx
spec:
  volumeClaimTemplates:
    - metadata:
        name: log
    - metadata:
        name: data
      spec:
        storageClassName: manual
"""


class Tree:
    """A folder of kustomizations, and the question where a problem is."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def where(self, path: str, about: str = "Deployment/emqx", message: str = "expected something", top: str = "top", rule: str = "rule") -> str:
        (problem,) = Built(self.root / top).locate((Problem(rule, about, path, message, "fix"),))
        return problem.where


@pytest.fixture(name="tree")
def fixture_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.chdir(tmp_path)
    tree = Tree(tmp_path)
    tree.write("base/kustomization.yaml", "resources: [deployment.yaml]\n")
    tree.write("base/deployment.yaml", DEPLOYMENT)
    tree.write("top/kustomization.yaml", "resources: [../base]\n")
    return tree


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("spec.replicas", "base/deployment.yaml:6:13"),
        ("spec.template.spec.containers[emqx].image", "base/deployment.yaml:13:18"),
        ("spec.template.spec.containers[emqx].env[A].value", "base/deployment.yaml:16:22"),
        ("spec.template.spec.containers[0].image", "base/deployment.yaml:11:18"),
        ("spec.template.spec.containers[emqx].env", "base/deployment.yaml:14:11"),
        ("spec.template.spec.nothing", "base/deployment.yaml:8:5"),
        ("metadata.annotations[a/b]", "base/deployment.yaml:3:1"),
        ("nothing", "base/deployment.yaml:4:9"),
        ("", "base/deployment.yaml:4:9"),
    ],
)
def test_a_field_of_an_object(tree: Tree, path: str, where: str) -> None:
    assert tree.where(path) == where


def test_a_variable_is_its_value_unless_its_name_is_wrong(tree: Tree) -> None:
    path = "spec.template.spec.containers[emqx].env[A]"
    assert tree.where(path) == "base/deployment.yaml:16:22"
    assert tree.where(path, rule="unknown-variable") == "base/deployment.yaml:15:15"
    tree.write("base/deployment.yaml", DEPLOYMENT.replace('value: "1"', "valueFrom: {fieldRef: {fieldPath: status.podIP}}"))
    assert tree.where(path) == "base/deployment.yaml:15:15"


def test_a_claim_template_by_its_name(tree: Tree) -> None:
    tree.write("base/deployment.yaml", CLAIMS)
    assert tree.where("spec.volumeClaimTemplates[data].spec.storageClassName", "StatefulSet/emqx") == "base/deployment.yaml:12:27"
    assert tree.where("spec.volumeClaimTemplates[none].spec", "StatefulSet/emqx") == "base/deployment.yaml:6:3"


def test_an_unknown_field_is_shown_at_its_name(tree: Tree) -> None:
    assert tree.where("spec.replicas", message="expected a known field; got 'replicas'") == "base/deployment.yaml:6:3"


def test_an_object_that_no_file_has(tree: Tree) -> None:
    assert tree.where("spec", about="Role/emqx") == ""


@pytest.mark.parametrize("name", ["emqx", "b-emqx-s", "a-b-emqx-s-t"], ids=["own name", "name of the middle", "name of the top"])
def test_an_object_under_any_of_its_names(tree: Tree, name: str) -> None:
    tree.write("middle/kustomization.yaml", "resources: [../base]\nnamePrefix: b-\nnameSuffix: -s\n")
    tree.write("top/kustomization.yaml", "resources: [../middle]\nnamePrefix: a-\nnameSuffix: -t\n")
    assert tree.where("spec.replicas", about=f"Deployment/{name}") == "base/deployment.yaml:6:13"


def test_a_name_that_no_layer_gives_is_another_object(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\nnamePrefix: a-\n")
    assert tree.where("spec.replicas", about="Deployment/b-emqx") == ""


def test_replicas_of_the_kustomization(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\nreplicas:\n  - name: other\n    count: 1\n  - name: emqx\n    count: 5\n")
    assert tree.where("spec.replicas") == "top/kustomization.yaml:6:12"


@pytest.mark.parametrize("field", ["newTag: 6.0.0", "digest: sha256:00", "newName: mirror/emqx"])
def test_image_of_the_kustomization(tree: Tree, field: str) -> None:
    tree.write("top/kustomization.yaml", f"resources: [../base]\nimages:\n  - name: other\n    newTag: x\n  - name: emqx/emqx\n    {field}\n")
    assert tree.where("spec.template.spec.containers[emqx].image") == f"top/kustomization.yaml:6:{5 + len(field.split(':', maxsplit=1)[0]) + 2}"


def test_namespace_of_the_kustomization(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\nnamespace: mqtt\n")
    assert tree.where("metadata.namespace") == "top/kustomization.yaml:2:12"


def test_a_patch_file_wins_over_what_it_patches(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatches:\n  - path: patch.yaml\n")
    tree.write("top/patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: emqx}\nspec:\n  replicas: 5\n")
    assert tree.where("spec.replicas") == "top/patch.yaml:5:13"
    assert tree.where("spec.template.spec.containers[emqx].image") == "base/deployment.yaml:13:18"


def test_the_last_of_two_patches_counts(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatches:\n  - path: first.yaml\n  - path: last.yaml\n")
    for name in ("first", "last"):
        tree.write(f"top/{name}.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: emqx}\nspec:\n  replicas: 5\n")
    assert tree.where("spec.replicas") == "top/last.yaml:5:13"


def test_a_patch_in_the_old_field(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatchesStrategicMerge:\n  - patch.yaml\n")
    tree.write("top/patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: emqx}\nspec:\n  replicas: 5\n")
    assert tree.where("spec.replicas") == "top/patch.yaml:5:13"


def test_a_patch_with_a_target_needs_no_name(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatches:\n  - path: patch.yaml\n    target: {kind: Deployment|StatefulSet, name: em.*}\n")
    tree.write("top/patch.yaml", "spec:\n  replicas: 5\n")
    assert tree.where("spec.replicas") == "top/patch.yaml:2:13"


def test_a_patch_with_another_target_is_not_about_it(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatches:\n  - path: patch.yaml\n    target: {kind: StatefulSet}\n")
    tree.write("top/patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: emqx}\nspec:\n  replicas: 5\n")
    assert tree.where("spec.replicas") == "base/deployment.yaml:6:13"


def test_a_target_that_is_no_regular_expression_does_no_harm(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatches:\n  - path: patch.yaml\n    target: {kind: Deployment, name: '('}\n")
    tree.write("top/patch.yaml", "spec: {replicas: 5}\n")
    assert tree.where("spec.replicas") == "base/deployment.yaml:6:13"


@pytest.mark.parametrize(("style", "line", "column"), [("|", 9, 21), ("|-", 9, 21), (">-\n", 0, 0)])
def test_an_inline_patch(tree: Tree, style: str, line: int, column: int) -> None:
    text = "        apiVersion: apps/v1\n        kind: Deployment\n        metadata: {name: emqx}\n        spec:\n          replicas: 5\n"
    tree.write("top/kustomization.yaml", f"resources: [../base]\npatches:\n  -\n    patch: {style}\n{text}" if line else "resources: [../base]\n")
    assert tree.where("spec.replicas") == (f"top/kustomization.yaml:{line}:{column}" if line else "base/deployment.yaml:6:13")


def test_an_inline_json_patch_on_one_line(tree: Tree) -> None:
    tree.write(
        "top/kustomization.yaml",
        """\
        resources: [../base]
        patches:
          - target: {kind: Deployment}
            patch: '[{"op": "replace", "path": "/spec/replicas", "value": 5}]'
        """,
    )
    assert tree.where("spec.replicas").startswith("top/kustomization.yaml:4:")


def test_json_patch_operations(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatchesJson6902:\n  - target: {kind: Deployment, name: emqx}\n    path: patch.yaml\n")
    tree.write(
        "top/patch.yaml",
        """\
        - op: add
          path: /metadata/annotations/a~1b
          value: x
        - op: remove
          path: /spec/replicas
        - op: replace
          path: /spec/template/spec/containers/1/image
          value: emqx/emqx:6.0.0
        """,
    )
    assert tree.where("metadata.annotations[a/b]") == "top/patch.yaml:3:10"
    assert tree.where("spec.replicas") == "top/patch.yaml:5:9"
    assert tree.where("spec.template.spec.containers[emqx].image") == "top/patch.yaml:8:10"


def test_a_json_patch_that_adds_an_entry_is_about_no_other(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\npatches:\n  - path: patch.yaml\n  - {target: {kind: Deployment}, path: json.yaml}\n")
    tree.write(
        "top/patch.yaml",
        """\
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: emqx}
        spec: {template: {spec: {containers: [{name: emqx, env: [{name: B, value: x}]}]}}}
        """,
    )
    tree.write("top/json.yaml", "- {op: add, path: /spec/template/spec/containers/1/env/-, value: {name: C, value: x}}\n")
    env = "spec.template.spec.containers[emqx].env"
    assert tree.where(f"{env}[A]") == "base/deployment.yaml:16:22"
    assert tree.where(f"{env}[B]") == "top/patch.yaml:4:75"
    assert tree.where(f"{env}[C]") == "top/json.yaml:1:66"


def test_settings_that_a_build_lists(tree: Tree) -> None:
    tree.write(
        "base/kustomization.yaml",
        """\
        resources: [deployment.yaml]
        validators:
          - ../checks
          - |
            apiVersion: emqx-gitops.dev/v1alpha1
            kind: EmqxPolicy
            metadata: {name: inline}
            spec: {allow: [{rule: fs-group, reason: x}]}
        """,
    )
    tree.write("checks/kustomization.yaml", "resources: [policy.yaml, other.yaml, twice.yaml]\n")
    tree.write("checks/policy.yaml", "apiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxPolicy\nmetadata: {name: file}\n")
    tree.write("checks/other.yaml", "apiVersion: example.com/v1\nkind: EmqxPolicy\nmetadata: {name: other}\n")
    tree.write("checks/twice.yaml", "apiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxPolicy\nmetadata: {name: twice}\nspec: {}\nspec: {}\n")
    assert sorted(policy["metadata"]["name"] for policy in Built(tree.root / "top").settings("EmqxPolicy")) == ["file", "inline"]
    assert tree.where("spec.allow[fs-group]", about="EmqxPolicy/inline") == "base/kustomization.yaml:8:20"


@pytest.mark.parametrize(
    ("field", "stamped"),
    [
        ("", False),
        ("validators: [../settings]", False),
        ("transformers: [../settings]", False),
        ("transformers: [../settings, 'https://git.example.com/x//plugins/inject?ref=v1']", True),
        ("components: [../cluster]", True),
    ],
)
def test_only_what_a_layer_injects_must_have_been_injected(tree: Tree, field: str, stamped: bool) -> None:
    cluster = "apiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxCluster\nmetadata: {name: emqx}\n"
    tree.write("top/kustomization.yaml", f"resources: [../base]\n{field}\n")
    tree.write("settings/kustomization.yaml", "resources: [settings.yaml]\n")
    tree.write("settings/settings.yaml", cluster.replace("emqx-gitops.dev", "example.com"))
    tree.write("cluster/kustomization.yaml", "kind: Component\ntransformers: [settings.yaml]\n")
    tree.write("cluster/settings.yaml", cluster)
    (resource,) = resources.read(DEPLOYMENT, "deployment.yaml")
    assert Built(tree.root / "top").stamps(resource) is stamped
    assert not Read(()).stamps(resource)


def test_entries_of_a_generated_config_map(tree: Tree) -> None:
    tree.write(
        "top/kustomization.yaml",
        """\
        resources: [../base]
        namePrefix: a-
        configMapGenerator:
          - name: settings
            envs: [emqx.env]
            literals: [LITERAL=1]
            files: [renamed=base.hocon, other.conf]
        """,
    )
    tree.write("top/emqx.env", "# settings\nFIRST=1\nSECOND=2\n")
    tree.write("top/base.hocon", "a = 1\n")
    tree.write("top/other.conf", "b = 1\n")
    name = "ConfigMap/a-settings-6ct58987ht"
    assert tree.where("data.SECOND", about=name) == "top/emqx.env:3:1"
    assert tree.where("data.LITERAL", about=name) == "top/kustomization.yaml:6:16"
    assert tree.where("data.renamed", about=name) == "top/base.hocon:1:1"
    assert tree.where("data[other.conf]", about=name) == "top/other.conf:1:1"
    assert tree.where("data.NOWHERE", about=name) == "top/kustomization.yaml:4:5"
    assert tree.where("metadata", about="ConfigMap/settings") == "top/kustomization.yaml:4:5"


def test_a_component_and_a_transformer_are_part_of_the_build(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base]\ncomponents: [../part]\ntransformers: [settings.yaml]\n")
    tree.write("part/kustomization.yaml", "kind: Component\npatches: [{path: patch.yaml}]\n")
    tree.write("part/patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: emqx}\nspec: {replicas: 9}\n")
    tree.write("top/settings.yaml", "apiVersion: x/v1\nkind: EmqxCluster\nmetadata: {name: inject}\nspec: {version: '9'}\n")
    assert tree.where("spec.replicas") == "part/patch.yaml:4:18"
    assert tree.where("spec.version", about="EmqxCluster/inject") == "top/settings.yaml:4:17"


def test_layers_that_name_each_other_end(tree: Tree) -> None:
    tree.write("base/kustomization.yaml", "resources: [deployment.yaml, ../top]\n")
    assert tree.where("spec.replicas") == "base/deployment.yaml:6:13"


@pytest.mark.parametrize("text", ["a: [\n", "- 1\n", "", "a: 1\n---\nb: 2\n", "&a [*a]\n", "\x00"], ids=repr)
def test_a_kustomization_that_is_none_does_no_harm(tree: Tree, text: str) -> None:
    tree.write("top/kustomization.yaml", text)
    assert tree.where("spec.replicas") == ""


def test_a_resource_that_is_no_yaml_does_no_harm(tree: Tree) -> None:
    tree.write("top/kustomization.yaml", "resources: [../base, bad.yaml, https://git.example.com/x//y?ref=z]\n")
    tree.write("top/bad.yaml", "a: [\n")
    assert tree.where("spec.replicas") == "base/deployment.yaml:6:13"


def test_a_document_further_down_a_file_that_was_read() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n---\n" + DEPLOYMENT
    problems = (
        Problem("rule", "Deployment/emqx", "spec.replicas", "m", "f"),
        Problem("rule", "", "", "m", "f", "stream.yaml:3:1"),
        Problem("rule", "Role/none", "", "m", "f"),
    )
    found = Read(((Path("stream.yaml"), text),)).locate(problems)
    assert [problem.where for problem in found] == ["stream.yaml:11:13", "stream.yaml:3:1", ""]


RENAMES = st.lists(st.builds(Rename, st.sampled_from(["", "a-", "ab-"]), st.sampled_from(["", "-x", "-yx"])), max_size=4)


@given(st.sampled_from(["emqx", "a", "a-a"]), RENAMES, st.integers(0, 4))
def test_a_name_is_known_at_every_height(name: str, renames: list[Rename], height: int) -> None:
    given_there = name
    for rename in renames[:height]:
        given_there = f"{rename.prefix}{given_there}{rename.suffix}"
    assert name in layers.names_below(given_there, tuple(renames))
