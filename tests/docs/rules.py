"""The ids of all rules, read from the code that refuses by them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


class NotConstant(Exception):
    """A rule id that no reader, and no test, can find in the code."""


_PROBLEM = {"Problem": (0, None), "refuse": (0, None)}


def rule_ids(folder: Path) -> set[str]:
    """Every id by which a module below `folder` refuses: by `Problem`, by `refuse`, or by a method `bad`."""
    return {rule for path in sorted(folder.rglob("*.py")) for rule in _passed(ast.parse(path.read_text(encoding="utf-8"), str(path)))}


def _passed(tree: ast.Module) -> Iterator[str]:
    takers = {**_PROBLEM, **dict(_bad(tree))}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in takers:
            yield from _argument(node, *takers[_name(node.func)])


def _bad(tree: ast.Module) -> Iterator[tuple[str, tuple[int, str | None]]]:
    """The module's own `bad`: where the rule stands among the arguments of a call, and its default."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "bad":
            index = [argument.arg for argument in node.args.args].index("rule")
            yield "bad", (index - 1, _default(node.args, index))


def _default(arguments: ast.arguments, index: int) -> str | None:
    position = index - (len(arguments.args) - len(arguments.defaults))
    found = arguments.defaults[position] if position >= 0 else None
    return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def _argument(call: ast.Call, index: int, default: str | None) -> Iterator[str]:
    named = next((keyword.value for keyword in call.keywords if keyword.arg == "rule"), None)
    value = named or (call.args[index] if len(call.args) > index else None)
    if value is None and default is not None:
        yield default
    elif isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif not _passes_on(value):
        raise NotConstant(f"line {call.lineno}: expected a rule id in the call of {_name(call.func)}")


def _passes_on(value: ast.expr | None) -> bool:
    """A parameter handed down, or a problem that is read back from text."""
    return (isinstance(value, ast.Name) and value.id == "rule") or (isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant))
