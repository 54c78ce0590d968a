"""Orthonormal rows, the same bits on every machine."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels._jit import jit

__all__ = ["orthonormal_rows"]


@jit
def orthonormal_rows(rows: NDArray[np.float64]) -> None:
    """Orthonormalise the rows one after the other (modified Gram-Schmidt), sums in a fixed order."""
    for i in range(rows.shape[0]):
        row = rows[i]
        for k in range(i):
            other, inner = rows[k], 0.0
            for j in range(row.size):
                inner += other[j] * row[j]
            for j in range(row.size):
                row[j] -= inner * other[j]
        length = 0.0
        for j in range(row.size):
            length += row[j] * row[j]
        length = math.sqrt(length)
        for j in range(row.size):
            row[j] /= length
