"""How the tests talk to the control plane: kubectl, and plain HTTP where the answer's code matters."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KUBECTL_SECONDS = 60.0
REQUEST_SECONDS = 10.0
WAIT_SECONDS = 30.0

RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}

Object = dict[str, Any]


class NotAnswering(Exception):
    """The API server did not answer at all."""


class Refused(Exception):
    """kubectl ended with an error; the text is what it said."""


@dataclass(frozen=True)
class Answer:
    """An answer's code and body, and what the API server warns of beside them."""

    status: int
    body: Any
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Said:
    """What kubectl printed when all went well."""

    out: str
    warnings: str


class Api:
    """A Kubernetes API, seen as its administrator; how it is reached is the matter of `kubectl` and `request`."""

    def kubectl(self, *arguments: str, stdin: str = "") -> Said:
        """Runs kubectl; raises `Refused` with its message."""
        raise NotImplementedError

    def request(self, method: str, path: str, *, token: str = "", body: Any = None) -> Answer:
        """One HTTP request, by the administrator or by the owner of `token`."""
        raise NotImplementedError

    def items(self, namespace: str, resource: str, **query: str) -> list[Object]:
        """All objects of a resource such as `v1/pods` or `apps/v1/deployments`, or those that the query finds."""
        path = f"{path_of(namespace, resource)}?{urllib.parse.urlencode(query)}"
        found = self.expect(200, "GET", path)
        kind = found["kind"].removesuffix("List")
        return [{**item, "kind": kind} for item in found["items"]]

    def object(self, namespace: str, resource: str, name: str) -> Object:
        found: Object = self.expect(200, "GET", f"{path_of(namespace, resource)}/{name}")
        return found

    def expect(self, status: int, method: str, path: str, **options: Any) -> Any:
        """The body of an answer that must have this code."""
        answer = self.request(method, path, **options)
        assert answer.status == status, answer
        return answer.body

    def create_namespace(self, name: str) -> str:
        """A namespace that enforces Pod Security `restricted`, ready to take pods."""
        metadata = {"name": name, "labels": RESTRICTED}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        self.kubectl("create", "--filename=-", stdin=json.dumps(manifest))
        account = f"{path_of(name, 'v1/serviceaccounts')}/default"
        eventually(lambda: self.request("GET", account).status == 200, f"account default in namespace {name}")
        return name

    def apply(self, namespace: str, stream: str, *flags: str) -> Said:
        """Server-side apply that refuses unknown and duplicate fields."""
        options = ("--server-side", "--validate=strict", "--namespace", namespace, "--filename=-")
        return self.kubectl("apply", *options, *flags, stdin=stream)

    def token(self, namespace: str, account: str, pod: Object | None = None) -> str:
        """What a pod of this ServiceAccount would find mounted; of one pod, it is worth nothing when the pod is gone."""
        of = pod and {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": of}}
        answer = self.expect(201, "POST", f"{path_of(namespace, 'v1/serviceaccounts')}/{account}/token", body=body)
        return str(answer["status"]["token"])


@dataclass(frozen=True)
class Cluster(Api):
    """A control plane of ours, on loopback."""

    url: str
    trust: ssl.SSLContext = field(repr=False)
    admin_token: str = field(repr=False)
    program: Path
    kubeconfig: Path
    home: Path

    def kubectl(self, *arguments: str, stdin: str = "") -> Said:
        """Runs kubectl with an empty home of its own; raises `Refused` with its message."""
        ended = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig)},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=KUBECTL_SECONDS,
        )
        if ended.returncode:
            raise Refused(ended.stderr)
        return Said(ended.stdout, ended.stderr)

    def request(self, method: str, path: str, *, token: str = "", body: Any = None, content: str = "") -> Answer:
        """One HTTP request; `content` is the type of a body that is not what the method makes one think."""
        content = content or ("application/merge-patch+json" if method == "PATCH" else "application/json")
        headers = {"Authorization": f"Bearer {token or self.admin_token}", "Content-Type": content}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=self.trust) as reply:
                return Answer(reply.status, parsed(reply.read()), tuple(reply.headers.get_all("Warning", ())))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, parsed(error.read()))
        except OSError as error:
            raise NotAnswering(str(error)) from error


def path_of(namespace: str, resource: str) -> str:
    version, _, plural = resource.rpartition("/")
    root = "/apis" if "/" in version else "/api"
    return f"{root}/{version}/namespaces/{namespace}/{plural}"


def parsed(data: bytes) -> Any:
    """JSON where it is JSON, as /readyz answers plain text."""
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Waits for what controllers do in their own time."""
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {WAIT_SECONDS:.0f} s"
        time.sleep(0.1)
