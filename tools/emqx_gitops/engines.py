"""Objects of Flux and Argo CD in a repository's YAML files -> the fields by which they would change what the plugin has rendered."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import yaml

from emqx_gitops import git, layers, project
from emqx_gitops.errors import ToolFailure
from emqx_gitops.layers import Fragment, Place, entry, scalar, sequence, value

BRANCH = "rendered"  # of `emqx-gitops publish`, unless told otherwise

_GROUPS = {
    "Kustomization": "kustomize.toolkit.fluxcd.io/",
    "GitRepository": "source.toolkit.fluxcd.io/",
    "Application": "argoproj.io/",
    "ApplicationSet": "argoproj.io/",
}
_ENGINES = re.compile("|".join(map(re.escape, sorted(set(_GROUPS.values())))))
# In a kustomization, whose own kind begins a line: a patch of such an object, and one of the folders that this project ships for it.
_PATCHED = re.compile(r"[ {,]kind: [\"']?(?:Kustomization|Application|ApplicationSet)\b")
_SHIPPED = re.compile(r"(?:^|/)sync/(?:flux|argocd)/(?:git|oci|cluster|application|folders|fleet)\b")

# Field -> what is wrong afterwards, and what to write into the cluster's folder instead.
_STALE = {
    "images": ("variables, ports and probes follow the tag", "set images"),
    "namePrefix": ("host names and permissions hold the names", "set namePrefix"),
    "nameSuffix": ("host names and permissions hold the names", "set nameSuffix"),
    "namespace": ("host names hold the namespace", "set namespace"),
    "targetNamespace": ("host names hold the namespace", "set namespace"),
    "replicas": ("what depends on their number was computed before", "set replicas"),
    "commonLabels": ("selectors would no longer be those of the running workload", "set labels"),
    "postBuild": ("${…} in EMQX's own settings would be blanked, or fail", "write the values"),
}
_UNSEEN = {
    "patches": "add patches",
    "patchesStrategicMerge": "add patches",
    "patchesJson6902": "add patches",
    "components": "list components",
    "commonMetadata": "set labels and annotations",
    "commonAnnotations": "set commonAnnotations",
}
_NOTHING: tuple[object, ...] = ("", "~", "null", [])
_COMMON = {"images", "namePrefix", "nameSuffix", "patches", "components"}
_OF_FLUX = _COMMON | {"targetNamespace", "postBuild", "patchesStrategicMerge", "patchesJson6902", "commonMetadata"}
_OF_ARGO_CD = _COMMON | {"namespace", "replicas", "commonLabels", "commonAnnotations"}


class Change(NamedTuple):
    """A field that changes what was rendered. `certain` where the tree is surely ours, and values in it would be wrong."""

    place: Place
    object: str
    path: str
    why: str
    fix: str
    certain: bool


class Tree(NamedTuple):
    """What one source of an object reads (`paths` may be patterns), and the mapping whose entries change it."""

    at: str
    node: yaml.Node | None
    fields: set[str]
    paths: tuple[str, ...]
    branch: str


@dataclass(frozen=True)
class Repository:
    """Which folders are rendered, and the branch of each GitRepository that is known."""

    folders: frozenset[str]
    branches: dict[str, str]

    def changes(self, fragment: Fragment, trees: Iterable[Tree]) -> Iterator[Change]:
        """The fields that change a tree, for trees that are ours, or look so."""
        for tree in trees:
            ours = [folder for folder in sorted(self.folders) if any(fnmatchcase(folder, _normal(path)) for path in tree.paths)]
            if ours or tree.branch == BRANCH:
                yield from self._changes(fragment, tree, ours[0] if len(ours) == 1 else "the cluster's folder", sure=bool(ours) and tree.branch == BRANCH)

    def _changes(self, fragment: Fragment, tree: Tree, folder: str, *, sure: bool) -> Iterator[Change]:
        about = f"{fragment.kind}/{fragment.name}" if fragment.name else fragment.kind
        for key, found in tree.node.value if isinstance(tree.node, yaml.MappingNode) else []:
            if key.value in tree.fields and found.value not in _NOTHING:
                why, instead = _STALE.get(key.value) or ("nobody has checked the result", _UNSEEN.get(key.value, ""))
                fix = f"take it away, {instead} in {folder} instead, and publish"
                yield Change(fragment.place(key.start_mark), about, f"{tree.at}.{key.value}", why, fix, sure and key.value in _STALE)


def changes(start: Path) -> tuple[int, list[Change]]:
    """How many objects of Flux and Argo CD the repository around `start` holds, and what they would change."""
    root = project.find_root(start)
    if root is None:
        return 0, []
    texts = list(_texts(root))
    fragments = [fragment for file, text in texts for fragment in _fragments(file, text)]
    kustomizations = [file for file, text in texts if file.name in project.KUSTOMIZATION_NAMES and _PATCHED.search(text)]
    if not fragments and not kustomizations:
        return 0, []
    branches = {fragment.name: scalar(fragment.node, "spec", "ref", "branch") for fragment in fragments if fragment.kind == "GitRepository"}
    repository = Repository(frozenset(_rendered(root)), branches)
    objects = [fragment for fragment in fragments if fragment.kind != "GitRepository"]
    found = [change for fragment in objects for change in repository.changes(fragment, _trees(fragment.kind, fragment.node, branches))]
    found += [change for file in kustomizations for change in _patched(file, repository)]
    # A patch in a file of its own was found as an object, too.
    return len(objects), sorted({(change.place, change.path): change for change in found}.values())


def _rendered(root: Path) -> Iterator[str]:
    """The overlays and clusters that the plugin runs in: an engine has folders of that name, too."""
    for folder in project.layers(root):
        if any(map(layers.injects, layers.walk(folder))):
            yield project.shown(folder, root)


def _texts(root: Path) -> Iterator[tuple[Path, str]]:
    """The YAML files that git knows or would add; without git, all that are not hidden."""
    try:
        listed = git.Git(root).try_run("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = [root / name for name in listed.stdout.split("\0")] if listed.code == 0 else []
    except ToolFailure:
        names = []
    for path in sorted(names or (path for path in root.rglob("*.y*ml") if not any(part.startswith(".") for part in path.relative_to(root).parts))):
        if path.suffix in (".yaml", ".yml"):
            yield path, path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _fragments(file: Path, text: str) -> list[Fragment]:
    """The objects of Flux and Argo CD in a file."""
    found = layers.plain(file, text) if _ENGINES.search(text) else []
    return [fragment for fragment in found if fragment.kind in _GROUPS and scalar(fragment.node, "apiVersion").startswith(_GROUPS[fragment.kind])]


def _trees(kind: str, node: yaml.Node, branches: dict[str, str]) -> Iterator[Tree]:
    spec = value(node, "spec")
    if kind == "Kustomization":
        yield Tree("spec", spec, _OF_FLUX, _paths(spec), branches.get(scalar(spec, "sourceRef", "name"), ""))
    if kind == "Application":
        yield from _of_application(spec, "spec", ())
    if kind == "ApplicationSet":
        yield from _of_application(value(value(spec, "template"), "spec"), "spec.template.spec", tuple(_directories(value(spec, "generators"))))


def _of_application(spec: yaml.Node | None, at: str, generated: tuple[str, ...]) -> Iterator[Tree]:
    numbered = [(f"sources[{number}]", source) for number, source in enumerate(sequence(spec, "sources"))]
    hydrated = value(value(spec, "sourceHydrator"), "drySource")
    for name, source in [("source", value(spec, "source")), *numbered, ("sourceHydrator.drySource", hydrated)]:
        paths = _paths(source)
        # A placeholder stands for what the generators found.
        paths = generated if any("{{" in path for path in paths) else paths
        yield Tree(f"{at}.{name}.kustomize", value(source, "kustomize"), _OF_ARGO_CD, paths, scalar(source, "targetRevision"))


def _paths(node: yaml.Node | None) -> tuple[str, ...]:
    path = scalar(node, "path")
    return (path,) if path else ()


def _normal(path: str) -> str:
    return PurePosixPath(path).as_posix().strip("/")


def _directories(node: yaml.Node | None) -> Iterator[str]:
    """The patterns of the git generators, however deep they are nested."""
    for generator in node.value if isinstance(node, yaml.SequenceNode) else []:
        for _, found in generator.value if isinstance(generator, yaml.MappingNode) else []:
            yield from (path for directory in sequence(found, "directories") for path in _paths(directory))
            yield from _directories(value(found, "generators"))


def _patched(file: Path, repository: Repository) -> Iterator[Change]:
    """The same of the patches in a kustomization, which say little of what they patch: its other patches and its resources do."""
    layer = next(iter(layers.walk(file.parent)), None)
    if layer is None:
        return
    shipped = any(_SHIPPED.search(scalar(item)) for item in sequence(layer.root, "resources"))
    resources = {(layer.folder / scalar(item)).resolve() for item in sequence(layer.root, "resources")}
    found = [fragment for fragment in layers.fragments(layer) if fragment.kind in _GROUPS and fragment.file not in resources]
    patches = [replace(fragment, node=_merged(fragment.node)) for fragment in found]
    trees = [(fragment, tree) for fragment in patches for tree in _trees(fragment.kind, fragment.node, repository.branches)]
    known = tuple(path for _, tree in trees for path in tree.paths)
    for fragment, tree in trees:
        yield from repository.changes(fragment, [tree._replace(paths=known, branch=tree.branch or (BRANCH if shipped else ""))])


def _merged(node: yaml.Node) -> yaml.Node:
    """A list of JSON patch operations as the object that they would make, each key where its operation stands; any other node as it is."""
    if not isinstance(node, yaml.SequenceNode):
        return node
    root = yaml.MappingNode("", [])
    for operation in node.value:
        path, found = value(operation, "path"), value(operation, "value")
        if path is not None and found is not None:
            _set(root, [step for step in str(path.value).split("/") if step], found, path)
    return root


def _set(node: yaml.MappingNode, steps: list[str], found: yaml.Node, path: yaml.Node) -> None:
    """Put the value where its path says, down to the first list on the way: what is added to one stands for all of it."""
    for step, following in zip(steps, [*steps[1:], ""], strict=True):
        last = not following or following == "-" or following.isdigit()
        pair = entry(node, step)
        below = found if last else pair[1] if pair else yaml.MappingNode("", [])
        if pair is None or last:
            node.value.append((yaml.ScalarNode("", step, path.start_mark, path.end_mark), below))
        if last or not isinstance(below, yaml.MappingNode):
            return
        node = below
