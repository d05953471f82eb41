"""Serves the Git repositories below a folder over smart HTTP on loopback: Flux and Argo CD take no file:// addresses.

git_server.py FOLDER PORT
"""

from __future__ import annotations

import os
import subprocess
import sys
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class GitHandler(BaseHTTPRequestHandler):
    """Hands each request to `git http-backend`, which speaks CGI."""

    protocol_version = "HTTP/1.1"
    folder = ""

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        ended = subprocess.run(["git", "http-backend"], input=body, env={**os.environ, **self.cgi()}, stdout=subprocess.PIPE, check=True)
        head, _, data = ended.stdout.partition(b"\r\n\r\n")
        headers = BytesParser().parsebytes(head)
        status, _, reason = headers.get("Status", "200 OK").partition(" ")
        self.send_response(int(status), reason)
        self.send_header("Content-Type", headers["Content-Type"])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def cgi(self) -> dict[str, str]:
        path, _, query = self.path.partition("?")
        return {
            "GIT_PROJECT_ROOT": self.folder,
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }


def main(folder: str, port: str) -> None:
    GitHandler.folder = folder
    ThreadingHTTPServer(("127.0.0.1", int(port)), GitHandler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
