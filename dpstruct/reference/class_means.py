"""Nearest private class mean: the simplest classifier that one Gaussian release gives."""

from __future__ import annotations

from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference._moments import Array, in_the_ball

__all__ = ["ClassMeans"]

_COUNT = 0.25  # what the count counts per record, so that it costs little


class ClassMeans:
    """Classifies rows in the unit ball by the nearest of k noisy class means.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    classes : int
        Labels are ``0 .. classes - 1``; others contribute nothing.
    mu : float
        Of the claim.

    Attributes
    ----------
    means : ndarray of shape (classes, d)

    Notes
    -----
    A record adds ``(x, 1/4)`` of squared length at most 17/16 to one class: that, over mu, is the standard deviation of
    the noise on every sum and count.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.repeat([[0.5, 0.0], [0.0, 0.5]], 500, axis=0)
    >>> means = ClassMeans(2, mu=0.5).fit(X, np.repeat([0, 1], 500), np.random.default_rng(0))
    >>> means.query([[1.0, 0.0], [0.0, 1.0]]).argmax(axis=1)
    array([0, 1])
    """

    def __init__(self, classes: int, *, mu: SupportsFloat) -> None:
        self.classes, self.mu = positive_integer("classes", classes, at_most=1 << 20), real("mu", mu)
        if self.mu <= 0:
            raise InvalidParameter("mu", repr(self.mu), "a positive number")
        self.means: Array = np.empty((0, 0))

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        claim = f"{self.mu!r}-GDP under add-remove neighbours of rows, which are clipped to the unit ball"
        return Label("folklore", claim, None, FLOAT_NOISE, True)

    def fit(self, X: ArrayLike, y: ArrayLike, rng: np.random.Generator) -> Self:
        """Release the means of the rows of `X`, shape (n, d), with labels `y`, shape (n,), and noise from `rng`."""
        rows, labels = in_the_ball(X), check_rows("y", y, None)
        scale = np.sqrt(1 + _COUNT**2) / self.mu
        hot = (labels[:, None] == np.arange(self.classes)).astype(np.float64)
        sums = hot.T @ rows + scale * rng.standard_normal((self.classes, rows.shape[1]))
        counts = hot.sum(axis=0) + scale / _COUNT * rng.standard_normal(self.classes)
        self.means = sums / np.maximum(counts, 1.0)[:, None]
        return self

    def query(self, X: ArrayLike) -> Array:
        """Return scores, shape (q, classes): ``<x, mean> - |mean|**2 / 2``, largest for the nearest mean."""
        return np.asarray(in_the_ball(X) @ self.means.T - 0.5 * (self.means**2).sum(axis=1))
