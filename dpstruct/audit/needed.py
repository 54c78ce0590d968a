"""How many runs a test needs: limits that no test beats, to plan an audit and to judge one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.audit.claims import Claim, ReadClaim, check_alpha, read_claim
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, ApproxDP, Measure, PureDP

__all__ = ["runs_needed", "runs_to_distinguish"]

Floats = NDArray[np.float64]
Pair = tuple[ArrayLike, ArrayLike]

_CELLS, _EM_STEPS = 2000, 2000


def runs_needed(claim: Claim, alternative: Measure | Pair, alpha: float = 1e-6) -> float:
    """Return how many runs a valid test needs on average to refute `claim` if `alternative` is the truth.

    Learning the event costs more: plan 2 to 4 times as many for continuous outputs, and up to 15 times where truth and
    claim differ by a tenth.

    Parameters
    ----------
    claim : PureDP, ApproxDP, GDP or list of pairs
        The claim under test.
    alternative : PureDP, GDP or (p, q)
        The truth: the laws of the output under x and x2 as two vectors of chances, or a measure, which stands for the
        mechanism that uses it up: randomised response, a Gaussian.
    alpha : float
        False-alarm rate.

    Returns
    -------
    float
        ``ln(1/alpha) / G``; infinite where the truth keeps the claim.

    Notes
    -----
    Growth G per run. Pure claim, R = logistic(epsilon): ``sum_b (p_b + q_b)/2 kl(rho_b || R)`` over the bins whose
    larger share rho_b exceeds R, a limit for every test. A curve: the best mixture of bets on its half-planes, a limit
    for such tests. A Gaussian mu1 against mu0: ``(mu1 - mu0)^2 / 8``, a limit for every test.

    Examples
    --------
    >>> round(runs_needed(PureDP(1.0), PureDP(1.25)))
    2442
    """
    level, found = check_alpha("alpha", alpha), read_claim(claim)
    if isinstance(claim, GDP) and isinstance(alternative, GDP):
        growth = max(0.0, alternative.mu - claim.mu) ** 2 / 8
    else:
        growth = _growth(found, *_laws(alternative))
    return math.log(1 / level) / growth if growth > 0 else math.inf


def runs_to_distinguish(alternative: Measure | Pair, beta: float) -> tuple[float, float]:
    """Return two numbers between which lies how many runs tell x from x2 with error at most beta.

    ``ln(1/(4 beta)) / (2 ln(1/BC))`` and ``ln(1/(2 beta)) / ln(1/BC)``, BC the Bhattacharyya coefficient: about
    ``ln(1/beta)`` over the squared Hellinger distance (cf. arXiv 2405.06003). Parameters as in `runs_needed`.

    Examples
    --------
    >>> [round(m) for m in runs_to_distinguish(GDP(0.237), 0.01)]
    [229, 557]
    """
    level = check_alpha("beta", beta)
    if isinstance(alternative, GDP):
        rate = alternative.mu**2 / 8
    else:
        p, q = _laws(alternative)
        overlap = float(np.sqrt(p * q).sum())
        rate = -math.log(overlap) if overlap > 0 else math.inf
    if not rate > 0:
        return math.inf, math.inf
    return max(0.0, -math.log(4 * level)) / (2 * rate), -math.log(2 * level) / rate


def _laws(alternative: Any) -> tuple[Floats, Floats]:
    """Return the law of an output under x and x2 as vectors."""
    if isinstance(alternative, PureDP):
        right = 1 / (1 + math.exp(-alternative.epsilon))
        return np.array([right, 1 - right]), np.array([1 - right, right])
    if isinstance(alternative, GDP):
        from scipy.special import ndtr

        half = alternative.mu / 2
        edges = np.linspace(-half - 8, half + 8, _CELLS)
        above = [np.concatenate([[1.0], ndtr(-(edges - s)), [0.0]]) for s in (half, -half)]
        below = [np.concatenate([[0.0], ndtr(edges - s), [1.0]]) for s in (half, -half)]
        upper = edges > 0  # differences of the smaller tails
        p, q = (np.where(np.append(upper, True), -np.diff(r), np.diff(f)) for r, f in zip(above, below))
        return p, q
    if isinstance(alternative, ApproxDP) or not isinstance(alternative, tuple | list) or len(alternative) != 2:
        raise InvalidParameter("alternative", f"a {type(alternative).__name__}", "PureDP, GDP or a pair of vectors")
    p, q = (np.asarray(v, dtype=np.float64) for v in alternative)
    good = p.ndim == 1 and p.shape == q.shape and p.size and (p >= 0).all() and (q >= 0).all()
    if not good or abs(p.sum() - 1) > 1e-6 or abs(q.sum() - 1) > 1e-6:
        raise InvalidParameter("alternative", "vectors that are no laws", "two vectors of chances that add up to 1")
    return p, q


def _growth(claim: ReadClaim, p: Floats, q: Floats) -> float:
    if claim.pure:
        return _pure_growth(claim.pairs[0][0], p, q)
    planes = [_plane_growth(e, d, *laws) for e, d in claim.pairs for laws in ((p, q), (q, p))]
    return max([*planes, _joint_growth(claim, p, q)])


def _pure_growth(epsilon: float, p: Floats, q: Floats) -> float:
    from scipy.special import xlogy

    p, q = p[p + q > 0], q[p + q > 0]
    small = math.exp(-epsilon) / (1 + math.exp(-epsilon))
    rare = np.minimum(p, q) / (p + q)
    beyond = rare < small
    rare, mass = rare[beyond], (p + q)[beyond] / 2
    log_small, log_large = math.log(small), -math.log1p(math.exp(-epsilon))
    gain = xlogy(rare, rare) - rare * log_small + (1 - rare) * (np.log1p(-rare) - log_large)
    return float(mass @ gain)


def _plane_growth(epsilon: float, delta: float, p: Floats, q: Floats) -> float:
    """Return the best growth of one bet on one half-plane, over its event and its stake."""
    odds, m = math.exp(epsilon), delta / 2
    keep = p + q > 0
    p, q = p[keep], q[keep]
    order = np.argsort(-p / (p + q), kind="stable")
    a, b = np.cumsum(p[order])[:, None] / 2, np.cumsum(q[order])[:, None] / 2
    stake = np.geomspace(1e-4, 1 - 1e-6, 400) / (odds + m)
    growth = a * np.log1p(stake * (1 - m)) + b * np.log1p(-stake * (odds + m))
    growth += np.maximum(1 - a - b, 0) * np.log1p(-stake * m)
    return float(growth.max(initial=0.0))


def _joint_growth(claim: ReadClaim, p: Floats, q: Floats) -> float:
    """Return the growth of the best mixture of the boldest bets on all half-planes, by expectation maximisation."""
    vertices = [np.ones((2, len(p)))]
    for epsilon, delta in claim.pairs:
        odds, m = math.exp(epsilon), delta / 2
        for turn in (1, -1):
            first, second = (p, q)[::turn]
            inside = first > odds * second
            vertices.append((1 + (np.stack([inside * 1.0, -odds * inside]) - m) * (1 - 1e-9) / (odds + m))[::turn])
    table, chance = np.stack(vertices).reshape(len(vertices), -1), np.concatenate([p, q]) / 2
    table, chance = table[:, chance > 0], chance[chance > 0]
    weights = np.full(len(table), 1 / len(table))
    for _ in range(_EM_STEPS):
        weights = weights * (table @ (chance / (weights @ table)))
    return max(0.0, float(chance @ np.log(weights @ table)))
