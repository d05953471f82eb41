"""Where this installation is, and where kustomize and the shell look. Standard library only, as set-up needs it before any package is there."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GROUP = "emqx-gitops.dev"
KINDS = ("EmqxCluster", "EmqxPolicy")
OLDEST_KUSTOMIZE = (5, 4)
HOME_VARIABLE = "KUSTOMIZE_PLUGIN_HOME"


class NoHome(Exception):
    """HOME is not set, so nobody can tell where a person's own folders are."""


@dataclass(frozen=True)
class Installation:
    """What the links of this installation lead to."""

    title: str
    plugin: Path  # becomes <plugin home>/emqx-gitops.dev
    programs: Mapping[str, Path]
    own_folders: tuple[Path, ...]  # an activated virtualenv is no place where "any shell" finds a program
    force: str  # the command that takes a link over


def clone_root() -> Path | None:
    """The clone that this file lies in; None when it was installed as a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "plugins" / GROUP).is_dir() and (root / "tools" / "emqx_gitops").is_dir() else None


def installation(env: Mapping[str, str] = os.environ) -> Installation:
    """This clone, or this Python environment when there is no clone around."""
    root = clone_root()
    return _of_clone(root) if root else _of_environment(env)


def _of_clone(root: Path) -> Installation:
    venv, tools = root / ".venv" / "bin", root / ".tools" / "bin"
    programs = {"kustomize": tools / "kustomize", "emqx-gitops": venv / "emqx-gitops"}
    return Installation(f"this clone, {root}", root / "plugins" / GROUP, programs, (venv, tools), "make link FORCE=1")


def _of_environment(env: Mapping[str, str]) -> Installation:
    prefix = Path(sys.prefix)
    programs = {"emqx-gitops": prefix / "bin" / "emqx-gitops"}
    own = (prefix / "bin",) if sys.prefix != sys.base_prefix else ()
    return Installation(f"this environment, {prefix}", _generated_home(env) / GROUP, programs, own, "emqx-gitops plugin install --force")


def plugin_home(env: Mapping[str, str] = os.environ) -> Path:
    """An absolute folder that, as KUSTOMIZE_PLUGIN_HOME, makes kustomize run this installation's plugin."""
    here = installation(env)
    if clone_root() is None:
        generate(here.plugin)
    return here.plugin.parent


def kustomize_homes(env: Mapping[str, str] = os.environ) -> list[Path]:
    """The folders in which kustomize looks for plugins, in its order: it takes the first that exists and no other."""
    named, config = env.get(HOME_VARIABLE), env.get("XDG_CONFIG_HOME")
    homes = [Path(named)] if named else []
    homes += [Path(config) / "kustomize" / "plugin"] if config else []
    home = _home(env)
    return [*homes, home / ".config" / "kustomize" / "plugin", home / "kustomize" / "plugin"]


def kustomize_home(env: Mapping[str, str] = os.environ) -> Path | None:
    """The plugin folder that a plain `kustomize build` uses in this environment."""
    return next((home for home in kustomize_homes(env) if home.exists()), None)


def local_bin(env: Mapping[str, str] = os.environ) -> Path:
    """Where a person's own programs go."""
    return _home(env) / ".local" / "bin"


def on_path(name: str, here: Installation, env: Mapping[str, str] = os.environ) -> Path | None:
    """The program that a shell finds without this installation's own folders."""
    own = {os.path.realpath(folder) for folder in here.own_folders}
    folders = [folder for folder in env.get("PATH", "").split(os.pathsep) if folder and os.path.realpath(folder) not in own]
    found = shutil.which(name, path=os.pathsep.join(folders)) if folders else None
    return Path(found) if found else None


def leads_to(link: Path, target: Path) -> bool:
    """Whether `link`, or a folder above it, ends at `target`; also when nothing is there any more."""
    return os.path.realpath(link) == os.path.realpath(target)


def _home(env: Mapping[str, str]) -> Path:
    home = env.get("HOME")
    if not home:
        raise NoHome("HOME is not set: expected your home folder, kustomize looks for plugins there\n  fix: set HOME")
    return Path(home)


def _generated_home(env: Mapping[str, str]) -> Path:
    data = env.get("XDG_DATA_HOME")
    base = Path(data) if data else _home(env) / ".local" / "share"
    # One folder per environment: two environments must not write over each other's launchers.
    key = hashlib.sha256(sys.prefix.encode()).hexdigest()[:8]
    return base / "emqx-gitops" / "plugin" / f"{Path(sys.prefix).name}-{key}"


def generate(plugin: Path) -> None:
    """Write the launchers of an environment without a clone, where they are missing or out of date."""
    for kind in KINDS:
        launcher = plugin / "v1alpha1" / kind.lower() / kind
        text = _launcher(kind)
        if not launcher.is_file() or launcher.read_text(encoding="utf-8") != text or not os.access(launcher, os.X_OK):
            _write_program(launcher, text)


def _launcher(kind: str) -> str:
    python = shlex.quote(sys.executable)
    function = shlex.quote(str(Path(__file__).resolve().parents[1] / "emqx_fn" / "__main__.py"))
    gone = shlex.quote(f"emqx-gitops: {sys.executable} is gone; run in the new environment: emqx-gitops plugin install --force")
    return (
        f"#!/bin/sh\n# Written by `emqx-gitops plugin install`.\n"
        f"if [ ! -x {python} ]; then\n    echo {gone} >&2\n    exit 1\nfi\n"
        f'exec {python} -I {function} {kind} "$@"\n'
    )


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(text, encoding="utf-8")
    scratch.chmod(0o755)
    scratch.replace(path)


def kustomize_version(program: Path) -> tuple[int, ...] | None:
    """What `kustomize version` says; None when it says nothing that looks like one, as a build from source does."""
    return _version([str(program), "version"])


def kubeconform_version(program: Path) -> tuple[int, ...] | None:
    """What `kubeconform -v` says."""
    return _version([str(program), "-v"])


def _version(command: list[str]) -> tuple[int, ...] | None:
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v?(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else None


def dotted(version: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(str(part) for part in version)
