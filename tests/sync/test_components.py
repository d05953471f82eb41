"""The components that a cluster's folder lists: annotations, and nothing else, through the plugin and past every rule."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .manifests import ARGOCD, COMPONENTS, cluster, name, objects, rendered, write

OVERLAYS = ("deployment-ip", "statefulset-hostname", "persistent")
ENGINES = ("argocd", "flux")
CONFIRM = {"argocd.argoproj.io/sync-options": "Prune=confirm,Delete=confirm"}
NEVER = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false"}
FIRST = {"argocd.argoproj.io/sync-wave": "-1"}
KEPT = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
AS_IT_IS = {"kustomize.toolkit.fluxcd.io/substitute": "disabled"}
EXPECTED: dict[str, dict[str, dict[str, str]]] = {
    "argocd": {
        "ConfigMap": {"argocd.argoproj.io/sync-options": "PruneLast=true", **FIRST},
        "Namespace": {**NEVER, **FIRST},
        "StatefulSet": CONFIRM,
        **dict.fromkeys(("NetworkPolicy", "Role", "RoleBinding", "ServiceAccount"), FIRST),
    },
    "flux": {"ConfigMap": {**KEPT, **AS_IT_IS}, "Deployment": AS_IT_IS, "Namespace": KEPT, "StatefulSet": AS_IT_IS},
}


def test_every_component_is_tested() -> None:
    assert [name(folder) for folder in COMPONENTS] == ["argocd/annotations", "argocd/cmp/repo-server", "argocd/native/repo-server", "flux/annotations"]


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_component_adds_its_annotations_and_nothing_else(engine: str, overlay: str, clone: Path) -> None:
    plain, annotated = (objects(rendered(cluster(clone, overlay, *listed))) for listed in ((), (engine,)))
    expected = copy.deepcopy(plain)
    for (kind, _), item in expected.items():
        if kind in EXPECTED[engine]:
            item["metadata"].setdefault("annotations", {}).update(EXPECTED[engine][kind])
    assert annotated == expected


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_both_components_together_pass_every_rule(overlay: str, clone: Path) -> None:
    command = [sys.executable, "-m", "emqx_gitops", "validate", "."]
    done = subprocess.run(command, cwd=cluster(clone, overlay, *ENGINES), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("clusters/one-argocd-flux: 11 objects, valid for ")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_claim_of_its_own_is_kept_too(engine: str, clone: Path) -> None:
    claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: backup\n"
    folder = write(clone / "claim", {"claim.yaml": claim, "kustomization.yaml": f"resources: [claim.yaml]\ncomponents: [../sync/{engine}/annotations]\n"})
    (found,) = objects(rendered(folder)).values()
    assert found["metadata"]["annotations"] == {"argocd": NEVER, "flux": KEPT}[engine]


def installed(clone: Path, route: str) -> dict[tuple[str, str], Any]:
    """Argo CD with the component of a route."""
    kustomization = f"namespace: argocd\nresources: [install.yaml]\ncomponents: [../sync/argocd/{route}/repo-server]\n"
    return objects(rendered(write(clone / route, {"install.yaml": ARGOCD, "kustomization.yaml": kustomization})))


def test_native_route_sets_the_flag_and_where_the_plugin_is(clone: Path) -> None:
    found = installed(clone, "native")
    # Not by version: Argo CD ignores that.
    assert found["ConfigMap", "argocd-cm"]["data"] == {"kustomize.buildOptions": "--enable-alpha-plugins"}
    pod = found["Deployment", "argocd-repo-server"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert {entry["name"] for entry in server["env"]} == {"REDIS_SERVER", "KUSTOMIZE_PLUGIN_HOME"}
    assert [container["name"] for container in pod["initContainers"]] == ["copyutil"]


def test_sidecar_mounts_the_socket_its_config_and_a_tmp_of_its_own(clone: Path) -> None:
    found = installed(clone, "cmp")
    pod = found["Deployment", "argocd-repo-server"]["spec"]["template"]["spec"]
    sidecar, server = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in sidecar["volumeMounts"]}
    assert (sidecar["name"], server["name"]) == ("emqx-gitops", "argocd-repo-server")
    assert set(mounts) == {"/var/run/argocd", "/home/argocd/cmp-server/plugins", "/home/argocd/cmp-server/config/plugin.yaml", "/tmp"}
    assert set(mounts.values()) <= set(volumes)
    assert sidecar["securityContext"]["runAsUser"] == 999
    assert ("ConfigMap", volumes["emqx-gitops-config"]["configMap"]["name"]) in found
