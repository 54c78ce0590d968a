"""CPU kernels of structured random features: signs and fast Walsh-Hadamard transforms in place of a matrix product.

A tile holds one coordinate of many rows side by side, ``(D, lanes)`` flat, so that a butterfly adds whole vectors and
no row ever meets another one. Records are 32-bit integers from the grid on: the same bits whatever tile surrounds them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels import blocks
from dpstruct.kernels._jit import jit

__all__ = ["phase_sums", "wave_sums"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Signs = NDArray[np.int32]

_TILE = 1 << 17  # bytes of a tile: three of them stay in a second-level cache
# sin(2 pi t) = t p(t**2) up to a quarter turn
_SINE = (6.28318515961, -41.3416549293, 81.6009981926, -76.5496568205, 39.5358137107)


@jit
def _transform(x: Any, lanes: int) -> None:
    """Replace ``x`` (D * lanes), D a power of two, by its Walsh-Hadamard transform along D, without a factor."""
    kind = x.dtype.type  # without the casts Numba would add in 64 bits
    size, h = x.size, lanes
    while 4 * h <= size:
        for i in range(0, size, 4 * h):
            A, B, C, E = x[i : i + h], x[i + h : i + 2 * h], x[i + 2 * h : i + 3 * h], x[i + 3 * h : i + 4 * h]
            for j in range(h):
                a, b, c, e = A[j], B[j], C[j], E[j]
                p, q, r, s = kind(a + b), kind(a - b), kind(c + e), kind(c - e)
                A[j], B[j], C[j], E[j] = kind(p + r), kind(q + s), kind(p - r), kind(q - s)
        h *= 4
    if h < size:
        A, B = x[:h], x[h:]
        for j in range(h):
            a, b = A[j], B[j]
            A[j], B[j] = kind(a + b), kind(a - b)


@jit
def _flip(source: Any, signs: Any, lanes: int, out: Any) -> None:
    """Write ``source`` with the signs of its coordinates changed to `out`, another array."""
    for i in range(signs.size):
        sign = np.float64(signs[i])
        a, b = source[i * lanes : (i + 1) * lanes], out[i * lanes : (i + 1) * lanes]
        for j in range(lanes):
            b[j] = a[j] * sign


@jit
def _shift_and_flip(source: Any, shift: int, signs: Any, lanes: int, out: Any) -> None:
    """Write integers divided by ``2**shift``, rounded down, with the signs of the coordinates changed."""
    s = np.int32(shift & 31)
    for i in range(signs.size):
        sign = signs[i]
        a, b = source[i * lanes : (i + 1) * lanes], out[i * lanes : (i + 1) * lanes]
        for j in range(lanes):
            b[j] = np.int32(np.int32(a[j] >> s) * sign)


# ---- records ---------------------------------------------------------------------------------------------------------


@jit
def _load_cells(rows: Any, middle: Any, scale: float, reach: float, signs: Any, lanes: int, tile: Any) -> None:
    """Fill a tile with the signed grid cells of at most `lanes` rows, zeros elsewhere; a NaN counts as -reach."""
    tile[:] = 0
    cells = np.empty(rows.shape[1], np.int32)
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            z = np.floor((rows[r, c] - middle[c]) * scale)
            z = z if z > -reach else -reach
            z = z if z < reach else reach
            cells[c] = np.int32(z) * signs[c]
        for c in range(rows.shape[1]):
            tile[c * lanes + r] = cells[c]


@jit
def _add_phases(x: Any, turns: Any, table: Any, lanes: int, count: int, out: Any) -> None:
    """Add the packed points of `count` rows: the top twelve bits of each product modulo 2**64 say which."""
    for i in range(turns.size):
        a, turn, total = x[i * lanes : (i + 1) * lanes], turns[i], np.uint64(0)
        for j in range(count):
            total += table[(np.uint64(a[j]) * turn) >> np.uint64(52)]
        out[i] += total


@jit
def _sum_phases(
    rows: Any,
    middle: Any,
    scale: float,
    reach: float,
    signs: Any,
    shifts: Any,
    turns: Any,
    table: Any,
    lanes: int,
    out: Any,
) -> None:
    D = signs.shape[1]
    base, work, other = np.empty(D * lanes, np.int32), np.empty(D * lanes, np.int32), np.empty(D * lanes, np.int32)
    for first in range(0, rows.shape[0], lanes):
        part = rows[first : first + lanes]
        _load_cells(part, middle, scale, reach, signs[0], lanes, base)
        _transform(base, lanes)
        for b in range(signs.shape[0] // 2):
            _shift_and_flip(base, shifts[0], signs[2 * b + 1], lanes, work)
            _transform(work, lanes)
            _shift_and_flip(work, shifts[1], signs[2 * b + 2], lanes, other)
            _transform(other, lanes)
            used = slice(b * D, min((b + 1) * D, turns.size))
            _add_phases(other, turns[used], table, lanes, part.shape[0], out[used])


def _lanes(D: int, rows: int, size: int) -> int:
    """Return how many rows a tile holds, a multiple of 16; `size` is that of a number in bytes."""
    return min(max(16, min(64, _TILE // (size * D))), -(-max(1, rows) // 16) * 16)


def phase_sums(
    rows: Floats,
    middle: Floats,
    scale: float,
    reach: int,
    signs: Signs,
    shifts: tuple[int, int],
    turns: NDArray[np.uint64],
    cos: Integers,
    sin: Integers,
) -> tuple[Integers, Integers]:
    """Return the sums over records of ``cos[i]`` and ``sin[i]``, i the phase of each projection.

    A record's grid cells, ``floor((row - middle) scale)`` clipped to `reach`, are padded with zeros to D coordinates
    and go through three rounds: change signs, transform, shift right (but for the last). The first round is shared, the
    other two are made once for every D projections. The phase is the top twelve bits of a projection times `turns`.

    No 32-bit integer overflows before that product if ``sqrt(d D) reach + 3 D < 2**31`` and the shifts are log2(D) / 2,
    the first rounded up and the second down. A transform of x has no sum beyond ``sqrt(D) |x|_2``, at any level. Cells
    have norm at most ``sqrt(d) reach``; a round multiplies it by ``sqrt(D) 2**-shift``, and rounding down adds at most
    ``sqrt(D)``. So each round starts from a norm of at most ``sqrt(d) reach + 3 sqrt(D)``.

    Parameters
    ----------
    rows : (n, d) float64
    middle : (d,) float64
    scale : float
        Cells per unit.
    reach : int
    signs : (1 + 2 B, D) int32, of 1 and -1
    shifts : two int
    turns : (J,) uint64, J <= B D
        Per step of a projection, in units of ``2**-64``.
    cos, sin : (4096,) int64, at most 2**15 in size
        Added as halves of one 64-bit word.

    Returns
    -------
    (J,) int64, twice
    """
    table = ((cos + (1 << 15)).astype(np.uint64) << np.uint64(32)) | (sin + (1 << 15)).astype(np.uint64)
    rows, lanes = np.ascontiguousarray(rows), _lanes(signs.shape[1], len(rows), 4)

    def task(start: int, stop: int) -> tuple[Integers, Integers]:
        packed = np.zeros(len(turns), np.uint64)
        _sum_phases(rows[start:stop], middle, scale, float(reach), signs, np.array(shifts), turns, table, lanes, packed)
        offset = np.int64(stop - start) << 15
        low = (packed & np.uint64(2**32 - 1)).astype(np.int64)
        return (packed >> np.uint64(32)).astype(np.int64) - offset, low - offset

    parts = blocks.run(task, blocks.spans(len(rows), 1 << 12))  # 2**12 rows of at most 2**16: no half overflows
    zero = np.zeros(len(turns), np.int64)
    return sum((p[0] for p in parts), zero), sum((p[1] for p in parts), zero)


# ---- queries ---------------------------------------------------------------------------------------------------------


@jit
def _load_queries(rows: Any, middle: Any, scale: float, signs: Any, lanes: int, tile: Any) -> None:
    tile[:] = 0.0
    cells = np.empty(rows.shape[1])
    for r in range(rows.shape[0]):
        for c in range(rows.shape[1]):
            cells[c] = ((rows[r, c] - middle[c]) * scale - 0.5) * signs[c]
        for c in range(rows.shape[1]):
            tile[c * lanes + r] = cells[c]


@jit
def _add_waves(x: Any, turns: Any, starts: Any, sizes: Any, lanes: int, out: Any) -> None:
    """Add ``size cos(2 pi (x turn - start))`` per row: a quarter turn away it is a sine, by a polynomial to 4e-9."""
    c1, c3, c5, c7, c9 = _SINE
    for i in range(turns.size):
        a, turn, start, size = x[i * lanes : (i + 1) * lanes], turns[i], starts[i], sizes[i]
        for j in range(lanes):
            t = a[j] * turn - start
            t = abs(t - np.floor(t) - 0.5) - 0.25
            q = t * t
            out[j] += size * (t * (c1 + q * (c3 + q * (c5 + q * (c7 + q * c9)))))


@jit
def _sum_waves(
    rows: Any, middle: Any, scale: float, signs: Any, turns: Any, starts: Any, sizes: Any, lanes: int, out: Any
) -> None:
    D = signs.shape[1]
    base, work, other = np.empty(D * lanes), np.empty(D * lanes), np.empty(D * lanes)
    sums = np.empty(lanes)
    for first in range(0, rows.shape[0], lanes):
        part = rows[first : first + lanes]
        _load_queries(part, middle, scale, signs[0], lanes, base)
        _transform(base, lanes)
        sums[:] = 0.0
        for b in range(signs.shape[0] // 2):
            _flip(base, signs[2 * b + 1], lanes, work)
            _transform(work, lanes)
            _flip(work, signs[2 * b + 2], lanes, other)
            _transform(other, lanes)
            used = slice(b * D, min((b + 1) * D, turns.size))
            _add_waves(other, turns[used], starts[used], sizes[used], lanes, sums)
        out[first : first + part.shape[0]] = sums[: part.shape[0]]


def wave_sums(
    rows: Floats, middle: Floats, scale: float, signs: Signs, turns: Floats, offsets: Floats, amplitudes: Floats
) -> Floats:
    """Return ``sum_j A_j cos(2 pi t_j) + B_j sin(2 pi t_j)`` for each row; a row that is not finite gets a NaN.

    The phases t are those of `phase_sums` without its roundings: the same rounds in floating point, without shifts,
    times `turns`, plus `offsets`; half a cell is taken from every coordinate.

    Parameters
    ----------
    rows, middle, scale, signs
        As for `phase_sums`; rows may lie anywhere.
    turns, offsets : (J,) float64
        Turns per unit of a projection without shifts, and turns to add.
    amplitudes : (J, 2) float64
    """
    sizes = np.hypot(amplitudes[:, 0], amplitudes[:, 1])
    starts = np.arctan2(amplitudes[:, 1], amplitudes[:, 0]) / (2 * np.pi) - offsets
    rows, lanes, out = np.ascontiguousarray(rows), _lanes(signs.shape[1], len(rows), 8), np.empty(len(rows))
    blocks.run(
        lambda a, b: _sum_waves(rows[a:b], middle, scale, signs, turns, starts, sizes, lanes, out[a:b]),
        blocks.spans(len(rows), 1 << 10),
    )
    return out
