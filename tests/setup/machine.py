"""A machine of its own for a test: a copy of this clone, a throw-away home, programs that only pretend."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# The system's own, so that no version manager of the developer takes part.
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
PARTS = (
    "Makefile",
    "README.md",
    "LICENSE",
    "pyproject.toml",
    "requirements.lock",
    "requirements-dev.lock",
    "base",
    "docs/rules",
    "overlays",
    "plugins",
    "tools",
)


@dataclass(frozen=True)
class Ran:
    """How a program ended and what it said."""

    code: int
    out: str
    err: str


def run(command: list[str | Path], env: Mapping[str, str], cwd: Path = ROOT, stdin: str = "") -> Ran:
    """Run a program to its end, with exactly this environment."""
    done = subprocess.run([str(part) for part in command], env=dict(env), cwd=cwd, input=stdin, capture_output=True, text=True, timeout=600, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def copy_clone(target: Path) -> Path:
    """What git would check out, as far as set-up goes."""
    target.mkdir(parents=True)
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, target / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            shutil.copy2(source, target / part)
    return target


def program(path: Path, text: str) -> Path:
    """An executable sh script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def caches() -> dict[str, str]:
    """The download and build caches of this machine: what they save is minutes, and no result depends on them."""
    go = run([ROOT / ".tools/go/bin/go", "env", "GOMODCACHE", "GOCACHE"], os.environ)
    modules, builds = go.out.split("\n")[:2]
    private = ROOT / ".tools" / "go-cache"
    if (private / "mod").is_dir() and not Path(modules).is_dir():
        modules, builds = str(private / "mod"), str(private / "build")
    pip = run([ROOT / ".venv/bin/python", "-I", "-m", "pip", "cache", "dir"], os.environ)
    return {"GOMODCACHE": modules, "GOCACHE": builds, "PIP_CACHE_DIR": pip.out.strip()}


def passed_on() -> dict[str, str]:
    """Where this machine gets its packages from (proxy, mirror, certificates)."""
    wanted = re.compile(r"PIP_|GO(PROXY|NOSUM|SUMDB|FLAGS)|(?i:https?_proxy|no_proxy)|SSL_CERT|LANG")
    return {name: value for name, value in os.environ.items() if wanted.match(name)}
