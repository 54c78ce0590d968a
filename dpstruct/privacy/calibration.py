"""Noise scales from prices and prices from noise scales, in exact arithmetic.

A line of integers with weight w lies under a joint sensitivity bound S: over all neighbours, the sum of ``d**2 / w``
(Gaussian) or ``|d| / w`` (Laplace) over the coordinates d of the difference is at most S. Noise of scale s on that line
then costs at most ``w * S / s**2`` in mu^2, or ``w * S / s`` in epsilon; lines that share one S cost the largest of
these. Costs are integers in units of 2^-100.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final, Literal, get_args

from dpstruct.errors import InvalidParameter
from dpstruct.privacy._checks import integer, rational, real, shown
from dpstruct.privacy._exact import least_double, least_root

__all__ = ["KINDS", "UNIT", "Kind", "price", "smallest_scale"]

UNIT: Final = 1 << 100
"""Costs are integers in units of 1/UNIT."""

Kind = Literal["rounded-gaussian", "discrete-laplace"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)


def check_kind(kind: object) -> Kind:
    """Return a noise kind, or raise."""
    for known in get_args(Kind):
        if isinstance(kind, str) and kind == known:
            return known  # type: ignore[no-any-return]
    raise InvalidParameter("kind", shown(kind), " or ".join(map(repr, KINDS)))


def smallest_scale(kind: Kind, weight: Fraction, sensitivity: Fraction, cost_units: int) -> float:
    """Return the smallest normal double whose noise costs at most ``cost_units``.

    Parameters
    ----------
    kind : {"rounded-gaussian", "discrete-laplace"}
    weight, sensitivity : Fraction or int
        The weight w of the line and the joint bound S, both > 0, in lattice units.
    cost_units : int
        Price in units of 2^-100 (of mu^2, or of epsilon), >= 1.

    Returns
    -------
    float
        Standard deviation before rounding (Gaussian) or scale t (Laplace).

    Raises
    ------
    InvalidParameter
        For an unknown kind, a value that is not positive, or a scale that no double can hold.

    Examples
    --------
    >>> from fractions import Fraction
    >>> smallest_scale("rounded-gaussian", Fraction(1), Fraction(1), price("rounded-gaussian", 1, 1, 10.0))
    10.0
    """
    kind = check_kind(kind)
    cost = integer("cost_units", cost_units, low=1)
    ratio = rational("weight", weight) * rational("sensitivity", sensitivity) * UNIT / cost
    scale = least_root(ratio) if kind == "rounded-gaussian" else least_double(ratio)
    if scale == math.inf:
        raise InvalidParameter("cost_units", shown(cost), "a cost whose noise scale a double can hold")
    return scale


def price(kind: Kind, weight: Fraction, sensitivity: Fraction, scale: float) -> int:
    """Return the cost of noise of this scale in units of 2^-100, rounded up.

    Parameters
    ----------
    kind : {"rounded-gaussian", "discrete-laplace"}
    weight, sensitivity : Fraction or int
        The weight w of the line and the joint bound S, both > 0, in lattice units.
    scale : float
        The scale handed to the sampler, read as the rational number that the double is.

    Returns
    -------
    int
        ``ceil(w S 2^100 / scale**2)`` of mu^2, or ``ceil(w S 2^100 / scale)`` of epsilon.

    Raises
    ------
    InvalidParameter
        For an unknown kind or a value that is not positive and finite.

    Examples
    --------
    >>> price("rounded-gaussian", 1, 1, 10.0)
    12676506002282294014967032054
    """
    s = Fraction(real("scale", scale))
    power = 2 if check_kind(kind) == "rounded-gaussian" else 1
    cost = rational("weight", weight) * rational("sensitivity", sensitivity) * UNIT / s**power
    return -(-cost.numerator // cost.denominator)
