"""What the shipped overlays render, and what layers above them make of it: goldens by folder, built by the real kustomize."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

from .kustomize import ROOT, build, objects, rendered, write

HERE = Path(__file__).parent
OVERLAYS = ("deployment-ip", "statefulset-hostname", "persistent")
CASES = sorted(path.parent for path in (HERE / "cases").glob("*/kustomization.yaml"))
FAMILIES = (
    *("v4.1.5", "4.2.14", "4.3.22", "4.4.7", "4.4.19", "5.0.3", "5.0.9", "5.0.26", "5.1.6", "5.2.1", "5.3.2", "5.4.1", "5.5.1"),
    *("5.6.1", "5.7.2", "5.8.9", "5.9.3", "5.10.4", "6.0.3", "6.1.4", "6.2.2", "6.3.0"),
)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay(overlay: str, update_goldens: bool) -> None:
    golden = HERE / "goldens" / f"{overlay}.yaml"
    actual = rendered(ROOT / "overlays" / overlay)
    if update_goldens:
        golden.write_text(actual)
    assert actual == golden.read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path, update_goldens: bool) -> None:
    """A layer: `expected.yaml` is its rendering, `errors.txt` what the plugin says of it."""
    result = build(case)
    refused = result.returncode != 0
    actual = _problems(result.stderr) if refused else result.stdout
    golden = case / ("errors.txt" if refused else "expected.yaml")
    if update_goldens:
        for name in ("errors.txt", "expected.yaml"):
            (case / name).unlink(missing_ok=True)
        golden.write_text(actual)
    assert golden.exists(), result.stderr or result.stdout
    assert actual == golden.read_text()
    assert not (refused and result.stdout)


def _problems(stderr: str) -> str:
    """The plugin's own lines: kustomize puts paths of temporary files around them."""
    start = stderr.index("emqx-gitops: ")
    return re.sub(r"(?m)^Error: .*\n", "", stderr[start:]).split(": unable to")[0].split(": failure in plugin")[0].rstrip() + "\n"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_family_in_every_overlay(overlay: str, clone: Path, update_goldens: bool) -> None:
    """What changes from one EMQX release to the next, as a chain of differences that a person can review."""
    golden = HERE / "goldens" / f"families-{overlay}.diff"
    previous: list[str] = []
    report: list[str] = []
    for tag in FAMILIES:
        current = rendered(write(clone / "clusters" / "one", {"kustomization.yaml": layer(overlay, tag)})).splitlines()
        difference = difflib.unified_diff(previous, current, lineterm="", n=0) if previous else iter(())
        report += [f"=== {tag}", *(line for line in difference if not line.startswith(("@@", "---", "+++")) and "rendered-for" not in line)]
        previous = current
    actual = "\n".join(report) + "\n"
    if update_goldens:
        golden.write_text(actual)
    assert actual == golden.read_text()


def layer(overlay: str, tag: str) -> str:
    new = re.match(r"v?(\d+)\.(\d+)", tag)
    licensed = new is not None and (int(new[1]), int(new[2])) >= (5, 9)
    patch = (
        "patches:\n- target: {kind: EmqxCluster}\n  patch: |\n    kind: EmqxCluster\n    metadata: {name: emqx}\n"
        "    spec: {license: {secretKeyRef: {name: emqx-license, key: key}}}\n"
    )
    return f"resources: [../../overlays/{overlay}]\nimages: [{{name: emqx/emqx, newTag: {tag}}}]\ntransformers: [../../plugins/inject]\n" + (
        patch if licensed else ""
    )


@pytest.mark.parametrize(
    "golden", sorted(HERE.rglob("expected.yaml")) + sorted((HERE / "goldens").glob("*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_policy_accepts_what_the_plugin_rendered(golden: Path, clone: Path) -> None:
    layer = "resources: [all.yaml]\nvalidators: [../../plugins/check]\n"
    write(clone / "clusters" / "x", {"kustomization.yaml": layer, "all.yaml": golden.read_text()})
    assert objects(rendered(clone / "clusters" / "x")) == objects(golden.read_text())


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_one_replica_renders(overlay: str) -> None:
    found = objects(rendered(HERE / "single" / overlay))
    workload = next(item for (kind, _), item in found.items() if kind in ("Deployment", "StatefulSet"))
    assert workload["spec"]["replicas"] == 1


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_it_names_no_namespace_and_no_cluster_domain_in_values(overlay: str) -> None:
    """Namespaces stand in metadata, subjects and selectors; the cluster domain where the settings say it."""
    stream = rendered(ROOT / "overlays" / overlay)
    lines = [line.strip() for line in stream.splitlines() if re.search(r"\bnamespace\b|: emqx$", line)]
    assert {line for line in lines if "namespace" in line} <= {"namespace: emqx", "fieldPath: metadata.namespace"}
    domains = [line.strip() for line in stream.splitlines() if "cluster.local" in line]
    assert all(line.startswith("value: ") for line in domains)


def test_no_secret_value_is_rendered() -> None:
    for overlay in OVERLAYS:
        for (kind, _), item in objects(rendered(ROOT / "overlays" / overlay)).items():
            assert kind != "Secret"
            if kind in ("Deployment", "StatefulSet"):
                env = item["spec"]["template"]["spec"]["containers"][0]["env"]
                secret = [entry for entry in env if re.search("COOKIE|PASSWORD|SECRET|LICENSE", entry["name"])]
                assert secret
                assert all("secretKeyRef" in entry["valueFrom"] for entry in secret)
