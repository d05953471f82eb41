"""Anybody's text -> Markdown, HTML and Mermaid in which it is nothing but text.

Whoever opens a pull request chooses names and values of a report: none may become markup, mention a person, refer to an
issue, end a block, or be a command to the runner that prints the report.
"""

from __future__ import annotations

import re
import unicodedata
from html import escape

# Control characters, those that turn the direction of text, halves of characters, and ends of lines that are no "\n".
_UNSEEN = ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")
_PLAIN = re.compile(r"(?:[^\W_]|['()-])+")
_REFERENCE = re.compile(r"(?i)gh-\d+|[0-9a-f]{7,}")  # an issue, a commit
_TOKEN = re.compile(r"(\S+?)([,.;:)]*)(\s|$)")
_NOT_IN_HTML = re.compile(r"[^A-Za-z0-9 ,./=-]")
_NOT_IN_MERMAID = re.compile(r"[^A-Za-z0-9 /,.-]|(?<![A-Za-z0-9])[./,-]|[./,-](?![A-Za-z0-9])")
# Formulas, ends of lines and icons, which Mermaid looks for when these are characters again: a space of no width breaks them.
_MEANS_MORE = re.compile(r"#36;|#92;|#58;(?=fa)")
_BLOCK = re.compile(r"^(?:[^\w<]|\d(?=\d*[.)]))")
_RUNS = re.compile("`+")
_COMMAND = re.compile(r"(?m)^(\s*):(?=:)")


def visible(text: str, *, lines: bool = False) -> str:
    """The text with what nobody sees written out by its number; on one line, or with its lines."""
    return "".join(character if _is_seen(character) or (lines and character == "\n") else _written(character) for character in text)


def _is_seen(character: str) -> bool:
    return " " <= character <= "~" or unicodedata.category(character) not in _UNSEEN


def _written(character: str) -> str:
    return " " if character in "\n\t\r" else f"\\u{ord(character):04x}"


def clipped(text: str, limit: int) -> str:
    """At most so many characters, and how many more there are."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} more characters)"


def code(text: str) -> str:
    """The text as code, inside a line of Markdown or of HTML: nobody is mentioned in code, and nothing linked."""
    return f"<code>{_entities(visible(text))}</code>"


def prose(text: str) -> str:
    """A sentence, for a line of Markdown or of HTML; words that are names, paths, values or the like become code."""
    found = _TOKEN.sub(lambda match: _word(match[1]) + match[2] + match[3], visible(text).strip())
    # A list, a rule or a heading does not begin with the number of a character.
    return _BLOCK.sub(lambda match: f"&#{ord(match[0])};", found)


def _word(word: str) -> str:
    return word if _PLAIN.fullmatch(word) and not _REFERENCE.search(word) else code(word)


def _entities(text: str) -> str:
    return _NOT_IN_HTML.sub(lambda match: f"&#{ord(match[0])};" if match[0] < "\x80" else match[0], text)


def no_commands(text: str) -> str:
    """The text with a backslash in what a runner of GitHub takes for a command to it: `::` at the start of a line, `##[` anywhere."""
    return _COMMAND.sub(r"\1\\:", text.replace("##[", "#\\#["))


def fence(found: str, language: str = "") -> str:
    """A block of code. No line in it ends it, and a runner that reads the report takes none for a command."""
    text = no_commands(visible(found, lines=True))
    bars = "`" * max(3, 1 + max((len(run) for run in _RUNS.findall(text)), default=0))
    return f"{bars}{language}\n{text}\n{bars}"


def mermaid(text: str) -> str:
    """The text inside a quoted label of Mermaid; `#58;` is Mermaid's own way to write a character."""
    found = _NOT_IN_MERMAID.sub(lambda match: f"#{ord(match[0])};", visible(text))
    return _MEANS_MORE.sub(r"\g<0>#8203;", found)


def html(text: str, *, lines: bool = False) -> str:
    """The text in an element or an attribute of a page."""
    return escape(visible(text, lines=lines))
