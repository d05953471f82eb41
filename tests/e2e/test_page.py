"""The page that a review writes, in a real browser: it shows what it is meant to show, and nothing in it runs."""

from __future__ import annotations

import os
import re
import subprocess
from html import unescape
from pathlib import Path

import pytest
from tests.review import nasty
from tests.review.pages import CASES, page, real

from cluster.controlplane import PROGRAMS

BROWSER = PROGRAMS / "chromium-headless-shell"
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=2000"),
)


def browse(folder: Path, text: str, *options: str) -> tuple[str, str]:
    """What a browser makes of a page, and what it complains of."""
    file = folder / "review.html"
    file.write_text(text, encoding="utf-8")
    command = [BROWSER, *QUIET, f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("text", ["x", "</style><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"], ids=["harmless", "not"])
def test_a_browser_has_nothing_to_complain_of(tmp_path: Path, text: str) -> None:
    dom, complaints = browse(tmp_path, page(nasty.review(text)), "--dump-dom")
    assert complaints == ""
    assert "<title>EMQX review: gate: shut" in dom
    assert text in unescape(dom)


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


def test_a_picture_of_it(tmp_path: Path) -> None:
    picture = tmp_path / "review.png"
    browse(tmp_path, page(real()), "--window-size=1280,2000", f"--screenshot={picture}")
    assert len(picture.read_bytes()) > 50_000  # of an empty page: some 10,000
