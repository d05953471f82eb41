"""The doctor: each thing that can be wrong is found, with the way to mend it, and what is right is said to be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from emqx_gitops import plugin_link
from emqx_gitops.doctor import Finding, findings, launchers

from .conftest import Clone
from .machine import ROOT, program, run

PLUGIN = ROOT / "plugins" / "emqx-gitops.dev"
PINNED = ROOT / ".tools" / "bin" / "kustomize"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A person for whom everything is in order."""
    home = tmp_path / "home"
    env = {"HOME": str(home), "PATH": f"{home}/.local/bin"}
    plugin_link.install(link_bin=True, env=env)
    return env


def found(title: str, env: dict[str, str]) -> list[Finding]:
    return [finding for finding in findings(env) if finding.title == title]


def home(env: dict[str, str]) -> Path:
    return Path(env["HOME"])


def link(env: dict[str, str]) -> Path:
    return home(env) / ".config" / "kustomize" / "plugin" / "emqx-gitops.dev"


def test_nothing_is_wrong_where_nothing_is(env: dict[str, str]) -> None:
    titles = ["emqx-gitops", "Python", "PyYAML", "set-up", "kustomize", "kubeconform", "plugin"]
    titles += ["emqx-gitops of your shell", "kustomize of your shell", "sync"]
    assert [(finding.title, finding.level, finding.fix) for finding in findings(env)] == [(title, "ok", "") for title in titles]


def test_versions_and_places_are_told(env: dict[str, str]) -> None:
    assert found("kustomize", env) == [Finding("ok", "kustomize", f"5.8.2, {PINNED}")]
    assert found("kubeconform", env) == [Finding("ok", "kubeconform", f"0.8.0, {ROOT}/.tools/bin/kubeconform")]
    assert found("emqx-gitops", env) == [Finding("ok", "emqx-gitops", f"0.1.0, this clone, {ROOT}")]


def test_without_the_link_the_plugin_is_not_found(env: dict[str, str]) -> None:
    link(env).unlink()
    folder = link(env).parent
    detail = f"kustomize looks only into {folder}, and emqx-gitops.dev is not in it: `kustomize build` says: expected file with Go object code"
    assert found("plugin", env) == [Finding("warning", "plugin", detail, "make link")]


def test_without_any_plugin_folder_the_plugin_is_not_found(env: dict[str, str]) -> None:
    link(env).unlink()
    link(env).parent.rmdir()
    detail = "kustomize has no plugin folder, so a plain `kustomize build` finds no plugin"
    assert found("plugin", env) == [Finding("warning", "plugin", detail, "make link")]


def test_a_link_to_another_clone_is_named(env: dict[str, str], tmp_path: Path) -> None:
    link(env).unlink()
    link(env).symlink_to(tmp_path)
    detail = f"a plain `kustomize build` runs {tmp_path}, not the plugin of this clone, {ROOT}"
    assert found("plugin", env) == [Finding("warning", "plugin", detail, "make link FORCE=1")]


def test_a_plugin_home_of_somebody_elses_is_named(env: dict[str, str], tmp_path: Path) -> None:
    detail = (
        f"kustomize looks only into {tmp_path} (KUSTOMIZE_PLUGIN_HOME says so), and emqx-gitops.dev is not in it:"
        " `kustomize build` says: expected file with Go object code"
    )
    fix = "unset KUSTOMIZE_PLUGIN_HOME, or: make link FORCE=1"
    assert found("plugin", {**env, "KUSTOMIZE_PLUGIN_HOME": str(tmp_path)}) == [Finding("warning", "plugin", detail, fix)]


def test_a_launcher_that_lost_its_mode_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "emqx-gitops.dev"
    shutil.copytree(PLUGIN, copy)
    launcher = copy / "v1alpha1" / "emqxpolicy" / "EmqxPolicy"
    launcher.chmod(0o644)
    assert list(launchers(copy)) == [Finding("error", "plugin", f"{launcher} is not executable", f"chmod +x {launcher}")]


def test_programs_that_the_shell_does_not_find_are_named(env: dict[str, str]) -> None:
    fix = 'make link, and in the start file of your shell: export PATH="$HOME/.local/bin:$PATH"'
    titles = ("emqx-gitops of your shell", "kustomize of your shell")
    bare = {**env, "PATH": "/nowhere"}
    assert [finding for title in titles for finding in found(title, bare)] == [Finding("warning", title, "there is none on PATH", fix) for title in titles]


def test_another_kustomize_in_the_shell_is_told(env: dict[str, str], tmp_path: Path) -> None:
    own = program(tmp_path / "bin" / "kustomize", "echo v5.6.0")
    title = "kustomize of your shell"
    shell = {**env, "PATH": f"{own.parent}:{env['PATH']}"}
    assert found(title, shell) == [Finding("ok", title, f"{own}, 5.6.0: another than this installation's")]


def test_an_old_kustomize_in_the_shell_is_named(env: dict[str, str], tmp_path: Path) -> None:
    own = program(tmp_path / "bin" / "kustomize", "echo v5.3.0")
    title = "kustomize of your shell"
    shell = {**env, "PATH": f"{own.parent}:{env['PATH']}"}
    assert found(title, shell) == [Finding("warning", title, f"{own}: 5.3.0 is too old, 5.4 or newer is needed", f"upgrade it, or run {PINNED}")]


def test_another_installation_in_the_shell_is_named(env: dict[str, str], tmp_path: Path) -> None:
    other = program(tmp_path / "bin" / "emqx-gitops", "exit 0")
    title, own = "emqx-gitops of your shell", ROOT / ".venv" / "bin" / "emqx-gitops"
    shell = {**env, "PATH": f"{other.parent}:{env['PATH']}"}
    assert found(title, shell) == [Finding("warning", title, f"{other}: another installation's", f"run {own}, or remove the other")]


@pytest.mark.parametrize(
    ("says", "finding"),
    [
        ("echo v5.6.0", ("ok", "5.6.0, {asked}", "")),
        ("echo v5.3.0", ("error", "{asked}: 5.3.0 is too old", "install 5.4 or newer, or use the pinned one")),
        ("echo devel", ("warning", "{asked}: tells no version; 5.4 or newer is needed", "compare with the pinned one: leave KUSTOMIZE out")),
    ],
)
def test_a_kustomize_that_is_asked_for_is_looked_at(env: dict[str, str], tmp_path: Path, says: str, finding: tuple[str, str, str]) -> None:
    asked = program(tmp_path / "asked", says)
    level, detail, fix = finding
    assert found("kustomize", {**env, "KUSTOMIZE": str(asked)}) == [(level, "kustomize", detail.format(asked=asked), fix)]


@pytest.mark.parametrize(
    ("says", "finding"),
    [
        ('{"kustomizeVersion": "v5.5.0"}', ("ok", "{kubectl}, with kustomize 5.5.0", "")),
        (
            '{"kustomizeVersion": "v5.0.4"}',
            ("warning", "{kubectl}: its kustomize 5.0.4 is too old for `kubectl kustomize --enable-alpha-plugins`", "use kustomize, or kubectl 1.31 or newer"),
        ),
        ("no JSON", ("ok", "{kubectl}", "")),
    ],
)
def test_the_kustomize_in_kubectl_is_looked_at(env: dict[str, str], tmp_path: Path, says: str, finding: tuple[str, str, str]) -> None:
    kubectl = program(tmp_path / "bin" / "kubectl", f"echo '{says}'")
    level, detail, fix = finding
    assert found("kubectl", {**env, "PATH": f"{env['PATH']}:{kubectl.parent}"}) == [(level, "kubectl", detail.format(kubectl=kubectl), fix)]


def test_a_set_up_that_is_out_of_date_is_named(clone: Clone) -> None:
    stamp = clone.root / ".tools" / "kubeconform.stamp"
    old = stamp.read_text(encoding="utf-8")
    stamp.write_text("another", encoding="utf-8")
    try:
        said = run([clone.root / ".venv" / "bin" / "emqx-gitops", "doctor"], clone.env, clone.root)
    finally:
        stamp.write_text(old, encoding="utf-8")
    assert "missing, or out of date with the locks of this clone: kubeconform v0.8.0, built with Go\n" in said.out


def test_a_pyyaml_without_its_c_library_is_named(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    fix = "install PyYAML from its wheel: pip install --force-reinstall --only-binary=:all: PyYAML"
    detail = f"{yaml.__version__} without libyaml: reading a rendering takes some ten times as long"
    assert found("PyYAML", env) == [Finding("warning", "PyYAML", detail, fix)]


def test_without_a_home_the_rest_is_not_guessed(env: dict[str, str]) -> None:
    said = findings({**env, "HOME": ""})
    assert said[-1] == Finding("error", "home", "HOME is not set: expected your home folder, kustomize looks for plugins there", "set HOME")
