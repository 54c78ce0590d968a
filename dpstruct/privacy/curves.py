"""Privacy curves of a measure on arrays, for plots and audits."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy._checks import shown
from dpstruct.privacy.measures import GDP, ApproxDP, Measure, PureDP

__all__ = ["delta_curve", "trade_off"]


def _array(argument: str, values: ArrayLike, *, high: float) -> NDArray[np.float64]:
    """Return numbers of [0, high] as a float64 array, or raise."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise InvalidType(argument, f"an array of dtype {array.dtype}", "real numbers")
    array = array.astype(np.float64)
    if not (np.isfinite(array) & (array >= 0) & (array <= high)).all():
        raise InvalidParameter(argument, "a value out of range", f"finite numbers in [0, {high:g}]")
    return array


def _check(measure: object) -> None:
    if not isinstance(measure, GDP | PureDP | ApproxDP):
        raise InvalidType("measure", shown(measure), "a GDP, PureDP or ApproxDP measure")


def delta_curve(measure: Measure | ApproxDP, epsilon: ArrayLike) -> NDArray[np.float64]:
    """Return the smallest delta at each epsilon that the measure implies, rounded up.

    Parameters
    ----------
    measure : GDP, PureDP or ApproxDP
    epsilon : array_like
        Any shape, finite and >= 0.

    Returns
    -------
    ndarray
        Same shape, in [0, 1], falling in epsilon.

    Raises
    ------
    InvalidParameter
        If an epsilon is negative or not finite.

    Notes
    -----
    GDP: arXiv 1805.06530. A claim (E, D) implies ``D + (1 - D)(e^E - e^epsilon)/(1 + e^E)`` below E and D from there
    on, the conjugate of its trade-off curve (arXiv 1905.02383).

    Examples
    --------
    >>> from dpstruct.privacy import GDP
    >>> delta_curve(GDP(1), [1.0, 2.0]).round(9)
    array([0.12693674, 0.02092364])
    """
    _check(measure)
    x = _array("epsilon", epsilon, high=np.finfo(np.float64).max)
    if isinstance(measure, ApproxDP):
        pure = np.maximum(0.0, -np.expm1(np.minimum(0.0, x - measure.epsilon))) / (1 + np.exp(-measure.epsilon))
        return np.asarray(np.minimum(1.0, measure.delta + (1 - measure.delta) * pure * (1 + 1e-14)))
    flat = [measure.delta(float(e) if e >= np.finfo(np.float64).tiny else 0.0) for e in x.ravel()]
    return np.array(flat, dtype=np.float64).reshape(x.shape)


def trade_off(measure: Measure | ApproxDP, alpha: ArrayLike) -> NDArray[np.float64]:
    """Return the smallest type II error of any test of neighbours at each type I error.

    Parameters
    ----------
    measure : GDP, PureDP or ApproxDP
    alpha : array_like
        Type I errors, any shape, in [0, 1].

    Returns
    -------
    ndarray
        Same shape, convex and falling from at most 1 to 0, to double precision (not rounded outward).

    Raises
    ------
    InvalidParameter
        If an alpha is outside [0, 1].

    Notes
    -----
    arXiv 1905.02383: ``Phi(Phi^-1(1 - alpha) - mu)``, and ``max(0, 1 - D - e^E alpha, e^-E (1 - D - alpha))``.

    Examples
    --------
    >>> from dpstruct.privacy import PureDP
    >>> trade_off(PureDP(1), [0.0, 1.0])
    array([1., 0.])
    """
    from scipy.special import ndtr, ndtri

    _check(measure)
    a = _array("alpha", alpha, high=1.0)
    if isinstance(measure, GDP):
        return np.asarray(ndtr(-ndtri(a) - measure.mu), dtype=np.float64)
    level = 1 - measure.delta if isinstance(measure, ApproxDP) else 1.0
    steep = np.exp(min(measure.epsilon, 700.0))
    return np.asarray(np.maximum(0.0, np.maximum(level - steep * a, (level - a) / steep)), dtype=np.float64)
