"""Events: which set of bins to count, and what its counts say about epsilon or mu."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.audit.intervals import lower_limit, upper_limit

__all__ = ["EPSILON", "MU", "Event", "Goal", "best_event", "order_bins"]

Floats = NDArray[np.float64]
Limit = Callable[[Floats, Floats, Floats, Floats, float, float], Floats]


@dataclass(frozen=True)
class Event:
    """A set of bins, and whether it is likelier under x (turn 1) or under x2 (turn -1)."""

    bins: NDArray[np.bool_]
    turn: int

    def hits(self, counts: Floats) -> Floats:
        """Return the hits under the likelier and the other law, from counts of shape (2, B)."""
        return np.asarray(counts[:: self.turn, self.bins].sum(axis=1))


@dataclass(frozen=True)
class Goal:
    """A number that a mechanism has, bounded from the counts of one event.

    ``lower(k1, n1, k0, n0, level, delta)`` and ``upper`` take hits and runs under the likelier and the other law, and
    are wrong with chance at most `level`.
    """

    name: str
    lower: Limit
    upper: Limit


def _lower_epsilon(k1: Floats, n1: Floats, k0: Floats, n0: Floats, level: float, delta: float) -> Floats:
    """Return a lower bound of epsilon.

    Without delta, hits are labelled x with chance p/(p+q) at most logistic(epsilon), independently: one binomial bound.
    It asks that every run draws its label with chance 1/2.
    """
    if delta == 0:
        return _logit(lower_limit(k1, k1 + k0, level), 1 - lower_limit(k1, k1 + k0, level))
    p, q = lower_limit(k1, n1, level / 2), upper_limit(k0, n0, level / 2)
    return np.maximum(_log_ratio(p - delta, q), _log_ratio(1 - q - delta, 1 - p))


def _upper_epsilon(k1: Floats, n1: Floats, k0: Floats, n0: Floats, level: float, delta: float) -> Floats:
    """Return an upper bound of the epsilon that this event shows."""
    if delta == 0:
        small = lower_limit(k0, k1 + k0, level)
        return _logit(1 - small, small)
    p, q = upper_limit(k1, n1, level / 2), lower_limit(k0, n0, level / 2)
    return np.maximum(_log_ratio(p - delta, q), _log_ratio(1 - q - delta, 1 - p))


def _lower_mu(k1: Floats, n1: Floats, k0: Floats, n0: Floats, level: float, delta: float) -> Floats:
    from scipy.special import ndtri

    return np.asarray(ndtri(lower_limit(k1, n1, level / 2)) + ndtri(lower_limit(n0 - k0, n0, level / 2)))


def _upper_mu(k1: Floats, n1: Floats, k0: Floats, n0: Floats, level: float, delta: float) -> Floats:
    from scipy.special import ndtri

    return np.asarray(-ndtri(lower_limit(n1 - k1, n1, level / 2)) - ndtri(lower_limit(k0, n0, level / 2)))


def _logit(p: Floats, rest: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p) - np.log(rest))


def _log_ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    a, b = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a > 0, np.log(np.where(a > 0, a, 1.0)) - np.log(np.maximum(b, 0.0)), -math.inf)


EPSILON = Goal("epsilon", _lower_epsilon, _upper_epsilon)
MU = Goal("mu", _lower_mu, _upper_mu)


def order_bins(counts: Floats) -> NDArray[np.intp]:
    """Return the bins that were seen, those likeliest under the first row first."""
    share = counts[0].sum() / max(counts.sum(), 1)
    ratio = (counts[0] + 2 * share) / (counts[1] + 2 * (1 - share))
    order = np.argsort(-ratio, kind="stable")
    return np.asarray(order[counts.sum(axis=0)[order] > 0])


def best_event(
    ordering: Floats,
    judging: Floats,
    goal: Goal,
    *,
    level: float,
    delta: float = 0.0,
    ladder: NDArray[np.intp] | None = None,
    ease: float = 0.0,
) -> Event:
    """Return the event whose bound, predicted from past counts, is the largest.

    Parameters
    ----------
    ordering : ndarray, shape (2, B)
        Counts that sort the bins. A bin not seen here never joins.
    judging : ndarray, shape (2, B)
        Counts, best of other runs, that choose where to stop.
    goal : Goal
        What to bound.
    level, delta : float
        As in the goal.
    ladder : ndarray of int, optional
        Bins in the order of their values: their ends are candidates too, for they need no order to be learned.
    ease : float
        Part of the bound that is given up for such an end, because it is said in fewer words.
    """
    best, chosen = -math.inf, Event(ordering.sum(axis=0) > 0, 1)
    for turn in (1, -1):
        ends = [] if ladder is None else [ladder, ladder[::-1]]
        for order, factor in [(order_bins(ordering[::turn]), 1 - ease), *((end, 1.0) for end in ends)]:
            bound, bins = _best_prefix(judging[::turn], order, goal, level, delta)
            bound *= factor if bound > 0 else 1
            if bound > best:
                best, chosen = bound, Event(bins & (ordering.sum(axis=0) > 0), turn)
    return chosen


def _best_prefix(
    counts: Floats, order: NDArray[np.intp], goal: Goal, level: float, delta: float
) -> tuple[float, NDArray[np.bool_]]:
    bins = np.zeros(counts.shape[1], dtype=np.bool_)
    if not len(order):
        return -math.inf, bins
    k1, k0 = (np.cumsum(row[order]) for row in counts)
    n1, n0 = (np.full(len(order), row.sum()) for row in counts)
    bound = goal.lower(k1, n1, k0, n0, level, delta)
    bound = np.where(np.isnan(bound), -math.inf, bound)
    stop = int(np.argmax(bound))
    bins[order[: stop + 1]] = True
    return float(bound[stop]), bins
