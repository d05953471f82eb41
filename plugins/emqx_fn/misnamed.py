"""What a variable that a release does not read was meant to be: who reads it, what it is called here, what is nearest. For refusals only."""

from __future__ import annotations

import os
import re

from emqx_fn.keytable import EDITIONS, FAMILIES, FOLDER, PREFIX, Key, Reader, Table, bindings, fill, table, variable
from emqx_fn.problem import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Rename(NamedTuple):
    """A line of renames.txt. `new` is empty where nothing took the place."""

    step: str  # `4>5`, `5>4`, or two minors: `5.3>5.4`
    old: str
    new: str
    note: str


class Successor(NamedTuple):
    """What a variable is called in another release; `name` is empty where it is gone. `known` is false where nobody says what became of it."""

    name: str
    note: str
    known: bool = True


_renames: list[Rename] = []


def renames() -> list[Rename]:
    """All lines of renames.txt, read once."""
    if not _renames:
        with open(os.path.join(FOLDER, "renames.txt"), encoding="utf-8") as file:
            for line in file:
                if not line.startswith("#"):
                    step, old, new, note = f"{line.rstrip()}\t".split("\t")[:4]
                    _renames.append(Rename(step, old, "" if new == "-" else new, note))
    return _renames


# -- who reads it


def readers(name: str) -> list[str]:
    """The families that read a variable, in whatever edition and patch."""
    return [family for family in FAMILIES if known(table(family), name)]


def known(source: Table, name: str) -> bool:
    """Whether a family has the variable, in whatever edition and patch."""
    return name in source.script or name in source.override or source.find(source.path(name), None) is not None


def first(name: str, family: str) -> str:
    """The first release of a family that reads a variable: `5.3.1`, or `5.3` where all do."""
    source = table(family)
    key = source.find(source.path(name), None)
    return (key.mark("since") if key else "") or family


def spans(families: list[str]) -> str:
    """`4.1 to 4.4, 5.0` for a list of families."""
    runs: list[list[str]] = []
    for family in families:
        if runs and FAMILIES.index(family) == FAMILIES.index(runs[-1][-1]) + 1:
            runs[-1].append(family)
        else:
            runs.append([family])
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


# -- what it is called here


def without_history(note: str) -> str:
    """A note without what is of no use to whoever has a value that fits: since and until when there is what."""
    return "; ".join(part for part in note.split("; ") if not re.search(r"^(?:exists from|default|value|\d)| only$|accepted from", part))


def successor(name: str, here: Table, reader: Reader, families: list[str]) -> Successor:
    """What became of a variable that `families` read, in the release that `here` and `reader` are."""
    for rename in renames():
        if rename.old == name and rename.step == ("4>5" if here.family[0] > "4" else "5>4"):
            return Successor(rename.new, rename.note)
    sources = sorted((table(family) for family in families), key=lambda source: abs(FAMILIES.index(source.family) - FAMILIES.index(here.family)))
    search = _Search(here, reader, [*sources, here])
    for source in sources:
        path = source.override.get(name) or source.path(name)
        if name in source.override:
            search.take(path, "")
        if path:
            search.start(path, source)
    return search.result()


class _Search:
    """Follows renames and aliases until a path is found that the release reads."""

    def __init__(self, here: Table, reader: Reader, sources: list[Table]) -> None:
        self.here, self.reader, self.sources = here, reader, sources
        self.gone = Successor("", "", known=False)
        self.found = Successor("", "", known=False)

    def result(self) -> Successor:
        return self.found if self.found.name else self.gone

    def start(self, path: str, source: Table) -> None:
        """Breadth first, from a path that `source` knows."""
        seen = {path}
        front = [(path, "")]
        for _ in range(4):
            following: list[tuple[str, str]] = []
            for current, note in front:
                if self.found.name:
                    return
                for candidate, why in self.next(current, source):
                    if candidate not in seen:
                        seen.add(candidate)
                        following.append((candidate, why or note))
                        self.take(candidate, why or note)
            front = following

    def take(self, path: str, note: str) -> None:
        concrete = path.replace("$index", "1")
        key = self.here.find(concrete, self.reader)
        if key and not self.found.name and not key.mark("deprecated") and "dropped" not in key.marks:
            self.found = Successor(variable(concrete), note)

    def next(self, path: str, source: Table) -> Iterator[tuple[str, str]]:
        yield from ((other, "") for table_ in self.sources for other in _same(table_, path))
        segments = path.split(".")
        fitting = [(rename, values) for rename in renames() if (values := _match(rename.old, path)) is not None and self.applies(rename.step, source)]
        longest = max((rename.old.count(".") for rename, _ in fitting), default=0)
        for rename, values in fitting:
            if rename.old.count(".") < longest:
                continue  # an entry for an object above, and there is one of its own
            if not rename.new:
                self.gone = self.gone if self.gone.known else Successor("", rename.note)
                continue
            new = fill(_stock(rename, values), _carried(rename, values))
            if segments[longest + 1 :]:
                yield ".".join((new, *segments[longest + 1 :])), rename.note
            yield new, rename.note

    def applies(self, step: str, source: Table) -> bool:
        old, new = step.split(">")
        if "." not in old:
            return (source.family[0] > "4") == (old == "5") and (self.here.family[0] > "4") == (new == "5")
        return FAMILIES.index(new) <= FAMILIES.index(self.here.family) and FAMILIES.index(old) >= FAMILIES.index(source.family)


def _same(source: Table, path: str) -> Iterator[str]:
    """Other spellings of a path in a family: its proper name, and those that stand for it."""
    key = source.find(path, None)
    if key is None:
        return
    if key.proper != path:
        yield key.proper
    target = f"alias={key.pattern}"
    for line in source.lines:
        if target in line and target in line.split("\t")[2].split(" "):
            yield fill(line.partition("\t")[0], bindings(key.pattern, path))


def _match(pattern: str, path: str) -> list[str] | None:
    """What a pattern's names stand for, if it covers the path or an object above it."""
    parts, segments = pattern.split("."), path.split(".")
    if len(parts) > len(segments):
        return None
    same = all(part == segment or (part == "$index" and segment.isdecimal()) or part == "$name" for part, segment in zip(parts, segments, strict=False))
    return bindings(pattern, path) if same else None


def _stock(rename: Rename, values: list[str]) -> str:
    """The new path, with the stock names where the old one has none to carry over."""
    if rename.new.startswith("zone."):
        return rename.new.replace("$name", "external")
    return rename.new if values and _carried(rename, values) else rename.new.replace("$name", "default", 1)


def _carried(rename: Rename, values: list[str]) -> list[str]:
    """The names that a person chose, as far as they mean the same thing in the new path."""
    same_thing = rename.old.split(".")[0].rstrip("s") == rename.new.split(".")[0].rstrip("s")
    if not same_thing:
        return []
    stock = {"external": "default", "internal": "default"} if rename.step == "4>5" else {"default": "external"} if rename.step == "5>4" else {}
    return [stock.get(value, value) for value in values]


# -- what is nearest


def close_name(name: str, here: Table, reader: Reader) -> str:
    """The variable of this release that `name` was probably meant to be, or empty."""
    special = sorted(here.script | set(here.override))
    patterns = list(here.patterns(reader))
    squashed = _squash(name[len(PREFIX) :])
    alike = [other for other in special if _squash(other[len(PREFIX) :]) == squashed]
    alike += [variable(pattern) for pattern in patterns if _squash(pattern) == squashed]
    if alike:
        return alike[-1] if "__" in name else alike[0]
    path = ".".join(segment for segment in name[len(PREFIX) :].lower().split("__") if segment)
    guess = _one_segment(path, here, reader)
    if guess:
        return variable(guess)
    if "." not in path:  # without the prefix, which makes everything look alike
        return _prefixed(nearest(path, [*(other[len(PREFIX) :].lower() for other in special), *(pattern for pattern in patterns if "." not in pattern)]))
    count = path.count(".") + 1
    found = _nearest(path, [_fill_in(pattern, path) for pattern in patterns if abs(pattern.count(".") + 1 - count) <= 1])
    return variable(found) if found else ""


def _prefixed(path: str) -> str:
    return PREFIX + path.upper() if path else ""


def _nearest(path: str, choices: list[str]) -> str:
    """Like `nearest`, and stricter: whole paths have much in common anyhow."""
    import difflib

    return next(iter(difflib.get_close_matches(path, choices, n=1, cutoff=0.8)), "")


def deeper(path: str, here: Table, reader: Reader) -> str:
    """The only variable whose path is this one with a segment more inside, or empty."""
    segments = path.split(".")
    found = []
    for pattern in here.patterns(reader):
        parts = pattern.split(".")
        if len(parts) == len(segments) + 1 and parts[-1] == segments[-1]:
            found += [parts for at in range(1, len(parts) - 1) if all(map(_fits, [*parts[:at], *parts[at + 1 :]], segments))]
    if len(found) != 1:
        return ""
    whole = iter(segments)
    return variable(".".join(next(whole) if part in segments or part.startswith("$") else part for part in found[0]))


def _squash(text: str) -> str:
    return text.replace("_", "").replace(".", "").lower()


def _one_segment(path: str, here: Table, reader: Reader) -> str:
    """The path with its one wrong segment put right: all others have to fit."""
    segments = path.split(".")
    found: dict[str, str] = {}
    for pattern in here.patterns(reader):
        parts = pattern.split(".")
        if len(parts) != len(segments):
            continue
        wrong = [number for number, (part, segment) in enumerate(zip(parts, segments, strict=True)) if not _fits(part, segment)]
        if len(wrong) == 1 and not parts[wrong[0]].startswith("$"):
            part = parts[wrong[0]]
            whole = ".".join([*segments[: wrong[0]], part, *segments[wrong[0] + 1 :]])
            found[f"{part}\t{segments[wrong[0]]}\t{whole}"] = whole
    best = max(found, key=lambda entry: (_likeness(*entry.split("\t")[:2]), entry), default="")
    return found[best] if best and _likeness(*best.split("\t")[:2]) >= 0.6 else ""


def _likeness(one: str, other: str) -> float:
    import difflib

    return difflib.SequenceMatcher(None, one, other).ratio()


def _fits(part: str, segment: str) -> bool:
    return part in (segment, "$name") or (part == "$index" and segment.isdecimal())


def _fill_in(pattern: str, path: str) -> str:
    """A pattern with the names that the path has at the same places."""
    parts, segments = pattern.split("."), path.split(".")
    if len(parts) != len(segments):
        return pattern
    return ".".join(segment if part == "$name" or (part == "$index" and segment.isdecimal()) else part for part, segment in zip(parts, segments, strict=True))


def other_edition(source: Table, path: str, reader: Reader) -> str:
    """The edition of the same release that reads a path, where this one does not; or empty."""
    return next((edition for edition in EDITIONS if edition != reader.edition and source.find(path, reader._replace(edition=edition))), "")


def patches(source: Table, path: str, reader: Reader) -> Key | None:
    """The key that another patch of the same family and edition reads; its marks `since` and `until` say which."""
    later, earlier = source.find(path, reader._replace(patch=999)), source.find(path, reader._replace(patch=0))
    return later or earlier
