"""The OCI artifact: what the pages publish is what Flux is told to read, and who may push it."""

from __future__ import annotations

import re
from typing import Any

import yaml

from emqx_gitops import artifact

from .manifests import ROOT, one

WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yaml").read_text(encoding="utf-8"))


def test_every_address_shown_is_the_one_that_flux_reads() -> None:
    spec = one("flux/oci", "OCIRepository")["spec"]
    pages = "".join((ROOT / "docs" / "sync" / f"{page}.md").read_text(encoding="utf-8") for page in ("flux", "publish"))
    shown = re.findall(r"--oci (\S+)", pages)
    assert len(shown) >= 3
    for address in map(artifact.parse, shown):
        assert (f"oci://{address.repository}", address.tag) == (spec["url"], spec["ref"]["tag"])
    assert set(re.findall(r"value: (oci://\S+)", pages)) == {spec["url"]}


def test_the_annotations_shown_are_those_that_are_written() -> None:
    text = (ROOT / "docs" / "sync" / "publish.md").read_text(encoding="utf-8")
    written = {artifact.CREATED, artifact.SOURCE, artifact.REVISION, artifact.PLUGIN_DIGEST, artifact.VERSION}
    assert set(re.findall(r"^    ((?:org|dev)\.[\w.-]+): ", text, re.MULTILINE)) == written


def job(name: str) -> dict[str, Any]:
    found: dict[str, Any] = WORKFLOW["jobs"][name]
    return found


def test_each_job_may_write_the_one_thing_that_it_publishes() -> None:
    assert WORKFLOW["permissions"] == {}
    assert {name: found["permissions"] for name, found in WORKFLOW["jobs"].items()} == {
        "publish": {"contents": "write"},
        "artifact": {"contents": "read", "packages": "write"},
    }


def test_the_artifact_is_published_only_where_it_is_named_and_from_the_whole_history() -> None:
    steps = job("artifact")["steps"]
    assert job("artifact")["if"] == "vars.RENDERED_ARTIFACT != ''"
    assert steps[0]["with"] == {"fetch-depth": 0, "persist-credentials": False}
    assert steps[-1]["run"] == '.venv/bin/emqx-gitops publish --all --oci "$RENDERED_ARTIFACT"'
