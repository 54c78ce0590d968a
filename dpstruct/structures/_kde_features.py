"""Kernel sums from random features: any kernel, any dimension, noise of one answer.

Joint bounds, with J frequencies and table points of length at most a (attacked by
``tests/structures/test_kernel_density_prices.py``): a record's integers have squared norm at most ``J a**2``; two
records' may be opposite, so a substitution counts ``4 J a**2``.

The bound is that of the table: it does not matter whether a matrix or fast transforms find the phases, which are
integers that depend on the record alone.

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
from dpstruct.features.structured import LARGEST, structured_frequencies
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["Features"]

Integers = NDArray[np.int64]

STRUCTURED_FROM = 32  # dimensions, where structured features are about twice as fast as a matrix in build and queries


class Dense:
    """Frequencies as a matrix: any kernel; O(m d) per record and per query."""

    kind = ""

    def __init__(self, method: Features) -> None:
        m = method
        self.middle, self.sides, self.steps = m.middle, m.sides, m.dim
        self.public = rf.frequencies(m.kernel, m.shape, m.bandwidth, m.sides, m.count_of, m.seed)

    @property
    def turns(self) -> Floats:
        """The frequencies in turns per unit, (d, J)."""
        turns: Floats = self.public.matrix * (rf.CELLS / self.sides)[:, None]
        return turns

    def phase_sums(self, rows: Floats) -> tuple[Integers, Integers]:
        """Return the exact sums of the records' cosines and sines."""
        from dpstruct.kernels.kernel_density import phase_sums

        shift = -round(np.log2(self.public.unit)) - 12
        return phase_sums(rf.on_grid(rows, self.middle, self.sides), self.public.integers, shift, *rf.circle())

    def wave_sums(self, Y: Floats, amplitudes: Floats) -> Floats:
        """Return the sums over frequencies of weighted cosines and sines at `Y`."""
        from dpstruct.kernels.kernel_density import wave_sums

        cells = (Y - self.middle) / self.sides * rf.CELLS - 0.5
        return wave_sums(cells, self.public.matrix, amplitudes)


class Structured:
    """Frequencies as signs and fast transforms: radial kernels; O(m log d) per record and per query."""

    kind = "structured "

    def __init__(self, method: Features) -> None:
        m, side = method, float(method.sides.max())
        self.public = structured_frequencies(m.kernel, m.shape, m.bandwidth, side, m.dim, m.count_of, m.seed)
        self.middle, self.scale = m.middle, 2 * self.public.reach / side
        self.steps = sum(self.public.shifts)

    @property
    def turns(self) -> Floats:
        """The frequencies in turns per unit, (d, J)."""
        return self.public.matrix * self.scale

    def phase_sums(self, rows: Floats) -> tuple[Integers, Integers]:
        """Return the exact sums of the records' cosines and sines."""
        from dpstruct.kernels.hadamard import phase_sums

        p = self.public
        return phase_sums(rows, self.middle, self.scale, p.reach, p.signs, p.shifts, p.turns, *rf.circle())

    def wave_sums(self, Y: Floats, amplitudes: Floats) -> Floats:
        """Return the sums over frequencies of weighted cosines and sines at `Y`."""
        from dpstruct.kernels.hadamard import wave_sums

        p = self.public
        return wave_sums(Y, self.middle, self.scale, p.signs, p.rates, p.offsets, amplitudes)


class Features(Method):
    """Sums of random Fourier features, decoded with quadrature weights."""

    name = "features"

    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        self.count_of = max(1, (blueprint.n_features or 4096) // 2)
        self.seed = blueprint.seed
        structured = blueprint.structured
        if structured is None:
            structured = self.kernel.norm == "l2" and STRUCTURED_FROM <= self.dim <= LARGEST
        self.projection: Dense | Structured = (Structured if structured else Dense)(self)
        self.public = self.projection.public

    @cached_property
    def candidates(self) -> tuple[Floats, Floats]:
        """Weights of the frequencies, a row per candidate, and the fit of each."""
        turns = self.projection.turns
        return rf.fit_weights(turns, self.kernel, self.shape, self.bandwidth, self.sides, self.seed)

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
        real, imaginary = self.projection.phase_sums(rows)
        return {"cos": real, "sin": imaginary}

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the weighted sums of waves at `Y`, wherever it lies."""
        weights = self.candidates[0][self._chosen(scales)] / (rf.RADIUS - 1)
        amplitudes = np.stack([transcript["cos"] * weights, transcript["sin"] * weights], axis=1)
        return self.projection.wave_sums(Y, amplitudes)

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

    def operations(self, numbers: int) -> int:
        """Return those of the matrix, or the additions of the transforms in its place."""
        return numbers * (self.projection.steps + 2)

    def notes(self) -> list[str]:
        """Return how many features there are."""
        kind = self.projection.kind
        weights = "quadrature" if self.count_of <= rf.SAMPLES else "equal"
        return [f"features: {self.count_of} {kind}frequencies with {weights} weights"]
