"""The plugin of each tree renders that tree, and what it changed by itself is told apart from what people changed."""

from __future__ import annotations

import re
import shutil

import pytest
from tests.cli.conftest import PARTS, ROOT

from emqx_gitops.destination import plugin_digest as published_digest
from emqx_gitops.review import plugins, run
from emqx_gitops.review.model import Finding, TargetReview

from .conftest import Clone
from .harness import told

FOLDER = "overlays/persistent"
INSTALLED = plugins.digest(ROOT / "plugins" / "emqx_fn")


@pytest.fixture(name="ours")
def fixture_ours(clone: Clone) -> Clone:
    """A clone of this project with a single overlay, and with the plugin."""
    clone.git("checkout", "--quiet", "main")
    for name in ("clusters", "shared"):
        shutil.rmtree(clone.path / name)
    for part in (*PARTS, "plugins/emqx-gitops.dev", "plugins/emqx_fn"):
        shutil.copytree(ROOT / part, clone.path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for other in ("deployment-ip", "statefulset-hostname"):
        shutil.rmtree(clone.path / "overlays" / other)
    clone.commit("Ours")
    clone.git("checkout", "--quiet", "-B", "topic")
    return clone


def edit(clone: Clone, name: str, old: str, new: str) -> None:
    path = clone.path / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def other_plugin(clone: Clone) -> None:
    """A release of the plugin that is more patient with a member that starts."""
    edit(clone, "plugins/emqx_fn/plan.py", '"failureThreshold": 120', '"failureThreshold": 240')


def causes(target: TargetReview) -> dict[str, str]:
    return {f"{difference.resource.key.kind} {field.name}": field.cause for difference in target.pair.differences for field in difference.fields}


def test_the_same_plugin_is_no_cause(ours: Clone) -> None:
    edit(ours, f"{FOLDER}/volume-claim.yaml", "2Gi", "4Gi")
    ours.commit()
    review = ours.review()
    assert set(causes(review.targets[0]).values()) == {"input"}
    assert review.plugin == (INSTALLED, INSTALLED)


def test_another_plugin_alone(ours: Clone) -> None:
    """Every target is rendered, and nobody but the plugin changed it; its findings too."""
    other_plugin(ours)
    ours.commit()
    review = ours.review()
    (target,) = review.targets
    assert causes(target) == {"StatefulSet spec.template.spec.containers[emqx].startupProbe.failureThreshold": "plugin"}
    assert {finding.cause for finding in target.findings} == {"plugin"}
    assert [difference.cause for difference in target.pair.differences] == ["plugin"]
    assert len(set(review.plugin)) == 2
    assert review.plugin[0] == INSTALLED
    old, new = (digest[:12] for digest in review.plugin)
    said = told(review)
    assert "    ~ spec.template.spec.containers[emqx].startupProbe.failureThreshold: 120 -> 240 (plugin)\n" in said
    assert "PLUGIN" in said or f"plugin: {old} -> {new}; what it changed by itself is marked\n" in said


def test_a_finding_that_names_no_field(ours: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the plugin's where the input alone, by one plugin, does not lead to it."""
    monkeypatch.setattr(run, "findings", lambda pair: [Finding("x", "notice", "a/b", "", "x")] if pair.differences else [])
    other_plugin(ours)
    ours.commit()
    assert [finding.cause for finding in ours.review().targets[0].findings] == ["plugin"]
    ours.append(f"{FOLDER}/emqx.env", "EMQX_MQTT__MAX_TOPIC_LEVELS=10\n")
    ours.commit()
    assert [finding.cause for finding in ours.review().targets[0].findings] == ["input"]


def test_both_at_once(ours: Clone) -> None:
    other_plugin(ours)
    edit(ours, f"{FOLDER}/kustomization.yaml", "transformers:", "replicas:\n  - name: emqx\n    count: 5\ntransformers:")
    ours.append(f"{FOLDER}/emqx.env", "EMQX_MQTT__MAX_TOPIC_LEVELS=10\n")
    ours.commit()
    (target,) = ours.review().targets
    found = causes(target)
    assert found.pop("StatefulSet spec.template.spec.containers[emqx].startupProbe.failureThreshold") == "plugin"
    assert set(found.values()) == {"input"}
    assert "StatefulSet spec.replicas" in found
    by_rule = {finding.rule: finding.cause for finding in target.findings}
    assert by_rule["pods-roll"] == "input"


def test_the_newer_plugin_refuses_the_older_input(ours: Clone) -> None:
    for name in ("plugins/emqx_fn/spec.py", f"{FOLDER}/emqx.yaml"):
        edit(ours, name, "addressType", "typeOfAddress")
    ours.commit("A plugin with a field of another name")
    ours.git("revert", "--quiet", "--no-edit", "HEAD")
    edit(ours, f"{FOLDER}/volume-claim.yaml", "2Gi", "4Gi")
    ours.commit()
    (target,) = ours.review("HEAD~2..HEAD").targets
    assert not target.problems
    assert set(causes(target).values()) == {"input"}
    assert "plugin-not-told-apart" in [finding.rule for finding in target.findings]


def test_a_plugin_that_is_broken_is_a_problem_of_the_head(ours: Clone) -> None:
    edit(ours, "plugins/emqx_fn/plan.py", "from __future__ import annotations", "from __future__ import annotations\n\nraise ValueError")
    ours.commit()
    review = ours.review()
    assert not review.passes
    assert review.targets[0].worst == "refused"
    assert "/tmp" not in re.sub(r"\(.*\)", "", told(review))


def test_work_tree_with_a_plugin_of_its_own(ours: Clone) -> None:
    other_plugin(ours)
    (target,) = ours.review("main").targets
    assert set(causes(target).values()) == {"plugin"}


def test_a_tree_without_a_plugin_is_rendered_by_the_installed_one(ours: Clone) -> None:
    ours.git("rm", "--quiet", "-r", "plugins/emqx-gitops.dev", "plugins/emqx_fn")
    ours.commit()
    review = ours.review()
    assert review.plugin == (INSTALLED, INSTALLED)
    assert [target.pair.differences for target in review.targets] == [()]


def test_the_digest_is_that_of_a_published_commit() -> None:
    assert published_digest().removeprefix("sha256:") == INSTALLED
