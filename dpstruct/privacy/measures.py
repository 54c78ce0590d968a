"""Privacy measures as exact integers: GDP adds up mu^2, pure DP adds up epsilon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from dpstruct.privacy._checks import TINY, integer, real
from dpstruct.privacy._exact import least_double, least_root
from dpstruct.privacy.calibration import UNIT
from dpstruct.privacy.conversions import (
    DELTA_MAX,
    DELTA_MIN,
    MU_MAX,
    MU_MIN,
    _mu_of,
    delta_of,
    eps_of,
    mu_of,
    mu_of_pure,
)
from dpstruct.privacy.display import round_down, round_up

__all__ = ["GDP", "UNIT", "ApproxDP", "Measure", "PureDP"]


@dataclass(frozen=True, slots=True, init=False, repr=False)
class GDP:
    """Gaussian differential privacy: no test separates neighbours better than it separates N(0,1) from N(mu,1).

    Parameters
    ----------
    mu : float
        In [1e-6, 60]. Stored as ``units = floor(mu**2 * 2**100)``, exactly; two releases add their units.

    Raises
    ------
    InvalidParameter
        If mu is out of range or not finite (``InvalidType`` if it is not a real number).

    Notes
    -----
    arXiv 1905.02383.

    Examples
    --------
    >>> GDP(0.1).mu
    0.1
    >>> GDP.from_approx_dp(1.0, 1e-6).units
    71025149623250423496066502010
    """

    units: int

    def __init__(self, mu: float) -> None:
        square = Fraction(real("mu", mu, low=MU_MIN, high=MU_MAX)) ** 2 * UNIT
        object.__setattr__(self, "units", square.numerator // square.denominator)

    @classmethod
    def from_units(cls, units: int) -> GDP:
        """Return the measure of a sum of costs, >= 0 and of any size."""
        self = cls.__new__(cls)
        object.__setattr__(self, "units", integer("units", units))
        return self

    @classmethod
    def from_approx_dp(cls, epsilon: float, delta: float) -> GDP:
        """Return the largest measure that implies (epsilon, delta)-DP, rounded down: a budget."""
        return cls(mu_of(epsilon, delta))

    @classmethod
    def from_pure(cls, pure: PureDP) -> GDP:
        """Return the smallest measure that a pure measure implies, rounded up: a price."""
        if pure.units == 0:
            return cls.from_units(0)
        square = Fraction(mu_of_pure(pure.epsilon)) ** 2 * UNIT
        return cls.from_units(-(-square.numerator // square.denominator))

    @property
    def mu(self) -> float:
        """Smallest double whose square is at least ``units / 2**100``: safe to claim."""
        return least_root(Fraction(self.units, UNIT)) if self.units else 0.0

    @property
    def floor(self) -> float:
        """Largest double whose own cost is at most these units: safe to spend."""
        return math.nextafter(least_root(Fraction(self.units + 1, UNIT)), 0.0) if self.units else 0.0

    def epsilon(self, delta: float) -> float:
        """Return the smallest epsilon at this delta, rounded up."""
        return eps_of(self.mu, delta)

    def epsilon_floor(self, delta: float) -> float:
        """Return an epsilon, rounded down, for which a release priced at this delta costs at most these units; or 0."""
        mu = min(self.floor, MU_MAX)
        epsilon, step = eps_of(mu, delta) if mu >= MU_MIN else 0.0, 2.0**-52
        while epsilon > 0 and not MU_MIN <= _mu_of(epsilon, delta) <= mu:
            epsilon, step = epsilon * (1 - step), 2 * step
        return epsilon

    def delta(self, epsilon: float) -> float:
        """Return the smallest delta at this epsilon, rounded up."""
        return delta_of(epsilon, self.mu)

    def group(self, k: int) -> GDP:
        """Return the measure for neighbours that differ in k units: mu becomes k mu, exactly."""
        return GDP.from_units(self.units * integer("k", k, low=1) ** 2)

    def claim(self, delta: float | None = None) -> str:
        """Return the guarantee in figures, rounded up; `display.guarantee` adds the neighbours."""
        gdp = f"{round_up(self.mu)}-GDP"
        return gdp if delta is None else f"({round_up(self.epsilon(delta))}, {round_up(delta)})-DP from {gdp}"

    def room(self, delta: float | None = None) -> str:
        """Return what one further release may cost in figures, rounded down."""
        gdp = f"{round_down(self.floor)}-GDP"
        if delta is None:
            return gdp
        return f"{gdp}, or of epsilon {round_down(self.epsilon_floor(delta))} at delta {round_up(delta)}"

    def __repr__(self) -> str:
        return f"GDP({self.mu!r})"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class PureDP:
    """Pure differential privacy: no output is more than e^epsilon times likelier on a neighbour.

    Parameters
    ----------
    epsilon : float
        At least 2^-100. Stored as ``units = floor(epsilon * 2**100)``, exactly; two releases add their units.

    Raises
    ------
    InvalidParameter
        If epsilon is out of range or not finite (``InvalidType`` if it is not a real number).

    Examples
    --------
    >>> PureDP(0.1).epsilon
    0.1
    >>> PureDP(0.1).group(3).units == 3 * PureDP(0.1).units
    True
    """

    units: int

    def __init__(self, epsilon: float) -> None:
        scaled = Fraction(real("epsilon", epsilon, low=2.0**-100, expected="a number >= 2^-100")) * UNIT
        object.__setattr__(self, "units", scaled.numerator // scaled.denominator)

    @classmethod
    def from_units(cls, units: int) -> PureDP:
        """Return the measure of a sum of costs, >= 0 and of any size."""
        self = cls.__new__(cls)
        object.__setattr__(self, "units", integer("units", units))
        return self

    @property
    def epsilon(self) -> float:
        """Smallest double that is at least ``units / 2**100``: safe to claim."""
        return least_double(Fraction(self.units, UNIT)) if self.units else 0.0

    @property
    def floor(self) -> float:
        """Largest double whose own cost is at most these units: safe to spend."""
        return math.nextafter(least_double(Fraction(self.units + 1, UNIT)), 0.0) if self.units else 0.0

    def delta(self, epsilon: float) -> float:
        """Return the smallest delta at this epsilon, rounded up: 0 from ``self.epsilon`` on.

        Below it, the curve ``(e^E - e^epsilon) / (1 + e^E)`` of binary randomised response, E = ``self.epsilon``.
        """
        gap = real("epsilon", epsilon, low=0.0) - self.epsilon
        if gap >= 0:
            return 0.0
        return min(1.0, -math.expm1(gap) / (1 + math.exp(-self.epsilon)) * (1 + 1e-14) + TINY)

    def group(self, k: int) -> PureDP:
        """Return the measure for neighbours that differ in k units: epsilon becomes k epsilon, exactly."""
        return PureDP.from_units(self.units * integer("k", k, low=1))

    def claim(self, delta: float | None = None) -> str:
        """Return the guarantee in figures, rounded up; it holds at every delta."""
        return f"{round_up(self.epsilon)}-DP"

    def room(self, delta: float | None = None) -> str:
        """Return what one further release may cost in figures, rounded down."""
        return f"{round_down(self.floor)}-DP"

    def __repr__(self) -> str:
        return f"PureDP({self.epsilon!r})"


@dataclass(frozen=True, slots=True, repr=False)
class ApproxDP:
    """The claim of (epsilon, delta)-DP: what a user asks for and reads, never what adds up.

    Parameters
    ----------
    epsilon : float
        > 0.
    delta : float
        In [1e-15, 0.1].

    Raises
    ------
    InvalidParameter
        If a number is out of range or not finite (``InvalidType`` if it is not a real number).

    Examples
    --------
    >>> ApproxDP(1, 1e-6)
    ApproxDP(1.0, 1e-06)
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "epsilon", real("epsilon", self.epsilon))
        object.__setattr__(self, "delta", real("delta", self.delta, low=DELTA_MIN, high=DELTA_MAX))

    def to_gdp(self) -> GDP:
        """Return the largest GDP budget that implies this claim. The claim itself implies no GDP."""
        return GDP.from_approx_dp(self.epsilon, self.delta)

    def claim(self, delta: float | None = None) -> str:
        """Return the guarantee in figures, rounded up."""
        return f"({round_up(self.epsilon)}, {round_up(self.delta)})-DP"

    def __repr__(self) -> str:
        return f"ApproxDP({self.epsilon!r}, {self.delta!r})"


Measure = GDP | PureDP
