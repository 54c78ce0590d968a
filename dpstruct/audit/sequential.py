"""`sequential_test`: refute a privacy claim by betting against it, stopping whenever the evidence suffices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.claims import Claim, ReadClaim, check_alpha, check_runs, check_seed, read_claim
from dpstruct.audit.events import EPSILON, MU, Event, Goal, best_event
from dpstruct.audit.experts import plane_bets, pure_bets, side_bets
from dpstruct.audit.partition import Partition, fit_partition, join_samples
from dpstruct.audit.portfolio import portfolio_bets
from dpstruct.audit.runs import Mechanism, Runner, Score, Trouble
from dpstruct.audit.symbols import Sample
from dpstruct.audit.verdict import Counts, Verdict, Witness
from dpstruct.audit.wording import spell_event
from dpstruct.privacy import GDP

__all__ = ["sequential_test"]

Floats = NDArray[np.float64]

_PILOT, _BATCH, _GROWTH = 100, 100, 0.3
_REFIT, _ROWS, _ENTRIES, _MOST_ENTRIES = 3, 40_000, 1 << 18, 1 << 24
_RESERVE = 0.1  # capital kept for a fresh start with separate calls


def sequential_test(
    mechanism: Mechanism,
    x: Any,
    x2: Any,
    claim: Claim,
    *,
    alpha: float = 1e-6,
    max_runs: int = 100_000,
    seed: int | None = None,
    score: Score | None = None,
) -> Verdict:
    """Refute a claim about one pair of neighbours, or stop at `max_runs`; a true claim survives with chance 1 - alpha.

    Parameters
    ----------
    mechanism : callable
        ``mechanism(data, n)`` gives n independent outputs: an array of shape (n,) or (n, k), or a list of anything. A
        callable of one argument, and one that ignores n, is called once for every output. It may raise.
    x, x2 : object
        Neighbouring data, passed on as they are.
    claim : PureDP, ApproxDP, GDP or list of pairs
        The claim under test; all pairs of a list are claimed together.
    alpha : float
        Chance that a true claim is refuted, however often and whenever one looks.
    max_runs : int
        Runs on both neighbours together, at least 100. A claim that stands costs a fifth more, at least 1,000 runs, for
        `Verdict.largest_open`.
    seed : int, optional
        Of the auditor's own coins: which neighbour each run is on.
    score : callable, optional
        Turns outputs, as the mechanism gives them, into one number each, such as a log likelihood ratio; floats are
        rounded to about nine digits, as errors of its arithmetic are no leak. Without it vectors are scored by logistic
        regression and boosted trees, fitted to past runs.

    Returns
    -------
    Verdict

    Raises
    ------
    InvalidParameter
        If a setting is out of range.

    Notes
    -----
    Bins, bets and batch sizes depend on past runs only; every bet has conditional mean at most 1 under the claim
    (`experts`, `portfolio`), so the average of their wealths reaches 1/alpha with chance at most alpha (Ville; arXiv
    1906.07801, 2210.01948). ``tests/audit/test_sequential.py`` runs it on mechanisms at the boundary of their claim.

    Examples
    --------
    >>> from dpstruct.privacy import PureDP
    >>> noise = np.random.default_rng(0)
    >>> half_the_noise = lambda count, n: count + noise.laplace(scale=0.5, size=n)
    >>> sequential_test(half_the_noise, 0, 1, PureDP(1.0), seed=1).rejected
    True
    """
    found = read_claim(claim)
    level, most, seed = check_alpha("alpha", alpha), check_runs("max_runs", max_runs), check_seed(seed)
    test = _Test(Runner(mechanism, x, x2, score), found, np.random.default_rng(seed))
    while test.used < most and test.log_e < -math.log(level):
        test.step(most - test.used)
    rejected = test.log_e >= -math.log(level)
    event, goal, delta = test.event(level)
    witness = Witness(test.spell(event), _counts(event, test.past))
    largest, fresh = (None, 0) if rejected else test.largest_open(event, goal, level, delta)
    bins = tuple(tuple(int(c) for c in row) for row in test.past)
    return Verdict(
        rejected, test.used, test.log_e, witness, largest, found.claim, level, most, seed,
        open_delta=delta, fresh_runs=fresh, bins=(bins[0], bins[1]),
    )  # fmt: skip


def _counts(event: Event, counts: Floats) -> Counts:
    hits, runs = counts[:, event.bins].sum(axis=1), counts.sum(axis=1)
    return Counts(int(hits[0]), int(runs[0]), int(hits[1]), int(runs[1]))


class _Test:
    """The state of one test: the past, and the wealth of each bet."""

    def __init__(self, runner: Runner, claim: ReadClaim, random: np.random.Generator) -> None:
        self.runner, self.claim, self.random = runner, claim, random
        self.used = self.fitted = self.seen = 0
        self.history: tuple[list[Sample], list[Sample]] | None = ([], [])
        self.partition: Partition | None = None
        self.past = np.zeros((2, 1))
        shares = _shares(claim)
        self.reserve = 0.0 if runner.separated else _RESERVE
        self.log_wealth = np.log(shares) + math.log1p(-self.reserve)

    @property
    def log_e(self) -> float:
        """Logarithm of all capital, the reserve included."""
        reserve = math.log(self.reserve) if self.reserve > 0 else -math.inf
        return float(np.logaddexp(np.logaddexp.reduce(self.log_wealth), reserve))

    def step(self, left: int) -> None:
        """Fix partition and bets, run one batch, settle, and only then learn from it."""
        pilot = self.partition is None
        size = min(left, _PILOT if pilot else max(_BATCH, int(_GROWTH * self.used)))
        bets = None if self.partition is None else _bets(self.past, self.claim, self.partition.ladder)
        batch = self._draw(size)
        self.used += size
        if batch is None:
            self._start_again(lost=not pilot)
            return
        if bets is not None and self.partition is not None:
            counts = np.stack([self.partition.count(sample) for sample in batch])
            self.log_wealth = self.log_wealth + (bets * counts).sum(axis=(1, 2))
            self.past += counts
        if self.runner.mixed:
            self._start_again(lost=False)
            return
        self.seen += size
        self._learn(batch)

    def _draw(self, size: int) -> tuple[Sample, Sample] | None:
        k = int(self.random.binomial(size, 0.5))
        try:
            return self.runner.draw(0, k), self.runner.draw(1, size - k)
        except Trouble:
            return None

    def _start_again(self, *, lost: bool) -> None:
        """Go on with separate calls. A batch that failed can not be settled: what was bet on it counts as lost."""
        self.runner.separate()
        if lost:
            self.log_wealth = np.full_like(self.log_wealth, -math.inf)
        fresh = np.log(_shares(self.claim)) + (math.log(self.reserve) if self.reserve else -math.inf)
        self.log_wealth = np.logaddexp(self.log_wealth, fresh)
        self.reserve = 0.0
        self.history, self.partition, self.fitted, self.seen = ([], []), None, 0, 0
        self.past = np.zeros((2, 1))

    def _learn(self, batch: tuple[Sample, Sample]) -> None:
        if self.history is None:
            return
        for past, new in zip(self.history, batch):
            past.append(new)
        if self.seen >= _REFIT * self.fitted:
            x, x2 = (join_samples(samples) for samples in self.history)
            self.history = ([x], [x2])
            self.partition, self.past = fit_partition(x, x2, bins=_bins(self.seen))
            self.fitted = self.seen
            if _REFIT * self.fitted > _kept_rows(x, x2):
                self.history = None

    def event(self, level: float) -> tuple[Event, Goal, float]:
        """Return the event to show, what it bounds, and at which delta."""
        if isinstance(self.claim.claim, GDP):
            return self._best_event(MU, level, 0.0), MU, 0.0
        found = []
        for epsilon, delta in self.claim.pairs:
            event = self._best_event(EPSILON, level, delta)
            (k1, k0), (n1, n0) = event.hits(self.past), self.past.sum(axis=1)[:: event.turn]
            excess = float(EPSILON.lower(k1, n1, k0, n0, level, delta)) - epsilon
            found.append((excess, delta, event))
        _, delta, event = max(found, key=lambda entry: entry[0])
        return event, EPSILON, delta

    def _best_event(self, goal: Goal, level: float, delta: float) -> Event:
        ladder = None if self.partition is None else self.partition.ladder
        return best_event(self.past, self.past, goal, level=level, delta=delta, ladder=ladder, ease=0.1)

    def spell(self, event: Event) -> str:
        """Return the event in words."""
        if self.partition is None:
            return "any output"
        return spell_event(self.partition, event.bins, scored=self.runner.score is not None)

    def largest_open(self, event: Event, goal: Goal, level: float, delta: float) -> tuple[float, int]:
        """Bound the violation on this event from a fresh block of a size fixed beforehand, and its size."""
        size = max(1000, self.used // 5)
        batch = None if self.partition is None else self._draw(size)
        if batch is None or self.partition is None:
            return math.inf, size
        counts = np.stack([self.partition.count(sample) for sample in batch]).astype(np.float64)
        (k1, k0), (n1, n0) = event.hits(counts), counts.sum(axis=1)[:: event.turn]
        return max(0.0, float(goal.upper(k1, n1, k0, n0, level, delta))), size


def _kept_rows(x: Sample, x2: Sample) -> int:
    """Return how many runs are kept to fit bins again: 40,000, more of single numbers, fewer of very wide vectors."""
    width = max((values[0].size for sample in (x, x2) for values in sample.values() if len(values)), default=1)
    return max(_ENTRIES // max(width, 1), min(_ROWS, _MOST_ENTRIES // max(width, 1)))


def _bins(runs: int) -> int:
    """Return how many intervals the past can carry: 24 from 400 runs on, growing slowly to 64."""
    return int(min(64, 24 * (runs / 400) ** 0.25, max(4, runs / 12)))


def _shares(claim: ReadClaim) -> Floats:
    """Return the starting capital of each bet: equal, and on a curve half of it for the portfolio."""
    if claim.pure:
        return np.full(7, 1 / 7)
    planes = 4 * len(claim.pairs)
    return np.concatenate([np.full(planes, 0.5 / planes), np.full(2, 0.25)])


def _bets(past: Floats, claim: ReadClaim, ladder: NDArray[np.intp]) -> Floats:
    if claim.pure:
        epsilon = claim.pairs[0][0]
        return np.concatenate([pure_bets(past, epsilon), side_bets(past, epsilon, ladder)])
    return np.concatenate([plane_bets(past, claim.pairs), portfolio_bets(past, claim.pairs)])
