"""The ids of all rules, read from the code that refuses by them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class NotConstant(Exception):
    """A rule id that no reader, and no test, can find in the code."""


class Taker(NamedTuple):
    """How a callable takes the rule: its place among the arguments of a call (None: by name only), and its default."""

    place: int | None
    default: ast.expr | None = None


_PROBLEM = {"Problem": Taker(0), "refuse": Taker(0)}
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def rule_ids(folder: Path) -> set[str]:
    """Every id that a module below `folder` passes to `Problem`, to what is made like it, or to a function that hands its parameter `rule` on to them."""
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8"), str(path)) for path in sorted(folder.rglob("*.py"))}
    makers = _PROBLEM | {name: taker for tree in trees.values() for name, taker in _classes(tree)}
    constants = {name: value for tree in trees.values() for name, value in _constants(tree)}
    return {rule for name, tree in trees.items() for rule in (*_passed(tree, name, makers, constants), *_assigned(tree, constants))}


def _classes(tree: ast.Module) -> Iterator[tuple[str, Taker]]:
    """Classes with the fields of a problem."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            fields = [item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)]
            if {"rule", "message", "fix"} <= set(fields):
                yield node.name, Taker(fields.index("rule"))


def _passed(tree: ast.Module, module: str, makers: dict[str, Taker], constants: dict[str, str]) -> Iterator[str]:
    takers = _takers(tree, makers)
    constants = constants | dict(_constants(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in takers:
            try:
                yield from _rules(_argument(node, takers[_name(node.func)]), constants)
            except NotConstant:
                raise NotConstant(f"{module}, line {node.lineno}: expected a rule id in the call of {_name(node.func)}") from None


def _takers(tree: ast.Module, makers: dict[str, Taker]) -> dict[str, Taker]:
    """The makers of problems, and what the module itself puts before them."""
    takers = dict(makers)
    while True:
        found = {node.name: _taker(node) for node in ast.walk(tree) if isinstance(node, _Function) and node.name not in takers and _hands_on(node, takers)}
        if not found:
            return takers
        takers |= found


def _hands_on(function: ast.FunctionDef | ast.AsyncFunctionDef, takers: dict[str, Taker]) -> bool:
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call) and _name(node.func) in takers)
    handed = any(isinstance(found := _argument(call, takers[_name(call.func)]), ast.Name) and found.id == "rule" for call in calls)
    return handed and any(argument.arg == "rule" for argument in (*function.args.args, *function.args.kwonlyargs))


def _taker(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Taker:
    arguments = function.args
    by_name = {argument.arg: default for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)}
    if "rule" in by_name:
        return Taker(None, by_name["rule"])
    names = [argument.arg for argument in arguments.args]
    position = names.index("rule")
    defaults = [None] * (len(names) - len(arguments.defaults)) + list(arguments.defaults)
    return Taker(position - (names[0] == "self"), defaults[position])


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The module's names for strings."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((target.id, node.value.value) for target in node.targets if isinstance(target, ast.Name))


def _assigned(tree: ast.Module, constants: dict[str, str]) -> Iterator[str]:
    """What a variable `rule` is set to, alone or with others."""
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            names = [getattr(item, "id", "") for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
            for value in _branches(node.value) if "rule" in names else ():  # type: ignore[attr-defined]
                parts = value.elts if isinstance(value, ast.Tuple) else [value]
                with suppress(NotConstant, IndexError):
                    yield from _rules(parts[names.index("rule")], constants)


def _branches(value: ast.expr) -> list[ast.expr]:
    return [*_branches(value.body), *_branches(value.orelse)] if isinstance(value, ast.IfExp) else [value]


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""


def _argument(call: ast.Call, taker: Taker) -> ast.expr | None:
    named = next((keyword.value for keyword in call.keywords if keyword.arg == "rule"), None)
    return named or (call.args[taker.place] if taker.place is not None and len(call.args) > taker.place else taker.default)


def _rules(value: ast.expr | None, constants: dict[str, str]) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        for branch in _branches(value):
            yield from _rules(branch, constants)
    elif isinstance(value, ast.Name) and value.id in constants:
        yield constants[value.id]
    elif not _passes_on(value):
        raise NotConstant


def _passes_on(value: ast.expr | None) -> bool:
    """A variable handed down, the rule of a problem that is there already, or one that is read back from text."""
    if isinstance(value, ast.Subscript):
        return isinstance(value.slice, ast.Constant)
    return isinstance(value, ast.Name) or (isinstance(value, ast.Attribute) and value.attr == "rule")
