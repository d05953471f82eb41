"""The Markdown reports: as golden, never too long, and nothing in them is markup that somebody else wrote."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from emqx_gitops.project import Target
from emqx_gitops.review import as_markdown, gate
from emqx_gitops.review.markup import visible
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import Finding, Review, TargetReview

from . import nasty
from .harness import ROOT, review, told

CASES = Path(__file__).parent / "cases"
GOLDENS = Path(__file__).parent / "markdown"
FORMS = {"comment": as_markdown.comment, "summary": as_markdown.summary, "full": as_markdown.full}
LIMITS = {"comment": 60_000, "summary": 1 << 20}
TAGS = re.compile(r"</?(?:code|details|summary|br)>|<details open>|" + re.escape(as_markdown.MARKER))
PARSER = MarkdownIt("commonmark", {"linkify": False}).enable("table")


def written(found: Review, form: str) -> str:
    return FORMS[form](Shown(found), lambda _, text: text)


@pytest.mark.parametrize("golden", sorted(GOLDENS.glob("*.md")), ids=lambda golden: golden.stem)
def test_case(golden: Path, update_goldens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    folder = CASES / golden.stem
    said = told(review(folder), "markdown-comment").replace(folder.relative_to(ROOT).as_posix(), "CASE")
    if update_goldens:
        golden.write_text(said)
    assert said == golden.read_text()


# Nobody's markup


def blocks(text: str) -> list[Token]:
    return PARSER.parse(text)


def shape(text: str) -> list[str]:
    """The blocks of a text, without what is inside code."""
    return [
        f"{token.type} {token.info} {re.sub('<code>.*?</code>', '', token.content) if token.type == 'html_block' else ''}".strip() for token in blocks(text)
    ]


def loose(text: str) -> str:
    """What is text for the reader and not code: in it people would be mentioned, and issues linked."""
    found = ""
    for token in blocks(text):
        if token.type == "html_block":
            found += re.sub("<code>.*?</code>", "", token.content)
        depth = 0
        for child in token.children or ():
            assert child.type in ("text", "html_inline", "strong_open", "strong_close", "em_open", "em_close"), (child.type, child.content)
            if child.type == "html_inline":
                assert TAGS.fullmatch(child.content), child.content
                depth += {"<code>": 1, "</code>": -1}.get(child.content, 0)
            elif not depth:
                found += child.content
    return found


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(text=nasty.TEXTS)
def test_no_text_is_markup(form: str, text: str) -> None:
    """Whatever the names, values and messages are, the report has the same blocks as with harmless ones."""
    assume(visible(text).strip())
    said, plain = written(nasty.review(text), form), written(nasty.review("x"), form)
    assert shape(said) == shape(plain)
    rest = loose(said)
    assert "@" not in rest
    assert not re.search(r"#\d|GH-\d|https?:|www\.|[0-9a-f]{7}", rest)


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(text=nasty.TEXTS)
def test_no_line_is_a_command_to_the_runner(form: str, text: str) -> None:
    said = written(nasty.review(text), form)
    assert "##[" not in said
    assert [line for line in re.split(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]", said) if line.lstrip().startswith("::")] == []
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f]", said)


def test_it_begins_with_the_marker() -> None:
    for form in FORMS:
        assert written(nasty.review("x"), form).startswith("<!-- emqx-gitops-review -->\n")


# Consents


def test_the_line_to_paste_is_what_the_gate_takes() -> None:
    found = nasty.review("x")
    open_ = replace(found, targets=(TargetReview(found.targets[0].pair, found.targets[0].findings),))
    said = written(open_, "comment")
    lines = re.findall(r"^Accept: (.*)$", said, re.MULTILINE)
    consents = [gate.parse(line.replace("REASON", "it is meant"), "comment") for line in lines]
    granted, unused = gate.grant(open_.targets, [consent for consent in consents if consent], "2026-01-31")
    assert len(lines) == 2
    assert unused == ()
    assert not granted[0].open
    assert said.index("Accept: ") < said.index("<code>b</code>") < said.index("<code>a</code>") < said.index("<code>c</code>")


# Sizes


def long(words: int, targets: int, findings: int) -> Review:
    """As much as somebody wants."""
    text = "word@`<& " * words
    found = nasty.review("x")
    pair = found.targets[0].pair
    many = tuple(Finding("a", "danger", f"Kind/x{number}", text, text, (text,) * 30) for number in range(findings))
    names = [f"clusters/{number}" for number in range(targets)]
    return replace(found, targets=tuple(TargetReview(replace(pair, target=Target(Path(name), name)), many) for name in names), base=text)


@pytest.mark.parametrize("form", LIMITS)
@settings(max_examples=12, deadline=None)
@given(words=st.sampled_from([0, 1, 100, 3_000, 30_000]), targets=st.integers(0, 150), findings=st.integers(0, 12))
def test_it_is_never_too_long(form: str, words: int, targets: int, findings: int) -> None:
    said = written(long(words, targets, findings if words < 3_000 else 2), form)
    assert len(said.encode()) < LIMITS[form]
    assert len(re.findall(r"^<details", said, re.MULTILINE)) == said.count("</details>")
    loose(said)


def test_what_is_left_out_is_counted() -> None:
    said = written(long(20, 150, 60), "comment")
    findings, lines = (int(re.findall(rf"_(\d+) more {noun}s: see the full report\._", said)[0]) for noun in ("danger finding", "line"))
    assert 0 < said.count("**<code>a</code>**") == 60 - findings
    assert len(re.findall(r"^Accept: ", said, re.MULTILINE)) == 9_000 - lines
    assert "_3 more diagrams: see the full report._" in said
    assert "_150 more targets: see the full report._" in said


def test_the_whole_leaves_nothing_out() -> None:
    said = written(long(3_000, 30, 12), "full")
    assert said.count("**<code>a</code>**") == 12
    assert said.count("Topology of") == 30
    assert "see the full report" not in said
