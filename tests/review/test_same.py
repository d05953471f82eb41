"""What means the same is no difference and no finding; and the same input gives the same report, whatever runs beside it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import PARTS, ROOT

from emqx_gitops.kustomize import find
from emqx_gitops.review import run

from .conftest import Clone
from .harness import told

OVERLAYS = ["overlays/deployment-ip", "overlays/persistent", "overlays/statefulset-hostname"]


@pytest.fixture(name="both")
def fixture_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Our overlays, twice."""
    monkeypatch.chdir(tmp_path)
    for side in ("old", "new"):
        for part in PARTS:
            shutil.copytree(ROOT / part, tmp_path / side / part)
    return Path("old"), Path("new")


def files(folder: Path) -> list[Path]:
    return [path for part in ("base", "overlays") for path in sorted((folder / part).rglob("*.yaml"))]


def with_comments(text: str) -> str:
    lines = [f"{line}  # really" if line.rstrip().endswith(":") else line for line in text.splitlines()]
    return "# A comment.\n\n" + "\n\n".join(lines) + "\n# The end.\n"


def in_flow(text: str) -> str:
    return "".join(yaml.safe_dump_all(yaml.safe_load_all(text), default_flow_style=True, width=40))


def in_another_order(text: str) -> str:
    """Keys of mappings turned round, and what kustomize lists by name; never lists that mean an order."""
    documents = [turned(document) for document in yaml.safe_load_all(text)]
    return "".join(yaml.safe_dump_all(documents, sort_keys=False, indent=4, explicit_start=True))


def turned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: sorted(turned(item), key=str) if key in ("accessModes", "drop", "policyTypes") else turned(item) for key, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


def turned_resources(text: str) -> str:
    """The order of `resources`, which is no order of patches."""
    (data,) = yaml.safe_load_all(text)
    if "resources" in data and "metadata" not in data:
        data["resources"] = data["resources"][::-1]
    return yaml.safe_dump(data, sort_keys=False)


@pytest.mark.parametrize("change", [with_comments, in_flow, in_another_order, turned_resources])
def test_what_means_the_same_changes_nothing(both: tuple[Path, Path], change: Callable[[str], str]) -> None:
    """Each of our overlays is rendered anew, for each of its files differs."""
    for path in files(both[1]):
        path.write_text(change(path.read_text()))
    for path in both[1].rglob("emqx.env"):
        path.write_text("# Other words.\n\n" + path.read_text().replace("# ", "#"))
    review = run.of_named(str(both[0]), str(both[1]), run.Settings(find(None), 2))
    assert [target.pair.target.name for target in review.targets] == OVERLAYS
    assert told(review) == "from old to new\n" + "".join(f"{name}: nothing changes\n" for name in OVERLAYS) + "gate: open\n"


def test_a_change_that_means_something_is_seen_among_them(both: tuple[Path, Path]) -> None:
    for path in files(both[1]):
        path.write_text(in_another_order(path.read_text()).replace("2Gi", "4Gi"))
    review = run.of_named(str(both[0]), str(both[1]), run.Settings(find(None), 2))
    assert [len(target.pair.differences) for target in review.targets] == [0, 1, 0]
    assert not review.passes


# Determinism


@pytest.fixture(name="busy")
def fixture_busy(clone: Clone) -> Clone:
    """Changes all over the place."""
    chance = random.Random(1)
    for number in range(12):
        clone.cluster(f"c{number}")
    clone.commit()
    clone.git("branch", "--force", "main")
    for number in range(12):
        clone.append(f"clusters/c{number}/settings.env", f"EMQX_MQTT__MAX_MQUEUE_LEN={chance.randrange(10, 10_000)}\nOTHER_PASSWORD=word-{number}\n")
    clone.cluster("new")
    clone.git("rm", "--quiet", "--force", "-r", "clusters/b", "clusters/c7")
    clone.append("clusters/c3/kustomization.yaml", "resources: twice\n")
    clone.commit("Change all\n\nAccept: workload-removed clusters/b because nobody is there")
    return clone


@pytest.mark.parametrize("form", ["text", "json"])
def test_two_runs_say_the_same_with_one_job_or_eight(busy: Clone, tmp_path: Path, form: str) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef")
    options = ("main...HEAD", "--output", form, "--mask-key-file", str(key))
    first = busy.diff(*options, "--jobs=1", env={"PYTHONHASHSEED": "1"})
    second = busy.diff(*options, "--jobs=8", env={"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "TMPDIR": str(tmp_path)}, cwd=busy.path / "clusters")
    assert (first.code, first.err) == (1, "")
    assert second == first
    assert "word-" not in first.out
    assert first.out.count("masked") >= 10
    assert str(tmp_path) not in first.out


def test_without_a_key_only_the_masks_differ(busy: Clone) -> None:
    first, second = (busy.diff("main...HEAD").out for _ in range(2))
    assert first != second
    without = [[line for line in said.splitlines() if "masked" not in line] for said in (first, second)]
    assert without[0] == without[1]
