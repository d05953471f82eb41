"""What the documents show exists: commands, options, targets, links; and both languages show the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

from emqx_fn.family import SUPPORTED
from emqx_gitops import schemas
from emqx_gitops.cli import app
from emqx_gitops.installation import OLDEST_KUSTOMIZE

from .documents import ROOT, anchor, blocks, commands, documents, headings, links, tracked

DOCUMENTS = documents()
MAKE = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
MAKE_VARIABLES = {"ARGS", "FORCE", "GO", "KUBECONFORM", "KUSTOMIZE", "LINKS", "PYTHON"}
CLI = typer.main.get_command(app)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_make_target_exists(document: Path) -> None:
    shown = [command[1:] for command in commands(document.read_text(encoding="utf-8")) if command[0] == "make"]
    unknown = [word for words in shown for word in words if not _make_word(word)]
    assert unknown == []


def _make_word(word: str) -> bool:
    variable, equals, _ = word.partition("=")
    return variable in MAKE_VARIABLES if equals else word in MAKE


def test_every_make_variable_is_one_of_the_makefile() -> None:
    assert set(re.findall(r"^([A-Z]+) \?=", read("Makefile"), re.MULTILINE)) == MAKE_VARIABLES


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_verb_and_option_exists(document: Path) -> None:
    shown = [command[1:] for command in commands(document.read_text(encoding="utf-8")) if command[0] == "emqx-gitops"]
    assert [problem for words in shown for problem in _unknown(CLI, words)] == []


def _unknown(command: Any, words: list[str]) -> list[str]:
    if hasattr(command, "commands"):
        verb = next((word for word in words if not word.startswith("-")), "")
        # In prose, an ellipsis stands for any verb.
        return [] if verb in ("", "…") else _unknown(command.commands[verb], words[words.index(verb) + 1 :]) if verb in command.commands else [verb]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help", "-h"}
    return [word for word in words if word.startswith("-") and word != "-" and word.partition("=")[0] not in known]


@pytest.mark.parametrize(("line", "found"), [("frobnicate overlays/x", ["frobnicate"]), ("render --frob x", ["--frob"]), ("render --all", [])])
def test_an_unknown_verb_or_option_is_seen(line: str, found: list[str]) -> None:
    assert _unknown(CLI, line.split()) == found


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = [target for target in links(document.read_text(encoding="utf-8")) if not _leads_somewhere(document, target)]
    assert broken == []


def _leads_somewhere(document: Path, target: str) -> bool:
    if target.startswith("https://"):
        return True
    path, _, fragment = unquote(target).partition("#")
    found = document.parent / path if path else document
    if not found.resolve().is_relative_to(ROOT) or not found.exists():
        return False
    return not fragment or fragment in [anchor(title) for title in headings(found.read_text(encoding="utf-8"))]


_PATH = re.compile(r"`((?:\.ci|\.github|base|docs|overlays|plugins|schemas|tests|tools)/[^`\s…<]*)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_path_of_the_repository_exists(document: Path) -> None:
    named = _PATH.findall(document.read_text(encoding="utf-8"))
    assert [path for path in named if not any(ROOT.glob(path.rstrip("/")))] == []


def test_architecture_has_every_module_of_the_function() -> None:
    section = read("docs/architecture.md").partition("\n## The function")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    rows = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    modules = [path.stem for path in (ROOT / "plugins" / "emqx_fn").glob("*.py") if not path.stem.startswith("_")]
    assert sorted(rows) == sorted(modules)


def test_every_decision_is_listed() -> None:
    pages = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert [target for target in links(read("docs/decisions/README.md")) if not target.startswith("https://")] == pages


def test_both_languages_show_the_same_blocks() -> None:
    english, chinese = (
        [re.sub(r"# .*", "#", block.text) for block in blocks(read(path)) if block.language != "mermaid"] for path in ("README.md", "README.zh.md")
    )
    assert chinese == english


def test_both_languages_have_as_many_sections() -> None:
    english, chinese = (headings(read(path)) for path in ("README.md", "README.zh.md"))
    # In Chinese there is one more: where the steps of the 2020 article are.
    assert len(chinese) == len(english) + 1


@pytest.mark.parametrize("readme", ["README.md", "README.zh.md"])
def test_versions_are_those_of_the_code(readme: str) -> None:
    text = read(readme)
    cells = dict(re.findall(r"^\| (EMQX|Kubernetes|kustomize|Python) \| (.*) \|$", text, re.MULTILINE))
    numbers = {name: re.findall(r"\d+\.\d+(?:\.\d+)?", cell) for name, cell in cells.items()}
    pinned = re.findall(r"sigs\.k8s\.io/kustomize/kustomize/v5 v(\S+)", read("tools/go.mod"))
    tested = re.findall(r'^ +- "(3\.\d+)"$', read(".github/workflows/ci.yaml"), re.MULTILINE)
    assert numbers == {
        "EMQX": re.findall(r"\d+\.\d+", SUPPORTED),
        "Kubernetes": [schemas.SUPPORTED[0], schemas.SUPPORTED[-1]],
        "kustomize": [".".join(map(str, OLDEST_KUSTOMIZE)), *pinned],
        "Python": tested,
    }
    (image,) = re.findall(r"image: (\S+)", read("base/pod/pod-template.yaml"))
    assert f"`{image}`" in text


def test_readme_explains_every_step_of_continuous_integration() -> None:
    steps = [f"make {words}".strip() for words in re.findall(r"^step(?: ([a-z0-9-]+))?$", read(".ci/run"), re.MULTILINE)]
    assert steps == ["make", "make lint", "make test", "make test-cluster", "make e2e"]
    shown = {" ".join(command) for command in commands(read("README.md"))}
    assert set(steps) <= shown


# Written so that this file does not hold what it looks for.
_FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.$}~/-])/(?:root|work)/",
            r"/(?:home|Users)/(?!USER|you\b|x\b|argocd\b)\w+/",
            r"proxy\.golang\.\w+",
            r"sum\.golang\.\w+",
            r"pypi\.(?:org|python)",
            r"pythonhosted\.\w+",
            r"deb\.debian\.\w+",
            r"registry\.npmjs\.\w+",
        ]
    )
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    own = Path(__file__).resolve()
    found = [f"{name(path)}: {match[0]}" for path in tracked() if path != own for match in _FORBIDDEN.finditer(_text(path))]
    assert found == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("see /{}/x", "root"),
        ("in '/{}/main'", "work"),
        ("https://{}.org/simple", "pypi"),
        ("GOPROXY=https://proxy.{}.org", "golang"),
        ("/{}/someone/x", "home"),
    ],
)
def test_what_names_a_machine_or_a_registry_is_seen(text: str, word: str) -> None:
    assert _FORBIDDEN.search(text.format(word))
    assert not _FORBIDDEN.search(text.format("elsewhere"))
