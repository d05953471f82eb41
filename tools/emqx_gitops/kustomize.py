"""The one owner of the kustomize process: which binary, with which plugin, and what its errors mean."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from emqx_fn.problem import Problem, parse
from emqx_gitops import installation, process, project
from emqx_gitops.errors import ToolFailure

_MISSING = re.compile(r"accumulating (?P<field>resources|components) from '(?P<value>[^']*)': evalsymlink failure on '(?P<path>[^']*)'")
_NO_PYTHON = re.compile(r"^(?:Error: )?emqx-gitops: (?P<message>no Python .*); run: (?P<fix>.*)$", re.MULTILINE)
_NOISE = re.compile(r": failure in plugin configured via \S+; .*|# Warning: .*")


@dataclass(frozen=True)
class Build:
    """What kustomize made of one folder: text, or the problems that stopped it."""

    text: str
    warnings: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Kustomize:
    """A kustomize binary that always runs this installation's plugin."""

    binary: str
    plugin_home: Path

    def build(self, folder: Path) -> Build:
        """Render `folder`. Problems of the user's files are in the result; a broken tool is a ToolFailure."""
        # kustomize leaves the plugin's config file behind when the plugin refuses: let it do so in a folder of ours.
        with tempfile.TemporaryDirectory(prefix="emqx-gitops-") as scratch:
            # A plugin that lies where no virtualenv is runs with the Python that runs this.
            path = os.pathsep.join(filter(None, (os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath))))
            env = {**os.environ, "KUSTOMIZE_PLUGIN_HOME": str(self.plugin_home), "TMPDIR": scratch, "PATH": path}
            done = process.run([self.binary, "build", "--enable-alpha-plugins", str(folder)], env=env)
        if done.code:
            return Build("", "", tuple(problems_of(done.stderr, folder)))
        return Build(done.stdout, done.stderr, ())


def find(explicit: str | None) -> Kustomize:
    """The binary asked for, else the clone's pinned one, else the one on PATH; refuses one that is too old."""
    explicit = explicit or None  # an empty variable asks for nothing
    root = installation.clone_root()
    pinned = root / ".tools" / "bin" / "kustomize" if root else None
    if explicit is None and pinned and os.access(pinned, os.X_OK):
        return Kustomize(str(pinned), _plugin_home())
    binary = _on_path(explicit or "kustomize", explicit is not None)
    _require_version(binary)
    return Kustomize(binary, _plugin_home())


def _on_path(name: str, explicit: bool) -> str:
    found = shutil.which(name)
    if found:
        return os.path.abspath(found)
    if explicit:
        raise ToolFailure(f"{name}: expected a kustomize binary; there is none", "correct --kustomize (or $KUSTOMIZE), or leave it out")
    fix = "run `make` in the clone, install kustomize 5.4 or newer, or name it with --kustomize"
    raise ToolFailure("kustomize: expected it in .tools/bin of the clone or on PATH; there is none", fix)


def _require_version(binary: str) -> None:
    version = installation.kustomize_version(Path(binary))
    # A binary from `go install` says (devel): no reason to refuse it.
    if version and version < installation.OLDEST_KUSTOMIZE:
        oldest, found = installation.dotted(installation.OLDEST_KUSTOMIZE), installation.dotted(version)
        raise ToolFailure(f"{binary}: expected kustomize {oldest} or newer; it is {found}", "install a newer one, or name another with --kustomize")


def _plugin_home() -> Path:
    try:
        return installation.plugin_home()
    except installation.NoHome as error:
        message, _, fix = str(error).partition("\n  fix: ")
        raise ToolFailure(message, fix) from None


def problems_of(stderr: str, folder: Path) -> list[Problem]:
    """The function's problems in kustomize's stderr, else kustomize's own message as one problem."""
    launcher = _NO_PYTHON.search(stderr)
    if launcher:
        raise ToolFailure(launcher["message"], launcher["fix"])
    return (parse(stderr) if stderr else []) or [_own_problem(stderr, folder)]


def _own_problem(stderr: str, folder: Path) -> Problem:
    lines = (line for line in stderr.splitlines() if not _NOISE.fullmatch(line))
    text = " ".join(" ".join(lines).removeprefix("Error: ").split())
    missing = _MISSING.search(text)
    if missing:
        message = f"expected a file or folder; there is no {missing['value']}"
        return Problem("kustomize", "", missing["field"], message, f"create it, or take it out of {missing['field']}")
    message = _without_paths(_without_sources(text), folder) or "kustomize failed and said nothing"
    return Problem("kustomize", "", "", message, f"correct what `kustomize build --enable-alpha-plugins {project.shown(folder)}` names")


def _without_sources(text: str) -> str:
    """Without the patches, literals and configs that kustomize quotes whole: they are long, and may hold secrets."""
    text = re.sub(r" with config: `[^`]*`", "", text)
    text = re.sub(r"\[patch: \".*?(?<!\\)\"\]", "[…]", text)
    return re.sub(r"(literal sources? )(?:\[[^\]]*\]|[^\s,]+)", r"\1…", text)


def _without_paths(text: str, folder: Path) -> str:
    root = project.find_root(folder) or folder.parent
    text = re.sub(r"\S*kust-plugin-config-\S+?(?=[;:,\s]|$)", "the plugin's configuration", text)
    return text.replace(f"{root}/", "")
