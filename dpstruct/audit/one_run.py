"""Bounds from a single run with many canaries, each put in or left out by a fair coin."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.audit.claims import check_alpha, check_delta, check_runs
from dpstruct.audit.intervals import logistic, logit, lower_limit
from dpstruct.audit.verdict import Bound, Counts
from dpstruct.errors import InvalidParameter

__all__ = ["canary_guesses", "one_run_bound"]

_MOST_EPSILON = 64.0


def one_run_bound(
    correct: int, guesses: int, *, canaries: int | None = None, delta: float = 0.0, confidence: float = 0.95
) -> Bound:
    """Return an epsilon below which one run shows no (epsilon, delta)-DP, from how many coins were guessed right.

    Parameters
    ----------
    correct, guesses : int
        Right guesses, and guesses made; their number and rank rule are fixed beforehand.
    canaries : int, optional
        Coins tossed, guessed or not; as many as guesses by default. Needed when delta > 0.
    delta : float
        In [0, 1).
    confidence : float
        In (1/2, 1).

    Raises
    ------
    InvalidParameter
        Unless ``0 <= correct <= guesses <= canaries`` and there is a guess.

    Notes
    -----
    Under epsilon-DP the right guesses are stochastically at most Bin(guesses, logistic(epsilon)), so a Clopper-Pearson
    limit of correct/guesses bounds logistic(epsilon). A delta adds ``2 m delta max_i P(v > B >= v - i) / i`` to the
    chance of v right guesses, for m canaries (arXiv 2305.08846, theorem 5.2). Rows must be independent records of one
    add-remove relation. It is a smoke test: at most ``logit(confidence^(1/guesses))`` can ever be shown.

    Examples
    --------
    >>> f"{one_run_bound(760, 1000).value:.10f}"
    '1.0290515354'
    """
    level = check_alpha("1 - confidence", 1 - confidence)
    delta = check_delta(delta)
    r = check_runs("guesses", guesses, least=1)
    v = check_runs("correct", correct, least=0)
    m = r if canaries is None else check_runs("canaries", canaries, least=r)
    if v > r:
        raise InvalidParameter("correct", str(v), f"at most {r} guesses")
    value = logit(float(lower_limit(v, r, level))) if delta == 0 else _largest_refuted(v, r, m, delta, level)
    counts = Counts(v, r, 0, 0)
    return Bound(
        max(0.0, value),
        f"{v:,} of {r:,} guesses about {m:,} canaries are right",
        counts,
        confidence,
        delta=delta,
        runs=1,
    )


def _largest_refuted(v: int, r: int, m: int, delta: float, level: float) -> float:
    """Return the largest epsilon for which so many right guesses have chance at most `level`: it grows with epsilon."""
    low, high = 0.0, _MOST_EPSILON
    if _chance(v, r, m, low, delta) > level:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(v, r, m, middle, delta) <= level else (low, middle)
    return low


def _chance(v: int, r: int, m: int, epsilon: float, delta: float) -> float:
    """Return an upper bound of the chance of at least v right guesses among r under (epsilon, delta)-DP."""
    from scipy.special import bdtrc, gammaln, xlog1py, xlogy

    right = logistic(epsilon)
    base = float(bdtrc(v - 1, r, right)) if v > 0 else 1.0
    below = np.arange(v - 1, -1, -1.0)
    log_pmf = gammaln(r + 1) - gammaln(below + 1) - gammaln(r - below + 1)
    pmf = np.exp(log_pmf + xlogy(below, right) + xlog1py(r - below, -right))
    steps = np.cumsum(pmf) / np.arange(1, v + 1)
    return base + 2 * m * delta * float(steps.max(initial=0.0))


def canary_guesses(included: ArrayLike, scores: ArrayLike, *, guesses: int) -> tuple[int, int]:
    """Return right guesses and guesses of the rank rule: the highest scores were in, the lowest were out.

    Parameters
    ----------
    included : array_like of bool, shape (m,)
        Which canaries were put in, by fair independent coins.
    scores : array_like, shape (m,)
        Higher for canaries that seem to be in, from the released output alone. Ties are broken by position.
    guesses : int
        How many to guess, half at either end; at most m.

    Examples
    --------
    >>> canary_guesses([True, False, True, False], [3.0, 0.5, 1.5, 1.0], guesses=2)
    (2, 2)
    """
    inside, values = np.asarray(included), np.asarray(scores, dtype=np.float64)
    if inside.ndim != 1 or inside.dtype != np.bool_ or values.shape != inside.shape:
        raise InvalidParameter("included", f"shapes {inside.shape} and {values.shape}", "one bool and score per canary")
    if not np.isfinite(values).all():
        raise InvalidParameter("scores", "NaN or infinity", "finite numbers")
    r = check_runs("guesses", guesses, least=1)
    if r > len(inside):
        raise InvalidParameter("guesses", str(r), f"at most {len(inside)} canaries")
    order = np.argsort(-values, kind="stable")
    ins = r - r // 2
    right = int(inside[order[:ins]].sum()) + int((~inside[order[len(order) - r // 2 :]]).sum())
    return right, r
