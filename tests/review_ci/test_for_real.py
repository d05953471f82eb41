"""The workflow with the real command line: a pull request that removes a cluster, and the label that accepts it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.review.conftest import Clone, fixture_make_clone

from .conftest import Program, Start, pull_request
from .forge import GitHub
from .workflow import ACTION, Runner

__all__ = ["fixture_make_clone"]
MARKER = "<!-- emqx-gitops-review -->"


@pytest.fixture(name="run")
def fixture_run(make_clone: Callable[[], Clone], start: Start, github: GitHub, program: Program, tmp_path: Path) -> Callable[..., Runner]:
    (tmp_path / "home").rmdir()
    clone = make_clone()
    shutil.copytree(ACTION, clone.path / ".github" / "actions" / "review")
    program.folder.joinpath("emqx-gitops").write_text(f'#!/bin/sh\nexec {sys.executable} -m emqx_gitops "$@"\n', encoding="utf-8")

    def run(number: int, change: Callable[[Clone], object]) -> Runner:
        change(clone)
        clone.commit()
        github.head = clone.git("rev-parse", "HEAD")
        event = pull_request(head=github.head)
        event["pull_request"]["base"]["sha"] = clone.git("rev-parse", "main")
        runner = start(event, run=number, checkout=clone.path)
        for job in ("consents", "review", "comment"):
            runner.job(job)
        return runner

    return run


def test_a_danger_shuts_the_gate_until_a_label_accepts_it(run: Callable[..., Runner], github: GitHub) -> None:
    runner = run(1, lambda clone: clone.git("rm", "--quiet", "-r", "clusters/b"))
    assert runner.needs.pop("comment")["result"] == "success"
    assert runner.job("review-gate").code != 0
    [comment] = github.comments
    assert comment["body"].startswith(f"{MARKER}\n<!-- run 1.1 -->\n## ")
    assert comment["body"].count(MARKER) == 1
    assert "workload-removed" in comment["body"]
    report = runner.temp / "review"
    assert sorted(path.name for path in report.iterdir()) == ["comment.md", "review.html", "review.json", "review.md", "review.txt", "summary.md"]
    assert json.loads((report / "review.json").read_text(encoding="utf-8"))["passes"] is False

    github.labels = [{"name": "accept:workload-removed clusters/b", "description": "nobody is left there"}]
    runner = run(2, lambda _: None)
    runner.needs.pop("comment")
    assert runner.job("review-gate").code == 0
    assert [one["id"] for one in github.comments] == [comment["id"]]
    assert "accepted: nobody is left there (label " in comment["body"]
    found = json.loads((runner.temp / "review" / "review.json").read_text(encoding="utf-8"))
    consents = [finding["consent"]["reason"] for target in found["targets"] for finding in target["findings"] if finding["needsConsent"]]
    assert consents == ["nobody is left there (label accept:workload-removed clusters/b)"]


def test_a_change_that_means_nothing_has_no_comment(run: Callable[..., Runner], github: GitHub) -> None:
    runner = run(1, lambda clone: clone.append("shared/broker.yaml", "# a comment\n"))
    runner.needs.pop("comment")
    assert runner.job("review-gate").code == 0
    assert github.writes == []
    assert (runner.temp / "review" / "comment.md").read_text(encoding="utf-8") == ""
