"""CPU kernels of private kernel sums: phases of exact projections, kernels at fixed points.

Everything before the integers is plain IEEE arithmetic in a fixed order, record by record: tables and polynomials in
place of library functions. Integer sums wrap modulo 2**64, so blocks and threads may add them in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels import blocks
from dpstruct.kernels._jit import inline, jit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WAVES = 1 << 10  # entries of the table of queries
INTERVALS = 1 << 13  # of the table of a radial profile
TILE = 1 << 17  # projections that are looked up together
_MAGIC = 1.5 * 2.0**52  # added to an integer below 2**51 in size, it leaves that integer in the low bits of the double


# ---- random features -------------------------------------------------------------------------------------------------


@jit
def _add_phases(projections: Any, shift: int, table: Any, out: Any) -> None:
    """Add the packed points of a block of projections ``(rows, J)``, given as the bits of doubles."""
    mask = np.int64(4095)
    for i in range(projections.shape[0]):
        row = projections[i]
        for j in range(row.size):
            out[j] += table[np.uint64((row[j] >> shift) & mask)]


def phase_sums(rows: Floats, matrix: Floats, shift: int, cos: Integers, sin: Integers) -> tuple[Integers, Integers]:
    """Return the sums over records of ``cos[i]`` and ``sin[i]``, i the phase of each projection.

    The phase is bits ``shift`` to ``shift + 11`` of the integer ``rows @ matrix``, all of whose partial sums must stay
    below 2**51. Both table values, at most 2**15 in size, are added as halves of one 64-bit word.

    Parameters
    ----------
    rows : (n, d) float64, integer-valued
    matrix : (d, J) float64, integer-valued
    cos, sin : (4096,) int64

    Returns
    -------
    (J,) int64, twice
    """
    table = ((cos + (1 << 15)).astype(np.uint64) << np.uint64(32)) | (sin + (1 << 15)).astype(np.uint64)
    count = matrix.shape[1]
    step = max(1, TILE // max(1, count))

    def task(start: int, stop: int) -> tuple[Integers, Integers]:
        packed = np.zeros(count, np.uint64)
        buffer = np.empty((min(step, stop - start), count))
        for first in range(start, stop, step):
            part = buffer[: min(step, stop - first)]
            np.matmul(rows[first : first + len(part)], matrix, out=part)
            part += _MAGIC
            _add_phases(part.view(np.int64), shift, table, packed)
        offset = np.int64(stop - start) << 15
        return (packed >> np.uint64(32)).astype(np.int64) - offset, (packed & np.uint64(2**32 - 1)).astype(
            np.int64
        ) - offset

    parts = blocks.run(task, blocks.spans(len(rows), 1 << 15))  # 2**15 rows of at most 2**16: no half overflows
    zero = np.zeros(count, np.int64)
    return sum((p[0] for p in parts), zero), sum((p[1] for p in parts), zero)


@jit
def _wave_sums(turns: Any, table: Any, shift: Any, size: Any, out: Floats) -> None:
    """Write ``sum_j size_j cos(2 pi t_j - shift_j)`` per row, shifts in cells: quadratic pieces, to 3e-9."""
    cells = table.shape[0]
    mask = np.int64(cells - 1)
    for i in range(turns.shape[0]):
        total = 0.0
        for j in range(turns.shape[1]):
            t = turns[i, j] * cells - shift[j]
            cell = np.floor(t)
            k, u = np.uint64(np.int64(cell) & mask), t - cell
            total += size[j] * (table[k, 0] + u * (table[k, 1] + u * table[k, 2]))
        out[i] = total


def wave_sums(rows: Floats, turns: Floats, amplitudes: Floats) -> Floats:
    """Return ``sum_j A_j cos(2 pi <row, turns_j>) + B_j sin(..)`` for each row; a row with a NaN gets a NaN.

    Parameters
    ----------
    rows : (q, d) float64
    turns : (d, J) float64
    amplitudes : (J, 2) float64
    """
    u = np.array([0.0, 0.5, 1.0])
    table = np.zeros((WAVES, 4))  # aligned
    pieces = np.linalg.inv(np.vander(u, 3, increasing=True)).T
    table[:, :3] = np.cos((np.arange(WAVES)[:, None] + u) * (2 * np.pi / WAVES)) @ pieces
    size = np.hypot(amplitudes[:, 0], amplitudes[:, 1])
    shift = np.arctan2(amplitudes[:, 1], amplitudes[:, 0]) * (WAVES / (2 * np.pi))
    out = np.empty(len(rows))
    step = max(1, TILE // max(1, turns.shape[1]))
    good: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
    safe = rows if good.all() else np.where(good[:, None], rows, 0.0)

    def task(start: int, stop: int) -> None:
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            _wave_sums(safe[part] @ turns, table, shift, size, out[part])

    blocks.run(task, blocks.spans(len(rows), max(step, 1 << 10)))
    out[~good] = np.nan
    return out


# ---- kernels at fixed points -----------------------------------------------------------------------------------------


@inline
def _distance(row: Any, point: Any, scale: float, mode: int) -> float:
    """Return the distance that the profile takes: l2, l1, or for a product of 1/(1+t**2) what makes it 1/(1+r**2).

    Differences come first: however far from 0 the coordinates are, those are off by a rounding of their own size.
    """
    total = 0.0
    if mode == 0:
        for c in range(row.size):
            t = (row[c] - point[c]) * scale
            total += t * t
        total = np.sqrt(total)
    elif mode == 1:
        for c in range(row.size):
            total += abs((row[c] - point[c]) * scale)
    else:
        product = 1.0
        for c in range(row.size):
            t = (row[c] - point[c]) * scale
            product *= 1.0 + t * t
        total = np.sqrt(product - 1.0)
    return total


@inline
def _profile(r: float, table: Any) -> float:
    """Return the profile at distance r by cubic pieces on ``r / (1 + r)``."""
    if not r < 1e12:
        r = 1e12
    z = r / (1.0 + r) * table.shape[0]
    k = min(np.int64(z), table.shape[0] - 1)
    t = z - k
    value: float = table[k, 0] + t * (table[k, 1] + t * (table[k, 2] + t * table[k, 3]))
    return value


@jit
def _add_kernels(rows: Any, points: Any, scale: float, mode: int, table: Any, size: float, out: Integers) -> None:
    for i in range(rows.shape[0]):
        for j in range(points.shape[0]):
            value = _profile(_distance(rows[i], points[j], scale, mode), table)
            out[j] += np.int64(min(max(value, 0.0), 1.0) * size + 0.5)


def kernel_sums(rows: Floats, points: Floats, scale: float, mode: int, table: Floats, bits: int) -> Integers:
    """Return the sums over records of ``2**bits k(x, z_j)``, each rounded to the nearest integer, (q,) int64.

    Parameters
    ----------
    rows, points : (n, d) and (q, d) float64
    scale : float
        1 / bandwidth.
    mode : 0 for l2, 1 for l1, 2 for a product of Cauchy profiles
    table : (INTERVALS, 4) float64, from `profile_table`
    """

    def task(start: int, stop: int) -> Integers:
        out = np.zeros(len(points), np.int64)
        _add_kernels(rows[start:stop], points, scale, mode, table, 2.0**bits, out)
        return out

    return sum(blocks.run(task, blocks.spans(len(rows), 1 << 10)), np.zeros(len(points), np.int64))


def profile_table(profile: Any) -> Floats:
    """Return cubic pieces of a profile on ``u = r / (1 + r)``, through four points of each of 2**13 intervals."""
    t = np.array([0.0, 1 / 3, 2 / 3, 1.0])
    u = (np.arange(INTERVALS)[:, None] + t) / INTERVALS
    values = np.asarray(profile(u / np.maximum(1 - u, 1e-13)), dtype=np.float64)
    solve = np.linalg.inv(np.vander(t, 4, increasing=True))
    return np.ascontiguousarray(values @ solve.T)


def table_error(profile: Any, table: Floats) -> float:
    """Return four times the largest distance between a profile and its table, at many points inside every piece.

    The first and last pieces, where a profile may be rough, are looked at on all scales from 2**-300 to 2**300.
    """
    u = (np.arange(INTERVALS)[:, None] + (np.arange(16) + 0.5) / 16) / INTERVALS
    r = np.concatenate([(u / (1 - u)).ravel(), 2.0 ** np.arange(-300, 300, 1 / 16)])
    with np.errstate(all="ignore"):
        z = np.minimum(r, 1e12)
        z = z / (1.0 + z) * INTERVALS
        k = np.minimum(z.astype(np.int64), INTERVALS - 1)
        t, (a, b, c, d) = z - k, table[k].T
        misses = np.abs(np.clip(a + t * (b + t * (c + t * d)), 0.0, 1.0) - profile(r))
    return 4 * float(misses.max())
