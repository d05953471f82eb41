"""The same program in a pipeline of GitLab, and by hand."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests.docs.documents import blocks

from .conftest import BASE, HEAD, NEWER, REPORT, Program, writes
from .forge import ALICE, BOT, TOKEN, Answer, GitLab, Request
from .workflow import ACTION, ROOT, environment

NOTES = "/projects/34/merge_requests/12/notes"
ASKED = [Request("GET", "/projects/34/merge_requests/12"), Request("GET", "/user"), Request("GET", f"{NOTES}?per_page=100&page=1")]
BODY = (
    f"<!-- emqx-gitops-review -->\n<!-- run 1.1 -->\n{REPORT}\n---\n"
    f"Review of {HEAD}, with all of it in [the run](https://gitlab.example.com/example/clusters/-/pipelines/1).\n"
)
Review = Callable[..., "subprocess.CompletedProcess[str]"]


def variables(pipeline: int = 1, token: str = TOKEN) -> dict[str, str]:
    """What GitLab gives a job of a merge request from a fork, in project 56."""
    return {
        "GITLAB_CI": "true",
        "CI_PROJECT_ID": "56",
        "CI_MERGE_REQUEST_PROJECT_ID": "34",
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": BASE,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "$(touch pwned)",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
        "CI_COMMIT_SHA": HEAD,
        "CI_PIPELINE_ID": str(pipeline),
        "CI_JOB_ID": "1",
        "CI_PIPELINE_URL": f"https://gitlab.example.com/example/clusters/-/pipelines/{pipeline}",
        **({"EMQX_GITOPS_REVIEW_TOKEN": token} if token else {}),
    }


@pytest.fixture(name="review")
def fixture_review(tmp_path: Path, gitlab: GitLab, program: Program) -> Review:
    def review(*args: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        given = {**environment(tmp_path / "home", program.folder, ""), "CI_API_V4_URL": gitlab.url, **env}
        command = [sys.executable, "-I", str(ACTION / "review.py"), *args]
        return subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False, timeout=60)

    return review


def test_a_merge_request_gets_one_note(review: Review, gitlab: GitLab, program: Program) -> None:
    assert review("report", env=variables(token="")).returncode == 0
    assert program.called == ["diff", *writes("review"), "--", f"{BASE}...{HEAD}"]
    ran = review("comment", env=variables())
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert gitlab.requests == [*ASKED, Request("POST", NOTES, {"body": BODY})]
    assert gitlab.authorizations == {TOKEN}


def test_the_next_pipeline_updates_it(review: Review, gitlab: GitLab) -> None:
    gitlab.wrote(BODY, **ALICE)
    gitlab.wrote(BODY)
    gitlab.wrote(BODY)
    review("report", env=variables())
    review("comment", env=variables(pipeline=2))
    said = BODY.replace("run 1.1", "run 2.1").replace("pipelines/1", "pipelines/2")
    # The older of the two, though GitLab lists the newer one first.
    assert gitlab.requests == [*ASKED, Request("PUT", f"{NOTES}/101", {"body": said}), Request("DELETE", f"{NOTES}/102")]
    assert [(note["author"]["id"], note["body"]) for note in gitlab.comments] == [(ALICE["id"], BODY), (BOT["id"], said)]


def test_an_older_pipeline_leaves_it(review: Review, gitlab: GitLab) -> None:
    gitlab.wrote(BODY.replace("run 1.1", "run 2.1"))
    review("report", env=variables())
    ran = review("comment", env=variables())
    assert (ran.stdout, gitlab.writes) == ("review: no comment: a newer run has commented\n", [])
    gitlab.head = NEWER
    ran = review("comment", env=variables(pipeline=3))
    assert (ran.stdout, gitlab.writes) == ("review: no comment: there are newer commits, and their review comments\n", [])


def test_merged_results_are_those_of_the_branch(review: Review, program: Program) -> None:
    review("report", env={**variables(), "CI_COMMIT_SHA": NEWER, "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": HEAD})
    assert program.called[-1] == f"{BASE}...{HEAD}"


def test_without_a_token_there_is_the_artifact(review: Review, gitlab: GitLab, tmp_path: Path) -> None:
    review("report", env=variables(token=""))
    ran = review("comment", env=variables(token=""))
    said = "review: no comment: there is no token EMQX_GITOPS_REVIEW_TOKEN; the report is in the job's artifact\n"
    assert (ran.returncode, ran.stdout, gitlab.requests) == (0, said, [])
    assert sorted(path.name for path in (tmp_path / "review").iterdir()) == ["comment.md", "review.json", "summary.md"]


def test_a_token_that_is_wrong_is_a_failure(review: Review, gitlab: GitLab) -> None:
    gitlab.refuse["GET"] = Answer(401, {"message": "401 Unauthorized"})
    review("report", env=variables())
    ran = review("comment", env=variables())
    assert (ran.returncode, ran.stderr) == (3, "review: GET /projects/34/merge_requests/12: expected an answer; got 401 Unauthorized\n")


def test_quick_actions_in_a_report_do_nothing(review: Review, gitlab: GitLab, program: Program) -> None:
    program.says("/merge\n/assign @alice\n")
    review("report", env=variables())
    review("comment", env=variables())
    assert gitlab.comments[0]["body"].splitlines()[2:4] == ["\u200b/merge", "\u200b/assign @\u200balice"]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 1), (3, 3)])
def test_by_hand_the_exit_code_is_the_gate(review: Review, program: Program, code: int, expected: int) -> None:
    program.says(code=code)
    consents = {"REVIEW_ACCEPT": "scale-down * because y\n\nrights-gained clusters/a because z\n"}
    assert review("report", "main...HEAD", "--folder", "out", env=consents).returncode == expected
    accepted = ["--accept=scale-down * because y", "--accept=rights-gained clusters/a because z"]
    assert program.called == ["diff", *accepted, *writes("out"), "--", "main...HEAD"]


NOWHERE = "expected a job of GitHub or GitLab, or a range: review.py report main...HEAD"


@pytest.mark.parametrize(
    ("args", "env", "said"),
    [
        (["report"], {}, NOWHERE),
        (["comment"], {}, NOWHERE),
        (["consents"], variables(), "expected a job of GitHub: elsewhere consents are trailers of commits"),
        (
            ["report"],
            {"GITLAB_CI": "true"},
            "expected a pipeline of a merge request; got another: give the job `rules` with `merge_request_event`",
        ),
        (
            ["report"],
            {"GITLAB_CI": "true", "CI_MERGE_REQUEST_IID": "12"},
            "expected 'CI_MERGE_REQUEST_DIFF_BASE_SHA' among what the forge tells its jobs; it is not there",
        ),
    ],
)
def test_a_wrong_call_says_what_is_expected(review: Review, args: list[str], env: dict[str, str], said: str) -> None:
    ran = review(*args, env=env)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", f"review: {said}\n")


# What the page says to put into .gitlab-ci.yml


JOBS = yaml.safe_load(next(block.text for block in blocks((ROOT / "docs" / "review" / "ci.md").read_text(encoding="utf-8")) if ".gitlab-ci.yml" in block.text))


@pytest.fixture(name="clone")
def fixture_clone(tmp_path: Path) -> Path:
    """As GitLab clones: all branches of origin; the change has another program than the default branch."""
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com", "-C"]
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    shutil.copytree(ACTION, origin / ".github" / "actions" / "review")
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "-m", "Begin"]):
        subprocess.run([*git, origin, *words], check=True)
    subprocess.run(["git", "clone", "--quiet", origin, clone], check=True)
    (clone / ".github" / "actions" / "review" / "review.py").write_text("open('pwned', 'w')\n", encoding="utf-8")
    return clone


def test_the_jobs_of_the_page(tmp_path: Path, clone: Path, gitlab: GitLab, program: Program) -> None:
    review, comment = ("\n".join(JOBS[name]["script"]).replace("make setup LINKS=no", ":") for name in ("review", "review-comment"))
    given = {**environment(tmp_path / "home", program.folder, ""), **variables(), "CI_API_V4_URL": gitlab.url, "CI_DEFAULT_BRANCH": "main"}
    given["CI_BUILDS_DIR"] = str(tmp_path)
    without = {name: value for name, value in given.items() if name != "EMQX_GITOPS_REVIEW_TOKEN"}
    assert subprocess.run(["bash", "-eo", "pipefail", "-c", review], cwd=clone, env=without, check=False).returncode == 0
    assert (clone / "pwned").exists(), "the review is that of the change"
    (clone / "pwned").unlink()
    shutil.copytree(program.folder / "reports", clone / JOBS["review"]["artifacts"]["paths"][0])
    assert subprocess.run(["bash", "-eo", "pipefail", "-c", comment], cwd=clone, env=given, check=False).returncode == 0
    assert not (clone / "pwned").exists()
    assert gitlab.writes == [Request("POST", NOTES, {"body": BODY})]
