"""Members that answer as the HTTP API of each EMQX family does, one address of the loopback each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

HOST = "emqx@emqx-{}.emqx-headless.mqtt.svc.cluster.local"
# What a node says of itself besides its name and whether it runs.
DETAILS = {"connections": 0, "load1": 0.1, "max_fds": 1048576, "memory_total": "7.77G", "otp_release": "24.3.4.2-1", "version": "x", "uptime": 5120000}
FAMILIES = ("4", "5.0.0", "5")
PATHS = {"4": "/api/v4/nodes", "5.0.0": "/api/v5/nodes", "5": "/api/v5/nodes"}


@dataclass
class Member:
    """Which nodes it lists as running and as stopped; its HTTP status, or None: it takes the question and hangs up."""

    running: list[str]
    stopped: list[str] = field(default_factory=list)
    status: int | None = 200


@dataclass
class Cluster:
    """Members by address; they share a port."""

    members: dict[str, Member]
    port: int
    family: str
    key: str
    asked: set[str] = field(default_factory=set)

    def body(self, member: Member) -> str:
        running, stopped = ("Running", "Stopped") if self.family in ("4", "5.0.0") else ("running", "stopped")
        # 4.x calls a stopped node by another field.
        name = "name" if self.family == "4" else "node"
        nodes = [{**DETAILS, "node": node, "node_status": running, "role": "core"} for node in member.running]
        nodes += [{"node_status": stopped, name: node} for node in member.stopped]
        # minirest's own layout is as tight; a proxy may change it.
        return json.dumps({"data": nodes, "code": 0} if self.family == "4" else nodes, indent=None if self.family == "4" else 1)


def nodes(*numbers: int) -> list[str]:
    return [HOST.format(number) for number in numbers]


def formed(count: int = 3) -> list[Member]:
    return [Member(nodes(*range(count))) for _ in range(count)]


@contextmanager
def serving(members: list[Member], family: str = "5", key: str = "cluster-formed:s3cret", addresses: list[str] | None = None) -> Iterator[Cluster]:
    """The members, each at an address of its own."""
    hosts = addresses or [f"127.0.0.{number + 1}" for number in range(len(members))]
    with ExitStack() as stack:
        for _ in range(20):
            servers, port = _servers(hosts)
            if servers:
                break
        cluster = Cluster(dict(zip(hosts, members, strict=True)), port, family, key)
        for server in servers:
            server.cluster = cluster  # type: ignore[attr-defined]
            stack.callback(server.server_close)
            Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
        yield cluster


def _servers(hosts: list[str]) -> tuple[list[ThreadingHTTPServer], int]:
    """A server for each address at one port; none where one of them is taken."""
    servers: list[ThreadingHTTPServer] = []
    port = 0
    try:
        for host in hosts:
            servers.append((_IPv6 if ":" in host else ThreadingHTTPServer)((host, port), _Handler))
            port = servers[0].server_address[1]
    except OSError:
        for server in servers:
            server.server_close()
        return [], 0
    return servers, port


class _IPv6(ThreadingHTTPServer):
    address_family = 10


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        cluster: Cluster = self.server.cluster  # type: ignore[attr-defined]
        host = str(self.server.server_address[0])
        member = cluster.members[host]
        cluster.asked.add(host)
        self.close_connection = True
        if member.status is None:
            return
        right = self.headers["Authorization"] == "Basic " + base64.b64encode(cluster.key.encode()).decode()
        known = self.path == PATHS[cluster.family]
        status = 401 if not right else 404 if not known else member.status
        body = (cluster.body(member) if status == 200 else json.dumps({"code": "BAD", "message": "no {running} node"})).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass
