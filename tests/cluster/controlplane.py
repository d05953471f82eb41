"""Starts and ends a control plane: etcd, kube-apiserver and kube-controller-manager as plain processes, on loopback unless told otherwise.

There is no node and no scheduler: objects are validated, admitted, authorised and reconciled, but no container runs.
tests/e2e adds those, in the same process group.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO

from .client import Cluster, NotAnswering, path_of

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / ".tools" / "cluster" / "bin"

LOOPBACK = "127.0.0.1"

START_SECONDS = 90.0
STOP_SECONDS = 10.0
# What the tests look at. All the others would only cost start-up time and memory.
CONTROLLERS = (
    "deployment-controller",
    "disruption-controller",
    "endpoints-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "statefulset-controller",
)

Command = Sequence[str | Path]


class ControlPlaneError(Exception):
    """The control plane cannot be had; the text says why and what to do."""


@dataclass(frozen=True)
class Settings:
    """Where everything is, decided before anything starts."""

    folder: Path
    etcd_port: int
    peer_port: int
    api_port: int
    admin_token: str = field(repr=False)
    manager_token: str = field(repr=False)
    # Where the API server listens: loopback, or an address that a node on which containers run can reach.
    address: str = LOOPBACK

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"

    @property
    def api_url(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    @property
    def certificate(self) -> Path:
        """The server's own certificate and behind it, in the same file, the authority that signed it."""
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def certificate_key(self) -> Path:
        return self.certificate.with_suffix(".key")

    @property
    def signing_key(self) -> Path:
        return self.folder / "service-account.key"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"


def program(name: str) -> Path:
    path = PROGRAMS / name
    if not path.exists():
        raise ControlPlaneError(f"{path.relative_to(ROOT)}: expected the program\n  fix: .venv/bin/python tests/tools/build.py {name}")
    return path


def free_ports(count: int) -> list[int]:
    """Ports that differ: the kernel may give the same one twice when asked for one after the other."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def elliptic_key() -> str:
    """A new P-256 private key in PEM; its public half follows from it, so no cryptography is needed here."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    secret = (secrets.randbelow(order - 1) + 1).to_bytes(32, "big")
    # SEQUENCE {INTEGER 1, OCTET STRING secret, [0] OBJECT IDENTIFIER prime256v1}: RFC 5915, without the optional public key
    der = bytes.fromhex("30310201010420") + secret + bytes.fromhex("a00a06082a8648ce3d030107")
    body = textwrap.fill(base64.b64encode(der).decode(), 64)
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}\n-----END EC PRIVATE KEY-----\n"


def decide(folder: Path, address: str) -> Settings:
    etcd_port, peer_port, api_port = free_ports(3)
    return Settings(folder, etcd_port, peer_port, api_port, secrets.token_hex(16), secrets.token_hex(16), address)


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def write_credentials(settings: Settings) -> None:
    write_private(settings.signing_key, elliptic_key())
    write_private(
        settings.tokens,
        f'{settings.admin_token},admin,admin,"system:masters"\n{settings.manager_token},system:kube-controller-manager,manager\n',
    )


def kubeconfig(settings: Settings, token: str) -> str:
    named = {"name": "local"}
    server = {"server": settings.api_url, "certificate-authority": str(settings.certificate)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [{**named, "cluster": server}],
            "users": [{**named, "user": {"token": token}}],
            "contexts": [{**named, "context": {"cluster": "local", "user": "local"}}],
        }
    )


def etcd(settings: Settings) -> Command:
    return [
        program("etcd"),
        f"--data-dir={settings.folder / 'etcd'}",
        f"--listen-client-urls={settings.etcd_url}",
        f"--advertise-client-urls={settings.etcd_url}",
        f"--listen-peer-urls={settings.peer_url}",
        f"--initial-advertise-peer-urls={settings.peer_url}",
        f"--initial-cluster=default={settings.peer_url}",
        # Nothing outlives the tests.
        "--unsafe-no-fsync",
    ]


def api_server(settings: Settings) -> Command:
    return [
        program("kube-apiserver"),
        f"--etcd-servers={settings.etcd_url}",
        f"--bind-address={settings.address}",
        f"--advertise-address={settings.address}",
        f"--secure-port={settings.api_port}",
        # Without certificates in it the server signs its own.
        f"--cert-dir={settings.certificate.parent}",
        # A loopback address is refused as an endpoint of Service default/kubernetes.
        f"--endpoint-reconciler-type={'none' if settings.address == LOOPBACK else 'lease'}",
        # The names of nodes are in no DNS.
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=RBAC",
        f"--token-auth-file={settings.tokens}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={settings.signing_key}",
        f"--service-account-signing-key-file={settings.signing_key}",
        # Both families, so that a Service of either is accepted.
        "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
    ]


def controller_manager(settings: Settings, controllers: Sequence[str]) -> Command:
    config = settings.folder / "manager.kubeconfig"
    write_private(config, kubeconfig(settings, settings.manager_token))
    return [
        program("kube-controller-manager"),
        f"--kubeconfig={config}",
        f"--controllers={','.join(controllers)}",
        "--use-service-account-credentials",
        f"--root-ca-file={settings.certificate}",
        # Otherwise one controller makes a folder below /usr.
        f"--flex-volume-plugin-dir={settings.folder / 'volume-plugins'}",
        "--leader-elect=false",
        # No port of its own.
        "--secure-port=0",
    ]


class Processes:
    """Processes in one process group that ends with this program, however that ends.

    The group's first member waits at a pipe from here. When the pipe closes, also because this program was killed, it
    removes the folder and ends the group.
    """

    GUARD = 'cat; trap "" TERM; kill -TERM 0; sleep 1; rm -rf -- "$1"; kill -KILL 0'

    def __init__(self, folder: Path, logs: Path | None = None) -> None:
        self.folder = folder
        self._logs = logs or folder
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        command = ["sh", "-c", self.GUARD, "guard", str(folder)]
        self._guard = self._spawn(command, group=0, stdin=subprocess.PIPE, output=subprocess.DEVNULL)

    @property
    def group(self) -> int:
        return self._guard.pid

    def start(self, command: Command, name: str = "", env: Mapping[str, str] | None = None) -> None:
        """Starts a program under its own name, or under one that tells several of it apart."""
        name = name or Path(command[0]).name
        with self._log(name).open("ab") as log:
            self._started[name] = self._spawn(command, group=self.group, stdin=subprocess.DEVNULL, output=log, env=env)

    def kill(self, name: str) -> None:
        """Ends one as a crash would; it may be started again."""
        process = self._started.pop(name)
        process.kill()
        process.wait(STOP_SECONDS)

    def _spawn(self, command: Command, *, group: int, stdin: int, output: int | IO[bytes], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=env,
            stdin=stdin,
            stdout=output,
            stderr=output,
            # Popen's own `process_group` came with Python 3.11. There is no other thread here that could hold a lock.
            preexec_fn=partial(os.setpgid, 0, group),  # noqa: PLW1509
        )

    def check(self) -> None:
        """Raises when one has ended, with the last that it said."""
        for name, process in self._started.items():
            if process.poll() is not None:
                raise ControlPlaneError(f"{name} ended with {process.returncode}:\n{self.last_words(name)}")

    def last_words(self, name: str) -> str:
        return "\n".join(f"  {line}" for line in self._log(name).read_text(errors="replace").splitlines()[-15:])

    def all_last_words(self) -> str:
        return "\n".join(f"{name}:\n{self.last_words(name)}" for name in self._started)

    def end(self) -> None:
        """Kills at once: nothing of them is kept."""
        os.killpg(self.group, signal.SIGKILL)
        for process in (*self._started.values(), self._guard):
            process.wait(STOP_SECONDS)
        self._await_children_of_children()
        assert self._guard.stdin is not None  # a pipe, see above
        self._guard.stdin.close()

    def _await_children_of_children(self) -> None:
        """They are nobody's to wait for, and what they write would come back while the folder is removed."""
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            try:
                os.killpg(self.group, 0)
            except ProcessLookupError:
                return
            time.sleep(0.01)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


def wait_until(condition: Callable[[], bool], processes: Processes, what: str) -> None:
    end = time.monotonic() + START_SECONDS
    while not condition():
        processes.check()
        if time.monotonic() > end:
            raise ControlPlaneError(f"{what}: not within {START_SECONDS:.0f} s\n{processes.all_last_words()}")
        time.sleep(0.1)


def answers_ok(cluster: Cluster, path: str) -> bool:
    try:
        return cluster.request("GET", path).status == 200
    except NotAnswering:
        return False


def connect(settings: Settings) -> Cluster:
    config = settings.folder / "admin.kubeconfig"
    write_private(config, kubeconfig(settings, settings.admin_token))
    return Cluster(
        url=settings.api_url,
        trust=ssl.create_default_context(cafile=settings.certificate),
        admin_token=settings.admin_token,
        program=program("kubectl"),
        kubeconfig=config,
        home=settings.folder,
    )


def bring_up(processes: Processes, controllers: Sequence[str] = CONTROLLERS, address: str = LOOPBACK) -> Cluster:
    """Starts all three, each when what it talks to is there."""
    settings = decide(processes.folder, address)
    write_credentials(settings)
    processes.start(etcd(settings))
    processes.start(api_server(settings))
    # The server writes its key last: then the certificate is whole.
    wait_until(settings.certificate_key.exists, processes, "certificate of kube-apiserver")
    cluster = connect(settings)
    wait_until(partial(answers_ok, cluster, "/readyz"), processes, "kube-apiserver ready")
    processes.start(controller_manager(settings, controllers))
    # Pods are refused in a namespace that has no such account yet.
    account = f"{path_of('default', 'v1/serviceaccounts')}/default"
    wait_until(partial(answers_ok, cluster, account), processes, "kube-controller-manager at work")
    return cluster


@contextmanager
def own_processes(logs: Path | None = None) -> Iterator[Processes]:
    """A folder, and processes in it, for the time of a `with`; nothing is left behind but logs that have a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="emqx-gitops-cluster-"))
    try:
        processes = Processes(folder, logs)
        try:
            yield processes
        finally:
            processes.end()
    finally:
        shutil.rmtree(folder)


@contextmanager
def control_plane() -> Iterator[Cluster]:
    """A control plane of one's own for the time of a `with`; nothing of it is left behind."""
    with own_processes() as processes:
        yield bring_up(processes)
