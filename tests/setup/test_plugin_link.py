"""The links: made where kustomize looks, told, made once, taken back, and nothing of somebody else's touched."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from emqx_gitops import plugin_link
from emqx_gitops.installation import kustomize_home

from .machine import ROOT, SYSTEM_PATH, program, run

PLUGIN = ROOT / "plugins" / "emqx-gitops.dev"
KUSTOMIZE = ROOT / ".tools" / "bin" / "kustomize"
PROGRAM = ROOT / ".venv" / "bin" / "emqx-gitops"


@dataclass(frozen=True)
class Person:
    """Somebody's home, and what their shell has set."""

    home: Path
    env: dict[str, str]

    @property
    def link(self) -> Path:
        return self.home / ".config" / "kustomize" / "plugin" / "emqx-gitops.dev"

    @property
    def bin(self) -> Path:
        return self.home / ".local" / "bin"

    def install(self, *, link_bin: bool = False, force: bool = False, **env: str) -> list[str]:
        return plugin_link.install(link_bin=link_bin, force=force, env={**self.env, **env})

    def refused(self, *, link_bin: bool = False, force: bool = False, **env: str) -> str:
        with pytest.raises(plugin_link.LinkError) as refusal:
            self.install(link_bin=link_bin, force=force, **env)
        return str(refusal.value)

    def uninstall(self, **env: str) -> list[str]:
        return plugin_link.uninstall({**self.env, **env})


@pytest.fixture
def person(tmp_path: Path) -> Person:
    home = tmp_path / "home"
    (home / ".local" / "bin").mkdir(parents=True)
    return Person(home, {"HOME": str(home), "PATH": f"{home}/.local/bin:{home}/bin"})


def tree(folder: Path) -> list[str]:
    """Everything in a folder, links with where they lead."""
    paths = sorted(folder.rglob("*"))
    return [f"{path.relative_to(folder)} -> {os.readlink(path)}" if path.is_symlink() else str(path.relative_to(folder)) for path in paths]


# --- made, told, made once, taken back --------------------------------------------------------------------------------


def test_the_links_are_made_and_told(person: Person) -> None:
    assert person.install(link_bin=True) == [
        f"linked {person.link} -> {PLUGIN}",
        f"linked {person.bin}/kustomize -> {KUSTOMIZE}",
        f"linked {person.bin}/emqx-gitops -> {PROGRAM}",
    ]
    assert os.readlink(person.link) == str(PLUGIN)
    assert run([person.bin / "kustomize", "version"], person.env).out == "v5.8.2\n"


def test_a_second_time_there_is_nothing_to_do(person: Person) -> None:
    person.install(link_bin=True)
    before = tree(person.home)
    assert person.install(link_bin=True) == []
    assert tree(person.home) == before


def test_programs_are_linked_only_when_asked_for(person: Person) -> None:
    person.install(link_bin=False)
    assert tree(person.bin) == []


def test_uninstall_takes_back_what_install_made(person: Person) -> None:
    person.install(link_bin=True)
    removed = [f"removed {person.link}", f"removed {person.bin}/kustomize", f"removed {person.bin}/emqx-gitops"]
    assert person.uninstall() == removed
    assert [entry for entry in tree(person.home) if "->" in entry] == []
    assert person.uninstall() == []


def test_the_missions_command_works_by_the_link_alone(person: Person) -> None:
    person.install(link_bin=True)
    ran = run([person.bin / "kustomize", "build", "--enable-alpha-plugins", ROOT / "overlays" / "persistent"], person.env, cwd=person.home)
    assert (ran.code, ran.err) == (0, "")
    assert "emqx-gitops.dev/rendered-by" in ran.out


# --- where kustomize looks --------------------------------------------------------------------------------------------

HOMES = {"KUSTOMIZE_PLUGIN_HOME": "named", "XDG_CONFIG_HOME": "xdg/kustomize/plugin", "": ".config/kustomize/plugin", "~": "kustomize/plugin"}


@pytest.mark.parametrize("there", [subset for size in range(5) for subset in itertools.combinations(HOMES.values(), size)], ids="+".join)
def test_we_look_where_kustomize_looks(person: Person, there: tuple[str, ...]) -> None:
    """The pinned kustomize itself is asked: each folder holds a plugin that tells where it lies."""
    for folder in there:
        name = person.home / folder / "example.org" / "v1" / "teller" / "Teller"
        program(name, f"echo '{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {folder.replace('/', '-').strip('.')}}}}}'")
    layer = person.home / "layer"
    layer.mkdir()
    (layer / "kustomization.yaml").write_text("generators: [teller.yaml]\n", encoding="utf-8")
    (layer / "teller.yaml").write_text("{apiVersion: example.org/v1, kind: Teller, metadata: {name: x}}\n", encoding="utf-8")
    env = {**person.env, "PATH": SYSTEM_PATH, "KUSTOMIZE_PLUGIN_HOME": str(person.home / "named"), "XDG_CONFIG_HOME": str(person.home / "xdg")}
    ran = run([KUSTOMIZE, "build", "--enable-alpha-plugins", layer], env)
    ours = kustomize_home(env)
    if ours is None:
        assert "unable to find plugin root" in ran.err
    else:
        assert ran.out.split("name: ")[1].strip() == str(ours.relative_to(person.home)).replace("/", "-").strip(".")


def test_xdg_config_home_is_respected(person: Person) -> None:
    assert person.install(XDG_CONFIG_HOME=f"{person.home}/xdg") == [f"linked {person.home}/xdg/kustomize/plugin/emqx-gitops.dev -> {PLUGIN}"]


def test_plugins_in_a_later_folder_are_not_hidden_by_a_new_earlier_one(person: Person) -> None:
    later = person.home / "kustomize" / "plugin"
    later.mkdir(parents=True)
    assert person.install(XDG_CONFIG_HOME=f"{person.home}/xdg") == [f"linked {later}/emqx-gitops.dev -> {PLUGIN}"]
    assert not (person.home / "xdg").exists()


# --- what is somebody else's ------------------------------------------------------------------------------------------


def other_clone(person: Person) -> Path:
    """A link that leads to another clone."""
    other = person.home / "other" / "plugins" / "emqx-gitops.dev"
    other.mkdir(parents=True)
    person.link.parent.mkdir(parents=True)
    person.link.symlink_to(other)
    return other


def test_a_link_to_another_clone_is_left_and_told(person: Person) -> None:
    other = other_clone(person)
    assert person.refused() == (
        f"{person.link}: expected a link to this clone, {ROOT}; it leads to {other}\n  fix: keep that one, or make it lead here: make link FORCE=1"
    )
    assert os.readlink(person.link) == str(other)


def test_a_link_to_another_clone_is_taken_over_when_asked_for(person: Person) -> None:
    other = other_clone(person)
    assert person.install(force=True) == [f"linked {person.link} -> {PLUGIN} (before: {other})"]
    assert os.readlink(person.link) == str(PLUGIN)


def test_a_link_to_a_clone_that_is_gone_is_replaced_and_told(person: Person) -> None:
    other = other_clone(person)
    other.rmdir()
    assert person.install() == [f"linked {person.link} -> {PLUGIN} (before: {other}, which is gone)"]


def test_what_is_no_link_is_never_replaced(person: Person) -> None:
    person.link.mkdir(parents=True)
    said = f"{person.link}: expected a link to {PLUGIN}; it is not a link, and not from this clone, {ROOT}\n  fix: move it away, then run: make link FORCE=1"
    assert person.refused() == said
    assert person.refused(force=True) == said


def test_one_conflict_does_not_keep_the_other_links_from_being_made(person: Person) -> None:
    other_clone(person)
    with pytest.raises(plugin_link.LinkError) as refusal:
        person.install(link_bin=True)
    assert refusal.value.done == (f"linked {person.bin}/kustomize -> {KUSTOMIZE}", f"linked {person.bin}/emqx-gitops -> {PROGRAM}")


def test_uninstall_leaves_what_leads_elsewhere(person: Person) -> None:
    other = other_clone(person)
    (person.bin / "kustomize").symlink_to("/opt/kustomize")
    (person.bin / "emqx-gitops").write_text("somebody's own", encoding="utf-8")
    before = tree(person.home)
    assert person.uninstall() == [
        f"left {person.link}: it leads to {other}, not to this clone, {ROOT}",
        f"left {person.bin}/kustomize: it leads to /opt/kustomize, not to this clone, {ROOT}",
    ]
    assert tree(person.home) == before


def test_a_folder_that_cannot_be_made_is_told(person: Person) -> None:
    (person.home / ".config").write_text("", encoding="utf-8")
    place = person.home / ".config" / "kustomize" / "plugin"
    assert person.refused() == f"{place}: expected to be able to write there; Not a directory\n  fix: make it writable, or do without the links"


def test_without_a_home_nobody_can_tell_where_to_link(person: Person) -> None:
    assert person.refused(HOME="") == "HOME is not set: expected your home folder, kustomize looks for plugins there\n  fix: set HOME"


# --- KUSTOMIZE_PLUGIN_HOME --------------------------------------------------------------------------------------------


def test_a_plugin_home_of_somebody_elses_is_left_and_told(person: Person) -> None:
    named = person.home / "named"
    named.mkdir()
    assert person.refused(KUSTOMIZE_PLUGIN_HOME=str(named)) == (
        f"KUSTOMIZE_PLUGIN_HOME is set to {named}, so kustomize looks nowhere else, and emqx-gitops.dev of this clone, {ROOT} is not in it"
        f" (`kustomize build` says: expected file with Go object code)\n"
        f"  fix: unset KUSTOMIZE_PLUGIN_HOME, or link the plugin there too: make link FORCE=1"
    )
    assert tree(named) == []
    assert person.link.is_symlink()  # for the shells in which it is not set


def test_kustomize_says_what_the_refusal_quotes(person: Person) -> None:
    named = person.home / "named"
    named.mkdir()
    ran = run([KUSTOMIZE, "build", "--enable-alpha-plugins", ROOT / "overlays" / "persistent"], {**person.env, "KUSTOMIZE_PLUGIN_HOME": str(named)})
    assert ran.code == 1
    assert "expected file with Go object code" in ran.err


def test_the_plugin_is_linked_there_when_asked_for(person: Person) -> None:
    named = person.home / "named"
    named.mkdir()
    person.install()
    assert person.install(force=True, KUSTOMIZE_PLUGIN_HOME=str(named)) == [f"linked {named}/emqx-gitops.dev -> {PLUGIN}"]
    assert person.install(KUSTOMIZE_PLUGIN_HOME=str(named)) == []
    assert person.uninstall(KUSTOMIZE_PLUGIN_HOME=str(named)) == [f"removed {named}/emqx-gitops.dev", f"removed {person.link}"]


def test_a_plugin_home_that_is_this_clones_own_is_fine(person: Person) -> None:
    person.install()
    assert person.install(KUSTOMIZE_PLUGIN_HOME=str(PLUGIN.parent)) == []


def test_uninstall_never_removes_the_plugin_itself(person: Person) -> None:
    assert person.uninstall(KUSTOMIZE_PLUGIN_HOME=str(PLUGIN.parent)) == []
    assert PLUGIN.is_dir()


def test_a_plugin_home_that_does_not_exist_is_told_as_harmless(person: Person) -> None:
    person.install()
    said = "KUSTOMIZE_PLUGIN_HOME is set to /nowhere, which does not exist: kustomize uses its own plugin folder until it does"
    assert person.install(KUSTOMIZE_PLUGIN_HOME="/nowhere") == [said]


def test_a_relative_plugin_home_is_refused(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    said = "KUSTOMIZE_PLUGIN_HOME is set to plugins: expected an absolute path, kustomize runs plugins from another folder\n  fix: unset KUSTOMIZE_PLUGIN_HOME"
    assert person.refused(force=True, KUSTOMIZE_PLUGIN_HOME="plugins") == said


# --- programs ---------------------------------------------------------------------------------------------------------


def test_a_kustomize_on_path_is_left_and_told(person: Person) -> None:
    own = program(person.home / "bin" / "kustomize", "echo v5.6.0")
    person.install()
    assert person.install(link_bin=True) == [
        f"your shell's kustomize is {own}, version 5.6.0: left as it is; this installation's own is {KUSTOMIZE}",
        f"linked {person.bin}/emqx-gitops -> {PROGRAM}",
    ]


def test_a_kustomize_on_path_that_is_too_old_is_told(person: Person) -> None:
    own = program(person.home / "bin" / "kustomize", "echo v5.3.0")
    person.install()
    assert person.install(link_bin=True)[0] == (
        f"your shell's kustomize is {own}, version 5.3.0: too old, 5.4 or newer is needed\n  fix: upgrade it, or run {KUSTOMIZE} instead"
    )


def test_another_installations_program_is_left_and_told(person: Person) -> None:
    other = program(person.bin / "emqx-gitops", "exit 0")
    person.install()
    assert person.install(link_bin=True)[1] == f"your shell's emqx-gitops is {other}: left as it is; this installation's own is {PROGRAM}"


def test_an_activated_virtualenv_is_no_reason_to_link_nothing(person: Person) -> None:
    person.install()
    path = f"{ROOT}/.venv/bin:{ROOT}/.tools/bin:{person.env['PATH']}"
    assert f"linked {person.bin}/emqx-gitops -> {PROGRAM}" in person.install(link_bin=True, PATH=path)


def test_a_bin_folder_that_is_not_on_path_is_told_with_the_line_to_add(person: Person) -> None:
    said = f'{person.bin} is not on PATH: add this line to the start file of your shell\n  export PATH="$HOME/.local/bin:$PATH"'
    assert person.install(link_bin=True, PATH="/nowhere")[-1] == said
    assert person.install(link_bin=True, PATH="/nowhere") == [said]
