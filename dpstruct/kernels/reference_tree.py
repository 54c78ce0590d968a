"""Walks over the binary trees of the published baselines: one leaf-to-root path, or one dyadic cover, per coordinate.

A tree over ``2**depth`` cells is a flat heap: node 1 is the root, node ``v`` has children ``2v`` and ``2v + 1``, and
cell ``c`` is node ``2**depth + c``. A call is one block of queries and goes coordinate by coordinate, so that one tree
at a time is in cache; blocks of 4,096 to 16,384 queries were fastest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels._jit import jit


@jit
def _offset(y: float, low: float, high: float) -> float:
    """Distance of the clipped `y` from `low`; NaN stays NaN."""
    if y < low:
        y = low
    elif y > high:
        y = high
    return y - low


@jit
def _leaf(offset: float, cells_per_unit: float, cells: int) -> int:
    """Heap index of the cell that holds `offset`; NaN goes to the first cell."""
    z = offset * cells_per_unit
    if z >= cells:
        return 2 * cells - 1
    return cells + int(z) if z > 0.0 else cells


@jit
def path_sums(
    Y: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    cells_per_unit: NDArray[np.float64],
    lines: NDArray[np.floating[Any]],
    out: NDArray[np.float64],
) -> None:
    """Write the sum over coordinates and over the path below the root of ``lines[j, v, 0] + lines[j, v, 1] * offset``.

    `lines` has shape ``(d, 2 * cells, 2)``. Four queries climb together, which hides the latency of the loads, and the
    node index is unsigned, which spares the test for negative indices.
    """
    q, d = Y.shape
    cells = lines.shape[1] // 2
    one = np.uintp(1)
    out[:] = 0.0
    for j in range(d):
        a, b, scale, tree = low[j], high[j], cells_per_unit[j], lines[j]
        for i in range(0, q - 3, 4):
            y0, y1 = _offset(Y[i, j], a, b), _offset(Y[i + 1, j], a, b)
            y2, y3 = _offset(Y[i + 2, j], a, b), _offset(Y[i + 3, j], a, b)
            v0, v1 = np.uintp(_leaf(y0, scale, cells)), np.uintp(_leaf(y1, scale, cells))
            v2, v3 = np.uintp(_leaf(y2, scale, cells)), np.uintp(_leaf(y3, scale, cells))
            c0 = c1 = c2 = c3 = s0 = s1 = s2 = s3 = 0.0
            while v0 > one:
                c0 += tree[v0, 0]
                s0 += tree[v0, 1]
                c1 += tree[v1, 0]
                s1 += tree[v1, 1]
                c2 += tree[v2, 0]
                s2 += tree[v2, 1]
                c3 += tree[v3, 0]
                s3 += tree[v3, 1]
                v0, v1, v2, v3 = v0 >> one, v1 >> one, v2 >> one, v3 >> one
            out[i] += c0 + s0 * y0
            out[i + 1] += c1 + s1 * y1
            out[i + 2] += c2 + s2 * y2
            out[i + 3] += c3 + s3 * y3
        for i in range(q - q % 4, q):
            y = _offset(Y[i, j], a, b)
            v = np.uintp(_leaf(y, scale, cells))
            c = s = 0.0
            while v > one:
                c += tree[v, 0]
                s += tree[v, 1]
                v = v >> one
            out[i] += c + s * y


@jit
def _cover_sum(heap: NDArray[np.floating[Any]], first: int, last: int, cells: int) -> float:
    """Sum of the nodes of the smallest dyadic cover of the cells ``first .. last`` (both included, clipped)."""
    a, b = max(first, 0) + cells, min(last, cells - 1) + cells + 1
    total = 0.0
    while a < b:
        if a & 1:
            total += heap[a]
            a += 1
        if b & 1:
            b -= 1
            total += heap[b]
        a >>= 1
        b >>= 1
    return total


@jit
def ring_sums(
    Y: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    cells_per_unit: NDArray[np.float64],
    heap: NDArray[np.floating[Any]],
    nearest: NDArray[np.int64],
    farthest: NDArray[np.int64],
    weight: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Write the sum over coordinates and rings of ``weight[j, r]`` times the noisy count of ring r about the query.

    Ring r holds the cells whose distance from the query's cell, in cells, is in ``nearest[r] .. farthest[r]``.
    """
    q, d = Y.shape
    cells = heap.shape[1] // 2
    out[:] = 0.0
    for j in range(d):
        tree = heap[j]
        for i in range(q):
            y = _offset(Y[i, j], low[j], high[j])
            k = _leaf(y, cells_per_unit[j], cells) - cells
            total = y - y  # 0, or NaN for a query that is NaN
            for r in range(nearest.size):
                below = _cover_sum(tree, k - farthest[r], k - nearest[r], cells)
                above = _cover_sum(tree, k + nearest[r], k + farthest[r], cells)
                total += weight[j, r] * (below + above)
            out[i] += total
