"""Report -> text for people, JSON and SARIF for programs, annotations for GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from emqx_fn.problem import Problem
from emqx_gitops import sarif, waivers
from emqx_gitops.kubeconform import spread
from emqx_gitops.sources import place_of
from emqx_gitops.terminal import counted
from emqx_gitops.validate import Report, Result, Waived

if TYPE_CHECKING:
    from emqx_gitops.doctor import Finding

Paint = Callable[[str, str], str]


def text(report: Report, paint: Paint) -> str:
    """One line per target, and what was found in it below."""
    return "".join(_target(result, report, paint) for result in report.results)


def _target(result: Result, report: Report, paint: Paint) -> str:
    lines = [problem.lines() for problem in result.problems]
    lines += [f"warning: {problem.lines()}" for problem in result.warnings]
    lines += [_waived(waived) for waived in result.waived]
    return "\n".join([_head(result, report, paint), *lines]) + "\n"


def _head(result: Result, report: Report, paint: Paint) -> str:
    counts = [counted(len(result.warnings), "warning")] if result.warnings else []
    counts += [f"{len(result.waived)} waived"] if result.waived else []
    if result.problems:
        return f"{paint('red', result.name)}: {', '.join([counted(len(result.problems), 'problem'), *counts])}"
    color = "red" if result.warnings and report.strict else "green"
    valid = f"{counted(result.objects, 'object')}, valid for Kubernetes {spread(list(report.versions))}"
    return f"{paint(color, result.name)}: {', '.join([valid, *counts])}"


def _waived(waived: Waived) -> str:
    head = waived.problem.lines().partition("\n")[0]
    return f"waived: {head}\n  reason: {waived.waiver.reason}{waivers.period(waived)}"


def as_json(report: Report, _: Paint) -> str:
    """The whole report; the names of its fields are a contract."""
    targets = [_target_row(result) for result in report.results]
    return json.dumps({"fine": report.fine, "kubernetes": list(report.versions), "targets": targets}, indent=2, ensure_ascii=False) + "\n"


def _target_row(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "objects": result.objects,
        "problems": [_row(problem) for problem in result.problems],
        "warnings": [_row(problem) for problem in result.warnings],
        "waived": [_waived_row(waived) for waived in result.waived],
    }


def _waived_row(waived: Waived) -> dict[str, Any]:
    waiver = waived.waiver
    period = {"until": waiver.until or None, "checked": waived.checked and bool(waiver.until)}
    return {**_row(waived.problem), "waiver": {"variable": waiver.variable or None, "reason": waiver.reason, **period}}


def _row(problem: Problem) -> dict[str, Any]:
    row = {"rule": problem.rule, "severity": problem.severity, "object": problem.object, "path": problem.path}
    return {**row, "message": problem.message, "fix": problem.fix, **_place(problem)}


def _place(problem: Problem) -> dict[str, Any]:
    place = place_of(problem)
    return {"file": place.file.as_posix(), "line": place.line, "column": place.column} if place else {"file": None, "line": None, "column": None}


def github(report: Report, paint: Paint) -> str:
    """Workflow commands that put each finding beside its line; the text report for the log comes with them."""
    commands = [command for result in report.results for command in _annotations(result)]
    return "".join(f"{command}\n" for command in commands) + text(report, paint)


def _annotations(result: Result) -> Iterable[str]:
    for problem in (*result.problems, *result.warnings):
        yield _annotation(problem.severity, problem, problem.rule, _without_place(problem).lines())
    for waived in result.waived:
        body = _waived(replace(waived, problem=_without_place(waived.problem)))
        yield _annotation("notice", waived.problem, f"{waived.problem.rule}, waived", body)


def _without_place(problem: Problem) -> Problem:
    """For an annotation, which carries the place itself."""
    return problem._replace(where="") if place_of(problem) else problem


def _annotation(level: str, problem: Problem, title: str, body: str) -> str:
    place = _place(problem)
    fields = {"file": place["file"], "line": place["line"], "col": place["column"], "title": title}
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in fields.items() if value is not None)
    return f"::{level} {properties}::{_data(body)}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


def as_sarif(report: Report, _: Paint) -> str:
    """The whole report as SARIF."""
    return sarif.text(report)


REPORTERS: dict[str, Callable[[Report, Paint], str]] = {"text": text, "json": as_json, "github": github, "sarif": as_sarif}


def findings(found: Iterable[Finding], paint: Paint) -> str:
    """What the doctor found, one line each, with the way to mend what is wrong."""
    return "".join(_finding(finding, paint) for finding in found)


def _finding(finding: Finding, paint: Paint) -> str:
    color = {"ok": "green", "error": "red"}.get(finding.level)
    level = paint(color, finding.level) if color else finding.level
    lines = [f"{level}: {finding.title}: {finding.detail}" if finding.detail else f"{level}: {finding.title}"]
    return "\n".join([*lines, *([f"  fix: {finding.fix}"] if finding.fix else [])]) + "\n"
