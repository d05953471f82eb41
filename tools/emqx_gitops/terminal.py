"""The terminal: results on stdout, talk on stderr, colour only where somebody looks and has not said NO_COLOR."""

from __future__ import annotations

import os
import sys
from typing import TextIO

_CODES = {"green": "32", "red": "31"}


def result(text: str) -> None:
    """Write a result to stdout, as it is: no translation of line ends or encodings."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def say(text: str) -> None:
    """Talk to the person at the keyboard."""
    sys.stderr.write(text if text.endswith("\n") else text + "\n")


def counted(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def paint(color: str, text: str) -> str:
    """`text` in a colour, when stdout is a terminal that may show it. The text alone carries the meaning."""
    return f"\033[{_CODES[color]}m{text}\033[0m" if _colored(sys.stdout) else text


def _colored(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
