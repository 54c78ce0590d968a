"""Polynomial features of blocks of vectors, in tiles that feed one matrix product each. NumPy alone is fast here.

Features are the monomials of degree 0 .. S in lexicographic order, transposed: row (i, j, ..) with i <= j <= .. holds
``x_i x_j ..`` of every vector of the block. Those of degree p that start with x_i are x_i times a *suffix* of those of
degree p - 1, one long elementwise product. Every entry is made by the same operations in the same order whatever
vectors surround it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels import blocks

__all__ = ["attend", "monomials"]

BLOCK = 512  # queries whose features exist at a time
TASK = 8 * BLOCK  # queries of one thread's task
TILE = 512  # rows of features that exist at a time, if no single step needs more: they stay in the cache

Array = NDArray[Any]


def _steps(dim: int, degree: int) -> Iterator[tuple[int, int, int]]:
    """Yield ``(p, i, rows)`` for the monomials of degree p that start with x_i; all of degree 0, and of 1, at once."""
    yield 0, 0, 1
    if degree >= 1:
        yield 1, 0, dim
    for p in range(2, degree + 1):
        for i in range(dim):
            yield p, i, comb(dim - i + p - 2, p - 1)


def monomials(
    X: Array, degree: int, scale: Array | None = None, memory: dict[int, Array] | None = None
) -> Iterator[tuple[int, Array]]:
    """Yield ``(first row, tile)`` until all monomials of the columns of `X` were seen; the tile's memory is reused.

    Parameters
    ----------
    X : (d, block) float32 or float64, one vector per column
    degree : int, 0 or more
    scale : (degree + 1, block), a factor for the features of each degree, or None
    memory : a dict in which buffers are kept for the next block of the same width
    """
    d, block = X.shape
    steps = list(_steps(d, degree))
    size = sum(rows for _, _, rows in steps)
    memory = {} if memory is None else memory
    needed = {0: max(min(size, TILE), *(rows for _, _, rows in steps))}
    for p, rows in (needed | {p: comb(d + p - 1, p) for p in range(2, degree)}).items():
        if p not in memory or memory[p].shape != (rows, block):
            memory[p] = np.empty((rows, block), X.dtype)
    tile, whole = memory[0], memory | {1: X}
    first = filled = 0
    done = dict.fromkeys(range(2, degree), 0)
    for p, i, rows in steps:
        if filled + rows > len(tile):
            yield first, tile[:filled]
            first, filled = first + filled, 0
        part = tile[filled : filled + rows]
        if p == 0:
            part[:] = 1 if scale is None else scale[0]
        elif p == 1:
            np.multiply(X, 1 if scale is None else scale[1], out=part)
        else:
            suffix = whole[p - 1][len(whole[p - 1]) - rows :]
            np.multiply(suffix, X[i] if scale is None else X[i] * scale[p], out=part)
            if p < degree:
                np.multiply(suffix, X[i], out=whole[p][done[p] : done[p] + rows])
                done[p] += rows
        filled += rows
    yield first, tile[:filled]


def attend(Q: Array, A: Array, state: Array, degree: int) -> Array:
    """Return ``sum_p A[:, p] <monomials_p(Q), state_p>``, shape (q, c), a block of queries at a time.

    Parameters
    ----------
    Q : (q, d) queries, in the precision of `state`
    A : (q, degree + 1) coefficients
    state : (m, c) float32 or float64; multinomial factors and units are folded into it
    degree : int
    """
    out = np.empty((len(Q), state.shape[1]), state.dtype)

    def task(begin: int, end: int) -> None:
        memory: dict[int, Array] = {}
        for start in range(begin, end, BLOCK):
            part = slice(start, min(start + BLOCK, end))
            X, scale = (np.ascontiguousarray(rows[part].T, state.dtype) for rows in (Q, A))
            for first, tile in monomials(X, degree, scale, memory):
                if first == 0:
                    np.matmul(tile.T, state[: len(tile)], out=out[part])
                else:
                    out[part] += tile.T @ state[first : first + len(tile)]

    blocks.run(task, blocks.spans(len(Q), max(BLOCK, min(TASK, -(-len(Q) // blocks.threads())))))
    return out
