"""The check that the members found each other, as each engine is to run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .manifests import ROOT, objects, rendered, write

HOOK = {"argocd.argoproj.io/hook": "PostSync", "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}
FORCE = {"kustomize.toolkit.fluxcd.io/force": "enabled", "kustomize.toolkit.fluxcd.io/substitute": "disabled"}
ANNOTATIONS: dict[tuple[str, ...], dict[str, str]] = {(): {}, ("argocd",): HOOK, ("flux",): FORCE, ("argocd", "flux"): {**HOOK, **FORCE}}
MIGRATION = (
    "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migration\nspec:\n  template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}\n"
)


def jobs(clone: Path, *engines: str) -> dict[str, Any]:
    """The Jobs of a cluster with the check and one of its own, by name."""
    components = ", ".join(["../../base/cluster-formed", *(f"../../sync/{engine}/annotations" for engine in engines)])
    text = f"namespace: emqx-one\nresources: [../../overlays/persistent, job.yaml]\ncomponents: [{components}]\ntransformers: [../../plugins/inject]\n"
    found = objects(rendered(write(clone / "clusters" / "one", {"kustomization.yaml": text, "job.yaml": MIGRATION})))
    return {name: item for (kind, name), item in found.items() if kind == "Job"}


@pytest.mark.parametrize("engines", ANNOTATIONS)
def test_engines_are_told_of_the_check_and_of_no_other_job(clone: Path, engines: tuple[str, ...]) -> None:
    found = jobs(clone, *engines)
    substitute = {key: value for key, value in ANNOTATIONS[engines].items() if key.endswith("substitute")}
    assert found.pop("migration")["metadata"].get("annotations", {}) == substitute
    ((name, job),) = found.items()
    assert job["metadata"].get("annotations", {}) == ANNOTATIONS[engines]
    # Argo CD deletes the hook of the same name before it creates one. Everybody else needs a new name: a Job cannot be changed.
    assert (name == "emqx-cluster-formed") is ("argocd" in engines)


def test_nothing_ends_the_job_early_or_runs_it_again(clone: Path) -> None:
    """With a TTL it would be gone, and made again, at each reconcile."""
    (spec,) = (job["spec"] for name, job in jobs(clone, "flux").items() if name != "migration")
    assert "ttlSecondsAfterFinished" not in spec
    assert spec["activeDeadlineSeconds"] > 3 * (150 + 600)


def test_the_project_of_argocd_permits_it() -> None:
    assert "kind: Job" in (ROOT / "sync" / "argocd" / "project" / "appproject.yaml").read_text()
