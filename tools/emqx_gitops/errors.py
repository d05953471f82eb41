"""The ways a run can fail; `cli.main` is the one door they leave through."""

from __future__ import annotations

from emqx_fn.problem import Problem, render

EXIT_PROBLEMS = 1
EXIT_USAGE = 2
EXIT_TOOL = 3
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """Something ends the run. The text says what, where, what was expected, and the fix."""

    exit_code = EXIT_TOOL

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message, self.fix = message, fix

    def report(self) -> str:
        """What the person reads on stderr."""
        return f"emqx-gitops: {self.message}\n  fix: {self.fix}\n"


class UsageFailure(Failure):
    """The command line asks for something that cannot be."""

    exit_code = EXIT_USAGE


class ToolFailure(Failure):
    """A program is missing, too old, or died."""


class Problems(Failure):
    """The user's files are wrong: every problem of the run, already mapped to its source."""

    exit_code = EXIT_PROBLEMS

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("problems", "")
        self.problems = problems

    def report(self) -> str:
        """The same text as the function prints."""
        return render(self.problems)
