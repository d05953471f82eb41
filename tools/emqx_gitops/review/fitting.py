"""Sections of a report -> one text that is no longer than it may be, and says what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Size:
    """How long a report may be, in bytes of UTF-8, which are never fewer than characters: in all, a block of it, a text in it.

    `rest` says where the rest is.
    """

    limit: int
    block: int
    text: int
    diagrams: int
    rest: str = ""


@dataclass(frozen=True)
class Section:
    """Blocks that stand on their own, the most important first, between a head and a tail.

    `noun` is what one block is about, `share` how much of the report all of them may take.
    """

    head: str
    blocks: list[str] = field(default_factory=list)
    noun: str = ""
    tail: str = ""
    joint: str = "\n\n"
    share: float = 1


def fit(sections: list[Section], size: Size) -> str:
    """As many blocks of each section as there is room for; each section says how many more there are."""
    reserved = [_length(_section(section, 0, size)) for section in sections]
    text = ""
    for number, section in enumerate(sections):
        room = min(size.limit - _length(text) - sum(reserved[number + 1 :]), int(size.limit * section.share))
        text += _section(section, _fitting(section, room, size), size)
    return text


def _fitting(section: Section, room: int, size: Size) -> int:
    used = _length(_section(section, 0, size))
    for count, block in enumerate(section.blocks):
        used += _length(section.joint + block)
        if used > room:
            return count
    return len(section.blocks)


def _section(section: Section, count: int, size: Size) -> str:
    left = len(section.blocks) - count
    more = f"\n\n_{left} more {section.noun}{'' if left == 1 else 's'}{size.rest}._" if left else ""
    return section.joint.join([section.head, *section.blocks[:count]]) + section.tail + more + "\n\n"


def cut(lines: list[str], limit: int, rest: str) -> list[str]:
    """The first lines, as many as there is room for; the last then says how many more there are."""
    used = 0
    for number, line in enumerate(lines):
        used += _length(line) + 1
        if used > limit:
            left = len(lines) - number
            return [*lines[:number], f"  … {left} more line{'' if left == 1 else 's'}{rest}"]
    return lines


def _length(text: str) -> int:
    return len(text.encode())
