"""Two folders that are no repositories: what each kind of them means."""

from __future__ import annotations

from pathlib import Path

import pytest

from emqx_gitops.errors import UsageFailure
from emqx_gitops.kustomize import find
from emqx_gitops.output import write
from emqx_gitops.project import Target
from emqx_gitops.rendering import render
from emqx_gitops.review import run
from emqx_gitops.review.model import Review

from .conftest import Clone, changed
from .harness import told

SETTING = ["changed ConfigMap", "changed Deployment"]


def compared(old: str, new: str) -> Review:
    return run.of_named(old, new, run.Settings(find(None), 2, day="2026-01-31"))


@pytest.fixture(name="outputs")
def fixture_outputs(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """What `emqx-gitops render --output-dir` wrote before and after a change of `a`."""
    monkeypatch.chdir(clone.path)
    for folder in ("old", "new"):
        targets = [Target(clone.path / name, name) for name in ("clusters/a", "clusters/b")]
        write(Path(folder), [render(find(None), target) for target in targets], split=folder == "new")
        if folder == "old":
            clone.append("clusters/a/settings.env", "EMQX_MQTT__MAX_MQUEUE_LEN=10\n")
    return "old", "new"


def test_two_that_kustomize_builds(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone.path)
    clone.append("clusters/b/settings.env", "EMQX_MQTT__MAX_MQUEUE_LEN=10\n")
    review = compared("clusters/a", "clusters/b")
    assert changed(review) == {"clusters/b": ["renamed ConfigMap", "renamed Deployment"]}
    with pytest.raises(UsageFailure) as failure:
        compared("clusters/a", "clusters")
    assert failure.value.message == "clusters: expected a folder with a kustomization.yaml; it holds none"


def test_two_outputs(outputs: tuple[str, str], clone: Clone) -> None:
    old, new = outputs
    assert changed(compared(old, old)) == {"clusters/a.yaml": [], "clusters/b.yaml": []}
    clone.append("clusters/a/settings.env", "EMQX_MQTT__MAX_TOPIC_ALIAS=10\n")
    write(Path("newer"), [render(find(None), Target(clone.path / "clusters/a", "clusters/a"))], split=True)
    review = compared(new, "newer")
    assert changed(review)["clusters/a"] == SETTING
    (gone,) = (target for target in review.targets if target.pair.target.name == "clusters/b")
    assert gone.pair.after is None
    assert review.plugin == ("", "")


def test_two_rendered_files(outputs: tuple[str, str]) -> None:
    review = compared("old/clusters/a.yaml", "new/clusters/a")
    assert changed(review) == {"new/clusters/a": SETTING}
    assert told(review).startswith("from old/clusters/a.yaml to new/clusters/a\n")


def test_an_output_and_something_else(outputs: tuple[str, str]) -> None:
    with pytest.raises(UsageFailure) as failure:
        compared("old", "new/clusters/a")
    assert failure.value.message == "diff: expected two outputs of `emqx-gitops render`, or none; one of old and new/clusters/a is"


def test_nothing_in_it(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty rendering would delete everything."""
    monkeypatch.chdir(clone.path)
    (clone.path / "empty").mkdir()
    review = compared("shared/broker.yaml", "empty")
    assert not review.passes
    assert [problem.rule for problem in review.targets[0].problems] == ["empty-rendering"]
