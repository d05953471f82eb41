"""One side of a topology -> SVG: columns from what clients reach to what stands behind a workload.

Both sides of a topology are laid out alike, so that what goes or comes leaves a gap or fills one.
"""

from __future__ import annotations

from dataclasses import dataclass

from emqx_gitops.review.markup import html, visible
from emqx_gitops.review.topology import Node, Topology

_WIDTH, _GAP, _ACROSS, _MARGIN = 330, 14, 60, 8
_TITLE, _LINE, _PADDING = 22, 16, 10
_LETTERS = 50  # that fit in a line
_FACTS = 6
_SIGNS = {"added": "+ ", "removed": "- ", "changed": "~ ", "same": ""}


@dataclass(frozen=True)
class _Box:
    x: int
    y: int
    height: int

    @property
    def middle(self) -> int:
        return self.y + self.height // 2


def drawing(found: Topology, title: str, *, after: bool) -> str:
    """The side of a topology, with its title for those who hear it."""
    boxes, width, height = _layout(found)
    side = found.side(after=after)
    arrows = "".join(_arrow(boxes[source], boxes[target]) for source, target in side.edges)
    nodes = "".join(_node(boxes[name], node, *((node.after, node.before) if after else (node.before, node.after))) for name, node in side.nodes.items())
    return (
        f'<svg role="img" width="{width}" height="{height}" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{html(title)}</title>{arrows}{nodes}</svg>"
    )


def _layout(found: Topology) -> tuple[dict[str, _Box], int, int]:
    columns: dict[int, list[str]] = {}
    for name, node in found.nodes.items():
        columns.setdefault(node.column, []).append(name)
    heights = {name: _height(node) for name, node in found.nodes.items()}
    tall = max((_stacked(names, heights) for names in columns.values()), default=0)
    boxes = {}
    for number, column in enumerate(sorted(columns)):
        y = _MARGIN + (tall - _stacked(columns[column], heights)) // 2
        for name in columns[column]:
            boxes[name] = _Box(_MARGIN + number * (_WIDTH + _ACROSS), y, heights[name])
            y += heights[name] + _GAP
    return boxes, len(columns) * (_WIDTH + _ACROSS) - _ACROSS + 2 * _MARGIN, tall + 2 * _MARGIN


def _stacked(names: list[str], heights: dict[str, int]) -> int:
    return sum(heights[name] for name in names) + _GAP * (len(names) - 1)


def _height(node: Node) -> int:
    return _TITLE + _PADDING + _LINE * max(len(_shown(node.before)), len(_shown(node.after)))


def _shown(facts: tuple[str, ...]) -> list[str]:
    left = len(facts) - _FACTS
    return [*facts[:_FACTS], f"{left} more"] if left > 0 else list(facts)


def _arrow(source: _Box, target: _Box) -> str:
    start, end = source.x + _WIDTH, target.x
    bend = (start + end) // 2
    return f'<path class="arrow" d="M{start} {source.middle}C{bend} {source.middle} {bend} {target.middle} {end} {target.middle}"/>'


def _node(box: _Box, node: Node, facts: tuple[str, ...], others: tuple[str, ...]) -> str:
    kinds = ["differs" if node.state == "changed" and fact not in others else "fact" for fact in facts]
    lines = "".join(_text(box, number, fact, kind) for number, (fact, kind) in enumerate(zip(_shown(facts), kinds, strict=False), 1))
    return (
        f'<g class="node {node.state}"><title>{html("; ".join((f"{node.state}: {node.title}", *facts)))}</title>'
        f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{box.height}" rx="6"/>'
        f"{_text(box, 0, _SIGNS[node.state] + node.title, 'name')}{lines}</g>"
    )


def _text(box: _Box, line: int, text: str, kind: str) -> str:
    shown = _middle_out(visible(text))
    # However wide the reader's letters are, a long line ends inside the box.
    squeezed = f' textLength="{_WIDTH - 24}" lengthAdjust="spacingAndGlyphs"' if len(shown) > _LETTERS - 6 else ""
    return f'<text class="{kind}" x="{box.x + 12}" y="{box.y + _TITLE + _LINE * line}"{squeezed}>{html(shown)}</text>'


def _middle_out(text: str) -> str:
    """A long name without its middle: both of its ends tell."""
    half = _LETTERS // 2
    return text if len(text) <= _LETTERS else f"{text[:half]}…{text[-(_LETTERS - half - 1) :]}"
