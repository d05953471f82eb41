"""Which configuration keys an EMQX release reads from the environment: one text table for each minor, looked up without reading it all."""

from __future__ import annotations

import os
from bisect import bisect_left

from emqx_fn.family import LATEST, Version

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple
else:
    from emqx_fn.light import NamedTuple


PREFIX = "EMQX_"
FAMILIES = ("4.1", "4.2", "4.3", "4.4", *(f"5.{minor}" for minor in range(11)), "6.0", "6.1", "6.2", "6.3")
FOLDER = os.path.join(os.path.dirname(__file__), "keys")
EDITIONS = ("community", "enterprise")
SCRIPT_SINCE = {"EMQX_SECURITY_PROFILE": "6.2.1"}  # a start script's variables that a patch brought; the tables do not date them


class Key(NamedTuple):
    """What a path is found as. `pattern` is the table's path, with `$name` and `$index` for what a person chooses."""

    path: str
    pattern: str
    type: str = ""  # empty: an object, whose members are keys of their own
    default: str = ""
    has_default: bool = False
    marks: tuple[str, ...] = ()
    below: bool = False  # under a key whose members the table does not list

    def mark(self, name: str) -> str:
        """The value of a mark such as `since`, or empty."""
        return next((mark[len(name) + 1 :] for mark in self.marks if mark.startswith(f"{name}=")), "")

    @property
    def proper(self) -> str:
        """The path that EMQX itself calls it by: an alias is replaced."""
        target = self.mark("alias")
        if not target:
            return self.path
        rest = self.path.split(".")[self.pattern.count(".") + 1 :]
        return ".".join((fill(target, bindings(self.pattern, self.path)), *rest))


class Reader(NamedTuple):
    """Who reads: an edition, and a patch. `LATEST` has all that any patch of the minor brought, and nothing that it dropped."""

    edition: str
    patch: int

    def sees(self, marks: str, *, two_editions: bool) -> bool:
        """Whether a line with these marks is there for this reader."""
        enterprise = self.edition == "enterprise"
        own = not two_editions or not enterprise  # whose patches `since` counts, on a line of both editions
        for mark in marks.split(" "):
            if mark == "ee":
                if not enterprise:
                    return False
                own = True
            elif mark == "ce":
                if enterprise:
                    return False
            elif own and ((mark.startswith("since=") and self.patch < patch_of(mark)) or (mark.startswith("until=") and self.patch > patch_of(mark))):
                return False
        return True


def patch_of(mark: str) -> int:
    """14 of `since=5.0.14`, and 0 of `since=6.3.0-beta.2`; a version without a patch means from the first one on."""
    number = mark.rpartition("=")[2].partition("-")[0].split(".")
    return int(number[2]) if len(number) > 2 else 0


class Table:
    """The keys of one family."""

    def __init__(self, family: str, text: str) -> None:
        self.family = family
        head, _, body = text.partition("\n\n")
        facts = {name: values.split(" ") for name, _, values in (line.partition(" ") for line in head.split("\n")) if name != "#"}
        self.lines = body.split("\n")[:-1]
        self.loader = facts["loader"][0]
        self.two_editions = facts["editions"] == ["two"]
        self.script = frozenset(facts["script"])
        self.override = dict(pair.split("=") for pair in facts["override"])
        self.strict = frozenset(facts["strict"])
        self.partial = frozenset(facts.get("partial", ()))

    def path(self, name: str) -> str:
        """The path that a variable sets, whether there is such a key or not; empty where its name cannot be one."""
        segments = name[len(PREFIX) :].lower().split("__")
        if self.loader == "hocon":
            segments = [segment for segment in segments if segment]
        elif self.loader == "cuttlefish" and len(segments) > 1 and not segments[-1]:
            segments.pop()
        return ".".join(segments) if all(segments) else ""

    def find(self, path: str, reader: Reader | None) -> Key | None:
        """The key that a path is for this reader; None for `reader`: for any edition and patch."""
        if not path:
            return None
        if "$" not in path:
            index = bisect_left(self.lines, f"{path}\t")
            found = self._here(index, path, path, reader)
            if found:
                return found
        return self._walk(path, "", path.split("."), 0, reader)

    def _here(self, index: int, pattern: str, path: str, reader: Reader | None) -> Key | None:
        """The key on the lines from `index`, if they are those of `pattern`."""
        start = f"{pattern}\t"
        found = None
        while index < len(self.lines) and self.lines[index].startswith(start):
            _, kind, marks = f"{self.lines[index]}\t".split("\t")[:3]
            if reader is None or not marks or reader.sees(marks, two_editions=self.two_editions):
                kind, equals, default = kind.partition("=")
                found = Key(path, pattern, "" if kind == "-" else kind, default, bool(equals), tuple(marks.split(" ")) if marks else ())
                if kind != "-":  # an object now may have had a type of its own for an older patch
                    break
            index += 1
        return found

    def _walk(self, path: str, prefix: str, segments: list[str], depth: int, reader: Reader | None) -> Key | None:
        """The exact name, else `$index` for a number, else `$name`."""
        segment = segments[depth]
        last = depth == len(segments) - 1
        for choice in (segment, "$index" if segment.isdecimal() else "", "$name"):
            if not choice or (choice is segment and segment.startswith("$")):
                continue
            pattern = prefix + choice
            index = bisect_left(self.lines, f"{pattern}\t")
            if index == len(self.lines) or not self.lines[index].startswith((f"{pattern}\t", f"{pattern}.")):
                continue
            if last or any("open" in line for line in self.lines[index : index + 2]):  # a hint, so that few lines are taken apart
                found = self._here(index, pattern, path, reader)
                if found and (last or "open" in found.marks):
                    return found if last else found._replace(below=True)
            if last:
                found = Key(path, pattern) if self.loader == "hocon" and self._members(pattern, reader) else None
            else:
                found = self._walk(path, f"{pattern}.", segments, depth + 1, reader)
            if found:
                return found
        return None

    def _members(self, pattern: str, reader: Reader | None) -> bool:
        """Whether anything below an object is there for this reader."""
        return any(reader is None or reader.sees(line.partition("\t")[2].partition("\t")[2], two_editions=self.two_editions) for line in self.below(pattern))

    def below(self, pattern: str) -> Iterator[str]:
        """The lines below a pattern; all of them for an empty one."""
        start = f"{pattern}." if pattern else ""
        index = bisect_left(self.lines, start)
        while index < len(self.lines) and self.lines[index].startswith(start):
            yield self.lines[index]
            index += 1

    def patterns(self, reader: Reader) -> Iterator[str]:
        """Every key that this reader sees and that has an effect."""
        for line in self.lines:
            pattern, kind, marks = f"{line}\t".split("\t")[:3]
            gone = marks and (not reader.sees(marks, two_editions=self.two_editions) or "dropped" in marks or "deprecated=" in marks)
            if kind != "-" and not gone:
                yield pattern


def bindings(pattern: str, path: str) -> list[str]:
    """What stands in a path for each `$name` and `$index` of the pattern that it matches."""
    return [segment for part, segment in zip(pattern.split("."), path.split("."), strict=False) if part.startswith("$")]


def fill(pattern: str, values: list[str]) -> str:
    """A pattern with its `$name` and `$index` filled in, in order; what is left over stays as it is."""
    rest = iter(values)
    return ".".join(next(rest, part) if part.startswith("$") else part for part in pattern.split("."))


def variable(path: str) -> str:
    """The environment variable that sets a path; `<name>` for what a person has to choose."""
    segments = (f"<{segment[1:]}>" if segment.startswith("$") else segment.upper() for segment in path.split("."))
    return PREFIX + "__".join(segments)


_loaded: dict[str, Table] = {}


def table(family: str) -> Table:
    """The table of a family, one of FAMILIES; read once."""
    if family not in _loaded:
        with open(os.path.join(FOLDER, f"{family}.txt"), "rb") as file:
            _loaded[family] = Table(family, file.read().decode())
    return _loaded[family]


def table_of(version: Version) -> Table | None:
    """The table of a release, or None for one that is not supported."""
    family = f"{version.major}.{version.minor}"
    return table(family) if family in FAMILIES else None


def reader(version: Version, edition: str) -> Reader:
    """Who reads in an image of this release and edition."""
    return Reader(edition, version.patch)


NEWEST = {edition: Reader(edition, LATEST) for edition in EDITIONS}
