"""The launchers: which Python they start, how, and what they say when there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machine import ROOT, Ran, program, run

# Stands in for the function: tells who runs it, how, with what, and what it was given.
FUNCTION = """
import sys, yaml
print(yaml.WHO, sys.flags.isolated, *sys.argv[1:], sys.stdin.read(), sep="|", end="")
"""
YAML = "WHO = {who!r}\n"


@dataclass(frozen=True)
class Launch:
    """A clone that holds only the launchers and a function that tells how it was started."""

    root: Path

    def launcher(self, kind: str = "EmqxCluster") -> Path:
        return self.root / "plugins" / "emqx-gitops.dev" / "v1alpha1" / kind.lower() / kind

    def with_venv(self) -> Launch:
        """A virtualenv that has PyYAML, as far as the launcher can tell."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", self.root / ".venv"], check=True)
        self.yaml_of_venv.parent.mkdir()
        self.yaml_of_venv.write_text(YAML.format(who="venv"), encoding="utf-8")
        return self

    @property
    def yaml_of_venv(self) -> Path:
        return next((self.root / ".venv" / "lib").glob("python3*/site-packages")) / "yaml" / "__init__.py"

    def run(self, *arguments: str, path: str = "", launcher: Path | None = None, cwd: Path = Path("/"), **env: str) -> Ran:
        return run([launcher or self.launcher(), *arguments], {"PATH": path, **env}, cwd, stdin="a stream")


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    root = tmp_path / "a clone"
    shutil.copytree(ROOT / "plugins" / "emqx-gitops.dev", root / "plugins" / "emqx-gitops.dev")
    (root / "plugins" / "emqx_fn").mkdir()
    (root / "plugins" / "emqx_fn" / "__main__.py").write_text(FUNCTION, encoding="utf-8")
    return Launch(root)


def python_on_path(folder: Path, who: str, *, before: str = "") -> str:
    """A folder for PATH whose python3 has a PyYAML that tells the name `who`."""
    packages = folder / "packages"
    (packages / "yaml").mkdir(parents=True)
    (packages / "yaml" / "__init__.py").write_text(YAML.format(who=who), encoding="utf-8")
    # -I is taken off only to lend it a PyYAML; that it was asked for is told by a variable.
    code = f"import sys; sys.path.insert(0, {str(packages)!r})"
    program(folder / "python3", f'{before}[ "$1" = -I ] || exit 97\nshift\n{launched(code)}')
    return str(folder)


def launched(code: str) -> str:
    return f"""if [ "$1" = -c ]; then exec '{sys.executable}' -I -c "{code}; exec(sys.argv[1])" "$2"; fi
script=$1; shift
exec '{sys.executable}' -I -c "{code}; sys.argv[0:1] = []; exec(open(sys.argv[0]).read())" "$script" "$@"
"""


def test_the_clones_own_virtualenv_comes_first(launch: Launch, tmp_path: Path) -> None:
    other = python_on_path(tmp_path / "bin", "path")
    assert launch.with_venv().run("config file.yaml", path=other) == Ran(0, "venv|1|EmqxCluster|config file.yaml|a stream", "")


def test_no_other_program_is_needed_when_the_virtualenv_is_there(launch: Launch) -> None:
    assert launch.with_venv().run(path="").out == "venv|1|EmqxCluster|a stream"


def test_each_kind_has_a_launcher(launch: Launch) -> None:
    ran = launch.with_venv().run(launcher=launch.launcher("EmqxPolicy"))
    assert ran.out == "venv|1|EmqxPolicy|a stream"


def test_the_two_launchers_differ_only_in_kind_and_field() -> None:
    cluster, policy = (Launch(ROOT).launcher(kind).read_text(encoding="utf-8") for kind in ("EmqxCluster", "EmqxPolicy"))
    assert cluster.replace("EmqxCluster", "EmqxPolicy").replace("transformers", "validators") == policy


def test_it_is_found_through_a_link_to_the_group_folder(launch: Launch, tmp_path: Path) -> None:
    home = tmp_path / "plugin home"
    home.mkdir()
    (home / "emqx-gitops.dev").symlink_to(launch.root / "plugins" / "emqx-gitops.dev")
    ran = launch.with_venv().run(launcher=home / "emqx-gitops.dev" / "v1alpha1" / "emqxcluster" / "EmqxCluster", cwd=tmp_path)
    assert ran.out == "venv|1|EmqxCluster|a stream"


def test_it_is_found_through_a_link_to_the_launcher_itself(launch: Launch, tmp_path: Path) -> None:
    link = tmp_path / "EmqxCluster"
    link.symlink_to(launch.launcher())
    assert launch.with_venv().run(launcher=link, path="/usr/bin:/bin").out == "venv|1|EmqxCluster|a stream"


def test_what_a_user_sets_for_python_does_not_reach_it(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text(YAML.format(who="PYTHONPATH"), encoding="utf-8")
    ran = launch.with_venv().run(PYTHONPATH=str(tmp_path), PYTHONHOME="/nowhere", cwd=tmp_path)
    assert ran.out == "venv|1|EmqxCluster|a stream"


def test_a_virtualenv_without_pyyaml_is_passed_over(launch: Launch, tmp_path: Path) -> None:
    shutil.rmtree(launch.with_venv().yaml_of_venv.parent)
    assert launch.run("c.yaml", path=python_on_path(tmp_path / "bin", "path")).out == "path|1|EmqxCluster|c.yaml|a stream"


def test_a_virtualenv_whose_python_is_gone_is_passed_over(launch: Launch, tmp_path: Path) -> None:
    python = launch.with_venv().root / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert launch.run(path=python_on_path(tmp_path / "bin", "path")).out == "path|1|EmqxCluster|a stream"


@pytest.mark.parametrize("manager", [".pyenv/shims", ".asdf/shims", ".local/share/mise/shims", ".local/share/mise/shims/"])
def test_a_version_managers_shim_is_never_run(launch: Launch, tmp_path: Path, manager: str) -> None:
    shims = python_on_path(tmp_path / manager, "shim", before=f"echo run >> '{tmp_path}/trace'\n") + ("/" if manager.endswith("/") else "")
    real = python_on_path(tmp_path / "bin", "path")
    assert launch.run(path=f"{shims}:{real}").out == "path|1|EmqxCluster|a stream"
    assert not (tmp_path / "trace").exists()


def test_a_python_that_lies_in_the_overlay_is_never_run(launch: Launch, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay"
    python_on_path(overlay, "overlay")
    python_on_path(overlay / "bin", "overlay")
    real = python_on_path(tmp_path / "bin", "path")
    assert launch.run(path=f".:bin::{real}", cwd=overlay).out == "path|1|EmqxCluster|a stream"


def test_a_python_that_is_too_old_or_has_no_pyyaml_is_passed_over(launch: Launch, tmp_path: Path) -> None:
    program(tmp_path / "old" / "python3", "exit 1")
    real = python_on_path(tmp_path / "bin with blanks", "path")
    assert launch.run(path=f"{tmp_path / 'old'}:{real}").out == "path|1|EmqxCluster|a stream"


def test_the_age_of_python_is_asked_for(launch: Launch, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "python3", f"""echo "$3" > '{tmp_path}/asked'; exit 1""")
    launch.run(path=str(tmp_path / "bin"))
    assert (tmp_path / "asked").read_text(encoding="utf-8") == "import sys, yaml; sys.exit(sys.version_info < (3, 10))\n"


@pytest.mark.parametrize("folders", ["", "shims"])
def test_without_any_python_it_says_in_one_line_what_to_run(launch: Launch, tmp_path: Path, folders: str) -> None:
    path = python_on_path(tmp_path / folders, "shim") if folders else str(tmp_path)
    said = f"emqx-gitops: no Python 3.10 or newer with PyYAML found (shims are not used); run: make -C '{launch.root}' setup\n"
    assert launch.run(path=path, CDPATH=os.sep) == Ran(1, "", said)
