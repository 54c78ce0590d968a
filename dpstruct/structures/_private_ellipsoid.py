"""`PrivateEllipsoid`: what is released of a `JohnEllipsoid`, and everything that can be asked of it."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Release
from dpstruct.domain import check_rows, positive_integer
from dpstruct.structures import _ellipsoid_rounds as passes
from dpstruct.structures._ellipsoid_recipe import Recipe, recipe

if TYPE_CHECKING:
    from dpstruct.structures.john_ellipsoid import JohnEllipsoid

__all__ = ["PrivateEllipsoid"]

Floats = NDArray[np.float64]


class _Geometry(NamedTuple):
    """An ellipsoid in the units of the data, and what is known about its coverage."""

    center: Floats
    matrix: Floats
    rows: float
    cell: int


class PrivateEllipsoid(Release):
    """Holds about the wanted fraction of the records inside ``{x: (x - center)^T matrix (x - center) <= 1}``.

    Everything about it is post-processing of noised sums: it says nothing of weights, support or true coverage. Made by
    `Budget.release` or `dpstruct.load`.
    """

    @property
    def structure(self) -> JohnEllipsoid:
        """The public blueprint."""
        structure: JohnEllipsoid = self.__dict__["_structure"]
        return structure

    @cached_property
    def _recipe(self) -> Recipe:
        return recipe(self.structure, self.receipt.cost, self.receipt.neighbors)

    @cached_property
    def _geometry(self) -> _Geometry:
        blueprint, r = self.structure, self._recipe
        shape = passes.replay(r, self.receipt, self.transcript)
        count = float(self.transcript["n"]) if "n" in self.transcript else shape.count
        H = shape.G @ shape.G.T
        H = (H + H.T) / 2
        s, cell = self._squared_radius(count)
        s = min(s, float(np.linalg.eigvalsh(H)[-1]))  # at most what holds the unit ball
        if blueprint.center:  # rows are (x, 1) / sqrt(2); completing the square leaves `rest` at the centre
            dim = len(H) - 1
            middle = -np.linalg.solve(H[:dim, :dim], H[:dim, dim])
            rest = H[dim, dim] + H[dim, :dim] @ middle
            shrunk, level = H[:dim, :dim] / rest, max(2 * s / rest - 1, blueprint.resolution**2)
        else:
            middle, shrunk, level = np.zeros(len(H)), H, s
        scale = blueprint._scale
        Q = scale[:, None] * (shrunk / level) * scale
        return _Geometry(blueprint._middle + middle / scale, (Q + Q.T) / 2, count, cell)

    def _squared_radius(self, count: float) -> tuple[float, int]:
        """Return the released squared radius that leaves the wanted fraction outside, and its cell of the grid."""
        blueprint, tail, noise = self.structure, self._recipe.tail, self.receipt
        alpha = 1 - blueprint.coverage
        if blueprint.quantile == "median":
            return tail.median(self.transcript, noise, alpha * max(count, 1.0))
        slack = self._recipe.count_excess(noise, blueprint.beta / 5)
        chance = blueprint.beta * (0.8 if self._recipe.counted else 1.0)
        return tail.conservative(self.transcript, noise, alpha * (max(count, 1.0) - slack), chance)

    # ---- what it is ------------------------------------------------------------------------------------------------

    @property
    def center(self) -> Floats:
        """Centre, shape (d,), in the units of the data."""
        return self._geometry.center.copy()

    @property
    def matrix(self) -> Floats:
        """The positive definite matrix Q, shape (d, d)."""
        return self._geometry.matrix.copy()

    @cached_property
    def _spectrum(self) -> tuple[Floats, Floats]:
        values, vectors = np.linalg.eigh(self._geometry.matrix)
        return 1 / np.sqrt(values), vectors

    @property
    def radii(self) -> Floats:
        """Lengths of the semi-axes, longest first, shape (d,).

        A radius near ``resolution`` times the size of the bounds means "not resolved".
        """
        return self._spectrum[0].copy()

    @property
    def axes(self) -> Floats:
        """Directions of the semi-axes as unit columns in the order of `radii`, shape (d, d)."""
        return self._spectrum[1].copy()

    @property
    def log_volume(self) -> float:
        """Natural logarithm of the volume."""
        d = len(self._geometry.center)
        return d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1) + float(np.log(self._spectrum[0]).sum())

    @property
    def volume(self) -> float:
        """Volume, in the units of the data to the power d."""
        return math.exp(self.log_volume) if self.log_volume < 709 else math.inf

    @property
    def count(self) -> float:
        """Number of records: exact where it is public (substitute), else the released noisy count."""
        return self._geometry.rows

    @property
    def method(self) -> str:
        """How the shape was found: ``"capped"`` or ``"second-moment"``."""
        return "capped" if self._recipe.capped else "second-moment"

    @property
    def nu(self) -> float:
        """A record's weight in the shape was at most ``1 / (nu n)``; 1 for the second moment."""
        return self._recipe.nu

    @property
    def eta(self) -> float:
        """Noise of one round in operator norm, relative to the matrix that it perturbs; from the plan."""
        return self._recipe.eta

    @property
    def coverage_error(self) -> float:
        """Standard error of the covered fraction."""
        r, n = self._recipe, max(self._geometry.rows, 1.0)
        tail = float(r.tail.errors(self.receipt)[self._geometry.cell])
        return min(1.0, math.hypot(tail, (1 - self.structure.coverage) * r.count_error(self.receipt)) / n)

    def _row_count(self) -> tuple[float, float]:
        return self.count, 6 * self._recipe.count_error(self.receipt)

    # ---- queries ---------------------------------------------------------------------------------------------------

    def query(self, Y: ArrayLike) -> Floats:
        """Return the Mahalanobis radius of each query, shape (q,): at most 1 inside, growing linearly outwards.

        Parameters
        ----------
        Y : array-like, shape (q, d)
            Queries, in the units of the data; not clipped. Asking about training records is free, too. A row with a NaN
            gets a NaN.
        """
        whitened = self.whiten(Y)
        self._warn_of_capacity()
        with np.errstate(all="ignore"):
            radius: Floats = np.sqrt(np.square(whitened).sum(axis=1))
        return radius

    def score(self, Y: ArrayLike) -> Floats:
        """Return the squared radius ``(y - center)^T matrix (y - center)`` of each query, shape (q,)."""
        with np.errstate(over="ignore"):
            return np.square(self.query(Y))

    def contains(self, Y: ArrayLike) -> NDArray[np.bool_]:
        """Return for each query whether it is inside, shape (q,)."""
        return self.query(Y) <= 1

    def error(self, Y: ArrayLike | None = None) -> Floats | np.float64:
        """Return the standard error of the covered fraction, one for all queries: shape (q,), or () without `Y`.

        ``sqrt(tail**2 + (alpha count_error)**2) / count`` from the noise scales, the released count and the released
        radius. With ``quantile="conservative"`` the coverage is too small with probability `beta` at most.
        """
        shape = () if Y is None else (len(check_rows("Y", Y, len(self._geometry.center))),)
        error: Floats | np.float64 = np.full(shape, self.coverage_error)[()]
        return error

    @cached_property
    def _factor(self) -> Floats:
        """Root of the matrix: Mahalanobis radii are lengths of ``(y - center) @ factor``."""
        radii, vectors = self._spectrum
        root: Floats = (vectors / radii) @ vectors.T
        return root

    def whiten(self, Y: ArrayLike) -> Floats:
        """Return ``matrix**(1/2) (y - center)`` for each query, shape (q, d): the ellipsoid becomes the unit ball."""
        rows = check_rows("Y", Y, len(self._geometry.center)).astype(np.float64)
        with np.errstate(all="ignore"):  # far away is a value, too
            whitened: Floats = (rows - self._geometry.center) @ self._factor
        return whitened

    def polar(self) -> Floats:
        """Return the matrix P of the polar ellipsoid ``{x: x^T P x <= 1}``, the inverse of `matrix`.

        It is ``{x: |(y - center)^T x| <= 1 for all y in the ellipsoid}``. With ``center=False`` and bounds around 0,
        where records are normals of slabs, it lies inside all slabs ``|a_i^T x| <= 1`` but about ``1 - coverage`` of
        them: a private inner John ellipsoid.
        """
        radii, vectors = self._spectrum
        polar: Floats = (vectors * radii**2) @ vectors.T
        return polar

    def sample(self, k: int, *, seed: int | None = None) -> Floats:
        """Return `k` points uniform in the ellipsoid, shape (k, d); post-processing, so a seed costs no privacy."""
        random = np.random.default_rng(seed)
        radii, vectors = self._spectrum
        points = random.standard_normal((positive_integer("k", k, at_most=1 << 40), len(radii)))
        points *= (random.random(len(points)) ** (1 / len(radii)) / np.sqrt((points**2).sum(axis=1)))[:, None]
        inside: Floats = self._geometry.center + (points * radii) @ vectors.T
        return inside
