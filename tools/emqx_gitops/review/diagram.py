"""A topology -> a diagram of Mermaid, with what changes marked by colour and by word."""

from __future__ import annotations

from emqx_gitops.review.markup import clipped, fence, mermaid
from emqx_gitops.review.topology import Node, Topology

_CLASSES = """\
classDef added fill:#dafbe1,stroke:#1a7f37,color:#1f2328
classDef changed fill:#fff8c5,stroke:#9a6700,color:#1f2328
classDef removed fill:#ffebe9,stroke:#cf222e,color:#1f2328,stroke-dasharray:4"""
_FACTS = 6
_LENGTH = 100


def diagram(found: Topology) -> str:
    """The diagram as a block of Markdown."""
    names = {name: f"n{number}" for number, name in enumerate(found.nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {names[name]}["{_label(node)}"]{"" if node.state == "same" else f":::{node.state}"}' for name, node in found.nodes.items()]
    lines += [f"  {names[source]} --> {names[target]}" for source, target in found.edges]
    lines += [f'  more["{found.more} more are left out"]'] if found.more else []
    return fence("\n".join([*lines, *(f"  {line}" for line in _CLASSES.splitlines())]), "mermaid")


def _label(node: Node) -> str:
    facts = node.facts
    left = [f"{len(facts) - _FACTS} more"] if len(facts) > _FACTS else []
    title = node.title if node.state == "same" else f"{node.state} {node.title}"
    return "<br/>".join(mermaid(clipped(line, _LENGTH)) for line in [title, *facts[:_FACTS], *left])
