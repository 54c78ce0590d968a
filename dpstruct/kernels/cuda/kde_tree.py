"""CUDA kernels of the private l1 distance tree, with the signatures of `dpstruct.kernels.kde_tree`.

Leaf counts are bitwise those of the CPU: one scalar body, int64 sums that wrap. Answers of `look_up` may differ in the
last bits, because a GPU fuses a product and a sum into one rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from dpstruct.kernels import _kde_tree_scalar as scalar
from dpstruct.kernels import blocks
from dpstruct.kernels.kde_tree import as_block

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NUMBERS = 1 << 22  # numbers sent to the device at a time
THREADS = 128  # of one thread block
GRID = 1 << 12  # thread blocks at most; each thread strides over the rest

_grid_point = cuda.jit(device=True)(scalar.grid_point)
_leaf_index = cuda.jit(device=True)(scalar.leaf_index)
_position = cuda.jit(device=True)(scalar.position)
_cell = cuda.jit(device=True)(scalar.cell)


@cuda.jit  # type: ignore[untyped-decorator]
def _count(
    block: Any, low: Any, high: Any, middle: Any, scale: Any, top: Any, shift: Any, leaves: Any
) -> None:  # pragma: no cover
    """One thread per number, neighbours side by side in memory."""
    d = block.shape[1]
    last = leaves.shape[1] - 1
    for e in range(cuda.grid(1), block.shape[0] * d, cuda.gridsize(1)):
        i = e // d
        j = e - i * d
        q = _grid_point(np.float64(block[i, j]), low[j], high[j], middle[j], scale[j], top[j])
        k = _leaf_index(q, shift[j], last)
        cuda.atomic.add(leaves, (j, k, 0), 1)
        cuda.atomic.add(leaves, (j, k, 1), q - (k << shift[j]))


@cuda.jit  # type: ignore[untyped-decorator]
def _look_up(block: Any, table: Any, low: Any, scale: Any, out: Any) -> None:  # pragma: no cover
    """One thread per query."""
    for i in range(cuda.grid(1), block.shape[0], cuda.gridsize(1)):
        total = 0.0
        for j in range(table.shape[0]):
            z = _position(np.float64(block[i, j]), low[j], scale[j], table.shape[1])
            k = _cell(z, table.shape[1])
            total += np.float64(table[j, k, 0]) + np.float64(table[j, k, 1]) * (z - k)
        out[i] = total


def _shape(work: int) -> tuple[int, int]:
    return min(GRID, -(-work // THREADS)), THREADS


def leaf_counts(
    X: NDArray[Any], low: Floats, high: Floats, middle: Floats, scale: Floats, bits: Integers, depth: int
) -> Integers:
    """Count the records of every leaf on the GPU; see `dpstruct.kernels.kde_tree.leaf_counts`."""
    d = len(bits)
    box = [
        cuda.to_device(v) for v in (low, high, middle, scale, (np.int64(1) << bits).astype(np.float64), bits - depth)
    ]
    leaves = cuda.to_device(np.zeros((d, 1 << depth, 2), np.int64))
    for start, stop in blocks.spans(len(X), max(1, NUMBERS // d)):
        block = as_block(X, slice(start, stop), slice(None))
        _count[_shape(block.size)](cuda.to_device(block), *box, leaves)
    return np.asarray(leaves.copy_to_host())


def look_up(Y: NDArray[Any], table: NDArray[Any], low: Floats, scale: Floats) -> Floats:
    """Return the answers to queries, computed on the GPU; see `dpstruct.kernels.kde_tree.look_up`."""
    box = [cuda.to_device(v) for v in (low, scale)]
    on_device = cuda.to_device(table)
    out = np.empty(len(Y))
    for start, stop in blocks.spans(len(Y), max(1, NUMBERS // table.shape[0])):
        answers = cuda.device_array(stop - start, np.float64)
        block = cuda.to_device(as_block(Y, slice(start, stop), slice(None)))
        _look_up[_shape(stop - start)](block, on_device, *box, answers)
        out[start:stop] = answers.copy_to_host()
    return out
