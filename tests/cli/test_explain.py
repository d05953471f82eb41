"""`emqx-gitops explain`: rules by their pages, and what a word is taken for."""

from __future__ import annotations

import json

import pytest

from emqx_fn.spec import WAIVABLE
from emqx_gitops import explain, rule_pages

from .conftest import ROOT, Repo

PAGES = sorted(path for path in (ROOT / "docs" / "rules").glob("*.md") if path.stem != "README")


def test_a_rule_is_its_page(repo: Repo) -> None:
    ran = repo.run("explain", "stale")
    assert (ran.code, ran.out, ran.err) == (0, (ROOT / "docs" / "rules" / "stale.md").read_text(encoding="utf-8"), "")


def test_there_are_pages_and_the_list_of_them_is_none() -> None:
    assert rule_pages.known() == [path.stem for path in PAGES]
    assert rule_pages.page("README") is None


@pytest.mark.parametrize("rule", [path.stem for path in PAGES])
def test_a_page_begins_with_a_sentence_that_says_what_the_rule_is(rule: str) -> None:
    page = json.loads(explain.answer(rule, "json", None))
    assert (page["rule"], page["waivable"]) == (rule, rule in WAIVABLE)
    assert page["summary"].endswith(".")
    assert not page["summary"].startswith(("#", "*"))
    assert page["page"] == (ROOT / "docs" / "rules" / f"{rule}.md").read_text(encoding="utf-8")


def test_a_variable_is_one_also_where_a_file_is_called_so(repo: Repo) -> None:
    repo.write("EMQX_MQTT__MAX_PACKET_SIZE", "kind: ConfigMap\n")
    assert repo.run("explain", "EMQX_MQTT__MAX_PACKET_SIZE").out == repo.run("explain", "mqtt.max_packet_size").out


def test_what_is_refused_is_not_explained(repo: Repo) -> None:
    repo.write("clusters/a/kustomization.yaml", "resources:\n  - nowhere.yaml\n")
    ran = repo.run("explain", "clusters/a")
    assert (ran.code, ran.out) == (1, "")
    assert "nowhere.yaml" in ran.err


def test_a_rendering_is_the_cluster_that_it_makes(repo: Repo) -> None:
    ran = repo.run("explain", "overlays/persistent")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("StatefulSet/emqx in namespace emqx: EMQX ")
    rendered = repo.run("render", "overlays/persistent").out
    assert repo.run("explain", "-", stdin=rendered).out == ran.out
    assert json.loads(repo.run("explain", "overlays/persistent", "--output", "json").out)["name"] == "overlays/persistent"


def test_a_rendering_without_a_cluster_is_a_problem(plain: Repo) -> None:
    ran = plain.run("explain", "clusters/plain")
    assert (ran.code, ran.out) == (1, "")
    assert "[no-cluster]" in ran.err
