"""Kernel sums from private linear binning, in one and two dimensions: the method for pure DP, and for any bandwidth.

A record spreads the weight ``2**B`` over the 2 or 4 corners of its cell, in integers that add up to it exactly. Joint
bounds (attacked by ``tests/structures/test_kernel_density_prices.py``): l1 norm ``2**B``, so Laplace ``2**B`` under
add-remove and twice that under substitute; l2 norm at most that, and no two records have a negative inner product, so
Gaussian ``4**B`` and ``2 4**B``.

Interpolation between corners adds ``delta**2 / 12`` times the second derivative on average over a cell; answers use the
kernel less that, taken as a twelfth of its second difference.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Line
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["Binned"]

BITS = {1: 20, 2: 10}  # of the weight along one axis
MOST = 1 << 22


class Binned(Method):
    """Sums of the weights of the corners of a grid."""

    name = "binned"
    pure = True

    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        if self.dim > 2 or (self.dim == 2 and self.kernel.name not in ("gaussian", "laplacian", "product_cauchy")):
            raise InvalidParameter(
                "method",
                f"'binned' with kernel={self.kernel.name!r} in {self.dim} dimensions",
                "any kernel in one dimension; gaussian, laplacian or product_cauchy in two",
                "use another method, with delta > 0",
            )
        cells = np.maximum(np.ceil(self.sides / (min(self.bandwidths) / 2)), 1.0)
        if np.prod(cells + 1) > MOST:
            raise InvalidParameter("bandwidth", "one that needs more than 2**22 cells", "a wider one for this box")
        self.cells = cells.astype(np.int64)
        self.width = self.sides / cells
        self.bits = BITS[self.dim]

    def check_bandwidth(self, bandwidth: float) -> None:
        """Allow any bandwidth from the smallest declared one on: the grid is fine enough for it."""
        if not min(self.bandwidths) <= bandwidth < math.inf:
            raise InvalidParameter(
                "bandwidth", repr(bandwidth), f"at least {min(self.bandwidths)}, for which the grid is made"
            )

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[list[Line], Fraction]:
        """Return the weights of all corners."""
        change = 1 if neighbors == "add-remove" else 2
        one = 1 << (self.bits * self.dim)
        return [Line("weights", tuple((self.cells + 1).tolist()))], Fraction(
            change * (one**2 if isinstance(cost, GDP) else one)
        )

    @np.errstate(all="ignore")
    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the exact sums of the records' weights."""
        one = 1 << self.bits
        place = np.floor(np.clip((rows - self.low) / self.width, 0.0, self.cells) * one).astype(np.int64)
        cell = np.minimum(place >> self.bits, self.cells - 1)
        right = place - (cell << self.bits)
        sums = np.zeros(self.cells + 1, np.int64)
        for corner in np.ndindex(*(2,) * self.dim):
            weight = np.ones(len(rows), np.int64)
            for j, side in enumerate(corner):
                weight *= right[:, j] if side else one - right[:, j]
            np.add.at(sums, tuple(cell[:, j] + side for j, side in enumerate(corner)), weight)
        return {"weights": sums}

    def _axis(self, y: Floats, j: int, bandwidth: float) -> Floats:
        """Return the corrected kernel of one axis between queries and corners, (q, corners)."""
        shape = self.kernel.shape if self.shape is None else self.shape

        def value(difference: Floats) -> Floats:
            return self.kernel.profile(np.abs(difference) / bandwidth, shape or 0.0)

        corners = self.low[j] + np.arange(self.cells[j] + 1) * self.width[j]
        z = y[:, None] - corners
        middle, step = value(z), self.width[j]
        return middle - (value(z + step) - 2 * middle + value(z - step)) / 12

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the corrected kernel times the released weights."""
        weights = np.ldexp(transcript["weights"].astype(np.float64), -self.bits * self.dim)
        out = np.empty(len(Y))
        step = max(1, (1 << 20) // int(self.cells.max() + 1))
        for start in range(0, len(Y), step):
            part = Y[start : start + step]
            inner = self._axis(part[:, 0], 0, bandwidth) @ weights
            if self.dim == 2:
                inner = (inner * self._axis(part[:, 1], 1, bandwidth)).sum(axis=1)
            out[start : start + step] = inner
        return out

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the sum of squares of what multiplies the weights, times the variance of one."""
        total = np.full(len(Y), float(scales.variance("weights")[0]) / 4.0 ** (self.bits * self.dim))
        for j in range(self.dim):
            total *= (self._axis(Y[:, j], j, bandwidth) ** 2).sum(axis=1)
        return total

    def worst_variance(self, scales: Scales) -> float:
        """Return the largest variance over positions in the middle cells, for the widest declared bandwidth."""
        middle = self.low + (self.cells // 2) * self.width
        inside = np.linspace(0, 1, 33)[:, None] * self.width + middle
        return float(self.variance(scales, inside[self._worst(inside)][None, :], max(self.bandwidths))[0])

    def _worst(self, inside: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the worst position of each axis, as an index."""
        h = max(self.bandwidths)
        rows = [(self._axis(inside[:, j], j, h) ** 2).sum(axis=1).argmax() for j in range(self.dim)]
        return np.array(rows), np.arange(self.dim)

    @cached_property
    def fit_error(self) -> float:  # type: ignore[override]
        """Root mean square error of the corrected interpolation, over pairs of points of the box."""
        draws = Draws(0, "pairs")
        x, y = (self.low + draws.uniform((500, self.dim)) * self.sides for _ in range(2))
        truth, found = np.ones(500), np.ones(500)
        for j in range(self.dim):
            z = (x[:, j] - self.low[j]) / self.width[j]
            k = np.minimum(z.astype(np.int64), self.cells[j] - 1)
            values, at = self._axis(y[:, j], j, self.bandwidth), np.arange(500)
            found *= values[at, k] * (1 - z + k) + values[at, k + 1] * (z - k)
        truth = self.kernel.values(x - y, self.bandwidth, self.shape)
        return float(np.sqrt(((found - truth) ** 2).mean()))

    def notes(self) -> list[str]:
        """Return the size of the grid."""
        return [f"binned: {' x '.join(str(c + 1) for c in self.cells)} corners"]
