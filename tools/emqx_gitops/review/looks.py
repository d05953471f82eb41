"""Text -> the stretches of it that are secret, by the name before them or by their looks. Better one too many than one too few."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from emqx_fn.values import is_secret

_WORDS = (
    "PASSWORD|PASSWD|PASSPHRASE|PASSCODE|PWD|COOKIE|SETCOOKIE|SECRET|TOKEN|CREDENTIAL|AUTHORIZATION"
    "|(?:API|ACCESS|SECRET|PRIVATE|ACCOUNT|SHARED|LICENSE|ENCRYPTION|SIGNING|MASTER)_?KEY|PSK"
)
_SECRET_NAME = re.compile(rf"(?:.*_)?(?:{_WORDS})S?(?:_BASE64|_B64)?")
_HINT = re.compile(r"(?i)pass|pwd|cookie|secret|token|cred|auth|key|psk")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Words in the place of a value, and references to one that is elsewhere.
_NO_VALUE = re.compile(
    r"(?i)[\"']?(?:|true|false|yes|no|on|off|none|null|undefined|default|evaluation|(?:\$\([\w.-]+\)|\$\{[^}]+\})+|<masked [0-9a-f]+>|file://\S*)[\"']?"
)

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_IN_URL = re.compile(r"://[^\s/?#@:\"']*:([^\s\"'<>]{1,1000})@")
_ISSUED = re.compile(r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|sk-[\w-]{16,}|hv[sb]\.[\w-]{16,})")
_SCHEME = re.compile(r"(?i)\b(?:bearer|basic)\s+([\w.~+/=-]{6,})")
_FLAG = re.compile(r"(?:^|(?<=[\s\"'\[,]))--?([A-Za-z][\w.-]*)\s+(\"[^\"]*\"|'[^']*'|[^\s\"',\]]+)")
_NAME = r"(?<![\w.$-])-*(?P<name>[A-Za-z_$][\w.$-]*)\\*[\"']?"
_SET, _SET_IN_PROSE = re.compile(rf"{_NAME}[ \t]*(?:\+?=>?|:=?)[ \t]*"), re.compile(rf"{_NAME}=")
_QUOTED = r"\"\"\".*?(?:\"\"\"|\Z)|\\+\".*?(?:\\+\"|\Z)|\"(?:\\.|[^\"\\])*(?:\"|\Z)|'(?:''|\\.|[^'\\])*(?:'|\Z)"
_BLOCK = r"[|>][-+0-9]*[ \t]*(?:\#[^\n]*)?\n(?P<indent>[ \t]+)[^\n]*(?:\n(?:(?P=indent)[^\n]*|[ \t]*(?=\n)))*"
_VALUE = re.compile(rf"{_BLOCK}|{_QUOTED}|\[[^\]]{{0,1000}}\]|[^\s,;&}}\])\[{{][^\n,;&}}\])]*", re.DOTALL)
_WORD = re.compile(rf"{_QUOTED}|[^\s,;&}}\])]+", re.DOTALL)
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_TOKEN = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_RUN = re.compile(r"[A-Za-z0-9]+")
_NAMED = re.compile(r"\A[A-Z][A-Za-z]+/(?=[a-z0-9-]+\Z)|-[2456789bcdfghkmt]{10}\Z")  # the kind before a name, and the hash that kustomize puts behind it
_PUBLIC = re.compile(r"sha(?:256|384|512)[:-]\Z")  # a digest of something, as in the name of an image


class Span(NamedTuple):
    """A stretch of a text."""

    start: int
    end: int


def is_secret_name(name: str) -> bool:
    """Whether what stands under this name is a secret: a variable, a key of an object, a path of a setting, a flag."""
    if not _HINT.search(name):
        return False
    words = re.sub(r"[^A-Za-z0-9]+", "_", _HUMP.sub("_", name)).upper().strip("_")
    path = name.removeprefix("EMQX_").replace("__", ".").lower()
    return _SECRET_NAME.fullmatch(words) is not None or is_secret(path)


def is_value(text: str) -> bool:
    """Whether a text under such a name is more than a switch or a reference."""
    return _NO_VALUE.fullmatch(text.strip()) is None


def spans(text: str, *, prose: bool = False, names_images: bool = False) -> list[Span]:
    """The secret stretches, in order and apart; in `prose`, `password: …` is a sentence, and only `password=…` a setting.

    In what `names_images`, long random text is the tag of one.
    """
    found = sorted({*_by_name(text, prose), *_by_form(text), *(() if names_images else _random(text))})
    merged: list[Span] = []
    for span in found:
        if merged and span.start < merged[-1].end:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _by_name(text: str, prose: bool) -> Iterator[Span]:
    name, value = (_SET_IN_PROSE, _WORD) if prose else (_SET, _VALUE)
    position = 0
    while match := name.search(text, position):
        position = match.end("name")
        found = value.match(text, match.end()) if is_secret_name(match["name"]) else None
        if found and is_value(found[0]):
            position = found.end()
            yield Span(found.start(), found.start() + len(found[0].rstrip()))
    for flag in _FLAG.finditer(text):
        if is_secret_name(flag[1]) and is_value(flag[2]):
            yield Span(flag.start(2), flag.end(2))


def _by_form(text: str) -> Iterator[Span]:
    for pattern, group in ((_PEM, 0), (_JWT, 0), (_IN_URL, 1), (_ISSUED, 0), (_SCHEME, 1)):
        yield from (Span(match.start(group), match.end(group)) for match in pattern.finditer(text) if is_value(match[group]))


def _random(text: str) -> Iterator[Span]:
    yield from (Span(match.start(), match.end()) for match in _UUID.finditer(text))
    for match in _TOKEN.finditer(text):
        if not _PUBLIC.search(text, 0, match.start()) and _is_random(match[0]):
            yield Span(match.start(), match.end())


def _is_random(token: str) -> bool:
    """Whether a word is of no language: letters, capitals and digits change places more often than in names that people give."""
    token = _NAMED.sub("", token)
    runs = _RUN.findall(token)
    if any(len(run) >= 16 and _is_random_run(run) for run in runs):
        return True
    mixed = any(map(str.islower, token)) and any(map(str.isupper, token))
    return mixed and len(token) >= 20 and sum(map(_changes, runs)) / len("".join(runs)) >= 0.2


def _is_random_run(run: str) -> bool:
    digits, rate = sum(map(str.isdigit, run)), _changes(run) / len(run)
    if digits == len(run) or run.isalpha():
        return run.isalpha() and rate >= 0.2
    # Nobody writes so many letters in a row, and digits among them.
    return (digits >= 2 and (len(run) >= 24 or rate >= 0.2)) or rate >= 0.25


def _changes(run: str) -> int:
    """How often the kind of character changes; a capital that begins a word is no change by itself."""
    kinds = ["d" if character.isdigit() else "u" if character.isupper() else "l" for character in run]
    return sum(one != other and (one, other) != ("u", "l") for one, other in pairwise(kinds))
