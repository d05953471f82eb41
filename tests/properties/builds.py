"""Streams and builds that the properties are tried on: what the function sees in a real build, and what kustomize makes of it."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from emqx_fn.graph import PREVIOUS_NAMES
from emqx_fn.main import main
from emqx_fn.run import inject
from emqx_fn.wire import read_stream, write_stream

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
FUNCTION = PLUGINS / "emqx_fn" / "__main__.py"
CONFIG: dict[str, Any] = {"apiVersion": "emqx-gitops.dev/v1alpha1", "kind": "EmqxCluster", "metadata": {"name": "inject"}}
CONFIG_TEXT = (PLUGINS / "inject" / "emqxcluster.yaml").read_text()
SECONDS = 60.0

# The newest release of each family, and the ones on either side of a change inside a family.
FAMILIES = [
    "4.1.5",
    "4.2.14",
    "4.3.0",
    "4.3.22",
    "4.4.0",
    "4.4.19",
    "5.0.0",
    "5.0.3",
    "5.0.4",
    "5.0.9",
    "5.0.26",
    "5.1.6",
    "5.2.1",
    "5.3.2",
    "5.4.1",
    "5.5.1",
    "5.6.1",
    "5.7.2",
    "5.8.9",
    "5.9.3",
    "5.10.4",
    "6.0.3",
    "6.1.4",
    "6.2.2",
    "6.3.0",
]
OVERLAYS = ("deployment-ip", "statefulset-hostname", "persistent")


@dataclass(frozen=True)
class Mode:
    """A way to discover, on the overlay that it is for, and the first release (of each 4.x line) that knows it."""

    name: str
    overlay: str
    spec: dict[str, Any] = field(hash=False)
    since: tuple[str, ...] = ("4.1.0",)
    ip_family: str = "IPv4"

    def known_to(self, version: str) -> bool:
        return any(numbers(version) >= numbers(first) and (numbers(version)[0] == numbers(first)[0] or len(self.since) == 1) for first in self.since)

    def __str__(self) -> str:
        return f"{self.overlay}:{self.name}"


def _k8s(kind: str) -> dict[str, Any]:
    return {"discovery": {"strategy": "k8s", "addressType": kind}}


def _dns(kind: str) -> dict[str, Any]:
    return {"discovery": {"strategy": "dns", "recordType": kind}}


# RPC listens on IPv6 in 4.3, 4.4 and from 5.3.1 on.
_IPV6 = ("4.3.0", "5.3.1", "6.0.0")
MODES = (
    Mode("ip", "deployment-ip", _k8s("ip")),
    Mode("dns", "deployment-ip", _k8s("dns")),
    Mode("a", "deployment-ip", _dns("a")),
    Mode("ip6", "deployment-ip", _k8s("ip") | {"ipFamily": "IPv6"}, _IPV6, "IPv6"),
    Mode("aaaa", "deployment-ip", _dns("aaaa") | {"ipFamily": "IPv6"}, ("5.6.0",), "IPv6"),
    Mode("hostname", "statefulset-hostname", _k8s("hostname")),
    Mode("ip", "statefulset-hostname", _k8s("ip")),
    Mode("dns", "statefulset-hostname", _k8s("dns")),
    Mode("srv", "statefulset-hostname", _dns("srv"), ("4.4.0",)),
    Mode("a", "statefulset-hostname", _dns("a")),
    Mode("hostname6", "statefulset-hostname", _k8s("hostname") | {"ipFamily": "IPv6"}, _IPV6, "IPv6"),
    Mode("srv6", "statefulset-hostname", _dns("srv") | {"ipFamily": "IPv6"}, ("4.4.0", "5.3.1", "6.0.0"), "IPv6"),
    Mode("hostname", "persistent", _k8s("hostname")),
    Mode("srv", "persistent", _dns("srv"), ("4.4.0",)),
)


def numbers(version: str) -> tuple[int, ...]:
    """`5.10.4` as a tuple that compares as versions do."""
    return tuple(int(part) for part in version.split("."))


def image(version: str) -> str:
    """The image of a release: 4.0 and 4.1 tags begin with `v`."""
    return f"emqx/emqx:{'v' if numbers(version) < (4, 2) else ''}{version}"


def settings(mode: Mode, version: str) -> dict[str, Any]:
    """The mode's spec, with the licence that the release needs for three nodes."""
    return mode.spec | ({"license": {"type": "evaluation"}} if numbers(version) >= (5, 9) else {})


# -- in this process


@cache
def plugin_input(overlay: str) -> str:
    """The stream that the function sees when kustomize builds this overlay."""
    with TemporaryDirectory() as home:
        stream = Path(home) / "stream.yaml"
        program = Path(home) / "emqx-gitops.dev/v1alpha1/emqxcluster/EmqxCluster"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\ncat > {shlex.quote(str(stream))}\ncat {shlex.quote(str(stream))}\n")
        program.chmod(0o755)
        kustomize(ROOT / "overlays" / overlay, plugin_home=home)
        return stream.read_text()


def documents(text: str) -> list[dict[str, Any]]:
    """The objects of a stream as data."""
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def stream(mode: Mode, version: str) -> str:
    """The overlay's stream with another release and other settings."""
    objects = documents(plugin_input(mode.overlay))
    for item in objects:
        if item["kind"] == "EmqxCluster":
            item["spec"] = settings(mode, version)
        if item["kind"] in ("Deployment", "StatefulSet"):
            item["spec"]["template"]["spec"]["containers"][0]["image"] = image(version)
    return yaml.dump_all(objects, Dumper=yaml.CSafeDumper, sort_keys=False)


def injected(text: str, config: dict[str, Any] = CONFIG) -> str:
    """The function over a stream, in this process."""
    return write_stream(inject(read_stream(text).documents, config))


def applied(text: str) -> list[dict[str, Any]]:
    """What would reach the API server: kustomize drops the settings, and completes a subject that has an earlier name of a ServiceAccount."""
    objects = [item for item in documents(text) if item["kind"] != "EmqxCluster"]
    accounts = [item["metadata"] for item in objects if item["kind"] == "ServiceAccount"]
    earlier = {name: account for account in accounts for name in str((account.get("annotations") or {}).get(PREVIOUS_NAMES, "")).split(",")}
    for item in objects:
        for subject in item.get("subjects", []) if item["kind"] == "RoleBinding" else []:
            account = earlier.get(subject["name"])
            if account is not None and "namespace" not in subject:
                subject.update(name=account["name"], namespace=account.get("namespace"))
    return objects


class _Standard:
    """A text stream over bytes, as sys.stdin and sys.stdout are."""

    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)


def main_in_process(arguments: list[str], data: bytes) -> tuple[int, bytes, str]:
    """The function's own `main`, with bytes for its standard streams: exit code, output, problems."""
    standard = sys.stdin, sys.stdout, sys.stderr
    output, problems = _Standard(), io.StringIO()
    sys.stdin, sys.stdout, sys.stderr = _Standard(data), output, problems
    try:
        code = main(arguments)
    finally:
        sys.stdin, sys.stdout, sys.stderr = standard
    return code, output.buffer.getvalue(), problems.getvalue()


# -- as processes


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without what could reach the function, plus `changes`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("EMQX_", "PYTHON", "LC_", "LANG", "KUSTOMIZE_"))}
    return kept | changes


def kustomize(folder: Path, *options: str, plugin_home: str | Path = PLUGINS) -> str:
    """`kustomize build` of a folder. Fails with kustomize's own words."""
    program = os.environ.get("KUSTOMIZE") or str(ROOT / ".tools" / "bin" / "kustomize")
    command = [program, "build", "--enable-alpha-plugins", *options, str(folder)]
    done = subprocess.run(command, env=environment(KUSTOMIZE_PLUGIN_HOME=str(plugin_home)), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


def function(
    arguments: Iterable[str], data: bytes, *, cwd: str | Path | None = None, python: Iterable[str] = ("-I",), **changes: str
) -> subprocess.CompletedProcess[bytes]:
    """The function as a process."""
    command = [sys.executable, *python, str(FUNCTION), *arguments]
    return subprocess.run(command, input=data, env=environment(**changes), cwd=cwd, capture_output=True, timeout=SECONDS)


def kustomization(folder: Path, **fields: Any) -> Path:
    """A kustomization; JSON is YAML. Paths of the repository are made relative, as kustomize wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for key in ("resources", "transformers", "validators"):
        if key in fields:
            fields[key] = [os.path.relpath(item, folder) if isinstance(item, Path) else item for item in fields[key]]
    head = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    (folder / "kustomization.yaml").write_text(json.dumps(head | fields))
    return folder


def settings_patch(spec: dict[str, Any]) -> dict[str, Any]:
    """A patch that replaces the settings of the layer below."""
    return {"target": {"kind": "EmqxCluster"}, "patch": json.dumps([{"op": "replace", "path": "/spec", "value": spec}])}
