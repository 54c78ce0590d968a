"""`epsilon_bound` and `mu_bound`: how bad a mechanism is at least, from a fixed number of runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.claims import check_alpha, check_delta, check_runs, check_seed
from dpstruct.audit.events import EPSILON, MU, Goal, best_event
from dpstruct.audit.partition import Partition, fit_partition, join_samples
from dpstruct.audit.runs import Mechanism, Runner, Score, Trouble
from dpstruct.audit.symbols import Sample
from dpstruct.audit.verdict import Bound, Counts
from dpstruct.audit.wording import spell_event

__all__ = ["epsilon_bound", "mu_bound"]

Floats = NDArray[np.float64]

_TRAINING, _BINS, _TAILS = 0.3, 64, (0.001, 0.003, 0.997, 0.999)
_CAUTIOUS = 1e-3  # level of the predicted bound that picks the event
_BLOCK = 1 << 18  # runs counted at a time


def epsilon_bound(
    mechanism: Mechanism,
    x: Any,
    x2: Any,
    *,
    runs: int,
    delta: float = 0.0,
    confidence: float = 0.95,
    seed: int | None = None,
    score: Score | None = None,
) -> Bound:
    """Return an epsilon below which the mechanism is not (epsilon, delta)-DP, wrong with chance 1 - confidence.

    Parameters
    ----------
    mechanism, x, x2, seed, score
        As in `sequential_test`.
    runs : int
        Runs on both neighbours together, at least 100: 30 % choose the event, the others count it.
    delta : float
        In [0, 1). A small delta without a curve needs many runs: prefer `mu_bound` for a Gaussian mechanism.
    confidence : float
        In (1/2, 1).

    Returns
    -------
    Bound

    Raises
    ------
    InvalidParameter
        If a setting is out of range.

    Notes
    -----
    With p = P(event | x), q = P(event | x2) and labels drawn by fair coins, a hit is labelled x with chance p/(p+q),
    at most logistic(epsilon) under epsilon-DP; one Clopper-Pearson limit bounds it. With delta > 0, two limits at half
    the level give ``ln((p - delta)/q)`` and ``ln((1 - q - delta)/(1 - p))``.

    Examples
    --------
    >>> noise = np.random.default_rng(0)
    >>> laplace = lambda count, n: count + noise.laplace(size=n)
    >>> 0.8 < epsilon_bound(laplace, 0, 1, runs=20_000, seed=1).value < 1.0
    True
    """
    delta = check_delta(delta)
    return _bound(EPSILON, Runner(mechanism, x, x2, score), runs, delta, confidence, seed)


def mu_bound(
    mechanism: Mechanism,
    x: Any,
    x2: Any,
    *,
    runs: int,
    confidence: float = 0.95,
    seed: int | None = None,
    score: Score | None = None,
) -> Bound:
    """Return a mu below which the mechanism is not mu-GDP, wrong with chance 1 - confidence.

    It refutes Gaussian claims; it is no (epsilon, delta) bound. Parameters as in `epsilon_bound`; the bound is
    ``Phi^-1(p) - Phi^-1(q)`` with Clopper-Pearson limits of p and q at half the level each (arXiv 2302.07956).

    Examples
    --------
    >>> noise = np.random.default_rng(0)
    >>> gaussian = lambda count, n: count + noise.normal(size=n)
    >>> 0.8 < mu_bound(gaussian, 0, 1, runs=20_000, seed=1).value < 1.0
    True
    """
    return _bound(MU, Runner(mechanism, x, x2, score), runs, 0.0, confidence, seed)


def _bound(goal: Goal, runner: Runner, runs: int, delta: float, confidence: float, seed: int | None) -> Bound:
    runs, seed = check_runs("runs", runs), check_seed(seed)
    level = check_alpha("1 - confidence", 1 - confidence)
    random = np.random.default_rng(seed)
    training = int(_TRAINING * runs)
    halves = _train(runner, random, training)
    ordering, judging = (tuple(join_samples(part) for part in half) for half in halves)
    partition, first = fit_partition(ordering[0], ordering[1], bins=_BINS, tails=_TAILS)
    second = _count(partition, judging)
    cautious = level if delta else min(level, _CAUTIOUS)
    event = best_event(first, second, goal, level=cautious, delta=delta, ladder=partition.ladder)
    counts, adverse = np.zeros((2, partition.size)), np.zeros((2, 2))
    left = runs - training
    while left:
        size = min(left, _BLOCK)
        k = int(random.binomial(size, 0.5))
        for world, n in ((0, k), (1, size - k)):
            try:
                counts[world] += partition.count(runner.draw(world, n))
            except Trouble:  # what came out is unknown: count it against the bound
                likelier = world == (0 if event.turn == 1 else 1)
                adverse[world] += (0 if likelier else n, n)
        left -= size
    hits, total = counts[:, event.bins].sum(axis=1) + adverse[:, 0], counts.sum(axis=1) + adverse[:, 1]
    (k1, k0), (n1, n0) = hits[:: event.turn], total[:: event.turn]
    value = max(0.0, float(np.nan_to_num(goal.lower(k1, n1, k0, n0, level, delta), neginf=0.0, nan=0.0)))
    return Bound(
        value,
        spell_event(partition, event.bins, scored=runner.score is not None),
        Counts(int(hits[0]), int(total[0]), int(hits[1]), int(total[1])),
        confidence, goal.name, delta, runs, seed,
        bins=(tuple(map(int, counts[0])), tuple(map(int, counts[1]))),
    )  # fmt: skip


def _train(runner: Runner, random: np.random.Generator, runs: int) -> list[tuple[list[Sample], list[Sample]]]:
    """Return two halves of training samples under x and x2; after trouble all of them from separate calls."""
    while True:
        halves: list[tuple[list[Sample], list[Sample]]] = []
        try:
            for size in (runs - runs // 2, runs // 2):
                k = int(random.binomial(size, 0.5))
                halves.append(([runner.draw(0, k)], [runner.draw(1, size - k)]))
        except Trouble:
            runner.separate()
            continue
        if not runner.mixed:
            return halves
        runner.separate()


def _count(partition: Partition, samples: tuple[Sample, ...]) -> Floats:
    return np.stack([partition.count(sample) for sample in samples]).astype(np.float64)
