"""Members talk on the Erlang port and on the RPC port, a line of JSON each: who has another name, cookie or family is refused.

server   {"name": its own, "nonce": …}
client   {"name": its own, "proof": of the cookie, "family": …, "licensed": …, "members": [every name that it knows]}
server   {"members": [every name that it knows]} or {"refused": why}
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import socketserver
import threading
from dataclasses import replace
from typing import IO, Any

from properties.broker import Node

from .memory import Memory

SECONDS = 2.0


class Unreachable(Exception):
    """A member is not there, or refuses; the text says why."""


def proof(node: Node, nonce: str) -> str:
    return hmac.new(node.cookie.encode(), nonce.encode(), "sha256").hexdigest()


def family(node: Node) -> str:
    return ".".join(map(str, node.release[:2]))


def refusal(node: Node, nonce: str, said: Any) -> str:
    """Why this node does not take that one; empty when it does."""
    if not hmac.compare_digest(said["proof"], proof(node, nonce)):
        return f"{said['name']} has another cookie"
    if said["family"] != family(node):
        return f"{said['name']} is of another family: {said['family']}, not {family(node)}"
    if not (said["licensed"] and node.may_cluster):
        return "SINGLE_NODE_LICENSE"
    return ""


class Handler(socketserver.StreamRequestHandler):
    """One conversation."""

    timeout = SECONDS
    node: Node
    memory: Memory

    def handle(self) -> None:
        nonce = secrets.token_hex()
        try:
            self.wfile.write(line({"name": self.node.name, "nonce": nonce}))
            said = heard(self.rfile)
            refused = refusal(self.node, nonce, said)
            if not refused:
                self.memory.join([said["name"], *said["members"]])
            self.wfile.write(line({"refused": refused} if refused else {"members": self.memory.members}))
        except (OSError, ValueError):
            return  # whoever that was will try again, or was no member


def listen(node: Node, memory: Memory) -> None:
    """Answers on both ports from now on."""
    for port in (node.erlang_port, node.rpc_port):
        handler = type("Bound", (Handler,), {"node": node, "memory": memory})
        server = socketserver.ThreadingTCPServer(("0.0.0.0", port), handler, bind_and_activate=False)
        server.allow_reuse_address = server.daemon_threads = True
        server.server_bind()
        server.server_activate()
        threading.Thread(target=server.serve_forever, daemon=True).start()


def reach(node: Node, name: str, members: list[str]) -> list[str]:
    """Talks to the node of this name on both of its ports; returns whom it knows."""
    # Its name says its Erlang port; the RPC port is the one in this node's own settings.
    there = replace(node, name=name)
    known = talk(node, name, there.host, there.erlang_port, members)
    talk(node, name, there.host, node.rpc_port, members)
    return known


def talk(node: Node, name: str, host: str, port: int, members: list[str]) -> list[str]:
    try:
        with socket.create_connection((host, port), SECONDS) as connection, connection.makefile("rwb") as stream:
            there = heard(stream)
            if there["name"] != name:
                raise Unreachable(f"{name}: port {port} of {host!r}: {there['name']} answers")
            mine = {"name": node.name, "proof": proof(node, there["nonce"]), "family": family(node), "licensed": node.may_cluster}
            stream.write(line({**mine, "members": members}))
            stream.flush()
            answer = heard(stream)
    except (OSError, ValueError) as error:
        raise Unreachable(f"{name}: port {port} of {host!r}: {getattr(error, 'strerror', None) or error}") from None
    if "refused" in answer:
        raise Unreachable(f"{name} refuses: {answer['refused']}")
    return [str(member) for member in answer["members"]]


def line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def heard(stream: IO[bytes]) -> Any:
    text = stream.readline()
    if not text:
        raise ValueError("it hung up")
    return json.loads(text)
