"""Without a clone: the wheel, in environments that have nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from .machine import ROOT, SYSTEM_PATH, Ran, caches, copy_clone, passed_on, run

KUSTOMIZE = ROOT / ".tools" / "bin" / "kustomize"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders behind."""
    source, folder = copy_clone(tmp_path_factory.mktemp("wheel") / "source"), tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-I", "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    built = run(command, {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    assert built.code == 0, built.err
    return next(folder.glob("*.whl"))


@dataclass(frozen=True)
class Environment:
    """A virtualenv with the wheel in it, and the home of who uses it."""

    root: Path
    home: Path

    @property
    def generated(self) -> Path:
        return next((self.home / ".local" / "share" / "emqx-gitops" / "plugin").glob(f"{self.root.name}-*"))

    @property
    def link(self) -> Path:
        return self.home / ".config" / "kustomize" / "plugin" / "emqx-gitops.dev"

    def env(self, **more: str) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": SYSTEM_PATH, **more}

    def cli(self, *arguments: str, **env: str) -> Ran:
        return run([self.root / "bin" / "emqx-gitops", *arguments], self.env(**env), self.home)


def environment(root: Path, home: Path, wheel: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", root], check=True)
    env = {**passed_on(), "HOME": str(home), "PATH": SYSTEM_PATH, "PIP_CACHE_DIR": caches()["PIP_CACHE_DIR"]}
    pip = [root / "bin" / "python", "-I", "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps"]
    # The versions of the lock, so that a release of somebody else's does not fail a test of ours.
    for what in (["--require-hashes", "-r", ROOT / "requirements.lock"], [wheel]):
        installed = run([*pip, *what], env)
        assert installed.code == 0, installed.err
    return Environment(root, home)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    return environment(tmp_path_factory.mktemp("envs") / "an env", tmp_path_factory.mktemp("home"), wheel)


@pytest.fixture
def linked(installed: Environment) -> Environment:
    """With the link made, as it is for each test."""
    ran = installed.cli("plugin", "install", "--force")
    assert ran.code == 0, ran.err
    return installed


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"emqx_fn", "emqx_gitops", "emqx_gitops-0.1.0.dist-info"}
    assert {"emqx_fn/py.typed", "emqx_gitops/py.typed", "emqx_fn/__main__.py"} <= set(names)
    assert [name for name in names if not re.search(r"\.py$|py\.typed$|^emqx_fn/keys/[\w.]+\.txt$|^emqx_gitops/pages/[\w-]+\.md$|\.dist-info/", name)] == []


def test_all_tables_of_keys_are_in_the_wheel(wheel: Path) -> None:
    tables = {f"emqx_fn/keys/{path.name}" for path in (ROOT / "plugins" / "emqx_fn" / "keys").iterdir()}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.startswith("emqx_fn/keys/")} == tables


def test_all_modules_of_the_sources_are_in_the_wheel(wheel: Path) -> None:
    sources = {str(path.relative_to(ROOT / folder)) for folder in ("plugins", "tools") for path in (ROOT / folder).glob("emqx_*/**/*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == sources


def test_a_rule_is_explained_without_a_clone(installed: Environment) -> None:
    ran = installed.cli("explain", "stale")
    assert (ran.code, ran.out, ran.err) == (0, (ROOT / "docs" / "rules" / "stale.md").read_text(encoding="utf-8"), "")


def test_all_pages_of_rules_are_in_the_wheel(wheel: Path) -> None:
    pages = {f"emqx_gitops/pages/{path.name}" for path in (ROOT / "docs" / "rules").iterdir()}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.startswith("emqx_gitops/pages/")} == pages


def test_what_the_wheel_needs_is_installed_with_it(installed: Environment) -> None:
    checked = run([installed.root / "bin" / "python", "-I", "-m", "pip", "check"], installed.env())
    assert (checked.code, checked.out) == (0, "No broken requirements found.\n")


def test_the_command_line_runs(installed: Environment) -> None:
    ran = installed.cli("version")
    assert (ran.code, ran.err) == (0, "")
    assert "0.1.0" in ran.out


def test_plugin_install_writes_launchers_and_links_them(installed: Environment) -> None:
    installed.cli("plugin", "uninstall")
    ran = installed.cli("plugin", "install")
    assert ran.code == 0
    assert f"linked {installed.link} -> {installed.generated}/emqx-gitops.dev" in ran.out + ran.err
    assert sorted(path.name for path in installed.link.rglob("*") if path.is_file()) == ["EmqxCluster", "EmqxPolicy"]


def test_kustomize_runs_the_environments_plugin_by_the_link_alone(linked: Environment) -> None:
    """The overlays come from a clone, as they would by Git URL; the plugin does not."""
    build = [KUSTOMIZE, "build", "--enable-alpha-plugins", ROOT / "overlays" / "persistent"]
    ran = run(build, linked.env(), linked.home)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == run(build, linked.env(KUSTOMIZE_PLUGIN_HOME=str(ROOT / "plugins"))).out


def test_the_plugin_is_isolated_from_what_a_user_sets_for_python(linked: Environment, tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise SystemExit('the wrong yaml')", encoding="utf-8")
    env = linked.env(PYTHONPATH=str(tmp_path), PYTHONHOME="/nowhere")
    ran = run([KUSTOMIZE, "build", "--enable-alpha-plugins", ROOT / "overlays" / "persistent"], env, tmp_path)
    assert (ran.code, ran.err) == (0, "")


def test_render_runs_the_environments_plugin_without_any_link(installed: Environment, tmp_path: Path) -> None:
    installed.cli("plugin", "uninstall")
    ran = installed.cli("render", str(ROOT / "overlays" / "persistent"), KUSTOMIZE=str(KUSTOMIZE))
    assert (ran.code, ran.err) == (0, "")
    assert "emqx-gitops.dev/rendered-by" in ran.out


def test_two_environments_do_not_take_the_link_from_each_other(linked: Environment, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True)
    packages, borrowed = (next((root / "lib").glob("python3*/site-packages")) for root in (other, linked.root))
    (packages / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    command = [other / "bin" / "python", "-I", "-m", "emqx_gitops", "plugin"]
    ran = run([*command, "install"], linked.env())
    assert ran == Ran(
        1,
        "",
        f"emqx-gitops: {linked.link}: expected a link to this environment, {other}; it leads to {linked.generated}/emqx-gitops.dev\n"
        "  fix: keep that one, or make it lead here: emqx-gitops plugin install --force\n",
    )
    assert run([*command, "uninstall"], linked.env()).code == 0
    assert linked.link.resolve() == linked.generated / "emqx-gitops.dev"


def test_an_environment_that_is_gone_is_told_in_one_line(linked: Environment) -> None:
    python, aside = linked.root / "bin" / "python", linked.root / "bin" / "aside"
    launcher = linked.link / "v1alpha1" / "emqxcluster" / "EmqxCluster"
    python.rename(aside)
    try:
        ran = run([launcher, "config.yaml"], linked.env())
    finally:
        aside.rename(python)
    assert ran == Ran(1, "", f"emqx-gitops: {python} is gone; run in the new environment: emqx-gitops plugin install --force\n")


def test_uninstall_takes_link_and_launchers_back(linked: Environment) -> None:
    generated = linked.generated
    ran = linked.cli("plugin", "uninstall")
    assert ran.code == 0
    assert not linked.link.is_symlink()
    assert not generated.exists()


def test_data_and_configuration_folders_of_their_own_are_respected(installed: Environment, tmp_path: Path) -> None:
    env = {"XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    installed.cli("plugin", "uninstall")
    empty_home = tmp_path / "home"
    empty_home.mkdir()
    ran = installed.cli("plugin", "install", **env, HOME=str(empty_home))
    assert ran.code == 0
    assert (tmp_path / "config" / "kustomize" / "plugin" / "emqx-gitops.dev").resolve().is_relative_to(tmp_path / "data")
