"""The links by which kustomize finds the plugin and the shell finds the programs. Standard library only, as set-up needs it before any package is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from emqx_gitops import installation as places
from emqx_gitops.installation import (
    GROUP,
    HOME_VARIABLE,
    OLDEST_KUSTOMIZE,
    Installation,
    NoHome,
    clone_root,
    dotted,
    generate,
    installation,
    kustomize_home,
    kustomize_homes,
    kustomize_version,
    leads_to,
    local_bin,
    on_path,
)


class LinkError(Exception):
    """A link that cannot be made without taking something from somebody; the text has the way out."""

    def __init__(self, problems: list[str], done: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems, self.done = tuple(problems), tuple(done)


def plugin_home(env: Mapping[str, str] = os.environ) -> Path:
    """An absolute folder that, as KUSTOMIZE_PLUGIN_HOME, makes kustomize run this installation's plugin."""
    try:
        return places.plugin_home(env)
    except NoHome as error:
        raise LinkError([str(error)], []) from None


def install(*, link_bin: bool, force: bool = False, env: Mapping[str, str] = os.environ) -> list[str]:
    """Make the links that are missing and say so. Idempotent; what is somebody else's stays, and a LinkError names it."""
    done: list[str] = []
    problems: list[str] = []
    for step in _steps(link_bin, force, env):
        try:
            done += step()
        except LinkError as error:
            problems += error.problems
        except OSError as error:
            problems.append(f"{error.filename}: expected to be able to write there; {error.strerror}\n  fix: make it writable, or do without the links")
    if problems:
        raise LinkError(problems, done)
    return done


def _steps(link_bin: bool, force: bool, env: Mapping[str, str]) -> list[Callable[[], list[str]]]:
    here = _installation(env)
    plugin = [partial(_install_plugin, here, force, env), partial(_check_named_home, here, force, env)]
    programs = [partial(_install_program, name, here, force, env) for name in here.programs]
    return [*plugin, *programs, partial(_check_path, here, env)] if link_bin else [*plugin]


def _installation(env: Mapping[str, str]) -> Installation:
    try:
        kustomize_homes(env)
        return installation(env)
    except NoHome as error:
        raise LinkError([str(error)], []) from None


def _install_plugin(here: Installation, force: bool, env: Mapping[str, str]) -> list[str]:
    if clone_root() is None:
        generate(here.plugin)
    unnamed = {name: value for name, value in env.items() if name != HOME_VARIABLE}
    # A new folder that comes first in kustomize's order would hide the plugins in an existing one that comes later.
    home = kustomize_home(unnamed) or kustomize_homes(unnamed)[0]
    return _link(home / GROUP, here.plugin, here, force)


def _check_named_home(here: Installation, force: bool, env: Mapping[str, str]) -> list[str]:
    named = env.get(HOME_VARIABLE)
    if not named:
        return []
    link = Path(named) / GROUP
    if not Path(named).exists():
        return [f"{HOME_VARIABLE} is set to {named}, which does not exist: kustomize uses its own plugin folder until it does"]
    if Path(named).is_absolute() and leads_to(link, here.plugin):
        return []
    if Path(named).is_absolute() and force:
        return _link(link, here.plugin, here, force)
    raise LinkError([_named_home_problem(named, here)], [])


def _named_home_problem(named: str, here: Installation) -> str:
    if not Path(named).is_absolute():
        return f"{HOME_VARIABLE} is set to {named}: expected an absolute path, kustomize runs plugins from another folder\n  fix: unset {HOME_VARIABLE}"
    return (
        f"{HOME_VARIABLE} is set to {named}, so kustomize looks nowhere else, and {GROUP} of {here.title} is not in it"
        f" (`kustomize build` says: expected file with Go object code)\n"
        f"  fix: unset {HOME_VARIABLE}, or link the plugin there too: {here.force}"
    )


def _install_program(name: str, here: Installation, force: bool, env: Mapping[str, str]) -> list[str]:
    target, found = here.programs[name], on_path(name, here, env)
    if not target.exists() or (found and leads_to(found, target)):
        return []
    if found and not (force and found.parent == local_bin(env)):
        return [_other_program(name, found, target)]
    return _link(local_bin(env) / name, target, here, force)


def _other_program(name: str, found: Path, target: Path) -> str:
    version = kustomize_version(found) if name == "kustomize" else None
    if version and version < OLDEST_KUSTOMIZE:
        return f"your shell's kustomize is {found}, version {dotted(version)}: too old, 5.4 or newer is needed\n  fix: upgrade it, or run {target} instead"
    label = f"{found}, version {dotted(version)}" if version else str(found)
    return f"your shell's {name} is {label}: left as it is; this installation's own is {target}"


def _check_path(here: Installation, env: Mapping[str, str]) -> list[str]:
    folder = local_bin(env)
    linked = [name for name, target in here.programs.items() if leads_to(folder / name, target) and (folder / name).is_symlink()]
    if not linked or any(leads_to(Path(entry), folder) for entry in env.get("PATH", "").split(os.pathsep) if entry):
        return []
    return [f'{folder} is not on PATH: add this line to the start file of your shell\n  export PATH="$HOME/.local/bin:$PATH"']


def _link(link: Path, target: Path, here: Installation, force: bool) -> list[str]:
    if leads_to(link, target):
        return []
    replaced = ""
    if link.is_symlink():
        replaced = _replaceable(link, here, force)
    elif link.exists():
        fix = f"move it away, then run: {here.force}"
        raise LinkError([f"{link}: expected a link to {target}; it is not a link, and not from {here.title}\n  fix: {fix}"], [])
    link.parent.mkdir(parents=True, exist_ok=True)
    _put_link(link, target)
    return [f"linked {link} -> {target}{replaced}"]


def _replaceable(link: Path, here: Installation, force: bool) -> str:
    old = os.readlink(link)
    if not link.exists():
        return f" (before: {old}, which is gone)"
    if force:
        return f" (before: {old})"
    raise LinkError([f"{link}: expected a link to {here.title}; it leads to {old}\n  fix: keep that one, or make it lead here: {here.force}"], [])


def _put_link(link: Path, target: Path) -> None:
    # By rename, so that no build in between finds the link missing.
    scratch = link.with_name(f".{link.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(target)
    scratch.replace(link)


def uninstall(env: Mapping[str, str] = os.environ) -> list[str]:
    """Remove the links that lead to this installation, and nothing else."""
    here = _installation(env)
    places = [(home / GROUP, here.plugin) for home in dict.fromkeys(kustomize_homes(env))]
    places += [(local_bin(env) / name, target) for name, target in here.programs.items()]
    done = [message for link, target in places for message in _unlink(link, target, here)]
    if clone_root() is None and here.plugin.parent.is_dir():
        shutil.rmtree(here.plugin.parent)
        done.append(f"removed {here.plugin.parent}")
    return done


def _unlink(link: Path, target: Path, here: Installation) -> list[str]:
    if not link.is_symlink():
        return []
    if not leads_to(link, target):
        return [f"left {link}: it leads to {os.readlink(link)}, not to {here.title}"]
    link.unlink()
    return [f"removed {link}"]
