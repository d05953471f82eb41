"""What others wrote, or could have written: broken inputs that are refused for the right reason, and good ones of which nothing is said.

`bad/<source>/<id>-<what>/stream.yaml` says in its head which rules refuse it, and no other may; a line that ends in `# here` is a cause, and a
problem leads to it. `problems.txt` holds the whole text; `good/<what>/` has one only where warnings are right. `make update-goldens` writes the
texts of inputs that are refused for the right reason; every change of one is read in review.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.rules.harness import ROOT, STREAM, findings

from emqx_gitops import inventory, validate

CORPUS = Path(__file__).parent
BAD = sorted(path.parent for path in (CORPUS / "bad").rglob(STREAM))
GOOD = sorted(path.parent for path in (CORPUS / "good").rglob(STREAM))

SOURCES = {
    # The stages of the article that this project began with (EMQX 4.1, 2020); the last is ours: its YAML under a newer image.
    "article": [f"{number:02}" for number in range(1, 13)],
    # Defects of the vendor's Helm chart.
    "chart": [f"D{number:02}" for number in range(1, 19)],
    # The twenty pains that users report most.
    "pains": [f"P{number:02}" for number in range(1, 21)],
}

# Why one rendering does not show it.
UNSEEN = {
    "article/01": "a Pod made by a command: there is no YAML",
    "article/02": "one broker without a cluster is right: good/single-4.1",
    "article/03": "a Service inside the cluster is right: good/single-4.1",
    "chart/D01": "a value such as false is lost in the template: nothing of it reaches the rendering",
    "chart/D09": "whoever applies it names the namespace; pruning by label needs what was applied before",
    "chart/D12": "whether a changed Secret rolls the pods shows between two renderings",
    "chart/D13": "an explicit null is harmless to the API server, and only a live object shows the drift: good/chart-dns-srv has them",
    "chart/D16": "how long the tables take to load is known at run time; the probes are the chart's own, and right: good/chart-dns-srv",
    "pains/P03": "that a changed ConfigMap rolls no pod shows between two renderings",
    "pains/P12": "claims and members left behind by a scale-down show between two renderings, and in the cluster",
    "pains/P13": "a controller that rewrites objects is seen in the cluster",
    "pains/P16": "that a password or key changed after the first start shows between two renderings",
    "pains/P19": "what the dashboard changed is in the cluster, not in Git",
    "pains/P20": "a change of an immutable field, or of a claim's size, shows between two renderings",
}


@pytest.fixture(autouse=True)
def in_the_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places in messages are relative to the current folder."""
    monkeypatch.chdir(ROOT)


def _name(folder: Path) -> str:
    return folder.relative_to(CORPUS).as_posix()


class Head(NamedTuple):
    """What the first lines of a bad input say of it, and the lines marked as the cause."""

    refused: set[str]
    warned: set[str]
    causes: set[int]


def _head(folder: Path) -> Head:
    lines = (folder / STREAM).read_text().split("\n")
    verb, _, rules = lines[1].removeprefix("# ").partition(": ")
    assert re.fullmatch(r"# \S.*\.", lines[0]), "expected one line that says what it is"
    assert verb in ("refused", "warned of")
    names = set(rules.split(", "))
    causes = {number for number, line in enumerate(lines, 1) if line.endswith("# here")}
    return Head(names, set(), causes) if verb == "refused" else Head(set(), names, causes)


def _problems(said: str) -> list[re.Match[str]]:
    found = re.finditer(r"^(?P<warning>warning: )?(?P<place>\S+?:(?P<line>\d+):\d+: )?(?P<text>\S.*) \[(?P<rule>[a-z0-9-]+)\]$", said, re.MULTILINE)
    return list(found)


def _compare(folder: Path, said: str, *, update: bool) -> None:
    """The golden holds what is said word by word."""
    golden = folder / "problems.txt"
    if update:
        golden.unlink(missing_ok=True)
        if said:
            golden.write_text(said)
    assert said == (golden.read_text() if golden.exists() else "")


@pytest.mark.parametrize("folder", BAD, ids=_name)
def test_bad_input_is_refused_for_the_right_reason(folder: Path, *, update_goldens: bool) -> None:
    said, head = findings(folder), _head(folder)
    problems = _problems(said)
    assert {problem["rule"] for problem in problems if not problem["warning"]} == head.refused
    assert head.warned <= {problem["rule"] for problem in problems if problem["warning"]}
    assert head.causes <= {int(problem["line"]) for problem in problems if problem["line"]}
    _compare(folder, said, update=update_goldens)


@pytest.mark.parametrize("folder", BAD, ids=_name)
def test_problems_are_about_what_the_author_wrote(folder: Path) -> None:
    """Each leads to a line, and none is about settings or objects that only our own overlays have."""
    said = findings(folder)
    assert [problem["text"] for problem in _problems(said) if not problem["place"]] == []
    assert [own for own in ("EmqxCluster/", "DISCOVERY_SERVICE") if own in said] == []


@pytest.mark.parametrize("folder", GOOD, ids=_name)
def test_good_input_passes(folder: Path, *, update_goldens: bool) -> None:
    said = findings(folder)
    assert all(problem["warning"] for problem in _problems(said)), said
    _compare(folder, said, update=update_goldens)


@pytest.mark.parametrize("folder", GOOD, ids=_name)
def test_nothing_is_missing_from_good_input(folder: Path) -> None:
    _, (rendered,) = validate.sort_inputs([str(folder / STREAM)])
    assert inventory.check(rendered.resources) == []


@pytest.mark.parametrize("item", [f"{source}/{item}" for source, items in SOURCES.items() for item in items])
def test_every_known_mistake_is_shown_or_cannot_be(item: str) -> None:
    shown = any(_name(folder).startswith(f"bad/{item}-") for folder in BAD)
    assert shown != (item in UNSEEN)


def test_no_folder_without_a_source() -> None:
    """A misnamed folder would count for nothing."""
    known = tuple(f"bad/{source}/{item}-" for source, items in SOURCES.items() for item in items)
    assert [_name(folder) for folder in BAD if not _name(folder).startswith(known)] == []
    assert UNSEEN.keys() <= {f"{source}/{item}" for source, items in SOURCES.items() for item in items}
