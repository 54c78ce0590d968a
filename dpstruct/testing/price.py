"""The exact price of a pair of neighbours: what its two statistics cost under the plan's noise, in rationals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, Summary
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import UNIT, Relation
from dpstruct.privacy import neighbors as relations
from dpstruct.privacy.events import Line
from dpstruct.testing.pairs import Pair, as_pair, check_related, contrast
from dpstruct.testing.statistics import count_rounds, follow, histories
from dpstruct.testing.violation import Data, PrivacyViolation, in_words, silent, spell, violation

__all__ = ["Price", "assert_price", "assert_sensitivity"]

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Price:
    """What one pair reaches.

    Attributes
    ----------
    ratio : Fraction
        Its price over the plan's cost. Scales are doubles, rounded up, so even a tight structure stays a hair below 1.
    bounds : tuple of Fraction
        Per group of lines, the part of the declared joint sensitivity that it uses: 1 if that is tight.
    """

    ratio: Fraction
    bounds: tuple[Fraction, ...]

    @property
    def worst(self) -> Fraction:
        """The largest of the ratios."""
        return max(self.ratio, *self.bounds)


def _changes(line: Line, values: tuple[Any, ...], change: Integers, power: int) -> dict[Any, int]:
    """Return the sums of ``|change|**power`` by the entry of `values`, weights or scales, that applies."""
    sums: defaultdict[Any, int] = defaultdict(int)
    flat = change.reshape(len(values), -1) if len(values) > 1 else change.reshape(1, -1)
    for value, row in zip(values, flat, strict=True):
        sums[value] += sum(abs(v) ** power for v in row[row != 0].tolist())
    return sums


def _price(plan: Plan[Any], first: Mapping[str, Integers], second: Mapping[str, Integers]) -> Price:
    total, bounds = Fraction(0), []
    for event in plan.events:
        power = 2 if event.kind == "rounded-gaussian" else 1
        used = Fraction(0)
        for line in event.lines:
            change = np.subtract(first[line.name], second[line.name], out=np.empty(line.shape, np.int64))
            total += sum(n / Fraction(s) ** power for s, n in _changes(line, line.scales, change, power).items())
            used += sum(n / w for w, n in _changes(line, line.weights, change, power).items())
        bounds.append(used / event.sensitivity)
    return Price(total * UNIT / plan.cost.units, tuple(bounds))


def assert_price(plan: Plan[Any], pair: Any) -> Price:
    """Check exactly that telling two neighbours apart costs no more than the plan's price.

    For every line d is the change of its integers, s its noise scale and w its weight. A Gaussian plan must have
    ``sum |d|_2**2 / s**2 <= mu**2``, a Laplace plan ``sum |d|_1 / s <= epsilon``, and each group its joint bound on
    ``sum |d|_2**2 / w`` or ``sum |d|_1 / w``. The rounds of an adaptive structure are compared under common histories:
    the exact and noised transcripts of both datasets, and an empty one.

    Parameters
    ----------
    plan : Plan
        The plan under test.
    pair : Pair, or two arrays, or two tuples of arrays
        Neighbours under the plan's relation.

    Returns
    -------
    Price
        The ratios reached; see `worst_pair`.

    Raises
    ------
    PrivacyViolation
        If a ratio exceeds 1, or a value makes the structure raise.
    NeighborsMismatch
        If the pair are no neighbours.

    Notes
    -----
    Integers plus a rounded Gaussian are a post-processed Gaussian mechanism, whose price is exactly the first sum; for
    rounds with scales fixed beforehand a bound under every history suffices (arXiv 2210.17520).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> plan = dps.KDETree(bounds=dps.Box(0, 1, dim=1)).plan(epsilon=1.0, delta=1e-6, neighbors="substitute")
    >>> assert_price(plan, (np.array([[0.0]]), np.array([[1.0]]))).bounds
    (Fraction(1, 1),)
    """
    pair = as_pair(pair)
    check_related(pair, plan.neighbors, plan.unit)
    summaries = []
    for data in pair:
        with silent(plan, "summarize", data):
            summaries.append(plan.structure.summarize(*data))
    return price_of(plan, pair, summaries)


def price_of(plan: Plan[Any], pair: Pair, summaries: list[Summary[Any]]) -> Price:
    """Return the largest price of a pair over the common histories, or raise `PrivacyViolation`."""
    with silent(plan, "release", pair.first):
        common = histories(plan, *summaries)
    best: Price | None = None
    for history in common:
        sides, asked = [], set()
        for summary, data in zip(summaries, pair, strict=True):
            with silent(plan, "release", data):
                exact, of_this = follow(plan, summary, history)
            sides.append(exact)
            asked.add(of_this)
        if len(asked) > 1:
            what = "the rounds ask for sums that depend on more than the released history"
            raise violation(plan, what, **contrast(pair, plan.unit))
        price = _price(plan, *sides)
        if price.worst > 1:
            raise _too_dear(plan, pair, price, count_rounds(of_this))
        best = price if best is None or price.worst > best.worst else best
    assert best is not None
    return best


def _too_dear(plan: Plan[Any], pair: Pair, price: Price, rounds: int) -> PrivacyViolation:
    told = [f"price: {in_words(price.ratio)} of the cost"]
    for event, bound in zip(plan.events, price.bounds, strict=True):
        names = ", ".join(line.name for line in event.lines[:4]) + (", .." if len(event.lines) > 4 else "")
        told.append(f"group ({names}): {in_words(bound)} of the declared sensitivity")
    what = "a pair of neighbours costs more than the plan says" + ", under one common history" * (rounds > 1)
    return violation(plan, what, *told, **contrast(pair, plan.unit))


def assert_sensitivity(
    statistic: Callable[..., Any], pair: Any, *, norm: str, bound: Fraction | float, neighbors: Relation | str
) -> Fraction:
    """Check exactly that a plain function moves by at most `bound` between two neighbours.

    Parameters
    ----------
    statistic : callable
        Takes the arrays of one dataset, returns a real array.
    pair : Pair, or two arrays, or two tuples of arrays
        The neighbours.
    norm : {"l1", "l2", "linf"}
        Norm of the change.
    bound : Fraction, int or float
        Largest change allowed; a float is the rational number that it is.
    neighbors : {"add-remove", "substitute"} or RowsWithin
        The relation of the pair.

    Returns
    -------
    Fraction
        The part of the bound that is used; squared for ``"l2"``.

    Raises
    ------
    PrivacyViolation
        If the change is larger.
    NeighborsMismatch
        If the pair are no neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> pair = np.array([[1.0], [2.0]]), np.array([[1.0]])
    >>> assert_sensitivity(lambda X: X.sum(axis=0), pair, norm="l1", bound=2, neighbors="add-remove")
    Fraction(1, 1)
    """
    pair, relation = as_pair(pair), relations.parse(neighbors)
    check_related(pair, relation)
    first, second = (np.asarray(statistic(*data)) for data in pair)
    if first.shape != second.shape:
        raise _moved(pair, relation, f"shapes {first.shape} and {second.shape} of the statistic differ")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise _moved(pair, relation, "the statistic is not finite")
    sides = first.ravel().tolist(), second.ravel().tolist()
    change = [abs(Fraction(a) - Fraction(b)) for a, b in zip(*sides, strict=True)]
    sizes = {"l1": sum(change), "l2": sum(c * c for c in change), "linf": max(change, default=0)}
    if norm not in sizes:
        raise InvalidParameter("norm", repr(norm), '"l1", "l2" or "linf"')
    used = Fraction(sizes[norm]) / Fraction(bound) ** (2 if norm == "l2" else 1)
    if used > 1:
        raise _moved(
            pair, relation, f"it moves by {in_words(used)} of the bound in {norm}{' squared' * (norm == 'l2')}"
        )
    return used


def _moved(pair: tuple[Data, Data], relation: Relation, what: str) -> PrivacyViolation:
    sides = [f"  {name} = {spell(data)}" for name, data in zip("xy", pair, strict=True)]
    return PrivacyViolation("\n".join([f"statistic: {what}", *sides, f"  neighbors: {relations.describe(relation)}"]))
