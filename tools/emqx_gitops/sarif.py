"""Report -> SARIF 2.1.0, which code hosts show beside the lines of a change.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from emqx_fn import __version__
from emqx_fn.problem import Problem
from emqx_gitops import project, rule_pages, waivers
from emqx_gitops.sources import place_of
from emqx_gitops.validate import Report, Waived

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_HASH = re.compile(r"-[a-z0-9]{10}$")


class _Entry(NamedTuple):
    target: str
    problem: Problem
    waived: Waived | None = None


def text(report: Report) -> str:
    """One run with the rules that were broken, and a result for each problem, warning and waived problem."""
    entries = list(_entries(report))
    rules = sorted({entry.problem.rule: entry.problem for entry in reversed(entries)}.items())
    driver = {"name": "emqx-gitops", "version": __version__, "rules": [_rule(problem) for _, problem in rules]}
    index = {rule: position for position, (rule, _) in enumerate(rules)}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": list(_results(entries, index))}
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _entries(report: Report) -> Iterator[_Entry]:
    for result in report.results:
        for problem in (*result.problems, *result.warnings):
            yield _Entry(result.name, problem)
        for waived in result.waived:
            yield _Entry(result.name, waived.problem, waived)


def _rule(problem: Problem) -> dict[str, Any]:
    page = rule_pages.page(problem.rule)
    described = {"shortDescription": {"text": page.summary}} if page else {}
    return {"id": problem.rule, **described, "defaultConfiguration": {"level": problem.severity}}


def _results(entries: Iterable[_Entry], index: dict[str, int]) -> Iterator[dict[str, Any]]:
    seen: Counter[str] = Counter()
    for entry in entries:
        fingerprint = _fingerprint(entry)
        seen[fingerprint] += 1
        yield _result(entry, index[entry.problem.rule], f"{fingerprint}:{seen[fingerprint]}")


def _result(entry: _Entry, index: int, fingerprint: str) -> dict[str, Any]:
    problem = entry.problem
    return {
        "ruleId": problem.rule,
        "ruleIndex": index,
        "level": problem.severity,
        # The object too: code hosts show the message, and seldom the logical locations.
        "message": {"text": f"{': '.join(filter(None, (problem.object, problem.path, problem.message)))}\nfix: {problem.fix}"},
        "locations": [_location(entry)],
        "partialFingerprints": {"emqxGitops/v1": fingerprint},
        **({"suppressions": [_suppression(entry.waived)]} if entry.waived else {}),
    }


def _location(entry: _Entry) -> dict[str, Any]:
    problem = entry.problem
    names = [{"fullyQualifiedName": "/".join(filter(None, (entry.target, problem.object))), "name": problem.object or entry.target, "kind": "resource"}]
    if problem.path:
        names.append({"fullyQualifiedName": problem.path, "kind": "member"})
    return {**_physical(problem), "logicalLocations": names}


def _physical(problem: Problem) -> dict[str, Any]:
    """The line; failing that, the whole of the file that was rendered."""
    place = place_of(problem)
    if place:
        region = {"startLine": place.line, "startColumn": place.column}
        return {"physicalLocation": {"artifactLocation": {"uri": _uri(place.file)}, "region": region}}
    target = Path(problem.where)
    file = target if target.is_file() else project.kustomization_file(target)
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(file)}}} if file else {}


def _uri(file: Path) -> str:
    return file.as_uri() if file.is_absolute() else quote(file.as_posix())


def _suppression(waived: Waived) -> dict[str, Any]:
    return {"kind": "external", "status": "accepted", "justification": f"{waived.waiver.reason}{waivers.period(waived)}"}


def _fingerprint(entry: _Entry) -> str:
    """What stays the same when lines move and a generated name gets another hash."""
    problem = entry.problem
    words = (entry.target, problem.rule, _HASH.sub("", problem.object), problem.path)
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
