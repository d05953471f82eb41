"""An OCI artifact as the place to publish to: blobs first, and the tag last, in one step.

The protocol of registries, and a person's credentials for them, are `crane`'s: the program of the library that Flux pulls with.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import emqx_fn
from emqx_fn.graph import items, mapping
from emqx_gitops import git, installation, oci, process
from emqx_gitops.destination import Source, lost, plugin_digest
from emqx_gitops.errors import ToolFailure, UsageFailure
from emqx_gitops.git import Git
from emqx_gitops.process import Completed

CREATED, SOURCE, REVISION = (f"org.opencontainers.image.{name}" for name in ("created", "source", "revision"))
PLUGIN_DIGEST, VERSION = "dev.emqx-gitops.plugin-digest", "dev.emqx-gitops.version"
# The host has a dot or a port, as `crane` would look for any other first part on Docker Hub.
_HOST = r"(?:localhost|[\w-]+(?:\.[\w-]+)+|[\w-]+(?=:))(?::\d+)?"
_ADDRESS = re.compile(rf"oci://(?P<repository>{_HOST}(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+):(?P<tag>\w[\w.-]{{0,127}})")
# https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes; NOT_FOUND is Harbor's.
_NOT_THERE = re.compile(r": (?:MANIFEST_UNKNOWN|NAME_UNKNOWN|NOT_FOUND)(?::|$)", re.MULTILINE)
_SHOWN = len("sha256:") + 12


class Address(NamedTuple):
    """Where an artifact is: HOST/NAME, and the tag that moves."""

    repository: str
    tag: str

    @property
    def tagged(self) -> str:
        """As `crane` takes it."""
        return f"{self.repository}:{self.tag}"


class Manifest(NamedTuple):
    """What there is to know of an artifact without its content."""

    digest: str
    layer: str
    commit: str


@dataclass(frozen=True)
class Crane:
    """The crane program."""

    binary: str

    def run(self, *args: str) -> Completed:
        """Run it, whatever comes of it."""
        return process.run([self.binary, *args])

    def manifest(self, address: Address) -> str:
        """The manifest that the tag leads to; empty where the registry says that there is none."""
        done = self.run("manifest", address.tagged)
        if done.code and not _NOT_THERE.search(done.stderr):
            raise ToolFailure(f"crane manifest: {git.words(done)}", f"check the address oci://{address.tagged} and your access to it: crane auth login")
        return "" if done.code else done.stdout


@dataclass(frozen=True)
class Artifact:
    """The artifact as it was found; `digest` is empty when there is none yet, `files` are path -> text."""

    crane: Crane
    address: Address
    url: str  # of the repository that is rendered
    digest: str
    published: str
    files: Mapping[str, str]
    option: str = "--oci"

    @property
    def name(self) -> str:
        return f"oci://{self.address.tagged}"

    @property
    def tip(self) -> str:
        return self.digest[:_SHOWN]

    def text(self, path: str) -> str:
        return self.files[path]

    def kept(self, path: str) -> str:
        return self.files[path]

    def made(self, texts: Mapping[str, str], *, write: bool) -> dict[str, str]:  # noqa: ARG002 - nothing is stored in advance
        return dict(texts)

    def since(self, folder: str) -> str:  # noqa: ARG002 - an artifact knows only its own commit
        return self.published

    def replace(self, files: Mapping[str, str], source: Source) -> str:
        with tempfile.TemporaryDirectory(prefix="emqx-gitops-publish-") as folder:
            created = _created(source)
            digest = oci.write(Path(folder), files, _annotations(source, self.url, created), created)
            # A registry moves a tag whatever it led to before: look as late as can be.
            if self._now() != self.digest:
                raise lost(self.name)
            done = self.crane.run("push", folder, self.address.tagged)
        now = self._now() if done.code else digest  # where the answer was lost, the push was not
        if now not in (digest, self.digest):
            raise lost(self.name)
        if now != digest:
            raise ToolFailure(f"crane push: {git.words(done)}", f"check that you may push to {self.name}; the tag was not moved")
        return digest

    def _now(self) -> str:
        return _digest(self.crane.manifest(self.address))


def parse(text: str) -> Address:
    """The address that --oci names."""
    found = _ADDRESS.fullmatch(text)
    if not found:
        message = f"--oci: expected oci://registry/name:tag, the name in lower case; got {git.without_password(text)!r}"
        raise UsageFailure(message, "for example: --oci oci://registry.example.com/platform/emqx-rendered:main")
    return Address(found["repository"], found["tag"])


def find_crane() -> Crane:
    """The program that $CRANE names, else the clone's own, else the one on PATH."""
    root = installation.clone_root()
    own = str(root / ".tools" / "bin" / "crane") if root else ""
    asked = os.environ.get("CRANE")
    found = shutil.which(asked) if asked else shutil.which(own) or shutil.which("crane")
    if not found:
        where = f"$CRANE, {asked}" if asked else ".tools/bin of the clone or on PATH"
        raise ToolFailure(f"crane: expected it in {where}; there is none", "run `make crane` in the clone, or install crane of go-containerregistry")
    return Crane(os.path.abspath(found))


def find(repository: Git, remote: str, address: Address) -> Artifact:
    """Pull the artifact."""
    crane, url = find_crane(), _url(repository, remote)
    text = crane.manifest(address)
    if not text:
        return Artifact(crane, address, url, "", "", {})
    try:
        manifest = _manifest(text)
        return Artifact(crane, address, url, manifest.digest, manifest.commit, _pull(crane, address, manifest))
    except ValueError:
        message = f"oci://{address.tagged}: expected an artifact that `emqx-gitops publish` pushed; it is another or of another form"
        raise UsageFailure(message, "name another --oci") from None


def _url(repository: Git, remote: str) -> str:
    url = repository.try_run("config", "--get", f"remote.{remote}.url").stdout.strip() or remote
    if "/" not in url and ":" not in url:
        raise UsageFailure(f"--remote: expected the remote whose URL the artifact names as its source; there is no {remote!r}", "name one, or a URL")
    return git.without_password(url)


def _manifest(text: str) -> Manifest:
    """Raises ValueError for an artifact that is none of ours."""
    data: dict[str, Any] = json.loads(text)
    layers, annotations = items(data, "layers"), mapping(data, "annotations")
    if mapping(data, "config").get("mediaType") != oci.CONFIG_TYPE or len(layers) != 1 or PLUGIN_DIGEST not in annotations:
        raise ValueError
    commit = re.fullmatch(r"sha(?:1|256):([0-9a-f]{40,64})", str(annotations.get(REVISION)))
    layer = re.fullmatch(r"sha256:[0-9a-f]{64}", str(layers[0].get("digest")))
    if layers[0].get("mediaType") != oci.LAYER_TYPE or not commit or not layer:
        raise ValueError
    return Manifest(_digest(text), layer[0], commit[1])


def _digest(manifest: str) -> str:
    return oci.digest(manifest.encode()) if manifest else ""


def _pull(crane: Crane, address: Address, manifest: Manifest) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="emqx-gitops-publish-") as folder:
        # By digest: what was looked at, whatever the tag leads to by now. crane compares each blob with its name.
        done = crane.run("pull", "--format=oci", f"{address.repository}@{manifest.digest}", folder)
        if done.code:
            raise ToolFailure(f"crane pull: {git.words(done)}", "run it again")
        return oci.read(Path(folder), manifest.layer)


def _created(source: Source) -> str:
    seconds = int(source.date.lstrip("@").split()[0])
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _annotations(source: Source, url: str, created: str) -> dict[str, str]:
    algorithm = "sha1" if len(source.commit) == 40 else "sha256"
    return {
        CREATED: created,
        SOURCE: url,
        REVISION: f"{algorithm}:{source.commit}",
        PLUGIN_DIGEST: plugin_digest(),
        VERSION: emqx_fn.__version__,
    }
