"""Private RACE sketches of Coleman and Shrivastava: repeated arrays of locality-sensitive counts."""

from __future__ import annotations

import math
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference.lsq_rff import factor, noise_scale

Array = NDArray[np.float64]


class RACE:
    """Answer sums of a collision kernel from noisy counts of hash values.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    dim : int
        Number of coordinates.
    width : float
        Width of the cells along a random direction, in the units of the data.
    power : int
        Directions per hash: the kernel is the collision chance of one direction to this power.
    rows : int
        Independent hashes, one array of counts each.
    buckets : int
        Length of an array; cells are hashed into it.
    neighbors : {"add-remove", "substitute"}
    epsilon, mu : float
        Exactly one: Laplace noise, as published, or Gaussian noise.
    seed : int
        Public seed of the hashes.

    Notes
    -----
    A record adds 1 to one count in every row: l1 norm `rows`, l2 norm ``sqrt(rows)``, twice that where records are
    substituted. So counts take Laplace noise of scale ``rows / epsilon``; that of ``rows / (n epsilon)``, which belongs
    to frequencies, would hide next to nothing on counts. An answer is the mean over the rows of ``(c - s / B) / (1 -
    1 / B)`` with the count c and the sum s of the row: cells that share a bucket by chance are taken off.

    References
    ----------
    Coleman and Shrivastava: A one-pass distributed and private sketch for kernel sums with applications to machine
    learning at scale, CCS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> race = RACE(2, width=0.5, power=2, rows=50, buckets=64, epsilon=1.0, neighbors="add-remove")
    >>> race.fit(np.zeros((50, 2)), np.random.default_rng(0)).query(np.zeros((1, 2))).shape
    (1,)
    """

    def __init__(
        self,
        dim: int,
        *,
        width: float,
        power: int,
        rows: int,
        buckets: int,
        neighbors: str,
        epsilon: SupportsFloat | None = None,
        mu: SupportsFloat | None = None,
        seed: int = 0,
    ) -> None:
        if buckets < 2:
            raise InvalidParameter("buckets", str(buckets), "at least 2")
        change = factor(neighbors)
        self.law, self.scale = noise_scale(epsilon, mu, change * rows, change * math.sqrt(rows))
        rng = np.random.default_rng(seed)
        self.width, self.power, self.rows, self.buckets = width, power, rows, buckets
        self.neighbors = neighbors
        self._directions = rng.standard_normal((dim, rows * power))
        self._shifts = rng.uniform(0, width, rows * power)
        self._mixers = rng.integers(1, 1 << 62, (power, rows), dtype=np.uint64) | np.uint64(1)

    @property
    def label(self) -> Label:
        """What is promised."""
        claim = f"{'epsilon-DP' if self.law == 'laplace' else 'mu-GDP'} for {self.neighbors} neighbours"
        return Label("CCS 2021, Coleman and Shrivastava (RACE)", claim, None, FLOAT_NOISE, True)

    def kernel(self, distance: ArrayLike) -> Array:
        """Return the chance that two points at these l2 distances collide."""
        from scipy.special import ndtr

        c = np.maximum(np.asarray(distance, np.float64), 1e-12) / self.width
        chance = 1 - 2 * ndtr(-1 / c) - 2 * c / math.sqrt(2 * math.pi) * (1 - np.exp(-0.5 / c**2))
        return np.asarray(chance**self.power)

    def _places(self, points: ArrayLike) -> NDArray[np.int64]:
        """Return the bucket of each point in each row, (n, rows)."""
        cells = np.floor((np.asarray(points, np.float64) @ self._directions + self._shifts) / self.width)
        parts = cells.astype(np.int64).astype(np.uint64).reshape(len(cells), self.rows, self.power)
        mixed = np.zeros(parts.shape[:2], np.uint64)
        for k in range(self.power):
            mixed = (mixed ^ parts[:, :, k]) * self._mixers[k]
            mixed ^= mixed >> np.uint64(31)
        return (mixed % np.uint64(self.buckets)).astype(np.int64)

    def fit(self, X: ArrayLike, rng: np.random.Generator) -> RACE:
        """Count the hash values of the records and add noise."""
        counts = np.zeros((self.rows, self.buckets))
        np.add.at(counts, (np.arange(self.rows), self._places(X)), 1.0)
        self.counts = counts + getattr(rng, self.law)(0.0, self.scale, counts.shape)
        return self

    def query(self, Y: ArrayLike) -> Array:
        """Return the sums of the collision kernel, shape (q,)."""
        found = self.counts[np.arange(self.rows), self._places(Y)]
        share = self.counts.sum(axis=1) / self.buckets
        return np.asarray(((found - share) / (1 - 1 / self.buckets)).mean(axis=1))

    def error(self, Y: ArrayLike) -> Array:
        """Return the standard error of the noise of each answer, shape (q,): that of ``sqrt(B / (B - 1))`` counts."""
        spread = self.scale * (math.sqrt(2) if self.law == "laplace" else 1.0)
        value = spread / math.sqrt((1 - 1 / self.buckets) * self.rows)
        return np.full(len(np.asarray(Y)), value)
