"""What the workflow may do, as it is written: no token where the change runs, nothing of the change where a token is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from .workflow import ACTION, COMPOSITE, ROOT, WORKFLOW

JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
# YAML 1.1 takes `on` for true.
EVENTS = WORKFLOW[True]


def test_never_with_the_rights_of_the_base() -> None:
    assert set(EVENTS) == {"pull_request", "merge_group"}
    assert {"opened", "reopened", "synchronize", "edited", "labeled", "unlabeled"} == set(EVENTS["pull_request"]["types"])


def test_each_job_may_what_it_needs() -> None:
    assert WORKFLOW["permissions"] == {}
    assert {name: job["permissions"] for name, job in JOBS.items()} == {
        "consents": {"contents": "read", "pull-requests": "read"},
        "review": {"contents": "read"},
        "comment": {"contents": "read", "pull-requests": "write"},
        "review-gate": {},
    }


def test_no_secret_is_named_and_only_the_jobs_that_run_nothing_get_the_token() -> None:
    text = json.dumps(WORKFLOW) + json.dumps(COMPOSITE)
    assert "secrets." not in text
    assert [name for name, job in JOBS.items() if "github.token" in json.dumps(job)] == ["consents", "comment"]


@pytest.mark.parametrize("name", ["consents", "comment"])
def test_a_job_with_the_token_runs_the_program_of_the_default_branch_and_nothing_else(name: str) -> None:
    checkout, *others = JOBS[name]["steps"]
    assert checkout["with"] == {
        "ref": "${{ github.event.repository.default_branch }}",
        "sparse-checkout": ".github/actions/review",
        "persist-credentials": False,
    }
    runs = [step["run"] for step in others if "run" in step]
    assert [run.split()[:3] for run in runs] == [["python3", "-I", ".github/actions/review/review.py"]]
    assert all(step["uses"].startswith("actions/download-artifact@") for step in others if "uses" in step)


def test_the_gate_always_answers() -> None:
    gate = JOBS["review-gate"]
    assert (gate["if"], gate["needs"]) == ("always()", ["consents", "review"])


def test_a_fork_does_not_try_to_comment_and_a_shut_gate_does() -> None:
    *_, fork = condition = JOBS["comment"]["if"].removeprefix("${{ ").removesuffix(" }}").split(" && ")
    assert fork == "github.event.pull_request.head.repo.full_name == github.repository"
    assert condition[:-1] == ["!cancelled()", "github.event_name == 'pull_request'"]


def test_one_run_at_a_time_for_each_pull_request() -> None:
    group = WORKFLOW["concurrency"]
    assert group["cancel-in-progress"] is True
    assert "github.event.pull_request.number" in group["group"]


def test_actions_are_pinned_as_everywhere() -> None:
    texts = [path.read_text(encoding="utf-8") for path in [*(ROOT / ".github" / "workflows").glob("*.yaml"), ACTION / "action.yaml"]]
    used = {pin for text in texts for pin in re.findall(r"uses: ([^.\s]\S+@\S+ # v[\d.]+)$", text, re.MULTILINE)}
    assert all(re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", pin) for pin in used)
    assert len({pin.partition("@")[0] for pin in used}) == len(used), "one action in two versions"
    named = [line for text in texts for line in text.splitlines() if re.search(r"uses: [^.]", line)]
    assert all(any(pin in line for pin in used) for line in named)


def test_the_action_describes_itself() -> None:
    assert yaml.safe_load((ACTION / "action.yaml").read_text(encoding="utf-8"))["runs"]["using"] == "composite"
    assert all(step.get("shell") == "bash" for step in COMPOSITE["runs"]["steps"] if "run" in step)
