"""How two streams differ, by folders: `before.yaml` and `after.yaml`, and what is said in `differences.txt`."""

from __future__ import annotations

from pathlib import Path

import pytest

from emqx_gitops.rendering import Rendering, from_text
from emqx_gitops.review.differences import differences
from emqx_gitops.review.impact.words import value
from emqx_gitops.review.model import Difference
from emqx_gitops.sources import Read

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: folder.name)
def test_case(folder: Path, *, update_goldens: bool) -> None:
    golden = folder / "differences.txt"
    text = "".join(map(shown, differences(read(folder / "before.yaml"), read(folder / "after.yaml"))))
    if update_goldens:
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("folder", sorted(CASES.iterdir()), ids=lambda folder: folder.name)
def test_other_way_round(folder: Path) -> None:
    """What differs forwards differs backwards, the other way round."""
    there = differences(read(folder / "before.yaml"), read(folder / "after.yaml"))
    back = differences(read(folder / "after.yaml"), read(folder / "before.yaml"))
    fields = {(field.path, str(field.before), str(field.after)) for difference in there for field in difference.fields}
    assert fields == {(field.path, str(field.after), str(field.before)) for difference in back for field in difference.fields}
    assert {(one.before, one.after) for one in there} == {(one.after, one.before) for one in back}


def read(file: Path) -> Rendering:
    made = from_text("t", Read(()), file.read_text())
    assert made.problems == ()
    return made


def shown(difference: Difference) -> str:
    labels = [resource.label for resource in (difference.before, difference.after) if resource]
    fields = "".join(f"  {field.name}: {value(field.before)} -> {value(field.after)}\n" for field in difference.fields)
    return f"{difference.what} {' -> '.join(dict.fromkeys(labels))}\n{fields}"
