"""CPU kernels of the private l1 distance tree: count records in leaves, turn counts into tents, tents into a table.

The integers of every record are those of `dpstruct.kernels._kde_tree_scalar`; sums are int64 and wrap modulo 2**64, so
blocks, threads and devices may add them in any order.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels import _kde_tree_scalar as scalar
from dpstruct.kernels import blocks
from dpstruct.kernels._jit import inline, jit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROWS = 1 << 14  # records of one block
QUERIES = 1 << 19  # numbers of one block of queries
TILE = 1 << 12  # numbers that take one step together: their intermediate results stay in the nearest caches
LEAVES = 1 << 17  # leaves counted in one pass, 16 bytes each
COPIES = 1 << 27  # bytes that thread-private leaves may take together

_grid_point = inline(scalar.grid_point)
_leaf_index = inline(scalar.leaf_index)
_position = inline(scalar.position)
_cell = inline(scalar.cell)


@jit
def _to_grid(x: Any, low: Floats, high: Floats, middle: Floats, scale: Floats, top: Floats, q: Any) -> None:
    """Write the grid points of `x`; flat and without branches, so that it becomes vector code."""
    for i in range(x.size):
        q[i] = _grid_point(np.float64(x[i]), low[i], high[i], middle[i], scale[i], top[i])


@jit
def _count_column(q: Any, shift: Any, leaves: Integers) -> None:
    """Add grid points of one coordinate to its leaves ``(2**depth, 2)``."""
    last = leaves.shape[0] - 1
    for i in range(q.size):
        point: Any = np.int64(q[i])
        k = _leaf_index(point, shift, last)
        u = np.uint64(k)  # an unsigned index: nothing to do for negative ones
        leaves[u, 0] += 1
        leaves[u, 1] += point - (k << shift)


@jit
def _count(block: Any, box: Floats, shift: Integers, leaves: Integers) -> None:
    """Add a block of records ``(rows, d)`` to leaves ``(d, 2**depth, 2)``; `box` is that of a tile."""
    d = leaves.shape[0]
    rows = box.shape[1] // d
    x = block.ravel()
    q = np.empty((rows, d), np.int32)
    for start in range(0, block.shape[0], rows):
        stop = min(start + rows, block.shape[0])
        _to_grid(x[start * d : stop * d], box[0], box[1], box[2], box[3], box[4], q.ravel())
        for j in range(d):
            _count_column(q[: stop - start, j], shift[j], leaves[j])


@jit
def _to_cells(y: Any, low: Floats, scale: Floats, first: Any, leaves: int, cells: Any, inside: Any) -> None:
    """Write the place in the flat table of each `y`'s leaf and the position in that leaf, 0 to 1; vector code."""
    for i in range(y.size):
        z = _position(np.float64(y[i]), low[i], scale[i], leaves)
        k = np.int32(_cell(z, leaves))
        cells[i] = first[i] + 2 * k
        inside[i] = z - k


@inline
def _value(table: Any, cells: Any, inside: Any, e: Any) -> Any:
    """Return the interpolated value of number `e` of a tile, in the precision of the table."""
    u = np.uint64(np.uint32(cells[e]))
    return table[u] + table[u + np.uint64(1)] * inside[e]


@jit
def _add_values(table: Any, cells: Any, inside: Any, d: int, out: Floats) -> None:
    """Write the sums over the coordinates of each query. Unsigned counters: nothing to do for negative indices."""
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    quarters, rest, e = np.uint64(d) >> two, np.uint64(d) & three, np.uint64(0)
    for r in range(np.uint64(out.size)):
        total = 0.0
        for _ in range(quarters):
            left = _value(table, cells, inside, e) + _value(table, cells, inside, e + one)
            right = _value(table, cells, inside, e + two) + _value(table, cells, inside, e + three)
            total += np.float64(left + right)
            e += four
        for _ in range(rest):
            total += np.float64(_value(table, cells, inside, e))
            e += one
        out[r] = total


@jit
def _look_up(block: Any, table: Any, low: Floats, scale: Floats, first: Any, d: int, out: Floats) -> None:
    """Write the answers to a block of queries; `table` is flat, `low`, `scale` and `first` are those of a tile."""
    y, rows, leaves = block.ravel(), low.size // d, table.size // (2 * d)
    cells, inside = np.empty(low.size, np.int32), np.empty(low.size, table.dtype)
    for start in range(0, block.shape[0], rows):
        stop = min(start + rows, block.shape[0])
        _to_cells(y[start * d : stop * d], low, scale, first, leaves, cells, inside)
        _add_values(table, cells, inside, d, out[start:stop])


def as_block(X: NDArray[Any], rows: slice, columns: slice) -> NDArray[Any]:
    """Return a part of `X` as C-contiguous float32 or float64, copied only if it is not."""
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    with np.errstate(all="ignore"):  # a value too large for float64 becomes inf, without a word
        return np.ascontiguousarray(X[rows, columns], dtype=dtype)


def _tile(vectors: list[NDArray[Any]], n: int) -> Floats:
    """Stack ``(d,)`` vectors and repeat them for all rows of a tile: one flat loop then serves every d."""
    d = len(vectors[0])
    return np.tile(np.array(vectors, np.float64), (1, max(1, min(n, max(16, TILE // d)))))


def leaf_counts(
    X: NDArray[Any],
    low: Floats,
    high: Floats,
    middle: Floats,
    scale: Floats,
    bits: Integers,
    depth: int,
) -> Integers:
    """Count the records of every leaf and add up their offsets inside it, exactly, modulo 2**64.

    A coordinate is clipped to the box (`middle` replaces NaN and inf), becomes
    ``q = min(2**bits, floor((x - low) * scale))``, and lies in leaf ``min(q >> (bits - depth), 2**depth - 1)``.

    Parameters
    ----------
    X : (n, d) array of any real dtype and memory layout, read once, block by block
    low, high, middle, scale : (d,) float64; `scale` is ``2**bits / (high - low)``
    bits : (d,) int64, ``depth <= bits <= 30``
    depth : the tree has ``2**depth`` leaves per coordinate

    Returns
    -------
    (d, 2**depth, 2) int64 : counts, and sums of ``q`` minus the leaf's left end
    """
    if (bits < depth).any():
        raise ValueError("the grid must be as fine as the leaves")
    d, width = len(bits), max(1, LEAVES >> depth)
    leaves = np.zeros((d, 1 << depth, 2), np.int64)
    vectors, shift = [low, high, middle, scale, np.int64(1) << bits], bits - depth
    for first in range(0, d, width):
        part = slice(first, first + width)
        box = _tile([v[part] for v in vectors], len(X))
        _add_columns(X, part, box, shift[part], leaves[part])
    return leaves


def _add_columns(X: NDArray[Any], columns: slice, box: Floats, shift: Integers, leaves: Integers) -> None:
    copies = min(blocks.threads(), -(-len(X) // ROWS), max(1, COPIES // leaves.nbytes))
    spare: SimpleQueue[Integers] = SimpleQueue()
    for _ in range(copies):
        spare.put(np.zeros_like(leaves))

    def task(start: int, stop: int) -> None:
        block = as_block(X, slice(start, stop), columns)
        private = spare.get()
        try:
            _count(block, box, shift, private)
        finally:
            spare.put(private)

    blocks.run(task, blocks.spans(len(X), ROWS))
    for _ in range(copies):
        leaves += spare.get()


def tents(leaves: Integers, bits: Integers) -> tuple[Integers, Integers, list[Integers]]:
    """Return the tree's exact sums modulo 2**64: the distances to both ends, and the tents of every level.

    With ``M = 2**bits``: ``A = sum of q`` and ``B = sum of M - q``, both ``(d,)``; ``N[l]``, ``(d, 2**l)``, sums
    ``min(q - left, right - q)`` over the records of each node of width ``M / 2**l``.
    """
    depth = leaves.shape[1].bit_length() - 1
    count, offset = leaves[:, :, 0], leaves[:, :, 1]
    half = (np.int64(1) << (bits - depth))[:, None]
    levels: list[Integers] = []
    for _ in range(depth):
        left, right = offset[:, 0::2], offset[:, 1::2]
        across = half * count[:, 1::2]
        levels.append(left + across - right)
        offset = left + right + across
        count = count[:, 0::2] + count[:, 1::2]
        half = half * 2
    A = offset[:, 0].copy()
    return A, (half * count)[:, 0] - A, levels[::-1]


def knots(A: Integers, B: Integers, N: list[Any], factor: Floats) -> Floats:
    """Return the distance sums at the ``2**depth + 1`` knots of every coordinate, ``(d, 2**depth + 1)``.

    `A`, `B` and `N` are (noised) outputs of `tents`; `factor` turns grid units into the user's.
    """
    values = np.stack([A, B], axis=1).astype(np.float64)
    for level in N:
        finer = np.empty((values.shape[0], 2 * values.shape[1] - 1))
        finer[:, 0::2] = values
        finer[:, 1::2] = 0.5 * (values[:, :-1] + values[:, 1:]) - level
        values = finer
    return values * factor[:, None]


def interleave(values: Floats, dtype: type[np.float32] | type[np.float64]) -> NDArray[Any]:
    """Return the look-up table ``(d, 2**depth, 2)``: value at a leaf's left end, and rise across the leaf."""
    return np.stack([values[:, :-1], np.diff(values, axis=1)], axis=2).astype(dtype)


def look_up(Y: NDArray[Any], table: NDArray[Any], low: Floats, scale: Floats) -> Floats:
    """Return the sum over coordinates of the interpolated table at each query, ``(q,)`` float64.

    Four coordinates at a time are added in the precision of the table: with float32, an answer is off by at most
    ``2**-21`` of the sum of the absolute values that it adds.

    Parameters
    ----------
    Y : (q, d) array of any real dtype and memory layout; clipped to the box; a NaN makes its answer NaN
    table : (d, 2**depth, 2) float32 or float64, C-contiguous, from `interleave`
    low, scale : (d,) float64; `scale` is ``2**depth / (high - low)``
    """
    d, leaves = table.shape[:2]
    lows, scales = _tile([low, scale], len(Y))
    first = np.resize(np.arange(d, dtype=np.int32) * np.int32(2 * leaves), lows.shape)
    out = np.empty(len(Y))

    def task(start: int, stop: int) -> None:
        block = as_block(Y, slice(start, stop), slice(None))
        _look_up(block, table.reshape(-1), lows, scales, first, d, out[start:stop])

    blocks.run(task, blocks.spans(len(Y), max(1, QUERIES // d)))
    return out
