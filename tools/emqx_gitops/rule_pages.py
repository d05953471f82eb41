"""The pages of the rules: docs/rules of a clone, which the wheel carries along."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from emqx_gitops import installation


class Page(NamedTuple):
    """What docs/rules says of one rule."""

    rule: str
    text: str

    @property
    def summary(self) -> str:
        """The first sentence: what is refused, or warned of."""
        paragraph = next((part for part in self.text.split("\n\n")[1:] if part.strip()), "")
        sentence = " ".join(line for line in paragraph.splitlines() if not line.startswith("*")).partition(". ")[0]
        return sentence.rstrip(".").strip() + "."


def folder() -> Path:
    """Where the pages are: docs/rules of a clone, or the package that the wheel makes of it."""
    root = installation.clone_root()
    return root / "docs" / "rules" if root else Path(__file__).parent / "pages"


def known() -> list[str]:
    """The ids of all rules that have a page."""
    return sorted(path.stem for path in folder().glob("*.md") if path.stem != "README")


def page(rule: str) -> Page | None:
    """The page of a rule, or None where there is none."""
    if rule not in known():
        return None
    return Page(rule, (folder() / f"{rule}.md").read_text(encoding="utf-8"))
