"""The prices, words and rows of a budget's books: costs, previews, the log, and what a refusal says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from dpstruct.core.store import Entry
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, ApproxDP, Measure, PureDP
from dpstruct.privacy.display import remaining, round_down, round_up
from dpstruct.privacy.filters import Filter

if TYPE_CHECKING:
    from dpstruct.core.budget import Budget

__all__ = ["LogEntry", "Preview", "charged_for", "cost_of", "read_log", "refusal"]


@dataclass(frozen=True)
class Preview:
    """What a release would cost: `fits` says whether it is affordable, `remaining` what would be left."""

    cost: Measure
    fits: bool
    remaining: Measure


@dataclass(frozen=True)
class LogEntry:
    """One charge of a budget, with its share of the total and its status: "open", "done" or "failed"."""

    at: str
    uid: str
    structure: str
    label: str
    key: str | None
    cost: Measure
    share: float
    status: str


def cost_of(
    total: Measure, delta: float, cost: object, epsilon: float | None, share: float | Fraction | None
) -> GDP | PureDP:
    """Return the cost of a release that exactly one of the three options states."""
    if sum(option is not None for option in (cost, epsilon, share)) != 1:
        raise InvalidParameter("epsilon, share, cost", "none or several of them", "exactly one")
    if share is not None:
        return type(total).from_units(Filter(total).share_units(share))
    if epsilon is not None:
        return GDP.from_approx_dp(epsilon, delta) if delta else PureDP(epsilon)
    if isinstance(cost, ApproxDP) and delta:
        return cost.to_gdp()
    if not isinstance(cost, GDP | PureDP):
        expected = "GDP(mu), PureDP(epsilon) or ApproxDP(epsilon, delta)" if delta else "PureDP(epsilon)"
        raise InvalidType("cost", f"a {type(cost).__name__}", expected)
    if isinstance(cost, GDP) and not delta:
        remedy = "a pure budget (delta=0) pays for no Gaussian noise"
        raise InvalidParameter("cost", repr(cost), "PureDP(epsilon)", remedy)
    return cost


def charged_for(delta: float, cost: GDP | PureDP) -> Measure:
    """Return a cost in the currency of the budget: a pure one costs mu = 2 Phi^-1(e^eps / (1 + e^eps)) in GDP."""
    charged = GDP.from_pure(cost) if delta and isinstance(cost, PureDP) else cost
    if charged.units <= 0:
        raise InvalidParameter("epsilon, share, cost", "a cost of nothing", "a cost above zero")
    return charged


def read_log(entries: Sequence[Entry], total: Measure) -> list[LogEntry]:
    """Return the charges among the entries of one budget, oldest first, each with its outcome."""
    outcomes: dict[int | None, Entry] = {entry.ref: entry for entry in entries if entry.kind == "outcome"}
    log = []
    for entry in entries:
        if entry.kind != "charge" or entry.cost is None:
            continue
        outcome = outcomes.get(entry.seq)
        log.append(
            LogEntry(
                at=entry.at,
                uid=entry.uid,
                structure=str(entry.body.get("structure", "")),
                label=str(entry.body.get("label", "")),
                key=entry.key,
                cost=type(total).from_units(entry.cost),
                share=entry.cost / total.units,
                status="open" if outcome is None else str(outcome.body.get("status", "done")),
            )
        )
    return log


def refusal(budget: Budget, cost: Measure, charged: Measure, left: Measure) -> str:
    """Say what was asked, what remains and what would fit; nothing about data."""
    told, total = budget.delta or None, budget.total
    text = [
        f"budget {budget.name!r} can not pay for this release; nothing was charged",
        f"  asked:     {charged.claim(told)}, {round_up(Fraction(charged.units, total.units))} of the total",
        f"  remaining: {remaining(left, budget.neighbors, budget.unit, told)}",
        "  would fit: nothing, the budget is spent",
    ]
    share = Filter(total).largest_share(total.units - left.units)
    if share > 1e-9:
        text[-1] = f"  would fit: share={round_down(share)}"
        if type(cost) is type(charged):
            ratio = Fraction(charged.units, left.units)
            growth = math.sqrt(ratio) if isinstance(charged, GDP) else float(ratio)
            text[-1] += f", with {growth:.4g} times the noise"
    largest = sorted(budget.log(), key=lambda entry: -entry.cost.units)[:3]
    text += [f"  spent:     {e.label or e.structure}: {round_up(e.share)} of the total, {e.at}" for e in largest]
    return "\n".join(text)
