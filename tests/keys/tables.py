"""What the tests of the keys share: releases, environments, and what the rules say of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from emqx_fn import variables
from emqx_fn.environment import Variable
from emqx_fn.family import LATEST, Version, parse_version
from emqx_fn.keytable import FAMILIES, Table, table
from emqx_fn.problem import Problem

PLACE = "StatefulSet/emqx"


def release(text: str) -> Version:
    found = parse_version(text)
    assert found, text
    return found


def newest(family: str) -> Version:
    return release(family)._replace(patch=LATEST)


def editions(source: Table) -> tuple[str, ...]:
    return ("community", "enterprise") if source.two_editions else ("enterprise",)


def env(values: dict[str, Any]) -> dict[str, Variable]:
    """An environment; a value of None is one that a Secret holds."""
    return {
        name: Variable(name, value, {} if value is not None else {"secretKeyRef": {"name": name, "key": "x"}}, PLACE, f"env[{name}]")
        for name, value in values.items()
    }


def said(version: str, values: dict[str, Any], edition: str = "community") -> list[Problem]:
    """Errors and warnings."""
    found = env(values)
    return variables.check(release(version), edition, found) + variables.advise(release(version), edition, found)


def lines(problems: Iterable[Problem]) -> list[str]:
    """Problems as a test compares them: severity, rule, place, message, fix."""
    return [f"{problem.severity} {problem.rule} {problem.path}: {problem.message} | {problem.fix}" for problem in problems]


def rows(source: Table) -> Iterable[tuple[str, str, list[str]]]:
    """Every line of a table: pattern, type with default, marks."""
    for line in source.lines:
        pattern, kind, marks = f"{line}\t\t".split("\t")[:3]
        yield pattern, kind, marks.split()


ALL = [(family, table(family)) for family in FAMILIES]
