"""`Case`: one mechanism, one pair of neighbours, what is claimed and what is true; and the laws that prove it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.privacy import GDP, ApproxDP, PureDP

__all__ = ["Case", "Claim", "Law", "Mechanism", "epsilon_at", "laplace_law", "mu_of_pair", "product_law", "two_sided"]

Claim = PureDP | ApproxDP | GDP
Probabilities = NDArray[np.float64]
Law = tuple[Probabilities, Probabilities]
Draw = Callable[[Any, int, np.random.Generator], Any]


@dataclass(frozen=True)
class Mechanism:
    """A test mechanism ``mechanism(data, n) -> n outputs``; NumPy's generator, never a release.

    Attributes
    ----------
    draw : callable
        ``draw(data, n, generator)`` returns n independent outputs: an array of length n, or a list.
    seed : int
        Of the generator, which goes on from call to call.
    """

    draw: Draw
    seed: int = 0
    _generator: np.random.Generator = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_generator", np.random.default_rng(self.seed))

    def __call__(self, data: Any, n: int) -> Any:
        """Return n outputs on the data."""
        return self.draw(data, n, self._generator)


@dataclass(frozen=True, eq=False)
class Case:
    """A mechanism with a claim, a pair of neighbours for which the truth is known, and the truth.

    Attributes
    ----------
    name : str
        Unique in the library.
    mechanism : Mechanism
        ``mechanism(data, n) -> n outputs``.
    x, x2 : ndarray
        Neighbouring datasets under `relation`, rows first.
    claim : PureDP, ApproxDP or GDP
        What the mechanism is said to satisfy.
    relation : {"add-remove", "substitute"}
        The neighbours of the claim.
    true_epsilon : float or None
        The smallest epsilon of this pair at the claim's delta (0 for a `PureDP` claim), infinite if there is none;
        None for a `GDP` claim.
    source : str
        Where the mechanism, or the mistake, was published.
    broken : bool
        Whether the pair refutes the claim.
    why : str
        The mistake, or the trap, in one sentence.
    alternative : (ndarray, ndarray) or None
        Exact probabilities of `outcomes` under x and x2: those of a statistic of the output that holds its whole
        likelihood ratio. None where the output is a continuous float or an exception.
    outcomes : sequence or None
        The values of that statistic, in the order of `alternative`.
    reduce : callable
        The statistic, from outputs to one value each; the outputs themselves by default.
    true_mu : float or None
        The smallest mu of this pair, for a `GDP` claim.
    """

    name: str
    mechanism: Mechanism
    x: Any
    x2: Any
    claim: Claim
    relation: str
    true_epsilon: float | None
    source: str
    broken: bool
    why: str
    alternative: Law | None = None
    outcomes: Sequence[Any] | None = None
    reduce: Callable[[Any], Any] = lambda outputs: outputs
    true_mu: float | None = None

    def seeded(self, seed: int) -> Case:
        """Return the same case with a fresh generator of this seed."""
        return replace(self, mechanism=Mechanism(self.mechanism.draw, seed))

    def __str__(self) -> str:
        truth = f"mu {self.true_mu:.6g}" if self.true_epsilon is None else f"epsilon {self.true_epsilon:.6g}"
        verdict = "broken" if self.broken else "correct"
        return f"{self.name} ({verdict}): claims {self.claim!r} for {self.relation}, true {truth}; {self.why}"


def two_sided(rng: np.random.Generator, t: float, size: Any) -> NDArray[np.int64]:
    """Return discrete Laplace noise, P(k) proportional to exp(-|k|/t): a difference of two geometric variables."""
    p = -math.expm1(-1.0 / t)
    return np.asarray(rng.geometric(p, size) - rng.geometric(p, size))


def laplace_law(t: float, k: Any) -> Probabilities:
    """Return ``tanh(1/(2t)) exp(-|k|/t)``."""
    return np.asarray(math.tanh(0.5 / t) * np.exp(-np.abs(k) / t), dtype=np.float64)


def product_law(*laws: Law) -> Law:
    """Return the joint law of independent parts, the last index running fastest."""
    p, q = laws[0]
    for a, b in laws[1:]:
        p, q = np.outer(p, a).ravel(), np.outer(q, b).ravel()
    return p, q


def epsilon_at(law: Law, delta: float = 0.0) -> float:
    """Return the smallest epsilon with ``sum max(0, p - e^epsilon q) <= delta``, in both directions.

    Examples
    --------
    >>> import numpy as np
    >>> round(epsilon_at((np.array([0.75, 0.25]), np.array([0.25, 0.75])), delta=0.25), 6)
    0.693147
    """
    return max(_one_way(law[0], law[1], delta), _one_way(law[1], law[0], delta), 0.0)


def _one_way(p: Probabilities, q: Probabilities, delta: float) -> float:
    ratio = np.divide(p, q, out=np.where(p > 0, np.inf, 0.0), where=q > 0)
    order = np.argsort(-ratio, kind="stable")
    ratio, above, below = ratio[order], np.cumsum(p[order]), np.cumsum(q[order])
    if delta == 0.0:
        return float(np.log(ratio[0])) if ratio[0] > 0 else -math.inf
    if above[-1] <= delta:
        return -math.inf
    with np.errstate(divide="ignore", invalid="ignore"):  # the sum over a prefix is at most delta from here on
        needed = np.where(above > delta, np.log(above - delta) - np.log(below), -np.inf)
    return float(np.max(needed))


def mu_of_pair(law: Law) -> float:
    """Return the smallest mu whose Gaussian trade-off curve lies below that of the pair (arXiv 1905.02383)."""
    from scipy.special import ndtri

    found = 0.0
    for p, q in (law, law[::-1]):
        order = np.argsort(-np.divide(p, q, out=np.full_like(p, np.inf), where=q > 0), kind="stable")
        head_p, head_q = np.cumsum(p[order]), np.cumsum(q[order])
        tail_p, tail_q = np.cumsum(p[order][::-1])[::-1], np.cumsum(q[order][::-1])[::-1]
        inner = (head_q[:-1] > 1e-13) & (tail_p[1:] > 1e-13)  # beyond, the sums are rounding
        lower = np.where(head_p[:-1] < 0.5, ndtri(head_p[:-1]), -ndtri(tail_p[1:]))
        upper = np.where(head_q[:-1] < 0.5, ndtri(head_q[:-1]), -ndtri(tail_q[1:]))
        found = max(found, float(np.max((lower - upper)[inner], initial=0.0)))
    return found
