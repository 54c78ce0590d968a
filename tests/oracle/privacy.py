"""Slow, exact privacy arithmetic: 60 and more digits by the textbook formulas."""

from __future__ import annotations

from fractions import Fraction

import mpmath

CTX = mpmath.MPContext()
CTX.dps = 90

UNIT = 1 << 100


def number(x):
    """Return an exact rational or double as an mpmath number."""
    return CTX.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else CTX.mpf(x)


def cdf(z):
    return CTX.erfc(-number(z) / CTX.sqrt(2)) / 2


def delta(epsilon, mu):
    """Return Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu)."""
    epsilon, mu = number(epsilon), number(mu)
    return cdf(mu / 2 - epsilon / mu) - CTX.exp(epsilon) * cdf(-mu / 2 - epsilon / mu)


def log_delta(epsilon, mu):
    return CTX.log(delta(epsilon, mu))


def pure_delta(epsilon, pure):
    """Return the profile of binary randomised response."""
    epsilon, pure = number(epsilon), number(pure)
    return max(CTX.mpf(0), (CTX.exp(pure) - CTX.exp(epsilon)) / (1 + CTX.exp(pure)))


def pure_corner(epsilon):
    """Return c = 1/(1+e^eps), where the trade-off curve of an eps-DP mechanism bends."""
    return 1 / (1 + CTX.exp(number(epsilon)))


def gdp_trade_off_at_corner(mu):
    """Return the fixed point of alpha -> Phi(Phi^-1(1-alpha) - mu), which is Phi(-mu/2)."""
    return cdf(-number(mu) / 2)
