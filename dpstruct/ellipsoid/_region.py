"""An ellipsoid as a set: where a point lies, how large it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import check_rows
from dpstruct.errors import InvalidParameter

Array = NDArray[np.float64]
_OFF_THE_SPAN = 1e-8  # relative distance from the affine hull of a flat ellipsoid that counts as rounding


def log_unit_ball(dim: int) -> float:
    """Return the logarithm of the volume of the unit ball."""
    return dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)


def finite_rows(argument: str, X: ArrayLike, dim: int | None = None) -> Array:
    """Return `X` as float64 of shape (n, dim), n >= 1, all finite."""
    shape = np.shape(X)
    width = dim if dim is not None else (shape[1] if len(shape) == 2 else 1)
    rows: Array = np.ascontiguousarray(check_rows(argument, X, width), dtype=np.float64)
    if rows.size == 0:
        raise InvalidParameter(argument, "no rows or no columns", "at least one row and one column")
    if not np.isfinite(rows).all():
        raise InvalidParameter(argument, "NaN or infinite values", "finite numbers", f"clean {argument} first")
    return rows


@dataclass(frozen=True, eq=False)
class Region:
    """Hold the points ``center + generator @ y`` with ``|y| <= 1``, an ellipsoid of dimension `rank` in D coordinates.

    Attributes
    ----------
    center : ndarray of shape (D,)
    factor : ndarray of shape (D, rank)
        ``y = factor.T @ (x - center)``; the matrix of the ellipsoid is ``factor @ factor.T``.
    generator : ndarray of shape (D, rank)
        Its pseudo-inverse: ``factor.T @ generator`` is the identity.
    log_volume : float
        Logarithm of the rank-dimensional volume, in the units of the data.
    cylinder : bool
        True if directions outside the span of `factor` are unbounded (the John ellipsoid of an unbounded polytope), in
        place of flat.

    Examples
    --------
    >>> import numpy as np
    >>> disc = Region(np.zeros(2), np.eye(2), np.eye(2), float(np.log(np.pi)))
    >>> disc.contains([[0.6, 0.8], [0.7, 0.8]]).tolist(), disc.radius
    ([True, False], 1.0)
    """

    center: Array
    factor: Array
    generator: Array
    log_volume: float
    cylinder: bool = False

    @property
    def matrix(self) -> Array:
        """The Q of ``(x - center)^T Q (x - center) <= 1``; beyond scales of 1e+-150 it may overflow, `score` not."""
        return np.asarray(self.factor @ self.factor.T)

    @property
    def rank(self) -> int:
        """Dimension of the span of the rows, numerically."""
        return int(self.factor.shape[1])

    @property
    def radius(self) -> float:
        """Geometric mean of the semi-axes: the radius of the ball of equal volume."""
        return math.exp((self.log_volume - log_unit_ball(self.rank)) / self.rank) if self.rank else 0.0

    @property
    def axes(self) -> tuple[Array, Array]:
        """Lengths of the semi-axes, longest first, shape (rank,), and their directions as rows, shape (rank, D)."""
        directions, lengths, _ = np.linalg.svd(self.generator, full_matrices=False)
        return lengths, directions.T

    def score(self, X: ArrayLike) -> Array:
        """Return ``(x - center)^T Q (x - center)`` for the rows of `X`, shape (n, D): at most 1 inside."""
        y = (self._rows(X) - self.center) @ self.factor
        return np.asarray(np.einsum("ij,ij->i", y, y))

    def contains(self, X: ArrayLike, *, rtol: float = 1e-9) -> NDArray[np.bool_]:
        """Tell which rows of `X`, shape (n, D), have a score of at most ``1 + rtol`` (and lie in the span, if flat)."""
        rows = self._rows(X)
        inside = self.score(rows) <= 1 + rtol
        if self.rank < len(self.center) and not self.cylinder:
            away = rows - self.center
            off = np.abs(away - (away @ self.factor) @ self.generator.T)
            size = np.abs(rows) + np.abs(self.center) + np.linalg.norm(self.generator, axis=1)
            inside &= (off <= _OFF_THE_SPAN * size).all(axis=1)
        return np.asarray(inside)

    def _rows(self, X: ArrayLike) -> Array:
        return np.asarray(check_rows("X", X, len(self.center)), dtype=np.float64)
