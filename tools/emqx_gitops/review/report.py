"""Every form of a report by its name. All of them take a masked review, so that none can show a secret."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from emqx_gitops.errors import UsageFailure
from emqx_gitops.review import as_markdown
from emqx_gitops.review.as_html import as_html
from emqx_gitops.review.as_json import as_json
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.text import Paint, text

REPORTERS: dict[str, Callable[[Shown, Paint], str]] = {
    "text": text,
    "json": as_json,
    "markdown": as_markdown.full,
    "markdown-summary": as_markdown.summary,
    "markdown-comment": as_markdown.comment,
    "html": as_html,
}


def form(name: str, option: str) -> str:
    """A name that is one of them; UsageFailure for any other."""
    if name not in REPORTERS:
        raise UsageFailure(f"{option}: expected one of {', '.join(REPORTERS)}; got {name!r}", "choose one of them")
    return name


def files(wanted: Iterable[str]) -> dict[Path, str]:
    """The form of each file to write, from `FORM=FILE`. UsageFailure where one cannot be written, before anything is rendered."""
    found: dict[Path, str] = {}
    for word in wanted:
        name, _, file = word.partition("=")
        path = Path(file)
        if not file or path.is_dir() or not path.parent.is_dir():
            message = f"--write: expected FORM=FILE, with a file in a folder that is there; got {word!r}"
            raise UsageFailure(message, "for example: --write markdown-comment=comment.md")
        if path in found:
            raise UsageFailure(f"--write: expected another file for each form; got {file} twice", "name two files")
        found[path] = form(name, "--write")
    return found


def write(review: Shown, wanted: dict[Path, str]) -> None:
    """Each file, in its form; without colour."""
    for path, name in wanted.items():
        path.write_text(REPORTERS[name](review, lambda _, words: words), encoding="utf-8", newline="\n")
