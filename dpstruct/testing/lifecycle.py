"""Charging, failing, rebuilding and saving: what a release does around its noise."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Budget, Plan, Release, Summary, load
from dpstruct.privacy import GDP
from dpstruct.testing.sources import Floats, Integers, ZeroNoise
from dpstruct.testing.strategies import corners, domain_of
from dpstruct.testing.violation import Data, same, violation

__all__ = ["Answers", "assert_charged", "assert_rebuilt", "budget_for", "default_answers"]

#: Everything that a release answers, for a bitwise comparison.
Answers = Callable[[Any], list[NDArray[Any]]]


def budget_for(plan: Plan[Any]) -> Budget:
    """Return a throw-away budget in memory that can pay for the plan."""
    delta = (plan.delta or 1e-6) if isinstance(plan.cost, GDP) else 0.0
    epsilon = plan.cost.epsilon(delta) if isinstance(plan.cost, GDP) else plan.cost.epsilon
    return Budget(epsilon * 1.001 + 1e-3, delta, neighbors=plan.neighbors, unit=plan.unit)


def default_answers(plan: Plan[Any], data: Data) -> Answers:
    """Return what asks a release for `query` and `error` at some points of the domain of the first argument."""
    domain = domain_of(plan.structure)
    if domain is None:
        points = data[0][(np.abs(data[0].reshape(len(data[0]), -1)) < 1e6).all(axis=1)][:20]
    else:
        ends = np.array(corners(domain))
        middle, reach = ends.mean(axis=0), ends.max(axis=0) - ends.min(axis=0)
        points = middle + np.random.default_rng(5).uniform(-0.3, 0.3, (20, ends.shape[1])) * reach

    def ask(release: Release) -> list[NDArray[Any]]:
        asked = [getattr(release, name) for name in ("query", "error") if callable(getattr(release, name, None))]
        return [np.asarray(question(points)) for question in asked]

    return ask


class _Watched(ZeroNoise):
    """No noise, but a look at the budget at every draw; the last draw may fail."""

    def __init__(self, budget: Budget, fail_at: int) -> None:
        super().__init__()
        self.budget, self.left, self.charged = budget, fail_at, True

    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        """Return zeros, or fail."""
        self.charged &= self.budget.spent > 0
        self.left -= 1
        if self.left == 0:
            raise _DrawFailed
        return super().draw(line, kind, scales, shape)


class _DrawFailed(Exception):
    """The random source broke, as a test asked it to."""


def assert_charged(plan: Plan[Any], summary: Summary[Any]) -> None:
    """Check that the plan's cost is charged, once, before the first draw, and stays charged when a draw fails."""
    for fail_at in (0, 1, len(plan.lines)):
        budget = budget_for(plan)
        failed = False
        with _Watched(budget, fail_at) as watch:
            try:
                budget.release(summary, cost=plan.cost)
            except _DrawFailed:
                failed = True
        log = budget.log()
        if not watch.charged or [entry.cost for entry in log] != [plan.cost]:
            raise violation(plan, "the plan's cost was not charged before the first draw", f"charged: {log}")
        if failed != (fail_at > 0) or log[0].status != ("failed" if failed else "done"):
            raise violation(plan, "a release whose noise failed was not recorded as failed", f"status: {log[0].status}")


def assert_rebuilt(plan: Plan[Any], summary: Summary[Any], answers: Answers) -> None:
    """Check that a release rebuilt from structure, transcript and receipt, or from its file, has the same answers."""
    release = budget_for(plan).release(summary, cost=plan.cost)
    receipt = release.receipt
    if (receipt.cost, receipt.charged, receipt.events) != (plan.cost, plan.cost, plan.events):
        raise violation(plan, "the receipt's price or noise is not the plan's")
    if (receipt.neighbors, receipt.unit) != (plan.neighbors, plan.unit):
        raise violation(plan, "the receipt names other neighbours or another unit than the plan")
    expected = answers(release)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "release.dps"
        release.save(path)
        loaded = load(path, structure=plan.structure)
    twin = type(release)(plan.structure, dict(release.transcript), receipt)
    for how, other in (("rebuilt from structure, transcript and receipt", twin), ("saved and loaded", loaded)):
        found = answers(other)
        if len(found) != len(expected) or not all(map(same, map(np.asarray, found), map(np.asarray, expected))):
            raise violation(plan, f"the release answers differently when {how}")
    if not all(map(same, map(np.asarray, answers(release)), map(np.asarray, expected))):
        raise violation(plan, "the release answers the same question differently the second time")
