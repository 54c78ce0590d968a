"""What the attention baselines share: rows in unit balls, a floored denominator, shrinking towards the mean value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label

Array = NDArray[np.float64]
FLOOR = 0.2


def in_ball(argument: str, values: ArrayLike, dim: int) -> Array:
    """Return finite rows shrunk to the unit ball."""
    rows = check_rows(argument, values, dim).astype(np.float64)
    rows[~np.isfinite(rows)] = 0.0
    result: Array = rows / np.maximum(1.0, np.linalg.norm(rows, axis=1, keepdims=True))
    return result


class AttentionBaseline(ABC):
    """Base of the baselines: keys and values in unit balls, weights ``exp(theta <q/|q|, k>)`` for one public theta.

    Answers get the same treatment as ours: a floor under the denominator and James-Stein shrinking, so that only the
    release is compared.
    """

    _source: ClassVar[str]
    _claim: ClassVar[str]
    _reason: ClassVar[str] = FLOAT_NOISE

    def __init__(self, dim_key: int, dim_value: int, *, theta: SupportsFloat, mu: SupportsFloat | None) -> None:
        self.dim_key = positive_integer("dim_key", dim_key, at_most=1 << 12)
        self.dim_value = positive_integer("dim_value", dim_value, at_most=1 << 12)
        self.theta = real("theta", theta)
        self.mu = None if mu is None else real("mu", mu)
        if self.theta <= 0 or (self.mu is not None and self.mu <= 0):
            raise InvalidParameter("theta, mu", f"{self.theta!r}, {self.mu!r}", "positive numbers")
        self._sums: tuple[Array, float] | None = None

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        return Label(self._source, self._claim, None, self._reason, True)

    def fit(self, K: ArrayLike, V: ArrayLike, rng: np.random.Generator) -> Self:
        """Sum the records and add noise from `rng` once; the count and the sum of all values get noise, too."""
        keys, values = in_ball("K", K, self.dim_key), in_ball("V", V, self.dim_value)
        self._release(keys, values, rng)
        scale = self._mean_scale()
        total = values.sum(axis=0) + scale * rng.standard_normal(self.dim_value)
        self._sums = total, max(1.0, len(keys) + scale * float(rng.standard_normal()))
        return self

    def query(self, Q: ArrayLike, *, shrink: bool = True) -> Array:
        """Return the attention outputs of the directions of `Q`, shape (q, dim_value)."""
        if self._sums is None:
            raise InvalidParameter("query", "a baseline without data", "a fitted one", "call fit first")
        rows = check_rows("Q", Q, self.dim_key).astype(np.float64)
        N, D, variance, mass = self._evaluate(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        total, count = self._sums
        D = np.maximum(D, FLOOR * count * mass)
        if not shrink:
            return np.asarray(N / D[:, None])
        mean = total / count
        centred = N - D[:, None] * mean
        energy = np.maximum((centred**2).sum(axis=1), 1e-300)
        kept = np.maximum(0.0, 1 - max(self.dim_value - 2, 0) * variance / energy)
        out = mean + centred * (kept / D)[:, None]
        return np.asarray(out / np.maximum(1.0, np.linalg.norm(out, axis=1, keepdims=True)))

    def _mean_scale(self) -> float:
        """Return the noise of the count and of the mean's coordinates: what our own release spends on them."""
        return 2.0 / (self.mu or 1.0)

    @abstractmethod
    def _release(self, K: Array, V: Array, rng: np.random.Generator) -> None:
        """Store the noisy state."""

    @abstractmethod
    def _evaluate(self, Q: Array) -> tuple[Array, Array, Any, Any]:
        """Return numerators, denominators, variance of a centred coordinate, and the weight of an average record."""
