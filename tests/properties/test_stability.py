"""Same input, same bytes: twice as once, in any environment, with strangers where they were."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .builds import (
    CONFIG_TEXT,
    FAMILIES,
    FUNCTION,
    MODES,
    OVERLAYS,
    PLUGINS,
    ROOT,
    Mode,
    environment,
    function,
    injected,
    kustomization,
    kustomize,
    numbers,
    plugin_input,
    stream,
)

CASES = [pytest.param(mode, version, id=f"{mode}-{version}") for mode in MODES for version in FAMILIES if mode.known_to(version)]


@pytest.mark.parametrize(("mode", "version"), CASES)
def test_twice_is_once(mode: Mode, version: str) -> None:
    once = injected(stream(mode, version))
    assert injected(once) == once


@pytest.mark.parametrize("version", FAMILIES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_way_through_another_family_leaves_no_trace(overlay: str, version: str) -> None:
    """Rendered for one family and then for another: the same as at once."""
    mode = next(mode for mode in MODES if mode.overlay == overlay)
    direct = injected(stream(mode, version))
    for other in ("4.1.5", "4.4.19", "5.8.9", "6.3.0"):
        detour = switched(injected(stream(mode, other)), version)
        assert injected(detour) == direct


def switched(text: str, version: str) -> str:
    """The stream with another image and, where the release needs one, a licence: text, as a patch of kustomize leaves it."""
    tag = f"{'v' if numbers(version) < (4, 2) else ''}{version}"
    text = re.sub(r"image: emqx/emqx:\S+", f"image: emqx/emqx:{tag}", text)
    text = text.replace("  license:\n    type: evaluation\n", "")
    return re.sub(r"(\nspec:\n  discovery:\n(?:    .*\n)+)", r"\1  license:\n    type: evaluation\n", text) if numbers(version) >= (5, 9) else text


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_documents_keep_their_order(overlay: str) -> None:
    def names(text: str) -> list[str]:
        return re.findall(r"^(?:kind|  name): .*$", text, re.MULTILINE)

    before = names(plugin_input(overlay))
    assert names(injected(plugin_input(overlay)))[: len(before)] == before


# -- in any environment

SURROUNDINGS = {
    "hash-0": {"PYTHONHASHSEED": "0"},
    "hash-1": {"PYTHONHASHSEED": "1"},
    "hash-random": {"PYTHONHASHSEED": "random"},
    "locale-c": {"LC_ALL": "C", "LANG": "C"},
    "locale-turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "no-utf8": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "latin-1"},
    "far-east": {"TZ": "Asia/Tokyo"},
    "far-west": {"TZ": "Pacific/Honolulu"},
    "elsewhere": {"HOME": "/nonexistent", "XDG_CONFIG_HOME": "/nonexistent", "USER": "nobody"},
    "emqx-variables": {"EMQX_NAME": "other", "EMQX_CLUSTER__DISCOVERY_STRATEGY": "manual"},
    "kustomize-variables": {"KUSTOMIZE_PLUGIN_CONFIG_ROOT": "/nonexistent", "KUSTOMIZE_PLUGIN_CONFIG_STRING": "{}"},
}


@pytest.fixture(scope="module")
def unicode_stream() -> str:
    """A stream with text that a wrong encoding would spoil."""
    return plugin_input("persistent") + '---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: "größe"\ndata:\n  text: "Grüße, 世界 🐝 Ω"\n'


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(CONFIG_TEXT)
    return str(path)


# Without -I the interpreter reads PYTHON* variables: only so can they show that nothing hangs on them.
@pytest.mark.parametrize("python", [("-I",), ()], ids=["isolated", "not-isolated"])
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_the_environment_changes_nothing(name: str, python: tuple[str, ...], unicode_stream: str, config_file: str) -> None:
    done = function(["EmqxCluster", config_file], unicode_stream.encode(), python=python, **SURROUNDINGS[name])
    assert done.stderr == b""
    assert done.stdout.decode() == injected(unicode_stream)


@pytest.mark.parametrize("folder", ["/", str(ROOT), "/tmp"])
def test_the_current_folder_changes_nothing(folder: str, unicode_stream: str, config_file: str) -> None:
    done = function(["EmqxCluster", config_file], unicode_stream.encode(), cwd=folder)
    assert done.stdout.decode() == injected(unicode_stream)


def test_files_in_the_current_folder_are_not_imported(tmp_path: Path, unicode_stream: str, config_file: str) -> None:
    for module in ("yaml", "json", "emqx_fn", "re"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit(7)\n")
    done = function(["EmqxCluster", config_file], unicode_stream.encode(), cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0


def test_the_source_asks_for_no_clock_no_chance_and_no_environment() -> None:
    wanted = re.compile(r"\b(environ|getenv|import random|random\.|uuid|datetime|gethostname|getuser|expanduser|getcwd)\b|\bimport time\b|\btime\.time\b")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(FUNCTION.parent.glob("*.py"))
        for line in path.read_text().splitlines()
        if wanted.search(line.partition("#")[0])
    ]
    assert found == []


def test_a_second_layer_with_the_plugin_changes_nothing(tmp_path: Path) -> None:
    overlay = ROOT / "overlays" / "persistent"
    once = kustomize(overlay)
    assert kustomize(kustomization(tmp_path / "one", resources=[overlay], transformers=[PLUGINS / "inject"])) == once
    assert kustomize(kustomization(tmp_path / "two", resources=[tmp_path / "one"], transformers=[PLUGINS / "inject"])) == once


def test_the_environment_of_these_tests_is_clean() -> None:
    assert not [name for name in environment() if name.startswith(("EMQX_", "PYTHON"))]
