"""Configuration files of EMQX as settings with places."""

from __future__ import annotations

import contextlib

import pytest

from emqx_gitops import config_text
from emqx_gitops.config_text import Malformed

needs_hocon = pytest.mark.skipif(not config_text.can_read_hocon(), reason="no parser of HOCON for this Python")


def hocon(text: str) -> dict[str, tuple[str | None, int, int]]:
    return {setting.path: (setting.text, *setting.at) for setting in config_text.hocon(text)}


@needs_hocon
@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("a.b = 1", {"a.b": ("1", 1, 1)}),
        ("# x\na {\n  b = 15s, c : 80%\n}", {"a.b": ("15s", 3, 3), "a.c": ("80%", 3, 12)}),
        ("a { b { c = on } }\na.b.d = off", {"a.b.c": ("on", 1, 9), "a.b.d": ("off", 2, 1)}),
        ("a = 1\na = 2", {"a": ("2", 2, 1)}),
        ("{\n a = 1\n}", {"a": ("1", 2, 2)}),
        ('a = "x y"', {"a": ('"x y"', 1, 1)}),
        ('a = "007"', {"a": ('"007"', 1, 1)}),
        ('a = "plain"', {"a": ("plain", 1, 1)}),
        ('a = """{ b = 1\n"""\nc = 2', {"a": ('"{ b = 1\n"', 1, 1), "c": ("2", 3, 1)}),
        ("a = [{b = 1}, {b = x}]\nc = 1", {"a": ('[{"b" = 1}, {"b" = x}]', 1, 1), "c": ("1", 2, 1)}),
        ("a = [\n  1\n  2\n]\nb = 3", {"a": ("[1, 2]", 1, 1), "b": ("3", 5, 1)}),
        ("a = 1 // b = 2\nc = 3 # d {", {"a": ("1", 1, 1), "c": ("3", 2, 1)}),
        ("a = ${HOME}/x\nb = [${?X}]", {"a": (None, 1, 1), "b": (None, 2, 1)}),
        ("a = 1\nb = ${a}", {"a": ("1", 1, 1), "b": ("1", 2, 1)}),
        ("a = null", {}),
        ('a { "x.y" = 1 }', {}),
        ("a {}", {"a": ("{}", 1, 1)}),
        ("", {}),
    ],
)
def test_hocon(text: str, settings: dict[str, tuple[str | None, int, int]]) -> None:
    assert hocon(text) == settings


@needs_hocon
@pytest.mark.parametrize("include", ['include "x.hocon"', 'include file("x.hocon")', 'include required(file("x.hocon"))', 'include package("p", "x.hocon")'])
def test_nothing_is_included(include: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("a file was opened"))
    assert hocon(f"{include}\na = 1") == {"a": ("1", 2, 1)}


@needs_hocon
def test_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEVEL", "debug")
    assert hocon("a = ${LEVEL}") == {"a": (None, 1, 1)}


@needs_hocon
@pytest.mark.parametrize(
    ("text", "at"),
    [("a {\n b = 1\n", (3, 1)), ("a = \n", (2, 1)), ("a", (1, 2)), ('a = "x\n', (1, 5)), ("[1]", (1, 1)), ("a = ${b}\nb = ${a}", (1, 5)), ("{" * 5000, (1, 2))],
)
def test_what_is_no_hocon(text: str, at: tuple[int, int]) -> None:
    with pytest.raises(Malformed) as caught:
        config_text.hocon(text)
    assert caught.value.at == at


@needs_hocon
@pytest.mark.parametrize("text", ["a = 1{0}", "{{ a = 1 }} s3cret", "a = -s3cret-", "include s3cret", "s3cret = ${{s3cret}}", "a = 1e9s3cret9", "a = 1e{0}"])
def test_no_message_quotes_the_text(text: str) -> None:
    with contextlib.suppress(Malformed):
        config_text.hocon(text.format("5" * 5000))
        return
    with pytest.raises(Malformed) as caught:
        config_text.hocon(text.format("5" * 5000))
    assert "s3cret" not in str(caught.value)
    assert "555" not in str(caught.value)


def test_lines() -> None:
    text = "## x\n\nnode.name = emqx@127.0.0.1\n  mqtt.max=1 # y\ninclude etc/more.conf\nnode.name = b\nlistener.tcp.$name = \n"
    assert [(setting.path, setting.text, *setting.at) for setting in config_text.lines(text)] == [
        ("node.name", "b", 6, 1),
        ("mqtt.max", "1", 4, 3),
        ("listener.tcp.$name", "", 7, 1),
    ]


@pytest.mark.parametrize(("text", "said"), [("a = 1\nb: secret", "got 'b:'"), ("{allow, all}.", "got '{allow,'")])
def test_what_is_no_line(text: str, said: str) -> None:
    with pytest.raises(Malformed, match=said):
        config_text.lines(text)
