"""What is installed, which version, what is wrong with it, and how to mend it: functions from the environment to findings."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import yaml

import emqx_fn
from emqx_gitops import engines, project
from emqx_gitops.installation import (
    GROUP,
    HOME_VARIABLE,
    KINDS,
    OLDEST_KUSTOMIZE,
    Installation,
    NoHome,
    clone_root,
    dotted,
    installation,
    kubeconform_version,
    kustomize_home,
    kustomize_homes,
    kustomize_version,
    leads_to,
    on_path,
)

Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One thing that was looked at. `fix` is empty when nothing is wrong."""

    level: Level
    title: str
    detail: str
    fix: str = ""


def findings(env: Mapping[str, str] = os.environ) -> list[Finding]:
    """Everything that rendering and validating here depend on, in the order in which it is used; and what becomes of a rendering."""
    try:
        here = installation(env)
        kustomize_homes(env)
    except NoHome as error:
        detail, _, fix = str(error).partition("\n  fix: ")
        return [*_python(), Finding("error", "home", detail, fix)]
    return [
        Finding("ok", "emqx-gitops", f"{emqx_fn.__version__}, {here.title}"),
        *_python(),
        *_tools(here, env),
        *_plugin(here, env),
        *_shell(here, env),
        *_sync(Path.cwd()),
    ]


def _python() -> Iterator[Finding]:
    yield Finding("ok", "Python", f"{platform.python_version()}, {sys.executable}")
    if yaml.__with_libyaml__:
        yield Finding("ok", "PyYAML", f"{yaml.__version__} with libyaml")
    else:
        fix = "install PyYAML from its wheel: pip install --force-reinstall --only-binary=:all: PyYAML"
        yield Finding("warning", "PyYAML", f"{yaml.__version__} without libyaml: reading a rendering takes some ten times as long", fix)


def _tools(here: Installation, env: Mapping[str, str]) -> Iterator[Finding]:
    root = clone_root()
    if root:
        yield _set_up(root, env)
    kustomize, kubeconform = _program("kustomize", here, env), _program("kubeconform", here, env)
    install = "make" if root else "install it on PATH, or name it"
    yield _kustomize(kustomize) if kustomize else Finding("error", "kustomize", "there is none", f"{install} (--kustomize)" if not root else install)
    if kubeconform:
        yield _kubeconform(kubeconform)
    elif root:
        yield Finding("error", "kubeconform", "there is none", install)
    else:
        yield Finding("warning", "kubeconform", "there is none; only `emqx-gitops validate` needs it", f"{install} (--kubeconform)")


def _program(name: str, here: Installation, env: Mapping[str, str]) -> Path | None:
    asked = env.get(name.upper())
    if asked:
        found = shutil.which(asked, path=env.get("PATH", ""))
        return Path(found) if found else None
    own = next((folder / name for folder in here.own_folders if os.access(folder / name, os.X_OK)), None)
    return own or on_path(name, here, env)


def _set_up(root: Path, env: Mapping[str, str]) -> Finding:
    options = [part for name in ("kustomize", "kubeconform") for part in (f"--{name}", env.get(name.upper(), ""))]
    command = [sys.executable, "-I", str(root / "tools" / "bootstrap.py"), "--check", *options]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=dict(env))
    if said.returncode == 0:
        return Finding("ok", "set-up", "up to date with the locks of this clone")
    due = "; ".join(said.stdout.splitlines()) or said.stderr.strip()
    return Finding("warning", "set-up", f"missing, or out of date with the locks of this clone: {due}", "make")


def _kustomize(program: Path) -> Finding:
    version = kustomize_version(program)
    if version is None:
        return Finding("warning", "kustomize", f"{program}: tells no version; 5.4 or newer is needed", "compare with the pinned one: leave KUSTOMIZE out")
    if version < OLDEST_KUSTOMIZE:
        return Finding("error", "kustomize", f"{program}: {dotted(version)} is too old", "install 5.4 or newer, or use the pinned one")
    return Finding("ok", "kustomize", f"{dotted(version)}, {program}")


def _kubeconform(program: Path) -> Finding:
    version = kubeconform_version(program)
    return Finding("ok", "kubeconform", f"{dotted(version) if version else 'tells no version'}, {program}")


def _plugin(here: Installation, env: Mapping[str, str]) -> Iterator[Finding]:
    """Whether a plain `kustomize build` in this shell runs this installation's plugin. `emqx-gitops` itself always does."""
    home = kustomize_home(env)
    install = "make link" if clone_root() else "emqx-gitops plugin install"
    if home is None:
        yield Finding("warning", "plugin", "kustomize has no plugin folder, so a plain `kustomize build` finds no plugin", install)
        return
    named = env.get(HOME_VARIABLE) == str(home)
    link, because = home / GROUP, f" ({HOME_VARIABLE} says so)" if named else ""
    if leads_to(link, here.plugin):
        yield from launchers(link)
    elif link.is_symlink() or link.exists():
        detail = f"a plain `kustomize build` runs {os.path.realpath(link)}, not the plugin of {here.title}{because}"
        yield Finding("warning", "plugin", detail, here.force)
    else:
        detail = f"kustomize looks only into {home}{because}, and {GROUP} is not in it: `kustomize build` says: expected file with Go object code"
        yield Finding("warning", "plugin", detail, f"unset {HOME_VARIABLE}, or: {here.force}" if named else install)


def launchers(link: Path) -> Iterator[Finding]:
    """Whether kustomize can start what the link leads to; an archive or a file system may have lost the mode."""
    paths = [link / "v1alpha1" / kind.lower() / kind for kind in KINDS]
    broken = [launcher for launcher in paths if not os.access(launcher, os.X_OK)]
    for launcher in broken:
        yield Finding("error", "plugin", f"{launcher} is not executable", f"chmod +x {launcher}")
    if not broken:
        yield Finding("ok", "plugin", f"{link} leads here")


def _shell(here: Installation, env: Mapping[str, str]) -> Iterator[Finding]:
    yield _of_shell("emqx-gitops", here, env)
    if "kustomize" in here.programs:
        yield _of_shell("kustomize", here, env)
    kubectl = on_path("kubectl", here, env)
    if kubectl:
        yield _kubectl(kubectl)


def _sync(folder: Path) -> Iterator[Finding]:
    """Whether Flux and Argo CD are told to change what was rendered: docs/sync says why they must not."""
    count, changes = engines.changes(folder)
    if count and not changes:
        yield Finding("ok", "sync", f"no object of Flux or Argo CD changes a rendering, of {count} in this repository")
    for change in changes:
        file, line, column = change.place
        detail = f"{project.shown(file)}:{line}:{column}: {change.object}: {change.path} changes what was rendered: {change.why}"
        yield Finding("error" if change.certain else "warning", "sync", detail, change.fix)


def _of_shell(name: str, here: Installation, env: Mapping[str, str]) -> Finding:
    # A virtual environment in a clone is nobody's shell; the one that a wheel was installed into may well be.
    found = on_path(name, here, env) or (None if clone_root() else _named(shutil.which(name, path=env.get("PATH", ""))))
    target = here.programs[name]
    title = f"{name} of your shell"
    if found is None:
        fix = 'make link, and in the start file of your shell: export PATH="$HOME/.local/bin:$PATH"' if clone_root() else f"run {target}"
        return Finding("warning", title, "there is none on PATH", fix)
    if leads_to(found, target):
        return Finding("ok", title, f"{found} leads here")
    version = kustomize_version(found) if name == "kustomize" else None
    if version and version < OLDEST_KUSTOMIZE:
        return Finding("warning", title, f"{found}: {dotted(version)} is too old, 5.4 or newer is needed", f"upgrade it, or run {target}")
    if name == "kustomize":
        return Finding("ok", title, f"{found}, {dotted(version) if version else 'tells no version'}: another than this installation's")
    return Finding("warning", title, f"{found}: another installation's", f"run {target}, or remove the other")


def _named(path: str | None) -> Path | None:
    return Path(path) if path else None


def _kubectl(program: Path) -> Finding:
    """`kubectl kustomize` has a kustomize of its own."""
    version = _kustomize_in_kubectl(program)
    if version is None:
        return Finding("ok", "kubectl", str(program))
    if version < OLDEST_KUSTOMIZE:
        detail = f"{program}: its kustomize {dotted(version)} is too old for `kubectl kustomize --enable-alpha-plugins`"
        return Finding("warning", "kubectl", detail, "use kustomize, or kubectl 1.31 or newer")
    return Finding("ok", "kubectl", f"{program}, with kustomize {dotted(version)}")


def _kustomize_in_kubectl(program: Path) -> tuple[int, ...] | None:
    command = [str(program), "version", "--client", "-o", "json"]
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False).stdout
        text = str(json.loads(said)["kustomizeVersion"])
        return tuple(int(part) for part in text.removeprefix("v").split("."))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
