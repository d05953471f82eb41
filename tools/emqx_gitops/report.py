"""Report -> text for people, JSON for programs, annotations for GitHub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from emqx_fn.problem import Problem
from emqx_gitops.kubeconform import spread
from emqx_gitops.terminal import counted
from emqx_gitops.validate import Report, Result

if TYPE_CHECKING:
    from emqx_gitops.doctor import Finding

_PLACE = re.compile(r"(?P<file>.+):(?P<line>\d+):(?P<column>\d+)")
Paint = Callable[[str, str], str]


def text(report: Report, paint: Paint) -> str:
    """One line per target, and its problems below it."""
    return "".join(_target(result, report, paint) for result in report.results)


def _target(result: Result, report: Report, paint: Paint) -> str:
    if not result.problems:
        return f"{paint('green', result.name)}: {counted(result.objects, 'object')}, valid for Kubernetes {spread(list(report.versions))}\n"
    head = f"{paint('red', result.name)}: {counted(len(result.problems), 'problem')}\n"
    return head + "".join(problem.lines() + "\n" for problem in result.problems)


def as_json(report: Report, _: Paint) -> str:
    """The whole report; the names of its fields are a contract."""
    targets = [{"name": result.name, "objects": result.objects, "problems": [_row(problem) for problem in result.problems]} for result in report.results]
    return json.dumps({"fine": report.fine, "kubernetes": list(report.versions), "targets": targets}, indent=2, ensure_ascii=False) + "\n"


def _row(problem: Problem) -> dict[str, Any]:
    return {"rule": problem.rule, "object": problem.object, "path": problem.path, "message": problem.message, "fix": problem.fix, **_place(problem)}


def _place(problem: Problem) -> dict[str, Any]:
    match = _PLACE.fullmatch(problem.where)
    if match:
        return {"file": match["file"], "line": int(match["line"]), "column": int(match["column"])}
    return {"file": None, "line": None, "column": None}


def github(report: Report, paint: Paint) -> str:
    """Workflow commands that put each problem beside its line; the text report for the log comes with them."""
    commands = [_annotation(problem) for result in report.results for problem in result.problems]
    return "".join(f"{command}\n" for command in commands) + text(report, paint)


def _annotation(problem: Problem) -> str:
    place = _place(problem)
    fields = {"file": place["file"], "line": place["line"], "col": place["column"], "title": problem.rule}
    properties = ",".join(f"{name}={_property(str(value))}" for name, value in fields.items() if value is not None)
    body = problem if place["file"] is None else problem._replace(where="")
    return f"::error {properties}::{_data(body.lines())}"


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


REPORTERS: dict[str, Callable[[Report, Paint], str]] = {"text": text, "json": as_json, "github": github}


def findings(found: Iterable[Finding], paint: Paint) -> str:
    """What the doctor found, one line each, with the way to mend what is wrong."""
    return "".join(_finding(finding, paint) for finding in found)


def _finding(finding: Finding, paint: Paint) -> str:
    color = {"ok": "green", "error": "red"}.get(finding.level)
    level = paint(color, finding.level) if color else finding.level
    lines = [f"{level}: {finding.title}: {finding.detail}" if finding.detail else f"{level}: {finding.title}"]
    return "\n".join([*lines, *([f"  fix: {finding.fix}"] if finding.fix else [])]) + "\n"
