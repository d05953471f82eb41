"""A cluster with a part taken out is no cluster: each part, one after the other."""

from __future__ import annotations

import pytest

from emqx_gitops import inventory, resources
from emqx_gitops.resources import Resource

from .conftest import Repo


@pytest.fixture(name="parts")
def fixture_parts(repo: Repo) -> tuple[Resource, ...]:
    ran = repo.run("render", "overlays/persistent")
    assert (ran.code, ran.err) == (0, "")
    return resources.read(ran.out, "stdin")


def test_a_rendering_is_complete(parts: tuple[Resource, ...]) -> None:
    assert inventory.check(parts) == []


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("StatefulSet/emqx", "no-cluster : expected a Deployment or StatefulSet that runs EMQX; the rendering has none"),
        (
            "Service/emqx-headless",
            "missing-object StatefulSet/emqx: expected a headless Service (clusterIP: None) that selects these pods; the rendering has none",
        ),
        ("ServiceAccount/emqx", "missing-object StatefulSet/emqx: expected ServiceAccount/emqx in the rendering; it is not there"),
        ("Role/emqx", "missing-object RoleBinding/emqx: expected Role/emqx in the rendering; it is not there"),
    ],
)
def test_a_part_is_missing(parts: tuple[Resource, ...], label: str, problem: str) -> None:
    left = tuple(part for part in parts if part.label != label)
    assert len(left) == len(parts) - 1
    assert [f"{found.rule} {found.object}: {found.message}" for found in inventory.check(left)] == [problem]


def test_a_generated_config_map_is_missing(parts: tuple[Resource, ...]) -> None:
    left = tuple(part for part in parts if part.key.kind != "ConfigMap")
    (problem,) = inventory.check(left)
    assert (problem.rule, problem.path) == ("missing-object", "spec.template.spec.containers[emqx].envFrom")


def test_one_of_two_workloads_is_missing(parts: tuple[Resource, ...], repo: Repo) -> None:
    assert repo.run("new", "clusters/b", "--name-prefix", "b-", "--namespace", "emqx").code == 0
    other = resources.read(repo.run("render", "clusters/b").out, "stdin")
    assert inventory.check((*parts, *other)) == []
    left = (*parts, *(part for part in other if not part.is_workload))
    assert [found.rule for found in inventory.check(left)] == ["missing-object"]
    assert "emqx-gitops.dev/cluster: b-emqx; only other objects of that cluster" in inventory.check(left)[0].message
