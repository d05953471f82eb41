"""The documents of this repository, taken apart: fenced blocks, commands, headings, links."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
# A closing fence has no language; blocks inside a list are indented.
_FENCE = re.compile(r"^[ ]*```(?P<language>\w*)\n(?P<text>.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block."""

    language: str
    text: str


def documents() -> list[Path]:
    """Every Markdown file that belongs to the repository."""
    return [path for path in tracked() if path.suffix == ".md"]


def tracked() -> list[Path]:
    """Every file of the repository, also one that is new and not ignored."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def blocks(text: str) -> list[Block]:
    """The fenced blocks in their order."""
    return [Block(match["language"], match["text"]) for match in _FENCE.finditer(text)]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Where the links lead; examples in blocks and in backquotes are none."""
    return [match["target"] for match in _LINK.finditer(re.sub(r"`[^`\n]*`", "", prose(text)))]


def headings(text: str) -> list[str]:
    """The titles, without the lines of shell blocks that look like some."""
    return [match["title"] for match in _HEADING.finditer(prose(text))]


def anchor(title: str) -> str:
    """The fragment by which GitHub links to a heading."""
    kept = re.sub(r"[^\w\- ]", "", title.lower())
    return kept.replace(" ", "-")


def commands(text: str) -> Iterator[list[str]]:
    """Every simple command that the blocks of a document show, and those in backquotes in its prose, as words."""
    for block in blocks(text):
        if block.language in ("sh", "console"):
            for line in block.text.splitlines():
                if block.language == "sh" or line.startswith("$ "):
                    yield from _simple(line.removeprefix("$ "))
    for match in re.finditer(r"`([^`\n]+)`", prose(text)):
        if match[1].startswith(("make", "emqx-gitops ")):
            yield from _simple(match[1])


def _simple(line: str) -> Iterator[list[str]]:
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    words.whitespace_split = True
    command: list[str] = []
    for word in [*words, "|"]:
        if set(word) <= set("|&;"):
            if command:
                yield command
            command = []
        else:
            command.append(word)
