"""docs/sync: every page names files that exist, shows what builds, and none of the overrides that make a rendering stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .manifests import ARGOCD, COMPONENTS, FOLDERS, ROOT, rendered, write

PAGES = sorted((ROOT / "docs" / "sync").glob("*.md"))
ROUTES = ("flux", "argocd-rendered", "argocd-native", "argocd-cmp")
_PATH = re.compile(r"`(sync/[^`\s…<]*)`")
_YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OVERRIDE = re.compile(r"^\s*(?:targetNamespace|postBuild|commonMetadata):", re.MULTILINE)


def read(page: str) -> str:
    return (ROOT / "docs" / "sync" / f"{page}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_names_what_is_there(page: Path) -> None:
    assert [path for path in _PATH.findall(page.read_text(encoding="utf-8")) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("route", ROUTES)
def test_page_says_when_what_it_costs_and_what_it_cannot_do(route: str) -> None:
    titles = re.findall(r"^## (.+)$", read(route), re.MULTILINE)
    assert [title for title in titles if title in ("When to choose it", "What it costs", "What it cannot do")] == [
        "When to choose it",
        "What it costs",
        "What it cannot do",
    ]


def test_the_table_of_choice_has_every_route() -> None:
    assert [route for route in ROUTES if f"]({route}.md)" not in read("README")] == []


def test_every_folder_is_on_a_page() -> None:
    named = {path.rstrip("/") for route in ROUTES for path in _PATH.findall(read(route))}
    assert sorted({folder.relative_to(ROOT).as_posix() for folder in (*FOLDERS, *COMPONENTS)} - named) == []


@pytest.mark.parametrize("route", ROUTES)
def test_every_kustomization_shown_builds(route: str, clone: Path) -> None:
    shown = [text for text in _YAML.findall(read(route)) if "kustomize.config.k8s.io" in text]
    assert shown
    for number, text in enumerate(shown):
        assert not _OVERRIDE.search(text)
        folder = write(clone / "clusters" / f"shown-{number}", {"kustomization.yaml": text, "namespace.yaml": _NAMESPACE, "argo-cd.yaml": ARGOCD})
        assert rendered(folder)


_NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: emqx-prod\n"
