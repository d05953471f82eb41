"""HOCON as EMQX 5 and 6 read it in the value of an environment variable: what does not parse is plain text.

The tokens are those of EMQX's own scanner (emqx/hocon, src/hocon_scanner.xrl), which knows less than HOCON's specification:
an unquoted text begins with a letter, and any other character that it does not know makes the whole value plain text.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Value(NamedTuple):
    """A value as EMQX sees it.

    `kind` is one of null, bool, number, string, array, object, plain (it does not parse: the text as it is) and unknown
    (it refers to something else). `data` is the text, a list of values, or pairs of a path and a value. `spelt` says that
    the value is a single quoted text, which arrives as it stands between its quotes.
    """

    kind: str
    data: Any
    spelt: bool = False


_SPACE = " \t\v\f\u00a0\n\r\u2028\u2029"
# Compiled where they are first used: most values need none. The scanner takes the longest match, hence the order.
_COMMENT = r"(?:#|//)[^\n\r\u2028\u2029]*"
_TOKEN = (
    r"(?P<text>[A-Za-z][A-Za-z0-9_.@%|-]*|[0-9]+(?:%|kb|KB|mb|MB|gb|GB|ms|MS|[dDhHmMsS]))"
    r"|(?P<number>[+-]?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?)?|[+-]?\.[0-9]+)"
    r'|(?P<quoted>"""(?:[^"]|"(?!""))*"""|"(?:\\.|[^"\\\n\r\u2028\u2029])*")'
    r"|(?P<variable>\$\{\??[A-Za-z][A-Za-z0-9_.@%|-]*\})"
)
_WORDS = {"true": "bool", "false": "bool", "null": "null"}
_ESCAPES = {"\\\\": "\\", '\\"': '"', "\\n": "\n", "\\t": "\t", "\\r": "\r", "\\b": "\b", "\\f": "\f"}
_ESCAPE = r'\\[\\"ntrbf]'
_DEEPEST = 32


class _Plain(Exception):
    """The text is no HOCON."""


class _Unknown(Exception):
    """The text is HOCON that says something only the broker knows."""


def read(text: str) -> Value:
    """What EMQX makes of the value of a variable."""
    if text.isascii() and text.isalnum():  # most values
        if text.isdecimal():
            return Value("number", text)
        if text[0].isalpha():
            return Value(_WORDS.get(text, "string"), text)
    try:
        tokens = _scan(text)
        parser = _Parser(tokens)
        value = parser.value(0)
        if parser.position < len(tokens):
            raise _Plain
    except _Plain:
        return Value("plain", text)
    except _Unknown:
        return Value("unknown", text)
    return value


def quoted(text: str) -> str:
    """The text in double quotes of its own, in which it arrives unchanged."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _scan(text: str) -> list[tuple[str, str]]:
    comment_at, token_at = re.compile(_COMMENT).match, re.compile(_TOKEN).match
    tokens: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        if text[position] in _SPACE:
            position += 1
        elif text[position] in "{}[],:=":
            tokens.append((text[position], text[position]))
            position += 1
        elif text[position] in "#/" and (comment := comment_at(text, position)):
            position = comment.end()
        else:
            token = token_at(text, position)
            if token is None:
                raise _Plain
            if token.lastgroup == "variable":
                raise _Unknown
            tokens.append((_WORDS.get(token[0], str(token.lastgroup)), token[0]))
            position = token.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.position = 0

    def peek(self, ahead: int = 0) -> str:
        at = self.position + ahead
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        self.position += 1
        return self.tokens[self.position - 1]

    def value(self, depth: int) -> Value:
        if depth > _DEEPEST:
            raise _Unknown
        kind = self.peek()
        if kind in ("bool", "null", "number"):
            return Value(kind, self.take()[1])
        if kind == "{":
            return self.object(depth)
        if kind == "[":
            return self.array(depth)
        return self.text()

    def text(self) -> Value:
        """Texts side by side become one: that is how a blank gets lost."""
        parts: list[tuple[str, str]] = []
        while self.peek() in ("text", "quoted") and not (parts and self.peek(1) in ("=", ":", "{")):
            parts.append(self.take())
        if not parts:
            raise _Plain
        return Value("string", "".join(part if kind == "text" else _unquote(part) for kind, part in parts), spelt=[kind for kind, _ in parts] == ["quoted"])

    def array(self, depth: int) -> Value:
        self.take()
        values: list[Value] = []
        while self.peek() != "]":
            values.append(self.value(depth + 1))
            if self.peek() == ",":
                self.take()
        self.take()
        return Value("array", values)

    def object(self, depth: int) -> Value:
        self.take()
        fields: list[tuple[str, Value]] = []
        while self.peek() != "}":
            fields.append((self.key(), self.value(depth + 1)))
            if self.peek() == ",":
                self.take()
        self.take()
        return Value("object", fields)

    def key(self) -> str:
        if self.peek() not in ("text", "quoted", "number", "bool", "null"):
            raise _Plain
        kind, text = self.take()
        if text == "include" and self.peek() in ("text", "quoted"):
            raise _Unknown
        if self.peek() in ("=", ":"):
            self.take()
        elif self.peek() != "{":
            raise _Plain
        return _unquote(text) if kind == "quoted" else text


def _unquote(text: str) -> str:
    if text.startswith('"""'):
        return text[3:-3]
    return re.sub(_ESCAPE, lambda match: _ESCAPES[match[0]], text[1:-1])
