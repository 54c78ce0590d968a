"""Noise weights of the Faber-Schauder tree and the proofs of its joint sensitivities, in exact rationals.

A record at grid point x of ``0 .. M`` contributes ``A = x``, ``B = M - x`` and, on every level l, the tent
``T_l = min(x - left, right - x)`` of its node of width ``w_l = M / 2**l``.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpstruct.core.plan import Scales

__all__ = ["gaussian_weights", "laplace_weights", "moved_within", "variance"]

_RATE = 1 << 30  # Laplace rates are dyadic rationals with this denominator, so that their cost is an exact integer


def gaussian_weights(widths: list[Fraction], bits: list[int], depth: int, *, counted: bool) -> list[list[Fraction]]:
    """Return variance weights ``[ends, level 0, level 1, ...][coordinate]`` with joint sensitivity 1.

    With ``sum T_l**2 / w_l <= x - x**2 / M``, a record costs ``x**2 + (M - x)**2 + 2 M (x - x**2 / M) = M**2`` per
    coordinate when both ends are noised (`counted`: add-remove), and a move by D costs at most
    ``D**2 + M (D - D**2 / M) = M D <= M**2`` when A alone is (substitute). Weights ``M**2 sum(R) / R_j`` make the
    coordinates add up to 1.
    """
    total = sum(widths)
    ends = [Fraction(4**b) * total / r for b, r in zip(bits, widths, strict=True)]
    shift = 1 if counted else 0
    return [ends] + [[w / 2 ** (level + shift) for w in ends] for level in range(depth)]


def moved_within(radius: float, low: tuple[float, ...], high: tuple[float, ...], bits: list[int]) -> Fraction:
    """Return the joint sensitivity, at most 1, of the substitute weights when one row moves at most `radius` in l2.

    A move by D_j grid units costs ``M_j D_j R_j / (M_j**2 sum(R))``, and D_j is at most the move in grid units plus two
    (rounding) plus the conversion of integers to floats; the l1 norm of the move is at most ``sqrt(d) * radius``.
    """
    widths = [Fraction(b - a) for a, b in zip(low, high, strict=True)]
    squared = Fraction(radius) ** 2 * len(widths) * 4**60
    l1 = Fraction(math.isqrt(math.ceil(squared)) + 1, 2**60) * (1 + Fraction(1, 2**40))
    rounding = [
        Fraction(math.ulp(max(abs(a), abs(b)))) + 2 * width / 2**bit
        for a, b, width, bit in zip(low, high, widths, bits, strict=True)
    ]
    slack = sum(rounding, Fraction(0))
    return min(Fraction(1), (l1 + slack) / sum(widths, Fraction(0)))


def laplace_weights(widths: list[Fraction], bits: list[int], depth: int, *, counted: bool) -> list[list[Fraction]]:
    """Return scale weights ``[ends, level 0, level 1, ...][coordinate]`` with joint sensitivity 1.

    Coordinate j costs a share proportional to ``R_j**(2/3)``, which minimises the error of the sum; the rate of level l
    grows as ``2**(l/3)``.
    """
    rates, cost = _rates(depth, counted)
    parts = [max(1, round(2.0**40 * float(r / max(widths)) ** (2 / 3))) for r in widths]
    ends = [cost * 2**b * Fraction(sum(parts), part) for b, part in zip(bits, parts, strict=True)]
    return [ends] + [[w * _RATE / rate for w in ends] for rate in rates]


def variance(noise: Scales, depth: int, t: NDArray[np.float64], columns: slice) -> NDArray[np.float64]:
    """Return the variance, in grid units, of each coordinate's part of the answers at relative positions `t`.

    An answer is ``(1-t) A + t B - 2 sum_l (T_l(y)/w_l) N_l`` grid units, with ``B = n M - A`` where n is public; T_l is
    linear inside a leaf, so this is exact for the interpolated answer too.
    """

    def of(name: str) -> NDArray[np.float64]:
        variances = noise.variance(name)
        return variances if len(variances) == 1 else variances[columns]

    total = (1 - t) ** 2 * of("A") + t**2 * of("B") if "B" in noise.lines else (1 - 2 * t) ** 2 * of("A")
    for level in range(depth):
        inside = t * 2.0**level % 1.0
        total = total + 4 * np.minimum(inside, 1 - inside) ** 2 * of(f"level{level}")
    return total


@lru_cache(maxsize=64)
def _rates(depth: int, counted: bool) -> tuple[list[int], Fraction]:
    """Return the rates of the levels in units of ``1/_RATE`` (the ends have rate 1) and the cost per grid point."""
    q = 0.747 if counted else 1.0
    rates = [round(_RATE * 2.0 ** (level / 3) / q) for level in range(depth)]
    cost = _add_remove_cost(rates) if counted else _substitute_cost(rates)
    return rates, Fraction(cost, _RATE << depth)


def _tents(rates: list[int], level: int) -> NDArray[np.int64]:
    """Return ``sum_{l >= level} rate_l T_l`` at every knot of one node of `level`, knots one unit apart."""
    depth = len(rates)
    r = np.arange((1 << (depth - level)) + 1, dtype=np.int64)
    total = np.zeros_like(r)
    for k in range(level, depth):
        width = 1 << (depth - k)
        inside = r % width
        total += rates[k] * np.minimum(inside, width - inside)
    return total


def _add_remove_cost(rates: list[int]) -> int:
    """Return the largest l1 cost of a record, times ``_RATE``, on the grid of knots.

    The tents are linear between knots, so the maximum over all grid points is one over knots.
    """
    return int((_RATE << len(rates)) + _tents(rates, 0).max())


def _substitute_cost(rates: list[int]) -> int:
    """Return the largest l1 cost of a move, times ``_RATE``, on the grid of knots.

    Two points that part at level l have equal tents up to sign above it (their distance D each), and independent nodes
    below; at level l the sign of ``x + x' - w`` splits the maximum into one per half.
    """
    depth = len(rates)
    best, above = 0, _RATE
    for level, rate in enumerate(rates):
        half = 1 << (depth - level - 1)
        below = _tents(rates, level + 1)
        r = np.arange(half + 1, dtype=np.int64)
        up, down = (above - rate) * r + below, -(above + rate) * r + below
        best = max(best, (above + rate) * half + int(up.max()) + int(down.max()))
        above += rate
    return max(best, above)
