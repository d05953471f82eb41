"""SARIF 2.1.0: what its schema and the readers of it ask for, on the golden reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Repo

CASES = Path(__file__).parent / "cases"
REPORTS = ("validate-sarif", "validate-sarif-problems")


def run_of(text: str) -> dict[str, Any]:
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert isinstance(run, dict)
    return run


@pytest.mark.parametrize("case", REPORTS)
def test_results_refer_to_the_rules_that_are_listed(case: str) -> None:
    run = run_of((CASES / case / "stdout.txt").read_text())
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted({result["ruleId"] for result in run["results"]})
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])
    assert all(rule["defaultConfiguration"]["level"] in ("error", "warning") for rule in rules)
    assert all(rule["shortDescription"]["text"].endswith(".") for rule in rules)


@pytest.mark.parametrize("case", REPORTS)
def test_places_are_relative_and_counted_from_1(case: str) -> None:
    for result in run_of((CASES / case / "stdout.txt").read_text())["results"]:
        (location,) = result["locations"]
        assert location["logicalLocations"][0]["fullyQualifiedName"]
        assert not location["physicalLocation"]["artifactLocation"]["uri"].startswith(("/", "file:"))
        assert min(location["physicalLocation"].get("region", {"startLine": 1}).values()) >= 1


def test_what_is_waived_is_suppressed_with_its_reason() -> None:
    results = run_of((CASES / "validate-sarif" / "stdout.txt").read_text())["results"]
    suppressed = {result["ruleId"]: result["suppressions"] for result in results if "suppressions" in result}
    justification = "the driver gives volumes to user 1000 (until 2026-06-30)"
    assert suppressed == {"fs-group": [{"kind": "external", "status": "accepted", "justification": justification}]}


def test_fingerprints_stay_when_lines_move(repo: Repo) -> None:
    kept = [result["partialFingerprints"] for result in run_of((CASES / "validate-sarif-problems" / "stdout.txt").read_text())["results"]]
    assert len({json.dumps(one) for one in kept}) == len(kept)
    for folder in ("prod", "a"):
        for file in (CASES / "validate-sarif-problems" / "repo" / "clusters" / folder).iterdir():
            repo.write(f"clusters/{folder}/{file.name}", f"# moved\n\n{file.read_text()}")
    ran = repo.run("validate", "clusters/prod", "clusters/a", "--output", "sarif", "--kubernetes-version", "1.29")
    results = run_of(ran.out)["results"]
    assert [result["partialFingerprints"] for result in results] == kept
    assert ran.out != (CASES / "validate-sarif-problems" / "stdout.txt").read_text()
