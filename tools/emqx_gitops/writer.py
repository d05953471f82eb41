"""A rendering -> files: a folder is replaced as a whole, or left as it was."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from emqx_gitops.errors import UsageFailure
from emqx_gitops.resources import Key, Resource

MARKER = ".emqx-gitops-output"
_MARKER_TEXT = "# Written by `emqx-gitops render`. Every run replaces this whole folder, which holds these renderings:\n"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def file_names(resources: tuple[Resource, ...]) -> dict[Key, str]:
    """A file name per resource: kind-name.yaml, and namespace and group too where that alone would be shared."""
    shared: dict[str, list[Key]] = {}
    for resource in resources:
        shared.setdefault(_short(resource.key), []).append(resource.key)
    return {key: (short if len(keys) == 1 else _long(key)) for short, keys in shared.items() for key in keys}


def _short(key: Key) -> str:
    return f"{key.kind.lower()}-{_escaped(key.name)}.yaml"


def _long(key: Key) -> str:
    # Escaped names hold no underscore, so two keys never make one file name.
    return "_".join([f"{key.kind.lower()}-{_escaped(key.name)}", _escaped(key.namespace), _escaped(key.group)]) + ".yaml"


def _escaped(text: str) -> str:
    """Safe on every file system, also one that ignores case (names of roles may hold `:` and capitals)."""
    return re.sub(r"[^a-z0-9.-]", lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)


def replace_folder(folder: Path, parts: Mapping[str, Mapping[str, str]]) -> None:
    """Make `folder` hold exactly the files of `parts`. Whoever looks at any moment sees the old folder or the new one.

    A part is one rendering: the file or the folder of that name.
    """
    _require_ours(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    staging = folder.parent / f".{folder.name}.new-{os.getpid()}"
    try:
        _fill(staging, {name: text for files in parts.values() for name, text in files.items()})
        _fill(staging, {MARKER: _MARKER_TEXT + "".join(f"{part}\n" for part in parts)})
        _swap(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def parts(path: Path) -> list[Path]:
    """The renderings in an output folder; anything else is one rendering."""
    marker = path / MARKER
    lines = marker.read_text(encoding="utf-8").splitlines() if marker.is_file() else []
    return [path / line for line in lines if not line.startswith("#")] or [path]


def _require_ours(folder: Path) -> None:
    """Refuse to replace what a person may have written."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageFailure(f"{folder}: expected a folder to write into; it is something else", "name another --output-dir")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        message = f"{folder}: expected an empty folder or an earlier output; it holds other files, and all of them would be replaced"
        raise UsageFailure(message, "name another --output-dir, or empty this one")


def _remove_leftovers(folder: Path) -> None:
    """What a killed run left beside the folder."""
    for path in (*folder.parent.glob(f".{folder.name}.new-*"), *folder.parent.glob(f".{folder.name}.old-*")):
        pid = path.name.rpartition("-")[2]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid != os.getpid()


def _fill(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _swap(staging: Path, folder: Path) -> None:
    if not folder.exists():
        staging.rename(folder)
    elif not _exchange(staging, folder):
        # No atomic exchange on this system: for a moment there is no folder, never half of one.
        old = folder.parent / f".{folder.name}.old-{os.getpid()}"
        folder.rename(old)
        staging.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, where the system can (Linux)."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    return bool(renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)
