"""Structured random frequencies: signs and Walsh-Hadamard transforms in place of a random matrix.

Yu et al. (arXiv 1610.09072): a row of ``H D_1 H D_2 H D_3``, H orthonormal and the D_k diagonals of random signs, is
almost a uniform direction, and D log2(D) additions project on D of them at once. Given the length of a normal vector in
D dimensions it is almost normal, and so are its first d coordinates: records are padded with zeros. Times the radial
factor of a kernel these are frequencies of the kernel.

`dpstruct.kernels.hadamard.phase_sums` projects records in exact integers; every record then adds points of length at
most `RADIUS` of `dpstruct.features.random_features`, whatever its projections are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.features.radial import KERNELS, Kernel

__all__ = ["LARGEST", "StructuredFrequencies", "structured_frequencies"]

Floats = NDArray[np.float64]

LARGEST = 1 << 13  # dimensions up to which records lie on a grid of 2**18 cells a side, or a finer one
_SMALLEST = 128  # dimensions with padding: from here on directions are as good as uniform ones, for sparse records too
_FASTEST = 2.0**16  # turns across the box; heavy-tailed laws have faster frequencies, which carry nothing but noise


@dataclass(frozen=True, eq=False)
class StructuredFrequencies:
    """Public frequencies that a record is projected on by three rounds: change signs, transform, shift.

    Attributes
    ----------
    signs : (1 + 2 B, D) int32
        The first row is shared; each further two rows make D frequencies.
    shifts : two int
        Bits that a record's integers lose after the first two rounds, log2(D) in all.
    turns : (J,) uint64
        Turns per step of a projection, in units of ``2**-64``.
    reach : int
        Cells of a record lie from ``-reach`` to ``reach``, as far as 32-bit integers allow.
    dim : int
        Coordinates without padding.
    """

    signs: NDArray[np.int32]
    shifts: tuple[int, int]
    turns: NDArray[np.uint64]
    reach: int
    dim: int

    @cached_property
    def rates(self) -> Floats:
        """Turns per unit of a projection without shifts, (J,)."""
        rates: Floats = np.ldexp(self.turns.astype(np.float64), -64 - sum(self.shifts))
        return rates

    def _rounds(self, rows: Floats, losses: tuple[float, float]) -> Floats:
        """Return the phases of rows of cells, (n, dim), in turns; the first two rounds lose a constant each."""
        base = np.zeros((len(rows), self.signs.shape[1]))
        base[:, : self.dim] = rows
        base = _transform(base * self.signs[0]) - losses[0]
        pairs = zip(self.signs[1::2], self.signs[2::2], strict=True)
        parts = [_transform((_transform(base * first) - losses[1]) * last) for first, last in pairs]
        phases: Floats = np.concatenate(parts, axis=1)[:, : len(self.turns)] * self.rates
        return phases

    @property
    def matrix(self) -> Floats:
        """The frequencies in turns per cell, (dim, J)."""
        return self._rounds(np.eye(self.dim), (0.0, 0.0))

    @cached_property
    def offsets(self) -> Floats:
        """What rounding down in the shifts adds to the phases on average, (J,) turns."""
        first, second = (0.5 * (2**shift - 1) for shift in self.shifts)
        offsets: Floats = self._rounds(np.zeros((1, self.dim)), (first, second * 2 ** self.shifts[0]))[0]
        return offsets


def _transform(x: Floats) -> Floats:
    """Return the Walsh-Hadamard transform of each row, without a factor."""
    n, D = x.shape
    h = 1
    while h < D:
        pairs = x.reshape(n, -1, 2, h)
        x = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2).reshape(n, D)
        h *= 2
    return x


def structured_frequencies(
    kernel: Kernel, shape: float | None, bandwidth: float, side: float, dim: int, count: int, seed: int
) -> StructuredFrequencies:
    """Return `count` frequencies of a radial kernel for records in a box whose largest side is `side`.

    Raises
    ------
    InvalidParameter
        Beyond 8192 dimensions.
    """
    if dim > LARGEST:
        raise InvalidParameter(
            "structured", f"True in {dim} dimensions", f"at most {LARGEST} dimensions", "leave structured=False"
        )
    bits = (max(_SMALLEST, dim) - 1).bit_length()
    D = 1 << bits
    reach = 1 << 30
    while dim * D * reach**2 >= (2**31 - 3 * D) ** 2:
        reach //= 2
    draws = Draws(seed, f"structured {kernel.name}")
    signs = np.where(draws.uniform((1 + 2 * -(-count // D), D)) < 0.5, -1, 1).astype(np.int32)
    lengths = np.sqrt(2 * draws.gamma(D / 2, count)) * _stretches(kernel, shape, count, seed)
    with np.errstate(over="ignore"):
        across = np.minimum(lengths * (side / (2 * math.pi * bandwidth)), _FASTEST)
    turns = np.ldexp(across / (2 * reach * math.sqrt(D)), 64)  # a step is 1 / sqrt(D) of a cell
    return StructuredFrequencies(signs, (bits - bits // 2, bits // 2), turns.astype(np.uint64), reach, dim)


def _stretches(kernel: Kernel, shape: float | None, count: int, seed: int) -> Floats:
    """Return how much longer than normal vectors a kernel's frequencies are: both from the same draws on a line."""
    name = f"lengths {kernel.name}"
    normal = KERNELS["gaussian"].frequencies(Draws(seed, name), 1, count, 0.0)
    stretched: Floats = (kernel.frequencies(Draws(seed, name), 1, count, shape or 0.0) / normal)[0]
    return stretched
