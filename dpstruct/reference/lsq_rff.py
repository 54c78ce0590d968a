"""Private random Fourier features of Wagner, Naamad and Mishra (LSQ-RFF, ICML 2023)."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label

Array = NDArray[np.float64]


def noise_scale(epsilon: SupportsFloat | None, mu: SupportsFloat | None, l1: float, l2: float) -> tuple[str, float]:
    """Return the law and the scale of the noise for sensitivities in l1 (Laplace) and l2 (Gaussian)."""
    if (epsilon is None) == (mu is None):
        raise InvalidParameter("epsilon, mu", "none or both", "exactly one")
    price = float(epsilon if mu is None else mu)  # type: ignore[arg-type]
    if not (price > 0 and math.isfinite(price)):
        raise InvalidParameter("epsilon, mu", repr(price), "a positive finite number")
    return ("laplace", l1 / price) if mu is None else ("normal", l2 / price)


def factor(neighbors: str) -> int:
    """Return by how much a change of one record exceeds the contribution of one."""
    if neighbors not in ("add-remove", "substitute"):
        raise InvalidParameter("neighbors", repr(neighbors), '"add-remove" or "substitute"')
    return 1 if neighbors == "add-remove" else 2


class LSQRFF:
    """Answer sums of a gaussian kernel from noisy sums of ``sqrt(2) cos(<w, x> + b)``.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    dim : int
        Number of coordinates.
    bandwidth : float
        Of ``exp(-|x - y|**2 / (2 bandwidth**2))``.
    features : int
        Number m of features. They err like ``1/sqrt(m)`` and their Laplace noise grows like ``sqrt(m)``, so there is a
        best m, which depends on the data.
    neighbors : {"add-remove", "substitute"}
    epsilon, mu : float
        Exactly one: Laplace noise, as published, or Gaussian noise.
    seed : int
        Public seed of the features.

    Notes
    -----
    A record changes each feature by at most ``sqrt(2)``: ``sqrt(2) m`` in l1, ``sqrt(2 m)`` in l2; twice that where
    records are substituted. The published mechanism noises the mean with an exact, public n, which promises nothing
    where records are added or removed; here sums are noised, and the same answers follow for a public n.

    References
    ----------
    Wagner, Naamad, Mishra: Fast private kernel density estimation via locality sensitive quantization, ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> rff = LSQRFF(2, bandwidth=0.5, features=100, epsilon=1.0, neighbors="add-remove")
    >>> rff.fit(np.zeros((50, 2)), np.random.default_rng(0)).query(np.zeros((1, 2))).shape
    (1,)
    """

    def __init__(
        self,
        dim: int,
        *,
        bandwidth: float,
        features: int,
        neighbors: str,
        epsilon: SupportsFloat | None = None,
        mu: SupportsFloat | None = None,
        seed: int = 0,
    ) -> None:
        change = factor(neighbors)
        self.law, self.scale = noise_scale(
            epsilon, mu, change * math.sqrt(2) * features, change * math.sqrt(2 * features)
        )
        rng = np.random.default_rng(seed)
        self.waves = rng.standard_normal((dim, features)) / bandwidth
        self.shifts = rng.uniform(0, 2 * math.pi, features)
        self.neighbors = neighbors

    @property
    def label(self) -> Label:
        """What is promised."""
        claim = f"{'epsilon-DP' if self.law == 'laplace' else 'mu-GDP'} for {self.neighbors} neighbours"
        return Label("ICML 2023, Wagner, Naamad and Mishra (LSQ-RFF)", claim, None, FLOAT_NOISE, True)

    def features(self, rows: ArrayLike) -> Array:
        """Return ``sqrt(2) cos(<w, x> + b)``, shape (n, m)."""
        return math.sqrt(2) * np.cos(np.asarray(rows, np.float64) @ self.waves + self.shifts)

    def fit(self, X: ArrayLike, rng: np.random.Generator) -> LSQRFF:
        """Sum the features of the records and add noise."""
        rows, total = np.asarray(X, np.float64), np.zeros(self.shifts.size)
        for start in range(0, len(rows), 4096):
            total += self.features(rows[start : start + 4096]).sum(axis=0)
        self.sums = total + getattr(rng, self.law)(0.0, self.scale, total.size)
        return self

    def query(self, Y: ArrayLike) -> Array:
        """Return the kernel sums, shape (q,)."""
        answers: Array = self.features(Y) @ self.sums / self.shifts.size
        return answers

    def error(self, Y: ArrayLike) -> Array:
        """Return the standard error of the noise of each answer, shape (q,)."""
        spread = self.scale * (math.sqrt(2) if self.law == "laplace" else 1.0)
        return np.asarray(np.sqrt((self.features(Y) ** 2).sum(axis=1)) * spread / self.shifts.size)
