"""Documents of other people pass byte for byte, and those that are changed keep the meaning of every scalar."""

from __future__ import annotations

import difflib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .builds import CONFIG_TEXT, PLUGINS, ROOT, documents, injected, kustomization, kustomize, main_in_process, plugin_input
from .yamls import DOCUMENTS, ODD_SCALARS, PLAIN

OVERLAY = "statefulset-hostname"


def own() -> list[str]:
    return plugin_input(OVERLAY).split("---\n")


@settings(max_examples=120)
@given(st.lists(DOCUMENTS, min_size=1, max_size=4))
def test_strangers_pass_byte_for_byte(foreign: list[str]) -> None:
    head = "---\n".join(foreign)
    result = injected(f"{head}---\n{plugin_input(OVERLAY)}")
    assert result.startswith(f"{head}---\n")


@settings(max_examples=60)
@given(st.lists(DOCUMENTS, min_size=1, max_size=3), st.integers(0, 8))
def test_strangers_keep_their_place(foreign: list[str], place: int) -> None:
    pieces = own()
    mixed = [*pieces[:place], *foreign, *pieces[place:]]
    result = re.split(r"^---\n", injected("---\n".join(mixed)), flags=re.MULTILINE)
    assert kinds(result[: len(mixed)]) == kinds(mixed)
    assert "---\n".join(foreign) in "---\n".join(result)


def kinds(pieces: list[str]) -> list[str]:
    """The `kind` line of each piece."""
    return [next((line for line in piece.split("\n") if line.startswith("kind:")), "") for piece in pieces]


@pytest.mark.parametrize("scalar", ODD_SCALARS)
def test_an_odd_scalar_of_a_stranger(scalar: str) -> None:
    foreign = f"apiVersion: v1\nkind: Stranger\nmetadata:\n  name: x\nvalue: {scalar}\nlist:\n- {scalar}\n"
    assert injected(f"{foreign}---\n{plugin_input(OVERLAY)}").startswith(foreign)


HARD = {
    "blank-lines-that-a-block-keeps": "kind: Stranger\na: |+\n  x\n\n\n",
    "separator-in-a-block": "kind: Stranger\na: |\n  ---\n  kind: Deployment\n  ---\n",
    "separator-in-quotes": 'kind: Stranger\na: "x\n  --- y"\n',
    "anchors": "kind: Stranger\na: &x {b: 1}\nc: *x\nd:\n  <<: *x\n",
    "json": '{"kind": "Stranger", "a": [1, 2]}\n',
    "indented": "  kind: Stranger\n  a: 1\n",
    "key-in-quotes": '"kind": "Stranger"\n',
    "tabs": "kind: Stranger\na:\t1\n",
    "long-line": f"kind: Stranger\na: {'word ' * 5000}\n",
    "same-anchor-twice": "kind: Stranger\na: &x 1\nb: &x 2\nc: *x\n",
    "duplicate-keys": "kind: Stranger\na: 1\na: 2\n",
    "key-that-is-no-text": "kind: Stranger\n? [a, b]\n: 1\n",
}


@pytest.mark.parametrize("name", HARD)
def test_a_hard_layout_passes(name: str) -> None:
    assert injected(f"{HARD[name]}---\n{plugin_input(OVERLAY)}").startswith(f"{HARD[name]}---\n")


def test_lines_of_windows_become_plain_lines(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_bytes(CONFIG_TEXT.replace("\n", "\r\n").encode())
    text = plugin_input(OVERLAY)
    code, output, problems = main_in_process(["EmqxCluster", str(config)], b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert (code, problems) == (0, "")
    assert output.decode() == injected(text)


def test_a_leading_separator_and_a_lone_comment_are_no_documents() -> None:
    text = plugin_input(OVERLAY)
    assert injected("---\n" + text) == injected(text)
    assert injected("# only a comment\n---\n" + text) == injected(text)


# -- documents that are changed: the emitter of kustomize decides what a scalar means

# kustomize itself fails on infinity and not-a-number, with and without the plugin.
_MEANING = [scalar for scalar in PLAIN if not scalar.startswith("!") and scalar.lower().lstrip("-") not in (".inf", ".nan")]
_TEXTS = [">-", "|", "- x", "a: b", "#c", " lead", "trail ", "two\nlines\n", "\ttab", "größe 🐝", "x" * 300, *ODD_SCALARS]


def odd_workload() -> str:
    """The base's StatefulSet with fields of odd scalars, as a user's own YAML may have them."""
    fields = "".join(f"    field-{index}: {value}\n" for index, value in enumerate(_MEANING))
    return f"{(ROOT / 'base' / 'statefulset' / 'statefulset.yaml').read_text()}  odd:\n{fields}"


def odd_patch() -> str:
    """A patch with odd texts in annotations and arguments."""
    notes = "".join(f"        note-{index}: {json.dumps(value, ensure_ascii=False)}\n" for index, value in enumerate(_TEXTS))
    arguments = "".join(f"        - {json.dumps(value, ensure_ascii=False)}\n" for value in _TEXTS)
    return (
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: emqx\nspec:\n  template:\n    metadata:\n      annotations:\n"
        f"{notes}    spec:\n      containers:\n      - name: emqx\n        args:\n{arguments}"
    )


def odd_build(folder: Path, *, plugin: bool) -> list[str]:
    """The overlay's own lines with odd scalars, with or without the plugin, as kustomize spells them: a change of type shows in the quotes."""
    folder.mkdir()
    for file in (ROOT / "overlays" / OVERLAY).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "odd.yaml").write_text(odd_workload())
    (folder / "odd-patch.yaml").write_text(odd_patch())
    fields: dict[str, Any] = {
        "namespace": "emqx",
        "resources": [ROOT / "base" / "common", "odd.yaml", "emqx.yaml"],
        "components": [os.path.relpath(ROOT / "base" / "pod", folder)],
        "patches": [{"path": "volume.yaml"}, {"path": "odd-patch.yaml"}],
        "configMapGenerator": [{"name": "emqx-env", "envs": ["emqx.env"]}],
    }
    return kustomize(kustomization(folder, **fields, **({"transformers": [PLUGINS / "inject"]} if plugin else {}))).split("\n")


def test_a_changed_document_only_gains_lines(tmp_path: Path) -> None:
    """No scalar that people wrote changes its meaning, its type or its place."""
    without, with_plugin = (odd_build(tmp_path / str(plugin), plugin=plugin) for plugin in (False, True))
    assert sum(line.strip().startswith("field-") for line in without) == len(_MEANING)
    changes = difflib.SequenceMatcher(None, without, with_plugin, autojunk=False).get_opcodes()
    lost = [line for tag, start, end, _, _ in changes if tag != "equal" for line in without[start:end]]
    assert [line.strip() for line in lost] == ["serviceAccountName: 'not rendered: run kustomize build --enable-alpha-plugins'"]


_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=("Cs", "Cc")), max_size=40)


@settings(max_examples=40)
@given(st.dictionaries(st.from_regex(r"[a-z]{3,8}", fullmatch=True), _TEXT, min_size=1, max_size=4))
def test_any_text_in_a_changed_document_is_the_same_text_after(annotations: dict[str, str]) -> None:
    objects = documents(plugin_input(OVERLAY))
    for item in objects:
        if item["kind"] == "StatefulSet":
            item["spec"]["template"]["metadata"]["annotations"] = annotations
    text = "---\n".join(json.dumps(item, ensure_ascii=False) + "\n" for item in objects)
    after = next(item for item in documents(injected(text)) if item["kind"] == "StatefulSet")
    found = after["spec"]["template"]["metadata"]["annotations"]
    assert {key: found[key] for key in annotations} == annotations
