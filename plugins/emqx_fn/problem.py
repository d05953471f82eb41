"""What a person reads when the function refuses: one problem, and all problems of a run."""

from __future__ import annotations

import re
from collections.abc import Iterable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from emqx_fn.light import NamedTuple


class Problem(NamedTuple):
    """One reason to refuse. `object` is `Kind/name`, `path` a field path such as `spec.replicas`, `where` is `file:line:column` or empty.

    `severity` is `error` or `warning`. A render knows errors only: kustomize swallows what a plugin says when it succeeds.
    """

    rule: str
    object: str
    path: str
    message: str
    fix: str
    where: str = ""
    severity: str = "error"

    def lines(self) -> str:
        """The problem as it is printed: where, object, field, what is wrong, its rule, and the fix."""
        place = ": ".join(part for part in (self.where, self.object, self.path) if part)
        head = f"{place}: {self.message}" if place else self.message
        return f"{head} [{self.rule}]\n  fix: {self.fix}"


class Refusal(Exception):
    """The build is refused; nothing is printed but these problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__()
        self.problems = tuple(problems)


def refuse(rule: str, object: str, path: str, message: str, fix: str, where: str = "") -> Refusal:
    """A refusal for one problem that makes going on pointless."""
    return Refusal([Problem(rule, object, path, message, fix, where)])


def render(problems: Iterable[Problem]) -> str:
    """All problems of a run as text; `parse` reads it back."""
    lines = [problem.lines() for problem in problems]
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    return "\n".join([f"emqx-gitops: {count}, nothing was written", *lines]) + "\n"


def parse(text: str) -> list[Problem]:
    """The problems in `text`, which may hold other lines (kustomize wraps the function's stderr in its own)."""
    found: list[Problem] = []
    head_of_problem = re.compile(  # here, not above: a render never needs it
        r"(?:(?P<where>\S+:\d+:\d+): )?(?:(?P<object>[A-Z]\w*/[^\s:]+): )?(?:(?P<path>[A-Za-z][^\s:]*): )?(?P<message>.*) \[(?P<rule>[a-z0-9-]+)\]"
    )
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        head = head_of_problem.fullmatch(line)
        if head and following.startswith("  fix: "):
            found.append(Problem(head["rule"], head["object"] or "", head["path"] or "", head["message"], following[7:], head["where"] or ""))
    return found


def nearest(word: str, choices: Iterable[str]) -> str:
    """The choice that `word` was probably meant to be, or an empty string."""
    import difflib  # only on the way to a refusal: 3 ms that a good render does not pay

    words = {choice: choice for choice in choices}
    if "k8s" in words:
        words["kubernetes"] = "k8s"
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return words[close[0]] if close else ""
