"""Kernel sums from random features: any kernel, any dimension, noise of one answer.

Joint bounds, with J frequencies and table points of length at most a (attacked by
``tests/structures/test_kernel_density_prices.py``): a record's integers have squared norm at most ``J a**2``; two
records' may be opposite, so a substitution counts ``4 J a**2``.

The released sums are decoded with public weights a_j: variance ``sum_j a_j**2`` times that of one line, at every query.
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
from dpstruct.features import random_features as rf
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["Features"]


class Features(Method):
    """Sums of random Fourier features, decoded with quadrature weights."""

    name = "features"

    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        self.count_of = max(1, (blueprint.n_features or 4096) // 2)
        self.seed = blueprint.seed
        self.public = rf.frequencies(self.kernel, self.shape, self.bandwidth, self.sides, self.count_of, self.seed)

    @cached_property
    def candidates(self) -> tuple[Floats, Floats]:
        """Weights of the frequencies, a row per candidate, and the fit of each."""
        return rf.fit_weights(self.public, self.kernel, self.shape, self.bandwidth, self.sides, self.seed)

    def _chosen(self, scales: Scales) -> int:
        """Choose the weights with the smallest predicted error of a mean at `expected_rows`."""
        weights, fits = self.candidates
        noise = self._unit(scales) * (weights**2).sum(axis=1) / self.expected_rows**2
        return int(np.argmin(fits**2 + noise))

    @staticmethod
    def _unit(scales: Scales) -> float:
        return float(scales.variance("cos")[0]) / (rf.RADIUS - 1) ** 2

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[list[Line], Fraction]:
        """Return the sums of cosines and sines."""
        J = self.count_of
        change = 1 if neighbors == "add-remove" else 4
        return [Line("cos", (J,)), Line("sin", (J,))], Fraction(change * J * rf.RADIUS**2)

    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the exact sums of the records' points on the circles."""
        from dpstruct.kernels.kernel_density import phase_sums

        shift = -round(np.log2(self.public.unit)) - 12
        cells = rf.on_grid(rows, self.middle, self.sides)
        real, imaginary = phase_sums(cells, self.public.integers, shift, *rf.circle())
        return {"cos": real, "sin": imaginary}

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the weighted sums of waves at `Y`, wherever it lies."""
        from dpstruct.kernels.kernel_density import wave_sums

        weights = self.candidates[0][self._chosen(scales)] / (rf.RADIUS - 1)
        amplitudes = np.stack([transcript["cos"] * weights, transcript["sin"] * weights], axis=1)
        cells = (Y - self.middle) / self.sides * rf.CELLS - 0.5
        return wave_sums(cells, self.public.matrix, amplitudes)

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the same variance for every query."""
        return np.full(len(Y), self.worst_variance(scales))

    def worst_variance(self, scales: Scales) -> float:
        """Return the variance of an answer."""
        weights = self.candidates[0][self._chosen(scales)]
        return self._unit(scales) * float(weights @ weights)

    def sketch(self, scales: Scales) -> tuple[float, float]:
        """Return the figures of equal weights, without a fit: its error is a bound."""
        return math.sqrt(self._unit(scales) / self.count_of), 1 / math.sqrt(2 * self.count_of)

    def fit(self, scales: Scales) -> float:
        """Return the error of the weighted features."""
        return float(self.candidates[1][self._chosen(scales)])

    def notes(self) -> list[str]:
        """Return how many features there are."""
        return [f"features: {self.count_of} frequencies with quadrature weights"]
