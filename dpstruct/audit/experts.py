r"""Bets against a claim: how much each outcome (bin, label) multiplies the wealth, chosen from past counts.

A run has a label, 1 for x and 0 for x2 with chance 1/2 each, and ends in a bin of a partition that is fixed before the
run. A bet is a table of log factors, one for each label and bin. It is *fair* if its factor has expectation at most 1
under every pair of laws (p, q) that keeps the claim; then wealth is a nonnegative supermartingale, and reaches
1/alpha with chance at most alpha, whenever one looks (Ville). Why each bet here is fair:

* `pure_bets`. Let R = logistic(epsilon). Given bin b, the label is 1 with chance r = p/(p+q) in [1-R, R]. The factor
  is rho/g for label 1 and (1-rho)/(1-g) for label 0, with g = R and rho > R, or g = 1-R and rho < 1-R; its mean
  r rho/g + (1-r)(1-rho)/(1-g) is monotone in r, and 1 at the end r = g of the interval that it prefers. Any other
  rho between the ends would make it exceed 1, so rho is never clipped. Merging bins keeps the claim.
* `plane_bets`. For W = 1{bin in S}(1{label 1} - e^epsilon 1{label 0}), E W = (p(S) - e^epsilon q(S))/2 <= delta/2 = m,
  so 1 + lambda (W - m) has mean at most 1 for every lambda >= 0, and is positive for lambda < 1/(e^epsilon + m).

`tests/audit/test_experts.py` finds the largest mean over all laws that keep the claim by linear programming.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["plane_bets", "pure_bets", "side_bets"]

Floats = NDArray[np.float64]

_BIN_EXPERTS = ((2.0, 0.0), (20.0, 1.0), (20.0, 2.0))  # strength of the prior, standard errors beyond the boundary
_PREFIX_PRIOR, _PREFIX_GAIN = 5.0, 0.3
_PLANE_PRIORS = (0.5, 3.0)  # runs of the unlikelier law added to every event
_LAMBDAS = np.concatenate([[0.0], np.geomspace(1e-3, 0.999, 40)])


def pure_bets(past: Floats, epsilon: float) -> Floats:
    """Return five fair bets against ``epsilon``-DP: three that treat bins one by one, one for each direction.

    Parameters
    ----------
    past : ndarray, shape (2, B)
        Counts of earlier runs on x and x2 in each bin.
    epsilon : float
        The claim.

    Returns
    -------
    ndarray, shape (5, 2, B)
        Log factors for a run on x (row 0) or x2 (row 1) that ends in each bin.
    """
    bets = [_bin_bet(past, epsilon, prior, margin) for prior, margin in _BIN_EXPERTS]
    return np.stack([*bets, _prefix_bet(past, epsilon), _prefix_bet(past[::-1], epsilon)[::-1]])


def _bin_bet(past: Floats, epsilon: float, prior: float, margin: float) -> Floats:
    """Bet on each bin whose label is clearly more certain than the claim allows."""
    small = math.exp(-epsilon) / (1 + math.exp(-epsilon))  # 1 - R
    bet = np.zeros_like(past)
    total = past.sum(axis=0)
    error = np.sqrt(small * (1 - small) / np.maximum(total, 1))
    for common in (0, 1):
        rare = 1 - common
        share = (past[rare] + 0.5) / (total + 1)
        rho = (past[rare] + prior * small) / (total + prior)
        active = share < small - margin * error  # which implies rho < small
        bet[:, active] = _log_factors(rho[active], past[common, active], total[active], prior, epsilon, common)
    return bet


def _log_factors(rho: Floats, often: Floats, total: Floats, prior: float, epsilon: float, common: int) -> Floats:
    """Return log factors of the label that is too common and of the other, whose believed chance is `rho`."""
    log_small = -epsilon - math.log1p(math.exp(-epsilon))
    log_large = -math.log1p(math.exp(-epsilon))
    large = 1 / (1 + math.exp(-epsilon))
    factors = np.empty((2, len(rho)))
    factors[common] = np.log((often + prior * large) / (total + prior)) - log_large
    factors[1 - common] = np.log(rho) - log_small
    return factors


def _prefix_bet(past: Floats, epsilon: float) -> Floats:
    """Bet on the best set of bins that are more likely under the first row."""
    bet = np.zeros_like(past)
    order = np.argsort(-(past[0] + 1) / (past[1] + 1), kind="stable")
    gain, bins, factors = _best_prefix(past, order, epsilon)
    if gain > _PREFIX_GAIN:
        bet[:, bins] = factors[:, None]
    return bet


def _best_prefix(past: Floats, order: NDArray[np.intp], epsilon: float) -> tuple[float, NDArray[np.intp], Floats]:
    """Return the bins from the start of `order` with the largest gain in the past, that gain, and the log factors."""
    often, seldom = np.cumsum(past[0][order]), np.cumsum(past[1][order])
    total = often + seldom
    small = math.exp(-epsilon) / (1 + math.exp(-epsilon))
    rho = (seldom + _PREFIX_PRIOR * small) / (total + _PREFIX_PRIOR)
    factors = _log_factors(rho, often, total, _PREFIX_PRIOR, epsilon, 0)
    gain = np.where(rho < small, total * ((1 - rho) * factors[0] + rho * factors[1]), 0.0)
    best = int(np.argmax(gain))
    return float(gain[best]), order[: best + 1], factors[:, best]


def side_bets(past: Floats, epsilon: float, ladder: NDArray[np.intp]) -> Floats:
    """Return two fair bets against ``epsilon``-DP that bet on both directions at once.

    Each plays the best set of bins that are likelier under x and the best of those likelier under x2. The first orders
    all bins by their past ratio; the second takes the ends of the `ladder`, bins in the order of their values, so that
    a smooth law needs no ordering to be learned. Fair for the reason of `pure_bets`, bin by bin: where two sets meet,
    the one with the larger gain has the bin.

    Parameters
    ----------
    past, epsilon
        As in `pure_bets`.
    ladder : ndarray of int
        Indices of bins in the order of their values; may be empty.
    """
    order = np.argsort(-(past[0] + 1) / (past[1] + 1), kind="stable")
    return np.stack(
        [_two_sides(past, epsilon, [order, order[::-1]]), _two_sides(past, epsilon, [ladder, ladder[::-1]])]
    )


def _two_sides(past: Floats, epsilon: float, orders: list[NDArray[np.intp]]) -> Floats:
    sides = []
    for turn in (1, -1):
        found = [_best_prefix(past[::turn], order, epsilon) for order in orders if len(order)]
        sides += [(gain, turn, bins, factors) for gain, bins, factors in found if gain > _PREFIX_GAIN]
    bet = np.zeros_like(past)
    for _, turn, bins, factors in sorted(sides, key=lambda side: side[0]):
        bet[::turn, bins] = factors[:, None]
    return bet


def plane_bets(past: Floats, pairs: Sequence[tuple[float, float]]) -> Floats:
    """Return four fair bets against each (epsilon, delta): two directions, each with a bold and a cautious prior.

    Parameters
    ----------
    past : ndarray, shape (2, B)
        Counts of earlier runs on x and x2 in each bin.
    pairs : sequence of (float, float)
        The claim, P points.

    Returns
    -------
    ndarray, shape (4 P, 2, B)
        Log factors, as in `pure_bets`; zero where no set of bins promises growth.
    """
    bets = np.zeros((len(pairs), 2, 2, *past.shape))
    if past.sum() > 0:
        odds, m = np.exp([e for e, _ in pairs]), np.array([d for _, d in pairs]) / 2
        for k, turn in enumerate((1, -1)):
            bets[:, k, :, ::turn] = _planes(past[::turn], odds, m)
    return bets.reshape(-1, *past.shape)


def _planes(past: Floats, odds: Floats, m: Floats) -> Floats:
    """Return log factors (P, priors, 2, B) of the stake and the prefix that would have grown fastest."""
    n, bins = past.sum(), past.shape[1]
    order = np.argsort(-(past[0] + 0.1) / (past[1] + 0.1), kind="stable")
    p = np.cumsum(past[0][order]) / n
    q = (np.cumsum(past[1][order]) + np.array(_PLANE_PRIORS)[:, None]) / n  # (priors, B)
    stakes = _LAMBDAS / (odds + m)[:, None]  # (P, stakes)
    win, pass_by = np.log1p(stakes * (1 - m[:, None])), np.log1p(-stakes * m[:, None])
    lose = np.log1p(-stakes * (odds + m)[:, None])
    logs = np.stack([win, lose, pass_by], axis=1)  # (P, 3, stakes)
    chances = np.stack([np.broadcast_to(p, q.shape), q, np.maximum(1 - p - q, 0)], axis=-1)  # (priors, B, 3)
    growth = np.einsum("rbk,pks->prbs", chances, logs, optimize=True)
    flat = growth.reshape(*growth.shape[:2], -1)
    prefix, stake = np.divmod(flat.argmax(axis=-1), len(_LAMBDAS))
    chosen = np.take_along_axis(logs[:, None], stake[:, :, None, None], axis=-1)  # (P, priors, 3, 1)
    rank = np.empty(bins, np.intp)
    rank[order] = np.arange(bins)
    inside = rank <= prefix[:, :, None, None]
    bets = np.where(inside, chosen[:, :, :2], chosen[:, :, 2:])
    return np.asarray(np.where(flat.max(axis=-1)[:, :, None, None] > 0, bets, 0.0))
