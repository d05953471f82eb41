"""The exec plugin and the KRM function give the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .builds import (
    CONFIG,
    CONFIG_TEXT,
    FAMILIES,
    FUNCTION,
    MODES,
    PLUGINS,
    ROOT,
    Mode,
    documents,
    function,
    injected,
    kustomization,
    kustomize,
    plugin_input,
    stream,
)

_LAUNCHER = PLUGINS / "emqx-gitops.dev" / "v1alpha1" / "emqxcluster" / "EmqxCluster"


def resource_list(objects: list[dict[str, Any]], config: dict[str, Any] = CONFIG) -> str:
    body = {"apiVersion": "config.kubernetes.io/v1", "kind": "ResourceList", "items": objects, "functionConfig": config}
    return yaml.dump(body, Dumper=yaml.CSafeDumper, sort_keys=False)


def krm(text: str) -> tuple[int, dict[str, Any], str]:
    done = function([], text.encode())
    return done.returncode, yaml.load(done.stdout, Loader=yaml.CSafeLoader), done.stderr.decode()


CASES = [pytest.param(mode, version, id=f"{mode}-{version}") for mode in MODES for version in FAMILIES[::4] if mode.known_to(version)]


@pytest.mark.parametrize(("mode", "version"), CASES)
def test_directly_both_give_the_same_objects(mode: Mode, version: str) -> None:
    text = stream(mode, version)
    code, result, problems = krm(resource_list(documents(text)))
    assert (code, problems) == (0, "")
    assert result["items"] == documents(injected(text))
    assert result["functionConfig"] == CONFIG
    assert "results" not in result


@pytest.mark.parametrize("overlay", ["deployment-ip", "statefulset-hostname", "persistent"])
def test_after_a_build_both_give_the_same_bytes(overlay: str, tmp_path: Path) -> None:
    plain = plain_overlay(tmp_path / "plain", overlay)
    as_exec = kustomize(kustomization(tmp_path / "exec", resources=[plain], transformers=[PLUGINS / "inject"]))
    annotated = with_function_annotation(tmp_path / "krm")
    as_krm = kustomize(kustomization(tmp_path / "krm", resources=[plain], transformers=[annotated]), "--enable-exec", plugin_home=tmp_path)
    assert as_krm == as_exec


def plain_overlay(folder: Path, overlay: str) -> Path:
    """A copy of the overlay's own lines without the plugin, so that one layer above runs either protocol."""
    source = ROOT / "overlays" / overlay
    fields = yaml.safe_load((source / "kustomization.yaml").read_text())
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    resources = [(source / item).resolve() if item.startswith("..") else item for item in fields["resources"]]
    del fields["transformers"]
    return kustomization(folder, **{**fields, "resources": resources})


def with_function_annotation(folder: Path) -> str:
    """The inject config as a KRM function that kustomize runs itself; it starts a file below the kustomization only."""
    folder.mkdir()
    script = folder / "function.sh"
    script.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I '{FUNCTION}'\n")
    script.chmod(0o755)
    config = json.loads(json.dumps(CONFIG))
    config["metadata"]["annotations"] = {"config.kubernetes.io/function": "exec:\n  path: ./function.sh\n"}
    (folder / "config.yaml").write_text(json.dumps(config))
    return "config.yaml"


def test_the_launcher_gives_the_same_bytes_as_the_function(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG_TEXT)
    text = plugin_input("persistent")
    done = subprocess.run([_LAUNCHER, config], input=text.encode(), capture_output=True, timeout=30, check=True)
    assert done.stdout.decode() == injected(text)


def test_a_refusal_has_results_and_no_items() -> None:
    objects = [
        item | {"spec": {"discovery": {"addressType": "hostnam"}}} if item["kind"] == "EmqxCluster" else item for item in documents(plugin_input("persistent"))
    ]
    code, result, problems = krm(resource_list(objects))
    assert code == 1
    assert result["items"] == []
    assert [(item["severity"], item["resourceRef"], item["field"]) for item in result["results"]] == [
        ("error", {"kind": "EmqxCluster", "name": "emqx"}, {"path": "spec.discovery.addressType"})
    ]
    assert "hostnam" in result["results"][0]["message"]
    assert problems.startswith("emqx-gitops: 1 problem, nothing was written\nEmqxCluster/emqx: spec.discovery.addressType: ")


def test_both_protocols_report_the_same_problems(tmp_path: Path) -> None:
    objects = [
        item | {"spec": {"listeners": {"tcp": {"port": 0}}, "versoin": 5}} if item["kind"] == "EmqxCluster" else item
        for item in documents(plugin_input("persistent"))
    ]
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG_TEXT)
    text = yaml.dump_all(objects, Dumper=yaml.CSafeDumper)
    as_exec = function(["EmqxCluster", str(config)], text.encode())
    _, _, as_krm = krm(resource_list(objects))
    assert as_exec.returncode == 1
    assert as_exec.stdout == b""
    assert as_exec.stderr.decode() == as_krm


def test_the_policy_prints_nothing_as_a_plugin_and_keeps_the_items_as_a_function(tmp_path: Path) -> None:
    policy = {"apiVersion": "emqx-gitops.dev/v1alpha1", "kind": "EmqxPolicy", "metadata": {"name": "check"}}
    final = kustomize(ROOT / "overlays" / "persistent")
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(policy))
    done = function(["EmqxPolicy", str(config)], final.encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    code, result, problems = krm(resource_list(documents(final), policy))
    assert (code, problems) == (0, "")
    assert result["items"] == documents(final)
