"""Masked values -> lines with `-` and `+` before what goes and what comes, as every report for people shows them."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import chain
from typing import Any

from emqx_fn import wire
from emqx_gitops.review.model import MISSING, Difference, Field, Review
from emqx_gitops.terminal import counted

_AROUND = 2  # lines that stay, to find the place by


def of_field(field: Field) -> list[str]:
    """A field that differs: one line where both values are short, else line by line."""
    mark = " (plugin)" if field.cause == "plugin" else ""
    if _is_short(field.before) and _is_short(field.after):
        return [f"{_sign(field)} {field.name}: {_change(field)}{mark}"]
    return [f"{_sign(field)} {field.name}:{mark}", *(f"    {line}" for line in _compared(_lines(field.before), _lines(field.after)))]


def _sign(field: Field) -> str:
    return "+" if field.before is MISSING else "-" if field.after is MISSING else "~"


def _is_short(value: Any) -> bool:
    return value is MISSING or (not (value and isinstance(value, (dict, list))) and "\n" not in str(value))


def _change(field: Field) -> str:
    known = [_word(value) for value in (field.before, field.after) if value is not MISSING]
    return " -> ".join(known)


def _word(value: Any) -> str:
    return wire.dump(value).removesuffix("\n").removesuffix("\n...") or '""'


def _lines(value: Any) -> list[str]:
    if value is MISSING:
        return []
    return (value if isinstance(value, str) else wire.dump(value)).splitlines()


def _compared(before: list[str], after: list[str]) -> list[str]:
    """The lines that differ, each with a few that stay around it."""
    groups = SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(_AROUND)
    blocks = [[line for operation in group for line in _operation(before, after, operation)] for group in groups]
    return list(chain.from_iterable([*(["  …"] if index else []), *block] for index, block in enumerate(blocks)))


def _operation(before: list[str], after: list[str], operation: tuple[str, int, int, int, int]) -> list[str]:
    what, from_, to, start, end = operation
    if what == "equal":
        return [f"  {line}".rstrip() for line in after[start:end]]
    return [*(f"- {line}".rstrip() for line in before[from_:to]), *(f"+ {line}".rstrip() for line in after[start:end])]


def headline(difference: Difference) -> str:
    """What becomes of an object, in a line."""
    mark = " (plugin)" if difference.cause == "plugin" else ""
    label, before = difference.resource.label, difference.before
    was = f", was {before.label if before.key.kind != difference.resource.key.kind else before.key.name}" if _has_other_name(difference) and before else ""
    return f"{difference.what} {label}{was}{mark}"


def _has_other_name(difference: Difference) -> bool:
    return difference.before is not None and difference.after is not None and difference.before.key != difference.after.key


def gate(review: Review) -> str:
    """Whether the gate is open, and else why not."""
    open_ = sum(len(target.open) for target in review.targets)
    broken = sum(bool(target.problems) for target in review.targets)
    reasons = [f"{counted(open_, 'finding')} {'needs' if open_ == 1 else 'need'} a consent"] if open_ else []
    reasons += [f"{counted(broken, 'target')} {'has' if broken == 1 else 'have'} problems"] if broken else []
    return f"gate: shut: {', '.join(reasons)}" if reasons else "gate: open"
