"""Numbers as readers see them: figures, shares of a budget rounded outward, round ticks for axes."""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

__all__ = ["exact", "figure", "percent", "ticks"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_UNITS = {0: "", 3: "thousands", 6: "millions", 9: "billions"}


def figure(value: float, digits: int = 4) -> str:
    """Write `value` to `digits` significant digits, rounded to nearest: for answers and errors, not for guarantees.

    Examples
    --------
    >>> figure(552311.4), figure(0.5), figure(2.5e-7)
    ('552,300', '0.5', '2.5 × 10⁻⁷')
    """
    short = Context(prec=digits, rounding=ROUND_HALF_EVEN).plus(Decimal(repr(float(value))))
    if short == 0:
        return "0"
    power = short.adjusted()
    if -5 < power < 9:
        text = f"{short:,f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa = f"{short.scaleb(-power):f}"
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}\u00a0×\u00a010{str(power).translate(_SUPERSCRIPT)}"


def percent(share: float | Fraction, *, up: bool) -> str:
    """Write a share of a budget in per cent to one decimal, rounded up (spent) or down (left).

    Examples
    --------
    >>> percent(0.25, up=True), percent(1 / 3, up=True), percent(1 / 3, up=False)
    ('25.0 %', '33.4 %', '33.3 %')
    """
    thousandths = 1000 * exact(share)
    whole = math.ceil(thousandths) if up else math.floor(thousandths)
    return f"{whole // 10}.{whole % 10} %"


def exact(value: float | Fraction) -> Fraction:
    """Return the number that the shortest text of `value` names: 0.1 is one tenth.

    Examples
    --------
    >>> exact(0.1)
    Fraction(1, 10)
    """
    return value if isinstance(value, Fraction) else Fraction(repr(float(value)))


def ticks(low: float, high: float, count: int = 5) -> tuple[list[tuple[float, str]], str]:
    """Round numbers from `low` to `high` with their texts, and the unit they are written in.

    Examples
    --------
    >>> ticks(0, 400_000, count=2)
    ([(0.0, '0'), (200000.0, '200'), (400000.0, '400')], 'thousands')
    """
    step = _round_step((high - low) / count)
    places = [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    magnitude = math.floor(math.log10(max(abs(low), abs(high))))
    scale = 0 if -4 < magnitude < 5 else 3 * (magnitude // 3)
    unit = _UNITS.get(scale, f"× 10{str(scale).translate(_SUPERSCRIPT)}")
    decimals = max(0, -math.floor(math.log10(step / 10.0**scale) + 1e-9))
    texts = [f"{place / 10.0**scale + 0.0:,.{decimals}f}" for place in places]
    return [(float(place), text.replace("-", "−")) for place, text in zip(places, texts, strict=True)], unit


def _round_step(rough: float) -> float:
    base = 10.0 ** math.floor(math.log10(rough))
    return next(factor * base for factor in (1.0, 2.0, 5.0, 10.0) if factor * base >= 0.7 * rough)
