r"""Bets that use all half-planes of a privacy curve together.

The bets f_j = 1 + lambda_j (W_j - m_j) of the single half-planes (see `experts`) are fair, so every mixture
sum_j w_j f_j with weights w >= 0 that add up to 1 is fair too, and it may grow although no f_j alone does. The weights
are fitted to the past by expectation maximisation (the growth-optimal portfolio of Cover, 1984), pulled to f_0 = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["portfolio_bets"]

Floats = NDArray[np.float64]

_PULLS, _STEPS, _BOLD = (5.0, 50.0), 60, 0.999


def portfolio_bets(past: Floats, pairs: Sequence[tuple[float, float]]) -> Floats:
    """Return two fair bets against a list of (epsilon, delta), one bold and one cautious.

    Parameters
    ----------
    past : ndarray, shape (2, B)
        Counts of earlier runs on x and x2 in each bin.
    pairs : sequence of (float, float)
        The claim, both directions of each point.

    Returns
    -------
    ndarray, shape (2, 2, B)
        Log factors, as in `experts.pure_bets`.
    """
    vertices = _vertices(past, pairs)
    mixed = np.tensordot(_mix(vertices.reshape(len(vertices), -1), past.ravel()), vertices, axes=1)
    return np.asarray(np.log(mixed))


def _vertices(past: Floats, pairs: Sequence[tuple[float, float]]) -> Floats:
    """Return the factors of doing nothing and of the boldest bet on each half-plane, shape (1 + 2 pairs, 2, B)."""
    odds, m = np.exp([e for e, _ in pairs])[:, None, None], np.array([d for _, d in pairs])[:, None, None] / 2
    vertices = [np.ones((1, *past.shape))]
    for turn in (1, -1):
        first, second = past[::turn]
        inside = first + 0.1 > odds * (second + 0.5)
        gain = inside * np.concatenate([np.ones_like(odds), -odds], axis=1)
        vertices.append((1 + _BOLD / (odds + m) * (gain - m))[:, ::turn])
    return np.concatenate(vertices)


def _mix(flat: Floats, counts: Floats) -> Floats:
    """Return growth-optimal weights on the past, with pseudo-runs in favour of not betting; one row for each number."""
    pulls = np.array(_PULLS)
    weights = np.full((len(pulls), len(flat)), 0.5 / (len(flat) - 1))
    weights[:, 0] = 0.5
    seen = counts > 0
    table, times, total = flat[:, seen], counts[seen], (counts.sum() + pulls)[:, None]
    for _ in range(_STEPS):
        weights *= (times / (weights @ table)) @ table.T
        weights[:, 0] += pulls
        weights /= total
    return weights
