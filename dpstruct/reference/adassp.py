"""AdaSSP: least squares from noisy sufficient statistics with an adaptive ridge (arXiv 1803.02596)."""

from __future__ import annotations

import math
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import check_rows, real
from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference._moments import Array, in_the_ball

__all__ = ["AdaSSP"]


class AdaSSP:
    """Linear least squares for rows in the unit ball and targets in [-1, 1].

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    epsilon, delta : float
        Of the claim; a third each goes to the smallest eigenvalue, the second moment and the products with the targets.
    rho : float
        Failure probability of the analysis that sets the ridge.

    Attributes
    ----------
    theta : ndarray of shape (d,)
        Coefficients.
    ridge : float
        The ridge that was chosen.

    References
    ----------
    Wang (2018), arXiv 1803.02596, algorithm 2. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-0.5, 0.5, (20000, 2))
    >>> fit = AdaSSP(epsilon=1.0, delta=1e-6).fit(X, X[:, 0], np.random.default_rng(1))
    >>> fit.query([[0.5, 0.0]]).round(1)
    array([0.5])
    """

    def __init__(self, *, epsilon: SupportsFloat, delta: SupportsFloat, rho: SupportsFloat = 0.05) -> None:
        self.epsilon, self.delta, self.rho = real("epsilon", epsilon), real("delta", delta), real("rho", rho)
        if self.epsilon <= 0 or not 0 < self.delta < 1 or not 0 < self.rho < 1:
            raise InvalidParameter("epsilon, delta, rho", "a number out of range", "epsilon > 0, the others in (0, 1)")
        self.theta: Array = np.empty(0)
        self.ridge = math.nan

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        claim = f"({self.epsilon!r}, {self.delta!r})-DP under add-remove neighbours of clipped rows and targets"
        return Label("arXiv:1803.02596", claim, None, FLOAT_NOISE, True)

    def fit(self, X: ArrayLike, y: ArrayLike, rng: np.random.Generator) -> Self:
        """Fit the rows of `X`, shape (n, d), to `y`, shape (n,), with noise from `rng`."""
        rows = in_the_ball(X)
        targets = np.clip(np.nan_to_num(check_rows("y", y, None).astype(np.float64)), -1.0, 1.0)
        d, moment = rows.shape[1], rows.T @ rows
        log, third = math.log(6 / self.delta), self.epsilon / 3
        scale = math.sqrt(log) / third
        smallest = float(np.linalg.eigvalsh(moment)[0])
        lowest = max(0.0, smallest + scale * float(rng.standard_normal()) - log / third)
        self.ridge = max(0.0, math.sqrt(d * log * math.log(2 * d * d / self.rho)) / third - lowest)
        noise: NDArray[np.float64] = np.triu(rng.standard_normal((d, d)))
        noise = noise + np.triu(noise, 1).T
        products = rows.T @ targets + scale * rng.standard_normal(d)
        theta = np.linalg.solve(moment + scale * noise + self.ridge * np.eye(d), products)
        self.theta = np.asarray(theta, dtype=np.float64)
        return self

    def query(self, X: ArrayLike) -> Array:
        """Return predictions, shape (q,)."""
        return np.asarray(in_the_ball(X) @ self.theta)
