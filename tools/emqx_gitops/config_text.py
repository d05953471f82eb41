"""The text of a configuration file of EMQX -> its settings, each with its place: HOCON from 5.0 on, `key = value` lines before.

HOCON is read by the package hocon-parser, which needs Python 3.11. It reads nothing else here: no environment, and no file that is included.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from emqx_fn import hocon as values

if TYPE_CHECKING:
    from hocon.value import HoconValue

_LINE = re.compile(r"\s*(?P<path>[A-Za-z_$][\w.$-]*)\s*=(?P<text>[^#]*)")
_NO_SETTING = re.compile(r"\s*(?:#.*|include\s.*)?")
_TOKEN = re.compile(
    r'"""(?:[^"]|"(?!""))*"""+|"(?:\\.|[^"\\\n])*"|(?P<comment>(?:#|//)[^\n]*)|\$\{[^}\n]*\}|(?P<sign>\+=|[{}\[\],=:\n])|(?P<blank>[ \t\r\f\v]+)'
    r'|(?P<word>(?:(?!//)[^\s"{}\[\],=:#+$])+|.)',
    re.DOTALL,
)
_SEGMENT = re.compile(r'"((?:\\.|[^"\\])*)"|([^."]+)')
_PLAIN_SEGMENT = re.compile(r"[\w$@-]+")
_UNKNOWN = "\0"  # stands for what only the broker's environment knows


class Place(NamedTuple):
    """A position in the text, counted from 1."""

    line: int
    column: int


class Setting(NamedTuple):
    """A path and its value, as an environment variable would say it; None where the text does not tell."""

    path: str
    text: str | None
    at: Place


class Malformed(Exception):
    """The text is no such file, and this is where it stops to be one."""

    def __init__(self, message: str, at: Place) -> None:
        super().__init__(message)
        self.at = at


def can_read_hocon() -> bool:
    """Whether this Python has the parser."""
    return importlib.util.find_spec("hocon") is not None


def lines(text: str) -> list[Setting]:
    """The settings of a file of EMQX 4.x."""
    found: dict[str, Setting] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if match:
            found[match["path"]] = Setting(match["path"], match["text"].strip(), Place(number, match.start("path") + 1))
        elif not _NO_SETTING.fullmatch(line):
            raise Malformed(f"expected `key = value`; got {_shown(line)}", Place(number, 1))
    return list(found.values())


def _shown(line: str) -> str:
    """The key that a line begins with; anything else may be a secret."""
    key = re.match(r"\s*(\{\w+,|[A-Za-z_][\w.-]*:|[a-z]\w*(?:\.[a-z]\w*)+(?=\s|$))", line)
    return repr(key[1][:40]) if key else "something else"


def hocon(text: str) -> list[Setting]:
    """The settings of a file of EMQX 5 or 6. A list is one setting; an object is those of its members."""
    import hocon as parser

    try:
        tree = parser.parse(text, env=_Environment(), read_file=lambda _: "", package_resolver=lambda *_: "")
    except (parser.ParseError, parser.ResolveError) as error:
        raise Malformed(f"expected HOCON; its parser says: {_reason(error)}", Place(max(error.line, 1), max(error.col, 1))) from None
    except parser.ConfigError:
        raise Malformed("expected HOCON settings; got a list", Place(1, 1)) from None
    places = dict(_places(text))
    return [Setting(".".join(path), value, _place(places, path)) for key in tree for path, value in _leaves((key,), tree.get_value(values.quoted(key)))]


class _Environment(dict[str, str]):
    """Knows every variable, and of none what it holds."""

    def get(self, key: str, default: object = None) -> str:  # noqa: ARG002
        return _UNKNOWN


def _reason(error: Exception) -> str:
    """What the parser says, without the text that it quotes: that may be a secret."""
    return re.sub(r"""'[^']{2,}'|"[^"]{2,}"|: \S+$""", "…", str(error).partition("\n")[0])


def _leaves(path: tuple[str, ...], value: HoconValue | None) -> Iterator[tuple[tuple[str, ...], str | None]]:
    from hocon.value import is_null, is_object

    if value is None or not _PLAIN_SEGMENT.fullmatch(path[-1]) or is_null(value):
        return
    if is_object(value) and value.fields:
        for key, member in value.fields.items():
            yield from _leaves((*path, key), member)
        return
    text = _written(value)
    yield path, None if _UNKNOWN in text else text


def _written(value: HoconValue) -> str:
    """A value as it would stand in an environment variable."""
    from hocon.value import is_array, is_object, is_scalar

    if is_object(value):
        return "{" + ", ".join(f"{values.quoted(key)} = {_written(member)}" for key, member in value.fields.items()) + "}"
    if is_array(value):
        return "[" + ", ".join(map(_written, value.items)) + "]"
    raw = value.raw if is_scalar(value) else ""
    if is_scalar(value) and value.value_type == "string" and values.read(raw) != values.Value("string", raw):
        return values.quoted(raw)
    return raw


# -- places, which the parser does not tell


def _place(places: dict[tuple[str, ...], Place], path: tuple[str, ...]) -> Place:
    """That of the path, or of what it is in."""
    return next((places[path[:count]] for count in range(len(path), 0, -1) if path[:count] in places), Place(1, 1))


class _Scan:
    """Where the keys of a text stand: a stack of open brackets, each with the path that leads there (None in a list)."""

    def __init__(self) -> None:
        self.stack: list[tuple[str, ...] | None] = [()]
        self.key: list[str] = []
        self.start = Place(1, 1)
        self.path: tuple[str, ...] | None = None  # of the value that is being read; None while a key is

    def word(self, text: str, place: Place) -> None:
        if self.path is None:
            self.start = self.start if self.key else place
            self.key.append(text)

    def sign(self, sign: str) -> tuple[str, ...] | None:
        """The path that a key has just been read of, if so."""
        if sign in "{=:+=" and self.path is None and self.key and self.stack[-1] is not None:
            self.path = (*self.stack[-1], *_segments("".join(self.key)))
            self.key = []
            if sign == "{":
                self.stack.append(self.path)
                found, self.path = self.path, None
                return found
            return self.path
        if sign in "{[":
            # Braces around the whole text; then, those of a value.
            around = self.stack[-1] if self.path is None else self.path
            self.stack.append(around if sign == "{" and self.stack[-1] is not None else None)
            self.path = None if self.stack[-1] is not None else ()
        elif sign in "}]" and len(self.stack) > 1:
            self.stack.pop()
            self.path = ()
        elif sign in ",\n" and self.stack[-1] is not None and (self.path is not None or self.ends(sign)):
            self.path = None
            self.key = []
        return None

    def ends(self, sign: str) -> bool:
        """Whether what looks like a key ends here: an include does with its line, and a key may go on below."""
        return (sign == "\n") == (self.key[:1] == ["include"])


def _segments(key: str) -> list[str]:
    return [quoted or plain.strip() for quoted, plain in _SEGMENT.findall(key)]


def _places(text: str) -> Iterator[tuple[tuple[str, ...], Place]]:
    scan, line, start = _Scan(), 1, 0
    for match in _TOKEN.finditer(text):
        if match["sign"]:
            path = scan.sign(match["sign"])
            if path:
                yield path, scan.start
        elif not match["comment"] and not match["blank"]:
            scan.word(match[0], Place(line, match.start() - start + 1))
        if "\n" in match[0]:
            line += match[0].count("\n")
            start = match.start() + match[0].rindex("\n") + 1
