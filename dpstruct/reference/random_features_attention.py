"""Attention from noisy sums of random features: FAVOR+ (arXiv 2009.14794) and Fourier features (Rahimi, Recht 2007)."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np

from dpstruct.domain import positive_integer
from dpstruct.errors import InvalidParameter
from dpstruct.reference._attention import Array, AttentionBaseline

__all__ = ["RandomFeaturesAttention"]


class RandomFeaturesAttention(AttentionBaseline):
    """Answer attention from Gaussian-noised sums of random features whose products estimate the exponential.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    dim_key, dim_value : int
        Lengths of keys and values, both shrunk to the unit ball.
    theta : float
        Sharpness: weights are ``exp(theta <q/|q|, k>)``.
    mu : float
        GDP parameter, add-remove.
    kind : {"favor", "fourier"}
        Positive exponential features, clipped to norm ``clip exp(theta/2)``, or cosines and sines of norm at most 1.
    features : int
        Number of features.
    clip : float
        Public clipping norm of "favor", over its root mean square.
    seed : int
        Of the public random directions (blocks of orthogonal ones).

    Notes
    -----
    A record adds ``f(k) (v, c)`` with ``c**2 = dim_value**-0.5``: noise of std ``|f| sqrt(1 + c**2) / mu`` per number,
    times the norm of the query's features.

    References
    ----------
    Choromanski et al. (2021), arXiv 2009.14794; Rahimi and Recht (2007). Modelled from the published descriptions.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> baseline = RandomFeaturesAttention(3, 2, theta=2.0, mu=1.0, features=64)
    >>> baseline.fit(rng.normal(size=(500, 3)), rng.normal(size=(500, 2)), rng).query([[1.0, 0, 0]]).shape
    (1, 2)
    """

    _source = "arXiv:2009.14794"
    _claim = "mu-GDP under add-remove neighbours of rows for public directions and clipping norm"

    def __init__(
        self,
        dim_key: int,
        dim_value: int,
        *,
        theta: SupportsFloat,
        mu: SupportsFloat,
        kind: str = "favor",
        features: int = 1024,
        clip: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(dim_key, dim_value, theta=theta, mu=mu)
        if kind not in ("favor", "fourier"):
            raise InvalidParameter("kind", repr(kind), '"favor" or "fourier"')
        self.kind, self.features = kind, positive_integer("features", features, at_most=1 << 20)
        self._bound = clip * math.exp(self.theta / 2) if kind == "favor" else 1.0
        count = self.features if kind == "favor" else self.features // 2
        rng, d = np.random.default_rng(seed), self.dim_key
        blocks = []
        for _ in range(-(-count // d)):
            rotation, triangle = np.linalg.qr(rng.standard_normal((d, d)))
            blocks.append(rotation * np.sign(np.diag(triangle)))  # uniform
        lengths = np.linalg.norm(rng.standard_normal((count, d)), axis=1)
        self._directions = np.concatenate(blocks)[:count] * lengths[:, None]

    def _map(self, X: Array) -> Array:
        """Return features f with ``E <f(x), f(y)> = exp(theta <x, y>)``, for Fourier times ``exp(-theta)``."""
        scaled = math.sqrt(self.theta) * X
        half = (scaled**2).sum(axis=1, keepdims=True) / 2
        product = scaled @ self._directions.T
        if self.kind == "favor":
            return np.asarray(np.exp(product - half) / math.sqrt(len(self._directions)))
        waves = np.concatenate([np.cos(product), np.sin(product)], axis=1)
        return np.asarray(waves * np.exp(half - self.theta / 2) / math.sqrt(len(self._directions)))

    def _release(self, K: Array, V: Array, rng: np.random.Generator) -> None:
        assert self.mu is not None
        F = self._map(K)
        F *= np.minimum(1.0, self._bound / np.linalg.norm(F, axis=1, keepdims=True))
        ratio = self.dim_value**-0.25
        self._scale = self._bound * math.sqrt(1 + ratio**2) / self.mu
        noise = self._scale * rng.standard_normal((F.shape[1], self.dim_value + 1))
        noise[:, -1] /= ratio
        self._state = F.T @ np.concatenate([V, np.ones((len(V), 1))], axis=1) + noise

    def _evaluate(self, Q: Array) -> tuple[Array, Array, Array, float]:
        F = self._map(Q)
        both = F @ self._state
        d = self.dim_key  # the average weight of a key on the sphere, to second order
        mass = math.exp(self.theta**2 / (2 * d)) * (math.exp(-self.theta) if self.kind == "fourier" else 1.0)
        return both[:, :-1], both[:, -1], (self._scale * np.linalg.norm(F, axis=1)) ** 2, mass
