"""Output perturbation: regularised softmax regression, solved exactly and noised once (Chaudhuri et al., JMLR 2011)."""

from __future__ import annotations

import math
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference._moments import Array, in_the_ball

__all__ = ["OutputPerturbation"]


class OutputPerturbation:
    """Minimises the mean softmax loss plus ``ridge / 2 |theta|**2`` on rows in the unit ball, then adds Gaussian noise.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    classes : int
        Labels are ``0 .. classes - 1``.
    mu : float
        Of the claim.
    ridge : float
        Public regularisation.

    Attributes
    ----------
    theta : ndarray of shape (d, classes)
        Noisy coefficients.
    sensitivity : float
        ``2 sqrt(2) / (ridge n)``: the loss is sqrt(2)-Lipschitz in theta, and its minimiser moves by at most twice that
        over the strong convexity times n when one record is replaced (arXiv 0912.0071, corollary 8).

    Examples
    --------
    >>> import numpy as np
    >>> X = np.repeat([[0.5, 0.0], [0.0, 0.5]], 5000, axis=0)
    >>> fit = OutputPerturbation(2, mu=1.0, ridge=0.01).fit(X, np.repeat([0, 1], 5000), np.random.default_rng(0))
    >>> fit.query([[1.0, 0.0], [0.0, 1.0]]).argmax(axis=1)
    array([0, 1])
    """

    def __init__(self, classes: int, *, mu: SupportsFloat, ridge: SupportsFloat) -> None:
        self.classes = positive_integer("classes", classes, at_most=1 << 20)
        self.mu, self.ridge = real("mu", mu), real("ridge", ridge)
        if self.mu <= 0 or self.ridge <= 0:
            raise InvalidParameter("mu, ridge", f"{self.mu!r} and {self.ridge!r}", "positive numbers")
        self.theta: Array = np.empty((0, 0))
        self.sensitivity = math.nan

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        claim = f"{self.mu!r}-GDP under substitute neighbours of clipped rows, for the exact minimiser"
        return Label("arXiv:0912.0071", claim, None, FLOAT_NOISE + "; and the minimiser is approximate", True)

    def fit(self, X: ArrayLike, y: ArrayLike, rng: np.random.Generator) -> Self:
        """Fit the rows of `X`, shape (n, d), to labels `y`, shape (n,), with noise from `rng`."""
        from scipy.optimize import minimize

        rows, labels = in_the_ball(X), check_rows("y", y, None)
        n, d = rows.shape
        hot = (labels[:, None] == np.arange(self.classes)).astype(np.float64)

        def loss(flat: Array) -> tuple[float, Array]:
            theta = flat.reshape(d, self.classes)
            scores = rows @ theta
            scores -= scores.max(axis=1, keepdims=True)
            chance = np.exp(scores)
            total = chance.sum(axis=1, keepdims=True)
            value = float((np.log(total[:, 0]) - (hot * scores).sum(axis=1)).mean())
            gradient = rows.T @ (chance / total - hot) / n + self.ridge * theta
            return value + 0.5 * self.ridge * float(flat @ flat), gradient.ravel()

        found = minimize(loss, np.zeros(d * self.classes), jac=True, method="L-BFGS-B", options={"maxiter": 500})
        self.sensitivity = 2 * math.sqrt(2) / (self.ridge * n)
        noise = self.sensitivity / self.mu * rng.standard_normal((d, self.classes))
        self.theta = found.x.reshape(d, self.classes) + noise
        return self

    def query(self, X: ArrayLike) -> Array:
        """Return class scores, shape (q, classes)."""
        return np.asarray(in_the_ball(X) @ self.theta)
