"""Vectors as one number: a score learned from past runs, and the vectors common enough to stand for themselves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.models import Model, fit_models

__all__ = ["Projection", "first_part", "fit_projection"]

Floats = NDArray[np.float64]

_MOST_ROWS, _LEAST_ROWS, _LEAST_SHARE, _MOST_HEAVY = 60_000, 40, 0.02, 64
_BLOCK = 1 << 20  # entries scored at a time


@dataclass(frozen=True)
class Projection:
    """A fixed map of vectors to a score and to the index of a common vector, -1 for any other."""

    score: Model
    heavy: NDArray[np.int64]  # sorted hashes
    common: Floats  # the vectors themselves
    learned: bool  # whether the score was fitted, so that only later vectors judge it

    def __call__(self, rows: NDArray[Any]) -> tuple[Floats, NDArray[np.intp]]:
        """Return the score of each row and its index among the common vectors."""
        step = max(1, _BLOCK // rows.shape[1])
        found = [self._block(rows[i : i + step].astype(np.float64)) for i in range(0, max(1, len(rows)), step)]
        return np.concatenate([s for s, _ in found]), np.concatenate([h for _, h in found])

    def _block(self, rows: Floats) -> tuple[Floats, NDArray[np.intp]]:
        known = np.full(len(rows), -1, np.intp)
        if not len(rows):
            return np.empty(0), known
        if len(self.heavy):
            hashes = _hash(rows)
            near = np.minimum(np.searchsorted(self.heavy, hashes), len(self.heavy) - 1)
            known = np.where(self.heavy[near] == hashes, near, -1)
        scores = np.zeros(len(rows))
        if (known < 0).any():
            scores[known < 0] = self.score(rows[known < 0])
        return scores, known


def fit_projection(x: NDArray[Any], x2: NDArray[Any]) -> Projection:
    """Find the common vectors of the past, and learn from the others what tells x from x2.

    Parameters
    ----------
    x, x2 : ndarray, shape (m, k)
        Past vectors under either neighbour. The first two thirds, 60,000 of both at most, fit the models of
        `fit_models`; the last third chooses the one with the least log loss. Few other vectors are not worth a model.
    """
    past = [part.astype(np.float64) for part in (x, x2)]
    heavy, common = _heavy(np.concatenate([part[: _MOST_ROWS // 2] for part in past]))
    rows = [part[: first_part(len(part))][: _MOST_ROWS // 2] for part in past]
    if heavy.size:
        rows = [part[~np.isin(_hash(part), heavy)] for part in rows]
    if min(map(len, rows)) < max(_LEAST_ROWS, _LEAST_SHARE * min(map(len, past))):
        return Projection(_first_entry, heavy, common, False)
    judged = [part[first_part(len(part)) :][: _MOST_ROWS // 2] for part in past]
    best = min(fit_models(*rows), key=lambda model: _loss(model, *judged))
    return Projection(best, heavy, common, True)


def first_part(n: int) -> int:
    """Return how many of n past outputs a score is fitted to."""
    return 2 * n // 3


def _first_entry(rows: Floats) -> Floats:
    return rows[:, 0]


def _loss(model: Model, x: Floats, x2: Floats) -> float:
    """Return the log loss of a model that is read as log-odds."""
    losses = [np.logaddexp(0, -model(x)), np.logaddexp(0, model(x2))] if len(x) and len(x2) else [np.zeros(1)]
    return float(sum(part.mean() for part in losses))


def _hash(rows: Floats) -> NDArray[np.int64]:
    """Return a 64-bit hash of the bits of each row: a fixed function, so that a collision merges two bins, no more."""
    bits = np.ascontiguousarray(rows).view(np.uint64)
    odd = np.arange(1, 2 * bits.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (bits ^ (bits >> np.uint64(29))) * odd
    mixed ^= mixed >> np.uint64(32)
    return np.asarray((mixed * odd).sum(axis=1, dtype=np.uint64)).view(np.int64)


def _heavy(rows: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the hashes of rows that make up a hundredth of the past, at most 64, sorted; and these rows."""
    hashes, places, counts = np.unique(_hash(rows), return_index=True, return_counts=True)
    least = max(4, math.ceil(len(rows) / 100))
    order = np.argsort(-counts, kind="stable")[:_MOST_HEAVY]
    chosen = np.sort(order[counts[order] >= least])
    return hashes[chosen], rows[places[chosen]]
