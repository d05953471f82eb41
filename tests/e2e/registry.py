"""An OCI registry (CNCF distribution) on loopback that asks for a password, and a person who has it in a credential helper."""

from __future__ import annotations

import base64
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from cluster.client import Object
from cluster.controlplane import Processes, free_ports, program

from .repository import EMQX_GITOPS, Repository, run
from .waiting import until

USER, PASSWORD = "publisher", "of-the-tests"
# By bcrypt, as the registry takes no other.
HTPASSWD = f"{USER}:$2b$04$aXBNKQoMFW7TgHaAEPqywOVD8ELDH6mASsJRg1KvNrDvXofOjV30G\n"
HELPER = f"""\
#!/bin/sh
cat >/dev/null
echo '{{"ServerURL": "", "Username": "{USER}", "Secret": "{PASSWORD}"}}'
"""


@dataclass(frozen=True)
class Registry:
    """A registry that runs, and the folder with a person's credentials."""

    host: str
    home: Path

    def url(self, name: str) -> str:
        """As an OCIRepository names it, without the tag."""
        return f"oci://{self.host}/{name}"

    def publish(self, repository: Repository, name: str, *folders: str) -> str:
        """Publishes folders as the artifact NAME:main, and tells what was said."""
        variables = (f"DOCKER_CONFIG={self.home}", f"PATH={self.home}:{os.environ['PATH']}")
        return run(repository.dry.folder, "env", *variables, EMQX_GITOPS, "publish", *folders, "--oci", f"{self.url(name)}:main")

    def secret(self, name: str, namespace: str) -> Object:
        """What source-controller logs in with."""
        auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps({"auths": {self.host: {"auth": auth}}})},
        }


def started(processes: Processes, folder: Path) -> Registry:
    """A new registry, ready to take artifacts."""
    (port,) = free_ports(1)
    host = f"127.0.0.1:{port}"
    (folder / "htpasswd").write_text(HTPASSWD)
    config = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
        "http": {"addr": host, "secret": "of-the-tests"},
        "auth": {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}},
    }
    # JSON is YAML.
    (folder / "config.json").write_text(json.dumps(config))
    processes.start([program("registry"), "serve", folder / "config.json"], env={**os.environ, "OTEL_TRACES_EXPORTER": "none"})
    home = folder / "home"
    home.mkdir()
    (home / "config.json").write_text(json.dumps({"credHelpers": {host: "tests"}}))
    (home / "docker-credential-tests").write_text(HELPER)
    (home / "docker-credential-tests").chmod(0o755)
    until("the registry answers", lambda: answers(port))
    return Registry(host, home)


def answers(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
