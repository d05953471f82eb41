"""The workflow's steps, run as a runner runs them: one comment, consents by labels, and a gate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from emqx_gitops.review import as_markdown

from .conftest import BASE, HEAD, NEWER, NOTHING, REPORT, SAME, Program, Start, merge_group, pull_request, writes
from .forge import ALICE, TOKEN, Answer, GitHub, Request
from .workflow import Ran, Runner

COMMENTS = "/repos/example/clusters/issues/12/comments"
PULL = Request("GET", "/repos/example/clusters/pulls/12")
LABELS = Request("GET", "/repos/example/clusters/issues/12/labels?per_page=100&page=1")
FIRST_PAGE = Request("GET", f"{COMMENTS}?per_page=100&page=1")


def body(run: str = "1.1", said: str = REPORT.rstrip("\n")) -> str:
    link = f"https://github.com/example/clusters/actions/runs/{run.partition('.')[0]}"
    return f"<!-- emqx-gitops-review -->\n<!-- run {run} -->\n{said}\n\n---\nReview of {HEAD}, with all of it in [the run]({link}).\n"


def whole(runner: Runner, *, comment: bool = True) -> bool:
    """Runs all jobs; whether the gate is open."""
    runner.job("consents")
    runner.job("review")
    comments = runner.job("comment").code if comment else 0
    assert comments == 0
    runner.needs.pop("comment", None)
    return runner.job("review-gate").code == 0


def commented(runner: Runner, text: str = REPORT) -> Ran:
    """Runs the job `comment` alone, with a report that the job `review` would have left."""
    (runner.temp / "review").mkdir(parents=True, exist_ok=True)
    (runner.temp / "review" / "comment.md").write_bytes(text.encode("utf-8", "surrogateescape"))
    return runner.job("comment")


# The report


def test_a_pull_request_gets_one_comment_and_a_summary(start: Start, github: GitHub, program: Program) -> None:
    runner = start()
    assert whole(runner)
    assert program.called == ["diff", *writes(f"{runner.temp}/review"), "--", f"{BASE}...{HEAD}"]
    assert github.requests == [LABELS, PULL, FIRST_PAGE, Request("POST", COMMENTS, {"body": body()})]
    assert github.authorizations == {f"Bearer {TOKEN}"}
    assert (runner.temp / "review" / "review.json").exists()
    assert runner.job("review").summary == "# Summary\n"


def test_the_next_run_updates_it(start: Start, github: GitHub, program: Program) -> None:
    whole(start())
    program.says("## Nothing bad\n")
    whole(start(run=2))
    assert github.writes[1:] == [Request("PATCH", "/repos/example/clusters/issues/comments/100", {"body": body("2.1", "## Nothing bad")})]
    assert len(github.comments) == 1


def test_the_job_that_runs_the_change_has_no_token(start: Start, program: Program) -> None:
    runner = start()
    runner.job("consents")
    runner.job("review")
    assert "GITHUB_EVENT_PATH" in program.env
    assert TOKEN not in program.env.values()


@pytest.mark.parametrize(("code", "open_gate"), [(0, True), (1, False), (2, False), (3, False)])
def test_the_gate_is_what_the_review_says(start: Start, program: Program, code: int, open_gate: bool) -> None:
    program.says(code=code)
    assert whole(start()) is open_gate


def test_a_shut_gate_is_commented_all_the_same(start: Start, github: GitHub, program: Program) -> None:
    program.says(code=1)
    whole(start())
    assert github.writes == [Request("POST", COMMENTS, {"body": body()})]


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped"])
@pytest.mark.parametrize("job", ["consents", "review"])
def test_the_gate_opens_only_if_both_passed(start: Start, job: str, result: str) -> None:
    runner = start(needs={"consents": {"result": "success"}, "review": {"result": "success"}})
    assert runner.job("review-gate").code == 0
    runner.needs = {"consents": {"result": "success"}, "review": {"result": "success"}, job: {"result": result}}
    assert runner.job("review-gate").code != 0


def test_a_review_that_failed_says_so(start: Start, github: GitHub, program: Program) -> None:
    whole(start())
    (program.folder / "reports" / "comment.md").unlink()
    (program.folder / "code").write_text("3", encoding="utf-8")
    assert not whole(start(run=2))
    assert github.comments[0]["body"] == body("2.1", "The review did not come to an end.")


def test_an_old_report_is_not_taken_for_the_new_one(start: Start, program: Program) -> None:
    runner = start()
    runner.job("consents")
    runner.job("review")
    for name in ("comment.md", "summary.md"):
        (program.folder / "reports" / name).unlink()
    (program.folder / "code").write_text("3", encoding="utf-8")
    ran = runner.job("review")
    assert (ran.code, ran.err) == (3, f"review: emqx-gitops diff {BASE}...{HEAD}: expected a report; it failed, see above\n")
    assert [path.name for path in (runner.temp / "review").iterdir()] == ["review.json"], "what this run wrote"


def test_without_the_program_it_says_what_to_install(start: Start, program: Program) -> None:
    (program.folder / "emqx-gitops").unlink()
    runner = start()
    runner.env["PATH"] = "/usr/bin:/bin"
    runner.job("consents")
    ran = runner.job("review")
    assert (ran.code, ran.err) == (3, "review: expected emqx-gitops in .venv/bin or on PATH; run `make setup`, or install it with pip\n")


# Where nothing changes


@pytest.mark.parametrize("review", [NOTHING, {"targets": [], "unusedConsents": []}])
def test_a_change_that_changes_no_cluster_gets_no_comment(start: Start, github: GitHub, program: Program, review: dict[str, Any]) -> None:
    program.says(review=review)
    assert whole(start())
    assert github.writes == []


@pytest.mark.parametrize(
    "review",
    [
        {**NOTHING, "unusedConsents": [{"note": "nothing here needs it"}]},
        *({**NOTHING, "targets": [SAME, {**SAME, kind: [{}]}]} for kind in ("findings", "problems", "differences")),
    ],
)
def test_whatever_there_is_to_say_is_said(start: Start, github: GitHub, program: Program, review: dict[str, Any]) -> None:
    program.says(review=review)
    assert whole(start())
    assert github.writes == [Request("POST", COMMENTS, {"body": body()})]


def test_a_change_that_changes_none_any_more_says_so(start: Start, github: GitHub, program: Program) -> None:
    whole(start())
    program.says(review=NOTHING)
    assert whole(start(run=2))
    assert github.comments[0]["body"] == body("2.1", "Nothing changes in any cluster any more.")


def test_the_marker_of_the_report_is_not_said_twice(start: Start, github: GitHub, program: Program) -> None:
    program.says(f"{as_markdown.MARKER}\n{REPORT}")
    whole(start())
    assert github.comments[0]["body"] == body()


# Whose comment


@pytest.mark.parametrize(
    "text",
    [
        "<!-- emqx-gitops-review -->\n<!-- run 1.1 -->\nLook what I can do",
        "<!-- emqx-gitops-review -->",
    ],
)
def test_the_comment_of_somebody_else_is_left_alone(start: Start, github: GitHub, text: str) -> None:
    theirs = github.wrote(text, **ALICE)
    github.wrote(text, login="github-actions[bot]", type="User")
    github.wrote(text, login="github-actions", type="Bot")
    github.wrote(text, login="other[bot]", type="Bot")
    github.comments.append({"id": 150, "body": text, "user": None})
    github.comments.append({"id": 151, "body": None, "user": {"login": "github-actions[bot]", "type": "Bot"}})
    before = dict(theirs)
    commented(start())
    assert github.writes == [Request("POST", COMMENTS, {"body": body()})]
    assert theirs == before


def test_a_comment_of_another_workflow_that_quotes_it_is_left_alone(start: Start, github: GitHub) -> None:
    github.wrote("They said:\n<!-- emqx-gitops-review -->\n<!-- run 9.1 -->\n")
    commented(start())
    assert github.writes == [Request("POST", COMMENTS, {"body": body()})]


def test_it_is_found_among_hundreds(start: Start, github: GitHub) -> None:
    for number in range(150):
        github.wrote(f"comment {number}", **ALICE)
    mine = github.wrote(body().replace("\n", "\r\n"))
    for number in range(49):
        github.wrote(f"later comment {number}", **ALICE)
    commented(start(run=2))
    pages = [Request("GET", f"{COMMENTS}?per_page=100&page={number}") for number in (1, 2, 3)]
    assert github.requests == [PULL, *pages, Request("PATCH", f"/repos/example/clusters/issues/comments/{mine['id']}", {"body": body("2.1")})]


def test_of_two_one_remains(start: Start, github: GitHub) -> None:
    github.wrote(body())
    github.wrote(body())
    commented(start(run=2))
    here = "/repos/example/clusters/issues/comments"
    assert github.writes == [Request("PATCH", f"{here}/100", {"body": body("2.1")}), Request("DELETE", f"{here}/101")]


# Which run


@pytest.mark.parametrize(("run", "attempt", "writes"), [(4, 9, 0), (5, 1, 0), (5, 2, 1), (5, 3, 1), (6, 1, 1)])
def test_an_older_run_leaves_the_comment_of_a_newer_one(start: Start, github: GitHub, run: int, attempt: int, writes: int) -> None:
    # A forge may keep other line ends than it was given.
    github.wrote(body("5.2").replace("\n", "\r\n"))
    commented(start(run=run, attempt=attempt))
    assert len(github.writes) == writes


def test_a_run_for_commits_that_are_not_the_newest_leaves_it(start: Start, github: GitHub) -> None:
    github.head = NEWER
    ran = commented(start())
    assert (ran.code, ran.out) == (0, "::notice::no comment: there are newer commits, and their review comments\n")
    assert github.requests == [PULL]


# Forks


def test_a_fork_gets_summary_and_artifact(start: Start, github: GitHub) -> None:
    runner = start(pull_request(fork=True))
    assert whole(runner)
    assert github.requests == [LABELS]
    assert (runner.temp / "review" / "review.json").exists()


def test_a_fork_that_is_gone_is_a_fork(start: Start, github: GitHub) -> None:
    event = pull_request()
    event["pull_request"]["head"]["repo"] = None
    assert whole(start(event))
    assert github.requests == [LABELS]


def test_a_token_that_may_only_read_is_no_failure(start: Start, github: GitHub) -> None:
    github.refuse["POST"] = Answer(403, {"message": "Resource not accessible by integration"})
    ran = commented(start())
    reason = f"POST {COMMENTS}: expected an answer; got 403 Forbidden"
    said = f"::notice::no comment: the token may not; the report is in the job's artifact ({reason})\n"
    assert (ran.code, ran.out, ran.err) == (0, said, "")


@pytest.mark.parametrize(
    ("code", "reason"), [(500, "500 Internal Server Error"), (404, "404 Not Found"), (307, "307 Temporary Redirect"), (301, "301 Moved Permanently")]
)
def test_a_forge_that_fails_is_a_failure_and_gets_the_token_nowhere_else(start: Start, github: GitHub, code: int, reason: str) -> None:
    github.refuse["GET"] = Answer(code, {})
    ran = start().job("consents")
    said = f"review: GET {LABELS.path}: expected an answer; got {reason}\n"
    assert (ran.code, ran.err) == (3, said)


# The merge queue


def test_the_merge_queue_is_reviewed_and_has_no_comment(start: Start, github: GitHub, program: Program) -> None:
    github.labels = [{"name": "accept:scale-down", "description": "nobody is left"}]
    runner = start(merge_group())
    assert whole(runner)
    assert github.requests == [LABELS]
    accepted = "--accept=scale-down * because nobody is left (label accept:scale-down)"
    assert program.called == ["diff", accepted, *writes(f"{runner.temp}/review"), "--", f"{BASE}...{HEAD}"]


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/heads/gh-readonly-queue/main/pr-12", f"refs/heads/gh-readonly-queue/main/pr-x-{BASE}", "pr-12-$(touch pwned)"]
)
def test_an_entry_of_no_pull_request_has_no_consents(start: Start, github: GitHub, ref: str) -> None:
    runner = start(merge_group(ref))
    assert runner.job("consents").outputs == {"accept": ""}
    assert github.requests == []


# Consents


@pytest.mark.parametrize(
    ("name", "description", "line"),
    [
        ("accept:scale-down", "nobody is left", "scale-down * because nobody is left (label accept:scale-down)"),
        ("accept:scale-down clusters/a", "  planned\n ", "scale-down clusters/a because planned (label accept:scale-down clusters/a)"),
        ("accept:x clusters/a:StatefulSet/emqx", "y", "x clusters/a:StatefulSet/emqx because y (label accept:x clusters/a:StatefulSet/emqx)"),
        ("accept:x *", "$(touch pwned) `touch pwned`", "x * because $(touch pwned) `touch pwned` (label accept:x *)"),
    ],
)
def test_a_label_accepts(start: Start, github: GitHub, program: Program, name: str, description: str, line: str) -> None:
    github.labels = [{"name": "kind", "description": None}, {"name": name, "description": description}]
    runner = start()
    assert runner.job("consents").outputs == {"accept": line}
    runner.job("review")
    assert program.called[:2] == ["diff", f"--accept={line}"]


@pytest.mark.parametrize(
    ("name", "description"),
    [
        ("accept:scale-down", ""),
        ("accept:scale-down", None),
        ("accept:Scale", "y"),
        ("accept:", "y"),
        ("accept: scale-down", "y"),
        ("accept:scale-down a b", "y"),
        ("accept:scale-down\nx * because y", "y"),
        ("accept:scale-down\n::set-env name=X::y", "y"),
    ],
)
def test_a_label_that_accepts_nothing_says_so(start: Start, github: GitHub, name: str, description: str | None) -> None:
    github.labels = [{"name": name, "description": description}]
    ran = start().job("consents")
    said = f"label {name!r} accepts nothing: expected `accept:RULE` or `accept:RULE WHERE`, and a reason as its description"
    assert (ran.code, ran.out, ran.outputs) == (0, f"::warning::{said}\n", {"accept": ""})


def test_labels_are_asked_for_anew_when_an_event_is_run_again(start: Start, github: GitHub) -> None:
    event = pull_request()
    event["pull_request"]["labels"] = [{"name": "accept:scale-down", "description": "it was there"}]
    assert start(event).job("consents").outputs == {"accept": ""}
    github.labels = [{"name": "accept:one", "description": "y"}, *({"name": f"n{number}", "description": ""} for number in range(100))]
    github.labels.append({"name": "accept:other", "description": "y"})
    said = start(event, attempt=2).job("consents").outputs["accept"]
    assert said.splitlines() == ["one * because y (label accept:one)", "other * because y (label accept:other)"]


def test_the_pull_request_that_brings_the_workflow_has_no_consents_yet(start: Start, tmp_path: Path, github: GitHub) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    runner = start(checkout=empty)
    assert [runner.job(name).code for name in ("consents", "comment")] == [0, 0]
    assert github.requests == []


# What strangers write


HOSTILE = ["$(touch pwned)", "`touch pwned`", "a;touch pwned", "x\ntouch pwned", "${{ github.token }}", "--output=pwned", "%0A::set-output name=accept::x"]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_reports_are_text_and_nothing_else(start: Start, github: GitHub, program: Program, text: str, tmp_path: Path) -> None:
    program.says(f"{text}\n", f"{text}\n")
    runner = start(pull_request(branch=text))
    assert whole(runner)
    assert github.comments[0]["body"] == body(said=text)
    assert program.called[-1] == f"{BASE}...{HEAD}"
    assert list(tmp_path.rglob("*pwned*")) == []
    assert runner.job("review").summary == f"{text}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/merge\n  /approve\n", "\u200b/merge\n  \u200b/approve"),
        ("one\r/merge\r\n\u2028/close", "one\n\u200b/merge\n\u200b/close"),
        ("@alice, emqx@emqx-0.emqx and (@team/x)", "@\u200balice, emqx@emqx-0.emqx and (@\u200bteam/x)"),
        ("a\x00b\x1b[31mc\u202ed", "ab[31mcd"),
        ("rm -r /opt/emqx", "rm -r /opt/emqx"),
        ("members → \U0001f642 €", "members → \U0001f642 €"),
        ("<!-- emqx-gitops-review -->\n<!-- run 999.1 -->", "<!-- run 999.1 -->"),
        ("a\n<!-- emqx-gitops-review -->\n<!-- run 999.1 -->", "a\n<!-- emqx-gitops-review -->\n<!-- run 999.1 -->"),
    ],
)
def test_a_report_cannot_command(start: Start, github: GitHub, text: str, said: str) -> None:
    commented(start(), text)
    assert github.comments[0]["body"] == body(said=said)
    commented(start(run=2), text)
    assert len(github.comments) == 1
    assert github.comments[0]["body"].startswith("<!-- emqx-gitops-review -->\n<!-- run 2.1 -->\n")


def test_a_report_that_is_no_text(start: Start, github: GitHub) -> None:
    commented(start(), "a\udcffb")
    assert github.comments[0]["body"] == body(said="a\ufffdb")


def test_a_report_that_leads_elsewhere_is_none(start: Start, github: GitHub, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the secret", encoding="utf-8")
    runner = start()
    (runner.temp / "review").mkdir(parents=True)
    (runner.temp / "review" / "comment.md").symlink_to(tmp_path / "secret")
    runner.job("comment")
    assert github.comments[0]["body"] == body(said="The review did not come to an end.")


@pytest.mark.parametrize("kind", ["comment.md a folder", "a pipe"])
def test_a_report_that_is_no_file_is_none(start: Start, github: GitHub, kind: str) -> None:
    runner = start()
    path = runner.temp / "review" / "comment.md"
    path.parent.mkdir(parents=True)
    path.mkdir() if "folder" in kind else os.mkfifo(path)
    assert runner.job("comment").code == 0
    assert github.comments[0]["body"] == body(said="The review did not come to an end.")


LONGER = "\n\nThe report is longer: all of it is in the artifact of the run.\n"


def test_a_report_over_size_is_cut_at_a_line(start: Start, github: GitHub) -> None:
    line = "`clusters/a` → changes\n"
    commented(start(), "```\n" + line * 100_000)
    said = github.comments[0]["body"]
    assert 59_900 < len(said) <= 60_000
    report = said.partition("-->\n<!-- run 1.1 -->\n")[2].partition(LONGER.rstrip("\n"))[0]
    count = report.count(line)
    # The code block is closed.
    assert report == "```\n" + line * count + "```\n"


def test_a_summary_over_size_is_cut(start: Start, program: Program) -> None:
    program.says(summary="→ ä\n" * 300_000)
    runner = start()
    runner.job("consents")
    summary = runner.job("review").summary
    assert 999_900 < len(summary.encode()) <= 1_000_000
    assert summary == "→ ä\n" * summary.count("ä") + LONGER
