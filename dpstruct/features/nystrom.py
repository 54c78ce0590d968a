"""Kernel values at public points, whitened by a public integer matrix: features of norm at most 1 whatever the record.

With points Z, ``C = K_ZZ + l I = L L^T`` and ``k_x = k(Z, x)``, the vector ``L^-1 k_x`` has squared norm
``k_x^T C^-1 k_x <= k(x, x) = 1`` (Schur complement of a positive definite kernel matrix), and that of a difference is
at most ``|k_x - k_x'|**2 <= 2 - 2 k(x, x') <= 2`` in the kernel's space (a projection, shortened).

The map is kept linear in exact integers, so that sums may be whitened once instead of every record: records add rounded
values ``Q = sum round(2**F k_x)``, and what is released is ``T = W Q`` modulo ``2**64`` with ``W = round(2**G L^-1)``.
Wrapping commutes with the product, so sums beyond the capacity stay private. Two small numbers make the bound rigorous
in integers: ``|W C W^T / 4**G - I|_F <= 2**-8``, verified when the basis is made, gives ``|W v| <= 2**G (1 + 2**-9)
sqrt(v^T C^-1 v)``; and an error of at most e per kernel value adds at most ``e sqrt(q / l)`` times the same factor.

That error is a rounding of at most ``2**-(F + 1)`` and what the table of the profile misses, `PointBasis.table_error`.
Floating point adds next to nothing, wherever the points lie: records and points are subtracted first, as doubles, then
scaled. A difference of doubles is off by half a unit of its own last place, so d coordinates give a distance r off by
less than ``(d + 8) 2**-52 r``; as ``r |k'(r)| <= 1`` for every profile, that moves k by at most as much. It is counted
in e for records. In C, q points move the spectrum by at most ``q`` times that: as long as l stays above that,
``C >= K_ZZ`` for the exact kernel and the bound by 1 holds, and e's part needs ``sqrt(q / l)`` for an l less by as
little, for which there is a whole step to spare.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.features.radial import Kernel

__all__ = ["RIDGE", "PointBasis"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RIDGE = 2.0**-10
_MODES = {"l2": 0, "l1": 1, "axes": 2}


class PointBasis:
    """Whitened kernel values at public points.

    Attributes
    ----------
    points : ndarray, shape (q, d)
    bits, whitening_bits : int
        F and G above.
    whitener : ndarray of int64, shape (q, q)
        W above, lower triangular.
    table_error : Fraction
        Bound on the error of a tabulated kernel value.

    Raises
    ------
    InvalidParameter
        If the profile is too rough for its table, or too many near points are whitened too inaccurately.
    """

    def __init__(self, kernel: Kernel, shape: float | None, points: Floats, bandwidth: float) -> None:
        q = len(points)
        self.kernel, self.shape, self.points, self.bandwidth = kernel, shape, points, bandwidth
        self.bits, self.whitening_bits = self.word(q)
        self._scale = 1.0 / bandwidth
        self.table_error = self._table_error()
        covariance = self.values(points) + RIDGE * np.eye(q)
        inverse = np.linalg.inv(np.linalg.cholesky(covariance))
        self.whitener: Integers = np.rint(np.ldexp(np.tril(inverse), self.whitening_bits)).astype(np.int64)
        W = np.ldexp(self.whitener.astype(np.float64), -self.whitening_bits)
        if not np.linalg.norm(W @ covariance @ W.T - np.eye(q)) <= 2.0**-8 - 2.0**-12:
            raise InvalidParameter("points", f"{q} points whose kernel matrix is not whitened", "fewer of them")

    @staticmethod
    def word(q: int) -> tuple[int, int]:
        """Return the bits of kernel values and of the whitener that `q` points need."""
        return math.ceil(9 + math.log2(math.sqrt(q / RIDGE))), math.ceil(11 + math.log2(max(0.29 * q, 1.0)))

    def sensitivity(self, substitute: bool) -> Fraction:
        """Return a bound on the squared change of ``W Q``: one record, or one replaced."""
        q = len(self.points)
        error = Fraction(1, 2 << self.bits) + self.table_error  # of a value; twice that between two records
        rounding = (math.isqrt(math.ceil(q / RIDGE)) + 2) * error
        size = Fraction(1) if not substitute else Fraction(math.isqrt(2 << 80) + 1, 1 << 40)
        factor = (1 + Fraction(1, 512)) * (size + rounding * (2 if substitute else 1))
        return Fraction(factor * factor * 4 ** (self.bits + self.whitening_bits))

    def values(self, rows: Floats) -> Floats:
        """Return the kernel between rows and points, (n, q)."""
        step = max(1, (1 << 22) // self.points.size)
        with np.errstate(all="ignore"):
            parts = [
                self.kernel.values((rows[start : start + step, None, :] - self.points) * self._scale, 1.0, self.shape)
                for start in range(0, len(rows), step)
            ]
        return np.concatenate(parts) if parts else np.empty((0, len(self.points)))

    def sums(self, rows: Floats) -> Integers:
        """Return the exact sums of the records' rounded kernel values, (q,)."""
        from dpstruct.kernels.kernel_density import kernel_sums

        return kernel_sums(rows, self.points, self._scale, _MODES[self.kernel.norm], self._table, self.bits)

    @cached_property
    def _table(self) -> Floats:
        """The profile in cubic pieces; a product of Cauchy profiles is one of a distance of its own."""
        from dpstruct.kernels.kernel_density import profile_table

        return profile_table(self._profile)

    def _profile(self, distance: Floats) -> Floats:
        shape = self.kernel.shape if self.shape is None else self.shape
        return self.kernel.profile(distance, shape or 0.0)

    def _table_error(self) -> Fraction:
        """Return a power of two above the error of the table and of the distance, at most ``2**-(F + 3)``."""
        from dpstruct.kernels.kernel_density import table_error

        error = table_error(self._profile, self._table) + (self.points.shape[1] + 64) * 2.0**-50
        if not error <= 2.0 ** -(self.bits + 3):
            raise InvalidParameter(
                "shape",
                f"{self.shape!r} with {len(self.points)} points, for which kernel={self.kernel.name!r} is too rough",
                "0.5, or at least about 0.75",
                'raise the shape parameter, or use method="features"',
            )
        return Fraction(2) ** math.ceil(math.log2(error))

    def whiten(self, sums: Integers) -> Integers:
        """Return ``W Q`` modulo ``2**64``."""
        whitened: Integers = self.whitener @ sums
        return whitened
