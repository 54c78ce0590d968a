"""Hypothesis strategies for records, datasets and neighbours: half of what they draw is extreme."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from dpstruct.core import Plan, Structure
from dpstruct.domain import Ball, Box
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import RowsWithin
from dpstruct.testing.pairs import Pair, Unit, join, moved_at_most

__all__ = ["corners", "datasets", "domain_of", "move", "neighbors", "records", "units"]

Floats = NDArray[np.float64]
Drawn = st.SearchStrategy[Any]

WILD = (0.0, -0.0, 5e-324, -5e-324, 2.2e-308, math.nan, math.inf, -math.inf, 1e308, -1e308, 1.7976931348623157e308)
STEPS = 12  # cell boundaries are looked for at k / 2**STEPS of a side


def _sides(domain: Box | Ball) -> list[tuple[float, float]]:
    if domain.dim is None:
        raise InvalidParameter("domain", "a domain without a dimension", "one with it")
    if isinstance(domain, Box):
        return list(zip(domain.low, domain.high, strict=True))
    center = domain.center or (0.0,) * domain.dim
    return [(c - domain.radius, c + domain.radius) for c in center]


def _coordinate(low: float, high: float, boundaries: Sequence[float]) -> Drawn:
    """Return one coordinate: inside, wild, or at a bound or a cell boundary give or take an ulp."""
    ends = np.array([low, high, *boundaries])
    knots = low + (high - low) * (np.arange(1 << STEPS) / (1 << STEPS))
    bounds, cells = (
        np.concatenate([v, np.nextafter(v, np.inf), np.nextafter(v, -np.inf)]).tolist() for v in (ends, knots)
    )
    return st.sampled_from([*bounds, *WILD]) | st.floats(low, high) | st.sampled_from(cells)


def _with(row: Floats, value: float, at: int) -> Floats:
    """Return a row with one coordinate replaced, or all of them for ``at = -1``."""
    return np.where((np.arange(len(row)) == at) | (at < 0), value, row)


def _on_ball(ball: Ball, direction: list[float], length: float) -> Floats:
    u = np.array(direction, dtype=np.float64)
    norm = np.sqrt((u * u).sum())
    center = np.zeros(len(u)) if ball.center is None else np.array(ball.center)
    return center + (u / norm * ball.radius * length if norm > 0 else u)


def corners(domain: Box | Ball, most: int = 16) -> list[Floats]:
    """Return extreme records: corners of a box (all, or a choice of them), axis and diagonal ends of a ball.

    Parameters
    ----------
    domain : Box or Ball
        With a dimension.
    most : int
        How many at most.
    """
    sides = np.array(_sides(domain))
    d = len(sides)
    if isinstance(domain, Ball):
        axes = [s * row for row in np.eye(d) for s in (1.0, -1.0)]
        ones = [np.ones(d), -np.ones(d)]
        return [_on_ball(domain, u.tolist(), 1.0) for u in [*axes[: most - 2], *ones]]
    if 2**d <= most:
        picks = [[k >> j & 1 for j in range(d)] for k in range(2**d)]
    else:
        alternating = [j % 2 for j in range(d)]
        picks = [[0] * d, [1] * d, alternating, [1 - a for a in alternating]]
        picks += [[int(i == j) for j in range(d)] for i in range(min(d, most - 4))]
    return [sides[np.arange(d), pick] for pick in picks]


def records(domain: Box | Ball, *, boundaries: Sequence[float] = ()) -> Drawn:
    """Return a strategy of single records, float64 arrays of shape ``(d,)``, made to find a wrong public map.

    It draws points inside, the bounds and dyadic cell boundaries give or take an ulp, signed zeros, subnormals, NaN,
    infinities and the largest floats; one value in all coordinates; corners; and points on and off a ball's sphere.

    Parameters
    ----------
    domain : Box or Ball
        With a dimension.
    boundaries : sequence of float
        Further public cell boundaries, for any coordinate.
    """
    sides = _sides(domain)
    mixed = st.tuples(*[_coordinate(low, high, boundaries) for low, high in sides]).map(np.array)
    inside = st.tuples(*[st.floats(low, high) for low, high in sides]).map(np.array)
    equal = _coordinate(*sides[0], boundaries).map(lambda v: np.full(len(sides), v))
    wild = st.builds(_with, inside, st.sampled_from(WILD), st.integers(-1, len(sides) - 1))
    kinds = [mixed, inside, equal, wild, st.sampled_from(corners(domain))]
    if isinstance(domain, Ball):
        direction = st.lists(st.integers(-4, 4), min_size=len(sides), max_size=len(sides))
        length = st.sampled_from([1.0, 1 - 2**-53, 1 + 2**-52, 0.5, 2.0, 1e300 / domain.radius])
        kinds.append(st.builds(lambda u, r: _on_ball(domain, u, r), direction, length))
    return st.one_of(kinds)


def datasets(domain: Box | Ball, *, max_size: int = 8) -> Drawn:
    """Return a strategy of datasets, float64 arrays of shape ``(n, d)`` with 0 to `max_size` rows and many repeats."""
    d = len(_sides(domain))
    return _repeating(records(domain), max_size).map(lambda rows: np.array(rows, np.float64).reshape(len(rows), d))


def _repeating(one: Drawn, max_size: int) -> Drawn:
    lists = st.lists(one, max_size=max_size)
    return st.builds(lambda rows, again: (rows + rows[:1] * again)[:max_size], lists, st.integers(0, 3))


def domain_of(structure: Structure[Any]) -> Box | Ball | None:
    """Return the domain of a structure's only array: its `bounds`, where they fit; else None."""
    arrays, bounds = structure.no_rows(), getattr(structure, "bounds", None)
    fits = len(arrays) == 1 and isinstance(bounds, Box | Ball) and arrays[0].shape[1:] == (bounds.dim,)
    return bounds if fits else None


def units(structure: Structure[Any], data: Drawn | None = None, unit: str = "row") -> Drawn:
    """Return a strategy of the rows of one unit, a block per argument of `summarize`.

    Parameters
    ----------
    structure : Structure
        With a `bounds` domain for its only array, unless `data` is given.
    data : strategy, optional
        Of tuples with one record per argument of `summarize`, or one block of records, all of one unit.
    unit : str
        Whose rows they are; `data` is needed unless it is a row. Ids are appended when units are joined.
    """
    arrays = structure.no_rows()
    if data is not None:
        widths = [array.shape[1:] for array in arrays]
        return data.map(lambda row: tuple(np.reshape(part, (-1, *w)) for part, w in zip(row, widths, strict=True)))
    domain = domain_of(structure)
    if domain is None or unit != "row":
        raise InvalidParameter(
            "data",
            "nothing",
            f"a strategy of tuples of {len(arrays)} records",
            "for instance data=st.tuples(records(Ball(1.0, dim=4)), records(Box(0, 1, dim=1)))",
        )
    return records(domain).map(lambda row: (row[None, :],))


def _opposite(structure: Structure[Any], unit: Unit) -> Unit:
    domain = domain_of(structure)
    if domain is None:
        return tuple(-part if part.dtype.kind == "f" else part for part in unit)
    with np.errstate(all="ignore"):
        return (np.array([low + high for low, high in _sides(domain)]) - unit[0],)


def move(unit: Unit, direction: Sequence[float], radius: float) -> Unit:
    """Return a row moved by `radius` along `direction`, or a little less: never more, in exact rationals."""
    size = math.sqrt(sum(u * u for u in direction))
    for shrink in (1.0, 1 - 2.0**-52, 1 - 2.0**-50, 1 - 2.0**-40, 1 - 2.0**-20, 0.5):
        moved, at = [], 0
        for part in unit:
            step = np.array(direction[at : at + part.size]).reshape(part.shape) * (radius * shrink / (size or 1.0))
            at += part.size
            with np.errstate(all="ignore"):
                moved.append(part.astype(np.float64) + step)
        if moved_at_most(unit, tuple(moved), radius):
            return tuple(moved)
    return unit


def neighbors(plan: Plan[Any], *, data: Drawn | None = None, max_size: int = 4) -> Drawn:
    """Return a strategy of two neighbouring datasets, each a `Pair` side, under the relation of a plan.

    They are datasets without and with one unit, or with one unit replaced. Half of the replacements are to the opposite
    side of the domain; for `RowsWithin` they lie on the sphere of that radius, checked in rationals.

    Parameters
    ----------
    plan : Plan
        Names the relation and, through its structure, the domain.
    data : strategy, optional
        Of tuples with one record per argument of `summarize`; needed unless the structure has one array and `bounds`.
    max_size : int
        Number of common units at most; some are equal.
    """
    one = units(plan.structure, data, plan.unit)
    size = sum(math.prod(array.shape[1:]) for array in plan.structure.no_rows())
    directions = st.lists(st.integers(-3, 3), min_size=size, max_size=size)
    return _pairs(plan, one, _repeating(one, max_size), directions)


@st.composite
def _pairs(draw: st.DrawFn, plan: Plan[Any], one: Drawn, several: Drawn, directions: Drawn) -> Pair:
    common, old = draw(several), draw(one)
    at = draw(st.integers(0, len(common)))
    if plan.neighbors == "add-remove":
        sides = [common, [*common[:at], old, *common[at:]]]
    else:
        if isinstance(plan.neighbors, RowsWithin):
            new = move(old, draw(directions), plan.neighbors.radius)
        else:
            new = _opposite(plan.structure, old) if draw(st.booleans()) else draw(one)
        sides = [[*common[:at], u, *common[at:]] for u in (old, new)]
    return Pair(*(join(plan.structure, side, plan.unit) for side in sides))
