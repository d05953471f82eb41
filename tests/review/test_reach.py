"""Which targets are rendered: all that a change may reach, and said of the others why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from emqx_gitops.errors import UsageFailure
from emqx_gitops.git import Git
from emqx_gitops.kustomize import find
from emqx_gitops.review import revisions, run, trees, views
from emqx_gitops.review.sides import UNTOUCHED

from .conftest import CLUSTER, Clone

PATCHED = "patches:\n  - path: ../b/replicas.yaml\n"


def reached(clone: Clone, text: str = "HEAD~1..HEAD") -> list[str]:
    """The targets that were rendered; the others were said to be skipped."""
    review = clone.review(text)
    names = [target.pair.target.name for target in review.targets]
    assert {skipped.why for skipped in review.skipped} <= {UNTOUCHED}
    assert not {skipped.name for skipped in review.skipped} & set(names)
    assert len(names) + len(review.skipped) == len({path.parent for path in clone.path.glob("clusters/**/kustomization.yaml")})
    return [name.removeprefix("clusters/") for name in names]


def of_a(text: str) -> Callable[[Clone], None]:
    """Write the kustomization of `a` anew, with something at its end."""
    return lambda clone: clone.append("clusters/a/kustomization.yaml", text) or None


def written(name: str, text: str = "x\n") -> Callable[[Clone], None]:
    return lambda clone: clone.write(name, text) and None


def nothing(_: Clone) -> None:
    pass


def component(clone: Clone) -> None:
    clone.write("parts/kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\npatches:\n  - path: patch.yaml\n")
    clone.write("parts/patch.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: broker\nspec:\n  replicas: 2\n")
    clone.append("clusters/a/kustomization.yaml", "components:\n  - ../../parts\n")


def linked(clone: Clone) -> None:
    (clone.path / "clusters/a/link").symlink_to("../../shared-2")
    clone.write("shared-2/kustomization.yaml", "resources: []\n")
    clone.append("clusters/a/kustomization.yaml", "components: [link]\n")


def builtin(clone: Clone) -> None:
    """A transformer of somebody else's may read any file."""
    clone.write("clusters/a/labels.yaml", "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: x}\nlabels: {x: y}\n")
    clone.append("clusters/a/kustomization.yaml", "transformers:\n  - labels.yaml\n")


def of_ours(clone: Clone) -> None:
    clone.write("inject/kustomization.yaml", "resources:\n  - inject.yaml\n")
    clone.write("inject/inject.yaml", "apiVersion: emqx-gitops.dev/v1alpha1\nkind: EmqxCluster\nmetadata: {name: x}\n")
    clone.append("clusters/a/kustomization.yaml", "transformers:\n  - ../../inject\n")


@pytest.mark.parametrize(
    ("given", "change", "expected"),
    [
        (nothing, written("README.md"), []),
        (nothing, written("clusters/README.md"), []),
        (nothing, written("clusters/a/settings.env", "A=1\n"), ["a"]),
        (nothing, written("clusters/a/kustomization.yml", CLUSTER.format(name="x")), ["a"]),
        (nothing, written("shared/broker.yaml", ""), ["a", "b"]),
        (nothing, written("shared/README.md"), ["a", "b"]),
        (nothing, written("shared-3/x.yaml"), []),
        (nothing, written("plugins/x/y/Z"), ["a", "b"]),
        (nothing, written("plugins.md"), []),
        (component, written("parts/patch.yaml"), ["a"]),
        (component, written("parts/other.yaml"), ["a"]),
        (linked, written("shared-2/x.yaml"), ["a"]),
        (linked, written("shared-3/x.yaml"), []),
        (builtin, written("README.md"), ["a"]),
        (of_ours, written("README.md"), []),
        (of_ours, written("inject/inject.yaml"), ["a"]),
        (of_a("crds:\n  - ../../crds/x.json\n"), written("crds/x.json"), ["a"]),
        (of_a("openapi:\n  path: ../../schema.json\n"), written("schema.json"), ["a"]),
        (of_a("configurations:\n  - ../../names.yaml\n"), written("names.yaml"), ["a"]),
        (of_a("replacements:\n  - path: ../../replace.yaml\n"), written("replace.yaml"), ["a"]),
        (of_a("helmGlobals:\n  chartHome: ../../charts\n"), written("charts/x/values.yaml"), ["a"]),
        (of_a("    files:\n      - name=../../file.conf\n"), written("file.conf"), ["a"]),
        (of_a("    files:\n      - ../../file.conf\n"), written("file.conf"), ["a"]),
        (of_a("generators:\n  - |\n    apiVersion: builtin\n    kind: ConfigMapGenerator\n    envs: [../../x.env]\n"), written("x.env"), ["a"]),
        (of_a(PATCHED), written("clusters/b/replicas.yaml"), ["a", "b"]),
        (of_a("this is no: [YAML\n"), written("README.md"), ["a"]),
    ],
)
def test_a_change_reaches(clone: Clone, given: Callable[[Clone], None], change: Callable[[Clone], None], expected: list[str]) -> None:
    given(clone)
    clone.commit("Given")
    change(clone)
    clone.commit("Change")
    assert reached(clone) == expected


def test_a_link_that_leads_elsewhere_reaches_all(clone: Clone) -> None:
    """Who else names it cannot be told from the newer tree alone."""
    linked(clone)
    clone.commit("Given")
    (clone.path / "clusters/a/link").unlink()
    (clone.path / "clusters/a/link").symlink_to("../../shared-3")
    clone.commit("Change")
    assert reached(clone) == ["a", "b"]


def test_what_is_gone_reaches_those_that_named_it(clone: Clone) -> None:
    component(clone)
    clone.commit("Given")
    (clone.path / "parts/patch.yaml").unlink()
    clone.commit("Change")
    assert reached(clone) == ["a"]
    clone.git("rm", "--quiet", "-r", "parts")
    clone.commit("Change more")
    assert reached(clone) == ["a"]


def test_a_cluster_that_comes_and_one_that_goes(clone: Clone) -> None:
    clone.cluster("c")
    clone.git("rm", "--quiet", "-r", "clusters/b")
    clone.commit()
    review = clone.review()
    states = {target.pair.target.name: (target.pair.before is None, target.pair.after is None) for target in review.targets}
    assert states == {"clusters/b": (False, True), "clusters/c": (True, False)}
    assert [skipped.name for skipped in review.skipped] == ["clusters/a"]


def test_two_folders_like_repositories(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer as for the two commits, without Git."""
    clone.git("worktree", "add", "--quiet", "../old", "main")
    clone.append("clusters/a/settings.env", "EMQX_MQTT__MAX_MQUEUE_LEN=10\n")
    monkeypatch.chdir(clone.path)
    review = run.of_named("../old", ".", run.Settings(find(None), 2))
    assert [target.pair.target.name for target in review.targets] == ["clusters/a"]
    assert [skipped.name for skipped in review.skipped] == ["clusters/b"]
    assert (review.base, review.head) == ("../old", ".")


def test_nothing_to_build(clone: Clone) -> None:
    clone.git("rm", "--quiet", "-r", "clusters")
    clone.commit()
    clone.commit("Nothing")
    with pytest.raises(UsageFailure, match="expected overlays/ or clusters/ with something to build"):
        clone.review("HEAD~1..HEAD")


# What need not be written out


REPLICAS = "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: broker\nspec:\n  replicas: 2\n"


def unneeded(clone: Clone) -> set[str]:
    span = revisions.parse("HEAD~1..HEAD", clone.path)
    with trees.of_commits(span, clone.path) as states:
        left_out = {folder for tree in (states.before, states.after) for folder in ("clusters/a", "clusters/b") if not (tree.top / folder).exists()}
        assert left_out == states.choice.unneeded
    return left_out


def test_folders_that_no_rendering_needs_are_not_written(clone: Clone) -> None:
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    assert unneeded(clone) == {"clusters/b"}
    clone.write("README.md", "")
    clone.commit()
    assert unneeded(clone) == {"clusters/a", "clusters/b"}
    assert clone.review("HEAD~1..HEAD").passes


@pytest.mark.parametrize("side", ["before", "after", "both"])
def test_a_folder_that_another_names_is(clone: Clone, side: str) -> None:
    clone.write("clusters/b/part/kustomization.yaml", "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\npatches:\n  - path: patch.yaml\n")
    clone.write("clusters/b/part/patch.yaml", REPLICAS)
    for when in ("before", "after"):
        names_it = "components:\n  - ../b/part\n" if side in (when, "both") else ""
        clone.write("clusters/a/kustomization.yaml", CLUSTER.format(name="a") + names_it)
        clone.append("clusters/a/settings.env", f"EMQX_NODE__DESCRIPTION_{when.upper()}=x\n")
        clone.commit()
    assert unneeded(clone) == set()
    (target,) = clone.review("HEAD~1..HEAD").targets
    assert target.pair.before is not None
    assert not target.pair.before.problems
    assert target.pair.after is not None
    assert not target.pair.after.problems


def test_what_may_read_anything_has_everything(clone: Clone) -> None:
    builtin(clone)
    clone.commit()
    clone.setting("a", "EMQX_MQTT__MAX_MQUEUE_LEN=10")
    assert unneeded(clone) == set()


def test_a_commit_looks_as_its_checkout(clone: Clone) -> None:
    """Folders, files, links, texts and layers."""
    component(clone)
    linked(clone)
    (clone.path / "to-shared").symlink_to("shared")
    (clone.path / "clusters/circle").symlink_to("circle")
    clone.write("clusters/a/.hidden/kustomization.yaml", "resources: []\n")
    clone.write("clusters/empty/kustomization.yaml", "")
    clone.write("clusters/c/d/Kustomization", "resources: []\nnames:\n  - ä: 1\n\n  \n# end\n")
    clone.write("clusters/part/kustomization.yml", "kind: Component\n")
    clone.write("elsewhere/clusters/x/kustomization.yaml", "resources: []\n")
    clone.commit()
    disk, commit = views.OnDisk(clone.path), views.Committed(Git(clone.path), clone.git("rev-parse", "HEAD"))
    for root in (".", "elsewhere", "shared"):
        assert commit.layers(root) == disk.layers(root)
    assert commit.layers(".") == ["clusters/a", "clusters/b", "clusters/c/d", "clusters/empty"]
    names = [
        *clone.git("ls-files").splitlines(),
        "clusters",
        "clusters/a",
        "to-shared/broker.yaml",
        "clusters/a/link",
        "clusters/a/link/kustomization.yaml",
        "none",
        ".",
    ]
    for path in names:
        seen = [(view.is_file(path), view.is_folder(path), view.text(path)) for view in (commit, disk)]
        assert seen[0] == seen[1], path
        if "circle" not in path:
            assert commit.real(path) == disk.real(path)


def test_what_python_leaves_in_the_plugin_is_no_change_of_it(clone: Clone) -> None:
    clone.write("plugins/x.py", "")
    clone.write(".gitignore", "__pycache__/\n")
    clone.commit()
    clone.write("plugins/__pycache__/x.pyc", "")
    assert reached(clone, "HEAD") == []
    clone.write("plugins/y.py", "")
    assert reached(clone, "HEAD") == ["a", "b"]


def test_a_problem_names_a_file_of_the_repository(clone: Clone) -> None:
    clone.setting("a", "EMQX_MQTT__NO_SUCH_KEY=10")
    (target,) = clone.review("HEAD~1..HEAD").targets
    assert [(problem.rule, problem.where) for problem in target.problems] == [("unknown-variable", "clusters/a/settings.env:2:1")]
