"""Sums of waves at many scattered points by the non-uniform FFT of finufft, where that is installed.

For answers from released amplitudes only. What enters a release is summed in integers, which no FFT does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels import blocks

__all__ = ["least_queries", "waves"]

Floats = NDArray[np.float64]

# Measured costs in units of one term of the direct sum, about 8 ns: starting, a cell of the grid, a query by dimension.
_START, _CELL, _QUERY = 1 << 19, 32, {1: 8, 2: 20, 3: 100}
_MOST = 1 << 20  # queries of one transform


def least_queries(index: NDArray[np.int64]) -> float:
    """Return from how many queries on a transform is faster than the direct sum; infinite where it never is.

    Parameters
    ----------
    index : ndarray of int64, shape (N, d)
        Frequencies.
    """
    spared = len(index) - _QUERY[index.shape[1]]
    cells = math.prod(2 * (2 * most + 1) for most in np.abs(index).max(axis=0).tolist())
    return (_START + _CELL * cells) / spared if spared > 0 else math.inf


def waves(
    amplitudes: NDArray[np.complex128], index: NDArray[np.int64], turns: Floats, *, precision: float
) -> Floats | None:
    """Return ``Re sum_k amplitude_k exp(-2 pi i <index_k, turn>)`` per row, or None where finufft is missing.

    Parameters
    ----------
    amplitudes : ndarray of complex128, shape (N,)
    index : ndarray of int64, shape (N, d)
        Distinct frequencies, d = 1, 2 or 3.
    turns : ndarray of float64, shape (q, d)
        A row that is not finite gets a NaN.
    precision : float
        Error relative to the size of the answers; finufft (arXiv 1808.06736) goes down to about 1e-13.

    Returns
    -------
    ndarray of float64, shape (q,)
    """
    try:
        import finufft
    except ImportError:
        return None
    q, dim = turns.shape
    transform = {1: finufft.nufft1d2, 2: finufft.nufft2d2, 3: finufft.nufft3d2}[dim]
    most = np.abs(index).max(axis=0)
    modes = np.zeros(2 * most + 1, np.complex128)
    modes[tuple((index + most).T)] = amplitudes
    out = np.empty(q)

    def fill(start: int, stop: int) -> None:
        part = turns[start:stop]
        finite = np.asarray(np.isfinite(part).all(axis=1))
        part = np.where(finite[:, None], part, 0.0)
        angles = [2 * math.pi * (column - np.rint(column)) for column in part.T]
        # one thread each: a pool of OpenMP would not survive a fork
        found = transform(*angles, modes, eps=max(precision, 1e-13), isign=-1, nthreads=1)
        out[start:stop] = np.where(finite, found.real, np.nan)

    share = max(math.ceil(q / blocks.threads()), math.ceil(min(least_queries(index), q)))
    blocks.run(fill, blocks.spans(q, min(_MOST, share)))
    return out
