"""The fixed-point iteration of Cohen, Cousins, Lee and Yang for John ellipsoids (COLT 2019)."""

from __future__ import annotations

import math
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import positive_integer
from dpstruct.ellipsoid import Region
from dpstruct.errors import InvalidParameter
from dpstruct.reference import _moments as shared
from dpstruct.reference._label import Label
from dpstruct.reference._moments import Array


class CCLY:
    """Multiply weights by leverages, average the iterates: no leverage exceeds ``d (1 + xi)`` after a known time.

    Not private, and not meant to be: see `label`.

    Parameters
    ----------
    xi : float
        Wanted accuracy, in (0, 1].
    T : int, optional
        Iterates to average; ``ceil((2 / xi) ln(n / d))`` if not given.
    center : bool
        Fit the centre by lifting the rows to ``(x, 1) / sqrt 2``.

    Attributes
    ----------
    weights, moment, excess
        The average design (of sum 1), its moment matrix, and its largest leverage over d minus 1; set by `fit`.

    References
    ----------
    Cohen, Cousins, Lee, Yang, "A near-optimal algorithm for approximating the John ellipsoid" (COLT 2019).

    Examples
    --------
    >>> fitted = CCLY(xi=0.1, center=False).fit([[1, 0], [0, 1], [0.5, 0.5]])
    >>> fitted.excess <= 0.1
    True
    """

    def __init__(self, *, xi: SupportsFloat, T: int | None = None, center: bool = True) -> None:
        self.xi, self.center = shared.fraction("xi", xi), bool(center)
        self.T = None if T is None else positive_integer("T", T, at_most=10**9)

    @property
    def label(self) -> Label:
        """Why this guarantees nothing."""
        return Label("Cohen et al., COLT 2019", "nothing: an exact algorithm", None, "no noise is added", True)

    def fit(self, X: ArrayLike) -> Self:
        """Solve for the rows of `X`, shape (n, D), finite and (lifted) of full column rank."""
        A = shared.lift(shared.matrix("X", X), self.center)
        n, d = A.shape
        if n < d or not np.isfinite(A).all():
            raise InvalidParameter("X", "too few rows, or values that are not finite", "full column rank, finite")
        w = np.full(n, d / n)
        total = w.copy()
        for _ in range((self.T or max(1, math.ceil(2 / self.xi * math.log(n / d)))) - 1):
            w *= _scores(A, w)
            total += w
        self.weights = total / total.sum()
        self.moment = A.T @ (A * self.weights[:, None])
        self._h = shared.leverages(A, self.moment)
        self.excess = float(self._h.max()) / d - 1
        return self

    def ellipsoid(self, coverage: SupportsFloat = 1.0) -> Region:
        """Return the ellipsoid, scaled to hold the fraction `coverage` of the rows exactly."""
        scale = shared.exact_scale(self._h, shared.fraction("coverage", coverage))
        return shared.region(self.moment, scale, self.center)


def _scores(A: Array, w: Array) -> Array:
    scaled = A @ np.linalg.inv(np.linalg.cholesky(A.T @ (A * w[:, None]))).T
    return np.asarray(np.einsum("ij,ij->i", scaled, scaled))
