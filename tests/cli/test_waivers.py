"""The day on which waivers must hold: the one that is given, else that of the last commit, never today."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from emqx_fn.policy import Review
from emqx_fn.problem import Problem
from emqx_fn.spec import Waiver
from emqx_gitops import waivers
from emqx_gitops.errors import UsageFailure
from emqx_gitops.rendering import Rendering
from emqx_gitops.sources import Read

from .conftest import Repo

CASE = Path(__file__).parent / "cases" / "validate-waived" / "repo"
ARGUMENTS = ("validate", "clusters/prod", "--kubernetes-version", "1.37")


def commit(folder: Path, day: str) -> None:
    # Noon and a time zone: the day is that of the committer.
    moment = f"{day}T23:30:00-1100"
    env = {**os.environ, "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE": moment, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    name = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    for words in (("init", "--quiet"), ("add", "clusters"), (*name, "commit", "--quiet", "--allow-empty", "--message", day)):
        subprocess.run(["git", *words], cwd=folder, env=env, check=True)


@pytest.mark.parametrize(("day", "code"), [("2026-06-30", 0), ("2026-07-01", 1)])
def test_waivers_hold_as_of_the_last_commit(repo: Repo, day: str, code: int) -> None:
    shutil.copytree(CASE, repo.path, dirs_exist_ok=True)
    commit(repo.path, day)
    ran = repo.run(*ARGUMENTS)
    assert (ran.code, "[waiver-expired]" in ran.out, "not checked" in ran.out) == (code, code == 1, False)


def test_a_day_that_is_given_counts_more_than_the_commit(repo: Repo) -> None:
    shutil.copytree(CASE, repo.path, dirs_exist_ok=True)
    commit(repo.path, "2026-07-01")
    assert repo.run(*ARGUMENTS, "--date", "2026-06-30").code == 0


def test_without_git_nothing_expires(repo: Repo, tmp_path: Path) -> None:
    shutil.copytree(CASE, repo.path, dirs_exist_ok=True)
    commit(repo.path, "2026-07-01")
    (tmp_path / "bin").mkdir()
    ran = repo.run(*ARGUMENTS, env={"PATH": str(tmp_path / "bin")})
    assert (ran.code, "not checked" in ran.out) == (0, True)


@pytest.mark.parametrize("text", ["", "today", "2026-2-3", "20260203", "2026-02-30", "2026-02-03T00:00:00"])
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(UsageFailure, match="YYYY-MM-DD"):
        waivers.given_day(text)


def test_no_day_is_the_days_of_the_commits() -> None:
    assert (waivers.given_day(None), waivers.given_day("2026-02-03")) == ("", "2026-02-03")


PROBLEM = Problem("fs-group", "StatefulSet/emqx", "", "expected", "fix")
USED, IDLE = Waiver("fs-group", "why", "2026-06-30"), Waiver("probe-port", "why", "2026-06-30")


def judged(*, problems: list[Problem], day: str) -> Review:
    review = Review(problems, [], [(PROBLEM, USED)], [USED, IDLE, IDLE])
    return waivers.judge(review, Rendering("x", Read(()), "", (), ()), day).review


def test_a_waiver_that_nothing_needs_is_said_once_and_only_when_all_rules_ran() -> None:
    assert [problem.rule for problem in judged(problems=[], day="2026-06-30").warnings] == ["unused-waiver"]
    assert judged(problems=[PROBLEM], day="2026-06-30").warnings == []


def test_an_expired_waiver_is_refused_beside_what_it_let_pass() -> None:
    found = judged(problems=[], day="2026-07-01")
    assert [problem.rule for problem in found.problems] == ["fs-group", "waiver-expired", "waiver-expired"]
    assert found.waived == []


@pytest.mark.parametrize(
    "patch",
    [
        "apiVersion: emqx-gitops.dev/v1alpha1\n      kind: EmqxPolicy\n      metadata: {name: check}\n      spec: {allow: [{rule: fs-group, reason: theirs}]}",
        "- {op: add, path: /spec, value: {allow: [{rule: fs-group, reason: theirs}]}}",
        "- {op: add, path: /spec, value: {}}\n      - {op: add, path: /spec/allow, value: [{rule: fs-group, reason: theirs}]}",
        "- {op: add, path: /spec, value: {allow: []}}\n      - {op: add, path: /spec/allow/-, value: {rule: fs-group, reason: theirs}}",
    ],
)
def test_a_validator_that_is_patched_waives_here_too(repo: Repo, patch: str) -> None:
    """However it was written: kustomize leaves it out of what it builds."""
    remove = "- {op: remove, path: /spec/template/spec/securityContext/fsGroup}"
    patches = f"patches:\n  - target: {{kind: StatefulSet}}\n    patch: |-\n      {remove}\n"
    repo.write("clusters/prod/kustomization.yaml", f"resources: [../../overlays/persistent]\n{patches}validators: [policy]\n")
    patches = f"patches:\n  - target: {{kind: EmqxPolicy}}\n    patch: |-\n      {patch}\n"
    repo.write("clusters/prod/policy/kustomization.yaml", f"resources: [../../../plugins/check]\n{patches}")
    ran = repo.run(*ARGUMENTS)
    assert ran.code == 0, ran.out + ran.err
    assert "[fs-group]\n  reason: theirs\n" in ran.out
