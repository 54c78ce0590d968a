"""Looking for the worst pair of neighbours: every pair of corners, then a search that is driven by the price."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings, target
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from dpstruct.core import Plan
from dpstruct.privacy import RowsWithin
from dpstruct.testing.pairs import Pair, Unit, join
from dpstruct.testing.price import Price, assert_price
from dpstruct.testing.strategies import WILD, Drawn, corners, domain_of, move, neighbors, units
from dpstruct.testing.violation import violation

__all__ = ["attack", "harvest", "worst_pair"]


def attack(plan: Plan[Any], strategy: Drawn, check: Callable[[Any], object], examples: int) -> None:
    """Run a check on drawn examples, the same ones every time, and shrink what fails."""

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.target, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        check(example)

    try:
        run()
    except Flaky as error:
        raise violation(plan, "the same data do not always give the same statistic", str(error)) from error


def harvest(plan: Plan[Any], data: Drawn | None, examples: int = 40) -> list[Unit]:
    """Return a collection of units: drawn ones, and some of them with every wild value in one place or in all."""
    found: list[Unit] = []
    attack(plan, st.lists(units(plan.structure, data, plan.unit), max_size=4), found.extend, examples)
    for k, value in enumerate(WILD):
        base = found[k % len(found)]
        found += [_filled(base, value, slice(None)), _filled(base, value, slice(k % 3, None, 3))]
    return found


def _filled(unit: Unit, value: float, where: slice) -> Unit:
    parts = tuple(part.copy() for part in unit)
    for part in parts:
        if part.dtype.kind == "f":
            part.reshape(-1)[where] = value
    return parts


def corner_pairs(plan: Plan[Any], data: Drawn | None) -> Iterator[Pair]:
    """Yield pairs of extreme units, alone and among a few others."""
    domain = domain_of(plan.structure)
    if domain is None or data is not None:
        found = harvest(plan, data)
        extremes, rest = found[:8] + found[-8:], found[8:28]
    else:
        points = corners(domain, most=9)
        sides = np.array([np.min(points, axis=0), np.max(points, axis=0)])
        middle = sides[0] + 0.5 * (sides[1] - sides[0])
        points += [middle, 0.5 * (sides[0] + middle), *(np.full(len(middle), v) for v in (np.nan, np.inf, -1e308))]
        extremes = [(point[None, :],) for point in points]
        random = np.random.default_rng(20)
        rest = [(sides[:1] + random.random((1, len(middle))) * (sides[1:] - sides[:1]),) for _ in range(20)]
    for background in ([], rest):
        for changed in _changes(plan, extremes):
            yield Pair(*(join(plan.structure, [*background, *unit], plan.unit) for unit in changed))


def _changes(plan: Plan[Any], extremes: list[Unit]) -> Iterator[tuple[list[Unit], list[Unit]]]:
    if plan.neighbors == "add-remove":
        yield from (([], [unit]) for unit in extremes)
    elif isinstance(plan.neighbors, RowsWithin):
        for unit in extremes:
            d = sum(part.size for part in unit)
            one = [float(j == 0) for j in range(d)]
            for direction in ([1.0] * d, [-1.0] * d, one, [-u for u in one]):
                yield [unit], [move(unit, direction, plan.neighbors.radius)]
    else:
        yield from (([a], [b]) for a, b in combinations(extremes, 2))


def worst_pair(plan: Plan[Any], *, data: Drawn | None = None, examples: int = 150) -> tuple[Pair, Price]:
    """Return the dearest pair of neighbours found, and its price: below 1, noise is wasted or the search is weak.

    Parameters
    ----------
    plan : Plan
        The plan under test.
    data : strategy, optional
        Of tuples with one record per argument of `summarize`; needed unless the structure has one array and `bounds`.
    examples : int
        Length of the search.

    Returns
    -------
    Pair, Price

    Raises
    ------
    PrivacyViolation
        If a pair costs more than the plan says, shrunk to a small one.

    Examples
    --------
    >>> import dpstruct as dps
    >>> plan = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=5).plan(epsilon=1.0, neighbors="substitute")
    >>> worst_pair(plan)[1].ratio <= 1
    True
    """
    best: list[tuple[Pair, Price]] = []

    def judge(pair: Pair) -> None:
        price = assert_price(plan, pair)
        if not best or price.worst > best[0][1].worst:
            best[:] = [(pair, price)]

    def steer(pair: Pair) -> None:
        price = assert_price(plan, pair)
        target(float(price.worst))
        if price.worst > best[0][1].worst:
            best[:] = [(pair, price)]

    for pair in corner_pairs(plan, data):
        judge(pair)
    attack(plan, neighbors(plan, data=data), steer, examples)
    return best[0]
