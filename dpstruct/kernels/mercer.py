"""CPU kernels of products of eigenfunctions: records and queries in lanes, factors from tables, one product a feature.

A feature is the product of two nodes, each a product of two others, down to the factors of single axes: halves of the
axes have few distinct products, so these stay in the cache, and a feature costs one multiplication. Lanes are
independent: a record's integers do not depend on its companions. Plain IEEE arithmetic in a fixed order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels import blocks
from dpstruct.kernels._jit import inline, jit

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LANES = 64  # records side by side: shorter loops would be unrolled to scalars, not vectorised
SUMS = 16  # lanes whose sums are kept apart
BLOCK = 1 << 10  # records whose sums of integers up to 2**30 are exact in float64


@inline
def _factors(row: Any, low: Any, scale: Any, table: Any, starts: Any, values: Any, lane: int) -> None:
    """Write the factors of one row: all columns of an axis, interpolated linearly between the same two knots."""
    knots = table.shape[0]
    for c in range(row.size):
        z = min(max((row[c] - low[c]) * scale[c], 0.0), knots - 1.0)
        k = min(np.int64(z), knots - 2)
        t = z - k
        for g in range(starts[c], starts[c + 1]):
            values[1 + g, lane] = (1.0 - t) * table[k, g] + t * table[k + 1, g]


@inline
def _bound(starts: Any, part: Any, values: Any, lane: int, norms: Any, sums: Any) -> float:
    """Return the sum over components of the product over axes of squared factors: no features are longer."""
    norms[:] = 1.0
    for c in range(starts.size - 1):
        sums[:] = 0.0
        for g in range(starts[c], starts[c + 1]):
            sums[part[g]] += values[1 + g, lane] * values[1 + g, lane]
        for q in range(norms.size):
            norms[q] *= sums[q]
    total = 0.0
    for q in range(norms.size):
        total += norms[q]
    return total


@inline
def _multiply(left: Any, right: Any, first: int, inner: int, values: Any) -> None:
    """Fill the inner nodes of all lanes, from node `first` on."""
    for j in range(inner):
        a, b = np.uint64(left[j]), np.uint64(right[j])
        for lane in range(LANES):
            values[first + j, lane] = values[a, lane] * values[b, lane]


@jit
def _add_products(
    rows: Any,
    low: Any,
    scale: Any,
    table: Any,
    starts: Any,
    part: Any,
    left: Any,
    right: Any,
    size: float,
    out: Integers,
) -> None:
    """Add the integer features of at most `BLOCK` rows: products times `size`, cut toward zero."""
    first, inner = 1 + table.shape[1], left.size - out.size
    values, sums = np.ones((first + inner, LANES)), np.zeros((out.size, SUMS))
    norms, squares = np.empty(part.max() + 1), np.empty(part.max() + 1)
    for start in range(0, rows.shape[0], LANES):
        for lane in range(LANES):
            if start + lane < rows.shape[0]:
                _factors(rows[start + lane], low, scale, table, starts, values, lane)
                total = _bound(starts, part, values, lane, norms, squares)
                stretch = size if total <= 1.0 else size / np.sqrt(total)
            else:
                stretch = 0.0
            for g in range(starts[0], starts[1]):
                values[1 + g, lane] *= stretch
        _multiply(left, right, first, inner, values)
        for j in range(out.size):
            a, b = np.uint64(left[inner + j]), np.uint64(right[inner + j])
            for lane in range(SUMS):
                sums[j, lane] += (
                    np.trunc(values[a, lane] * values[b, lane])
                    + np.trunc(values[a, lane + 16] * values[b, lane + 16])
                    + np.trunc(values[a, lane + 32] * values[b, lane + 32])
                    + np.trunc(values[a, lane + 48] * values[b, lane + 48])
                )
    for j in range(out.size):
        for lane in range(SUMS):
            out[j] += np.int64(sums[j, lane])


def product_sums(
    rows: Floats,
    low: Floats,
    scale: Floats,
    table: Floats,
    starts: Integers,
    part: Integers,
    left: Integers,
    right: Integers,
    features: int,
    bits: int,
) -> Integers:
    """Return the sums over records of their truncated products, each record of norm at most ``2**bits``.

    A record is shrunk where the bound of its norm, over all products that its factors have, exceeds 1. That bound is
    off by less than ``2**-33`` in floating point; products are stretched by ``2**bits (1 - 2**-30)``, which leaves
    room for that, and cut toward zero.

    Parameters
    ----------
    rows : (n, axes) float64
    low, scale : (axes,) float64
        Knot number ``(row - low) * scale``.
    table : (knots, columns) float64, finite
        At least two knots.
    starts : (axes + 1,) int64
        First column of each axis.
    part : (columns,) int64
        Component of each column, from 0.
    left, right : (nodes,) int64
        Node 0 is 1, nodes from 1 on are the columns, the others products of two earlier ones.
    features : int
        The last nodes are the features, at most 2**16 of them.
    bits : int
        At most 30.
    """
    size = 2.0**bits * (1 - 2.0**-30)

    def task(start: int, stop: int) -> Integers:
        out = np.zeros(features, np.int64)
        _add_products(rows[start:stop], low, scale, table, starts, part, left, right, size, out)
        return out

    return sum(blocks.run(task, blocks.spans(len(rows), BLOCK)), np.zeros(features, np.int64))


@jit
def _answer_products(
    rows: Any, low: Any, scale: Any, table: Any, starts: Any, left: Any, right: Any, sums: Any, out: Any
) -> None:
    first, inner = 1 + table.shape[1], left.size - sums.size
    values, totals = np.ones((first + inner, LANES)), np.empty(LANES)
    for start in range(0, rows.shape[0], LANES):
        count = min(LANES, rows.shape[0] - start)
        for lane in range(count):
            _factors(rows[start + lane], low, scale, table, starts, values, lane)
        _multiply(left, right, first, inner, values)
        totals[:] = 0.0
        for j in range(sums.size):
            a, b = left[inner + j], right[inner + j]
            for lane in range(LANES):
                totals[lane] += sums[j] * (values[a, lane] * values[b, lane])
        out[start : start + count] = totals[:count]


def product_answers(
    rows: Floats,
    low: Floats,
    scale: Floats,
    table: Floats,
    starts: Integers,
    left: Integers,
    right: Integers,
    sums: Floats,
) -> Floats:
    """Return inner products of the features of rows with `sums`, (n,); parameters as for `product_sums`."""
    out = np.empty(len(rows))
    blocks.run(
        lambda a, b: _answer_products(rows[a:b], low, scale, table, starts, left, right, sums, out[a:b]),
        blocks.spans(len(rows), 1 << 9),
    )
    return out
