"""The page: nothing on it is markup of somebody else's, it loads nothing, and people who do not see it can read it.

tests/e2e/test_page.py looks at it in a browser.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import assume, given, settings

from emqx_gitops.review.markup import visible

from . import nasty
from .pages import page, real

VOID = ("meta", "input", "br", "rect", "path")


class Tags(HTMLParser):
    """The elements of a page with their attributes, each closed by its own end."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(f"{tag} {sorted(name for name, _ in attrs)}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def tags(text: str) -> list[str]:
    parser = Tags()
    parser.feed(text)
    assert parser.open == []
    return parser.found


@settings(max_examples=60, deadline=None)
@given(text=nasty.TEXTS)
def test_no_text_is_markup(text: str) -> None:
    assume(visible(text).strip())
    found, plain = nasty.review(text), nasty.review("x")
    # How many words of a sentence are code, and how many lines of a value differ, depends on them.
    said, harmless = ([tag for tag in tags(page(one)) if tag.split()[0] not in ("code", "br", "span", "ins", "del", "text")] for one in (found, plain))
    assert said == harmless
    assert set(tags(page(found))) <= set(tags(page(plain))) | {"br []", "span []", "text ['class', 'lengthadjust', 'textlength', 'x', 'y']"}


def test_it_loads_and_runs_nothing() -> None:
    said = page(nasty.review("x"))
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'\"", said)
    assert not re.search(r"<(?:script|link|img|iframe|object|form)|\bon[a-z]+=|javascript:|url\(|@import|style=|src=", said)
    assert set(re.findall(r'https?://[^"]*', said)) == {"http://www.w3.org/2000/svg"}


def test_people_who_do_not_see_it_can_read_it() -> None:
    said = page(real())
    levels = [int(level) for level in re.findall(r"<h([1-6])", said)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(level - levels[place] <= 1 for place, level in enumerate(levels[1:]))
    assert said.count('<svg role="img"') == len(re.findall(r"<svg [^>]*><title>[^<]", said)) > 0
    assert len(re.findall("<th scope=", said)) == len(re.findall("<th[ >]", said))
    assert re.search('<html lang="en">', said)
    assert all(re.search(rf'id="{place}"', said) for place in re.findall(r'href="#([^"]+)"', said))


def contrast(one: str, other: str) -> float:
    """As WCAG counts it."""
    found = [_luminance(color) + 0.05 for color in (one, other)]
    return max(found) / min(found)


def _luminance(color: str) -> float:
    digits = color if len(color) == 6 else "".join(digit * 2 for digit in color)
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    return sum(
        share * (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4) for share, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
    )


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart(scheme: int) -> None:
    blocks = re.findall(r":root \{(.*?)\}", page(nasty.review("x")), re.DOTALL)
    colors = dict(re.findall(r"--([a-z-]+): #([0-9a-f]+)", blocks[scheme]))
    names = ("text", "soft", "link", "red", "orange", "amber", "blue", "green")
    pairs = [(name, ground) for name in names for ground in ("page", "panel")]
    pairs += [(color, f"{color}-panel") for color in ("red", "green")] + [("text", f"{color}-panel") for color in ("red", "green", "amber")]
    assert [pair for pair in pairs if contrast(*(colors[name] for name in pair)) < 4.5] == []
