"""What an audit found: `Verdict`, `Bound`, and their words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dpstruct.privacy import GDP, ApproxDP, PureDP

__all__ = ["Bound", "Counts", "Verdict", "Witness"]

Bins = tuple[tuple[int, ...], tuple[int, ...]]


class Counts(NamedTuple):
    """How often an event happened: hits and runs under x, then under x2."""

    hits: int
    runs: int
    hits2: int
    runs2: int

    def __str__(self) -> str:
        return f"{self.hits:,} of {self.runs:,} under x, {self.hits2:,} of {self.runs2:,} under x2"


@dataclass(frozen=True)
class Witness:
    """The event that speaks loudest against a claim, and its counts.

    The event was chosen on these very counts: they show where to look. The evidence is the e-value.
    """

    event: str
    counts: Counts

    def __str__(self) -> str:
        return f"{self.event}: {self.counts}"


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `sequential_test` found.

    Attributes
    ----------
    rejected : bool
        Whether the claim is refuted. A correct claim is, with chance at most `alpha`.
    runs : int
        Runs of the mechanism, on x and x2 together, that the test used.
    log_e : float
        Natural logarithm of the evidence against the claim; ``-log(alpha)`` refutes it.
    witness : Witness
        The event that tells x from x2 best, in words, and its counts.
    largest_open : float or None
        Of a claim that stands: no violation above this on the witness event, by fresh runs and at level `alpha`. An
        epsilon (at `open_delta`), or a mu for a Gaussian claim.
    open_delta : float
        The delta of `largest_open`.
    fresh_runs : int
        Further runs, for `largest_open` alone.
    claim : PureDP, ApproxDP, GDP or tuple of pairs
        What was tested, for this one pair of neighbours.
    alpha, max_runs, seed
        As given; the seed was drawn if none was. It drives the auditor's coins, not the mechanism.
    bins : two tuples of int
        Counts in each bin under x and x2, for the trade-off plot.
    relation : str
        How x and x2 are related, where known.
    again : str
        A line that repeats the test.
    """

    rejected: bool
    runs: int
    log_e: float
    witness: Witness
    largest_open: float | None
    claim: Any
    alpha: float
    max_runs: int
    seed: int
    open_delta: float = 0.0
    fresh_runs: int = 0
    bins: Bins = field(default=((), ()))
    relation: str = ""
    again: str = ""

    @property
    def words(self) -> str:
        """The claim in words."""
        return claim_words(self.claim)

    @property
    def e_value(self) -> float:
        """The evidence itself, infinite where it exceeds the doubles."""
        return math.exp(self.log_e) if self.log_e < 709 else math.inf

    def __str__(self) -> str:
        outcome = "REFUTED" if self.rejected else "not refuted"
        lines = [f"{self.words} {outcome} at a false-alarm rate of {self.alpha:g}"]
        lines += [f"  pair: x and x2 are {self.relation}"] if self.relation else []
        lines += [f"  event: {self.witness}"]
        need = -math.log(self.alpha)
        lines += [f"  evidence: e-value {_power(self.log_e)} (log {self.log_e:.2f}, refuted from {need:.2f}),"]
        lines[-1] += f" {self.runs:,} runs"
        if self.largest_open is not None:
            lines += [f"  no violation above {self._open_words()} on this event, from {self.fresh_runs:,} fresh runs;"]
            lines[-1] += " other events, rarer ones, and other pairs stay open"
        lines += [f"  seed: {self.seed} (the auditor's coins; the mechanism draws its own noise)"]
        lines += [f"  again: {self.again or self._call()}"]
        return "\n".join(lines)

    def _open_words(self) -> str:
        assert self.largest_open is not None
        if isinstance(self.claim, GDP):
            return f"mu = {self.largest_open:.4g}"
        return f"epsilon = {self.largest_open:.4g}" + (f" at delta = {self.open_delta:g}" if self.open_delta else "")

    def _call(self) -> str:
        settings = f"alpha={self.alpha!r}, max_runs={self.max_runs}, seed={self.seed}"
        claim = list(self.claim) if isinstance(self.claim, tuple) else self.claim
        return f"audit.sequential_test(mechanism, x, x2, {claim!r}, {settings})"

    def __repr__(self) -> str:
        return f"Verdict(rejected={self.rejected}, runs={self.runs}, log_e={self.log_e:.4g}, claim={self.claim!r})"

    def to_html(self) -> str:
        """Return a page of its own: the words, the trade-off plot against the claim, and the numbers behind it."""
        from dpstruct.audit.pages import verdict_page

        return verdict_page(self)

    def _repr_html_(self) -> str:
        from dpstruct.audit.pages import fragment

        return fragment(str(self), self.bins, self.claim)


@dataclass(frozen=True, repr=False)
class Bound:
    """What `epsilon_bound`, `mu_bound` or `one_run_bound` found: the mechanism is not better than this.

    Attributes
    ----------
    value : float
        Lower bound of epsilon or mu; wrong with chance at most ``1 - confidence``. At least 0.
    event : str
        What was counted.
    counts : Counts
        Its counts, from runs that did not choose it.
    confidence : float
        Chance that the bound holds.
    of : str
        ``"epsilon"`` or ``"mu"``.
    delta : float
        The delta that epsilon goes with.
    runs : int
        Runs on x and x2 together, those that chose the event included.
    seed : int or None
        Of the auditor's coins.
    bins : two tuples of int
        Counts in each bin under x and x2, for the trade-off plot.
    again : str
        A line that repeats it.
    """

    value: float
    event: str
    counts: Counts
    confidence: float
    of: str = "epsilon"
    delta: float = 0.0
    runs: int = 0
    seed: int | None = None
    bins: Bins = field(default=((), ()))
    again: str = ""

    def __str__(self) -> str:
        # rounded down: this is what may be claimed
        figure = math.floor(self.value * 1e4) / 1e4 if math.isfinite(self.value) else self.value
        at = f" at delta = {self.delta:g}" if self.delta else ""
        lines = [f"{self.of} >= {figure:g}{at}, with confidence {self.confidence:g}"]
        lines += [f"  event: {self.event}" + (f": {self.counts}" if self.counts.runs2 else "")]
        if self.seed is not None:
            lines += [
                f"  {self.runs:,} runs; seed: {self.seed} (the auditor's coins; the mechanism draws its own noise)"
            ]
        lines += [f"  again: {self.again}"] if self.again else []
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Bound(value={self.value!r}, event={self.event!r}, counts={tuple(self.counts)}, of={self.of!r})"

    def to_html(self) -> str:
        """Return a page of its own: the words, the trade-off plot against the bound, and the numbers behind it."""
        from dpstruct.audit.pages import bound_page

        return bound_page(self)

    def _repr_html_(self) -> str:
        from dpstruct.audit.pages import fragment, measure_of

        return fragment(str(self), self.bins, measure_of(self))


def claim_words(claim: Any) -> str:
    """Return the claim in words."""
    if isinstance(claim, PureDP | ApproxDP | GDP):
        return repr(claim)
    return " and ".join(f"({epsilon!r}, {delta!r})-DP" for epsilon, delta in claim)


def _power(log: float) -> str:
    """Return e to the power of `log` in figures, however large."""
    if abs(log) < 700:
        return f"{math.exp(log):.3g}"
    power = log / math.log(10)
    return f"{10 ** (power - math.floor(power)):.3g}e{math.floor(power):+d}"
