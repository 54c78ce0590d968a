"""Printed guarantees: decimals rounded in the safe direction, with the neighbour relation and the unit."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from dpstruct.errors import InvalidParameter
from dpstruct.privacy._checks import shown
from dpstruct.privacy.neighbors import Relation, describe

if TYPE_CHECKING:
    from dpstruct.privacy.measures import ApproxDP, Measure

__all__ = ["guarantee", "remaining", "round_down", "round_up"]


def _rounded(value: float | Fraction, digits: int, rounding: str) -> str:
    """Return a number >= 0 in ``digits`` significant decimal digits; a float is read as its shortest decimal."""
    context = Context(prec=digits, rounding=rounding)
    if isinstance(value, Fraction):
        short = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    else:
        short = context.create_decimal(repr(float(value)))
    short = short.normalize(context)
    if not short:
        return "0"
    return format(short, "f" if -5 < short.adjusted() < 15 else "e")


def round_up(value: float | Fraction, digits: int = 4) -> str:
    """Return a decimal that is never below the value: for claims, deltas and what was spent.

    Parameters
    ----------
    value : float or Fraction
        >= 0. A float stands for its shortest decimal, so 0.1 prints as 0.1; read back, the decimal is never less.
    digits : int
        Significant digits.

    Examples
    --------
    >>> round_up(4.886554117), round_up(0.1)
    ('4.887', '0.1')
    """
    return _rounded(value, digits, ROUND_CEILING)


def round_down(value: float | Fraction, digits: int = 4) -> str:
    """Return a decimal that is never above the value: for what remains.

    Parameters
    ----------
    value : float or Fraction
        >= 0; see `round_up`.
    digits : int
        Significant digits.

    Examples
    --------
    >>> round_down(0.1673752727)
    '0.1673'
    """
    return _rounded(value, digits, ROUND_FLOOR)


def _unit(unit: object) -> str:
    if not isinstance(unit, str) or not unit.strip():
        raise InvalidParameter("unit", shown(unit), 'a name such as "row" or "user"')
    return unit


def guarantee(measure: Measure | ApproxDP, relation: Relation, unit: str, delta: float | None = None) -> str:
    """Return a guarantee in words, rounded up, naming the neighbour relation and the unit.

    Parameters
    ----------
    measure : GDP, PureDP or ApproxDP
    relation : Relation
    unit : str
        What a neighbouring dataset changes one of: "row", "user".
    delta : float, optional
        Also state the epsilon of a GDP measure at this delta.

    Examples
    --------
    >>> from dpstruct.privacy import GDP
    >>> guarantee(GDP(1), "add-remove", "user", 1e-6)
    '(4.887, 1e-6)-DP from 1-GDP for add-remove neighbors, unit user'
    """
    return f"{measure.claim(delta)} for {describe(relation)} neighbors, unit {_unit(unit)}"


def remaining(measure: Measure, relation: Relation, unit: str, delta: float | None = None) -> str:
    """Return the largest single further release in words, rounded down, naming the relation and the unit.

    Parameters are those of `guarantee`.

    Examples
    --------
    >>> from dpstruct.privacy import GDP
    >>> remaining(GDP(1), "add-remove", "user", 1e-6)
    'one release of 1-GDP, or of epsilon 4.886 at delta 1e-6, for add-remove neighbors, unit user'
    """
    return f"one release of {measure.room(delta)}, for {describe(relation)} neighbors, unit {_unit(unit)}"
