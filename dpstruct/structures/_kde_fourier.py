"""Kernel sums from a Fourier series on the box: nearly exact answers, each with the error of a single one.

Frequency k carries noise of variance proportional to ``1 / c_k``. Then the joint cost of a record is ``sum_k c_k = Z``
times the squared modulus bound, whatever the record, and the variance of an answer is ``sum_k c_k**2 / c_k = Z`` again:
the standard error is ``Z / mu`` with Z = 1 up to the tolerance, the floor of a single Gaussian answer.

Joint bounds, with integer points of modulus at most ``a**d`` (a: table radius) and noise weights ``1 / w_k``, w_k being
c_k rounded to six bits (attacked by ``tests/structures/test_kernel_density_prices.py``):

* add-remove: ``a**(2 d) sum_k w_k``;
* substitute: a point is ``(a - 1)**d`` times its phase, up to ``a**d * g`` with ``g = d / (sqrt(2) a)`` for the
  rounding of the table. So ``sum_{k != 0} w_k |e_k - e'_k|**2 / a**(2 d)`` is at most
  ``2 (W - sum_k w_k cos(phase difference)) + W (8 g + 4 g**2)`` with ``W = sum_k w_k``. The cosine series is the
  truncated kernel, at least ``-tolerance``, up to ``sum_k |w_k - c_k|``. Frequency 0 is the number of records, public.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Line
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.features.fourier import FourierSeries
from dpstruct.features.radial import Kernel
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["Fourier", "usual_tolerance"]


class Fourier(Method):
    """Sums of the phases of a truncated Fourier series."""

    name = "fourier"

    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        self.tolerance = usual_tolerance(self.kernel) if blueprint.tolerance is None else blueprint.tolerance
        self.series = FourierSeries(self.kernel, self.shape, self.sides, self.bandwidths, self.tolerance)
        self.fit_error = self.tolerance
        modulus = self.series.radius ** len(self.sides)
        if self.max_rows * modulus > 1 << 62:
            raise InvalidParameter("max_rows", str(self.max_rows), f"at most {(1 << 62) // modulus}")
        mean = self.series.coefficients.mean(axis=0)
        boosted = mean.copy()
        boosted[0] = max(boosted[0], float(mean.sum()) * blueprint.count_share)
        self.weights = [_six_bits(c) for c in boosted]
        self._noise = tuple(1 / w for w in self.weights)
        self._total = sum(self.weights, Fraction(0))
        moved = sum(abs(w - Fraction(c)) for w, c in zip(self.weights, mean.tolist(), strict=True))
        self._rounding = Fraction(math.ceil(moved * 2**30), 2**30)

    @property
    def counts_apart(self) -> bool:
        """Frequency 0 counts the records."""
        return False

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[list[Line], Fraction]:
        """Return the real and imaginary parts of all frequencies; frequency 0 only where it is private."""
        first = 0 if neighbors == "add-remove" else 1
        N, total = len(self.weights), self._total
        lines = [Line("cos", (N - first,), self._noise[first:]), Line("sin", (N - 1,), self._noise[1:])]
        size = Fraction(self.series.radius ** (2 * self.dim))
        if neighbors == "add-remove":
            return lines, size * total
        g = Fraction(708, 1000) * self.dim / self.series.radius
        bound = 2 * (total + Fraction(self.tolerance) + self._rounding) + total * (8 * g + 4 * g * g)
        return lines, size * bound

    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the sums of the records' integer points."""
        real, imaginary = self.series.sums(self.series.phases(rows, self.low))
        return {"cos": real, "sin": imaginary[1:]}

    def blocks(self, X: NDArray[Any], size: int = 1 << 18) -> Any:
        """Yield larger blocks: one look at the table serves them."""
        return super().blocks(X, size)

    def rounds(self, plan: Any, state: Any) -> Any:
        """Yield all frequencies, without frequency 0 where it is public."""
        yield state.sums.map(_without_zero if plan.neighbors != "add-remove" else dict)

    def _amplitudes(self, transcript: Transcript, bandwidth: float) -> NDArray[np.complex128]:
        size = float((self.series.radius - 1) ** self.dim)
        real, imaginary = transcript["cos"] / size, transcript["sin"] / size
        if "n" in transcript:
            real = np.concatenate([[float(transcript["n"])], real])
        return np.asarray(self._coefficients(bandwidth) * (real + 1j * np.pad(imaginary, (1, 0))), np.complex128)

    def _coefficients(self, bandwidth: float) -> Floats:
        row: Floats = self.series.coefficients[self.bandwidths.index(bandwidth)]
        return row

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the series with the released amplitudes at `Y`, which must lie in the box."""
        if ((self.low - 1e-9 * self.sides > Y) | (self.high + 1e-9 * self.sides < Y)).any():
            raise InvalidParameter(
                "Y", "queries out of the bounds", "queries inside: the series repeats outside", "make the bounds wider"
            )
        return self.series.evaluate(self._amplitudes(transcript, bandwidth), Y, self.low)

    def _variance(self, scales: Scales, bandwidth: float) -> float:
        """Return the variance of every answer: cos**2 + sin**2 = 1 at each frequency."""
        c = self._coefficients(bandwidth)
        spread = np.broadcast_to(scales.variance("cos"), (scales.lines["cos"][1].shape[0],))
        return float((c[-len(spread) :] ** 2) @ spread) / float(self.series.radius - 1) ** (2 * self.dim)

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the same variance for every query."""
        return np.full(len(Y), self._variance(scales, bandwidth))

    def worst_variance(self, scales: Scales) -> float:
        """Return the variance of an answer at the worst declared bandwidth."""
        return float(max(self._variance(scales, h) for h in self.bandwidths))

    def count(self, transcript: Transcript) -> float:
        """Return the amplitude of frequency 0."""
        if "n" in transcript:
            return float(transcript["n"])
        return float(transcript["cos"][0]) / float(self.series.radius - 1) ** self.dim

    def count_variance(self, scales: Scales) -> float:
        """Return the variance of frequency 0; 0 where it is public."""
        if scales.lines["cos"][1].shape[0] < len(self.weights):
            return 0.0
        return float(scales.variance("cos")[0]) / float(self.series.radius - 1) ** (2 * self.dim)

    def operations(self, numbers: int) -> int:
        """Return the complex products of the series, four multiplications each."""
        index = self.series.index
        return 4 * len(np.unique(index[:, :-1], axis=0)) * (int(index[:, -1].max()) + 1)

    def notes(self) -> list[str]:
        """Return the number of coefficients and their error."""
        return [f"fourier: {len(self.weights)} coefficients, error at most {self.tolerance:g} per record"]


def usual_tolerance(kernel: Kernel) -> float:
    """Return the default error of the series per record: rough kernels have long series."""
    return 1e-6 if kernel.name == "gaussian" else 1e-3


def _without_zero(sums: Transcript) -> dict[str, NDArray[np.int64]]:
    return {"cos": sums["cos"][1:], "sin": sums["sin"]}


def _six_bits(c: float) -> Fraction:
    """Return a positive number rounded to six significant bits: few distinct weights, all of them rational."""
    mantissa, exponent = math.frexp(c)
    return Fraction(round(mantissa * 64)) * Fraction(2) ** (exponent - 6)
