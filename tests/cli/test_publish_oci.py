"""`emqx-gitops publish --oci`, with the real crane and its registry on loopback; what a registry asks for passwords is in tests/e2e."""

from __future__ import annotations

import gzip
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import emqx_fn
from emqx_gitops import artifact, oci
from emqx_gitops.destination import plugin_digest
from emqx_gitops.errors import UsageFailure
from emqx_gitops.published import dump

from .conftest import ROOT, Ran
from .test_processes import program
from .test_publish import FOLDER, Publisher, fixture_clone, with_extra, without_extra

__all__ = ["fixture_clone"]  # pytest finds it by its name

CRANE = ROOT / ".tools" / "bin" / "crane"
NAME = "platform/emqx-rendered"
SETTING = "EMQX_MQTT__MAX_TOPIC_LEVELS=10"
INDEX = dump({})
OURS = {artifact.PLUGIN_DIGEST: "sha256:0", artifact.REVISION: f"sha1:{'0' * 40}"}


@dataclass(frozen=True)
class Registry:
    """crane's registry, and what it was asked."""

    host: str
    log: Path

    def written(self) -> list[str]:
        """The requests that ended an upload."""
        return re.findall(r" PUT (/v2/\S+?/(?:blobs|manifests)/)", self.log.read_text())


@pytest.fixture(name="registry", scope="module")
def fixture_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    log = tmp_path_factory.mktemp("registry") / "log"
    with log.open("wb") as sink, subprocess.Popen([CRANE, "registry", "serve", "--address=127.0.0.1:0"], stdout=sink, stderr=sink) as process:
        try:
            yield Registry(f"127.0.0.1:{_port(log, process)}", log)
        finally:
            process.kill()


def _port(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 30
    while not (found := re.search(r"serving on port (\d+)", log.read_text())):
        assert time.monotonic() < deadline, log.read_text()
        assert process.poll() is None, log.read_text()
        time.sleep(0.02)
    return found[1]


@dataclass(frozen=True)
class Artifacts:
    """A clone, and the one artifact that it publishes."""

    clone: Publisher
    registry: Registry
    tagged: str

    @property
    def address(self) -> str:
        return f"oci://{self.tagged}"

    def publish(self, *args: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
        return self.clone.publish(*(args or ("--all",)), "--oci", self.address, env=env, cwd=cwd)

    def fine(self, *args: str) -> str:
        ran = self.publish(*args)
        assert (ran.code, ran.err) == (0, "")
        return ran.out

    def crane(self, *args: str) -> bytes:
        done = subprocess.run([CRANE, *args], capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.crane("manifest", self.tagged))
        return found

    def tip(self) -> str:
        """The digest that the tag leads to, or an empty string."""
        done = subprocess.run([CRANE, "digest", self.tagged], capture_output=True, text=True, timeout=60)
        return done.stdout.strip()

    def members(self) -> list[tarfile.TarInfo]:
        (layer,) = self.manifest()["layers"]
        data = gzip.decompress(self.crane("blob", f"{self.tagged.rpartition(':')[0]}@{layer['digest']}"))
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return archive.getmembers()

    def files(self) -> dict[str, str]:
        (layer,) = self.manifest()["layers"]
        return oci.files_of(self.crane("blob", f"{self.tagged.rpartition(':')[0]}@{layer['digest']}"))


@pytest.fixture(name="there")
def fixture_there(clone: Publisher, registry: Registry, tmp_path: Path) -> Artifacts:
    name = re.sub(r"\W+", "-", tmp_path.name.lower()).strip("-")
    return Artifacts(clone, registry, f"{registry.host}/{name}/{NAME}:main")


def test_first_publish_then_no_change_then_a_change(there: Artifacts) -> None:
    clone, written = there.clone, len(there.registry.written())
    source, before = clone.git("rev-parse", "HEAD"), clone.state()
    out = there.fine()
    first = there.tip()
    assert out.splitlines()[-2:] == [f"{there.address}: 10 objects from {source[:12]}: 10 added, 0 changed, 0 removed", f"{there.address}: {first}"]
    blobs = f"/v2/{there.tagged.partition('/')[2].rpartition(':')[0]}/blobs/"
    assert there.registry.written()[written:] == [blobs, blobs, blobs.replace("blobs", "manifests")]
    assert clone.state() == before

    clone.write("docs.md", "words\n")
    clone.commit("Only words")
    assert there.fine() == f"{there.address}: nothing changed since {first[:19]}, rendered from {source[:12]}\n"
    assert (there.tip(), len(there.registry.written())) == (first, written + 3)

    changed = clone.setting(SETTING)
    summary, done = there.fine().splitlines()[-2:]
    assert summary == f"{there.address}: 10 objects and 1 superseded for pods that still name them from {changed[:12]}: 1 added, 1 changed, 0 removed"
    assert done == f"{there.address}: {there.tip()}"
    assert there.tip() != first
    assert clone.tip() == ""


def test_content_is_that_of_the_branch(there: Artifacts) -> None:
    there.fine()
    there.clone.fine()
    there.clone.setting(SETTING)
    there.fine()
    there.clone.fine()
    assert {path: text.strip() for path, text in there.files().items()} == {path: there.clone.show(path) for path in there.clone.files()}


def test_artifact_is_as_flux_reads_it_and_names_its_source(there: Artifacts) -> None:
    clone = there.clone
    clone.git("remote", "set-url", "origin", "https://me:hunter2@git.example.com/platform/brokers.git")
    source = clone.commit("The source")
    there.fine()
    manifest, created = there.manifest(), datetime.fromtimestamp(int(clone.git("log", "-1", "--format=%ct")), timezone.utc)
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["config"]["mediaType"] == "application/vnd.cncf.flux.config.v1+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.cncf.flux.content.v1.tar+gzip"]
    assert manifest["annotations"] == {
        "org.opencontainers.image.created": created.isoformat().replace("+00:00", "Z"),
        "org.opencontainers.image.source": "https://git.example.com/platform/brokers.git",
        "org.opencontainers.image.revision": f"sha1:{source}",
        "dev.emqx-gitops.plugin-digest": plugin_digest(),
        "dev.emqx-gitops.version": emqx_fn.__version__,
    }
    there.crane("validate", "--remote", there.tagged)
    members = there.members()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.mode, member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {(0o644, 0, 0, 0, "", "")}


def test_two_clones_push_the_same_artifact(there: Artifacts, tmp_path: Path) -> None:
    clone = there.clone
    clone.git("push", "--quiet", "origin", "main")
    other = tmp_path / "elsewhere"
    clone.git("clone", "--quiet", str(clone.origin), str(other), "--branch", "main")
    there.fine()
    elsewhere = f"{there.address}-2"
    ran = clone.publish("--all", "--oci", elsewhere, env={"TZ": "Asia/Tokyo"}, cwd=other)
    assert (ran.code, ran.err, ran.out.splitlines()[-1]) == (0, "", f"{elsewhere}: {there.tip()}")


def test_dry_run_pushes_nothing(there: Artifacts) -> None:
    written = there.registry.written()
    assert there.fine("--all", "--dry-run").splitlines()[-1] == f"{there.address}: nothing was written: --dry-run"
    assert (there.tip(), there.registry.written()) == ("", written)


def test_named_folders_leave_the_others_alone(there: Artifacts) -> None:
    clone = there.clone
    shutil.copytree(clone.repo.path / FOLDER, clone.repo.path / "overlays/other")
    clone.commit("Another")
    there.fine()
    before = there.files()
    clone.append("overlays/other/emqx.env", f"{SETTING}\n")
    clone.setting(SETTING)
    assert ": 1 added, 1 changed, 0 removed\n" in there.fine(FOLDER)
    assert {path: text for path, text in there.files().items() if "/other/" in path} == {path: text for path, text in before.items() if "/other/" in path}


def test_an_object_that_vanishes_is_refused_until_somebody_says_so(there: Artifacts) -> None:
    with_extra(there.clone)
    there.fine()
    without_extra(there.clone, "Lose a Service")
    tip = there.tip()
    ran = there.publish()
    message = "expected every object that is published to be there, or to be removed on purpose; 1 object would vanish:"
    fix = "put back what was lost; what goes on purpose, name like that in the last paragraph of a commit (`Removes: …`), or by --removes"
    assert (ran.code, ran.out, there.tip()) == (1, "", tip)
    assert ran.err == f"emqx-gitops: {there.address}: {message}\n    Service/emqx/extra (of {FOLDER})\n  fix: {fix}\n"
    there.clone.commit("Say so\n\nRemoves: Service/emqx/extra")
    assert ": 0 added, 0 changed, 1 removed\n" in there.fine()
    # The trailer is in the history of what is published now, and counts no more.
    with_extra(there.clone)
    there.fine()
    without_extra(there.clone, "Lose it again")
    assert there.publish().code == 1


def test_an_older_commit(there: Artifacts) -> None:
    old, new = there.clone.git("rev-parse", "HEAD"), there.clone.setting(SETTING)
    there.fine()
    there.clone.git("checkout", "--quiet", old)
    ran = there.publish()
    message = f"{there.address}: expected a commit that is not older than {new[:12]}, which is published; got {old[:12]}"
    assert (ran.code, ran.err) == (1, f"emqx-gitops: {message}\n  fix: publish the newest commit; to go back, revert in a new one\n")


# At every moment the old artifact or the new one


def wrapped(there: Artifacts, body: str) -> dict[str, str]:
    """An environment in which a program stands before crane; `$1` is its subcommand."""
    path = program(there.clone.repo, "../../bin/crane", f'{body}\nexec {CRANE} "$@"')
    # What a killed run leaves behind goes with the test's folder.
    return {"CRANE": str(path), "TMPDIR": str(path.parent)}


def test_a_publish_that_is_killed(there: Artifacts) -> None:
    there.fine()
    there.clone.setting(SETTING)
    old = there.tip()
    for step in ("manifest", "pull", "push"):
        for first in ("", f'{CRANE} "$@"; '):
            assert there.tip() == old
            ran = there.publish("--all", env=wrapped(there, f'if [ "$1" = {step} ]; then {first}kill -9 $PPID; exit 1; fi'))
            assert ran.code == -9
    assert there.tip() != old
    assert there.fine().startswith(f"{there.address}: nothing changed")


def test_an_answer_that_is_lost_is_no_failure(there: Artifacts) -> None:
    ran = there.publish("--all", env=wrapped(there, f'if [ "$1" = push ]; then {CRANE} "$@"; exit 1; fi'))
    assert (ran.code, ran.err, ran.out.splitlines()[-1]) == (0, "", f"{there.address}: {there.tip()}")


def test_a_push_that_is_declined(there: Artifacts) -> None:
    ran = there.publish("--all", env=wrapped(there, 'if [ "$1" = push ]; then echo "Error: PUT https://me:hunter2@x/y: DENIED: no" >&2; exit 1; fi'))
    fix = f"check that you may push to {there.address}; the tag was not moved"
    assert (ran.code, ran.out, there.tip()) == (3, "", "")
    assert ran.err == f"emqx-gitops: crane push: Error: PUT https://x/y: DENIED: no\n  fix: {fix}\n"


@pytest.mark.parametrize("case", ["first", "next"])
def test_somebody_else_publishes_at_the_same_time(there: Artifacts, case: str) -> None:
    if case == "next":
        there.fine()
        there.clone.setting(SETTING)
    there.clone.publish("--all", "--oci", f"{there.address}-other")
    # The second look, after all is rendered, finds what the other one pushed.
    other = f"{CRANE} copy {there.tagged}-other {there.tagged} 2>&1"
    body = f'if [ "$1" = manifest ] && [ -e "$0.once" ]; then {other} >/dev/null; fi; touch "$0.once"'
    if case == "next":
        body += f'\nif [ "$1" = manifest ]; then exec {CRANE} "$@"; fi'
    ran = there.publish("--all", env=wrapped(there, body))
    message = f"{there.address}: expected to be the only one that publishes; somebody else did at the same time, and nothing was written"
    assert (ran.code, ran.out, ran.err) == (1, "", f"emqx-gitops: {message}\n  fix: run it again\n")


# What is not published


def an_image(there: Artifacts, folder: Path) -> None:
    (folder / "layer.tar").write_bytes(oci.tarball({"index.json": "{}"}))
    there.crane("append", "--oci-empty-base", "--new_layer", str(folder / "layer.tar"), "--new_tag", there.tagged)


def pushed_by_flux(there: Artifacts, folder: Path) -> None:
    """Its revision is a commit of the rendered branch, from which no removal counts."""
    push(there, folder, {"index.json": INDEX}, {artifact.REVISION: f"rendered@sha1:{'0' * 40}"})


def of_an_unknown_commit(there: Artifacts, folder: Path) -> None:
    push(there, folder, {"index.json": INDEX}, {artifact.PLUGIN_DIGEST: "sha256:0", artifact.REVISION: "main"})


def without_a_plugin(there: Artifacts, folder: Path) -> None:
    push(there, folder, {"index.json": INDEX}, {artifact.REVISION: f"sha1:{'0' * 40}"})


@pytest.mark.parametrize("found", [an_image, pushed_by_flux, of_an_unknown_commit, without_a_plugin])
def test_an_artifact_of_somebody_elses(there: Artifacts, tmp_path: Path, found: Callable[[Artifacts, Path], None]) -> None:
    found(there, tmp_path)
    ran = there.publish()
    message = f"{there.address}: expected an artifact that `emqx-gitops publish` pushed; it is another or of another form"
    assert (ran.code, ran.err) == (2, f"emqx-gitops: {message}\n  fix: name another --oci\n")


@pytest.mark.parametrize(
    "files", [{"README.md": "no index\n"}, {"index.json": "[]"}, {"index.json": '{"version": 2, "targets": {}}'}], ids=["none", "no mapping", "newer"]
)
def test_an_artifact_without_an_index(there: Artifacts, tmp_path: Path, files: dict[str, str]) -> None:
    push(there, tmp_path, files)
    ran = there.publish()
    message = f"{there.address}: expected what `emqx-gitops publish` wrote; its index.json is missing or of another form"
    assert (ran.code, ran.err) == (2, f"emqx-gitops: {message}\n  fix: name another --oci\n")


def test_what_somebody_changed_by_hand_is_put_right(there: Artifacts, tmp_path: Path) -> None:
    there.fine()
    files = there.files()
    del (changed := dict(files))[f"{FOLDER}/service-emqx.yaml"]
    push(there, tmp_path, {**changed, f"{FOLDER}/role-emqx.yaml": "a: b\n"})
    assert ": 1 added, 1 changed, 0 removed\n" in there.fine()
    assert there.files() == files


def push(there: Artifacts, folder: Path, files: Mapping[str, str], annotations: Mapping[str, str] = OURS) -> None:
    """An artifact like ours with other files or annotations."""
    oci.write(folder / "layout", files, annotations, "2026-01-01T00:00:00Z")
    there.crane("push", str(folder / "layout"), there.tagged)


def test_a_registry_that_is_not_there(there: Artifacts) -> None:
    ran = there.clone.publish("--all", "--oci", "oci://127.0.0.1:1/a/b:main")
    assert (ran.code, ran.out) == (3, "")
    assert re.match(r"emqx-gitops: crane manifest: .*connection refused", ran.err)
    assert ran.err.endswith("\n  fix: check the address oci://127.0.0.1:1/a/b:main and your access to it: crane auth login\n")


def test_no_crane(there: Artifacts) -> None:
    ran = there.publish("--all", env={"CRANE": "/no/such/crane"})
    message = "crane: expected it in $CRANE, /no/such/crane; there is none"
    assert (ran.code, ran.err) == (3, f"emqx-gitops: {message}\n  fix: run `make crane` in the clone, or install crane of go-containerregistry\n")


def test_no_remote_to_name(there: Artifacts) -> None:
    there.clone.git("remote", "remove", "origin")
    ran = there.publish()
    message = "--remote: expected the remote whose URL the artifact names as its source; there is no 'origin'"
    assert (ran.code, ran.err) == (2, f"emqx-gitops: {message}\n  fix: name one, or a URL\n")
    assert there.fine("--all", "--remote", "https://git.example.com/a.git", "--dry-run")


def test_a_branch_and_an_artifact(there: Artifacts) -> None:
    ran = there.publish("--all", "--branch", "rendered")
    assert (ran.code, ran.err) == (2, "emqx-gitops: expected --branch or --oci; got both\n  fix: publish twice, once to each\n")


# Addresses, and what a registry says


@pytest.mark.parametrize(
    ("text", "repository", "tag"),
    [
        ("oci://registry.example.com/platform/emqx-rendered:main", "registry.example.com/platform/emqx-rendered", "main"),
        ("oci://127.0.0.1:5000/a:v1.2_x-3", "127.0.0.1:5000/a", "v1.2_x-3"),
        ("oci://localhost/a/b__c:1", "localhost/a/b__c", "1"),
        ("oci://registry:5000/a:main", "registry:5000/a", "main"),
    ],
)
def test_addresses(text: str, repository: str, tag: str) -> None:
    assert artifact.parse(text) == (repository, tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "registry.example.com/a:main",
        "oci://registry.example.com/a",
        "oci://registry.example.com:main",
        "oci://platform/emqx-rendered:main",
        "oci://registry.example.com/Platform/a:main",
        "oci://registry.example.com/a/../b:main",
        "oci://registry.example.com/a:main --insecure",
        f"oci://registry.example.com/a@sha256:{'0' * 64}",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageFailure) as raised:
        artifact.parse(text)
    assert raised.value.message == f"--oci: expected oci://registry/name:tag, the name in lower case; got {text!r}"


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageFailure) as raised:
        artifact.parse("oci://me:hunter2@registry.example.com/a:main")
    assert raised.value.message.endswith("; got 'oci://registry.example.com/a:main'")


@pytest.mark.parametrize(
    ("said", "there"),
    [
        ("Error: fetching manifest r.example.com/a:main: GET https://r.example.com/v2/a/manifests/main: MANIFEST_UNKNOWN: manifest unknown; map[]", False),
        ("Error: fetching manifest r.example.com/a:main: GET https://r.example.com/v2/a/manifests/main: NAME_UNKNOWN: repository name not known", False),
        ("Error: fetching manifest r.example.com/a:main: GET https://r.example.com/v2/a/manifests/main: NOT_FOUND: artifact a:main not found", False),
        ("Error: fetching manifest r.example.com/a:main: GET https://r.example.com/v2/a/manifests/main: UNAUTHORIZED: authentication required", True),
        ("Error: fetching manifest r.example.com/a:main: GET https://r.example.com/v2/a/manifests/main: DENIED: denied", True),
        ("Error: fetching manifest r.example.com/a:NOT_FOUND: GET https://r.example.com/v2/a/manifests/NOT_FOUND: DENIED: denied", True),
        ("Error: fetching manifest r.example.com/a:main: GET https://r.example.com/: unexpected status code 502 Bad Gateway: NAME_UNKNOWN_HOST", True),
        ("", True),
    ],
)
def test_only_a_registry_that_says_so_has_no_artifact(tmp_path: Path, said: str, there: bool) -> None:
    """Else a registry that is out of order would make a first publish of the next one, which nothing can vanish from."""
    crane = tmp_path / "crane"
    crane.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    crane.chmod(0o755)
    address = artifact.parse("oci://r.example.com/a:main")
    if there:
        with pytest.raises(Exception, match="crane manifest: "):
            artifact.Crane(str(crane)).manifest(address)
    else:
        assert artifact.Crane(str(crane)).manifest(address) == ""


# The bytes


FILES = {"b/two.yaml": "b: 2\n", "a.yaml": "a: 1\n", "b/ü.yaml": "ü\n", f"{'long/' * 40}x.yaml": "x\n"}


def test_layer_is_the_same_bytes_whatever_the_order() -> None:
    assert oci.tarball(FILES) == oci.tarball(dict(reversed(FILES.items())))
    assert oci.digest(oci.tarball(FILES)) == "sha256:fdacdab32210e5af29a5143e7a62bf82e5a28c5dd8eadc23bddfa61c5c48867b"
    # mtime 0, best compression, unknown operating system, no name
    assert oci.compressed(b"x")[:10] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"


def test_files_are_read_as_they_were_written() -> None:
    assert oci.files_of(oci.compressed(oci.tarball(FILES))) == FILES


def archive(*members: tarfile.TarInfo) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as written:
        for member in members:
            written.addfile(member, io.BytesIO(b"\xff" * member.size))
    return oci.compressed(sink.getvalue())


def link() -> bytes:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return archive(member)


def not_text() -> bytes:
    member = tarfile.TarInfo("binary")
    member.size = 4
    return archive(member)


@pytest.mark.parametrize("layer", [link, not_text, lambda: b"", lambda: b"no gzip", lambda: oci.compressed(b"no tar" * 200), lambda: not_text()[:30]])
def test_another_layer_is_none(layer: Callable[[], bytes]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says nobody reads
        oci.files_of(layer())


def test_nothing_else_imports_what_only_an_artifact_needs() -> None:
    said = subprocess.run([sys.executable, "-X", "importtime", "-c", "import emqx_gitops.cli"], capture_output=True, text=True, check=True, timeout=60).stderr
    assert not re.search(r"emqx_gitops\.(artifact|oci|publish)|tarfile", said)
