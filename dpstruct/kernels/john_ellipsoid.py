"""Records to lattice rows; one pass over whitened rows: weights, clipping, truncation; the histogram of their lengths.

Every row by itself, in a fixed order of operations: subtractions, divisions and square roots, integers out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels._jit import jit

__all__ = ["cells", "contributions", "seal"]

Floats = NDArray[np.float64]
HUGE = float(np.finfo(np.float64).max)


@jit
def seal(
    rows: Floats, middle: Floats, sides: Floats, box: bool, bound: float, size: int, out: NDArray[np.int32]
) -> None:
    """Write records as lattice rows of length at most `size`, in one pass what `dpstruct.lattice.to_lattice` does.

    A record is taken from `middle`; entries that are not finite become 0. In a box it is divided by `sides` and clipped
    to -1 .. 1, coordinate by coordinate; then it is shrunk to length `bound`, which becomes `size`, and truncated: too
    long by roundings at most, which `contributions` gives away.
    """
    n, d = rows.shape
    for i in range(n):
        largest = bound
        for j in range(d):
            t = rows[i, j] - middle[j]
            t = min(max(t / sides[j], -1.0), 1.0) if box else min(max(t, -HUGE), HUGE)
            if not math.isfinite(rows[i, j]):
                t = 0.0
            rows[i, j] = t
            largest = max(largest, abs(t))
        length = 0.0
        for j in range(d):
            t = rows[i, j] / largest
            rows[i, j] = t
            length += t * t
        factor = 1.0 / max(math.sqrt(length), 1.0) * size
        for j in range(d):
            out[i, j] = np.int32(rows[i, j] * factor)


@jit
def _squared_length(row: Floats, unit: float) -> float:
    """Return ``|unit row|**2``, added up in four lanes: an order that is fixed, and short of waiting."""
    a, b, c, e = 0.0, 0.0, 0.0, 0.0
    whole = len(row) // 4 * 4
    for j in range(0, whole, 4):
        u, v, w, x = row[j] * unit, row[j + 1] * unit, row[j + 2] * unit, row[j + 3] * unit
        a += u * u
        b += v * v
        c += w * w
        e += x * x
    for j in range(whole, len(row)):
        u = row[j] * unit
        a += u * u
    return (a + b) + (c + e)


@jit
def contributions(
    rows: Floats, weights: Floats, unit: float, growth: float, radius2: float, size: float, count: float
) -> np.int64:
    """Turn whitened rows, in place, into lattice rows of squared length at most `size`; return their summed counts.

    Parameters
    ----------
    rows : ndarray of float64, shape (n, d)
        Exact integers; the whitened row b is ``unit`` times it. Replaced by ``b sqrt(q size / max(|b|**2, radius2))``,
        truncated toward zero, of squared length at most `size`: one part in 2**40 is given away, and each of the
        roundings, about d of them in the length, loses one in 2**53.
    weights : ndarray of float64, shape (n,)
        Weight q in [0, 1] of each row; becomes ``min(1, growth q |b|**2)`` if `growth` is positive.
    unit, growth, radius2 : float
        Public and finite; `radius2` at least 1.
    size : float
        A power of four, at most 2**50.
    count : float
        Adds ``floor(q count)`` per row to the result.
    """
    n, d = rows.shape
    total = np.int64(0)
    steps = math.sqrt(size) * (1.0 - 2.0**-40)
    for i in range(n):
        length = _squared_length(rows[i], unit)
        if growth > 0.0:
            weights[i] = min(1.0, growth * weights[i] * length)
        factor = math.sqrt(weights[i] / max(length, radius2)) * steps * unit
        for j in range(d):
            rows[i, j] = np.trunc(rows[i, j] * factor)
        total += np.int64(math.floor(weights[i] * count))
    return total


@jit
def cells(rows: Floats, unit: float, thresholds: Floats) -> NDArray[np.int64]:
    """Return how many whitened rows have j as the first cell with ``thresholds[j] < |b|**2``; thresholds decrease."""
    counts = np.zeros(len(thresholds), np.int64)
    for i in range(len(rows)):
        length = _squared_length(rows[i], unit)
        low, high = 0, len(thresholds)  # the first cell is in low .. high
        while low < high:
            middle = (low + high) // 2
            if thresholds[middle] < length:
                high = middle
            else:
                low = middle + 1
        if low < len(thresholds):
            counts[low] += 1
    return counts
