"""Exact conversions between (epsilon, delta), mu and pure epsilon, evaluated in log space and rounded outward.

The Gaussian profile ``delta(epsilon; mu) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)`` is exact for a
mu-GDP mechanism (arXiv 1805.06530, 1905.02383). Written out it overflows and cancels; here it is a scaled
complementary error function, or an integral over [z1, z2] when mu is small. Every value returned errs on the side of
the data: epsilons, deltas and prices high, budgets low.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_FLOOR, Context
from functools import cache, lru_cache
from struct import pack, unpack

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.privacy._checks import TINY, real

__all__ = ["MU_MAX", "MU_MIN", "delta_of", "eps_of", "log_delta", "mu_of", "mu_of_pure", "pure_of_mu"]

MU_MIN, MU_MAX = 1e-6, 60.0
DELTA_MIN, DELTA_MAX = 1e-15, 0.1
_MARGIN = 1e-12  # thirty times the worst error of log_delta against 60 digits
_LOG_2PI = math.log(2 * math.pi)


@cache
def _gauss() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sixteen Gauss-Legendre nodes moved to [0, 1], and weights that sum to 1."""
    nodes, weights = leggauss(16)
    return (1 + nodes) / 2, weights / 2


def _log_integral(z1: float, mu: float) -> float:
    """Return log of the integral of 1 - z m(z) over [z1, z1 + mu], m the Mills ratio."""
    from scipy.special import erfcx

    nodes, weights = _gauss()
    z = z1 + mu * nodes
    values = 1 - math.sqrt(math.pi / 2) * z * erfcx(z * math.sqrt(0.5))
    return math.log(mu) + math.log(float(weights @ values))


def _log_delta(epsilon: float, mu: float) -> float:
    from scipy.special import erfcx, ndtr

    z1 = epsilon / mu - mu / 2
    if z1 > 1e6:
        return -z1 * z1 / 2  # a bound: Phi(-z) <= exp(-z^2/2)
    if mu <= 0.5:
        return -z1 * z1 / 2 - _LOG_2PI / 2 + _log_integral(z1, mu)
    far = float(erfcx((epsilon / mu + mu / 2) * math.sqrt(0.5)))
    if z1 <= 0:
        return math.log(float(ndtr(-z1)) - math.exp(-z1 * z1 / 2) * far / 2)
    return -z1 * z1 / 2 + math.log((float(erfcx(z1 * math.sqrt(0.5))) - far) / 2)


def log_delta(epsilon: float, mu: float) -> float:
    """Return log delta(epsilon; mu) of a mu-GDP mechanism (to 1e-13 where delta > 1e-15), not rounded outward.

    Parameters
    ----------
    epsilon, mu : float
        >= 0 and > 0.

    Returns
    -------
    float

    Examples
    --------
    >>> round(log_delta(1.0, 1.0), 9)
    -2.064066447
    """
    return _log_delta(real("epsilon", epsilon, low=0.0), real("mu", mu))


def delta_of(epsilon: float, mu: float) -> float:
    """Return a delta with which a mu-GDP mechanism is certainly (epsilon, delta)-DP: the exact one, rounded up.

    Parameters
    ----------
    epsilon, mu : float
        Both >= 0.

    Returns
    -------
    float
        In [0, 1]; 0 only for mu = 0. Above mu = 60 an upper bound rather than the exact value.

    Examples
    --------
    >>> round(delta_of(1.0, 1.0), 12)
    0.126936737507
    """
    epsilon, mu = real("epsilon", epsilon, low=0.0), real("mu", mu, low=0.0)
    if mu == 0:
        return 0.0
    if mu > MU_MAX:
        from scipy.special import log_ndtr

        far, near = epsilon / mu, mu / 2
        log = float(log_ndtr(near - far + 1e-15 * (near + far)))
    else:
        log = _log_delta(epsilon, mu)
    slack = _MARGIN + 4e-16 * min(abs(log), 1e9)
    return min(1.0, math.nextafter(math.exp(min(0.0, log + slack)), math.inf))


def _target(delta: float) -> float:
    """Return the log delta to stay under: log delta less twice the evaluation error."""
    log = math.log(real("delta", delta, low=DELTA_MIN, high=DELTA_MAX))
    return log - 4e-16 * abs(log) - _MARGIN


def _edge(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Return adjacent doubles (x, y) with ``not holds(x)`` and ``holds(y)``, given such ends (in either order)."""
    a, b = (unpack("<q", pack("<d", end))[0] for end in (low, high))
    while abs(b - a) > 1:
        middle = (a + b) // 2
        if holds(unpack("<d", pack("<q", middle))[0]):
            b = middle
        else:
            a = middle
    return unpack("<d", pack("<q", a))[0], unpack("<d", pack("<q", b))[0]


@lru_cache(maxsize=4096)
def _eps_of(mu: float, delta: float) -> float:
    target = _target(delta)
    if mu == 0:
        return 0.0
    # Phi(-z) <= exp(-z^2/2)/2 < delta here, so this epsilon is always enough
    enough = (mu * mu / 2 + mu * math.sqrt(-2 * target)) * (1 + 1e-12)
    if mu > MU_MAX:
        return enough
    if _log_delta(0.0, mu) <= target:
        return 0.0
    epsilon = _edge(lambda x: _log_delta(x, mu) <= target, 0.0, enough)[1]
    short = float(f"{epsilon:.12g}")  # the number a user typed, where it passes the same test
    return short if 0 < short < epsilon * (1 + 4e-14) and _log_delta(short, mu) <= target else epsilon


def eps_of(mu: float, delta: float) -> float:
    """Return the smallest epsilon for which a mu-GDP mechanism is certainly (epsilon, delta)-DP, rounded up.

    Parameters
    ----------
    mu : float
        >= 0. Above 60 the result is an upper bound instead of the smallest.
    delta : float
        In [1e-15, 0.1].

    Returns
    -------
    float
        >= 0; exactly 0 where delta alone covers the mechanism.

    Raises
    ------
    InvalidParameter
        If a number is out of range or not finite.

    Notes
    -----
    arXiv 1805.06530. The delta met is within 2e-12 of the one asked for, relative; tested against 90-digit arithmetic.

    Examples
    --------
    >>> round(eps_of(1.0, 1e-6), 9)
    4.886554117
    """
    return _eps_of(real("mu", mu, low=0.0), real("delta", delta, low=DELTA_MIN, high=DELTA_MAX))


@lru_cache(maxsize=4096)
def _mu_of(epsilon: float, delta: float) -> float:
    """Return the largest mu of fifteen decimal digits in [1e-7, 61] that passes, or 0 or infinity beyond.

    The last bits depend on the mathematics library; fifteen digits are the same on nearly every machine, and a budget
    that is reopened on another one must find its own total.
    """
    target = _target(delta)
    low, high = MU_MIN / 10, MU_MAX + 1
    if _log_delta(epsilon, low) > target:
        return 0.0
    if _log_delta(epsilon, high) <= target:
        return math.inf
    mu = _edge(lambda x: _log_delta(epsilon, x) <= target, high, low)[1]
    short = float(f"{mu:.15g}")
    if short > mu and _log_delta(epsilon, short) > target:
        short = float(Context(prec=15, rounding=ROUND_FLOOR).create_decimal(repr(mu)))
    return short


def mu_of(epsilon: float, delta: float) -> float:
    """Return the largest mu for which every mu-GDP mechanism is (epsilon, delta)-DP, rounded down to 15 digits.

    Parameters
    ----------
    epsilon : float
        > 0.
    delta : float
        In [1e-15, 0.1].

    Returns
    -------
    float
        In [1e-6, 60].

    Raises
    ------
    InvalidParameter
        If a number is out of range, or if it needs a mu outside [1e-6, 60].

    Notes
    -----
    arXiv 1805.06530; the inverse of `eps_of` to 1e-14.

    Examples
    --------
    >>> round(mu_of(1.0, 1e-6), 12)
    0.236704380663
    """
    epsilon, delta = real("epsilon", epsilon), real("delta", delta, low=DELTA_MIN, high=DELTA_MAX)
    mu = _mu_of(epsilon, delta)
    if not MU_MIN <= mu <= MU_MAX:
        side = "small" if mu < MU_MIN else "large"
        raise InvalidParameter(
            "epsilon", repr(epsilon), f"an epsilon whose mu at delta {delta:g} is in [1e-06, 60]", f"it is too {side}"
        )
    return mu


def mu_of_pure(epsilon: float) -> float:
    """Return the smallest mu for which every epsilon-DP mechanism is mu-GDP, rounded up.

    Parameters
    ----------
    epsilon : float
        > 0.

    Returns
    -------
    float
        ``2 Phi^-1(e^epsilon / (1 + e^epsilon))``, about 1.2533 epsilon when that is small.

    Notes
    -----
    The trade-off curve of an epsilon-DP mechanism lies on or above two segments that meet at (c, c), where
    c = 1/(1 + e^epsilon) (arXiv 1905.02383). The curve of this mu passes through (0, 1), (c, c) and (1, 0) and is
    convex, hence below both.

    Examples
    --------
    >>> round(mu_of_pure(1.0), 12)
    1.232035385345
    """
    from scipy.special import erfinv, log_expit, ndtri_exp

    epsilon = real("epsilon", epsilon)
    if epsilon < 1:
        mu = 2 * math.sqrt(2) * float(erfinv(math.tanh(epsilon / 2)))
    else:
        mu = -2 * float(ndtri_exp(log_expit(-epsilon)))
    return max(mu * (1 + 1e-13), TINY)


def pure_of_mu(mu: float) -> float:
    """Return the largest epsilon for which every epsilon-DP mechanism is mu-GDP, rounded down.

    Parameters
    ----------
    mu : float
        > 0.

    Returns
    -------
    float
        ``log(Phi(mu/2) / Phi(-mu/2))``; what a pure mechanism may spend out of mu.

    Examples
    --------
    >>> round(pure_of_mu(1.2320353853449), 12)
    1.0
    """
    from scipy.special import erf, log_ndtr

    mu = real("mu", mu)
    if mu < 1:
        epsilon = 2 * math.atanh(float(erf(mu / (2 * math.sqrt(2)))))
    else:
        epsilon = float(log_ndtr(mu / 2)) - float(log_ndtr(-mu / 2))
    return epsilon * (1 - 1e-13)
