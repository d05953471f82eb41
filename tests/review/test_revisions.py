"""Which two states a range means, and that looking at them leaves no trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.test_processes import wait_for

from emqx_gitops.errors import UsageFailure
from emqx_gitops.review import revisions

from .conftest import Clone, changed

CONFIG = ["changed ConfigMap", "changed Deployment"]


def forked(clone: Clone) -> None:
    """A change of `a` on the topic; one of `b` on main, since the topic left it."""
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    clone.git("checkout", "--quiet", "main")
    clone.setting("b", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    clone.git("checkout", "--quiet", "topic")


@pytest.mark.parametrize("text", ["main...HEAD", "main...", "main...topic", "main", "", "refs/heads/main...HEAD"])
def test_from_where_the_topic_left_main(clone: Clone, text: str) -> None:
    forked(clone)
    assert changed(clone.review(text)) == {"clusters/a": CONFIG}


def test_two_dots_compare_both_as_they_are(clone: Clone) -> None:
    forked(clone)
    assert changed(clone.review("main..HEAD")) == {"clusters/a": CONFIG, "clusters/b": CONFIG}
    assert changed(clone.review("HEAD..main")) == {"clusters/a": CONFIG, "clusters/b": CONFIG}
    assert changed(clone.review("HEAD..HEAD")) == {}


def test_the_remote_says_what_the_default_branch_is(clone: Clone, tmp_path: Path) -> None:
    forked(clone)
    other = tmp_path / "other"
    clone.git("clone", "--quiet", str(clone.path), str(other), "--branch", "main")
    clone.git("checkout", "--quiet", "-b", "mine", "origin/topic", cwd=other)
    clone.git("branch", "--quiet", "-D", "main", cwd=other)
    clone.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main", cwd=other)
    assert changed(clone.review("", cwd=other)) == {"clusters/a": CONFIG}


def test_the_work_tree_counts_where_no_head_is_named(clone: Clone) -> None:
    clone.append("clusters/a/settings.env", "EMQX_MQTT__MAX_MQUEUE_LEN=10\n")
    assert changed(clone.review("main")) == {"clusters/a": CONFIG}
    assert clone.review("main").head == "work tree"
    assert changed(clone.review("main..HEAD")) == {}


@pytest.mark.parametrize("ignored", [False, True])
def test_files_that_git_does_not_know_count_too(clone: Clone, ignored: bool) -> None:
    """Also those that it ignores: kustomize reads them all the same."""
    clone.write(".gitignore", "local.env\n" if ignored else "")
    clone.append("clusters/b/kustomization.yaml", "      - local.env\n")
    clone.commit()
    clone.write("clusters/b/local.env", "EMQX_MQTT__MAX_MQUEUE_LEN=10\n")
    review = clone.review("HEAD")
    assert list(changed(review)) == ["clusters/b"]
    (target,) = review.targets
    assert [finding.rule for finding in target.findings] == ["base-not-rendered"]
    assert not target.problems


def test_from_a_folder_below_and_from_a_linked_work_tree(clone: Clone, tmp_path: Path) -> None:
    forked(clone)
    assert changed(clone.review(cwd=clone.path / "clusters/b")) == {"clusters/a": CONFIG}
    clone.git("worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"), "topic")
    assert changed(clone.review("main", cwd=tmp_path / "linked")) == {"clusters/a": CONFIG}


def test_a_project_in_a_folder_of_its_repository(clone: Clone) -> None:
    clone.git("checkout", "--quiet", "main")
    clone.write("deploy/.keep", "")
    for folder in ("clusters", "shared"):
        clone.git("mv", folder, f"deploy/{folder}")
    clone.commit("Move")
    clone.git("checkout", "--quiet", "-B", "topic")
    clone.append("deploy/clusters/a/settings.env", "EMQX_MQTT__MAX_MQUEUE_LEN=10\n")
    clone.commit()
    review = clone.review(cwd=clone.path / "deploy")
    assert (changed(review), [skipped.name for skipped in review.skipped]) == ({"clusters/a": CONFIG}, ["clusters/b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere...HEAD", "diff: expected a branch, tag or commit; this clone has no 'nowhere'"),
        ("main..--output=x", "diff: expected a branch, tag or commit; this clone has no '--output=x'"),
        ("HEAD:shared", "diff: expected a branch, tag or commit; this clone has no 'HEAD:shared'"),
        ("main...alone", "diff: expected main and {alone} to have a commit in common; this clone has none"),
    ],
)
def test_revisions_that_mean_nothing(clone: Clone, text: str, message: str) -> None:
    alone = clone.git("commit-tree", "-m", "Alone", "HEAD^{tree}")
    clone.git("branch", "alone", alone)
    with pytest.raises(UsageFailure) as failure:
        revisions.parse(text, clone.path)
    assert failure.value.message == message.replace("{alone}", alone[:12])


def test_a_shallow_clone_says_how_to_get_the_rest(clone: Clone, tmp_path: Path) -> None:
    forked(clone)
    other = tmp_path / "other"
    clone.git("clone", "--quiet", "--depth=1", "--no-single-branch", "--branch=topic", f"file://{clone.path}", str(other))
    ran = clone.diff("origin/main...HEAD", cwd=other)
    head = clone.git("rev-parse", "HEAD")[:12]
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"emqx-gitops: diff: expected origin/main and {head} to have a commit in common; this clone is shallow\n"
        "  fix: run `git fetch --unshallow`; in a workflow, give actions/checkout `fetch-depth: 0`\n"
    )


def test_outside_a_repository(clone: Clone, tmp_path: Path) -> None:
    ran = clone.diff(cwd=tmp_path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("emqx-gitops: diff: expected a Git repository; ")
    assert ran.err.endswith("  fix: run it in a clone, or name two folders: emqx-gitops diff OLD NEW\n")


# No trace


def test_nothing_in_the_repository_changes(clone: Clone, tmp_path: Path) -> None:
    hook = clone.write(".git/hooks/post-index-change", f"#!/bin/sh\ntouch {tmp_path}/hook-ran\n")
    hook.chmod(0o755)
    forked(clone)
    (tmp_path / "hook-ran").unlink(missing_ok=True)
    clone.append("clusters/a/settings.env", "EMQX_MQTT__MAX_TOPIC_ALIAS=20\n")
    clone.write("untracked", "")
    os.utime(clone.path / "shared/broker.yaml", (1, 1))  # an index that wants to be refreshed
    before, scratch = clone.state(), tmp_path / "scratch"
    scratch.mkdir()
    for text in ("main", "main..HEAD"):
        ran = clone.diff(text, env={"TMPDIR": str(scratch)})
        assert (ran.code, ran.err) == (0, "")
    assert clone.state() == before
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "hook-ran").exists()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended(clone: Clone, tmp_path: Path, how: signal.Signals) -> None:
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    before, scratch, started = clone.state(), tmp_path / "scratch", tmp_path / "started"
    scratch.mkdir()
    slow = tmp_path / "kustomize"
    slow.write_text(f'#!/bin/sh\n[ "$1" = version ] && exit\necho $$ > {started}\nexec sleep 60\n')
    slow.chmod(0o755)
    command = [sys.executable, "-m", "emqx_gitops", "diff", "main...HEAD", "--jobs=1", "--kustomize", str(slow)]
    with subprocess.Popen(command, cwd=clone.path, env={**clone.env, "TMPDIR": str(scratch)}) as running:
        child = int(wait_for(started))
        running.send_signal(how)
        assert running.wait(60) == (130 if how is signal.SIGTERM else -how)
    if how is signal.SIGKILL:
        os.kill(child, signal.SIGKILL)
    else:
        assert list(scratch.iterdir()) == []
    assert clone.state() == before


# What a checkout has


def test_attributes_for_archives_mean_nothing(clone: Clone) -> None:
    clone.write(".gitattributes", "settings.env export-ignore\nstamped.env export-subst\n")
    clone.append("clusters/a/kustomization.yaml", "      - stamped.env\n")
    clone.write("clusters/a/stamped.env", "EMQX_NODE__DESCRIPTION=$Format:%H$\n")
    clone.commit()
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    (target,) = clone.review("HEAD~1..HEAD").targets
    config = target.pair.differences[0]
    assert [field.name for field in config.fields] == ["data.EMQX_MQTT__MAX_MQUEUE_LEN"]
    assert config.resource.data["data"]["EMQX_NODE__DESCRIPTION"] == "$Format:%H$"


def test_filters_run_as_in_a_checkout(clone: Clone) -> None:
    clone.git("config", "filter.upper.smudge", "tr a-z A-Z")
    clone.git("config", "filter.upper.clean", "tr A-Z a-z")
    clone.write(".gitattributes", "*.txt filter=upper\n")
    clone.append("clusters/a/kustomization.yaml", "    files:\n      - words.txt\n")
    clone.write("clusters/a/words.txt", "WORDS\n")
    clone.commit()
    assert clone.git("show", "HEAD:clusters/a/words.txt") == "words"
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    (target,) = clone.review("HEAD~1..HEAD").targets
    assert target.pair.differences[0].resource.data["data"]["words.txt"] == "WORDS\n"


def test_what_is_not_checked_out_here_is_there_all_the_same(clone: Clone) -> None:
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    clone.git("sparse-checkout", "set", "shared")
    assert not (clone.path / "clusters").exists()
    assert changed(clone.review("main...HEAD")) == {"clusters/a": CONFIG}


def test_a_submodule_that_is_here(clone: Clone, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(clone.path / "shared", library)
    clone.git("init", "--quiet", cwd=library)
    clone.git("add", "--all", cwd=library)
    clone.git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "-m", "Library", cwd=library)
    clone.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    for name in ("a", "b"):
        path = clone.path / f"clusters/{name}/kustomization.yaml"
        path.write_text(path.read_text().replace("../../shared", "../../library"))
    clone.commit("Take the library")
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    # What lies in it cannot be seen from here, so all that name it are rendered.
    assert changed(clone.review("HEAD~1..HEAD")) == {"clusters/a": CONFIG, "clusters/b": []}
    # Another commit of it reaches everything.
    (library / "broker.yaml").write_text((library / "broker.yaml").read_text().replace("replicas: 1", "replicas: 2"))
    clone.git("-c", "user.name=A", "-c", "user.email=a@example.com", "commit", "--quiet", "-am", "Two", cwd=library)
    clone.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--remote", "library")
    clone.commit("Take the next")
    assert changed(clone.review("HEAD~1..HEAD")) == {"clusters/a": ["changed Deployment"], "clusters/b": ["changed Deployment"]}
