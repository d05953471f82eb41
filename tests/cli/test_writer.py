"""Files of an output folder: names that never collide, a folder that is always whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emqx_gitops import writer
from emqx_gitops.errors import UsageFailure
from emqx_gitops.resources import Key, Resource

NAMES = st.text(st.sampled_from("ab-._:A%/é"), min_size=1, max_size=6)
KEYS = st.builds(Key, st.sampled_from(["", "apps", "a.b"]), st.sampled_from(["Role", "ROLE", "Rolea"]), NAMES, NAMES)


def resource(key: Key) -> Resource:
    return Resource(key, "v1", "", {})


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file() and path.name != writer.MARKER}


@given(st.lists(KEYS, unique=True, max_size=12))
def test_every_object_has_a_file_of_its_own_on_any_file_system(keys: list[Key]) -> None:
    lower = {(key.group, key.kind.lower(), key.namespace, key.name) for key in keys}
    names = writer.file_names(tuple(map(resource, keys)))
    assert len({name.lower() for name in names.values()}) == len(lower)
    assert all("/" not in name for name in names.values())


@given(st.lists(KEYS, unique=True, max_size=8), st.randoms())
def test_names_do_not_depend_on_the_order(keys: list[Key], random: object) -> None:
    shuffled = list(keys)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert writer.file_names(tuple(map(resource, keys))) == writer.file_names(tuple(map(resource, shuffled)))


@pytest.mark.parametrize("atomic", [True, False], ids=["exchange", "two renames"])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, atomic: bool) -> None:
    if not atomic:
        monkeypatch.setattr(writer, "_exchange", lambda one, other: False)
    folder = tmp_path / "out"
    writer.replace_folder(folder, {"a": {"a/one.yaml": "1", "a/two.yaml": "2"}})
    writer.replace_folder(folder, {"b.yaml": {"b.yaml": "3"}})
    assert tree(folder) == {"b.yaml": "3"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert writer.parts(folder) == [folder / "b.yaml"]


def test_linux_exchanges_the_folders_in_one_step(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "file").write_text("1")
    assert writer._exchange(one, other)
    assert (tmp_path / "other" / "file").read_text() == "1"


def test_a_failure_while_writing_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    writer.replace_folder(folder, {"a.yaml": {"a.yaml": "old"}})
    with pytest.raises(OSError, match="too long"):
        writer.replace_folder(folder, {"b": {"b.yaml": "new", f"{'x' * 300}.yaml": "new"}})
    assert tree(folder) == {"a.yaml": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_dead_run_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    dead, live = tmp_path / ".out.new-4194305", tmp_path / f".out.new-{os.getppid()}"
    dead.mkdir()
    live.mkdir()
    writer.replace_folder(tmp_path / "out", {"a.yaml": {"a.yaml": "1"}})
    assert (dead.exists(), live.exists()) == (False, True)


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    writer.replace_folder(folder, {"a.yaml": {"a.yaml": "1"}})
    assert tree(folder) == {"a.yaml": "1"}


@pytest.mark.parametrize("make", [lambda path: path.write_text("a file"), lambda path: path.symlink_to(path.parent)], ids=["file", "link"])
def test_what_is_no_folder_is_refused(tmp_path: Path, make: object) -> None:
    path = tmp_path / "out"
    make(path)  # type: ignore[operator]
    with pytest.raises(UsageFailure, match="expected a folder to write into"):
        writer.replace_folder(path, {})
