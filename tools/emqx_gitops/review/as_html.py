"""A masked review -> one page of HTML that needs nothing else: no script, no network, light or dark as the reader has it."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256

from emqx_gitops.review import changes, lines, topology
from emqx_gitops.review.drawing import drawing
from emqx_gitops.review.markup import html, prose
from emqx_gitops.review.masks import Shown
from emqx_gitops.review.model import SEVERITIES, Difference, Finding, Review, Severity, TargetReview
from emqx_gitops.review.text import Paint, said
from emqx_gitops.review.topology import Topology
from emqx_gitops.terminal import counted

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1f2328; --soft: #59636e; --line: #d1d9e0; --panel: #f6f8fa; --link: #0550ae;
  --red: #b3121f; --red-panel: #ffebe9; --green: #116329; --green-panel: #dafbe1; --amber: #7d4e00; --amber-panel: #fff8c5;
  --orange: #a33a00; --blue: #0550ae }
@media (prefers-color-scheme: dark) { :root { --page: #0d1117; --text: #e6edf3; --soft: #9da7b3; --line: #3d444d; --panel: #161b22;
  --link: #79c0ff; --red: #ff8d86; --red-panel: #3c1618; --green: #56d364; --green-panel: #10301a; --amber: #e3b341;
  --amber-panel: #332701; --orange: #ffa657; --blue: #79c0ff } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1rem 1.25rem 4rem; background: var(--page); color: var(--text); font: 1rem/1.55 system-ui, sans-serif;
  overflow-wrap: anywhere }
h1 { margin: .5rem 0; font-size: 1.5rem } h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem } h3 { margin: 1.25rem 0 .5rem; font-size: 1.05rem }
a { color: var(--link) }
code, pre, .diff { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .86em }
code { padding: .1em .2em; border-radius: 4px; background: var(--panel) }
pre, .diff { margin: .5rem 0; padding: .75rem; border: 1px solid var(--line); border-radius: 6px; background: var(--panel); white-space: pre-wrap }
.soft { color: var(--soft) }
.gate { padding: .75rem 1rem; border: 1px solid; border-left-width: 6px; border-radius: 6px; font-weight: 600 }
.gate.open { color: var(--green); background: var(--green-panel) } .gate.shut { color: var(--red); background: var(--red-panel) }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px } .scroll:focus-visible { outline: 3px solid var(--link) }
table { width: 100%; border-collapse: collapse; overflow-wrap: normal } td, th { padding: .4rem .75rem; border-bottom: 1px solid var(--line); text-align: left }
tbody tr:last-child > * { border-bottom: 0 } thead th { background: var(--panel); white-space: nowrap } td.number, th.number { text-align: right }
th[scope=row] { font-weight: 400 }
fieldset { display: flex; flex-wrap: wrap; gap: .4rem 1.25rem; margin: 0 0 1rem; padding: .4rem 1rem .6rem; border: 1px solid var(--line); border-radius: 6px }
label { display: inline-flex; gap: .4rem; align-items: center; cursor: pointer }
.finding { margin: .75rem 0; padding: .6rem 1rem; border: 1px solid var(--line); border-left: 6px solid var(--tone); border-radius: 6px }
.finding > p { margin: .4rem 0 } .finding h3 { margin: 0 }
.severity { display: inline-block; margin-right: .5rem; padding: 0 .5rem; border: 1px solid; border-radius: 99px; color: var(--tone);
  font-size: .85rem; font-weight: 600 }
.refused, .danger { --tone: var(--red) } .disruption { --tone: var(--orange) } .notice { --tone: var(--amber) } .info { --tone: var(--blue) }
.asks { color: var(--red); font-weight: 600 } .accepted { color: var(--green) }
details { margin: .5rem 0 } summary { cursor: pointer; padding: .2rem 0 } .target { padding: .3rem 1rem; border: 1px solid var(--line); border-radius: 6px }
.target > summary { font-weight: 600 }
.diff { padding: .5rem 0 } .diff > * { display: block; padding: 0 .75rem; text-decoration: none; min-height: 1.55em }
.diff ins { color: var(--green); background: var(--green-panel) } .diff del { color: var(--red); background: var(--red-panel) }
.diff .head { margin-top: .4rem; font-weight: 600 }
svg { display: block; margin: .5rem auto } svg text { fill: var(--text); font: 12px system-ui, sans-serif }
svg .name { font-weight: 600; font-size: 13px }
svg .fact { fill: var(--soft) } .node rect { fill: var(--panel); stroke: var(--line) } .arrow { fill: none; stroke: var(--soft) }
.added rect { fill: var(--green-panel); stroke: var(--green); stroke-width: 2 }
.changed rect { fill: var(--amber-panel); stroke: var(--amber); stroke-width: 2 }
.removed rect { fill: var(--red-panel); stroke: var(--red); stroke-width: 2; stroke-dasharray: 5 4 }
svg .differs { font-weight: 600 }
.node:not(.same) .fact { fill: var(--text) }
@media print { body { max-width: none } fieldset { display: none } }
""" + "".join(f"main:has(#show-{severity}:not(:checked)) .finding.{severity} {{ display: none }}\n" for severity in SEVERITIES)
_POLICY = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"


def as_html(review: Shown, _: Paint) -> str:
    """The whole review."""
    digest = b64encode(sha256(_STYLE.encode()).digest()).decode()
    parts = [_head(review), _overview(review), _consents(review), _problems(review), _findings(review), *_targets(review), _notes(review)]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(digest)}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>EMQX review: {html(lines.gate(review))}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _code(text: str) -> str:
    return f"<code>{html(text)}</code>"


def _list(items: Iterable[str], kind: str = "ul") -> str:
    return f"<{kind}>{''.join(f'<li>{item}</li>' for item in items)}</{kind}>"


def _head(review: Review) -> str:
    between = f"From {_code(changes.short(review.base))} to {_code(changes.short(review.head))}"
    state = "open" if review.passes else "shut"
    return f'<h1>EMQX review</h1>\n<p>{between}</p>\n<p class="gate {state}">{html(lines.gate(review).capitalize())}</p>'


def _overview(review: Review) -> str:
    touched = sorted(filter(changes.touches, review.targets), key=changes.rank)
    if not touched:
        return f"<p>Nothing changes in {counted(len(review.targets), 'rendered target')}.</p>"
    heads = "".join(f'<th scope="col"{kind}>{head}</th>' for head, kind in _columns())
    rows = "".join(_row(review, target) for target in touched)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<h2 id="targets">Targets</h2>\n<div class="scroll" role="region" aria-labelledby="targets" tabindex="0">{table}</div>'


def _columns() -> Iterator[tuple[str, str]]:
    yield from (("Target", ""), ("Objects", ""))
    yield from ((name, ' class="number"') for name in ("Needs consent", *SEVERITIES))


def _row(review: Review, target: TargetReview) -> str:
    severities = Counter(finding.severity for finding in target.findings)
    numbers = "".join(f'<td class="number">{number or "·"}</td>' for number in (len(target.open), *(severities[severity] for severity in SEVERITIES)))
    name = _code(target.pair.target.name)
    link = f'<a href="#{_place(review, target)}">{name}</a>' if target.pair.differences else name
    return f'<tr><th scope="row">{link}</th><td>{"has problems" if target.problems else changes.counts(target)}</td>{numbers}</tr>'


def _place(review: Review, target: TargetReview) -> str:
    return f"target-{review.targets.index(target)}"


def _consents(review: Review) -> str:
    asked = list(dict.fromkeys(changes.trailer(target, finding) for target in review.targets for finding in target.open))
    words = "Whoever accepts a finding writes its line, with the reason, into the last paragraph of a commit's message:"
    return f"<h2>Needs a consent</h2>\n<p>{words}</p>\n<pre>{html(chr(10).join(asked), lines=True)}</pre>" if asked else ""


def _problems(review: Review) -> str:
    found = [(target, problem) for target in sorted(review.targets, key=changes.rank) for problem in target.problems]
    blocks = [f"<h3>{_code(target.pair.target.name)}</h3>\n<pre>{html(problem.lines(), lines=True)}</pre>" for target, problem in found]
    return "<h2>Does not render, or breaks a rule</h2>\n<p>No consent opens the gate for these.</p>\n" + "\n".join(blocks) if blocks else ""


def _findings(review: Review) -> str:
    groups = {severity: changes.grouped(review, severity) for severity in SEVERITIES}
    boxes = "".join(_box(severity, len(found)) for severity, found in groups.items() if found)
    blocks = [_finding(finding, targets) for found in groups.values() for finding, targets in found]
    return f"<h2>Findings</h2>\n<fieldset><legend>Show</legend>{boxes}</fieldset>\n" + "\n".join(blocks) if blocks else ""


def _box(severity: Severity, count: int) -> str:
    return f'<label><input type="checkbox" id="show-{severity}" checked>{severity} ({count})</label>'


def _finding(finding: Finding, targets: list[TargetReview]) -> str:
    place = " ".join(_code(part) for part in (finding.object, finding.path) if part)
    by = ", by the plugin" if finding.cause == "plugin" else ""
    names = ", ".join(_code(target.pair.target.name) for target in targets)
    plan = f"<details><summary>Plan: {counted(len(finding.plan), 'step')}</summary>{_list(map(_step, finding.plan), 'ol')}</details>" if finding.plan else ""
    return (
        f'<article class="finding {finding.severity}">\n<h3><span class="severity">{finding.severity}</span>{html(finding.rule)}</h3>\n'
        f'<p>{place} <span class="soft">in {names}{by}</span></p>\n<p>{prose(finding.message)}</p>\n{_answers(finding, targets)}{plan}\n</article>'
    )


def _step(step: str) -> str:
    return "<br>".join(map(prose, step.split("\n")))


def _answers(finding: Finding, targets: list[TargetReview]) -> str:
    found = []
    for target, consent in changes.answers(finding, targets):
        where = f" in {_code(target.pair.target.name)}" if len(targets) > 1 else ""
        found.append(f'<p class="accepted">Accepted{where}: {html(said(consent))}</p>\n' if consent else f'<p class="asks">Needs a consent{where}</p>\n')
    return "".join(found)


def _targets(review: Review) -> Iterator[str]:
    found = [target for target in sorted(review.targets, key=changes.rank) if target.pair.differences]
    if found:
        yield "<h2>What differs</h2>"
    for number, target in enumerate(found):
        body = _topology(topology.of(target.pair), target.pair.target.name) + _differences(target.pair.differences)
        head = f"{_code(target.pair.target.name)}: {changes.objects(target)}"
        yield f'<details class="target" id="{_place(review, target)}"{"" if number else " open"}><summary>{head}</summary>{body}</details>'


def _topology(found: Topology, name: str) -> str:
    if not found.nodes:
        return ""
    sides = [(word, found.side(after=after), after) for word, after in (("Before", False), ("After", True))]
    drawn = [(word, drawing(found, f"{word}: {name}", after=after)) for word, side, after in sides if side.nodes and (after or found.changes)]
    figures = [f'<h3>{word}</h3>\n<div class="scroll" role="region" aria-label="{word}: {html(name)}" tabindex="0">{svg}</div>' for word, svg in drawn]
    more = f"<p>{found.more} more are left out.</p>" if found.more else ""
    return "\n".join(figures) + more + _legend(found)


def _legend(found: Topology) -> str:
    """The same in words."""
    rows = [f"{node.state} {_code(node.title)}" + "".join(f"; {html(fact)}" for fact in node.facts) for node in found.nodes.values() if node.state != "same"]
    return f"<details><summary>What changes of it, in words</summary>{_list(rows)}</details>" if rows else ""


def _differences(differences: tuple[Difference, ...]) -> str:
    rows = (_line(line, first=not number) for difference in differences for number, line in enumerate(changes.lines_of(difference)))
    return f'<h3>Fields</h3>\n<div class="diff">{"".join(rows)}</div>'


def _line(line: str, *, first: bool) -> str:
    kind = {"+": "ins", "-": "del"}.get(line[:1], "span")
    return f"<{kind}{' class=head' if first else ''}>{html(line)}</{kind}>"


def _notes(review: Review) -> str:
    notes = [f"Not rendered, for {html(why)}: {', '.join(map(_code, names))}" for why, names in changes.skipped(review).items()]
    old, new = review.plugin
    notes += [f"The plugin changes, from {_code(old[:12])} to {_code(new[:12])}; what it changes by itself is marked"] if old != new else []
    for consent in review.unused_consents:
        line = f"{consent.rule} {consent.where} because {consent.reason}" if consent.rule else consent.reason
        notes.append(f"A consent without effect: {_code(line)} ({html(consent.source)}): {html(consent.note)}")
    return f"<h2>Notes</h2>\n{_list(notes)}" if notes else ""
