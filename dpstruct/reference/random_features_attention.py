"""Attention from noisy sums of random features: FAVOR+ (arXiv 2009.14794), Fourier features, polynomial sketches."""

from __future__ import annotations

import math
from typing import Any, SupportsFloat

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
    kind : {"favor", "fourier", "sketch"}
        Positive exponential features; cosines and sines of norm at most 1; or scikit-learn's tensor sketch of
        ``(1 + theta t / degree)**degree``.
    features : int
        Number of features.
    clip : float
        Public clipping norm of the features, over their root mean square (not for "fourier").
    degree : int
        Of a sketched polynomial.
    seed : int
        Of the public random directions (blocks of orthogonal ones) or hashes.

    Notes
    -----
    A record adds ``f(k) (v, c)`` with ``c**2 = dim_value**-0.5``: noise of std ``|f| sqrt(1 + c**2) / mu`` per number,
    times the norm of the query's features.

    References
    ----------
    Choromanski et al. (2021), arXiv 2009.14794; Rahimi and Recht (2007); Pham and Pagh (2013), used for attention by
    arXiv 2310.01655. Modelled from the published descriptions.

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
        degree: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(dim_key, dim_value, theta=theta, mu=mu)
        if kind not in ("favor", "fourier", "sketch"):
            raise InvalidParameter("kind", repr(kind), '"favor", "fourier" or "sketch"')
        self.kind, self.features = kind, positive_integer("features", features, at_most=1 << 20)
        self.degree = positive_integer("degree", degree, at_most=8)
        squared = {"favor": math.exp(self.theta), "fourier": 1.0, "sketch": (1 + self.theta / degree) ** degree}
        self._bound = math.sqrt(squared[kind]) * (1.0 if kind == "fourier" else clip)
        self._transform: Any = self._hashes(seed) if kind == "sketch" else self._directions(seed)

    def _hashes(self, seed: int) -> Any:
        from sklearn.kernel_approximation import PolynomialCountSketch

        options = {"gamma": self.theta / self.degree, "degree": self.degree, "coef0": 1.0, "random_state": seed}
        return PolynomialCountSketch(n_components=self.features, **options).fit(np.zeros((1, self.dim_key)))

    def _directions(self, seed: int) -> Array:
        count, d = self.features // (2 if self.kind == "fourier" else 1), self.dim_key
        rng, blocks = np.random.default_rng(seed), []
        for _ in range(-(-count // d)):
            rotation, triangle = np.linalg.qr(rng.standard_normal((d, d)))
            blocks.append(rotation * np.sign(np.diag(triangle)))  # uniform
        lengths = np.linalg.norm(rng.standard_normal((count, d)), axis=1)
        return np.asarray(np.concatenate(blocks)[:count] * lengths[:, None])

    def _map(self, X: Array) -> Array:
        """Return features whose products estimate ``exp(theta <x, y>)``, for Fourier times ``exp(-theta)``."""
        if self.kind == "sketch":
            return np.asarray(self._transform.transform(X))
        scaled = math.sqrt(self.theta) * X
        half = (scaled**2).sum(axis=1, keepdims=True) / 2
        product = scaled @ self._transform.T
        if self.kind == "favor":
            return np.asarray(np.exp(product - half) / math.sqrt(len(self._transform)))
        waves = np.concatenate([np.cos(product), np.sin(product)], axis=1)
        return np.asarray(waves * np.exp(half - self.theta / 2) / math.sqrt(len(self._transform)))

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
