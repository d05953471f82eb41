"""GitHub and GitLab, as far as the review asks them: a real HTTP server that keeps comments and notes every request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

BOT = {"login": "github-actions[bot]", "id": 41898282, "type": "Bot"}
ALICE = {"login": "alice", "id": 7, "type": "User"}
TOKEN = "the-token-of-the-job"


class Request(NamedTuple):
    """What was asked, without what every request has."""

    method: str
    path: str
    body: Any = None


class Answer(NamedTuple):
    """What is answered."""

    code: int
    body: Any = None


@dataclass
class Forge:
    """The state of one repository with one pull request, and who asked what."""

    head: str
    url: str = ""
    labels: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    refuse: dict[str, Answer] = field(default_factory=dict)  # by method

    @property
    def writes(self) -> list[Request]:
        return [request for request in self.requests if request.method != "GET"]

    def wrote(self, body: str, **user: Any) -> dict[str, Any]:
        """A comment that is there already."""
        comment = {"id": 100 + len(self.comments), "body": body, "user": {**BOT, **user}, "author": {"id": user.get("id", BOT["id"])}}
        self.comments.append(comment)
        return comment

    def answer(self, request: Request, query: dict[str, list[str]]) -> Answer:
        if request.method in self.refuse:
            return self.refuse[request.method]
        found = next((answer for pattern, answer in self.routes() if re.fullmatch(pattern, f"{request.method} {request.path}")), None)
        return found(request, query) if found else Answer(404, {"message": "Not Found"})

    def routes(self) -> list[tuple[str, Callable[[Request, dict[str, list[str]]], Answer]]]:
        return []

    def create(self, request: Request, query: dict[str, list[str]]) -> Answer:
        return Answer(201, self.wrote(request.body["body"]))

    def update(self, request: Request, query: dict[str, list[str]]) -> Answer:
        comment = self._comment(request)
        if comment is None:
            return Answer(404)
        comment["body"] = request.body["body"]
        return Answer(200, comment)

    def delete(self, request: Request, query: dict[str, list[str]]) -> Answer:
        comment = self._comment(request)
        if comment is None:
            return Answer(404)
        self.comments.remove(comment)
        return Answer(204)

    def _comment(self, request: Request) -> dict[str, Any] | None:
        return next((comment for comment in self.comments if comment["id"] == int(request.path.rpartition("/")[2])), None)


def _page(entries: list[Any], query: dict[str, list[str]]) -> Answer:
    # As both do it: 30 or 20 when nobody says, never more than 100.
    size, number = min(int(query.get("per_page", ["20"])[0]), 100), int(query.get("page", ["1"])[0])
    return Answer(200, entries[size * (number - 1) : size * number])


class GitHub(Forge):
    """github.com, the repository example/clusters, its pull request 12."""

    def routes(self) -> list[tuple[str, Callable[[Request, dict[str, list[str]]], Answer]]]:
        here = "/repos/example/clusters"
        return [
            (f"GET {here}/issues/12/labels", lambda _, query: _page(self.labels, query)),
            (f"GET {here}/pulls/12", lambda _, __: Answer(200, {"number": 12, "head": {"sha": self.head}})),
            (f"GET {here}/issues/12/comments", lambda _, query: _page(self.comments, query)),
            (f"POST {here}/issues/12/comments", self.create),
            (rf"PATCH {here}/issues/comments/\d+", self.update),
            (rf"DELETE {here}/issues/comments/\d+", self.delete),
        ]


class GitLab(Forge):
    """A GitLab, its project 34, the merge request 12 there."""

    def routes(self) -> list[tuple[str, Callable[[Request, dict[str, list[str]]], Answer]]]:
        here = "/projects/34/merge_requests/12"
        return [
            ("GET /user", lambda _, __: Answer(200, {"id": BOT["id"], "username": "project_34_bot"})),
            (f"GET {here}", lambda _, __: Answer(200, {"iid": 12, "sha": self.head})),
            # The newest come first there.
            (f"GET {here}/notes", lambda _, query: _page(self.comments[::-1], query)),
            (f"POST {here}/notes", self.create),
            (rf"PUT {here}/notes/\d+", self.update),
            (rf"DELETE {here}/notes/\d+", self.delete),
        ]


@contextmanager
def served(forge: Forge) -> Iterator[None]:
    """The forge, at its `url`."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            target = urlsplit(self.path)
            length = int(self.headers.get("Content-Length", "0"))
            body = json.loads(self.rfile.read(length)) if length else None
            request = Request(self.command, target.path, body)
            forge.requests.append(Request(self.command, self.path, body))
            forge.authorizations.add(self.headers.get("Authorization", "") or self.headers.get("PRIVATE-TOKEN", ""))
            answer = forge.answer(request, parse_qs(target.query))
            said = b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.code)
            self.send_header("Content-Length", str(len(said)))
            if answer.code in (301, 307):
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    forge.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
