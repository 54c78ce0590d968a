"""Rounded Gaussian noise on integers, claimed by its curve, by one point of it, or by a rule that does not hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Claim, Law, Mechanism, epsilon_at, mu_of_pair
from dpstruct.privacy import GDP, ApproxDP, PureDP
from dpstruct.privacy.laws import pmf

__all__ = ["cases"]

ADD, SUBSTITUTE = "add-remove", "substitute"
CURVE = "Dong, Roth, Su (2019), arXiv:1905.02383"
BALLE = "Balle, Wang (ICML 2018), arXiv:1805.06530"
JOHN = "arXiv:2408.06395"
Integers = NDArray[np.int64]


def _noise(rng: np.random.Generator, sigma: float, size: Any) -> Integers:
    return np.asarray(np.rint(rng.normal(0.0, sigma, size)), dtype=np.int64)


def _law(sigma: float, shift: int) -> tuple[list[int], Law]:
    """Outcomes and law of ``shift + noise`` against ``noise``, by tails that do not cancel."""
    grid = np.arange(-int(12 * sigma) - 1, int(12 * sigma) + shift + 2)
    return grid.tolist(), (pmf("rounded-gaussian", sigma, grid - shift), pmf("rounded-gaussian", sigma, grid))


def _case(
    name: str, sigma: float, shift: int, claim: Claim, relation: str, source: str, why: str, columns: int = 1
) -> Case:
    """Return the case of a record that adds `shift` to each column, all noised; if several, with mu before rounding."""
    pair = np.full((1, columns), shift), np.zeros((0 if relation == ADD else 1, columns), np.int64)
    outcomes, law = _law(sigma, shift)
    alternative: dict[str, Any] = {"alternative": law, "outcomes": outcomes} if columns == 1 else {}
    mu = mu_of_pair(law) if columns == 1 else shift * math.sqrt(columns) / sigma
    epsilon = None
    if isinstance(claim, GDP):
        broken = mu > claim.mu * (1 + 1e-9)
    else:
        delta = claim.delta if isinstance(claim, ApproxDP) else 0.0
        epsilon = epsilon_at(law, delta) if delta else math.inf
        broken = epsilon > claim.epsilon * (1 + 1e-9)
    draw = Mechanism(lambda rows, n, rng: _draw(rows, n, rng, sigma))
    return Case(
        name, draw, *pair, claim, relation, epsilon, source, broken, why, **alternative,
        true_mu=mu if epsilon is None else None,
    )  # fmt: skip


def _draw(rows: Integers, n: int, rng: np.random.Generator, sigma: float) -> Integers:
    total = rows.sum(axis=0)
    noisy = total + _noise(rng, sigma, (n, len(total)))
    return np.asarray(noisy[:, 0] if len(total) == 1 else noisy)


def _multiplicative() -> Case:
    """Return a weight times 1 + z, with z a Gaussian cut at +-1/2: the support moves with the weight."""
    sigma, claim = 0.1, ApproxDP(1.0, 1e-6)

    def draw(rows: Integers, n: int, rng: np.random.Generator) -> Integers:
        z = rng.normal(0.0, sigma, n)
        while (far := np.abs(z) > 0.5).any():
            z[far] = rng.normal(0.0, sigma, int(far.sum()))
        return np.asarray(np.rint(rows[-1] * (1 + z)).astype(np.int64))

    from scipy.special import ndtr

    pair, inside = (np.array([512]), np.array([460])), 1 - 2 * ndtr(-0.5 / sigma)
    grid = np.arange(229, 770)

    def law(w: int) -> NDArray[np.float64]:
        edges = np.clip((np.append(grid, grid[-1] + 1) - 0.5) / w - 1, -0.5, 0.5) / sigma
        left = np.diff(ndtr(edges))
        return np.asarray(np.where(edges[1:] <= 0, left, -np.diff(ndtr(-edges))) / inside)

    both: Law = (law(512), law(460))
    truth = epsilon_at(both, claim.delta)
    return Case("multiplicative-truncated-noise", Mechanism(draw), *pair, claim, SUBSTITUTE, truth, JOHN, True,
                "noise proportional to the weight it hides, with a support that moves with the weight", both,
                grid.tolist())  # fmt: skip


def cases() -> list[Case]:
    """Return the Gaussian mechanisms."""
    one = GDP(1.0)
    classic = math.sqrt(2 * math.log(1.25 / 0.1)) * 16 / 8  # shift 16, epsilon 8, delta 0.1
    return [
        _case("rounded-gaussian", 4.0, 4, one, ADD, CURVE, "sigma = sensitivity: exactly 1-GDP before rounding"),
        _case("rounded-gaussian-one-point", 4.0, 4, ApproxDP(1.5, GDP(1.0).delta(1.5)), ADD, BALLE,
              "claimed by one point of the curve"),
        _case("gaussian-vector", 32.0, 16, one, ADD, CURVE, "four lines share the budget: mu = 16 sqrt(4) / 32",
              columns=4),
        _case("gaussian-forgotten-composition", 16.0, 16, one, ADD, CURVE, "four lines, each with the whole budget",
              columns=4),
        _case("gaussian-25-percent", 3.2, 4, one, ADD, CURVE, "a fifth of the noise is missing"),
        _case("gaussian-variance-for-deviation", 2.0, 4, one, ADD, CURVE, "the square root of sigma as scale"),
        _case("gaussian-wrong-relation", 4.0, 8, one, SUBSTITUTE, CURVE,
              "the add-remove price for records that move by twice as much"),
        _case("gaussian-classic-rule", classic, 16, ApproxDP(8.0, 0.1), ADD, BALLE,
              "sqrt(2 ln(1.25/delta)) / epsilon holds for epsilon < 1 only; a million runs show it"),
        _case("gaussian-called-pure", 4.0, 4, PureDP(1.0), ADD, CURVE, "no finite epsilon holds without a delta"),
        _multiplicative(),
    ]  # fmt: skip
