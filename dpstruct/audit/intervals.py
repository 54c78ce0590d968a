"""Clopper-Pearson limits and the logistic scale: exact binomial confidence at any level."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["logistic", "logit", "lower_limit", "upper_limit"]

Floats = NDArray[np.float64]


def lower_limit(hits: ArrayLike, runs: ArrayLike, level: float) -> Floats:
    """Return a number that exceeds the true probability with chance at most `level`.

    Parameters
    ----------
    hits, runs : array_like
        Successes and trials, ``0 <= hits <= runs``.
    level : float
        In (0, 1).

    Notes
    -----
    The `level` quantile of Beta(hits, runs - hits + 1), and 0 without a hit (Clopper and Pearson, 1934).

    Examples
    --------
    >>> f"{lower_limit(600, 1000, 0.05):.10f}"
    '0.5738234133'
    """
    from scipy.special import betaincinv

    k, n = np.asarray(hits, dtype=np.float64), np.asarray(runs, dtype=np.float64)
    found = betaincinv(np.maximum(k, 1), n - np.minimum(k, n) + 1, level)
    return np.asarray(np.where(k > 0, found, 0.0))


def upper_limit(hits: ArrayLike, runs: ArrayLike, level: float) -> Floats:
    """Return a number below the true probability with chance at most `level`: one minus `lower_limit` of the misses."""
    k, n = np.asarray(hits, dtype=np.float64), np.asarray(runs, dtype=np.float64)
    return np.asarray(1 - lower_limit(n - k, n, level))


def logit(p: float) -> float:
    """Return ``ln(p / (1 - p))``, infinite at 0 and 1."""
    if p <= 0:
        return -math.inf
    return math.log(p) - math.log1p(-p) if p < 1 else math.inf


def logistic(x: float) -> float:
    """Return ``e^x / (1 + e^x)``, without cancellation for either sign of a large x."""
    return 1 / (1 + math.exp(-x)) if x >= -700 else math.exp(x)
