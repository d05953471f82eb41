"""What a person compares -> the two sides of each target: those of two trees that the change can reach, two folders, or two renderings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from emqx_gitops import project, validate, writer
from emqx_gitops.errors import UsageFailure
from emqx_gitops.kustomize import Kustomize
from emqx_gitops.project import Target
from emqx_gitops.review import pairs, plugins
from emqx_gitops.review.model import Skipped
from emqx_gitops.review.pairs import Build, Sides
from emqx_gitops.review.plugins import Plugin
from emqx_gitops.review.reach import Choice
from emqx_gitops.review.trees import States, Tree, of_folders

UNTOUCHED = "no file that it is built from differs"


class Compared(NamedTuple):
    """The targets to render, those that need not be, and the digests of both plugins."""

    sides: list[Sides]
    skipped: list[Skipped]
    plugin: tuple[str, str]


def of_trees(states: States, kustomize: Kustomize) -> Compared:
    """Every target of either tree."""
    names = states.choice.before | states.choice.after
    if not names:
        message = f"diff: expected overlays/ or clusters/ with something to build in {states.before.label} or {states.after.label}; neither has any"
        raise UsageFailure(message, "run it in the repository, or name two folders that kustomize can build")
    old, new = _plugins(states.before, states.after)
    by_old, by_new = plugins.run_by(kustomize, old), plugins.run_by(kustomize, new)
    sides = []
    for folder in states.choice.reached:
        before = _target(states.before, folder) if folder in states.choice.before else None
        after = _target(states.after, folder) if folder in states.choice.after else None
        sides.append(_sides(states, before, after, by_old, by_new))
    skipped = [Skipped(_target(states.after, folder).name, UNTOUCHED) for folder in sorted(names.difference(states.choice.reached))]
    return Compared(sides, skipped, (old.digest, new.digest))


def _target(tree: Tree, folder: str) -> Target:
    path = tree.top / folder
    return Target(path, project.shown(path, tree.root))


def _sides(states: States, one: Target | None, other: Target | None, by_old: Kustomize, by_new: Kustomize) -> Sides:
    target = other or one
    assert target is not None
    return Sides(
        target,
        pairs.build(states.before, one, by_old) if one else None,
        pairs.build(states.after, other, by_new) if other else None,
        pairs.build(states.before, one, by_new) if one and by_old != by_new else None,
    )


def _plugins(before: Tree, after: Tree) -> tuple[Plugin, Plugin]:
    """Those of both trees; where they are the same, one."""
    old, new = plugins.of(before), plugins.of(after)
    return old, old if old[1:] == new[1:] else new


def of_named(old: str, new: str, kustomize: Kustomize) -> Compared:
    """Two folders that look like repositories, that kustomize builds, or that hold renderings; or two rendered files."""
    before, after = Path(old), Path(new)
    for path in (before, after):
        if not path.exists():
            message = f"diff: expected two folders, or two rendered files; there is no {path}"
            raise UsageFailure(message, "correct the name; revisions are one word: emqx-gitops diff main...HEAD")
    if _is_built(before) or _is_built(after):
        return _of_targets(before, after, kustomize)
    if project.layers(before) or project.layers(after):
        return of_trees(of_folders(before.resolve(), after.resolve(), (old, new)), kustomize)
    return _of_renderings(before, after)


def _is_built(path: Path) -> bool:
    return project.kustomization_file(path) is not None


def _of_targets(before: Path, after: Path, kustomize: Kustomize) -> Compared:
    one, other = project.target(str(before)), project.target(str(after))
    states = States(_around(one.path), _around(other.path), Choice(frozenset(), frozenset(), ()))
    old, new = _plugins(states.before, states.after)
    sides = _sides(states, Target(one.path, other.name), other, plugins.run_by(kustomize, old), plugins.run_by(kustomize, new))
    return Compared([sides], [], (old.digest, new.digest))


def _around(folder: Path) -> Tree:
    root = project.find_root(folder.parent) or folder
    return Tree(str(root), root, root)


def _of_renderings(before: Path, after: Path) -> Compared:
    """Renderings that were made before; the plugins that made them are not known."""
    one, other = _parts(before), _parts(after)
    if ("" in one) != ("" in other):
        raise UsageFailure(f"diff: expected two outputs of `emqx-gitops render`, or none; one of {before} and {after} is", "name two of the same kind")
    sides = [Sides(Target(after / name, name or after.as_posix()), one.get(name), other.get(name)) for name in sorted(one.keys() | other.keys())]
    return Compared(sides, [], ("", ""))


def _parts(path: Path) -> dict[str, Build]:
    """What renders each part of an output folder; anything else is one, without a name."""
    return {part.relative_to(path).as_posix() if part != path else "": partial(validate.read, part) for part in writer.parts(path)}
