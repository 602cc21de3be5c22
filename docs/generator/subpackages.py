"""The figure of the import structure, docs/subpackages.svg, from the table of allowed imports in tests/test_layering.py.

    python docs/generator/subpackages.py

draws it again after the table has changed; a test compares the two. Nothing but Python is needed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

__all__ = ["draw_subpackages", "layers_of", "read_rules", "reduced"]

REPOSITORY = Path(__file__).resolve().parents[2]
RULES, FIGURE = REPOSITORY / "tests/test_layering.py", REPOSITORY / "docs/subpackages.svg"
#: What every subpackage may import: drawn as the ground that they stand on, not as an arrow from each.
GROUND = "utils"
BOX_PX, GAP_PX, LAYER_PX, MARGIN_PX = (124, 34), 26, 78, 20

Rules = Mapping[str, Iterable[str]]


def read_rules(source: str) -> dict[str, set[str]]:
    """The table subpackage -> subpackages that it may import.

    Args:
        source: the text of tests/test_layering.py.
    """
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ALLOWED":
            # set() is no literal
            return {ast.literal_eval(k): set() if isinstance(v, ast.Call) else ast.literal_eval(v) for k, v in _items(node)}
    raise ValueError("tests/test_layering.py assigns no ALLOWED")


def _items(node: ast.Assign):
    return zip(node.value.keys, node.value.values, strict=True)


def reduced(rules: Rules) -> dict[str, set[str]]:
    """The rules without what follows from others: a subpackage that is reached through another one needs no arrow of its own."""
    below = {subpackage: set(rules[subpackage]) for subpackage in rules}

    def reached(subpackage: str) -> set[str]:
        return below[subpackage].union(*(reached(other) for other in below[subpackage]))

    return {
        subpackage: {other for other in direct if not any(other in reached(via) for via in direct)}
        for subpackage, direct in below.items()
    }


def layers_of(rules: Rules) -> list[list[str]]:
    """The subpackages by height, from the lowest: each stands above all that it may import.

    Raises:
        ValueError: if subpackages import each other in a circle.
    """
    height: dict[str, int] = {}
    while len(height) < len(rules):
        ready = [
            subpackage
            for subpackage in rules
            if subpackage not in height and all(other in height for other in rules[subpackage])
        ]
        if not ready:
            raise ValueError(f"a circle among {sorted(set(rules) - set(height))}")
        height |= {subpackage: 1 + max((height[other] for other in rules[subpackage]), default=-1) for subpackage in ready}
    return [[subpackage for subpackage in rules if height[subpackage] == level] for level in range(1 + max(height.values()))]


def draw_subpackages(rules: Rules) -> str:
    """The figure: a box per subpackage, an arrow down to each subpackage that it imports directly.

    Args:
        rules: subpackage -> subpackages that it may import.

    Returns:
        An SVG document.

    Raises:
        ValueError: if subpackages import each other in a circle.
    """
    rules = {subpackage: set(others) - {GROUND} for subpackage, others in rules.items() if subpackage != GROUND}
    layers = layers_of(rules)
    arrows = reduced(rules)
    level = {subpackage: number for number, layer in enumerate(layers) for subpackage in layer}
    # An arrow past other layers bends around their boxes: in each it has a place of its own, as narrow as a line.
    chains = []
    for subpackage, others in arrows.items():
        for other in sorted(others):
            bends = [(subpackage, other, between) for between in range(level[subpackage] - 1, level[other], -1)]
            for bend in bends:
                layers[bend[2]].append(bend)
            chains.append([subpackage, *bends, other])
    links = [pair for chain in chains for pair in zip(chain, chain[1:], strict=False)]
    for _ in range(8):  # the mean place of the neighbors, down and up
        for order in (layers, layers[::-1]):
            place = {item: (number + 0.5) / len(layer) for layer in layers for number, item in enumerate(layer)}
            for layer in order:
                layer.sort(key=lambda item: _mean(place, links, item))
                place |= {item: (number + 0.5) / len(layer) for number, item in enumerate(layer)}
    width = max(sum(_width(item) + GAP_PX for item in layer) for layer in layers) + 2 * MARGIN_PX - GAP_PX
    height = (len(layers) + 1) * LAYER_PX
    center = {}
    for number, layer in enumerate(layers):
        x = (width - sum(_width(item) + GAP_PX for item in layer) + GAP_PX) / 2
        y = height - MARGIN_PX - BOX_PX[1] * 1.5 - (number + 0.6) * LAYER_PX
        for item in layer:
            center[item] = (x + _width(item) / 2, y)
            x += _width(item) + GAP_PX
    parts = [_path([center[item] for item in chain]) for chain in chains]
    parts += [_box(*center[subpackage], subpackage, BOX_PX[0]) for subpackage in rules]
    parts.append(_box(width / 2, height - MARGIN_PX - BOX_PX[1] / 2, f"{GROUND}: used by all", width - 2 * MARGIN_PX))
    return HEAD.format(width=round(width), height=round(height)) + "\n".join(parts) + "\n</svg>\n"


HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>Which subpackage of imrsf_d2 imports which</title>
<style>rect {{ fill: #eef2f8; stroke: #4a5f7d }} text {{ font: 14px sans-serif; fill: #1c2733; text-anchor: middle }}
path {{ fill: none; stroke: #4a5f7d; marker-end: url(#tip) }}</style>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 L8 4 L0 8 z" style="fill: #4a5f7d; stroke: none; marker-end: none"/></marker></defs>
<rect width="100%" height="100%" style="fill: #ffffff; stroke: none"/>
"""


def _mean(place: dict, links: list, item) -> float:
    near = [place[b if a == item else a] for a, b in links if item in (a, b)]
    return sum(near) / len(near) if near else place[item]


def _width(item) -> int:
    return BOX_PX[0] if isinstance(item, str) else 0


def _box(x: float, y: float, text: str, width: float) -> str:
    return (
        f'<rect x="{x - width / 2:.0f}" y="{y - BOX_PX[1] / 2:.0f}" width="{width:.0f}" height="{BOX_PX[1]}" rx="5"/>'
        f'<text x="{x:.0f}" y="{y + 5:.0f}">{escape(text)}</text>'
    )


def _path(points: list[tuple[float, float]]) -> str:
    """A line from the lower edge of the first box through the bends to the upper edge of the last."""
    half = BOX_PX[1] / 2
    (x, y), (x_end, y_end) = points[0], points[-1]
    steps = [f"M{x:.0f} {y + half:.0f}"]
    stops = [corner for x_bend, y_bend in points[1:-1] for corner in ((x_bend, y_bend - half), (x_bend, y_bend + half))]
    x, y = x, y + half
    for x_next, y_next in [*stops, (x_end, y_end - half)]:
        middle = (y + y_next) / 2
        steps.append(f"C{x:.0f} {middle:.0f} {x_next:.0f} {middle:.0f} {x_next:.0f} {y_next:.0f}")
        x, y = x_next, y_next
    return f'<path d="{" ".join(steps)}"/>'


if __name__ == "__main__":
    FIGURE.write_text(draw_subpackages(read_rules(RULES.read_text(encoding="utf-8"))), encoding="utf-8")
    print(FIGURE.relative_to(REPOSITORY))
    sys.exit(0)
