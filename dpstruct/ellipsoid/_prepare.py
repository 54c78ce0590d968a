"""Rows in coordinates where everything is well scaled: duplicates merged, shifted, spanning, of unit covariance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.ellipsoid._design import gram

Array = NDArray[np.float64]
_SAMPLE = 2048  # rows looked at before all are searched for duplicates
_CONSTANT = 1e-14  # spread of a column, relative to its largest entry, that counts as rounding
_WELL_CONDITIONED = 1e-5  # ratio of eigenvalues below which a Gram matrix is not trusted with small directions


class Prepared(NamedTuple):
    """Distinct rows ``b = (x - shift) @ whiten`` with how to go back: ``x = shift + b @ spread``.

    Attributes
    ----------
    rows : ndarray of shape (m, rank), or (m, rank + 1) with a last column of ones if they were centred
    counts : ndarray of shape (m,)
        How many of the n rows each of them stands for; the moment under ``counts / n`` is the identity.
    inverse : ndarray of shape (n,) or None
        Which distinct row each of the n rows is; None if each is its own.
    shift, scale : ndarray of shape (D,)
        The mean (zero if not centred); powers of two, the sizes of the columns.
    whiten, spread : ndarrays of shape (D, rank) and (rank, D)
    """

    rows: Array
    counts: Array
    inverse: NDArray[np.intp] | None
    shift: Array
    scale: Array
    whiten: Array
    spread: Array


def prepare(A: Array, *, center: bool) -> Prepared:
    """Merge, shift (if `center`), scale and whiten finite rows of shape (n, D)."""
    A, counts, inverse = _merge(A)
    weights = counts / counts.sum()
    X, shift, scale = _scaled(A, weights if center else None)
    whiten, spread = _whitening(X, weights)
    spread[:, ~X.any(axis=0)] = 0
    spread, back = spread * scale, whiten / scale[:, None]
    if len(spread) < len(scale):  # a pseudo-inverse does not survive the scaling of the columns
        back = np.asarray(np.linalg.pinv(spread, rcond=0), np.float64)
    if center:
        rows = np.ones((len(X), whiten.shape[1] + 1))
        np.matmul(X, whiten, out=rows[:, :-1])
    else:
        rows = X @ whiten
    return Prepared(rows, counts, inverse, shift, scale, back, spread)


def _merge(A: Array) -> tuple[Array, Array, NDArray[np.intp] | None]:
    """Merge equal rows if a sample has many."""
    n, d = A.shape
    sample = A[:: max(1, n // _SAMPLE)]
    size = np.abs(sample).max() or 1.0
    key = np.sort((sample / size) @ np.cos(np.arange(1.0, d + 1)))
    if np.count_nonzero(np.diff(key) <= 1e-12 * np.abs(key).max()) <= 0.05 * len(key):
        return A, np.ones(n), None
    distinct, inverse, counts = np.unique(A + 0.0, axis=0, return_inverse=True, return_counts=True)
    return distinct, counts.astype(np.float64), inverse.reshape(n)


def _scaled(A: Array, weights: Array | None) -> tuple[Array, Array, Array]:
    """Return rows with entries of size about 1, the mean that was taken off, and the scales; NaN-free at any size."""
    shift, scale = np.zeros(A.shape[1]), _sizes(A)
    X = A / scale
    if weights is not None:
        mean = weights @ X
        X -= mean
        X[:, np.abs(X).max(axis=0) <= _CONSTANT] = 0
        finer = _sizes(X)
        X /= finer
        shift, scale = mean * scale, scale * finer
    return X, shift, scale


def _sizes(A: Array) -> Array:
    """Powers of two above the largest entry of each column; 1 for a column of zeros."""
    largest = np.maximum(A.max(axis=0), -A.min(axis=0))
    exponent = np.minimum(np.frexp(largest)[1], 1023)
    return np.where(largest > 0, np.ldexp(1.0, exponent), 1.0)


def _whitening(X: Array, weights: Array) -> tuple[Array, Array]:
    """Return W, shape (D, rank), and its pseudo-inverse such that the rows of ``X W`` have the identity as moment."""
    values, vectors = np.linalg.eigh(gram(X, weights))
    if values[0] > _WELL_CONDITIONED * values[-1]:
        root = np.sqrt(values)
        return vectors / root, root[:, None] * vectors.T
    _, singular, directions = np.linalg.svd(np.linalg.qr(X * np.sqrt(weights)[:, None], mode="r"), full_matrices=False)
    kept = singular > singular[:1] * max(X.shape) * np.finfo(np.float64).eps
    W, back = directions[kept].T / singular[kept], singular[kept, None] * directions[kept]
    again = np.linalg.cholesky(gram(X @ W, weights))  # the second pass takes off what rounding left
    return np.asarray(np.linalg.solve(again, W.T).T), np.asarray(again.T @ back)
