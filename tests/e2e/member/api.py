"""The HTTP side of a member: the status path for probes, the list of nodes for who has the API key, and a report of its own."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from properties.broker import Node, status

JSON = "application/json"
REFUSED = {"code": "BAD_API_KEY_OR_SECRET", "message": "Check api_key/api_secret"}


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    protocol_version = "HTTP/1.1"
    # Never reads what a client sends for ever.
    timeout = 5
    node: Node
    report: Callable[[], Any]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        port = self.server.server_address[1]
        if (port, path) in status(self.node):
            self.answer(200, "text/plain", f"Node {self.node.name} is started\nemqx is running")
        elif path == nodes_path(self.node):
            self.answer_nodes()
        elif path == "/report":
            self.answer(200, JSON, json.dumps(self.report()))
        else:
            self.answer(404, JSON, json.dumps({"code": "NOT_FOUND", "message": path}))

    def answer_nodes(self) -> None:
        if not is_key(self.node, self.headers.get("Authorization", "")):
            self.answer(401, JSON, json.dumps(REFUSED))
            return
        members = self.report()["members"]
        self.answer(200, JSON, json.dumps(listed_4(members) if self.node.release < (5, 0, 0) else listed(members)))

    def answer(self, code: int, kind: str, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Probes are no news."""


def nodes_path(node: Node) -> str:
    return "/api/v4/nodes" if node.release < (5, 0, 0) else "/api/v5/nodes"


def listed(members: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"node": name, "node_status": state, "role": "core"} for name, state in members.items()]


def listed_4(members: Mapping[str, str]) -> dict[str, Any]:
    """4.x wraps its lists, writes states with a capital, and calls a stopped node by another field."""
    data = [{"node" if state == "running" else "name": name, "node_status": state.capitalize()} for name, state in members.items()]
    return {"code": 0, "data": data}


def is_key(node: Node, authorization: str) -> bool:
    kind, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded).decode()
    except ValueError:
        return False
    return kind == "Basic" and given in keys(node)


def keys(node: Node) -> set[str]:
    """`key:secret` of each application, from the file that the release reads, or its settings."""
    if node.release < (5, 0, 0):
        name = node.config.get("management.default_application.id", "admin")
        return {f"{name}:{node.config.get('management.default_application.secret', 'public')}"} | in_file(node.config.get("management.bootstrap_apps_file", ""))
    return in_file(node.config.get("api_key.bootstrap_file", "")) if node.release >= (5, 0, 14) else set()


def in_file(path: str) -> set[str]:
    """Lines `key:secret`, or with a role behind it."""
    lines = Path(path).read_text().splitlines() if path else []
    return {":".join(line.split(":")[:2]) for line in lines if ":" in line}


def serve(node: Node, report: Callable[[], Any]) -> None:
    """Answers from now on, where this release has its API; a volume may hide it."""
    for port in {port for port, _ in status(node)}:
        handler = type("Bound", (Handler,), {"node": node, "report": staticmethod(report)})
        server = ThreadingHTTPServer(("0.0.0.0", port), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
