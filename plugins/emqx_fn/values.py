"""Whether a release takes a value for a key, and takes it as it is written: types, ranges, and how each loader reads text."""

from __future__ import annotations

import re

from emqx_fn.hocon import Value, quoted, read
from emqx_fn.keytable import Key, variable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Verdict(NamedTuple):
    """What is wrong with a value: the rule, the message, the fix; `sure` is false where the release may take it all the same."""

    rule: str
    message: str
    fix: str
    sure: bool = True


class Field(NamedTuple):
    """A key in the release that reads it. `release` is for the message, `members` looks up what an object may hold."""

    key: Key
    family: str
    loader: str
    release: str
    members: Callable[[str], Key | str | None]  # a key; the nearest name where there is none; or None, where nobody can tell


# The patterns are compiled where they are first used: most values need none or one.
# Only 5.0 was seen to alter text without a word; the look-alikes of later releases are not claimed.
_ALTERS_TEXT = ("5.0",)
# 5.0, of its text settings: those that were seen to refuse a number, and those that were seen to take an integer.
_REFUSES_NUMBER = ("dashboard.default_username", "cluster.name")
_TAKES_INTEGERS = r"node\.cookie|(?:.*[._])?(?:password|passwd)"
_SECRET = r"(?:.*[._])?(?:password|passwd|passphrase|cookie|secret|token|access_key|secret_key|secret_access_key|private_key)s?|license\.key"
_HEADER = r".*headers\.(?:.*[._-])?(?:authorization|auth|api[_-]?key|token|cookie)"
# What gives a secret away wherever it stands: a key's name before its value, or an address with a password in it.
_HOLDS_SECRET = r"(?is)(?:passw|passphrase|cookie|secret|token|authorization|credential|(?:access|api|private|account|shared|license)[ _.-]*key|://.*@|\b(?:bearer|basic)\s|\bgh[pos]_|\bgithub_pat_|\bglpat-|\bxox[bp]-)"
_DURATION = r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|[fwdhms]))+"
_BYTESIZE = r"[0-9]+(?:\.[0-9]+)?(?:kb|KB|mb|MB|gb|GB)|[0-9]+"
_PERCENT = r"[0-9]+(?:\.[0-9]+)?%"
_INTEGER = r"[+-]?[0-9]+"
_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_POINT = r"[+-]?[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?"
_EXACT = 2**53  # above, a float is no longer each whole number
# 4.3 and 4.4: without a value, and without a default of the schema, these stop the start.
_NEEDED = (
    r"acl_file|listener\.(?:ssl|wss)\.\$name\.ciphers|auth\.http\.(?:auth|acl)_req\.params|auth\.mongo\.auth_query\.password_hash|auth\.pgsql\.database"
    r"|bridge\.mqtt\.\$name\.address"
)
# Text that also comes as a list: seen on 5.0, and taken for all releases.
_LIST_FOR_TEXT = r"(?:.*[._])?(?:password|passwd|cookie|servers?)"


# Lists of names: nothing of theirs is secret, and a message that shows them helps.
_PLAIN_LIST = r"cluster\.static\.seeds|.*\.(?:ciphers|versions)"


def is_secret(path: str, kind: str = "") -> bool:
    """Whether a key holds something that no message may show."""
    return kind == "secret" or re.fullmatch(_SECRET, path) is not None or ("headers." in path and re.fullmatch(_HEADER, path) is not None)


def judge(field: Field, text: str) -> Verdict | None:
    """What is wrong with `text` as the value of a variable for this key."""
    if field.key.below or field.key.type == "any":
        return None
    if field.loader == "hocon":
        return _hocon(field, read(text), text)
    return (_sed(field, text) if field.loader == "sed" else None) or _cuttlefish(field, text)


# -- 4.1 to 4.4


def _sed(field: Field, text: str) -> Verdict | None:
    """4.1 and 4.2 write the value into a file by a replacement of sed."""
    old = field.family == "4.1"
    bad = [name for character, name in (("&", "&"), ("\\", "a backslash"), ("\n", "a line break")) if character in text and (old or character != "&")]
    if not old and any(character < " " and character != "\n" for character in text):
        bad.append("a control character")
    if not bad:
        return None
    message = f"expected a value that sed leaves as it is, which the entrypoint of EMQX {field.release} writes it with; got one with {' and '.join(bad)}"
    return Verdict("unsafe-value", message, "use a value without it, or EMQX 4.3 or newer")


def _cuttlefish(field: Field, text: str) -> Verdict | None:
    if not text:
        if field.loader == "cuttlefish" and re.fullmatch(_NEEDED, field.key.pattern):
            message = f"expected a value: an empty one removes the key, and EMQX {field.release} needs it"
            return Verdict("variable-value", message, "write a value, or remove this variable")
        return None  # the key is removed: its default holds
    kinds = alternatives(field.key.type)
    if any(_fits_old(kind, text) for kind in kinds):
        return None
    if "percent" in kinds and text[:-1].isdecimal():
        message = f"expected a percentage such as 80%: EMQX {field.release} cuts the last character off, whatever it is, and reads {text[:-1]} %; got {text!r}"
        return Verdict("unsafe-value", message, f"write {text}%")
    return _wrong(field, _shown(field.key, text), text)


def _fits_old(kind: str, text: str) -> bool:
    name, arguments = _parts(kind)
    if name == "enum":
        return text in arguments
    if name == "int":
        return re.fullmatch(_INTEGER, text) is not None and _in_range(arguments, text)
    patterns = {"duration": _DURATION, "bytesize": _BYTESIZE, "percent": _PERCENT, "float": _POINT}
    if name in patterns:
        return re.fullmatch(patterns[name], text) is not None
    return text in ("true", "false") if name == "bool" else True


# -- 5.0 and newer


def _hocon(field: Field, value: Value, text: str) -> Verdict | None:
    if value.kind in ("unknown", "null"):  # null: as if it were not set
        return None
    kinds = alternatives(field.key.type)
    if field.key.type in ("string", "secret"):
        return _text(field, value, text)
    if not any(_fits(kind, value, text) for kind in kinds):
        return _wrong(field, _shown(field.key, text) if value.kind not in ("array", "object") else f"an {value.kind}", text)
    if "string" in kinds and value.kind == "string" and _alters(field, value, text):
        return _altered(field, text, value.data)
    return _inside(field, value, field.key.path)


def _text(field: Field, value: Value, text: str) -> Verdict | None:
    """A text setting: most of them refuse a list or an object, and 5.0 alters what HOCON reads otherwise."""
    if value.kind == "object" or (value.kind == "array" and not re.fullmatch(_LIST_FOR_TEXT, field.key.path)):
        return _wrong(field, f"an {value.kind}", text, f"write it in double quotes of its own, so that it is text: {_safe(field.key, text)}")
    if field.family not in _ALTERS_TEXT or value.kind in ("plain", "array") or value.spelt:
        return None
    if value.kind == "bool":
        return _unquoted(field, text, "a bool, and almost every text setting refuses it")
    if value.kind == "number":
        return _number(field, text)
    return _altered(field, text, value.data) if _alters(field, value, text) else None


def _alters(field: Field, value: Value, text: str) -> bool:
    return field.family in _ALTERS_TEXT and not value.spelt and value.data != text


def _number(field: Field, text: str) -> Verdict | None:
    whole = re.fullmatch(_INTEGER, text) is not None
    takes_integers = re.fullmatch(_TAKES_INTEGERS, field.key.path) is not None
    if field.key.path in _REFUSES_NUMBER or (takes_integers and not whole):
        return _unquoted(field, text, "a number, and does not start with one here")
    made = text.lstrip("+-").lstrip("0") or "0"
    made = f"-{made}" if text.startswith("-") else made
    if whole and made != text:
        return _altered(field, text, made)
    if takes_integers or field.key.default.isdecimal():
        return None
    verdict = _unquoted(field, text, "a number, and many text settings refuse it")
    return verdict._replace(sure=False)


def _unquoted(field: Field, text: str, reads: str) -> Verdict:
    message = f"expected text: EMQX {field.release} reads this as {reads}; got {_shown(field.key, text)}"
    return Verdict("variable-value", message, f"write it in double quotes of its own: {_safe(field.key, text)}")


def _altered(field: Field, text: str, made: str) -> Verdict:
    becomes = "another text" if hides(field.key, text) else repr(made)
    message = f"expected text that arrives as it is written: EMQX {field.release} makes {becomes} of it, without a word; got {_shown(field.key, text)}"
    return Verdict("unsafe-value", message, f"write it in double quotes of its own: {_safe(field.key, text)}")


def _safe(key: Key, text: str) -> str:
    """The form that arrives unchanged, as it stands in YAML."""
    inner = '"…"' if hides(key, text) else quoted(text)
    return "'" + inner.replace("'", "''") + "'"


def _fits(kind: str, value: Value, text: str) -> bool:
    name, arguments = _parts(kind)
    if name in ("array", "map", "object"):
        return _fits_container(name, value)
    if value.kind in ("array", "object"):
        return False
    written = text if value.kind == "plain" else str(value.data)
    if name == "enum":
        return written in arguments
    return _fits_scalar(name, arguments, written)


def _fits_container(name: str, value: Value) -> bool:
    if name == "array":  # members by their number are a list too
        return value.kind == "array" or (value.kind == "object" and all(key.split(".")[0].isdecimal() for key, _ in value.data))
    return value.kind == "object" or value == ("array", [], False)  # upstream's own default for an empty object


def _fits_scalar(name: str, arguments: list[str], written: str) -> bool:
    if name in ("string", "secret", "any"):
        return True
    if name == "bool":
        return written in ("true", "false")
    if name == "int":
        return re.fullmatch(_INTEGER, written) is not None and _in_range(arguments, written)
    if re.fullmatch(_NUMBER, written):
        return True
    if name == "duration":
        return re.fullmatch(_DURATION, written.lower()) is not None
    patterns = {"bytesize": _BYTESIZE, "percent": _PERCENT}
    return name in patterns and re.fullmatch(patterns[name], written) is not None


def _inside(field: Field, value: Value, path: str) -> Verdict | None:
    """The members of a list or an object: an unknown field in there stops the start."""
    if value.kind == "object" and not _fits_container("array", value) and "array" in alternatives(field.key.type):
        path = f"{path}.1"  # one object where a list of them is meant
    if value.kind == "array":
        members = [(f"{path}.{number}", item) for number, item in enumerate(value.data, 1)]
    elif value.kind == "object":
        # Names with capitals are no variable's, so the tables leave them out.
        members = [(f"{path}.{key}", item) for key, item in value.data if key == key.lower()]
    else:
        return None
    for member, item in members:
        verdict = _member(field, member, item, path)
        if verdict:
            return verdict
    return None


def _member(field: Field, member: str, item: Value, parent: str) -> Verdict | None:
    key = field.members(member)
    if key is None:
        return None
    if isinstance(key, str):
        message = f"expected members that EMQX {field.release} knows, it does not start with others; got {member[len(parent) + 1 :]!r} in {parent}"
        return Verdict("variable-value", message, f"did you mean {key!r}?" if key else "correct its name, or remove it")
    if key.below or key.type == "any" or item.kind in ("null", "unknown"):
        return None
    written = item.data if isinstance(item.data, str) else ""
    inner = field._replace(key=key)
    if key.type in ("string", "secret"):
        fine = isinstance(item.data, str) or (item.kind == "array" and re.fullmatch(_LIST_FOR_TEXT, member))
        return None if fine else _wrong(inner, f"an {item.kind} in {member}", "")
    if not any(_fits(kind, item, written) for kind in alternatives(key.type)):
        return _wrong(inner, f"{_shown(key, written) if isinstance(item.data, str) else f'an {item.kind}'} in {member}", written)
    return _inside(inner, item, member)


# -- words


def _wrong(field: Field, got: str, text: str, fix: str = "") -> Verdict:
    key = field.key
    default = f" (default {key.default!r})" if key.has_default and key.default not in ("...", "") and not is_secret(key.path, key.type) else ""
    wanted = words(key.type, old=field.loader != "hocon")
    return Verdict("variable-value", f"expected {wanted}{default}; got {got}", fix or _advice(field, text), sure="converted" not in key.marks)


def _advice(field: Field, text: str) -> str:
    kinds = alternatives(field.key.type)
    if "map" in kinds or "object" in kinds:
        return f"set its members by variables of their own: {variable(field.key.path)}__…"
    whole = _whole(text)
    if whole and any(_fits_old(kind, whole) for kind in kinds if kind.startswith("int")):
        return f"write {whole}"
    switches = {"true": "on", "on": "true", "false": "off", "off": "false", "yes": "true", "no": "false"}
    choices = [symbol for kind in kinds for symbol in (("true", "false") if kind == "bool" else _parts(kind)[1] if kind.startswith("enum") else ())]
    same = next((choice for choice in (text.lower(), text.strip(), switches.get(text.lower(), "")) if choice and choice in choices), "")
    if same:
        return f"write {same}"
    if choices:
        from emqx_fn.problem import nearest

        guess = "" if hides(field.key, text) else nearest(text, choices)
        return f"did you mean {guess!r}?" if guess else f"write {words(field.key.type, old=field.loader != 'hocon')}"
    if field.loader != "hocon" and "duration" in kinds and text.isdecimal():
        return f"write the unit too, such as {text}s"
    return f"write {words(field.key.type, old=field.loader != 'hocon')}"


def _whole(text: str) -> str:
    """`1.024e+06` and `1024.0` as the whole number that they are; empty for anything else."""
    if re.fullmatch(_INTEGER, text) or not re.fullmatch(_NUMBER, text):
        return ""
    number = float(text)
    return str(int(number)) if abs(number) < _EXACT and number.is_integer() else ""


def hides(key: Key, text: str) -> bool:
    """Whether no message may show a value. What may have members may have a secret one, and so may what no table lists."""
    members = key.below or any(_parts(kind)[0] in ("array", "map", "object", "any") for kind in alternatives(key.type))
    return (members and re.fullmatch(_PLAIN_LIST, key.path) is None) or is_secret(key.path, key.type) or holds_secret(text)


def holds_secret(text: str) -> bool:
    """Whether a value may give a secret away, wherever it stands."""
    return re.search(_HOLDS_SECRET, text) is not None


def _shown(key: Key, text: str) -> str:
    """The value in a message; never a secret one."""
    if hides(key, text):
        return "a value that is not shown here"
    return repr(text) if len(text) <= 80 else repr(text[:77] + "...")


def words(kind: str, *, old: bool = False) -> str:
    """A type as a person says it; `old` for 4.x, which wants units and points where later releases do not."""
    return " or ".join(_word(alternative, old=old) for alternative in alternatives(kind))


def _word(kind: str, *, old: bool) -> str:
    name, arguments = _parts(kind)
    if name == "enum":
        return _list(arguments)
    if name == "int" and arguments:
        low, high = arguments[0].split("..")
        return f"a whole number, {low} or more" if high == "inf" else f"a whole number from {low} to {high}"
    if name == "float":
        return "a number with a point, such as 1.0" if old else "a number"
    return {
        "bool": "true or false",
        "int": "a whole number",
        "string": "text",
        "secret": "text",
        "duration": "a duration such as 15s or 1h30m",
        "bytesize": "a size such as 512KB or 1MB",
        "percent": "a percentage such as 80%",
        "array": "a list such as [a, b]",
        "map": "an object such as {a: b}",
        "object": "an object such as {a: b}",
    }.get(name, "anything")


def _list(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"


def alternatives(kind: str) -> list[str]:
    """`oneof(int(1..5),string)` taken apart; any other type as it is, and none as an object."""
    if not kind.startswith("oneof("):
        return [kind or "object"]
    found, depth, start = [], 0, len("oneof(")
    for position in range(start, len(kind)):
        character = kind[position]
        if character == "(":
            depth += 1
        elif depth and character == ")":
            depth -= 1
        elif not depth and character in ",)":
            found.append(kind[start:position])
            start = position + 1
    return found


def _parts(kind: str) -> tuple[str, list[str]]:
    name, _, rest = kind.partition("(")
    return name, rest[:-1].split(",") if rest else []


def _in_range(arguments: list[str], text: str) -> bool:
    if not arguments:
        return True
    low, high = arguments[0].split("..")
    digits = text.lstrip("+-").lstrip("0") or "0"
    if len(digits) > 30:  # beyond every range, and beyond what int() reads quickly
        return high == "inf" and not text.startswith("-")
    number = int(text)
    return int(low) <= number and (high == "inf" or number <= int(high))
