"""A second accountant: the price of a plan from the noise that was really asked for, and its claim in 50 digits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from dpstruct.core import Plan
from dpstruct.errors import NeighborsMismatch
from dpstruct.privacy import GDP, UNIT, Event, PureDP
from dpstruct.testing.lifecycle import budget_for
from dpstruct.testing.pairs import join
from dpstruct.testing.sources import RecordingNoise
from dpstruct.testing.violation import in_words, violation

__all__ = ["assert_accounted", "delta_in_digits"]


def assert_accounted(plan: Plan[Any]) -> Fraction:
    """Recompute what a release costs from the scales that reached the sampler, and check plan, receipt and claim.

    For every group of lines the price is its declared joint sensitivity times the largest ``w / s**2`` (Gaussian) or
    ``w / s`` (Laplace); groups add up. The sum must not exceed the cost; and delta at the claimed epsilon, evaluated
    in 50 digits, must not exceed the claimed delta.

    Parameters
    ----------
    plan : Plan
        The plan under test.

    Returns
    -------
    Fraction
        The recomputed price over the cost.

    Raises
    ------
    PrivacyViolation
        If plan, receipt or claim say less than what the noise costs.

    Notes
    -----
    The curve is that of arXiv 1805.06530 theorem 8; a pure release inside a Gaussian budget is charged by the chords of
    the Gaussian trade-off curve through its fixed point (arXiv 1905.02383).
    """
    structure = plan.structure
    budget = budget_for(plan)
    with RecordingNoise() as recorded:
        receipt = budget.release(structure.summarize(*join(structure, [], plan.unit)), cost=plan.cost).receipt
    scales = {draw.line: draw.scales.tolist() for draw in recorded.draws}
    total = Fraction(0)
    for event in plan.events:
        total += _price(event, scales)
    paid = receipt.events == plan.events and receipt.cost == plan.cost and receipt.charged.units >= plan.cost.units
    ratio = total * UNIT / plan.cost.units
    if ratio > 1:
        raise violation(plan, "the noise costs more than the plan says", f"recomputed: {in_words(ratio)} of the cost")
    if not paid:
        told = f"receipt: {receipt.cost!r}, charged {receipt.charged!r}"
        raise violation(plan, "the receipt differs from the plan", told)
    if (receipt.neighbors, receipt.unit) != (plan.neighbors, plan.unit):
        raise NeighborsMismatch("the receipt names other neighbours or another unit than the plan")
    _check_claim(plan, total)
    return ratio


def _price(event: Event, scales: dict[str, list[float]]) -> Fraction:
    power = 2 if event.kind == "rounded-gaussian" else 1
    worst = Fraction(0)
    for line in event.lines:
        used = scales[line.name]
        size = max(len(used), len(line.weights))
        pairs = set(zip(line.weights * (size // len(line.weights)), used * (size // len(used)), strict=True))
        worst = max(worst, *(weight / Fraction(scale) ** power for weight, scale in pairs))
    return event.sensitivity * worst


def _check_claim(plan: Plan[Any], price: Fraction) -> None:
    cost = plan.cost
    if isinstance(cost, PureDP):
        if price > Fraction(plan.epsilon):
            raise violation(plan, "the claimed epsilon is too small", f"epsilon: {plan.epsilon!r}")
        charged = GDP.from_pure(cost)
        if not _pure_fits(cost.epsilon, charged.mu):
            raise violation(plan, "a Gaussian budget would be charged too little", f"charged: {charged!r}")
        return
    delta = plan.delta or 1e-6
    epsilon = replace(plan, delta=delta).epsilon
    exact = delta_in_digits(epsilon, price)
    if exact > Fraction(delta):
        told = f"epsilon {epsilon!r} at delta {delta!r}; delta in 50 digits: {float(exact)!r}"
        raise violation(plan, "the claimed epsilon is too small", told)


def _context() -> Any:
    from mpmath.ctx_mp import MPContext

    new: Any = MPContext
    context = new()  # of its own: the shared one is not thread-safe
    context.dps = 50
    return context


def delta_in_digits(epsilon: float, price: Fraction) -> Fraction:
    """Return delta of a Gaussian mechanism with ``mu**2 = price`` at `epsilon`, to about 40 digits."""
    ctx = _context()
    mu = ctx.sqrt(ctx.mpf(price.numerator) / price.denominator)
    near, far = (ctx.erfc((epsilon / mu + side * mu / 2) / ctx.sqrt(2)) / 2 for side in (-1, 1))
    delta = near - ctx.exp(ctx.mpf(epsilon)) * far
    return Fraction(int(ctx.floor(delta * 2**200)), 2**200)


def _pure_fits(epsilon: float, mu: float) -> bool:
    """Whether mu is at least ``2 Phi^-1(e^epsilon / (1 + e^epsilon))``."""
    ctx = _context()
    return bool(ctx.erfc(ctx.mpf(mu) / 2 / ctx.sqrt(2)) / 2 <= 1 / (1 + ctx.exp(ctx.mpf(epsilon))))
