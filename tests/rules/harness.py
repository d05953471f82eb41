"""A folder of YAML -> everything that the rules say of it, as a person reads it who stands in the clone."""

from __future__ import annotations

from pathlib import Path

from emqx_gitops import rendering, validate
from emqx_gitops.kustomize import find

ROOT = Path(__file__).resolve().parents[2]
STREAM = "stream.yaml"  # a rendering that nobody rendered here: hand-written, or of another tool


def findings(folder: Path) -> str:
    """Problems, warnings and waived problems of what `folder` builds, or of the stream that lies in it; empty when there are none."""
    named = folder / STREAM if (folder / STREAM).exists() else folder
    targets, streams = validate.sort_inputs([named.relative_to(ROOT).as_posix()])
    (rendered,) = [*streams, *(rendering.render(find(None), target) for target in targets)]
    if rendered.problems:
        return "".join(f"{problem.lines()}\n" for problem in rendered.problems)
    review = validate.by_rules(rendered)
    lines = [problem.lines() for problem in rendered.located(review.problems)]
    lines += [f"warning: {problem.lines()}" for problem in rendered.located(review.warnings)]
    lines += [f"waived: {problem.lines()}" for problem in rendered.located(problem for problem, _ in review.waived)]
    return "".join(f"{line}\n" for line in lines)
