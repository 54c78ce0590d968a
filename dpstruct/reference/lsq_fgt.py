"""Private fast Gauss transform of Wagner, Naamad and Mishra (LSQ-FGT, ICML 2023)."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference.lsq_rff import factor, noise_scale

Array = NDArray[np.float64]


class LSQFGT:
    """Answer sums of a gaussian kernel from noisy moments of the records in each cell of a grid.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    bounds : (low, high)
        Public bounds of the coordinates, two vectors of length d; records are clipped to them.
    bandwidth : float
        Of ``exp(-|x - y|**2 / (2 bandwidth**2))``. Cells have side ``sqrt(2) bandwidth``.
    order : int
        Moments up to degree ``order - 1`` per coordinate.
    reach : int
        Cells around a query's own, per coordinate, whose moments are read.
    neighbors : {"add-remove", "substitute"}
    epsilon, mu : float
        Exactly one: Laplace noise, as published, or Gaussian noise.

    Notes
    -----
    With unit ``sqrt(2) bandwidth`` the kernel is ``exp(-|x - y|**2)``. A record with residual t in ``[-1/2, 1/2]**d``
    of its cell adds the monomials ``t**k``: l1 norm at most ``(2 (1 - 2**-order))**d``, l2 norm at most
    ``((4/3) (1 - 4**-order))**(d/2)``, twice that where records are substituted.
    ``exp(-(u - t)**2) = sum_k t**k / k! H_k(u) exp(-u**2)``.

    References
    ----------
    Wagner, Naamad, Mishra: Fast private kernel density estimation via locality sensitive quantization, ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> fgt = LSQFGT(([0, 0], [1, 1]), bandwidth=0.2, order=4, epsilon=1.0, neighbors="add-remove")
    >>> fgt.fit(np.full((50, 2), 0.5), np.random.default_rng(0)).query([[0.5, 0.5]]).shape
    (1,)
    """

    def __init__(
        self,
        bounds: tuple[ArrayLike, ArrayLike],
        *,
        bandwidth: float,
        order: int,
        neighbors: str,
        reach: int = 3,
        epsilon: SupportsFloat | None = None,
        mu: SupportsFloat | None = None,
    ) -> None:
        self.low, self.high = (np.asarray(side, np.float64) for side in bounds)
        self.unit, self.order, self.reach = math.sqrt(2) * bandwidth, order, reach
        self.dim = self.low.size
        self.cells = np.maximum(np.ceil((self.high - self.low) / self.unit), 1).astype(np.int64)
        self._shape = (*(self.cells + 2 * reach).tolist(), *(order,) * self.dim)
        if math.prod(self._shape) > 1 << 26:
            raise InvalidParameter("bandwidth", repr(bandwidth), "one with at most 2**26 moments in all")
        change = factor(neighbors)
        l1 = change * (2 * (1 - 2.0**-order)) ** self.dim
        l2 = change * (4 / 3 * (1 - 4.0**-order)) ** (self.dim / 2)
        self.law, self.scale = noise_scale(epsilon, mu, l1, l2)
        self.neighbors = neighbors

    @property
    def label(self) -> Label:
        """What is promised."""
        claim = f"{'epsilon-DP' if self.law == 'laplace' else 'mu-GDP'} for {self.neighbors} neighbours"
        return Label("ICML 2023, Wagner, Naamad and Mishra (LSQ-FGT)", claim, None, FLOAT_NOISE, True)

    def fit(self, X: ArrayLike, rng: np.random.Generator) -> LSQFGT:
        """Add the moments of the records and noise; cells beyond the box hold no noise and no records."""
        z = (np.clip(np.asarray(X, np.float64), self.low, self.high) - self.low) / self.unit
        cell = np.minimum(z.astype(np.int64), self.cells - 1)
        powers = (z - cell - 0.5)[:, :, None] ** np.arange(self.order)
        moments = np.zeros(self._shape)
        for degrees in product(range(self.order), repeat=self.dim):
            values = np.prod([powers[:, j, k] for j, k in enumerate(degrees)], axis=0)
            place: Any = (*(cell[:, j] + self.reach for j in range(self.dim)), *degrees)
            np.add.at(moments, place, values)
        inside = tuple(slice(self.reach, self.reach + int(c)) for c in self.cells)
        moments[inside] += getattr(rng, self.law)(0.0, self.scale, moments[inside].shape)
        self._inside = inside
        self.moments = moments
        return self

    def _weights(self, y: Array) -> tuple[list[Array], list[slice]]:
        """Return ``H_k(u) exp(-u**2) / k!`` of the cells around one query, per coordinate, and which cells."""
        weights, where = [], []
        for j, z in enumerate((y - self.low) / self.unit):
            own = int(np.clip(np.floor(z), 0, self.cells[j] - 1))
            u = z - (np.arange(own - self.reach, own + self.reach + 1) + 0.5)
            H = [np.ones_like(u), 2 * u]
            for k in range(1, self.order):
                H.append(2 * u * H[k] - 2 * k * H[k - 1])
            scale = np.array([math.factorial(k) for k in range(self.order)])
            weights.append(np.stack(H[: self.order], axis=1) * np.exp(-u * u)[:, None] / scale)
            where.append(slice(own, own + 2 * self.reach + 1))
        return weights, where

    def query(self, Y: ArrayLike) -> Array:
        """Return the kernel sums, shape (q,)."""
        return self._apply(Y, self.moments, 1)

    def error(self, Y: ArrayLike) -> Array:
        """Return the standard error of the noise of each answer, shape (q,)."""
        variance = np.zeros(self._shape)
        variance[self._inside] = self.scale**2 * (2 if self.law == "laplace" else 1)
        return np.asarray(np.sqrt(self._apply(Y, variance, 2)))

    def _apply(self, Y: ArrayLike, values: Array, power: int) -> Array:
        rows, out = np.asarray(Y, np.float64), []
        for y in rows:
            weights, where = self._weights(y)
            part = values[tuple(where)]
            for weight in weights:  # the first cell axis with the first degree axis that is left
                part = np.einsum("ik,i...k->...", weight**power, np.moveaxis(part, part.ndim // 2, -1))
            out.append(float(part))
        return np.array(out)
