#!/usr/bin/env python3
"""A review on a pull request or merge request, in three steps that trust each other as little as they need to.

`report` runs what the change holds, so it gets no token. `consents` and `comment` get one, and run nothing of the change: labels and
reports are text to them. On GitHub and GitLab all of it is known from the variables of the job; elsewhere give `report` a range.
See docs/review/ci.md. Standard library only: it must run where nothing is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

MARKER = "<!-- emqx-gitops-review -->"
COMMENT_LIMIT = 60_000  # characters; GitHub takes 65,536
SUMMARY_LIMIT = 1_000_000  # bytes; GitHub takes 1 MiB a step
GITHUB_BOT = "github-actions[bot]"
PAGE = 100
FORMS = {
    "comment.md": "markdown-comment",
    "summary.md": "markdown-summary",
    "review.md": "markdown",
    "review.html": "html",
    "review.json": "json",
    "review.txt": "text",
}

_STATE = re.compile(rf"{MARKER}\n<!-- run (\d{{1,18}})\.(\d{{1,9}}) -->\n")
_QUEUE = re.compile(r"refs/heads/gh-readonly-queue/.+/pr-(\d{1,18})-[0-9a-f]{40,64}")
# As emqx-gitops diff --accept reads it.
_LABEL = re.compile(r"accept:(?P<rule>[a-z0-9]+(?:-[a-z0-9]+)*)(?: (?P<where>[^\s:]+(?::[^\s:/]+/\S+)?))?")

Run = tuple[int, int]


class Failure(Exception):
    """What a person reads, and the exit code: 2 for a wrong call, 3 for what did not work."""

    def __init__(self, message: str, code: int = 3) -> None:
        super().__init__(message)
        self.code = code


class Denied(Failure):
    """The token may not do that."""


class Comment(NamedTuple):
    """One that this workflow wrote."""

    id: int
    body: str


class Forge(Protocol):
    """Where the change is: what of it is known, and its comments. `number` is empty for what is no pull request; `token` may be."""

    number: str
    base: str
    head: str
    run: Run
    link: str
    token: str
    may_comment: str  # why not, or empty

    def head_now(self) -> str: ...
    def mine(self) -> list[Comment]: ...
    def create(self, body: str) -> None: ...
    def update(self, comment: Comment, body: str) -> None: ...
    def delete(self, comment: Comment) -> None: ...


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Nowhere: the token is for one host."""


class Api:
    """A REST API that speaks JSON."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url = url.rstrip("/")
        self._headers = {**headers, "Content-Type": "application/json", "User-Agent": "emqx-gitops-review"}
        self._opener = urllib.request.build_opener(_NoRedirect)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """What it answers, or None for nothing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, self._headers, method=method)
        try:
            with self._opener.open(request, timeout=30) as answer:
                said = answer.read()
                return json.loads(said) if said else None
        except urllib.error.HTTPError as error:
            with error:
                kind = Denied if error.code == 403 else Failure
                raise kind(f"{method} {path}: expected an answer; got {error.code} {error.reason}") from None
        except (OSError, ValueError) as error:
            raise Failure(f"{method} {path}: expected an answer; got {error}") from None

    def pages(self, path: str) -> Iterator[Any]:
        """The entries of all pages of a list."""
        page = 0
        found = [None] * PAGE
        while len(found) == PAGE:
            page += 1
            found = self.call("GET", f"{path}?per_page={PAGE}&page={page}")
            yield from found


class GitHub:
    """A pull request or an entry of the merge queue, from the event that started the workflow."""

    def __init__(self, env: Mapping[str, str]) -> None:
        event = json.loads(Path(env["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
        self._repository = env["GITHUB_REPOSITORY"]
        self.token = env.get("GITHUB_TOKEN", "")
        self.run = (int(env["GITHUB_RUN_ID"]), int(env["GITHUB_RUN_ATTEMPT"]))
        self.link = f"{env['GITHUB_SERVER_URL']}/{self._repository}/actions/runs/{env['GITHUB_RUN_ID']}"
        self._read(event)
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        self._api = Api(env["GITHUB_API_URL"], headers)

    def _read(self, event: dict[str, Any]) -> None:
        if "pull_request" in event:
            pull = event["pull_request"]
            self.number, self.base, self.head = str(int(pull["number"])), pull["base"]["sha"], pull["head"]["sha"]
            # A fork that was deleted is null.
            fork = (pull["head"].get("repo") or {}).get("full_name") != self._repository
            self.may_comment = "it comes from a fork, whose token may only read" if fork else ""
        elif "merge_group" in event:
            group = event["merge_group"]
            queued = _QUEUE.fullmatch(group["head_ref"])
            self.number, self.base, self.head = queued[1] if queued else "", group["base_sha"], group["head_sha"]
            self.may_comment = "the merge queue has no comments"
        else:
            raise Failure("expected the event pull_request or merge_group; got another", 2)

    def labels(self) -> list[tuple[str, str]]:
        """Names and descriptions, as they are now: an event that is run again still has the old ones."""
        found = self._api.pages(f"/repos/{self._repository}/issues/{self.number}/labels") if self.number else ()
        return [(label["name"], label["description"] or "") for label in found]

    def head_now(self) -> str:
        head: str = self._api.call("GET", f"/repos/{self._repository}/pulls/{self.number}")["head"]["sha"]
        return head

    def mine(self) -> list[Comment]:
        comments = self._api.pages(f"/repos/{self._repository}/issues/{self.number}/comments")
        return [Comment(one["id"], one["body"]) for one in comments if _by_workflow(one) and is_ours(one["body"])]

    def create(self, body: str) -> None:
        self._api.call("POST", f"/repos/{self._repository}/issues/{self.number}/comments", {"body": body})

    def update(self, comment: Comment, body: str) -> None:
        self._api.call("PATCH", f"/repos/{self._repository}/issues/comments/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self._api.call("DELETE", f"/repos/{self._repository}/issues/comments/{comment.id}")


def _by_workflow(comment: dict[str, Any]) -> bool:
    user = comment["user"] or {}
    # Nobody can register a name with brackets.
    return user.get("login") == GITHUB_BOT and user.get("type") == "Bot"


class GitLab:
    """A merge request, from the predefined variables of its pipeline."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.number = env.get("CI_MERGE_REQUEST_IID", "")
        if not self.number:
            raise Failure("expected a pipeline of a merge request; got another: give the job `rules` with `merge_request_event`", 2)
        self.base = env["CI_MERGE_REQUEST_DIFF_BASE_SHA"]
        # A pipeline of merged results runs on a commit that is on no branch.
        self.head = env.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or env["CI_COMMIT_SHA"]
        self.run = (int(env["CI_PIPELINE_ID"]), int(env["CI_JOB_ID"]))
        self.link = env["CI_PIPELINE_URL"]
        self.token = env.get("EMQX_GITOPS_REVIEW_TOKEN", "")
        self.may_comment = "" if self.token else "there is no token EMQX_GITOPS_REVIEW_TOKEN"
        self._api = Api(env["CI_API_V4_URL"], {"PRIVATE-TOKEN": self.token})
        self._path = f"/projects/{env['CI_MERGE_REQUEST_PROJECT_ID']}/merge_requests/{self.number}"

    def head_now(self) -> str:
        head: str = self._api.call("GET", self._path)["sha"]
        return head

    def mine(self) -> list[Comment]:
        myself = self._api.call("GET", "/user")["id"]
        notes = self._api.pages(f"{self._path}/notes")
        found = [Comment(note["id"], note["body"]) for note in notes if note["author"]["id"] == myself and is_ours(note["body"])]
        return sorted(found)

    def create(self, body: str) -> None:
        self._api.call("POST", f"{self._path}/notes", {"body": body})

    def update(self, comment: Comment, body: str) -> None:
        self._api.call("PUT", f"{self._path}/notes/{comment.id}", {"body": body})

    def delete(self, comment: Comment) -> None:
        self._api.call("DELETE", f"{self._path}/notes/{comment.id}")


def forge_of(env: Mapping[str, str]) -> GitHub | GitLab:
    """The one whose job this is."""
    try:
        if env.get("GITHUB_ACTIONS") == "true":
            return GitHub(env)
        if env.get("GITLAB_CI") == "true":
            return GitLab(env)
    except KeyError as missing:
        raise Failure(f"expected {missing} among what the forge tells its jobs; it is not there", 2) from None
    raise Failure("expected a job of GitHub or GitLab, or a range: review.py report main...HEAD", 2)


# --- report: runs what the change holds


def report(span: str, folder: Path, env: Mapping[str, str]) -> int:
    """Writes every form of the report into the folder; 0 where the gate is open, 1 where it is shut."""
    if not span:
        forge = forge_of(env)
        span = f"{forge.base}...{forge.head}"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FORMS:
        (folder / name).unlink(missing_ok=True)
    wanted = [f"--write={form}={folder / name}" for name, form in FORMS.items()]
    accepted = [f"--accept={line}" for line in env.get("REVIEW_ACCEPT", "").splitlines() if line.strip()]
    done = subprocess.run([_program(), "diff", *accepted, *wanted, "--", span], check=False)
    if done.returncode not in (0, 1):
        raise Failure(f"emqx-gitops diff {span}: expected a report; it failed, see above", done.returncode)
    if nothing_changes(json.loads((folder / "review.json").read_text(encoding="utf-8"))):
        (folder / "comment.md").write_text("", encoding="utf-8")
    if "GITHUB_STEP_SUMMARY" in env:
        summary = cut(_text(folder / "summary.md"), SUMMARY_LIMIT, lambda line: len(line.encode()))
        with Path(env["GITHUB_STEP_SUMMARY"]).open("a", encoding="utf-8") as file:
            file.write(summary)
    return done.returncode


def nothing_changes(review: dict[str, Any]) -> bool:
    """Whether nobody needs to hear of it."""
    said = [target[kind] for target in review["targets"] for kind in ("differences", "findings", "problems")]
    return not any([*said, review["unusedConsents"]])


def _program() -> str:
    here = Path(".venv/bin/emqx-gitops")
    found = str(here) if here.exists() else shutil.which("emqx-gitops")
    if found is None:
        raise Failure("expected emqx-gitops in .venv/bin or on PATH; run `make setup`, or install it with pip")
    return found


# --- consents: what people with the right to label have accepted


def consents(github: GitHub, env: Mapping[str, str]) -> int:
    """Labels such as `accept:scale-down clusters/test` -> lines for --accept, as the job's output. Their descriptions are the reasons."""
    lines = []
    for name, description in github.labels():
        if name.startswith("accept:"):
            line = consent(name, description)
            lines += [line] if line else []
            if not line:
                say("warning", f"label {name!r} accepts nothing: expected `accept:RULE` or `accept:RULE WHERE`, and a reason as its description")
    end = secrets.token_hex(16)
    with Path(env["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write("\n".join([f"accept<<{end}", *lines, end]) + "\n")
    return 0


def consent(name: str, description: str) -> str:
    """The consent that a label gives, or nothing."""
    found, reason = _LABEL.fullmatch(name), " ".join(description.split())
    return f"{found['rule']} {found['where'] or '*'} because {reason} (label {name})" if found and reason else ""


# --- comment: says it on the pull request


def comment(forge: Forge, folder: Path) -> int:
    """Exactly one comment has the newest report. Of `folder` nothing is believed, whatever is in it."""
    if forge.may_comment:
        say("notice", f"no comment: {forge.may_comment}; the report is in the job's artifact")
        return 0
    try:
        _comment(forge, found_report(folder))
    except Denied as error:
        say("notice", f"no comment: the token may not; the report is in the job's artifact ({error})")
    return 0


def _comment(forge: Forge, found: str | None) -> None:
    if forge.head_now() != forge.head:
        say("notice", "no comment: there are newer commits, and their review comments")
        return
    mine = forge.mine()
    if any(run_of(one.body) > forge.run for one in mine):
        say("notice", "no comment: a newer run has commented")
        return
    if not mine and found == "":
        return
    body = written(forge, found)
    if not mine:
        forge.create(body)
        return
    forge.update(mine[0], body)
    for doubled in mine[1:]:
        forge.delete(doubled)


def found_report(folder: Path) -> str | None:
    """The report for the comment: empty where nothing changes, None where there is none."""
    path = folder / "comment.md"
    return _text(path) if path.is_file() and not path.is_symlink() else None


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(4 * SUMMARY_LIMIT).decode(errors="replace")


def written(forge: Forge, found: str | None) -> str:
    """The whole comment: marker, run, report, where it comes from."""
    head = f"{MARKER}\n<!-- run {forge.run[0]}.{forge.run[1]} -->\n"
    said = {None: "The review did not come to an end.\n", "": "Nothing changes in any cluster any more.\n"}.get(found, found)
    tail = f"\n\n---\nReview of {forge.head}, with all of it in [the run]({forge.link}).\n"
    return head + cut(harmless(said or "").removeprefix(f"{MARKER}\n"), COMMENT_LIMIT - len(head) - len(tail), len).rstrip("\n") + tail


def harmless(text: str) -> str:
    """The text without what a forge acts on when a bot says it: a command at the start of a line, a mention; nor control characters."""
    text = re.sub(r"\r\n?", "\n", text)
    text = re.sub(r"[^\n\t -~\xa0-\U0010ffff]|[\u2028\u2029\u202a-\u202e\u2066-\u2069]", "", text)
    text = re.sub(r"(?m)^(\s*)(?=/\w)", "\\1\u200b", text)
    return re.sub(r"(?<!\w)@(?=\w)", "@\u200b", text)


def cut(text: str, limit: int, size: Callable[[str], int]) -> str:
    """The first lines that fit, in all of `limit`, and a last one that says so."""
    if size(text) <= limit:
        return text
    end = "\n\nThe report is longer: all of it is in the artifact of the run.\n"
    fence = "```\n"
    left = limit - size(end) - size(fence)
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        left -= size(line)
        if left < 0:
            break
        kept.append(line)
    open_fence = sum(line.lstrip().startswith("```") for line in kept) % 2
    return "".join(kept) + fence * open_fence + end


def is_ours(body: str | None) -> bool:
    """Whether the comment is a review: the marker is where we put it, not anywhere."""
    return (body or "").startswith(MARKER)


def run_of(body: str) -> Run:
    """The run that wrote the comment."""
    found = _STATE.match(body.replace("\r\n", "\n"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def say(level: str, message: str) -> None:
    """A line of the log, on GitHub an annotation. What others wrote cannot become a command of its own."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{level}::{escaped}" if os.environ.get("GITHUB_ACTIONS") == "true" else f"review: {message}", flush=True)


def main(arguments: list[str]) -> int:
    """One step; 0 fine, 1 the gate is shut, 2 wrong arguments, 3 something failed."""
    parser = argparse.ArgumentParser(prog="review.py", description="A review on a pull request or merge request.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    reporting = verbs.add_parser("report", help="write the report of a change; runs what the change holds, so give it no token")
    reporting.add_argument("range", nargs="?", default="", help="such as main...HEAD; default: the pull request or merge request of this job")
    verbs.add_parser("consents", help="write the consents that labels give into the outputs of a GitHub job")
    commenting = verbs.add_parser("comment", help="write the comment, or update it")
    for verb in (reporting, commenting):
        verb.add_argument("--folder", type=Path, default=Path("review"), help="where the report is; default: review")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.verb == "report":
            return report(chosen.range, chosen.folder, os.environ)
        forge = forge_of(os.environ)
        if chosen.verb == "comment":
            return comment(forge, chosen.folder)
        if not isinstance(forge, GitHub):
            raise Failure("expected a job of GitHub: elsewhere consents are trailers of commits", 2)
        return consents(forge, os.environ)
    except Failure as error:
        print(f"review: {error}", file=sys.stderr)
        return error.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
