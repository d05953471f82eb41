"""`emqx-gitops publish`, with real git and a bare repository as the remote."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import emqx_fn
from emqx_gitops.git import Git, words
from emqx_gitops.process import Completed
from emqx_gitops.published import Entry, allowed, dump, outlived, parse, renamed, vanished

from .conftest import ROOT, Ran, Repo
from .test_processes import program

FOLDER = "overlays/persistent"
ENV = f"{FOLDER}/emqx.env"
KUSTOMIZATION = f"{FOLDER}/kustomization.yaml"
EXTRA = "apiVersion: v1\nkind: Service\nmetadata:\n  name: extra\nspec:\n  clusterIP: None\n  ports:\n    - name: a\n      port: 1\n"
GIT = shutil.which("git") or "git"


@dataclass(frozen=True)
class Publisher:
    """A clone, its remote, and what is published there."""

    repo: Repo
    origin: Path
    env: dict[str, str] = field(repr=False)

    def git(self, *args: str, bare: bool = False) -> str:
        where = ["--git-dir", str(self.origin)] if bare else ["-C", str(self.repo.path)]
        done = subprocess.run([GIT, *where, *args], capture_output=True, text=True, env=self.env, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        self.repo.write(name, text)

    def append(self, name: str, text: str) -> None:
        path = self.repo.path / name
        path.write_text(path.read_text() + text)

    def commit(self, message: str = "Change something") -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def setting(self, text: str, message: str = "Change a setting") -> str:
        """Commit another content of the generated ConfigMap."""
        self.append(ENV, f"{text}\n")
        return self.commit(message)

    def publish(self, *args: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> Ran:
        return self.repo.run("publish", *(args or ("--all",)), env={**self.env, **(env or {})}, cwd=cwd)

    def fine(self, *args: str) -> str:
        ran = self.publish(*args)
        assert (ran.code, ran.err) == (0, "")
        return ran.out

    def tip(self) -> str:
        """The commit that is published, or an empty string."""
        return self.git("for-each-ref", "--format=%(objectname)", "refs/heads/rendered", bare=True)

    def files(self) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", "rendered", bare=True).splitlines()

    def show(self, path: str) -> str:
        return self.git("show", f"rendered:{path}", bare=True)

    def index(self) -> dict[str, list[dict[str, str]]]:
        found: dict[str, Any] = json.loads(self.show("index.json"))
        assert found.pop("version") == 1
        targets: dict[str, list[dict[str, str]]] = found["targets"]
        return targets

    def generations(self) -> dict[str, str]:
        """File of each generation of the ConfigMap -> the commit that superseded it."""
        found = {entry["file"]: entry.get("supersededIn", "") for entry in self.index()[FOLDER] if entry["name"].startswith("emqx-env")}
        assert set(found) == {Path(path).name for path in self.files() if "/configmap-emqx-env" in path}
        return found

    def state(self) -> tuple[str, str]:
        """What no publish may touch: branches, tags, and the index."""
        return self.git("for-each-ref", "refs/heads", "refs/tags"), self.git("ls-files", "--stage", "--debug")


@pytest.fixture(name="clone")
def fixture_clone(repo: Repo, tmp_path: Path) -> Publisher:
    for other in ("deployment-ip", "statefulset-hostname"):
        shutil.rmtree(repo.path / "overlays" / other)
    publisher = Publisher(repo, tmp_path / "origin.git", {**repo.env, "GIT_CONFIG_NOSYSTEM": "1"})
    publisher.git("init", "--quiet", "--bare", str(publisher.origin))
    publisher.git("init", "--quiet", "--initial-branch=main")
    for name, value in (("user.name", "A"), ("user.email", "a@example.com")):
        publisher.git("config", name, value)
    publisher.git("remote", "add", "origin", str(publisher.origin))
    publisher.commit("Begin")
    return publisher


def test_first_publish_then_no_change_then_a_change(clone: Publisher) -> None:
    source, before = clone.git("rev-parse", "HEAD"), clone.state()
    out = clone.fine()
    first = clone.tip()
    assert out.splitlines()[-2:] == [f"rendered: 10 objects from {source[:12]}: 10 added, 0 changed, 0 removed", f"rendered: {first}"]
    assert out.splitlines()[0] == f"added   {clone.files()[2]}"
    assert clone.state() == before
    assert clone.files()[:2] == ["README.md", "index.json"]

    assert clone.fine() == f"rendered: nothing changed since {first[:12]}, rendered from {source[:12]}\n"
    clone.write("docs.md", "words\n")
    clone.commit("Only words")
    assert clone.fine() == f"rendered: nothing changed since {first[:12]}, rendered from {source[:12]}\n"
    assert clone.tip() == first

    changed = clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    *lines, summary, done = clone.fine().splitlines()
    assert lines[1] == f"changed {FOLDER}/statefulset-emqx.yaml"
    assert summary == f"rendered: 10 objects and 1 superseded for pods that still name them from {changed[:12]}: 1 added, 1 changed, 0 removed"
    assert done == f"rendered: {clone.tip()}"
    assert clone.git("rev-parse", "rendered^", bare=True) == first


def test_tree_is_that_of_render(clone: Publisher, tmp_path: Path) -> None:
    clone.fine()
    assert clone.repo.run("render", "--all", "--split", "--output-dir", str(tmp_path / "out")).code == 0
    files = set((tmp_path / "out").rglob("*.yaml"))
    assert {path.relative_to(tmp_path / "out").as_posix() for path in files} == {path for path in clone.files() if "/" in path}
    for entry in clone.index()[FOLDER]:
        text = (tmp_path / "out" / FOLDER / entry["file"]).read_bytes()
        assert clone.show(f"{FOLDER}/{entry['file']}") == text.decode().strip()
        assert entry["sha256"] == sha256(text).hexdigest()
    assert [entry["apiVersion"] for entry in clone.index()[FOLDER] if entry["kind"] == "StatefulSet"] == ["apps/v1"]


def test_commit_names_its_source(clone: Publisher) -> None:
    source = clone.commit("Source-commit: no trailer")
    clone.fine()
    function = ROOT / "plugins" / "emqx_fn"
    told = "find . -type f -not -path '*/__pycache__/*' | sed 's,^./,,' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    digest = subprocess.run(["sh", "-c", told], cwd=function, capture_output=True, text=True, check=True, timeout=60).stdout.split()[0]
    assert clone.git("log", "-1", "--format=%an <%ae> %cn%n%B", "rendered", bare=True).splitlines() == [
        "A <a@example.com> A",
        f"Render {source[:12]}: Source-commit: no trailer",
        "",
        f"Source-commit: {source}",
        f"Plugin-digest: sha256:{digest}",
        f"Emqx-gitops-version: {emqx_fn.__version__}",
    ]
    assert clone.git("log", "-1", "--format=%ad %cd", "rendered", bare=True) == clone.git("log", "-1", "--format=%cd %cd")


def test_two_clones_make_the_same_commit(clone: Publisher, tmp_path: Path) -> None:
    clone.git("push", "--quiet", "origin", "main")
    other, remote = tmp_path / "elsewhere", tmp_path / "another.git"
    clone.git("clone", "--quiet", str(clone.origin), str(other), "--branch", "main")
    clone.git("init", "--quiet", "--bare", str(remote))
    clone.fine()
    env = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "A"), ("EMAIL", "a@example.com"))}
    clone.write(
        "../home/.gitconfig",
        "[core]\n\tautocrlf = true\n\tabbrev = 20\n\tsplitIndex = true\n[i18n]\n\tcommitEncoding = latin1\n[grep]\n\tpatternType = fixed\n",
    )
    ran = clone.publish("--all", "--remote", str(remote), env={**env, "TZ": "Asia/Tokyo"}, cwd=other)
    assert (ran.code, ran.err, ran.out.splitlines()[-1]) == (0, "", f"rendered: {clone.tip()}")
    assert not list((other / ".git").glob("sharedindex*"))


def test_dry_run_writes_nothing(clone: Publisher) -> None:
    objects = clone.git("count-objects")
    out = clone.fine("--all", "--dry-run")
    assert out.splitlines()[-1] == "rendered: nothing was written: --dry-run"
    assert "10 added, 0 changed, 0 removed" in out
    assert (clone.tip(), clone.git("count-objects")) == ("", objects)


# What pods still name


def test_a_generation_stays_until_the_next_but_one(clone: Publisher) -> None:
    clone.fine()
    (a,) = clone.generations()
    second = clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    clone.fine()
    (b,) = set(clone.generations()) - {a}
    assert clone.generations() == {a: second, b: ""}
    tip = clone.tip()
    clone.commit("Nothing")
    clone.fine()
    assert clone.tip() == tip

    clone.append(KUSTOMIZATION, "replicas:\n  - name: emqx\n    count: 5\n")
    clone.commit("Scale")
    clone.fine()
    assert clone.generations() == {a: second, b: ""}

    third = clone.setting("EMQX_MQTT__MAX_CLIENTID_LEN=100")
    clone.fine()
    (c,) = set(clone.generations()) - {a, b}
    assert clone.generations() == {b: third, c: ""}

    clone.git("checkout", "--quiet", second, "--", ENV)
    fourth = clone.commit("Back to the second")
    clone.fine()
    assert clone.generations() == {b: "", c: fourth}


def config(name: str, sha: str = "1", superseded_in: str = "", kind: str = "ConfigMap", namespace: str = "a") -> Entry:
    return Entry("v1", kind, namespace, name, "", sha, superseded_in)


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ([config("x-2222222222")], [config("x-4444444444")], [config("x-2222222222", superseded_in="now")]),
        ([config("x")], [config("x", "2")], []),
        # from a name without hash to one with it
        ([config("x")], [config("x-2222222222")], [config("x", superseded_in="now")]),
        # removed on purpose: pods name it until they have rolled, so it goes with the next change
        ([config("x")], [config("y")], [config("x", superseded_in="now")]),
        ([config("y"), config("x", superseded_in="then")], [config("y")], [config("x", superseded_in="then")]),
        ([config("y"), config("x", superseded_in="then")], [config("y", "2")], []),
        # each in its own time
        (
            [config("x-4444444444"), config("x-2222222222", superseded_in="then"), config("y-2222222222")],
            [config("x-4444444444"), config("y-4444444444")],
            [config("y-2222222222", superseded_in="now"), config("x-2222222222", superseded_in="then")],
        ),
        ([config("x", kind="Service")], [], []),
    ],
)
def test_what_outlives_its_rendering(old: list[Entry], new: list[Entry], kept: list[Entry]) -> None:
    assert outlived(old, new, "now") == kept


def test_files_of_two_generations_have_two_names() -> None:
    found = renamed([config("x", superseded_in="then"), config("x", namespace="b")])
    assert [entry.file for entry in found] == ["configmap-x_a_.yaml", "configmap-x_b_.yaml"]


def test_index_is_read_as_it_was_written() -> None:
    index = {"b": [config("x", superseded_in="then")], "a": []}
    assert parse(dump(index)) == index


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 2}'])
def test_another_index_is_none(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says nobody reads
        parse(text)


# What vanishes


def with_extra(clone: Publisher) -> None:
    clone.write(f"{FOLDER}/extra.yaml", EXTRA)
    clone.append(KUSTOMIZATION, "")
    text = (clone.repo.path / KUSTOMIZATION).read_text()
    clone.write(KUSTOMIZATION, text.replace("  - emqx.yaml\n", "  - emqx.yaml\n  - extra.yaml\n"))
    clone.commit("Add a Service")
    clone.fine()


def without_extra(clone: Publisher, message: str) -> None:
    text = (clone.repo.path / KUSTOMIZATION).read_text()
    clone.write(KUSTOMIZATION, text.replace("  - extra.yaml\n", ""))
    clone.commit(message)


VANISHES = """\
emqx-gitops: rendered: expected every object that is published to be there, or to be removed on purpose; 1 object would vanish:
    Service/emqx/extra (of overlays/persistent)
  fix: put back what was lost; what goes on purpose, name like that in the last paragraph of a commit (`Removes: …`), or by --removes
"""


def test_an_object_that_vanishes_is_refused_until_somebody_says_so(clone: Publisher) -> None:
    with_extra(clone)
    without_extra(clone, "Lose a Service\n\nRemoves: Service/emqx/extra-2\nRemoves: Service/extra")
    tip = clone.tip()
    ran = clone.publish()
    assert (ran.code, ran.out, ran.err) == (1, "", VANISHES)
    assert clone.tip() == tip

    assert "removed overlays/persistent/service-extra.yaml\n" in clone.fine("--all", "--dry-run", "--removes", "Service/emqx/extra")
    clone.commit("Say so\n\nRemoves: Service/emqx/extra\nSigned-off-by: A <a@example.com>")
    clone.commit("And something else")
    assert ": 0 added, 0 changed, 1 removed\n" in clone.fine()


def test_a_trailer_counts_once(clone: Publisher) -> None:
    with_extra(clone)
    without_extra(clone, "Remove it\n\nRemoves: Service/emqx/extra")
    clone.fine()
    with_extra(clone)
    without_extra(clone, "Lose it")
    ran = clone.publish()
    assert (ran.code, ran.err) == (1, VANISHES)


def test_a_folder_that_vanishes(clone: Publisher) -> None:
    shutil.copytree(clone.repo.path / FOLDER, clone.repo.path / "overlays/other")
    clone.commit("Another")
    clone.fine()
    shutil.rmtree(clone.repo.path / "overlays/other")
    clone.commit("Gone")
    ran = clone.publish()
    assert (ran.code, ran.err.splitlines()[1]) == (1, "    overlays/other (10 objects, the whole folder)")
    assert clone.fine(FOLDER).startswith("rendered: nothing changed")  # what is not named stays
    clone.commit("Say so\n\nRemoves: overlays/other")
    assert ": 0 added, 0 changed, 10 removed\n" in clone.fine()
    assert list(clone.index()) == [FOLDER]


def test_named_folders_leave_the_others_alone(clone: Publisher) -> None:
    shutil.copytree(clone.repo.path / FOLDER, clone.repo.path / "overlays/other")
    clone.commit("Another")
    clone.fine()
    clone.append("overlays/other/emqx.env", "EMQX_MQTT__MAX_TOPIC_LEVELS=10\n")
    clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    assert ": 1 added, 1 changed, 0 removed\n" in clone.fine(FOLDER)
    assert {path for path in clone.files() if "other/configmap" in path} == {"overlays/other/configmap-emqx-env-6ct58987ht.yaml"}
    assert ": 1 added, 1 changed, 0 removed\n" in clone.fine()


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        ([config("x-2222222222")], [config("x-4444444444")], []),
        ([config("x-2222222222", kind="Service")], [config("x-4444444444", kind="Service")], ["Service/a/x-2222222222"]),
        ([config("x", superseded_in="then")], [], []),
        ([config("x", namespace="")], [], ["ConfigMap/x"]),
        ([config("x")], [config("x", namespace="b")], ["ConfigMap/a/x"]),
        ([config("x"), config("x")._replace(api_version="b/v1")], [config("x")], ["ConfigMap/a/x"]),
        ([config("x")], [config("x")._replace(api_version="v2")], []),
    ],
)
def test_what_vanishes(old: list[Entry], new: list[Entry], gone: list[str]) -> None:
    assert [lineage.label for lineage in vanished(old, new)] == gone


def test_a_generated_object_is_named_with_its_hash_or_without() -> None:
    assert allowed(config("x-2222222222").lineage, ["ConfigMap/a/x-2222222222"])
    assert allowed(config("x-2222222222").lineage, ["ConfigMap/a/x"])
    assert not allowed(config("x-2222222222").lineage, ["ConfigMap/b/x", "Secret/a/x", "x"])


# At every moment the old tree or the new one


def wrapped(clone: Publisher, body: str) -> dict[str, str]:
    """An environment in which a program stands before git; `step` is its subcommand."""
    find = "for word; do case $word in push|commit-tree|write-tree|update-index|hash-object|fetch|ls-remote) step=$word; break;; esac; done"
    path = program(clone.repo, "../../bin/git", f'{find}\n{body}\nexec {GIT} "$@"')
    # What a killed run leaves behind goes with the test's folder.
    return {"PATH": f"{path.parent}:{clone.env['PATH']}", "TMPDIR": str(path.parent)}


def test_a_publish_that_is_killed(clone: Publisher) -> None:
    clone.fine()
    clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    old, before = clone.tip(), clone.state()
    for step in ("ls-remote", "fetch", "hash-object", "update-index", "write-tree", "commit-tree", "push"):
        for first in ("", f'{GIT} "$@"; '):
            assert clone.tip() == old
            ran = clone.publish("--all", env=wrapped(clone, f'if [ "$step" = {step} ]; then {first}kill -9 $PPID; exit 1; fi'))
            assert (ran.code, clone.state()) == (-9, before)
    assert clone.tip() != old
    assert clone.fine().startswith("rendered: nothing changed")
    assert clone.git("rev-parse", "rendered^", bare=True) == old
    clone.git("fsck", "--strict", bare=True)


def test_a_publish_that_is_killed_while_the_remote_works(clone: Publisher) -> None:
    clone.fine()
    clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    old, pid = clone.tip(), clone.repo.path.parent / "pid"
    hook = clone.origin / "hooks" / "pre-receive"
    hook.write_text(f'#!/bin/sh\nkill -9 "$(cat {pid})"\n')
    hook.chmod(0o755)
    ran = clone.publish("--all", env=wrapped(clone, f"echo $PPID > {pid}"))
    assert ran.code == -9
    deadline = time.monotonic() + 30
    while clone.tip() == old:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    hook.unlink()
    assert clone.fine().startswith("rendered: nothing changed since")


def test_a_push_that_is_declined(clone: Publisher) -> None:
    hook = clone.origin / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho not you >&2\nexit 1\n")
    hook.chmod(0o755)
    ran = clone.publish()
    assert (ran.code, ran.out, clone.tip()) == (3, "", "")
    assert re.match(r"emqx-gitops: git push: .*not you.*pre-receive hook declined", ran.err)
    assert ran.err.endswith("\n  fix: check that you may push to rendered of 'origin'; nothing was written\n")


LOST = "emqx-gitops: rendered: expected to be the only one that publishes; somebody else did at the same time, and nothing was written\n  fix: run it again\n"


@pytest.mark.parametrize("case", ["first", "next", "deleted"])
def test_somebody_else_publishes_at_the_same_time(clone: Publisher, case: str) -> None:
    if case != "first":
        clone.fine()
        clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    other = "" if case == "deleted" else clone.git("commit-tree", "HEAD^{tree}", "-m", "Other")
    push = f"{GIT} -C {clone.repo.path} push --quiet --force origin {other}:refs/heads/rendered"
    ran = clone.publish("--all", env=wrapped(clone, f'if [ "$step" = push ]; then {push}; fi'))
    assert (ran.code, ran.out, ran.err) == (1, "", LOST)
    assert clone.tip() == other


def test_an_answer_that_is_lost_is_no_failure(clone: Publisher) -> None:
    ran = clone.publish("--all", env=wrapped(clone, f'if [ "$step" = push ]; then {GIT} "$@"; exit 128; fi'))
    assert (ran.code, ran.err, ran.out.splitlines()[-1]) == (0, "", f"rendered: {clone.tip()}")


def test_files_that_change_during_a_publish(clone: Publisher) -> None:
    change = f"touch {clone.repo.path}/{FOLDER}/new.yaml"
    ran = clone.publish("--all", env=wrapped(clone, f'if [ "$step" = ls-remote ]; then {change}; fi'))
    assert (ran.code, clone.tip()) == (2, "")
    assert f"not committed: {FOLDER}/new.yaml\n" in ran.err


# What is not published


@pytest.mark.parametrize("name", ["base/common/new.yaml", f"{FOLDER}/new.yaml", f"{FOLDER}/.env", "overlays/none/a.env", "docs.md", ENV])
def test_files_that_no_commit_has(clone: Publisher, name: str) -> None:
    clone.write(name, "a: b\n")
    ran = clone.publish("--all", "--dry-run")
    if name in ("overlays/none/a.env", "docs.md"):
        assert (ran.code, ran.err) == (0, "")
    else:
        message = "expected a clean work tree, so that the commit tells what is published; not committed:"
        assert (ran.code, ran.out, ran.err) == (2, "", f"emqx-gitops: {message} {name}\n  fix: commit, stash or remove them\n")


def test_ignored_files_below_a_folder_count_too(clone: Publisher) -> None:
    clone.write(".gitignore", "*.local\n*~\n")
    clone.commit("Ignore")
    clone.write(f"{FOLDER}/emqx.env~", "")
    assert clone.publish("--all", "--dry-run").code == 0
    clone.write(f"{FOLDER}/a.local", "")
    assert f"not committed: {FOLDER}/a.local\n" in clone.publish("--all", "--dry-run").err


def test_detached_head(clone: Publisher) -> None:
    clone.git("checkout", "--quiet", "--detach")
    clone.fine()
    assert clone.tip()


def test_shallow_clone(clone: Publisher, tmp_path: Path) -> None:
    clone.commit()
    clone.git("push", "--quiet", "origin", "main")
    clone.git("clone", "--quiet", "--depth=1", "--branch=main", f"file://{clone.origin}", str(tmp_path / "shallow"))
    ran = clone.publish("--all", cwd=tmp_path / "shallow")
    message = "expected the whole history, to tell what was removed on purpose; the clone is shallow"
    assert (ran.code, ran.err) == (
        2,
        f"emqx-gitops: {message}\n  fix: run `git fetch --unshallow`; in a workflow, give actions/checkout `fetch-depth: 0`\n",
    )


def test_an_older_commit(clone: Publisher) -> None:
    old, new = clone.git("rev-parse", "HEAD"), clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    clone.fine()
    clone.git("checkout", "--quiet", old)
    ran = clone.publish()
    message = f"rendered: expected a commit that is not older than {new[:12]}, which is published; got {old[:12]}"
    assert (ran.code, ran.err) == (1, f"emqx-gitops: {message}\n  fix: publish the newest commit; to go back, revert in a new one\n")


def test_a_history_that_was_written_anew(clone: Publisher) -> None:
    clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=10")
    clone.fine()
    clone.git("reset", "--quiet", "--hard", "HEAD^")
    clone.setting("EMQX_MQTT__MAX_TOPIC_LEVELS=20")
    assert ": 1 added, 1 changed, 0 removed\n" in clone.fine()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (("--all", "--branch", "a..b"), 2, "--branch: expected the name of a branch; got 'a..b'"),
        (("--all", "--branch", "main"), 2, "--branch: expected another branch than the one that is rendered; got 'main'"),
        (("--all", "--remote", "--upload-pack=touch x"), 3, "git ls-remote: "),
        (("--all", "--remote", "nowhere"), 3, "git ls-remote: "),
        ((FOLDER, "base"), 2, "base: expected a folder"),
        ((), 2, "expected folders to render or --all; got neither"),
    ],
)
def test_wrong_arguments(clone: Publisher, args: tuple[str, ...], code: int, message: str) -> None:
    ran = clone.repo.run("publish", *args, env=clone.env)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith(f"emqx-gitops: {message}"), ran.err


def test_a_branch_of_somebody_elses(clone: Publisher) -> None:
    clone.git("push", "--quiet", "origin", "HEAD:refs/heads/rendered")
    ran = clone.publish()
    message = "rendered: expected what `emqx-gitops publish` wrote; its index.json is missing or of another form"
    assert (ran.code, ran.err) == (2, f"emqx-gitops: {message}\n  fix: name another --branch\n")


def test_outside_a_repository(repo: Repo) -> None:
    ran = repo.run("publish", "--all", env={"GIT_CEILING_DIRECTORIES": str(repo.path.parent)})
    assert (ran.code, ran.out) == (2, "")
    assert re.match(r"emqx-gitops: .*: expected a folder in a Git repository; ", ran.err)


def test_nobody_who_commits(clone: Publisher) -> None:
    clone.git("config", "--unset", "user.email")
    ran = clone.publish("--all", env={"EMAIL": ""})
    assert (ran.code, ran.out, clone.tip()) == (3, "", "")
    assert ran.err.endswith("\n  fix: say who commits: git config user.name … and git config user.email …\n")


def test_a_layer_inside_another(clone: Publisher) -> None:
    inner = clone.repo.path / FOLDER / "inner"
    shutil.copytree(clone.repo.path / "overlays/persistent", inner)
    text = (inner / "kustomization.yaml").read_text()
    (inner / "kustomization.yaml").write_text(text.replace("../../", "../../../"))
    clone.commit("Inside")
    ran = clone.publish()
    assert (ran.code, clone.tip()) == (2, "")
    assert ran.err.startswith(f"emqx-gitops: {FOLDER}/inner: expected folders beside each other; {FOLDER} is published too")


SECRET = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: extra\n"


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("stringData:\n  a: hunter2\n", False),
        ("data:\n  a: aHVudGVyMg==\n", False),
        ("stringData:\n  a: hunter2\nsops:\n  mac: ENC[a]\n", False),
        ("stringData:\n  a: ENC[AES256_GCM,data:x]\nsops:\n  mac: ENC[a]\n", True),
        ("type: Opaque\n", True),
    ],
)
def test_secrets(clone: Publisher, text: str, fine: bool) -> None:
    clone.write(f"{FOLDER}/extra.yaml", SECRET + text)
    kustomization = (clone.repo.path / KUSTOMIZATION).read_text()
    clone.write(KUSTOMIZATION, kustomization.replace("  - emqx.yaml\n", "  - emqx.yaml\n  - extra.yaml\n"))
    clone.commit("Add a Secret")
    ran = clone.publish("--all", "--dry-run")
    assert "hunter2" not in ran.out + ran.err
    assert "aHVudGVyMg" not in ran.out + ran.err
    assert ran.code == (0 if fine else 1), ran.err
    if not fine:
        assert "overlays/persistent/extra.yaml:" in ran.err
        assert "Secret/extra: " in ran.err
        assert "[secret-in-build]" in ran.err


def test_what_the_rules_refuse(clone: Publisher) -> None:
    clone.append(f"{FOLDER}/emqx.yaml", '  policy:\n    allow:\n      - rule: disruption-budget\n        reason: for now\n        until: "2020-01-31"\n')
    clone.write("clusters/bare/kustomization.yaml", "resources:\n  - service.yaml\n")
    clone.write("clusters/bare/service.yaml", EXTRA)
    clone.commit("A waiver that has ended, and no cluster")
    ran = clone.publish()
    assert (ran.code, ran.out, clone.tip()) == (1, "", "")
    assert re.findall(r"\[([a-z-]+)\]$", ran.err, re.MULTILINE) == ["no-cluster", "waiver-expired"]


def test_what_somebody_changed_by_hand_is_put_right(clone: Publisher, tmp_path: Path) -> None:
    clone.fine()
    other = tmp_path / "other"
    clone.git("clone", "--quiet", "--branch", "rendered", str(clone.origin), str(other))
    tree = clone.git("rev-parse", "rendered^{tree}", bare=True)
    (other / FOLDER / "service-emqx.yaml").unlink()
    (other / FOLDER / "role-emqx.yaml").write_text("a: b\n")
    (other / FOLDER / "statefulset-emqx.yaml").chmod(0o755)
    for line in (["add", "--all"], ["-c", "user.name=B", "-c", "user.email=b@example.com", "commit", "--quiet", "-m", "Tamper"], ["push", "--quiet"]):
        subprocess.run([GIT, "-C", str(other), *line], env=clone.env, check=True, timeout=60)
    assert ": 1 added, 2 changed, 0 removed\n" in clone.fine()
    assert clone.git("rev-parse", "rendered^{tree}", bare=True) == tree


def test_a_hook_s_environment_does_not_matter(clone: Publisher) -> None:
    ran = clone.publish("--all", env={"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere/index"})
    assert (ran.code, ran.err) == (0, "")


def test_words_of_git_hold_no_password() -> None:
    said = words(Completed(128, "", "fatal: unable to access 'https://me:hunter2@example.com/a.git/':\n  no route\n"))
    assert said == "fatal: unable to access 'https://example.com/a.git/':; no route"


def test_more_files_than_a_command_line_holds(clone: Publisher) -> None:
    git = Git(clone.repo.path)
    names = git.blobs((f"{number}\n" for number in range(1200)), write=True)
    tree = git.tree({f"a/{number}": f"100644 blob {name}" for number, name in enumerate(names)})
    assert len(clone.git("ls-tree", "-r", tree).splitlines()) == 1200
