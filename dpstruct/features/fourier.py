"""Fourier series of kernels on a box: which coefficients, how good, and exact sums of the records' phases.

On a period P wider than the box by a tail of the kernel, ``k(x - y) = sum_k c_k cos(2 pi k (x - y) / P)`` with
coefficients ``c_k >= 0`` that are samples of the kernel's spectrum. A record enters through integer points on circles,
one per frequency, whose modulus can not exceed ``radius**d``: table entries are checked, and products of complex
numbers multiply their moduli exactly.
"""

from __future__ import annotations

import math
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.features import _nufft
from dpstruct.features.products import cross
from dpstruct.features.radial import Kernel

__all__ = ["FourierSeries", "circle", "spectrum"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PHASES = 1 << 16
MOST = 1 << 17  # coefficients of one series
_RADIUS = {1: 2**15 - 1, 2: 2**12 - 1, 3: 2**9 - 1}  # so that noise scales stay below 2**52


@cache
def circle(radius: int) -> tuple[Floats, Floats]:
    """Return 2**16 integer points near a circle of radius ``radius - 1``, none of them farther out than `radius`.

    Returns
    -------
    ndarray of float64, shape (2**16,), twice
        Cosines and sines of ``2 pi i / 2**16`` times ``radius - 1``, rounded.
    """
    angle = np.arange(PHASES) * (2 * math.pi / PHASES)
    cos, sin = np.rint((radius - 1) * np.cos(angle)), np.rint((radius - 1) * np.sin(angle))
    assert (cos * cos + sin * sin).max() <= radius**2
    for part in (cos, sin):
        part.setflags(write=False)
    return cos, sin


def spectrum(kernel: Kernel, shape: float | None, dim: int) -> tuple[str, float] | None:
    """Return ``("gaussian", 0)``, or ``("matern", nu)`` in one dimension, or None where no series is offered."""
    if kernel.name == "gaussian" and dim <= 3:
        return "gaussian", 0.0
    if dim == 1 and kernel.name in ("laplacian", "exponential"):
        return "matern", 0.5
    if dim == 1 and kernel.name == "matern":
        return "matern", float(shape if shape is not None else 1.5)
    return None


def _coefficients(law: tuple[str, float], omega: Floats) -> Floats:
    """Return the spectral density at bandwidth 1: the kernel is the integral of ``S(w) cos(w r) dw / (2 pi)``."""
    if law[0] == "gaussian":
        return math.sqrt(2 * math.pi) * np.exp(-0.5 * omega * omega)
    nu = law[1]
    size = 2 * math.sqrt(math.pi) * math.gamma(nu + 0.5) / math.gamma(nu) * (2 * nu) ** nu
    return np.asarray(size * (2 * nu + omega * omega) ** -(nu + 0.5), dtype=np.float64)


def _tail(kernel: Kernel, law: tuple[str, float], tolerance: float) -> float:
    """Return a distance in bandwidths beyond which two images of the kernel add at most ``tolerance / 2``."""
    if law[0] == "gaussian":
        return math.sqrt(2 * math.log(4 / tolerance))
    reach = 1.0
    while float(kernel.profile(np.array([reach]), law[1])[0]) > tolerance / 8:
        reach *= 1.05
    return reach


class FourierSeries:
    """The coefficients of a kernel at one or several bandwidths, shared by all of them.

    Parameters
    ----------
    kernel, shape : Kernel and its shape parameter
    sides : ndarray of float64, shape (d,)
        Sides of the box.
    bandwidths : tuple of float
    tolerance : float
        Largest error of the series per record at points of the box.

    Attributes
    ----------
    period : ndarray, shape (d,)
    index : ndarray of int64, shape (N, d)
        Frequencies, one of each pair ``k, -k``; the first is 0.
    coefficients : ndarray, shape (bandwidths, N)
        Doubled where -k was left out. Each row sums to ``1 +- tolerance``.
    """

    def __init__(
        self, kernel: Kernel, shape: float | None, sides: Floats, bandwidths: tuple[float, ...], tolerance: float
    ) -> None:
        dim = len(sides)
        law = spectrum(kernel, shape, dim)
        if law is None:
            raise InvalidParameter(
                "method",
                f"'fourier' with kernel={kernel.name!r} in {dim} dimensions",
                "gaussian in 1 to 3 dimensions; laplacian, exponential or matern in one",
                'use method="features"',
            )
        tau = tolerance / (2 * dim) if dim > 1 else tolerance
        self.tolerance, self.radius = tolerance, _RADIUS[dim]
        self.period = sides + max(bandwidths) * _tail(kernel, law, tau)
        axes = [[_series(law, P, h, tau) for h in bandwidths] for P in self.period]
        counts = [max(len(c) for c in axis) - 1 for axis in axes]
        if math.prod(2 * k + 1 for k in counts) > 8 * MOST:
            raise self._too_many()
        spans = [np.arange(-k, k + 1) for k in counts[:-1]] + [np.arange(counts[-1] + 1)]
        index = np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).reshape(-1, dim)
        index = index[_first_half(index)]
        padded = [[np.pad(c, (0, k + 1 - len(c))) for c in axis] for axis, k in zip(axes, counts, strict=True)]
        weights = np.stack(
            [math.prod(padded[j][b][np.abs(index[:, j])] for j in range(dim)) for b in range(len(bandwidths))]
        )
        weights[:, (index != 0).any(axis=1)] *= 2
        order = np.argsort(-weights.max(axis=0), kind="stable")
        rest = np.cumsum(weights[:, order][:, ::-1], axis=1).max(axis=0)[::-1]
        kept = order[rest > (tolerance / 2 if dim > 1 else 0.0)]
        if len(kept) > MOST:
            raise self._too_many()
        kept = kept[np.lexsort(index[kept].T[::-1])]
        kept = np.concatenate([kept[(index[kept] == 0).all(axis=1)], kept[(index[kept] != 0).any(axis=1)]])
        self.index: Integers = index[kept]
        self.coefficients: Floats = weights[:, kept]

    @staticmethod
    def _too_many() -> InvalidParameter:
        return InvalidParameter(
            "bandwidth",
            "one that needs more than 2**17 Fourier coefficients",
            "a wider one for this box and tolerance",
            'use method="features", a larger tolerance or a smaller box',
        )

    @cached_property
    def _left(self) -> tuple[Integers, Integers]:
        """Distinct frequencies of all axes but the last, and which of them each coefficient has."""
        if self.index.shape[1] == 1:
            return np.zeros((1, 0), np.int64), np.zeros(len(self.index), np.int64)
        rows, place = np.unique(self.index[:, :-1], axis=0, return_inverse=True)
        return rows, place.reshape(-1)

    @cached_property
    def _many(self) -> float:
        """From how many rows on a transform answers faster than the direct sum."""
        return _nufft.least_queries(self.index)

    # ---- records ---------------------------------------------------------------------------------------------------

    def phases(self, rows: Floats, low: Floats) -> Integers:
        """Return the cell of each coordinate on its period, of 2**16."""
        with np.errstate(all="ignore"):
            cells = np.floor((rows - low) * (PHASES / self.period))
        return cells.astype(np.int64) & (PHASES - 1)

    def sums(self, phases: Integers) -> tuple[Integers, Integers]:
        """Return the exact sums of the records' integer points: real and imaginary parts, (N,) each."""
        dim, last = phases.shape[1], int(self.index[:, -1].max())
        cos, sin = circle(self.radius)
        turns = np.arange(last + 1)
        if dim == 1:
            return self._sums_on_a_line(phases[:, 0], turns)
        left, place = self._left
        total = np.zeros((2 * len(left), 2 * (last + 1)), np.int64)
        block = max(64, (1 << 16) // len(left))  # fits into a cache
        for start in range(0, len(phases), block):
            part = phases[start : start + block]
            points = (part[:, -1:] * turns) & (PHASES - 1)
            total += cross(
                np.concatenate(self._products(part, left), axis=1),
                np.concatenate([cos[points], sin[points]], axis=1),
                bound=self.radius**dim,
            )
        return self._combine(total, place, len(left), last)

    def _sums_on_a_line(self, phases: Integers, turns: Integers) -> tuple[Integers, Integers]:
        """Return the sums in one dimension; time and memory follow the number of records, not how many phases differ.

        Many records are counted by phase first, all phases alike. Float64 holds the sums of a block exactly.
        """
        cos, sin = circle(self.radius)
        weights = np.ones(len(phases))
        if len(phases) > PHASES:
            weights, phases = np.bincount(phases, minlength=PHASES).astype(np.float64), np.arange(PHASES)
        real, imaginary = np.zeros(len(turns), np.int64), np.zeros(len(turns), np.int64)
        block = max(1, (1 << 16) // len(turns))  # fits into a cache
        for start in range(0, len(phases), block):
            part = slice(start, start + block)
            points = (phases[part, None] * turns) & (PHASES - 1)
            real += (weights[part] @ cos[points]).astype(np.int64)
            imaginary += (weights[part] @ sin[points]).astype(np.int64)
        return real, imaginary

    def _products(self, phases: Integers, left: Integers) -> tuple[Floats, Floats]:
        """Return the integer points of all axes but the last, multiplied as complex numbers: (n, left) each."""
        cos, sin = circle(self.radius)
        points = (phases[:, :1] * left[:, 0]) & (PHASES - 1)
        real, imaginary = cos[points], sin[points]
        for j in range(1, left.shape[1]):
            points = (phases[:, j : j + 1] * left[:, j]) & (PHASES - 1)
            c, s = cos[points], sin[points]
            real, imaginary = real * c - imaginary * s, real * s + imaginary * c
        return real, imaginary

    def _combine(self, total: Integers, place: Integers, left: int, last: int) -> tuple[Integers, Integers]:
        """Return real and imaginary sums from the four blocks of products of parts."""
        at = self.index[:, -1]
        parts = [[total[i * left + place, j * (last + 1) + at] for j in (0, 1)] for i in (0, 1)]
        return parts[0][0] - parts[1][1], parts[0][1] + parts[1][0]

    # ---- queries ---------------------------------------------------------------------------------------------------

    def evaluate(self, amplitudes: NDArray[np.complex128], rows: Floats, low: Floats) -> Floats:
        """Return ``Re sum_k amplitude_k conj(phase_k(y))`` at each row, the phases exact to double precision.

        Many rows go through finufft where it is installed, to a thousandth of the tolerance of the series.
        """
        turns = (rows - low) / self.period - 0.5 / PHASES
        if len(rows) >= self._many:
            answers = _nufft.waves(amplitudes, self.index, turns, precision=min(1e-9, 1e-3 * self.tolerance))
            if answers is not None:
                return answers
        return self._direct(amplitudes, turns)

    def _direct(self, amplitudes: NDArray[np.complex128], turns: Floats) -> Floats:
        """Return the sums by products of powers of the waves of each axis, in blocks that fit into a cache."""
        left, place = self._left
        last = int(self.index[:, -1].max())
        table = np.zeros((len(left), last + 1), np.complex128)
        np.add.at(table, (place, self.index[:, -1]), amplitudes)
        out = np.empty(len(turns))
        block = max(16, (1 << 16) // (len(left) + last + 1))
        for start in range(0, len(turns), block):
            waves = np.exp(-2j * math.pi * turns[start : start + block])
            inner = table @ _powers(waves[:, -1], last)
            if left.shape[1]:
                inner *= self._left_waves(waves, left)
            out[start : start + block] = inner.real.sum(axis=0)
        return out

    def _left_waves(self, waves: NDArray[np.complex128], left: Integers) -> NDArray[np.complex128]:
        product: NDArray[np.complex128] | None = None
        for j in range(left.shape[1]):
            powers = _powers(waves[:, j], int(np.abs(left[:, j]).max()))[np.abs(left[:, j])]
            powers = np.where(left[:, j : j + 1] < 0, powers.conj(), powers) if (left[:, j] < 0).any() else powers
            product = powers if product is None else product * powers
        assert product is not None
        return product


def _series(law: tuple[str, float], period: float, bandwidth: float, tau: float) -> Floats:
    """Return ``c_0 .. c_K`` of the even series on a period; what is left out adds at most ``tau / 2``."""
    step = 2 * math.pi * bandwidth / period
    if law[0] == "gaussian":
        from scipy.special import erfcinv

        most = math.ceil(float(erfcinv(tau / 2)) * period / (math.sqrt(2) * math.pi * bandwidth))
    else:  # the spectrum falls like size * omega**-(2 nu + 1): bound its integral beyond K
        nu = law[1]
        size = 2 * math.sqrt(math.pi) * math.gamma(nu + 0.5) / math.gamma(nu) * (2 * nu) ** nu
        most = math.ceil((size / (math.pi * 2 * nu) / (tau / 2)) ** (1 / (2 * nu)) / step)
    if most > MOST:
        raise FourierSeries._too_many()
    values: Floats = _coefficients(law, np.arange(most + 1, dtype=np.float64) * step) * (bandwidth / period)
    return values


def _powers(wave: NDArray[np.complex128], most: int) -> NDArray[np.complex128]:
    """Return ``wave**k`` for k = 0 .. most, shape (most + 1, q)."""
    powers = np.ones((most + 1, len(wave)), np.complex128)
    for k in range(1, most + 1):
        np.multiply(powers[k - 1], wave, out=powers[k])
    return powers


def _first_half(index: Integers) -> NDArray[np.bool_]:
    """Choose one of each pair k, -k: the last nonzero entry is positive."""
    chosen = np.zeros(len(index), bool)
    decided = np.zeros(len(index), bool)
    for j in range(index.shape[1] - 1, -1, -1):
        chosen |= ~decided & (index[:, j] > 0)
        decided |= index[:, j] != 0
    return chosen | ~decided
