"""The check that the members found each other, as layers render it: when it runs again, and what a forgotten plugin leaves behind."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .kustomize import build, objects, rendered, write
from .test_overlays import FAMILIES, OVERLAYS, layer

LABEL = "emqx-gitops.dev/template"
INJECT = "transformers: [../../plugins/inject]\n"


def with_check(clone: Path, overlay: str, more: str = "", *, name: str = "one") -> dict[tuple[str, str], Any]:
    """The objects of a cluster with the check, and with further lines in its kustomization."""
    text = f"namespace: mqtt\nresources: [../../overlays/{overlay}]\ncomponents: [../../base/cluster-formed]\n{more}{INJECT}"
    return objects(rendered(write(clone / "clusters" / name, {"kustomization.yaml": text})))


def of_kind(found: dict[tuple[str, str], Any], *kinds: str) -> Any:
    """The only object of these kinds."""
    (item,) = (item for (kind, _), item in found.items() if kind in kinds)
    return item


def job(found: dict[tuple[str, str], Any]) -> Any:
    return of_kind(found, "Job")


def fingerprint(found: dict[tuple[str, str], Any]) -> str:
    """The label of the pods, which the Service selects by and the Job knows."""
    value = of_kind(found, "Deployment", "StatefulSet")["spec"]["template"]["metadata"]["labels"][LABEL]
    (service,) = (item for (kind, name), item in found.items() if kind == "Service" and name.endswith("cluster-formed"))
    assert service["spec"]["selector"][LABEL] == job(found)["spec"]["template"]["metadata"]["annotations"][LABEL] == value
    return str(value)


def env(found: dict[tuple[str, str], Any]) -> dict[str, Any]:
    (container,) = job(found)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def patched(kind: str, patch: str) -> str:
    """The line of a kustomization that merges this into the object of a kind."""
    return f"patches: [{{target: {{kind: {kind}}}, patch: '{{kind: {kind}, metadata: {{name: any}}, {patch}}}'}}]\n"


ROLLS = {
    "image": "images: [{name: emqx/emqx, newTag: 5.8.8}]\n",
    "setting": "configMapGenerator: [{name: emqx-env, behavior: merge, literals: [EMQX_MQTT__MAX_QOS_ALLOWED=1]}]\n",
    "label of pods": "labels: [{pairs: {team: iot}, includeTemplates: true, includeSelectors: false}]\n",
    "name of a Secret": patched("EmqxCluster", "spec: {node: {cookie: {secretKeyRef: {name: other, key: cookie}}}}"),
    "limit": patched("StatefulSet", "spec: {template: {spec: {containers: [{name: emqx, resources: {limits: {memory: 2Gi}}}]}}}"),
}
ROLLS_NOT = {
    "replicas": "replicas: [{name: emqx, count: 5}]\n",
    "field beside the template": patched("StatefulSet", "spec: {minReadySeconds: 5}"),
}


@pytest.fixture
def plain(clone: Path) -> dict[tuple[str, str], Any]:
    return with_check(clone, "persistent", name="plain")


@pytest.mark.parametrize("change", ROLLS)
def test_it_runs_again_when_the_pods_roll(clone: Path, plain: dict[tuple[str, str], Any], change: str) -> None:
    found = with_check(clone, "persistent", ROLLS[change])
    assert fingerprint(found) != fingerprint(plain)
    assert job(found)["metadata"]["name"] != job(plain)["metadata"]["name"]


@pytest.mark.parametrize("change", ROLLS_NOT)
def test_pods_that_stay_keep_their_fingerprint(clone: Path, plain: dict[tuple[str, str], Any], change: str) -> None:
    assert fingerprint(with_check(clone, "persistent", ROLLS_NOT[change])) == fingerprint(plain)


def test_other_numbers_of_members_are_another_question(clone: Path, plain: dict[tuple[str, str], Any]) -> None:
    found = with_check(clone, "persistent", ROLLS_NOT["replicas"])
    assert (env(plain)["MEMBERS"], env(found)["MEMBERS"]) == ("3", "5")
    assert job(found)["metadata"]["name"] != job(plain)["metadata"]["name"]
    assert job(found)["spec"]["activeDeadlineSeconds"] - job(plain)["spec"]["activeDeadlineSeconds"] == 2 * 900


def test_names_do_not_count(clone: Path) -> None:
    """Nor does a layer above that only renames, without the plugin: the policy would say that the fingerprint is stale."""
    one = with_check(clone, "persistent")
    above = write(clone / "clusters" / "two", {"kustomization.yaml": "resources: [../one]\nnamePrefix: eu-\nnamespace: other\n"})
    two = objects(rendered(above))
    assert fingerprint(two) == fingerprint(one)
    assert validated(above) == ""
    assert all("eu-" in name for _, name in two)


def test_only_the_label_and_the_key_are_new_in_the_pods(clone: Path) -> None:
    without = objects(
        rendered(write(clone / "clusters" / "none", {"kustomization.yaml": f"namespace: mqtt\nresources: [../../overlays/persistent]\n{INJECT}"}))
    )
    found = with_check(clone, "persistent")
    old, new = (of_kind(item, "StatefulSet")["spec"]["template"] for item in (without, found))
    del new["metadata"]["labels"][LABEL]
    (container,) = new["spec"]["containers"]
    container["env"] = [entry for entry in container["env"] if entry["name"] != "EMQX_API_KEY__BOOTSTRAP_FILE"]
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["name"] != "api-key"]
    assert [volume["name"] for volume in new["spec"].pop("volumes")] == ["api-key"]
    assert new == old


def test_detour_over_another_family_leaves_no_trace(clone: Path) -> None:
    direct = with_check(clone, "deployment-ip")
    text = f"resources: [../one]\nimages: [{{name: emqx/emqx, newTag: 4.4.19}}]\n{INJECT}"
    write(clone / "clusters" / "two", {"kustomization.yaml": text})
    back = write(clone / "clusters" / "three", {"kustomization.yaml": text.replace("one", "two").replace("4.4.19", "5.8.9")})
    found = objects(rendered(back))
    # Its name is a hash of more than one sees: of its earlier names too.
    assert {without_hash(name): item["spec"] for (_, name), item in found.items() if "spec" in item} == {
        without_hash(name): item["spec"] for (_, name), item in direct.items() if "spec" in item
    }


def without_hash(name: str) -> str:
    return re.sub("cluster-formed-[a-z0-9]{10}$", "cluster-formed-hash", name)


def test_without_the_job_in_a_layer_above_nothing_of_it_stays_in_the_pods(clone: Path) -> None:
    with_check(clone, "persistent")
    delete = patched("Job", "$patch: delete")
    above = write(clone / "clusters" / "two", {"kustomization.yaml": f"resources: [../one]\n{delete}{INJECT}"})
    template = of_kind(objects(rendered(above)), "StatefulSet")["spec"]["template"]
    assert LABEL not in template["metadata"]["labels"]
    assert "api-key" not in str(template)


@pytest.mark.parametrize("tag", FAMILIES)
def test_every_family_is_asked_in_its_own_way(clone: Path, tag: str) -> None:
    text = layer("deployment-ip", tag) + "namespace: mqtt\ncomponents: [../../base/cluster-formed]\n"
    found = objects(rendered(write(clone / "clusters" / "one", {"kustomization.yaml": text})))
    version = tuple(int(part) for part in tag.lstrip("v").split("."))
    variables, workload = env(found), of_kind(found, "Deployment")
    old = version < (5, 0, 14)
    expected = {"MEMBERS": "3", "PORT": "8081" if version < (5,) else "18083", "API_PATH": f"/api/v{4 if version < (5,) else 5}/nodes"}
    assert expected.items() <= variables.items()
    if old:
        assert (variables["API_USER"], variables["API_PASSWORD"]["secretKeyRef"]) == ("admin", {"name": "emqx-dashboard", "key": "password"})
    else:
        assert variables["API_KEY"]["secretKeyRef"] == {"name": "emqx-api-key", "key": "api-key"}
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    assert ("EMQX_API_KEY__BOOTSTRAP_FILE" in {entry["name"] for entry in container["env"]}) is not old
    (policy,) = (item for (kind, _), item in found.items() if kind == "NetworkPolicy")
    (rule,) = (rule for rule in policy["spec"]["ingress"] if "emqx-cluster-formed" in str(rule))
    assert rule["ports"] == [{"port": "mgmt" if version < (5,) else "dashboard"}]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_selector_of_the_cluster_takes_the_job_for_a_member(clone: Path, overlay: str) -> None:
    found = with_check(clone, overlay)
    labels = job(found)["spec"]["template"]["metadata"]["labels"].items()
    selectors = [item["spec"].get("selector", item["spec"].get("podSelector")) for (kind, _), item in found.items() if kind in SELECTING]
    assert len(selectors) == 7
    assert [selector for selector in selectors if selector.get("matchLabels", selector).items() <= labels] == []


SELECTING = ("Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment", "StatefulSet")


def test_forgotten_plugin(clone: Path) -> None:
    """A changed limit rolls the pods, and the check would not run again."""
    with_check(clone, "persistent")
    above = write(clone / "clusters" / "two", {"kustomization.yaml": f"resources: [../one]\n{ROLLS['limit']}"})
    said = validated(above)
    assert f"spec.template.metadata.labels[{LABEL}]: expected " in said
    assert "[stale]" in said


def test_component_without_the_plugin(clone: Path) -> None:
    folder = write(clone / "clusters" / "one", {"kustomization.yaml": "resources: [../../overlays/persistent]\ncomponents: [../../base/cluster-formed]\n"})
    said = validated(folder)
    assert "Job/emqx-cluster-formed: spec.template.spec.serviceAccountName: expected the name of a ServiceAccount; the placeholder" in said
    check = "validators: [../../plugins/check]\n"
    above = write(clone / "clusters" / "two", {"kustomization.yaml": f"resources: [../one]\n{check}"})
    assert "Job/emqx-cluster-formed: spec.template.spec.serviceAccountName: expected a rendered workload" in build(above).stderr


REFUSED = {
    "a file of ones own": (
        "persistent",
        "5.8.9",
        "configMapGenerator: [{name: emqx-env, behavior: merge, literals: [EMQX_API_KEY__BOOTSTRAP_FILE=/mnt/keys]}]\n",
        "ConfigMap/emqx-env: data[EMQX_API_KEY__BOOTSTRAP_FILE]: expected '/opt/emqx/keys/api-key'",
    ),
    "no file in this release": (
        "deployment-ip",
        "4.4.19",
        patched("EmqxCluster", "spec: {dashboard: {apiKey: {secretKeyRef: {name: keys, key: file}}}}"),
        "EmqxCluster/emqx: spec.dashboard.apiKey: expected no API key: EMQX 4.4.19 takes none from a file; got one [invalid-value]",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(clone: Path, what: str) -> None:
    overlay, tag, more, expected = REFUSED[what]
    text = f"resources: [../../overlays/{overlay}]\ncomponents: [../../base/cluster-formed]\nimages: [{{name: emqx/emqx, newTag: {tag}}}]\n{more}{INJECT}"
    done = build(write(clone / "clusters" / "one", {"kustomization.yaml": text}))
    assert (done.stdout, done.returncode) == ("", 1)
    assert expected in done.stderr


def validated(folder: Path) -> str:
    """What `emqx-gitops validate` says against it."""
    command = [sys.executable, "-m", "emqx_gitops", "validate", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout if done.returncode else ""
