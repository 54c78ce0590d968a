"""What a claim says about one pair of neighbours, as points (epsilon, delta) of its privacy curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dpstruct.domain import real
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, ApproxDP, PureDP

__all__ = ["Claim", "ReadClaim", "check_alpha", "check_delta", "check_runs", "check_seed", "read_claim"]

Claim = PureDP | ApproxDP | GDP | Sequence[tuple[float, float]]

_POINTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_MOST = 500.0  # e^epsilon stays a double


@dataclass(frozen=True)
class ReadClaim:
    """A claim as the bets need it.

    Attributes
    ----------
    claim : PureDP, ApproxDP, GDP or tuple of pairs
        As the caller gave it.
    pairs : tuple of (float, float)
        Points (epsilon, delta), both directions of each being claimed.
    """

    claim: Any
    pairs: tuple[tuple[float, float], ...]

    @property
    def pure(self) -> bool:
        """Whether the claim is one epsilon at delta 0."""
        return len(self.pairs) == 1 and self.pairs[0][1] == 0

    @property
    def words(self) -> str:
        """The claim as a reader sees it."""
        if isinstance(self.claim, PureDP):
            return f"{self.claim.epsilon!r}-DP"
        if isinstance(self.claim, GDP):
            return f"{self.claim.mu!r}-GDP"
        return " and ".join(f"({e!r}, {d!r})-DP" for e, d in self.pairs)


def read_claim(claim: Claim) -> ReadClaim:
    """Return the claim with its points: those given, or eight on the curve of a Gaussian.

    Raises
    ------
    InvalidParameter
        If it is no measure and no list of pairs with finite epsilon in [0, 500] and delta in [0, 1).

    Notes
    -----
    Each point of a curve is a half-plane that supports the trade-off region (arXiv 1905.02383).

    Examples
    --------
    >>> from dpstruct.privacy import GDP
    >>> [f"{delta:.9f}" for _, delta in read_claim(GDP(1)).pairs[2:5:2]]
    ['0.238421708', '0.126936738']
    """
    if isinstance(claim, PureDP):
        return ReadClaim(claim, _check_pairs([(claim.epsilon, 0.0)]))
    if isinstance(claim, ApproxDP):
        return ReadClaim(claim, _check_pairs([(claim.epsilon, claim.delta)]))
    if isinstance(claim, GDP):
        if claim.units == 0:
            raise InvalidParameter("claim", "0-GDP", "a positive mu")
        return ReadClaim(claim, _points(claim))
    if isinstance(claim, str | bytes) or not isinstance(claim, Sequence):
        raise InvalidType("claim", f"a {type(claim).__name__}", "PureDP, ApproxDP, GDP or a list of (epsilon, delta)")
    pairs = _check_pairs(claim)
    return ReadClaim(pairs, pairs)


@lru_cache(maxsize=256)
def _points(claim: GDP) -> tuple[tuple[float, float], ...]:
    return tuple((claim.mu * t, claim.delta(claim.mu * t)) for t in _POINTS if claim.mu * t <= _MOST)


def _check_pairs(pairs: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    checked = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 2:
            raise InvalidType("claim", f"a {type(pair).__name__} in the list", "pairs (epsilon, delta)")
        epsilon, delta = real("epsilon", pair[0]), check_delta(pair[1])
        if not 0 <= epsilon <= _MOST:
            raise InvalidParameter("epsilon", repr(epsilon), f"a number in [0, {_MOST:g}]")
        checked.append((epsilon, delta))
    if not checked:
        raise InvalidParameter("claim", "no pairs", "at least one pair (epsilon, delta)")
    return tuple(checked)


def check_delta(delta: float) -> float:
    """Return delta, or raise unless it lies in [0, 1)."""
    value = real("delta", delta)
    if not 0 <= value < 1:
        raise InvalidParameter("delta", repr(delta), "a number in [0, 1)")
    return value


def check_alpha(argument: str, alpha: float) -> float:
    """Return a false-alarm rate, or raise unless it lies in (0, 1/2)."""
    value = real(argument, alpha)
    if not 0 < value < 0.5:
        raise InvalidParameter(argument, repr(alpha), "a number between 0 and 1/2")
    return value


def check_runs(argument: str, runs: int, *, least: int = 100) -> int:
    """Return a number of runs, or raise unless it is an integer of at least `least`."""
    if isinstance(runs, bool) or not hasattr(runs, "__index__"):
        raise InvalidType(argument, f"a {type(runs).__name__}", "an integer")
    value = int(runs)
    if value < least:
        raise InvalidParameter(argument, str(value), f"an integer of at least {least}")
    return value


def check_seed(seed: int | None) -> int:
    """Return the seed of the auditor's own coins; a fresh one if none is given."""
    if seed is None:
        import numpy as np

        return int(np.random.SeedSequence().generate_state(1)[0])
    return check_runs("seed", seed, least=0)
