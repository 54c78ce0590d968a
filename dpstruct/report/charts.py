"""Charts from plain values: answers against the truth, a curve with its band, the law of the errors, the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.report import svg
from dpstruct.report.numbers import exact, percent
from dpstruct.report.numbers import figure as shown
from dpstruct.report.tables import Figure, Table

__all__ = ["budget_bar", "curve", "histogram", "scatter"]

Floats = NDArray[np.float64]
_MOST_POINTS = 2000
_NAMED = 8  # the last so many charges are named in the picture, all of them in its table
_LEFT = 46.0


def _values(argument: str, values: ArrayLike, size: int | None = None) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if size is not None and array.ndim == 0:
        array = np.full(size, float(array))
    if array.ndim != 1 or array.size == 0 or (size is not None and array.size != size):
        wanted = "one number per point" if size is not None else "a non-empty sequence of numbers"
        raise InvalidParameter(argument, f"shape {array.shape}", wanted)
    if not np.isfinite(array).all():
        raise InvalidParameter(argument, "NaN or infinity", "finite numbers", "leave such points out")
    return array


def _interval(*arrays: Floats) -> tuple[float, float]:
    """Return the interval that holds all the values, a little wider, never empty."""
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    margin = 0.04 * (high - low) or 0.5 * max(abs(low), 1e-9)
    return low - margin, high + margin


def _thin(order: Floats | NDArray[np.intp]) -> NDArray[np.intp]:
    """Return at most the drawn number of indices, evenly spread."""
    if len(order) <= _MOST_POINTS:
        return np.asarray(order, dtype=np.intp)
    return np.asarray(order, dtype=np.intp)[np.linspace(0, len(order) - 1, _MOST_POINTS).astype(np.intp)]


def _rows(*columns: Floats) -> list[list[str]]:
    return [[shown(float(value), 6) for value in row] for row in zip(*columns, strict=True)]


def scatter(truth: ArrayLike, answer: ArrayLike, error: ArrayLike, *, title: str, quantity: str = "answer") -> Figure:
    """Draw answers against the truth, and below them the differences in units of the predicted error.

    Parameters
    ----------
    truth, answer : array_like, shape (q,)
        The exact value and the private answer of each query.
    error : array_like, shape (q,) or one number
        Predicted standard error of each answer, positive.
    title : str
        What is shown.
    quantity : str
        Name and unit of the values, for both axes.

    Returns
    -------
    Figure
        The description says which fraction lies within two predicted errors.
    """
    x = _values("truth", truth)
    y, spread = _values("answer", answer, x.size), _values("error", error, x.size)
    if not (spread > 0).all():
        raise InvalidParameter("error", "a number that is not positive", "positive standard errors")
    score = (y - x) / spread
    within = float(np.mean(np.abs(score) <= 2))
    description = (
        f"{x.size:,} private answers against the exact values. {100 * within:.0f} % lie within two predicted standard"
        " errors (on average over many releases, 95 % do); the typical predicted error is"
        f" {shown(float(np.median(spread)), 3)}."
    )
    order = _thin(np.argsort(x, kind="stable"))
    sides = _interval(x), _interval(x - 2 * spread, x + 2 * spread, y)
    main = svg.Panel(_LEFT, 46, svg.WIDTH - _LEFT - 8, 168, *sides)
    reach = min(6.0, max(3.0, math.ceil(float(np.abs(score).max()))))
    strip = svg.Panel(_LEFT, 252, main.width, 66, main.x, (-reach, reach))
    ends = np.array(main.x)
    zero, two = np.zeros(2), np.full(2, 2.0)
    parts = [
        svg.key([("dot", "a", "private answer"), ("dash", "b", "exact"), ("area", "b", "± 2 predicted errors")]),
        main.axes("", f"Private {quantity}", x_texts=False),
        svg.area(main.place(x[order], (x + 2 * spread)[order]), main.place(x[order], (x - 2 * spread)[order]), "b"),
        svg.line(main.place(x[order][[0, -1]], x[order][[0, -1]]), "b", dashed=True),
        svg.dots(main.place(x[order], y[order]), "a"),
        strip.axes(f"Exact {quantity}", "Difference, in predicted errors", y_count=3),
        svg.area(strip.place(ends, two), strip.place(ends, -two), "b"),
        svg.line(strip.place(ends, zero), "b", dashed=True),
        svg.dots(strip.place(x[order], score[order]), "a", radius=2),
    ]
    columns = ["exact", "private", "predicted error", "difference in errors"]
    table = Table(columns, _rows(x, y, spread, score))
    return Figure(title, description, svg.picture(title, description, 356, *parts), table)


def curve(
    x: ArrayLike,
    answer: ArrayLike,
    error: ArrayLike,
    *,
    title: str,
    x_label: str,
    y_label: str,
    truth: ArrayLike | None = None,
) -> Figure:
    """Draw a private curve with a band of two predicted errors, and the exact curve where it may be shown.

    Parameters
    ----------
    x, answer : array_like, shape (q,)
        Places and private answers; drawn in order of `x`.
    error : array_like, shape (q,) or one number
        Predicted standard error of each answer.
    title, x_label, y_label : str
        What is shown, and the names and units of the axes.
    truth : array_like, shape (q,), optional
        Exact values, drawn dashed.
    """
    places = _values("x", x)
    y, spread = _values("answer", answer, places.size), _values("error", error, places.size)
    exact = None if truth is None else _values("truth", truth, places.size)
    order = _thin(np.argsort(places, kind="stable"))
    low, high = y - 2 * spread, y + 2 * spread
    everything = [low, high] if exact is None else [low, high, exact]
    span = (float(places.min()), float(places.max()))
    panel = svg.Panel(
        _LEFT, 46, svg.WIDTH - _LEFT - 8, 190, span if span[0] < span[1] else _interval(places), _interval(*everything)
    )
    entries = [("line", "a", "private answer"), ("area", "a", "± 2 predicted errors")]
    parts = [
        panel.axes(x_label, y_label),
        svg.area(panel.place(places[order], high[order]), panel.place(places[order], low[order]), "a"),
        svg.line(panel.place(places[order], y[order]), "a"),
    ]
    columns, numbers = [x_label, "private", "predicted error"], [places, y, spread]
    if exact is not None:
        entries.append(("dash", "b", "exact"))
        parts.append(svg.line(panel.place(places[order], exact[order]), "b", dashed=True))
        columns, numbers = [*columns, "exact"], [*numbers, exact]
    description = (
        f"{y_label} at {places.size:,} places, from {shown(float(y.min()))} to {shown(float(y.max()))};"
        f" the predicted standard error is at most {shown(float(spread.max()), 3)}."
    )
    table = Table(columns, _rows(*(column[np.argsort(places, kind="stable")] for column in numbers)))
    return Figure(title, description, svg.picture(title, description, 274, svg.key(entries), *parts), table)


def histogram(scores: ArrayLike, *, title: str) -> Figure:
    """Draw how standardised errors are spread, against the standard normal density.

    Parameters
    ----------
    scores : array_like, shape (m,)
        Differences between answers and truth, divided by the predicted error. Values beyond ± 4 are counted in the
        outermost bars.
    title : str
        What is shown.
    """
    values = _values("scores", scores)
    edges = np.linspace(-4, 4, 17 if values.size < 400 else 33)
    counts, _ = np.histogram(np.clip(values, -4, 4), edges)
    density = counts / (values.size * (edges[1] - edges[0]))
    grid = np.linspace(-4, 4, 161)
    normal = np.exp(-0.5 * grid**2) / math.sqrt(2 * math.pi)
    spread = float(np.sqrt(np.mean(values**2)))
    description = (
        f"{values.size:,} differences divided by their predicted error. Their root mean square is {shown(spread, 3)}"
        " (1 if the prediction is right); the line is the normal law."
    )
    panel = svg.Panel(_LEFT, 46, svg.WIDTH - _LEFT - 8, 190, (-4.0, 4.0), (0.0, 1.08 * max(float(density.max()), 0.4)))
    parts = [
        svg.key([("fill", "a", "observed"), ("line", "b", "normal law")]),
        panel.axes("Difference, in predicted errors", "Density"),
        svg.bars(panel, edges, density, "a"),
        svg.line(panel.place(grid, normal), "b"),
    ]
    rows = [[f"{a:.2f} to {b:.2f}".replace("-", "−"), f"{n:,}"] for a, b, n in zip(edges, edges[1:], counts.tolist())]
    return Figure(title, description, svg.picture(title, description, 274, *parts), Table(["interval", "count"], rows))


def budget_bar(charges: Sequence[tuple[str, float | Fraction]], *, title: str = "The privacy budget") -> Figure:
    """Draw which share of a budget each release took and how much is left.

    Parameters
    ----------
    charges : sequence of (str, float or Fraction)
        Name and share of the total of each charge, in order. Shares lie in [0, 1] and add up to at most 1.
    title : str
        What is shown.
    """
    if charges:
        _values("charges", [float(share) for _, share in charges])
    shares = [exact(share) for _, share in charges]
    spent = sum(shares, Fraction(0))
    if min(shares, default=0) < 0 or spent > 1:
        raise InvalidParameter("charges", "shares outside the budget", "shares of at least 0 that add up to at most 1")
    used, left = percent(spent, up=True), percent(1 - spent, up=False)
    releases = f"{len(charges):,} release{'' if len(charges) == 1 else 's'}"
    description = f"{releases}: {used} of the budget is spent, {left} is left."
    rows = [[name, percent(share, up=True)] for (name, _), share in zip(charges, shares, strict=True)]
    parts, column = [svg.words(0, 13, f"spent {used}"), svg.words(svg.WIDTH, 13, f"left {left}", anchor="end")], 0.0
    first = max(0, len(rows) - _NAMED)
    for k, share in enumerate(shares):
        fill = f'class="fill a" fill-opacity="{0.9 if k % 2 == 0 else 0.55}"'
        width = float(share) * svg.WIDTH
        parts.append(f'<rect {fill} x="{column:.1f}" y="22" width="{max(width - 1, 0.5):.1f}" height="26"/>')
        column += width
        if k >= first:
            name, row = rows[k][0], 70 + 19 * (k - first)
            parts.append(f'<rect {fill} x="0" y="{row - 10}" width="14" height="11"/>')
            parts.append(svg.words(21, row, name if len(name) <= 45 else f"{name[:44]}…"))
            parts.append(svg.words(svg.WIDTH, row, rows[k][1], anchor="end"))
    parts.append(f'<rect class="axis" x="0.5" y="22.5" width="{svg.WIDTH - 1}" height="25" fill="none"/>')
    table = Table(["release", "share of the budget"], [*rows, ["left", left]])
    height = 54 + 19 * min(len(rows), _NAMED)
    return Figure(title, description, svg.picture(title, description, height, *parts), table)
