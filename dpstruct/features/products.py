"""Matrix products in exact integers through floating-point BLAS.

A float product gives a row other last bits when other rows share its block, and a truncated last bit is a record that
changes its neighbours' integers. With integer operands whose every partial sum stays below ``2**53`` no product or sum
is ever rounded, so order, blocking, threads, fused operations and library change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter

__all__ = ["PublicMatrix", "cross", "multiply", "quantise"]

_EXACT = 1 << 53  # every integer up to here is a double


@dataclass(frozen=True, eq=False)
class PublicMatrix:
    """A public real matrix on a lattice, ready for exact products with integer rows.

    Attributes
    ----------
    integers : ndarray of float64, shape (d, m)
        Integer-valued, read-only.
    unit : float
        A power of two; the matrix is ``integers * unit``.
    entry_bound : int
        Largest size of an entry of the rows.
    """

    integers: NDArray[np.float64]
    unit: float
    entry_bound: int

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The matrix that products use, exactly."""
        return self.integers * self.unit


def quantise(matrix: ArrayLike, *, entry_bound: int) -> PublicMatrix:
    """Return the nearest matrix whose products with integer rows up to `entry_bound` are exact.

    Parameters
    ----------
    matrix : array-like, shape (d, m)
        Public and finite.
    entry_bound : int
        Rows will have integer entries of at most this size.

    Returns
    -------
    PublicMatrix
        In steps of the smallest power of two for which ``entry_bound * max_j sum_i |integers[i, j]| <= 2**53``.
    """
    real = np.array(matrix, dtype=np.float64)
    if real.ndim != 2 or not np.isfinite(real).all():
        raise InvalidParameter("matrix", f"shape {real.shape}, or a value that is not finite", "a finite 2-d array")
    if not 1 <= entry_bound < _EXACT:
        raise InvalidParameter("entry_bound", str(entry_bound), "1 to 2**53 - 1")
    largest = float(np.abs(real).sum(axis=0).max(initial=0.0)) if real.size else 0.0
    most = _EXACT // entry_bound
    exponent = int(np.ceil(np.log2(largest / most))) if largest else 0
    while True:  # rounding to the nearest may add half a step an entry
        integers = np.rint(np.ldexp(real, -exponent))
        if not real.size or np.abs(integers).sum(axis=0).max() <= most:
            break
        exponent += 1
    integers.setflags(write=False)
    return PublicMatrix(integers, float(np.ldexp(1.0, exponent)), entry_bound)


def multiply(rows: NDArray[np.generic], public: PublicMatrix) -> NDArray[np.float64]:
    """Return ``rows @ public.integers`` as exact integers in float64, the same bits in any block of rows.

    Parameters
    ----------
    rows : ndarray of integers, shape (n, d)
        Entries beyond ``public.entry_bound`` are clipped to it.
    public : PublicMatrix
    """
    bound = public.entry_bound
    exact = np.clip(rows, -bound, bound).astype(np.float64)
    product: NDArray[np.float64] = exact @ public.integers
    return product


def cross(A: NDArray[np.generic], B: NDArray[np.generic], *, bound: int) -> NDArray[np.int64]:
    """Return ``A.T @ B`` modulo ``2**64``, exactly, as int64.

    Parameters
    ----------
    A, B : ndarray of integers or of integer-valued float64, shapes (n, a) and (n, b)
    bound : int
        No product ``A[i, j] * B[i, k]`` is larger in size; at most ``2**53``.
    """
    if not 1 <= bound <= _EXACT:
        raise InvalidParameter("bound", str(bound), "1 to 2**53")
    total = np.zeros((A.shape[1], B.shape[1]), np.int64)
    block = min(_EXACT // bound, 1 << 14)
    for start in range(0, len(A), block):
        left = A[start : start + block].astype(np.float64, copy=False)
        right = left if B is A else B[start : start + block].astype(np.float64, copy=False)
        total += (left.T @ right).astype(np.int64)
    return total
