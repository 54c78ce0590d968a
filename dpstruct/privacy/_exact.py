"""Doubles rounded up from an exact value, decided with integers."""

from __future__ import annotations

import math
from fractions import Fraction

from dpstruct.privacy._checks import TINY


def _nearest(ratio: Fraction) -> float:
    """Return the double nearest to a ratio > 0, at least TINY, or infinity."""
    try:
        return max(float(ratio), TINY)
    except OverflowError:
        return math.inf


def least_double(ratio: Fraction) -> float:
    """Return the smallest normal double x with x >= ratio > 0, or infinity."""
    x = _nearest(ratio)
    return x if x >= ratio else math.nextafter(x, math.inf)


def least_root(ratio: Fraction) -> float:
    """Return the smallest normal double x with x**2 >= ratio > 0, or infinity."""
    shift = 64 - (ratio.numerator.bit_length() - ratio.denominator.bit_length()) // 2
    scaled = ratio * Fraction(4) ** shift
    # the root to 64 bits, a hair too low: its nearest double is the answer or the one below
    x = _nearest(Fraction(2) ** -shift * math.isqrt(scaled.numerator // scaled.denominator))
    return x if x == math.inf or Fraction(x) ** 2 >= ratio else math.nextafter(x, math.inf)
