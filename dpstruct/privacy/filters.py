"""Privacy filters: adaptive releases stay under a total that was fixed in advance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy._checks import TINY, integer, rational, real, shown
from dpstruct.privacy.measures import GDP, Measure, PureDP

__all__ = ["Filter", "read_share"]


def read_share(share: object) -> Fraction:
    """Return a share of a budget as the decimal that a user wrote: 0.2 is 1/5.

    Raises
    ------
    InvalidParameter
        If the share is not a real number in (0, 1].

    Examples
    --------
    >>> read_share(0.2)
    Fraction(1, 5)
    """
    if isinstance(share, Fraction):
        exact = rational("share", share)
    else:
        exact = Fraction(repr(real("share", share)))
    if exact > 1:
        raise InvalidParameter("share", shown(share), "a number in (0, 1]")
    return exact


@dataclass(frozen=True, slots=True)
class Filter:
    """Every release that is admitted, and all of them together, satisfy ``total``, however their costs were chosen.

    Costs may depend on everything released before. The rule is one comparison of integers: spent + cost <= total.

    Parameters
    ----------
    total : GDP or PureDP
        Fixed before the first release. A total raised after looking at releases proves nothing.

    Raises
    ------
    InvalidType
        If the total is not a measure that adds up.

    Notes
    -----
    Pure DP: on every transcript the likelihood ratio is a product of factors, the i-th at most ``e**epsilon_i``, and
    the epsilons that were admitted sum to at most the total.

    GDP: fully adaptive composition, arXiv 2210.17520; see also 2209.15596. Fix two neighbours, named theta = 0 and 1,
    and let W be a Brownian motion with drift theta, observed on [0, total mu^2]. Its increment over the next mu_i^2 of
    time, divided by mu_i, is N(theta mu_i, 1) given the past, even where the past chose mu_i, and a mu_i-GDP release
    is a randomised image of it. So the transcript is an image of the path, whose end point is sufficient: N(theta mu,
    1) after scaling. ``test_filters.py`` attacks this with adversaries that chase their own privacy loss.

    The guarantee is always the total; what is spent at a moment that the data chose is bookkeeping only.

    Examples
    --------
    >>> rule = Filter(PureDP(1.0))
    >>> half = rule.share_units(0.5)
    >>> rule.admits(half, half), rule.admits(half, half + 1), rule.largest_share(half)
    (True, False, 0.5)
    """

    total: Measure

    def __post_init__(self) -> None:
        if not isinstance(self.total, GDP | PureDP):
            raise InvalidType("total", shown(self.total), "a GDP or PureDP measure")

    def admits(self, spent_units: int, cost_units: int) -> bool:
        """Return whether a release of this cost may follow; costs are integers in units of 2^-100, at least 1."""
        return integer("spent_units", spent_units) + integer("cost_units", cost_units, low=1) <= self.total.units

    def remaining(self, spent_units: int) -> Measure:
        """Return the largest single further release; 0 when nothing is left.

        Under GDP these are square roots: the mu of two releases do not subtract, their units do.
        """
        return type(self.total).from_units(max(0, self.total.units - integer("spent_units", spent_units)))

    def share_units(self, share: float | Fraction) -> int:
        """Return the cost of a share of the total, rounded down; `read_share` reads it.

        Raises
        ------
        InvalidParameter
            If the share is outside (0, 1], or too small to cost one unit.
        """
        units = math.floor(read_share(share) * self.total.units)
        if units < 1:
            raise InvalidParameter("share", shown(share), "a share that costs at least one unit of 2^-100")
        return units

    def largest_share(self, spent_units: int) -> float:
        """Return the largest share that is still admitted, 0 when nothing is left."""
        left = self.remaining(spent_units).units
        if left == 0:
            return 0.0
        edge = Fraction(left + 1, self.total.units)  # a share costs at most `left` exactly when it is below this
        share = math.nextafter(min(1.0, float(edge)), math.inf)
        while share > 1 or (share >= TINY and read_share(share) >= edge):
            share = math.nextafter(share, 0.0)
        return share if share >= TINY else 0.0
