"""Waiting for what others do in their own time."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 120.0
PAUSE = 0.2


def until_fine(what: str, problem: Callable[[], str], *, seconds: float = SECONDS, pause: float = PAUSE) -> None:
    """Asks until there is no problem any more; past the deadline it fails with what was awaited and what was there."""
    end = time.monotonic() + seconds
    while there := problem():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s; there was: {there}"
        time.sleep(pause)


def until(what: str, condition: Callable[[], bool], *, seconds: float = SECONDS) -> None:
    """The same for what is only true or false."""
    until_fine(what, lambda: "" if condition() else "not so", seconds=seconds)
