"""What sync/ holds: it builds, and none of it would make a rendering stale or lose a broker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from .manifests import FOLDERS, ROOT, SYNC, built, name, one

SOURCES = {"flux/git": "GitRepository", "flux/oci": "OCIRepository"}
APPLICATIONS = ("argocd/application", "argocd/native/application", "argocd/cmp/application")
APPLICATION_SETS = ("argocd/folders", "argocd/fleet")
# What would change the objects of a rendering, or the text in them.
_FLUX_OVERRIDES = {"commonMetadata", "components", "images", "namePrefix", "nameSuffix", "patches", "postBuild", "targetNamespace"}
# What the two generators give: applicationset/generators/{git,cluster}.go of Argo CD.
_GIT = {".path.path", ".path.basename", ".path.basenameNormalized"}
_CLUSTER = {".name", ".nameNormalized", ".server"}


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_folder_builds(folder: Path) -> None:
    assert built(folder)


@pytest.mark.parametrize(("folder", "source"), SOURCES.items())
def test_flux_reads_the_source_beside_it(folder: str, source: str) -> None:
    found, cluster = one(folder, source), one(folder, "Kustomization")
    assert cluster["spec"]["sourceRef"] == {"kind": source, "name": found["metadata"]["name"]}
    assert cluster["metadata"]["namespace"] == found["metadata"]["namespace"]


def test_flux_never_changes_what_was_rendered() -> None:
    assert set(one("flux/cluster", "Kustomization")["spec"]) & _FLUX_OVERRIDES == set()


def test_flux_waits_prunes_and_never_deletes_a_broker() -> None:
    spec = one("flux/cluster", "Kustomization")["spec"]
    assert {key: spec[key] for key in ("wait", "prune", "force", "deletionPolicy")} == {"wait": True, "prune": True, "force": False, "deletionPolicy": "Orphan"}


def test_a_second_cluster_of_flux_keeps_the_source(tmp_path: Path) -> None:
    text = (SYNC / "flux" / "cluster" / "cluster.yaml").read_text()
    (tmp_path / "cluster.yaml").write_text(text)
    (tmp_path / "kustomization.yaml").write_text("resources: [cluster.yaml]\nnameSuffix: -staging\n")
    (cluster,) = built(tmp_path)
    assert (cluster["metadata"]["name"], cluster["spec"]["sourceRef"]["name"]) == ("emqx-staging", "emqx-rendered")


def application(folder: str) -> dict[str, Any]:
    """The spec of the Application that a folder builds, or of those that its ApplicationSet makes."""
    if folder in APPLICATION_SETS:
        return one(folder, "ApplicationSet")["spec"]["template"]["spec"]
    return one(folder, "Application")["spec"]


@pytest.mark.parametrize("folder", [*APPLICATIONS, *APPLICATION_SETS])
def test_argocd_never_changes_what_was_rendered(folder: str) -> None:
    source = application(folder)["source"]
    assert source.keys() & {"kustomize", "helm"} == set()


@pytest.mark.parametrize("folder", [*APPLICATIONS, *APPLICATION_SETS])
def test_every_application_syncs_alike_and_in_the_project(folder: str) -> None:
    spec, project = application(folder), one("argocd/project", "AppProject")
    assert spec["syncPolicy"] == one("argocd/application", "Application")["spec"]["syncPolicy"]
    assert spec["project"] == project["metadata"]["name"]
    assert spec["source"]["repoURL"] in project["spec"]["sourceRepos"]
    assert spec["destination"]["namespace"] in [destination["namespace"] for destination in project["spec"]["destinations"]]


def test_an_empty_tree_is_never_synced() -> None:
    assert "allowEmpty" not in one("argocd/application", "Application")["spec"]["syncPolicy"]["automated"]


@pytest.mark.parametrize("folder", APPLICATIONS)
def test_a_deleted_application_leaves_its_broker(folder: str) -> None:
    assert "finalizers" not in one(folder, "Application")["metadata"]


@pytest.mark.parametrize("folder", APPLICATION_SETS)
def test_an_application_set_deletes_nothing(folder: str) -> None:
    spec = one(folder, "ApplicationSet")["spec"]
    assert spec["syncPolicy"] == {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}
    assert "finalizers" not in spec["template"]["metadata"]
    # Else Kubernetes deletes what the ApplicationSet owns before the controller can say that it owns nothing any more.
    assert one(folder, "ApplicationSet")["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]


@pytest.mark.parametrize(("folder", "known"), [("argocd/folders", _GIT), ("argocd/fleet", _GIT | _CLUSTER)])
def test_placeholders_are_those_that_the_generators_give(folder: str, known: set[str]) -> None:
    spec = one(folder, "ApplicationSet")["spec"]
    used = set(re.findall(r"\{\{ (\S+) \}\}", json.dumps(spec)))
    assert (spec["goTemplate"], spec["goTemplateOptions"]) == (True, ["missingkey=error"])
    assert used <= known
    assert json.dumps(spec).count("{{") == len(re.findall(r"\{\{ \S+ \}\}", json.dumps(spec)))


@pytest.mark.parametrize("folder", APPLICATION_SETS)
def test_no_placeholder_chooses_the_project(folder: str) -> None:
    assert "{{" not in one(folder, "ApplicationSet")["spec"]["template"]["spec"]["project"]


def test_the_project_permits_what_the_overlays_render_and_no_more() -> None:
    spec = one("argocd/project", "AppProject")["spec"]
    permitted = {(entry["group"], entry["kind"]) for entry in spec["namespaceResourceWhitelist"]}
    goldens = (ROOT / "tests" / "overlays" / "goldens").glob("*.yaml")
    rendered = {_group_kind(item) for golden in goldens for item in yaml.safe_load_all(golden.read_text())}
    assert permitted == rendered | {("batch", "Job")}
    assert spec["clusterResourceWhitelist"] == [{"group": "", "kind": "Namespace"}]


def _group_kind(item: dict[str, Any]) -> tuple[str, str]:
    return item["apiVersion"].rpartition("/")[0], item["kind"]
