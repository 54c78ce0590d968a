"""Khachiyan's coordinate ascent for the minimum-volume ellipsoid (1996), with the away steps of Todd and Yildirim."""

from __future__ import annotations

from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import positive_integer, real
from dpstruct.ellipsoid import Region
from dpstruct.errors import InvalidParameter
from dpstruct.reference import _moments as shared
from dpstruct.reference._label import Label
from dpstruct.reference._moments import Array

_REBUILD = 1000  # rank-one updates before the inverse is computed anew


class Khachiyan:
    """Raise the weight of the row with the largest leverage until none exceeds d by more than the tolerance.

    Not private, and not meant to be: see `label`.

    Parameters
    ----------
    tol : float
        Stops when the largest leverage of all rows is at most ``d (1 + tol)``.
    away : bool
        Also lower the weight of the row with the smallest leverage (converges linearly); False: as published.
    center : bool
        Fit the centre by lifting the rows to ``(x, 1) / sqrt 2``.
    max_steps : int
        Rank-one steps after which it stops in any case.

    Attributes
    ----------
    weights, moment, excess, steps
        The design, its moment matrix, its largest leverage over d minus 1, and the steps taken; set by `fit`.

    Notes
    -----
    The inverse moment and all leverages are kept up to date by rank-one formulas, one matrix-vector product and a few
    passes over vectors a step, and rebuilt before the result is certified.

    References
    ----------
    Khachiyan, "Rounding of polytopes in the real number model of computation" (1996); Todd, Yildirim (2007).

    Examples
    --------
    >>> fitted = Khachiyan(tol=1e-3).fit([[0, 0], [1, 0], [0, 1]])
    >>> fitted.ellipsoid().center.round(3).tolist(), fitted.excess <= 1e-3
    ([0.333, 0.333], True)
    """

    def __init__(
        self, *, tol: SupportsFloat = 1e-3, away: bool = False, center: bool = True, max_steps: int = 10**7
    ) -> None:
        self.tol, self.away, self.center = real("tol", tol), bool(away), bool(center)
        if not self.tol > 0:
            raise InvalidParameter("tol", repr(self.tol), "a positive number")
        self.max_steps = positive_integer("max_steps", max_steps, at_most=10**12)

    @property
    def label(self) -> Label:
        """Why this guarantees nothing."""
        return Label("Khachiyan 1996", "nothing: an exact algorithm", None, "no noise is added", True)

    def fit(self, X: ArrayLike) -> Self:
        """Solve for the rows of `X`, shape (n, D), finite and (lifted) of full column rank."""
        A = shared.lift(shared.matrix("X", X), self.center)
        n, d = A.shape
        if n < d or not np.isfinite(A).all():
            raise InvalidParameter("X", "too few rows, or values that are not finite", "full column rank, finite")
        p, fresh, self.steps = np.full(n, 1 / n), True, 0
        inverse, h = _rebuilt(A, p)
        while True:
            i = self._choose(h / d - 1, p)
            if i is None or self.steps >= self.max_steps:
                if fresh:
                    break
                inverse, h = _rebuilt(A, p)
                fresh = True
                continue
            _move(A, p, inverse, h, i)
            self.steps, fresh = self.steps + 1, False
            if self.steps % _REBUILD == 0:
                inverse, h = _rebuilt(A, p)
        self.weights, self.moment = p, A.T @ (A * p[:, None])
        self.excess, self._h = float(h.max()) / d - 1, h
        return self

    def _choose(self, slope: Array, p: Array) -> int | None:
        j = int(slope.argmax())
        if not self.away:
            return j if slope[j] > self.tol else None
        used = np.flatnonzero(p)
        m = int(used[slope[used].argmin()])
        if slope[j] <= self.tol:
            return None
        return j if slope[j] >= -slope[m] else m

    def ellipsoid(self, coverage: SupportsFloat = 1.0) -> Region:
        """Return the ellipsoid, scaled to hold the fraction `coverage` of the rows exactly."""
        scale = shared.exact_scale(self._h, shared.fraction("coverage", coverage))
        return shared.region(self.moment, scale, self.center)


def _rebuilt(A: Array, p: Array) -> tuple[Array, Array]:
    inverse: Array = np.asarray(np.linalg.inv(A.T @ (A * p[:, None])), np.float64)
    return inverse, np.asarray(np.einsum("ij,ij->i", A @ inverse, A))


def _move(A: Array, p: Array, inverse: Array, h: Array, i: int) -> None:
    """Step of exact line search along row i, updating everything in place."""
    d = A.shape[1]
    if h[i] > 1:
        step = (h[i] / d - 1) / (h[i] - 1)
    else:
        step = -np.inf
    step = max(step, -p[i] / (1 - p[i])) if p[i] < 1 else 0.0
    ratio = step / (1 - step)
    shrink = ratio / (1 + ratio * h[i])
    g = inverse @ A[i]
    v = A @ g
    inverse -= shrink * np.outer(g, g)
    inverse /= 1 - step
    v *= v
    v *= shrink
    h -= v
    h /= 1 - step
    last = step == -p[i] / (1 - p[i])
    p *= 1 - step
    p[i] = 0.0 if last else p[i] + step
