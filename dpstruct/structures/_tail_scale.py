"""How many rows lie beyond each of many public radii: one noised vector, and the radius that leaves a fraction outside.

The squared radius h of a row falls into the first cell j with ``t_j < h`` of a decreasing grid of thresholds; wanted is
the tail count ``T_j``, the number of rows in the cells up to j, for all j.

* Gaussian noise: with ``r_k = binom(2k, k) / 4**k`` the lower-triangular Toeplitz matrix B of r satisfies that ``B B``
  sums up. ``B counts`` is released and multiplied by B afterwards (the square-root factorisation,
  arXiv 2202.11205): the error of every tail grows with the logarithm of the number of cells only. A row adds one column
  of B, in integer steps, rounded up.
* Laplace noise: counts of the nodes of a 4-ary tree, one per level for each row; a tail is a sum of at most 12 nodes.

Joint bounds: add-remove, the longest column, or one node a level. Substitute: the farthest pair of columns, which for a
given gap is the one whose first column is the longest; or two nodes a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Line
from dpstruct.core.plan import Scales
from dpstruct.privacy import Relation

__all__ = ["Tail", "laplace_quantile"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_SPAN = 256.0  # ratio of the largest to the smallest threshold
_LEVELS = 4  # 4**4 cells under Laplace noise


@lru_cache(maxsize=8)
def _root(cells: int) -> Floats:
    """Return r: its convolution with itself is 1, 1, 1, .."""
    k = np.arange(1.0, cells)
    root: Floats = np.concatenate([[1.0], np.cumprod((2 * k - 1) / (2 * k))])
    root.setflags(write=False)
    return root


@lru_cache(maxsize=8)
def _column(cells: int, bits: int) -> Integers:
    """Return ``2**bits r`` in integers, rounded up."""
    column: Integers = np.ceil(_root(cells) * 2.0**bits * (1 + 2.0**-40)).astype(np.int64)
    column[0] = 1 << bits
    column.setflags(write=False)
    return column


@lru_cache(maxsize=16)
def _sensitivity(cells: int, bits: int, counted: bool) -> int:
    """Return the largest squared length of a column, or, where rows are substituted, of a difference of two."""
    column = _column(cells, bits)
    worst = int(column @ column)
    if not counted:
        for gap in range(1, cells):
            change = column.copy()
            change[gap:] -= column[: cells - gap]
            worst = max(worst, int(change @ change))
    return worst


@dataclass(frozen=True)
class Tail:
    """The noised tail counts of a squared radius whose mean is about `d`.

    Parameters
    ----------
    d : int
        Centre of the grid: thresholds go down from ``16 d`` to about ``d / 16``.
    cells : int
        Number of thresholds; 256 under Laplace noise.
    laplace : bool
        Which noise.
    bits : int
        The integers are multiples of ``2**-bits`` counts (Gaussian); at most 30.
    """

    d: int
    cells: int
    laplace: bool
    bits: int = 30

    @property
    def lines(self) -> list[Line]:
        """The one line, ``tail``."""
        return [Line("tail", (sum(4**level for level in range(1, _LEVELS + 1)) if self.laplace else self.cells,))]

    def sensitivity(self, neighbors: Relation) -> Fraction:
        """Return the joint bound of the line; a small move of a row counts as substitute."""
        counted = neighbors == "add-remove"
        if self.laplace:
            return Fraction(_LEVELS if counted else 2 * _LEVELS)
        return Fraction(_sensitivity(self.cells, self.bits, counted))

    @property
    def thresholds(self) -> Floats:
        """Squared radii in decreasing order."""
        grid: Floats = 16.0 * self.d * _SPAN ** (-np.arange(self.cells) / self.cells)
        return grid

    def encode(self, sums: Mapping[str, Integers]) -> dict[str, Integers]:
        """Return the integers to be noised from the exact number of rows per cell, modulo 2**64."""
        counts = sums["cells"]
        if self.laplace:
            levels = [counts.reshape(4**level, -1).sum(axis=1) for level in range(1, _LEVELS + 1)]
            return {"tail": np.concatenate(levels)}
        return {"tail": np.convolve(counts, _column(self.cells, self.bits))[: self.cells]}

    def counts(self, transcript: Mapping[str, Integers]) -> Floats:
        """Return the estimates of the tail counts: unbiased but for the rounding up."""
        noised = transcript["tail"].astype(np.float64)
        if not self.laplace:
            tails: Floats = np.convolve(noised * 2.0**-self.bits, _root(self.cells))[: self.cells]
            return tails
        ends, total = np.arange(1, self.cells + 1), np.zeros(self.cells)
        for level in range(1, _LEVELS + 1):
            nodes = np.concatenate([[0.0], noised[: 4**level]])
            noised = noised[4**level :]
            done, width = ends // (self.cells >> 2 * level), 4 if level > 1 else 4**_LEVELS
            first = done - done % width  # nodes before it are in a node of the level above
            sums = np.cumsum(nodes)
            total += sums[done] - sums[first]
        return total

    @property
    def _nodes(self) -> Integers:
        """Number of noised integers in each tail under Laplace noise: base-4 digit sums, the whole taken as four."""
        ends, used = np.arange(1, self.cells + 1), np.zeros(self.cells, np.int64)
        for level in range(1, _LEVELS + 1):
            done = ends // (self.cells >> 2 * level)
            used += done % 4 if level > 1 else done
        return used

    def errors(self, noise: Scales) -> Floats:
        """Return the standard error of each estimate, shape (cells,)."""
        one = float(np.sqrt(noise.variance("tail")[0]))
        if self.laplace:
            return np.sqrt(self._nodes) * one
        return np.sqrt(np.cumsum(_root(self.cells) ** 2)) * (one * 2.0**-self.bits)

    def excess(self, noise: Scales, chance: float) -> Floats:
        """Return per cell what its estimate falls short of the truth by with at most this probability."""
        if self.laplace:
            scale = float(noise.scale("tail")[0])
            used = self._nodes
            return np.array([laplace_quantile(g, scale, chance) for g in range(13)])[used]
        from scipy.special import ndtri

        return -float(ndtri(chance)) * self.errors(noise)

    def median(self, transcript: Mapping[str, Integers], noise: Scales, wanted: float) -> tuple[float, int]:
        """Return the squared radius with about `wanted` rows beyond it, and its cell; infinite if beyond the grid.

        Tails grow along the cells, so the estimates are first replaced by their weighted isotonic fit.
        """
        fit = _isotonic(self.counts(transcript), 1 / self.errors(noise) ** 2)
        grid, j = self.thresholds, int(np.searchsorted(fit, wanted, side="right"))
        if j == 0:
            return math.inf, 0
        if j == self.cells:
            return float(grid[-1]), self.cells - 1
        part = (wanted - fit[j - 1]) / (fit[j] - fit[j - 1])
        return float(grid[j - 1] * (grid[j] / grid[j - 1]) ** part), j

    def conservative(
        self, transcript: Mapping[str, Integers], noise: Scales, wanted: float, chance: float
    ) -> tuple[float, int]:
        """Return a squared radius with at most `wanted` rows beyond it but for this probability, and its cell.

        The walk down the grid stops before the first estimate that is not clearly below `wanted`. To leave more rows
        outside it must pass the first threshold that truly does: one event, whatever the number of cells.
        """
        clear = self.counts(transcript) <= wanted - self.excess(noise, chance)
        j = int(np.argmin(clear)) if not clear.all() else self.cells
        return (math.inf, 0) if j == 0 else (float(self.thresholds[j - 1]), j - 1)


def laplace_quantile(terms: int, scale: float, chance: float) -> float:
    """Return a bound that the sum of `terms` Laplace or discrete Laplace variables exceeds with at most this chance.

    Chernoff: ``scale min_x (ln(1/chance) - terms ln(1 - x**2)) / x``; the discrete law's moments are the smaller ones.
    """
    if terms == 0:
        return 0.0
    x = np.linspace(0.001, 0.999, 999)
    return float(scale * ((-math.log(chance) - terms * np.log1p(-x * x)) / x).min())


def _isotonic(values: Floats, weights: Floats) -> Floats:
    """Return the non-decreasing sequence nearest to `values` in weighted squares: pool adjacent violators."""
    means: list[float] = []
    masses: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, mass, size = value, weight, 1
        while means and means[-1] >= mean:
            mean = (mean * mass + means[-1] * masses[-1]) / (mass + masses[-1])
            mass += masses.pop()
            size += sizes.pop()
            means.pop()
        means.append(mean)
        masses.append(mass)
        sizes.append(size)
    return np.repeat(means, sizes)
