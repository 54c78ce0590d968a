"""Attention with noise on every output: what a release per query costs."""

from __future__ import annotations

import math
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import check_rows, positive_integer
from dpstruct.errors import InvalidParameter
from dpstruct.reference._attention import Array, AttentionBaseline, in_ball

__all__ = ["QueryGaussian"]


class QueryGaussian(AttentionBaseline):
    """Answer a fixed number of attention queries by the exact output plus Gaussian noise each.

    A baseline in floating point, not a private release: see `label`. Its noise grows with the root of the number of
    queries, and it keeps the records.

    Parameters
    ----------
    dim_key, dim_value : int
        Lengths of keys and values, both shrunk to the unit ball.
    theta : float
        Sharpness: weights are ``exp(theta <q/|q|, k>)``.
    mu : float
        GDP parameter of all queries together; one record replaced, n public.
    queries : int
        How many queries there will be.

    Notes
    -----
    Replacing one record moves an output by at most ``2 e^theta / (e^theta + (n - 1) e^-theta)``.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> baseline = QueryGaussian(3, 2, theta=1.0, mu=1.0, queries=10)
    >>> baseline.fit(rng.normal(size=(500, 3)), rng.normal(size=(500, 2)), rng).query([[1.0, 0, 0]]).shape
    (1, 2)
    """

    _source = "folklore (Gaussian mechanism and composition)"
    _claim = "mu-GDP under substitute neighbours of rows, for at most the stated number of queries"

    def __init__(self, dim_key: int, dim_value: int, *, theta: SupportsFloat, mu: SupportsFloat, queries: int) -> None:
        super().__init__(dim_key, dim_value, theta=theta, mu=mu)
        self.queries = positive_integer("queries", queries, at_most=1 << 40)

    def fit(self, K: ArrayLike, V: ArrayLike, rng: np.random.Generator) -> Self:
        """Keep the records and the generator."""
        self._keys, self._values, self._rng = in_ball("K", K, self.dim_key), in_ball("V", V, self.dim_value), rng
        self._left = self.queries
        return self

    @property
    def scale(self) -> float:
        """Standard deviation of every coordinate of every output."""
        assert self.mu is not None
        high, low = math.exp(self.theta), math.exp(-self.theta)
        return 2 * high / (high + (len(self._keys) - 1) * low) * math.sqrt(self.queries) / self.mu

    def query(self, Q: ArrayLike, *, shrink: bool = True) -> Array:
        """Return noisy outputs, shape (q, dim_value), projected to the unit ball if `shrink`."""
        rows = check_rows("Q", Q, self.dim_key).astype(np.float64)
        if len(rows) > self._left:
            raise InvalidParameter("Q", f"{len(rows)} queries", f"at most {self._left} more")
        self._left -= len(rows)
        scores = self.theta * (rows / np.linalg.norm(rows, axis=1, keepdims=True)) @ self._keys.T
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out = weights @ self._values / weights.sum(axis=1, keepdims=True)
        out += self.scale * self._rng.standard_normal(out.shape)
        return np.asarray(out / np.maximum(1.0, np.linalg.norm(out, axis=1, keepdims=True))) if shrink else out

    def _release(self, K: Array, V: Array, rng: np.random.Generator) -> None:
        raise NotImplementedError

    def _evaluate(self, Q: Array) -> tuple[Array, Array, Array, float]:
        raise NotImplementedError
