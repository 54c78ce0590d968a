"""One person's rows: what bounds their joint contribution to a moment state, and the exact sums under that rule.

* ``None``: every row is a unit of its own.
* ``"mean"``: the rows of a unit share the weight of one row. Their sum is a convex combination of row contributions, so
  every bound that holds for one row by convexity holds for the unit.
* ``("max_rows", g)``: the first g rows of a unit count. Sensitivity g times that of a row.
* ``("clip", C)``: a unit whose exact weighted norm exceeds C times a row's bound is scaled down to it and truncated.

A unit's integers depend on that unit's rows alone: all arithmetic up to the one truncation is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType

__all__ = ["Rule", "Sums", "check_ids", "factor", "parse", "seal", "shrink"]

Integers = NDArray[np.int64]
Rule = None | str | tuple[str, float]
_EXPECTED = 'None, "mean", ("max_rows", g) or ("clip", C)'


def parse(value: object) -> Rule:
    """Return a checked rule."""
    if value is None or (isinstance(value, str) and value == "mean"):
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        kind, limit = value
        if kind == "max_rows":
            return "max_rows", positive_integer("unit_rule[1]", limit, at_most=1 << 30)
        if kind == "clip":
            size = real("unit_rule[1]", limit)
            if not 1 <= size <= 2.0**30:
                raise InvalidParameter("unit_rule[1]", repr(size), "a number of rows from 1 to 2**30")
            return "clip", size
    raise InvalidParameter("unit_rule", repr(value)[:60], _EXPECTED)


def factor(rule: Rule) -> float:
    """Return by how much a unit may exceed a single row in norm."""
    return float(rule[1]) if isinstance(rule, tuple) else 1.0


def check_ids(ids: Any, n: int) -> NDArray[Any]:
    """Return one integer label per row; values are not looked at beyond equality.

    Where ids have no dtype of NumPy's, in a list or a nullable column, they are compared one by one as Python compares
    them: a common dtype could round some when others arrive. Ids that are not equal to themselves, and those that can
    not be compared, are one unit.

    Raises
    ------
    InvalidType
        If an array's ids are neither numbers nor strings.
    InvalidParameter
        If there is not one per row.
    """
    if isinstance(getattr(ids, "dtype", None), np.dtype) and ids.dtype.kind != "O":
        array = np.asarray(ids)
    elif getattr(ids, "ndim", 1) != 1 or isinstance(ids, np.ndarray):
        array = np.empty(0, dtype=object)
    else:
        array = np.array(_codes(ids), dtype=np.int64)
    if array.dtype.kind not in "biufSU" or (array.dtype.kind == "f" and array.dtype.itemsize > 8):
        raise InvalidType(
            "unit_ids", f"dtype {array.dtype.type.__name__}", "numbers or strings", "convert with .astype(str)"
        )
    if array.shape != (n,):
        raise InvalidParameter("unit_ids", "another shape", "one id per row")
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array.astype(np.float64) + 0.0).view(np.int64)
    return np.asarray(np.unique(array, return_inverse=True)[1], dtype=np.int64).reshape(n)


def _codes(ids: Any) -> list[int]:
    """Return a number per id, equal for equal ids."""
    known: dict[Any, int] = {}
    found = []
    try:
        given_ids = list(ids)
    except Exception:  # nothing that has elements; a message could quote data
        raise InvalidType("unit_ids", f"a {type(ids).__name__}", "an array or a list, one id per row") from None
    for given in given_ids:
        try:
            value = given.item() if hasattr(given, "item") else given
            found.append(known.setdefault(value if value == value else None, len(known)))
        except Exception:  # a value without a hash, or with a broken one
            found.append(known.setdefault(None, len(known)))
    return found


class Sums(NamedTuple):
    """How a blueprint adds up rows, exactly, and what bounds one unit under the rule "clip".

    Attributes
    ----------
    total : callable
        Takes an index of rows and their integer weights, returns their sum.
    each : callable
        Takes an index of rows and the place in it where each unit starts, returns one sum per unit, rows in full.
    limit : callable
        Takes sums per unit, returns sums of bounded norm.
    most : int
        Number of rows that `each` takes at most.
    """

    total: Callable[[Any, Integers], Integers]
    each: Callable[[Integers, Integers], Integers]
    limit: Callable[[Integers], Integers]
    most: int


def seal(rule: Rule, ids: Integers | None, n: int, weight: int, sums: Sums) -> tuple[int, Integers]:
    """Return the number of units and the exact sums of their bounded contributions, modulo 2**64.

    Parameters
    ----------
    rule : Rule
    ids : ndarray of int64, shape (n,), labels 0, 1, .. from `check_ids`; None without a rule
    n : int
        Number of rows.
    weight : int
        The integer weight of a row that counts in full.
    sums : Sums
    """
    if ids is None:
        return n, sums.total(slice(None), np.full(n, weight))
    sizes = np.bincount(ids)
    if rule == "mean":
        return len(sizes), sums.total(slice(None), weight // sizes[ids])
    assert isinstance(rule, tuple)
    kind, most = rule
    order = np.argsort(ids, kind="stable")
    starts = np.cumsum(sizes) - sizes
    if kind == "max_rows":
        kept = order[np.arange(n) - starts[ids[order]] < most]
        return len(sizes), sums.total(kept, np.full(len(kept), weight))
    kept = order[sizes[ids[order]] <= most]  # so few rows can not exceed the limit
    total = sums.total(kept, np.full(len(kept), weight))
    for batch in _batches(np.flatnonzero(sizes > most), sizes, sums.most):
        rows = np.concatenate([order[starts[u] : starts[u] + sizes[u]] for u in batch])
        if len(rows) <= sums.most:
            found = sums.each(rows, np.cumsum(sizes[batch]) - sizes[batch])
        else:  # one large unit
            found = sums.total(rows, np.full(len(rows), weight))[None]
        total = total + sums.limit(found).sum(axis=0)
    return len(sizes), total


def _batches(chosen: Integers, sizes: Integers, most: int) -> Iterator[Integers]:
    """Yield consecutive units with at most `most` rows together, or single ones."""
    ends = np.cumsum(sizes[chosen])
    first = 0
    while first < len(chosen):
        before = ends[first] - sizes[chosen[first]]
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield chosen[first:last]
        first = last


def shrink(T: Integers, precisions: NDArray[np.float64], limit: float) -> Integers:
    """Return every ``T[u]``, or a multiple of it truncated toward zero, with ``sum(precisions * T[u]**2) <= limit**2``.

    The norm is an upper bound from integers, close unless `T` is tiny: `T` is shifted until its squares add up in 64
    bits. `precisions` belong to the last axes of `T`.
    """
    units, size = len(T), T[:1].size
    flat = T.reshape(units, -1)
    bits = (61 - size.bit_length()) // 2
    largest = np.maximum(
        flat.max(axis=1, initial=0).astype(np.float64), -flat.min(axis=1, initial=0).astype(np.float64)
    )
    shift = np.maximum(0, np.frexp(largest)[1].astype(np.int64) - bits)
    above = (np.abs(flat >> shift[:, None]) + 1).reshape(T.shape)  # |T| <= above * 2**shift
    squares = (above * above).reshape(units, -1, *precisions.shape).sum(axis=1)
    norms = np.array([math.fsum(unit) for unit in (squares * precisions).reshape(units, -1).tolist()])
    norms = np.ldexp(np.sqrt(norms * (1 + 2.0**-40)), shift)
    long = (norms > limit).reshape(units, *[1] * (T.ndim - 1))
    factors = np.where(long, (limit / norms * (1 - 2.0**-40)).reshape(long.shape), 0.0)  # no cast of what is kept
    return np.where(long, np.trunc(T.astype(np.float64) * factors).astype(np.int64), T)
