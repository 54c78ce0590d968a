"""Softmax attention from private distance trees over feature coordinates, after DPTree (arXiv 2407.14717)."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import positive_integer
from dpstruct.errors import InvalidParameter
from dpstruct.features.polynomial import multiplicities, sizes
from dpstruct.kernels.cross_attention import monomials
from dpstruct.reference._attention import Array, AttentionBaseline
from dpstruct.reference._dyadic import positive
from dpstruct.reference._label import FLOAT_NOISE

__all__ = ["DPTreeSoftmax"]


class DPTreeSoftmax(AttentionBaseline):
    """Answer attention from weighted squared distances, one dyadic tree per feature coordinate and value column.

    A baseline in floating point, not a private release: see `label` for what the published algorithm leaves out.

    Parameters
    ----------
    dim_key, dim_value : int
        Lengths of keys and values, both shrunk to the unit ball.
    theta : float
        Sharpness: weights are the Taylor polynomial of ``exp(theta <q/|q|, k>)``.
    degree : int
        Of that polynomial: features P with ``<P(x), P(y)>`` equal to it, r coordinates.
    depth : int
        Trees have ``2**depth`` leaves; the paper takes log2 of a public n.
    epsilon, mu : float
        Exactly one: Laplace noise (as published) or one joint Gaussian release (like for like).
    totals : {"exact", "noisy"}
        The two totals, without noise as published, or with the noise of one tree each.

    Notes
    -----
    Every node stores ``sum w, sum w x, sum w x**2`` of its records, coordinates scaled to [-1, 1]. A query adds the
    siblings on its path and its leaf, depth + 1 nodes: ``sum w (x - y)**2``. Over coordinates this is a squared
    distance of features, and ``<P(x), P(y)> = (|P(x)|**2 + |P(y)|**2 - |P(x) - P(y)|**2) / 2``. A record moves
    ``3 (depth + 1)`` numbers of every tree: l1 sensitivity ``3 (depth + 1) r (dim_value + 1)``, joint l2
    ``sqrt(6 (depth + 1) r)``.

    References
    ----------
    Differential privacy of cross-attention with provable guarantee (2024), arXiv 2407.14717. Reconstructed from the
    abstract and public descriptions.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> baseline = DPTreeSoftmax(3, 2, theta=1.0, depth=4, mu=1.0)
    >>> baseline.fit(rng.normal(size=(500, 3)), rng.normal(size=(500, 2)), rng).query([[1.0, 0, 0]]).shape
    (1, 2)
    """

    _source = "arXiv:2407.14717"
    _claim = "an (epsilon, delta)-type bound up to a failure probability that is not part of delta"
    _reason = f"the normaliser and two totals are used without noise, as published; besides, {FLOAT_NOISE}"

    def __init__(
        self,
        dim_key: int,
        dim_value: int,
        *,
        theta: SupportsFloat,
        degree: int = 2,
        depth: int = 10,
        epsilon: SupportsFloat | None = None,
        mu: SupportsFloat | None = None,
        totals: str = "exact",
    ) -> None:
        super().__init__(dim_key, dim_value, theta=theta, mu=mu)
        if (epsilon is None) == (mu is None):
            raise InvalidParameter("epsilon, mu", "neither" if mu is None else "both", "exactly one")
        if totals not in ("exact", "noisy"):
            raise InvalidParameter("totals", repr(totals), '"exact" or "noisy"')
        self.degree, self.depth = (
            positive_integer("degree", degree, at_most=3),
            positive_integer("depth", depth, at_most=16),
        )
        self.epsilon = None if epsilon is None else positive("epsilon", epsilon)
        self.totals = totals
        per_degree = [math.sqrt(self.theta**p / math.factorial(p)) for p in range(self.degree + 1)]
        self._sides = np.repeat(per_degree, sizes(self.dim_key, self.degree))  # |P_c| is at most this

    def _scaled(self, X: Array) -> Array:
        """Return the feature coordinates over their sides, in [-1, 1], shape (n, r)."""
        rows = np.concatenate([tile.copy() for _, tile in monomials(np.ascontiguousarray(X.T), self.degree)])
        return np.clip(rows.T * multiplicities(self.dim_key, self.degree), -1, 1)

    def _leaves(self, x: Array) -> NDArray[np.int64]:
        leaves: NDArray[np.int64] = np.clip(((x + 1) / 2 * 2**self.depth).astype(np.int64), 0, 2**self.depth - 1)
        return leaves

    @property
    def _scale(self) -> float:
        touched, r = 3 * (self.depth + 1), len(self._sides)
        if self.epsilon is not None:
            return touched * r * (self.dim_value + 1) / self.epsilon
        assert self.mu is not None
        return math.sqrt(2 * touched * r) / self.mu

    def _release(self, K: Array, V: Array, rng: np.random.Generator) -> None:
        X, W = self._scaled(K), np.concatenate([V, np.ones((len(V), 1))], axis=1)
        r, leaves, draw = X.shape[1], 2**self.depth, rng.normal if self.epsilon is None else rng.laplace
        self._table = np.empty((r, leaves, W.shape[1], 3))  # for every leaf: totals and the noise of its path
        for c in range(r):
            moments = np.stack([W.T @ X[:, c] ** k for k in range(3)], axis=1)
            noise = draw(0.0, self._scale, (2 * leaves, *moments.shape))
            paths = np.zeros((1, *moments.shape))
            for level in range(1, self.depth + 1):
                nodes = noise[1 << level : 2 << level]
                paths = np.repeat(paths, 2, axis=0) + nodes[np.arange(1 << level) ^ 1]
            self._table[c] = moments + paths + noise[leaves:]
        norms = (X * self._sides) ** 2
        self._totals = W.T @ norms.sum(axis=1), W.sum(axis=0)
        if self.totals == "noisy":
            squared, weights = (t + draw(0.0, self._scale, t.shape) for t in self._totals)
            self._totals = squared, weights

    def _evaluate(self, Q: Array) -> tuple[Array, Array, Array, float]:
        Y = self._scaled(Q)
        distance = np.zeros((len(Q), self.dim_value + 1))
        for c, (y, leaf) in enumerate(zip(Y.T, self._leaves(Y).T)):
            s0, s1, s2 = np.moveaxis(self._table[c, leaf], 2, 0)
            distance += self._sides[c] ** 2 * (s2 - 2 * y[:, None] * s1 + y[:, None] ** 2 * s0)
        squared, weights = self._totals
        both = (squared + ((Y * self._sides) ** 2).sum(axis=1)[:, None] * weights - distance) / 2
        return both[:, :-1], both[:, -1], self.variance(Q), math.exp(self.theta**2 / (2 * self.dim_key))

    def variance(self, Q: Array) -> Array:
        """Return the variance that the trees' noise gives one coordinate of each numerator, shape (q,)."""
        Y = self._scaled(np.asarray(Q, dtype=np.float64))
        one = self._scale**2 * (1.0 if self.epsilon is None else 2.0) * (self.depth + 1)
        return np.asarray((one * self._sides**4 * (1 + 4 * Y**2 + Y**4)).sum(axis=1) / 4)
