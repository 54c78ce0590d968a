"""Public random numbers that are the same on every machine, for ever: SHAKE-256 words and IEEE arithmetic only.

Frequencies and directions decide a record's integers, so two machines that share a blueprint must agree on them. No
library logarithm, no BLAS and no LAPACK is used: sums are taken in a fixed order, element by element.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

__all__ = ["Draws", "exponential", "logarithm", "orthogonal_blocks"]

Floats = NDArray[np.float64]


def logarithm(x: Floats) -> Floats:
    """Return the natural logarithm of positive numbers, to about 1e-15, with the same bits everywhere."""
    m, e = np.frexp(x)
    low = m < np.sqrt(0.5)
    m, e = np.where(low, 2 * m, m), e - low
    z = (m - 1) / (m + 1)  # |z| <= 0.172: twelve terms of 2 artanh(z)
    square, series = z * z, np.zeros_like(z)
    for k in range(23, -1, -2):
        series = series * square + 1.0 / k
    result: Floats = e * 0.6931471805599453 + 2 * z * series
    return result


def exponential(x: Floats) -> Floats:
    """Return ``exp(x)`` for x in [-700, 0], to about 3e-16, with the same bits everywhere; below -700 that of -700."""
    x = np.maximum(x, -700.0)
    k = np.rint(x * 1.4426950408889634)
    r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10  # |r| <= 0.3466: ln 2 in two parts
    series = np.ones_like(r)
    for n in range(14, 0, -1):
        series = 1.0 + series * r / n
    result: Floats = np.ldexp(series, k.astype(np.int64))
    return result


class Draws:
    """A public stream of random numbers that depends on `seed` and `name` alone.

    Examples
    --------
    >>> Draws(0, "example").uniform((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int, name: str) -> None:
        self._key = f"{name}:{seed}".encode()
        self._calls = 0

    def uniform(self, shape: tuple[int, ...]) -> Floats:
        """Return numbers strictly between 0 and 1, multiples of ``2**-53`` less half a step."""
        size = int(np.prod(shape))
        self._calls += 1
        text = hashlib.shake_256(b"%d:" % self._calls + self._key).digest(8 * size)
        words = np.frombuffer(text, dtype="<u8") >> np.uint64(11)
        numbers: Floats = ((words.astype(np.float64) + 0.5) * 2.0**-53).reshape(shape)
        return np.minimum(numbers, 1 - 2.0**-53)

    def exponential(self, shape: tuple[int, ...]) -> Floats:
        """Return standard exponential numbers."""
        return -logarithm(self.uniform(shape))

    def normal(self, shape: tuple[int, ...]) -> Floats:
        """Return standard normal numbers, by the polar method."""
        size, found = int(np.prod(shape)), np.empty(0)
        while found.size < size:
            u, v = 2 * self.uniform((2, max(16, size))) - 1
            s = u * u + v * v
            kept = s < 1
            factor = np.sqrt(-2 * logarithm(s[kept]) / s[kept])
            found = np.concatenate([found, u[kept] * factor, v[kept] * factor])
        return found[:size].reshape(shape)

    def gamma(self, shape_parameter: float, size: int) -> Floats:
        """Return Gamma numbers of scale 1 (Marsaglia and Tsang, 2000)."""
        boost = shape_parameter < 1
        d = shape_parameter + boost - 1.0 / 3.0
        c = 1.0 / np.sqrt(9 * d)
        found = np.empty(0)
        while found.size < size:
            x, u = self.normal((max(16, size),)), self.uniform((max(16, size),))
            v = 1 + c * x
            v = v * v * v
            good = v > 0
            x, u, v = x[good], u[good], v[good]
            found = np.concatenate([found, d * v[logarithm(u) < 0.5 * x * x + d - d * v + d * logarithm(v)]])
        found = found[:size]
        if boost:  # Gamma(a) = Gamma(a + 1) U**(1/a)
            found = found * exponential(logarithm(self.uniform((size,))) / shape_parameter)
        return found


def orthogonal_blocks(draws: Draws, dim: int, count: int) -> Floats:
    """Return `count` unit vectors in random orthogonal bases (Haar) of `dim` vectors each, shape (dim, count).

    The modified Gram-Schmidt process, twice; the last basis is cut.
    """
    from dpstruct.kernels.draws import orthonormal_rows

    bases = draws.normal((-(-count // dim), dim, dim))
    for basis in bases:
        orthonormal_rows(basis)
        orthonormal_rows(basis)
    return np.ascontiguousarray(bases.reshape(-1, dim)[:count].T)
