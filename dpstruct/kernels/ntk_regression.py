"""CPU kernels of NTK regression: lattice features, residuals, orthogonal directions, the exact kernel's recursion.

Whatever is truncated to integers is computed row by row with + - * / and square roots in a fixed order, so that a
record's integers do not depend on the rows around it. No release depends on `recursion`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels._jit import inline, jit

Floats = NDArray[np.float64]

UNIT = 1 << 15  # lattice steps of a vector of length 1
SHRINK = UNIT * (1 - 2.0**-30)  # so that rounding errors of a length can not make a truncated vector longer than UNIT
SMALLEST = -80  # of the powers of two that the exponential function needs
POWERS = np.ldexp(1.0, np.arange(SMALLEST, 1))
OVER_LN2, LN2_HIGH, LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10

P0, P1, P2, P3 = 0.16666666666666666, -0.3255658186224009, 0.20121253213486293, -0.04005553450067941
Q1, Q2, Q3, Q4 = -2.403394911734414, 2.0209457602335057, -0.6882839716054533, 0.07703815055590194
TILE = 1 << 10

NORMAL, SOFTMAX, ONE_HOT = 0, 1, 2  # kinds of residuals


@inline
def _sum_of_squares(row: Any) -> Any:
    """Return the sum of squares in four partial sums, always the same ones."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = row.size - row.size % 4
    for j in range(0, whole, 4):
        a += row[j] * row[j]
        b += row[j + 1] * row[j + 1]
        c += row[j + 2] * row[j + 2]
        d += row[j + 3] * row[j + 3]
    for j in range(whole, row.size):
        a += row[j] * row[j]
    return (a + b) + (c + d)


@inline
def _to_lattice(row: Any, factor: Any) -> None:
    """Scale a row and truncate it to integers of length at most UNIT; clear it if it is longer, or not finite."""
    if math.isfinite(factor):
        for j in range(row.size):
            row[j] = np.trunc(row[j] * factor)
        if _sum_of_squares(row) <= UNIT * UNIT:  # exact: integers
            return
    for j in range(row.size):
        row[j] = 0.0


@inline
def _to_sphere(row: Any) -> None:
    """Give a row the length UNIT, in integers; a row without a direction becomes zero."""
    length = math.sqrt(_sum_of_squares(row))
    _to_lattice(row, SHRINK / length if length > 0.0 and math.isfinite(length) else math.nan)


@jit
def unit_rows(rows: Floats) -> None:
    """Replace every row by integers: its direction, of length at most UNIT."""
    for i in range(rows.shape[0]):
        _to_sphere(rows[i])


@jit
def centred_rows(rows: Floats, center: Floats) -> None:
    """Subtract a released centre from every row, then as `unit_rows`."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for j in range(row.size):
            row[j] -= center[j]
        _to_sphere(row)


@jit
def zonal_rows(x: Any, products: Floats, heads: Floats, psi: Floats, out: Floats) -> None:
    """Write the lattice features of every row: exact blocks, then a polynomial of its products with the directions.

    `heads` holds the factors of the constant, of the coordinates and of the squares (0: left out), and that of the
    products; `psi` six coefficients after the constant one, then the bound of the polynomial's values.
    """
    d, width = x.shape[1], products.shape[1]
    for i in range(x.shape[0]):
        row = out[i]
        row[0] = heads[0]
        for j in range(d):
            row[1 + j] = heads[1] * x[i, j]
        at = 1 + d
        if heads[2] > 0.0:
            for j in range(d):
                row[at] = heads[2] * (np.float64(x[i, j]) * x[i, j] - UNIT * UNIT / d)
                at += 1
                for k in range(j + 1, d):
                    row[at] = heads[2] * math.sqrt(2.0) * (np.float64(x[i, j]) * x[i, k])
                    at += 1
        tail = row[at : at + width]
        for j in range(width):
            t = min(1.0, max(-1.0, products[i, j] * heads[3]))
            v = ((((((psi[6] * t + psi[5]) * t + psi[4]) * t + psi[3]) * t) + psi[2]) * t + psi[1]) * t + psi[0]
            tail[j] = min(psi[7], max(-psi[7], v))
        _to_sphere(row)


@inline
def _exp(x: Any) -> Any:
    """Return e**x for x <= 0 to 15 digits, by a polynomial and an exact power of two; 0 below -55."""
    if x < -55.0:
        return 0.0
    k = math.floor(x * OVER_LN2 + 0.5)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    p = 1.0
    for i in range(13, 0, -1):
        p = 1.0 + p * r / i
    return p * POWERS[np.int64(k) - SMALLEST]


@inline
def _softmax(scores: Any) -> None:
    largest, total = scores[0], 0.0
    for a in range(scores.size):
        largest = max(largest, scores[a])
    for a in range(scores.size):
        scores[a] = _exp(scores[a] - largest)
        total += scores[a]
    for a in range(scores.size):
        scores[a] /= total


@jit
def residual_rows(scores: Floats, y: Any, kind: int, clip: float) -> None:
    """Replace scores by clipped residuals in integers of length at most UNIT, where UNIT stands for `clip`.

    NORMAL: y is a target, UNIT for 1; SOFTMAX: probabilities minus the class; ONE_HOT: scores minus the centred class.
    A class that does not exist, and what is not finite, makes a row of zeros.
    """
    classes = scores.shape[1]
    for i in range(scores.shape[0]):
        row, label = scores[i], np.int64(y[i])
        if kind == NORMAL:
            row[0] -= np.float64(label) / UNIT
        elif label < 0 or label >= classes:
            for a in range(classes):
                row[a] = 0.0
        else:
            if kind == SOFTMAX:
                _softmax(row)
            else:
                for a in range(classes):
                    row[a] += 1.0 / classes
            row[label] -= 1.0
        length = math.sqrt(_sum_of_squares(row))
        _to_lattice(row, SHRINK / max(length, clip) if math.isfinite(length) else math.nan)


@inline
def _acos(s: Any) -> Any:
    """Return the arc cosine by fdlibm's rational function, without branches, so that it becomes vector code."""
    near = abs(s) < 0.5
    z = s * s if near else 0.5 * (1.0 - abs(s))
    p = 7.91534994289814532176e-04 + z * 3.47933107596021167570e-05
    p = z * (P0 + z * (P1 + z * (P2 + z * (P3 + z * p))))
    r = p / (1.0 + z * (Q1 + z * (Q2 + z * (Q3 + z * Q4))))
    w = s if near else math.sqrt(z)
    w += w * r
    far = 2.0 * w if s > 0.0 else math.pi - 2.0 * w
    return 0.5 * math.pi - w if near else far


@jit
def recursion(cosines: Floats, depth: int) -> None:
    """Replace the cosines in a flat array by the normalised neural tangent kernel of that depth."""
    scratch = np.empty(TILE)
    for start in range(0, cosines.size, TILE):
        tangent = cosines[start : start + TILE]
        s = scratch[: tangent.size]
        for i in range(s.size):
            s[i] = min(1.0, max(-1.0, tangent[i]))
            tangent[i] = s[i]
        for _ in range(depth):
            for i in range(s.size):
                u = s[i]
                slope = 1.0 - _acos(u) * (1.0 / math.pi)
                u = min(1.0, math.sqrt(max(0.0, 1.0 - u * u)) * (1.0 / math.pi) + u * slope)
                tangent[i] = u + tangent[i] * slope
                s[i] = u
        for i in range(s.size):
            tangent[i] /= depth + 1
