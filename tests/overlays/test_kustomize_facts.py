"""What the design takes for granted about kustomize, and each guard against it: remove the guard and one of these fails."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .kustomize import ROOT, build, objects, rendered, write

THING = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: thing\ndata:\n  key: value\n"


def plugin(home: Path, kind: str, script: str) -> Path:
    """A throw-away exec plugin."""
    file = home / "test.dev" / "v1" / kind.lower() / kind
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return home


def with_plugin(folder: Path, kind: str, field: str = "transformers") -> Path:
    return write(
        folder,
        {
            "kustomization.yaml": f"resources: [thing.yaml]\n{field}: [plugin.yaml]\n",
            "thing.yaml": THING,
            "plugin.yaml": f"apiVersion: test.dev/v1\nkind: {kind}\nmetadata: {{name: x}}\n",
        },
    )


def test_an_empty_answer_deletes_everything_so_the_function_never_gives_one(tmp_path: Path) -> None:
    result = build(with_plugin(tmp_path / "k", "Silent"), plugin_home=plugin(tmp_path / "home", "Silent", "exit 0"))
    assert (result.returncode, result.stdout) == (0, "")
    answer = subprocess.run(
        [sys.executable, "-I", str(ROOT / "plugins" / "emqx_fn" / "__main__.py"), "EmqxCluster", str(ROOT / "plugins" / "inject" / "emqxcluster.yaml")],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert (answer.returncode, answer.stdout) == (1, b"")


def test_stderr_is_swallowed_on_success_so_there_are_no_warnings(tmp_path: Path) -> None:
    result = build(with_plugin(tmp_path / "k", "Loud"), plugin_home=plugin(tmp_path / "home", "Loud", "echo warning >&2; cat"))
    assert (result.returncode, result.stderr) == (0, "")
    assert "key: value" in result.stdout


def test_a_validator_that_echoes_fails_so_the_policy_prints_nothing(tmp_path: Path) -> None:
    folder = with_plugin(tmp_path / "k", "Echo", "validators")
    assert "shouldn't modify the resource map" in build(folder, plugin_home=plugin(tmp_path / "home", "Echo", "cat")).stderr
    folder = with_plugin(tmp_path / "k2", "Quiet", "validators")
    assert build(folder, plugin_home=plugin(tmp_path / "home2", "Quiet", "exit 0")).returncode == 0


def test_a_krm_function_is_skipped_without_a_word_so_the_overlays_carry_no_function_annotation(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "kustomization.yaml": "resources: [thing.yaml]\ntransformers: [fn.yaml]\n",
            "thing.yaml": THING,
            "fn.yaml": "apiVersion: test.dev/v1\nkind: Fn\nmetadata:\n  name: x\n  annotations:\n"
            "    config.kubernetes.io/function: |\n      exec: {path: /bin/false}\n",
        },
    )
    result = build(folder)
    assert (result.returncode, "key: value" in result.stdout) == (0, True)
    assert build(folder, "--enable-alpha-plugins", "--enable-exec").returncode != 0
    for file in (ROOT / "plugins").rglob("*.yaml"):
        assert "config.kubernetes.io/function" not in file.read_text()


@pytest.mark.parametrize(
    ("flags", "home", "said"),
    [
        (("--stack-trace=false",), ROOT / "plugins", "external plugins disabled"),
        (("--enable-alpha-plugins",), ROOT / "tests", "unable to load external plugin"),
    ],
    ids=["flag forgotten", "another plugin home"],
)
def test_a_wrong_set_up_fails_loudly(flags: tuple[str, ...], home: Path, said: str) -> None:
    result = build(ROOT / "overlays" / "persistent", *flags, plugin_home=home)
    assert result.returncode != 0
    assert said in result.stderr or "expected file with Go object code" in result.stderr
    assert result.stdout == ""


def test_a_shipped_workload_that_nobody_rendered_names_an_account_that_cannot_exist() -> None:
    for kind in ("deployment", "statefulset"):
        found = objects(rendered(ROOT / "base" / kind))
        workload = next(item for (name, _), item in found.items() if name in ("Deployment", "StatefulSet"))
        assert workload["spec"]["template"]["spec"]["serviceAccountName"].startswith("not rendered")


def test_settings_are_patched_by_every_layer_and_a_component_through_prefix_and_namespace(clone: Path) -> None:
    patch = "patches:\n- target: {{kind: EmqxCluster}}\n  patch: |\n    {}\n"
    merge = "kind: EmqxCluster\n    metadata: {name: emqx}\n    spec: {discovery: {autoclean: 5m}}"
    replace = "- {op: add, path: /spec/discovery/autoheal, value: true}"
    by_component = "kind: EmqxCluster\n    metadata: {name: emqx}\n    spec: {node: {name: broker}}"
    write(
        clone / "clusters",
        {
            "part/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n" + patch.format(by_component),
            "one/kustomization.yaml": "resources: [../../overlays/persistent]\nnamePrefix: p-\nnamespace: one\ncomponents: [../part]\n" + patch.format(merge),
            "two/kustomization.yaml": "resources: [../one]\nnameSuffix: -s\nnamespace: two\ntransformers: [../../plugins/inject]\n" + patch.format(replace),
        },
    )
    found = objects(rendered(clone / "clusters" / "two"))
    assert not [key for key in found if key[0] == "EmqxCluster"]
    env = {item["name"]: item.get("value") for item in found["StatefulSet", "p-emqx-s"]["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["EMQX_CLUSTER__AUTOCLEAN"], env["EMQX_CLUSTER__AUTOHEAL"], env["EMQX_NAME"]) == ("5m", "true", "broker")
    assert found["RoleBinding", "p-emqx-s"]["subjects"] == [{"kind": "ServiceAccount", "name": "p-emqx-s", "namespace": "two"}]


def test_names_follow_with_no_plugin_above(clone: Path) -> None:
    write(clone / "clusters" / "x", {"kustomization.yaml": "resources: [../../overlays/persistent]\nnamePrefix: p-\nnameSuffix: -s\nnamespace: far\n"})
    found = objects(rendered(clone / "clusters" / "x"))
    template = found["StatefulSet", "p-emqx-s"]["spec"]["template"]
    assert template["metadata"]["annotations"]["emqx-gitops.dev/discovery-service"] == "p-emqx-headless-s"
    assert found["Role", "p-emqx-s"]["rules"][0]["resourceNames"] == ["p-emqx-headless-s"]
    assert found["RoleBinding", "p-emqx-s"]["subjects"][0] == {"kind": "ServiceAccount", "name": "p-emqx-s", "namespace": "far"}
    labels = [item["metadata"]["labels"]["emqx-gitops.dev/cluster"] for item in found.values() if item["kind"] != "ConfigMap"]
    assert set(labels) == {"p-emqx-s"}


def test_a_strangers_role_that_kustomize_would_rename_too_is_refused(clone: Path) -> None:
    role = (
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: stranger, namespace: emqx}\n"
        'rules: [{apiGroups: [""], resources: [configmaps], resourceNames: [emqx-headless], verbs: [get]}]\n'
    )
    layer = "resources: [../../overlays/persistent, role.yaml]\nnamePrefix: p-\n"
    write(clone / "clusters" / "x", {"kustomization.yaml": layer, "role.yaml": role})
    assert objects(rendered(clone / "clusters" / "x"))["Role", "p-stranger"]["rules"][0]["resourceNames"] == ["p-emqx-headless"]
    write(clone / "clusters" / "x", {"kustomization.yaml": layer + "transformers: [../../plugins/inject]\n"})
    assert "renamed-by-kustomize" in build(clone / "clusters" / "x").stderr


def test_what_a_layer_above_changes_without_the_plugin_is_refused_by_the_policy(clone: Path) -> None:
    layer = "resources: [../../overlays/persistent]\nimages: [{name: emqx/emqx, newTag: 4.4.19}]\nreplicas: [{name: emqx, count: 5}]\n"
    write(clone / "clusters" / "x", {"kustomization.yaml": layer})
    assert "EMQX_CLUSTER__DISCOVERY_STRATEGY" in rendered(clone / "clusters" / "x")  # stale, and exit 0
    write(clone / "clusters" / "x", {"kustomization.yaml": layer + "validators: [../../plugins/check]\n"})
    result = build(clone / "clusters" / "x")
    assert result.returncode != 0
    assert result.stderr.count("[stale]") == 2
    write(clone / "clusters" / "x", {"kustomization.yaml": layer + "transformers: [../../plugins/inject]\nvalidators: [../../plugins/check]\n"})
    assert rendered(clone / "clusters" / "x")


def test_a_transformer_file_outside_is_refused_and_a_folder_is_not(clone: Path) -> None:
    write(clone / "clusters" / "x", {"kustomization.yaml": "resources: [../../overlays/persistent]\ntransformers: [../../plugins/inject/emqxcluster.yaml]\n"})
    assert "is not in or below" in build(clone / "clusters" / "x").stderr
    write(clone / "clusters" / "x", {"kustomization.yaml": "resources: [../../overlays/persistent]\ntransformers: [../../plugins/inject]\n"})
    assert rendered(clone / "clusters" / "x")


def test_a_changed_line_of_settings_rolls_the_pods(clone: Path) -> None:
    def names(text: str) -> tuple[str, str]:
        (clone / "overlays" / "persistent" / "emqx.env").write_text(text)
        found = objects(rendered(clone / "overlays" / "persistent"))
        workload = found["StatefulSet", "emqx"]["spec"]["template"]["spec"]["containers"][0]
        return next(name for kind, name in found if kind == "ConfigMap"), workload["envFrom"][0]["configMapRef"]["name"]

    before, after = names("EMQX_LOG__CONSOLE__LEVEL=info\n"), names("EMQX_LOG__CONSOLE__LEVEL=debug\n")
    assert before[0] == before[1] != after[0] == after[1]


def test_two_clusters_in_one_build_stay_two(clone: Path) -> None:
    for name in ("a", "b"):
        layer = f"resources: [../../overlays/persistent]\nnamePrefix: {name}-\nnamespace: shared\ntransformers: [../../plugins/inject]\n"
        write(clone / "clusters" / name, {"kustomization.yaml": layer})
    write(clone / "clusters" / "both", {"kustomization.yaml": "resources: [../a, ../b]\n"})
    write(clone / "clusters" / "again", {"kustomization.yaml": "resources: [../a, ../b]\ntransformers: [../../plugins/inject]\n"})
    both = rendered(clone / "clusters" / "both")
    assert objects(both) == objects(rendered(clone / "clusters" / "again"))
    alone = objects(rendered(clone / "clusters" / "a")) | objects(rendered(clone / "clusters" / "b"))
    assert objects(both) == alone


def test_a_labels_transformer_of_a_layer_reaches_what_the_plugin_adds(clone: Path) -> None:
    layer = "resources: [../../overlays/persistent]\nlabels: [{pairs: {team: iot}}]\ncommonAnnotations: {owner: iot}\n"
    write(clone / "clusters" / "x", {"kustomization.yaml": layer})
    for item in objects(rendered(clone / "clusters" / "x")).values():
        assert item["metadata"]["labels"]["team"] == "iot"
        assert item["metadata"]["annotations"]["owner"] == "iot"


def test_scalars_that_python_and_kustomize_read_differently_keep_their_meaning(clone: Path) -> None:
    odd = 'spec:\n  template:\n    metadata:\n      annotations: {a: "1e+20", b: "=", c: "<<", d: "0o14", e: "yes", f: "12:30", g: "2020-01-01", h: "~"}\n'
    patch = f"apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: emqx}}\n{odd}"
    write(clone / "clusters" / "x", {"kustomization.yaml": "resources: [../../base/statefulset]\npatches: [{path: p.yaml}]\n", "p.yaml": patch})
    write(
        clone / "clusters" / "y",
        {
            "kustomization.yaml": "resources: [../../overlays/statefulset-hostname]\npatches: [{path: p.yaml}]\ntransformers: [../../plugins/inject]\n",
            "p.yaml": patch,
        },
    )
    values = []
    for layer in ("x", "y"):
        stream = yaml.load_all(rendered(clone / "clusters" / layer), Loader=yaml.BaseLoader)
        workload = next(item for item in stream if item["kind"] == "StatefulSet")
        values.append(workload["spec"]["template"]["metadata"]["annotations"])
    values[1].pop("emqx-gitops.dev/discovery-service")
    assert values[0] == values[1] == {"a": "1e+20", "b": "=", "c": "<<", "d": "0o14", "e": "yes", "f": "12:30", "g": "2020-01-01", "h": "~"}
