"""Public parameters are refused before any arithmetic touches them."""

from __future__ import annotations

import math
import numbers
import sys
from fractions import Fraction

from dpstruct.errors import InvalidParameter, InvalidType

TINY = sys.float_info.min
"""Smallest normal double."""


def shown(value: object) -> str:
    """Return a short description of a public argument."""
    if not isinstance(value, (str, bool, numbers.Number)):
        return f"an object of type {type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        return "a number too long to print"
    return text if len(text) <= 60 else f"{text[:57]}..."


def real(argument: str, value: object, *, low: float = TINY, high: float = math.inf, expected: str = "") -> float:
    """Return a finite real number of [low, high] as a float, or raise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidType(argument, shown(value), "a real number")
    try:
        x = float(value)
    except OverflowError:
        raise InvalidParameter(argument, "a number beyond the doubles", "a finite number") from None
    if not math.isfinite(x):
        raise InvalidParameter(argument, shown(x), "a finite number")
    if 0 < abs(x) < TINY or (x == 0 and value != 0):
        raise InvalidParameter(argument, "a subnormal number", "a normal number")
    if not low <= x <= high:
        default = "a number > 0" if low == TINY else f"a number >= {low:g}"
        default += "" if high == math.inf else f" and <= {high:g}"
        raise InvalidParameter(argument, shown(x), expected or default)
    return x + 0.0  # -0.0 becomes 0.0


def integer(argument: str, value: object, *, low: int = 0) -> int:
    """Return an integer >= low as an int, or raise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidType(argument, shown(value), "an integer")
    if value < low:
        raise InvalidParameter(argument, shown(value), f"an integer >= {low}")
    return int(value)


def rational(argument: str, value: object) -> Fraction:
    """Return a positive rational as a Fraction of Python integers, or raise."""
    if isinstance(value, bool) or not isinstance(value, numbers.Rational):
        raise InvalidType(argument, shown(value), "a Fraction or an integer")
    if value <= 0:
        raise InvalidParameter(argument, shown(value), "a rational > 0")
    return Fraction(int(value.numerator), int(value.denominator))
