"""Every field of what sync/ holds is one that this Flux and this Argo CD know."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.sync.manifests import FOLDERS, built, name

from cluster.controlplane import PROGRAMS
from emqx_gitops import crds, resources

CRDS = PROGRAMS.parent / "manifests"
OF = ("source-controller", "kustomize-controller", "argocd")


@cache
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    files = [path for program in OF for path in sorted((CRDS / program).rglob("*.yaml"))]
    return crds.schemas(resource for path in files for resource in resources.read(path.read_text(encoding="utf-8"), path.name))


@pytest.mark.parametrize("folder", FOLDERS, ids=name)
def test_every_field_is_known(folder: Path) -> None:
    for item in built(folder):
        schema = schemas()[item["kind"], item["apiVersion"]]
        errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(json.dumps(item)))
        assert [f"{item['kind']}: {error.json_path}: {error.message}" for error in errors] == []
