"""The page: nothing on it is markup of somebody else's, it loads nothing, and a real browser shows it as it is meant.

A browser is taken from PATH (`chromium`, `google-chrome`, as GitHub's runners have it) or from EMQX_GITOPS_BROWSER.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from tests.review.impact.harness import ROOT, pair

from emqx_gitops.project import Target
from emqx_gitops.review.as_html import as_html
from emqx_gitops.review.impact import findings
from emqx_gitops.review.markup import visible
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import SEVERITIES, Pair, Review, TargetReview

from . import nasty

BROWSER = os.environ.get("EMQX_GITOPS_BROWSER") or next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), "")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=2000"),
)
CASES = ("scale-down", "exposed", "node-renamed", "rights-gained", "immutable-statefulset")
VOID = ("meta", "input", "br", "rect", "path")
needs_browser = pytest.mark.skipif(not BROWSER, reason="no browser: neither chromium nor google-chrome is on PATH, and EMQX_GITOPS_BROWSER names none")


def page(found: Review) -> str:
    return as_html(Shown(found), lambda _, text: text)


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


# In a browser


def real() -> Review:
    """What several cases of findings do, in one review."""
    targets = []
    for name in CASES:
        folder = min((ROOT / "tests/review/impact/cases" / name).glob("bad-*"))
        made = pair(yaml.safe_load((folder / "case.yaml").read_text()))
        found = sorted(findings(made), key=lambda finding: SEVERITIES.index(finding.severity))
        label = f"clusters/{name}-{'long' * 20}"
        targets.append(TargetReview(Pair(Target(Path(label), label), made.before, made.after, made.differences), tuple(found)))
    return Review("a" * 40, "work tree", ("a" * 64, "b" * 64), tuple(targets))


def browse(folder: Path, text: str, *options: str) -> tuple[str, str]:
    """What a browser makes of a page, and what it complains of."""
    file = folder / "review.html"
    file.write_text(text, encoding="utf-8")
    command = [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@needs_browser
@pytest.mark.parametrize("text", ["x", "</style><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"], ids=["harmless", "not"])
def test_a_browser_has_nothing_to_complain_of(tmp_path: Path, text: str) -> None:
    dom, complaints = browse(tmp_path, page(nasty.review(text)), "--dump-dom")
    assert complaints == ""
    assert "<title>EMQX review: gate: shut" in dom
    assert text in unescape(dom)


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_as_wide_as_the_window(tmp_path: Path, width: int) -> None:
    """Measured in a frame of that width, by a page around it: the page itself runs no script. All of it is unfolded."""
    inner = page(real()).replace("<details", "<details open").replace("open open", "open")
    (tmp_path / "inner.html").write_text(inner, encoding="utf-8")
    script = """
      const page = f.contentDocument.documentElement, gate = f.contentWindow.getComputedStyle(page.querySelector('.gate'));
      document.title = [page.scrollWidth, page.clientWidth, page.querySelectorAll('svg').length, gate.borderLeftWidth].join(' ')"""
    outer = f'<!doctype html><title>none</title><iframe id=f src=inner.html style="border:0;width:{width}px;height:900px" onload="{script}"></iframe>'
    dom, _ = browse(tmp_path, outer, "--allow-file-access-from-files", "--window-size=1400,1000", "--dump-dom")
    scrolled, shown, drawings, border = re.findall(r"<title>(.*?)</title>", dom)[0].split()
    assert (scrolled, shown) == (str(width), str(width))
    assert int(drawings) == 2 * len(CASES)
    assert border == "6px"  # its own style is let in


@needs_browser
def test_a_picture_of_it(tmp_path: Path) -> None:
    picture = tmp_path / "review.png"
    browse(tmp_path, page(real()), "--window-size=1280,2000", f"--screenshot={picture}")
    assert len(picture.read_bytes()) > 50_000  # of an empty page: some 10,000
