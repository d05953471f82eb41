"""What Flux and Argo CD are told to do with renderings: `doctor` finds each field that would change them, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

import pytest

from emqx_gitops.engines import changes

from .conftest import Repo

CLUSTER = "resources: [../../overlays/persistent]\ntransformers: [../../plugins/inject]\n"
SOURCE = """\
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: brokers}
spec: {url: https://git.example.com/brokers.git, ref: {branch: BRANCH}}
"""
FLUX = """\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata:
  name: emqx
spec:
  sourceRef: {kind: GitRepository, name: brokers}
  path: PATH
"""
ARGO_CD = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: emqx
spec:
  source:
    repoURL: https://git.example.com/brokers.git
    targetRevision: BRANCH
    path: PATH
    kustomize:
"""
SETS = """\
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata:
  name: emqx
spec:
  generators:
    - matrix:
        generators:
          - git:
              directories:
                - path: clusters/*
          - clusters: {}
  template:
    spec:
      source:
        targetRevision: BRANCH
        path: "{{ .path.path }}"
        kustomize:
"""


@pytest.fixture
def brokers(repo: Repo) -> Repo:
    repo.write("clusters/prod/kustomization.yaml", CLUSTER)
    return repo


def said(repo: Repo) -> list[str]:
    """The lines of the doctor that are about this, with their fixes."""
    lines = repo.run("doctor").out.splitlines()
    return [line for start in lines if ": sync: " in start for line in lines[lines.index(start) : lines.index(start) + 2]]


def found(repo: Repo, texts: Iterable[str]) -> list[tuple[str, bool]]:
    """The fields, and whether they are surely wrong, of these documents in a file."""
    repo.write("fleet/sync.yaml", "---\n".join(texts))
    return [(change.path, change.certain) for change in changes(repo.path)[1]]


def on(text: str, *, branch: str = "rendered", path: str = "./clusters/prod") -> str:
    return text.replace("BRANCH", branch).replace("PATH", path)


def test_a_field_is_named_with_its_place_and_what_to_do(brokers: Repo) -> None:
    brokers.write("fleet/sync.yaml", f"{on(SOURCE)}---\n{on(FLUX)}  targetNamespace: other\n  commonMetadata:\n    labels:\n      team: iot\n")
    assert said(brokers) == [
        "error: sync: fleet/sync.yaml:13:3: Kustomization/emqx: spec.targetNamespace changes what was rendered: host names hold the namespace",
        "  fix: take it away, set namespace in clusters/prod instead, and publish",
        "warning: sync: fleet/sync.yaml:14:3: Kustomization/emqx: spec.commonMetadata changes what was rendered: nobody has checked the result",
        "  fix: take it away, set labels and annotations in clusters/prod instead, and publish",
    ]
    assert brokers.run("doctor").code == 1


@pytest.mark.parametrize(
    "field",
    [
        "images: [{name: emqx/emqx, newTag: 5.8.8}]",
        "namePrefix: a-",
        "nameSuffix: -a",
        "targetNamespace: a",
        "postBuild: {substitute: {a: b}}",
        "patches: [{patch: '{}'}]",
        "components: [a]",
        "commonMetadata: {labels: {a: b}}",
    ],
)
def test_each_field_of_flux(brokers: Repo, field: str) -> None:
    name = field.partition(":")[0]
    assert found(brokers, [on(SOURCE), f"{on(FLUX)}  {field}\n"]) == [(f"spec.{name}", name not in ("patches", "components", "commonMetadata"))]


@pytest.mark.parametrize(
    "field",
    [
        "images: ['emqx/emqx:5.8.8']",
        "namePrefix: a-",
        "nameSuffix: -a",
        "namespace: a",
        "replicas: [{name: emqx, count: 5}]",
        "commonLabels: {a: b}",
        "commonAnnotations: {a: b}",
        "patches: [{patch: '{}'}]",
        "components: [a]",
    ],
)
@pytest.mark.parametrize(("text", "at"), [(ARGO_CD, "spec.source"), (SETS, "spec.template.spec.source")])
def test_each_field_of_argo_cd(brokers: Repo, text: str, at: str, field: str) -> None:
    name = field.partition(":")[0]
    certain = name not in ("patches", "components", "commonAnnotations")
    assert found(brokers, [f"{on(text)}{' ' * 12}{field}\n"]) == [(f"{at}.kustomize.{name}", certain)]


def test_one_of_several_sources(brokers: Repo) -> None:
    sources = on(ARGO_CD).replace("  source:\n    repoURL: https://git.example.com/brokers.git", "  sources:\n  - repoURL: b")
    assert found(brokers, [f"{sources}      namePrefix: a-\n"]) == [("spec.sources[0].kustomize.namePrefix", True)]


@pytest.mark.parametrize(
    ("branch", "path", "expected"),
    [
        ("rendered", "clusters/prod", [True]),
        ("rendered", "clusters/prod/", [True]),
        ("main", "./clusters/prod", [False]),
        ("rendered", "./clusters/elsewhere", [False]),
        ("main", "./apps/web", []),
        ("", "./apps/web", []),
    ],
)
def test_it_is_an_error_only_where_branch_and_folder_are_ours(brokers: Repo, branch: str, path: str, expected: list[bool]) -> None:
    flux = found(brokers, [on(SOURCE, branch=branch), f"{on(FLUX, path=path)}  namePrefix: a-\n"])
    argo_cd = found(brokers, [f"{on(ARGO_CD, branch=branch, path=path)}      namePrefix: a-\n"])
    assert [certain for _, certain in flux] == [certain for _, certain in argo_cd] == expected


def test_a_folder_of_another_kind_is_no_rendering(brokers: Repo) -> None:
    brokers.write("clusters/prod/kustomization.yaml", "resources: [apps.yaml]\n")
    assert found(brokers, [on(SOURCE, branch="main"), f"{on(FLUX)}  postBuild: {{substitute: {{a: b}}}}\n"]) == []


@pytest.mark.parametrize("nothing", ["images: []", "namePrefix: ''", "namePrefix:", "patches: null", "interval: 1m"])
def test_what_changes_nothing_is_no_finding(brokers: Repo, nothing: str) -> None:
    assert found(brokers, [on(SOURCE), f"{on(FLUX)}  {nothing}\n"]) == []


@pytest.mark.parametrize("other", ["kustomize.config.k8s.io/v1beta1", "example.com/v1"])
def test_an_object_of_somebody_else_is_no_finding(brokers: Repo, other: str) -> None:
    assert found(brokers, [on(SOURCE), f"{on(FLUX)}  namePrefix: a-\n".replace("kustomize.toolkit.fluxcd.io/v1", other)]) == []


OPERATIONS = """\
resources: [RESOURCE]
patches:
  - target: {kind: KIND}
    patch: |-
      - op: replace
        path: /spec/PREFIXpath
        value: clusters/prod
  - target: {kind: KIND}
    patch: |-
      - op: add
        path: /spec/FIELD
        value: VALUE
"""


@pytest.mark.parametrize(
    ("resource", "kind", "prefix", "field", "value", "at", "certain"),
    [
        ("../../sync/flux/git", "Kustomization", "", "namePrefix", "a-", "spec.namePrefix", True),
        ("../../sync/flux/git", "Kustomization", "", "images/-", "{name: a, newTag: b}", "spec.images", True),
        ("../../sync/argocd/application", "Application", "source/", "source/kustomize", "{namePrefix: a-}", "spec.source.kustomize.namePrefix", True),
        ("../../sync/argocd/application", "Application", "source/", "source/kustomize/images", "[a]", "spec.source.kustomize.images", True),
        ("mine.yaml", "Kustomization", "", "namePrefix", "a-", "spec.namePrefix", False),
    ],
)
def test_patches_of_a_kustomization_are_read_too(brokers: Repo, resource: str, kind: str, prefix: str, field: str, value: str, at: str, certain: bool) -> None:
    text = OPERATIONS.replace("RESOURCE", resource).replace("KIND", kind).replace("PREFIX", prefix).replace("FIELD", field).replace("VALUE", value)
    brokers.write("fleet/prod/kustomization.yaml", text)
    (change,) = changes(brokers.path)[1]
    assert (change.object, change.path, change.certain) == (kind, at, certain)
    # Of a value that is a mapping, the key; else the operation.
    assert change.place.line == (12 if value == "{namePrefix: a-}" else 11)


def test_a_merge_patch_in_a_file_is_read_with_what_it_patches(brokers: Repo) -> None:
    patch = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata:\n  name: emqx\nspec:\n  path: ./clusters/prod\n  namePrefix: a-\n"
    brokers.write("fleet/prod/patch.yaml", patch)
    brokers.write("fleet/prod/kustomization.yaml", "resources: [../../sync/flux/git]\npatches:\n  - path: patch.yaml\n    target:\n      kind: Kustomization\n")
    (change,) = changes(brokers.path)[1]
    assert (change.place.file.name, change.place.line, change.path, change.certain) == ("patch.yaml", 7, "spec.namePrefix", True)


def test_files_that_git_ignores_are_not_read(brokers: Repo) -> None:
    subprocess.run(["git", "init", "--quiet", brokers.path], check=True)
    brokers.write(".gitignore", "/fleet/\n")
    assert found(brokers, [on(SOURCE), f"{on(FLUX)}  namePrefix: a-\n"]) == []
    brokers.write(".gitignore", "")
    assert found(brokers, [on(SOURCE), f"{on(FLUX)}  namePrefix: a-\n"]) == [("spec.namePrefix", True)]


def test_files_that_are_no_yaml_are_left_to_others(brokers: Repo) -> None:
    brokers.write("fleet/broken.yaml", "apiVersion: argoproj.io/v1alpha1\nkind: [\n")
    brokers.write("fleet/kustomization.yaml", "patches:\n  - target:\n      kind: Application\n    patch: [\n")
    assert found(brokers, [on(SOURCE), f"{on(FLUX)}  namePrefix: a-\n"]) == [("spec.namePrefix", True)]


def test_what_this_project_ships_changes_nothing(brokers: Repo) -> None:
    brokers.write("fleet/sync.yaml", f"{on(SOURCE)}---\n{on(FLUX)}")
    assert said(brokers)[0] == "ok: sync: no object of Flux or Argo CD changes a rendering, of 1 in this repository"


def test_where_there_is_none_nothing_is_said(brokers: Repo) -> None:
    assert said(brokers) == []
