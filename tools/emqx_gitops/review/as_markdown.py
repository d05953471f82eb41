"""A masked review -> Markdown: a comment on a pull request, the summary of a job, or all of it.

The worst comes first: what nobody has consented to yet, with the line to paste, then findings by severity, then the topology
of what changes, then field by field. What is longer than it may be is cut, and says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial

from emqx_gitops.review import changes, lines, topology
from emqx_gitops.review.diagram import diagram
from emqx_gitops.review.fitting import Section, Size, cut, fit
from emqx_gitops.review.markup import clipped, code, fence, prose
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import SEVERITIES, Consent, Finding, Review, Severity, TargetReview
from emqx_gitops.review.text import Paint, said
from emqx_gitops.terminal import counted

# The first line, by which a workflow finds the comment that it wrote before.
MARKER = "<!-- emqx-gitops-review -->"
_REST = ": see the full report"
COMMENT = Size(59_000, 6_000, 1_000, 3, _REST)  # GitHub takes 65,536 characters
SUMMARY = Size(1_000_000, 60_000, 10_000, 20, _REST)  # of a step: 1 MiB
FULL = Size(10**12, 10**9, 10**9, 10**6)

_MARKS: dict[Severity, str] = {"refused": "⛔", "danger": "🔴", "disruption": "🟠", "notice": "🟡", "info": "🔵"}
_DIAGRAM = 40_000  # Mermaid draws no more than 50,000 characters
_NAMES = 5
_STEPS = 20
_COMMAND = re.compile(r"(?P<when>(?:[a-z ]+: )?)(?P<command>(?:kubectl|emqx-gitops|git|helm|argocd|flux) .*?)(?P<words>(?:: |, ).*)?")


def comment(review: Shown, _: Paint) -> str:
    """For a comment: under 60,000 characters."""
    return _markdown(review, COMMENT)


def summary(review: Shown, _: Paint) -> str:
    """For the summary of a job: under 1 MiB."""
    return _markdown(review, SUMMARY)


def full(review: Shown, _: Paint) -> str:
    """All of it."""
    return _markdown(review, FULL)


def _markdown(review: Review, size: Size) -> str:
    sections = [_head(review), _overview(review), _consents(review, size), _problems(review, size)]
    sections += [_findings(review, severity, size) for severity in SEVERITIES]
    sections += [_topologies(review, size), _differences(review, size), _notes(review, size)]
    return fit([section for section in sections if section], size).rstrip("\n") + "\n"


def _head(review: Review) -> Section:
    between = f"From {code(clipped(changes.short(review.base), 200))} to {code(clipped(changes.short(review.head), 200))}"
    return Section(f"{MARKER}\n## {'✅' if review.passes else '⛔'} EMQX {prose(lines.gate(review))}\n\n{between}")


def _overview(review: Review) -> Section | None:
    touched = [target for target in review.targets if changes.touches(target)]
    if not touched:
        return Section(f"Nothing changes in {counted(len(review.targets), 'rendered target')}.")
    header = "\n".join(["| Target | Objects | Needs consent | " + " | ".join(SEVERITIES) + " |", "|---|---|" + "--:|" * (1 + len(SEVERITIES))])
    return Section(header, [_row(target) for target in sorted(touched, key=changes.rank)], "target", joint="\n", share=0.2)


def _row(target: TargetReview) -> str:
    severities = Counter(finding.severity for finding in target.findings)
    objects = "has problems" if target.problems else changes.counts(target)
    cells = [_name(target), objects, str(len(target.open) or ""), *(str(severities[severity] or "") for severity in SEVERITIES)]
    return f"| {' | '.join(cells)} |"


def _name(target: TargetReview) -> str:
    return code(clipped(target.pair.target.name, 200))


def _consents(review: Review, size: Size) -> Section | None:
    asked = list(dict.fromkeys(clipped(changes.trailer(target, finding), size.text) for target in review.targets for finding in target.open))
    if not asked:
        return None
    words = "Whoever accepts a finding writes its line, with the reason, into the last paragraph of a commit's message:"
    first, *rows, last = fence("\n".join(asked)).split("\n")
    return Section(f"### Needs a consent\n\n{words}\n\n{first}", rows, "line", f"\n{last}", "\n", 0.3)


def _problems(review: Review, size: Size) -> Section | None:
    blocks = [
        f"{_name(target)}\n\n{fence(clipped(problem.lines(), size.text), 'text')}"
        for target in sorted(review.targets, key=changes.rank)
        for problem in target.problems
    ]
    return Section("### ⛔ Does not render, or breaks a rule\n\nNo consent opens the gate for these.", blocks, "problem") if blocks else None


def _findings(review: Review, severity: Severity, size: Size) -> Section | None:
    groups = changes.grouped(review, severity)
    blocks = [_finding(finding, targets, size) for finding, targets in groups]
    return Section(f"### {_MARKS[severity]} {severity}", blocks, f"{severity} finding") if blocks else None


def _finding(finding: Finding, targets: list[TargetReview], size: Size) -> str:
    place = " ".join(code(clipped(part, 200)) for part in (finding.object, finding.path) if part)
    by = " by the plugin" if finding.cause == "plugin" else ""
    head = f"**{code(finding.rule)}** {place}{by} in {_names(targets)}"
    answers = _answers(finding, targets, size)
    found = "\n\n".join([head, prose(clipped(finding.message, size.text)), *answers, *_plan(finding, size)])
    return found if len(found) <= size.block else "\n\n".join([head, *answers, f"_Too long to show here{size.rest}._"])


def _names(targets: list[TargetReview]) -> str:
    return ", ".join(map(_name, targets[:_NAMES])) + (f" and {len(targets) - _NAMES} more" if len(targets) > _NAMES else "")


def _answers(finding: Finding, targets: list[TargetReview], size: Size) -> list[str]:
    found: dict[str, list[TargetReview]] = {}
    for target, consent in changes.answers(finding, targets):
        found.setdefault(f"✅ accepted: {prose(clipped(said(consent), size.text))}" if consent else "✋ **needs a consent**", []).append(target)
    return [text if len(found) == 1 else f"{text} in {_names(given)}" for text, given in found.items()]


def _plan(finding: Finding, size: Size) -> list[str]:
    steps = [f"{number}. {_step(clipped(step, size.text))}" for number, step in enumerate(finding.plan[:_STEPS], 1)]
    left = len(finding.plan) - len(steps)
    steps += [f"{len(steps) + 1}. {counted(left, 'more step')}{size.rest}"] if left else []
    return [_details(f"Plan: {counted(len(finding.plan), 'step')}", "\n".join(steps))] if steps else []


def _step(step: str) -> str:
    """A step; a command in it is code as a whole."""
    found = _COMMAND.fullmatch(step)
    if found is None:
        return "<br>".join(map(prose, step.split("\n")))
    words = found["words"] or ""
    return (f"{prose(found['when'])} " if found["when"] else "") + code(found["command"]) + (f"{words[:2]}{prose(words[2:])}" if words else "")


def _topologies(review: Review, size: Size) -> Section | None:
    found = [(target, topology.of(target.pair)) for target in sorted(review.targets, key=changes.rank) if target.pair.differences]
    drawn = [(target, diagram(one)) for target, one in found if one.changes]
    fitting = [(target, one) for target, one in drawn if len(one) <= min(2 * size.block, _DIAGRAM)][: size.diagrams]
    blocks = [_details(f"Topology of {_name(target)}", one, opened=number == 0) for number, (target, one) in enumerate(fitting)]
    left = len(drawn) - len(fitting)
    more = f"\n\n_{left} more of them left out{size.rest}._" if left else ""
    return Section("### Topology", blocks, "diagram", more) if drawn else None


def _details(head: str, body: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{head}</summary>\n\n{body}\n\n</details>"


def _differences(review: Review, size: Size) -> Section | None:
    blocks = [_difference(target, size) for target in sorted(review.targets, key=changes.rank) if target.pair.differences]
    return Section("### What differs", blocks, "target") if blocks else None


def _difference(target: TargetReview, size: Size) -> str:
    shown = (line for difference in target.pair.differences for line in changes.lines_of(difference))
    found = cut([clipped(line, size.text) for line in shown], size.block, size.rest)
    return _details(f"{_name(target)}: {changes.counts(target)}", fence("\n".join(found), "diff"))


def _notes(review: Review, size: Size) -> Section | None:
    notes = [*_skipped(review), *_plugin(review), *(map(partial(_unused, size=size), review.unused_consents))]
    return Section("### Notes\n", [f"- {note}" for note in notes], "note", joint="\n") if notes else None


def _skipped(review: Review) -> Iterator[str]:
    for why, names in changes.skipped(review).items():
        shown = ", ".join(code(clipped(name, 200)) for name in names[:9]) + (f" and {len(names) - 9} more" if len(names) > 9 else "")
        yield f"Not rendered, for {prose(clipped(why, 200))}: {shown}"


def _plugin(review: Review) -> Iterator[str]:
    old, new = review.plugin
    if old != new:
        yield f"The plugin changes, from {code(old[:12])} to {code(new[:12])}; what it changes by itself is marked"


def _unused(consent: Consent, size: Size) -> str:
    line = f"{consent.rule} {consent.where} because {consent.reason}" if consent.rule else consent.reason
    return f"A consent without effect: {code(clipped(line, size.text))} ({prose(clipped(consent.source, 200))}): {prose(clipped(consent.note, size.text))}"
