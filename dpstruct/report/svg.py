"""The drawing board: one picture, panels with scales, and the few marks that the charts are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from dpstruct.report.numbers import ticks

__all__ = ["WIDTH", "Panel", "area", "bars", "dots", "key", "line", "picture", "words"]

Floats = NDArray[np.float64]
WIDTH = 400

_STYLE = (
    ".dps-figure{display:block;width:100%;height:auto;color:var(--dps-ink,currentColor);"
    "font:11.5px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-variant-numeric:tabular-nums}"
    ".dps-figure text{fill:currentColor}.dps-figure .soft{opacity:.75}"
    ".dps-figure .grid{stroke:currentColor;opacity:.14}.dps-figure .axis{stroke:currentColor;opacity:.6}"
    ".dps-figure .line{fill:none;stroke-width:2;stroke-linejoin:round}.dps-figure .dash{stroke-dasharray:5 4}"
    ".dps-figure .a{--dps-c:var(--dps-a,#2f7abf)}.dps-figure .b{--dps-c:var(--dps-b,#cf6a1c)}"
    ".dps-figure .line{stroke:var(--dps-c)}.dps-figure .fill{fill:var(--dps-c);stroke:none}"
    ".dps-figure .area{fill:var(--dps-c);stroke:none;opacity:.2}"
    ".dps-figure .dot{fill:var(--dps-c);fill-opacity:.75;stroke:none}"
)


@dataclass(frozen=True)
class Panel:
    """A rectangle of the picture (left, top, width, height) with the data interval along each side."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: Floats, y: Floats) -> list[str]:
        """Turn data into ``"x,y"`` texts on the picture, to a tenth of a pixel; outliers stop at the frame."""
        across = np.clip((x - self.x[0]) / (self.x[1] - self.x[0]), 0, 1)
        up = np.clip((y - self.y[0]) / (self.y[1] - self.y[0]), 0, 1)
        columns, rows = self.left + across * self.width, self.top + (1 - up) * self.height
        return [f"{c:.1f},{r:.1f}" for c, r in zip(columns.tolist(), rows.tolist(), strict=True)]

    def axes(self, x_label: str, y_label: str, *, y_count: int = 4, x_texts: bool = True) -> str:
        """Draw the grid, the scales and their labels: the vertical one is written above the panel."""
        x_ticks, x_unit = ticks(*self.x)
        y_ticks, y_unit = ticks(*self.y, count=y_count)
        bottom, right = self.top + self.height, self.left + self.width
        parts = [words(0, self.top - 13, y_label + (f", {y_unit}" if y_unit else ""))]
        for value, text in y_ticks:
            row = bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * self.height
            parts.append(f'<path class="grid" d="M{self.left:.1f},{row:.1f}H{right:.1f}"/>')
            parts.append(words(self.left - 6, row + 4, text, anchor="end", soft=True))
        parts.append(f'<path class="axis" d="M{self.left:.1f},{bottom:.1f}H{right:.1f}"/>')
        for value, text in x_ticks:
            column = self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * self.width
            parts.append(f'<path class="axis" d="M{column:.1f},{bottom:.1f}v4"/>')
            if x_texts:
                parts.append(words(column, bottom + 16, text, anchor="middle", soft=True))
        if x_texts:
            parts.append(words(right, bottom + 32, x_label + (f", {x_unit}" if x_unit else ""), anchor="end"))
        return "".join(parts)


def words(x: float, y: float, text: str, *, anchor: str = "start", soft: bool = False) -> str:
    """Write `text` at a point of the picture."""
    kind = ' class="soft"' if soft else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def line(points: Sequence[str], series: str, *, dashed: bool = False) -> str:
    """Join placed points."""
    return f'<path class="line {series}{" dash" if dashed else ""}" d="M{" L".join(points)}"/>'


def area(upper: Sequence[str], lower: Sequence[str], series: str) -> str:
    """Fill between two rows of placed points."""
    return f'<path class="area {series}" d="M{" L".join([*upper, *reversed(lower)])}Z"/>'


def dots(points: Sequence[str], series: str, *, radius: float = 2.4) -> str:
    """Mark placed points."""
    marks = "".join(f'<circle cx="{p.partition(",")[0]}" cy="{p.partition(",")[2]}" r="{radius}"/>' for p in points)
    return f'<g class="dot {series}">{marks}</g>'


def bars(panel: Panel, edges: Floats, heights: Floats, series: str) -> str:
    """Draw bars over the intervals between `edges`, standing on the lower side of the panel."""
    tops = panel.place(edges[:-1], heights)
    ends = panel.place(edges[1:], np.full(len(heights), panel.y[0]))
    marks = []
    for top, end in zip(tops, ends, strict=True):
        (left, row), (right, floor) = top.split(","), end.split(",")
        width, height = float(right) - float(left) - 1, float(floor) - float(row)
        marks.append(f'<rect x="{left}" y="{row}" width="{width:.1f}" height="{height:.1f}"/>')
    return f'<g class="fill {series}" fill-opacity=".7">{"".join(marks)}</g>'


def key(entries: Sequence[tuple[str, str, str]], *, left: float = 0, top: float = 12) -> str:
    """Explain the marks in one row: ``(mark, series, text)`` with mark one of dot, line, dash, area, fill."""
    parts, column = [], left
    for mark, series, text in entries:
        if mark == "dot":
            parts.append(f'<circle class="dot {series}" cx="{column + 6:.1f}" cy="{top - 4:.1f}" r="3.2"/>')
        elif mark in ("line", "dash"):
            dash = " dash" if mark == "dash" else ""
            parts.append(f'<path class="line {series}{dash}" d="M{column:.1f},{top - 4:.1f}h18"/>')
        else:
            opacity = ' fill-opacity=".7"' if mark == "fill" else ""
            parts.append(
                f'<rect class="{mark} {series}" x="{column:.1f}" y="{top - 10:.1f}" width="14" height="11"{opacity}/>'
            )
        gap = {"dot": 15.0, "line": 24.0, "dash": 24.0}.get(mark, 20.0)
        parts.append(words(column + gap, top, text))
        column += gap + 5.8 * len(text) + 16
    return "".join(parts)


def picture(title: str, description: str, height: float, *parts: str) -> str:
    """Join the parts to one SVG element with a name and a description for those who can not see it."""
    return (
        f'<svg class="dps-figure" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc><style>{_STYLE}</style>{''.join(parts)}</svg>"
    )
