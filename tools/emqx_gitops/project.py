"""Where things are in the user's repository: its overlays and clusters, and how messages name them."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from emqx_gitops.errors import UsageFailure

LAYER_FOLDERS = ("overlays", "clusters")
KUSTOMIZATION_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")

_COMPONENT = re.compile(r"^kind:\s*[\"']?Component\b", re.MULTILINE)


@dataclass(frozen=True)
class Target:
    """A folder to render. `name` is how messages and output files call it."""

    path: Path
    name: str


def kustomization_file(folder: Path) -> Path | None:
    """The kustomization of a folder, by the three names that kustomize knows."""
    return next((folder / name for name in KUSTOMIZATION_NAMES if (folder / name).is_file()), None)


def find_root(start: Path) -> Path | None:
    """The nearest folder at or above `start` that holds overlays or clusters."""
    return next((folder for folder in (start, *start.parents) if next(_layers(folder), None)), None)


def layers(root: Path) -> list[Path]:
    """Every folder below overlays/ and clusters/ that can be built; a component cannot, and hidden folders are nobody's."""
    return sorted(set(_layers(root)))


def _layers(root: Path) -> Iterator[Path]:
    for file in (file for name in LAYER_FOLDERS for kustomization in KUSTOMIZATION_NAMES for file in (root / name).rglob(kustomization)):
        if is_layer(file.parent.relative_to(root), _kustomization(file.parent)):
            yield file.parent


def is_layer(folder: PurePath, kustomization: str) -> bool:
    """Whether a folder below overlays/ or clusters/ is one to build, by its path and the text of its kustomization."""
    return not any(part.startswith(".") for part in folder.parts) and _COMPONENT.search(kustomization) is None


def _kustomization(folder: Path) -> str:
    file = kustomization_file(folder)
    return file.read_text(encoding="utf-8", errors="replace") if file else ""


def shown(path: Path, root: Path | None = None) -> str:
    """A path as messages name it: relative to `root` (or the current folder) where it is below it."""
    base = root or Path.cwd()
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return path.as_posix()


def discover(start: Path) -> list[Target]:
    """Every overlay and cluster of the repository around `start`."""
    root = find_root(start)
    if root is None:
        message = f"--all: expected a kustomization.yaml below overlays/ or clusters/ at or above {start}; found none"
        raise UsageFailure(message, "run it inside the repository, or name the folders to render")
    return [Target(folder, shown(folder, root)) for folder in layers(root)]


def targets(paths: list[str], all_layers: bool) -> list[Target]:
    """What a command line asks to render."""
    if bool(paths) == all_layers:
        given = "both" if paths else "neither"
        raise UsageFailure(f"expected folders to render or --all; got {given}", "for example: emqx-gitops render overlays/persistent")
    return discover(Path.cwd()) if all_layers else [target(path) for path in dict.fromkeys(paths)]


def target(path: str) -> Target:
    """The folder named on the command line; a kustomization file stands for its folder."""
    folder = Path(os.path.normpath(Path.cwd() / path))
    if folder.is_file() and folder.name in KUSTOMIZATION_NAMES:
        folder = folder.parent
    if not folder.is_dir():
        raise UsageFailure(f"{path}: expected a folder with a kustomization.yaml; there is no such folder", _meant(path))
    if kustomization_file(folder) is None:
        raise UsageFailure(f"{path}: expected a folder with a kustomization.yaml; it holds none", _meant(path))
    return Target(folder, target_name(folder))


def target_name(path: Path) -> str:
    """Relative to the repository around it, so that a message does not depend on the current folder's depth."""
    root = find_root(path.parent)
    return shown(path, root) if root else path.name


def _meant(path: str) -> str:
    root = find_root(Path.cwd())
    names = [shown(folder, root) for folder in layers(root)] if root else []
    below = [name for name in names if PurePath(name).is_relative_to(PurePath(os.path.normpath(path)))]
    if below:
        return f"name what is below it: {', '.join(below)}; or all by --all"
    close = difflib.get_close_matches(Path(path).as_posix(), names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "name one of: " + ", ".join(names) if names else "name a folder that `kustomize build` accepts"
