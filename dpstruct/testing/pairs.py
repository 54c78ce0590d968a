"""Pairs of datasets, and whether they are neighbours: decided exactly, on the values as they stand."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import NeighborsMismatch
from dpstruct.privacy import Relation, RowsWithin
from dpstruct.privacy.neighbors import describe
from dpstruct.testing.statistics import as_data
from dpstruct.testing.violation import Data

__all__ = ["Pair", "as_pair", "check_related", "contrast", "join", "moved_at_most", "split"]

#: All rows of one unit, one block per argument of `summarize`.
Unit = tuple[NDArray[Any], ...]


class Pair(NamedTuple):
    """Two neighbouring datasets, each the arguments of `summarize`."""

    first: Data
    second: Data


def as_pair(pair: Any) -> Pair:
    """Return a pair of arrays, or of tuples of arrays, as a `Pair`."""
    first, second = pair
    return Pair(as_data(first), as_data(second))


def join(structure: Any, units: list[Unit], unit: str = "row") -> Data:
    """Return units as the arguments of `summarize`; with ids as the last one unless the unit is a row."""
    empty = structure.no_rows()
    parts = zip(*units, strict=True) if units else [()] * len(empty)
    data = tuple(np.concatenate([none, *rows]) if rows else none for none, rows in zip(empty, parts, strict=True))
    if unit == "row":
        return data
    return (*data, np.repeat(np.arange(len(units)), [len(u[0]) for u in units]))


def split(data: Data, unit: str = "row") -> list[Unit]:
    """Return the units of a dataset, the inverse of `join`."""
    if unit == "row":
        return [tuple(array[i : i + 1] for array in data) for i in range(len(data[0]))]
    return [tuple(array[data[-1] == i] for array in data[:-1]) for i in np.unique(data[-1])]


def moved_at_most(old: Unit, new: Unit, radius: float) -> bool:
    """Whether one row moved at most `radius` in l2, in exact rationals; a value that is not finite must stay."""
    total = Fraction(0)
    for a, b in zip(old, new, strict=True):
        for v, w in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
            if np.isfinite(v) and np.isfinite(w):
                total += (Fraction(v) - Fraction(w)) ** 2
            elif not (v == w or (v != v and w != w)):
                return False
    return total <= Fraction(radius) ** 2


def _find(units: list[Unit], key: tuple[bytes, ...]) -> Unit:
    return next(u for u in units if tuple(part.tobytes() for part in u) == key)


def contrast(pair: Pair, unit: str = "row") -> dict[str, Data]:
    """Return what only one side of a pair holds, and what both do, by name."""
    keys = [[tuple(part.tobytes() for part in u) for u in split(data, unit)] for data in pair]
    shown: dict[str, Data] = {}
    for name, data, mine, others in (
        ("x_only", pair.first, keys[0], keys[1]),
        ("y_only", pair.second, keys[1], keys[0]),
    ):
        extra = list((Counter(mine) - Counter(others)).elements())
        alone = [_find(split(data, unit), key) for key in extra]
        shown[name] = tuple(np.concatenate([array[:0], *parts]) for array, *parts in zip(data, *alone))
    common = [u for u, key in zip(split(pair.first, unit), keys[0], strict=True) if key in set(keys[1])]
    return shown | {"both": tuple(np.concatenate([array[:0], *parts]) for array, *parts in zip(pair.first, *common))}


def check_related(pair: Pair, relation: Relation, unit: str = "row") -> None:
    """Raise unless the pair differs in one unit at most, and as the relation allows.

    Raises
    ------
    NeighborsMismatch
        Naming the relation.
    """
    sides = [split(data, unit) for data in pair]
    bags = [Counter(tuple(part.tobytes() for part in u) for u in units) for units in sides]
    only = [list((a - b).elements()) for a, b in (bags, bags[::-1])]
    if relation == "add-remove":
        good = sorted(map(len, only)) in ([0, 0], [0, 1])
    else:
        good = len(sides[0]) == len(sides[1]) and len(only[0]) <= 1
    if good and isinstance(relation, RowsWithin) and only[0]:
        old, new = (_find(units, keys[0]) for units, keys in zip(sides, only, strict=True))
        good = moved_at_most(old, new, relation.radius)
    if not good:
        raise NeighborsMismatch(f"the two datasets are not {describe(relation)} neighbors")
