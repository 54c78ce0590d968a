"""`Plan`: what a release will cost, how much noise it gets and how good it will be, from public values only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import blueprint
from dpstruct.domain import real
from dpstruct.errors import InvalidParameter, NeighborsMismatch, PlanViolation
from dpstruct.privacy import GDP, ApproxDP, PureDP, Relation
from dpstruct.privacy import neighbors as relations
from dpstruct.privacy.calibration import Kind, smallest_scale
from dpstruct.privacy.display import guarantee
from dpstruct.privacy.events import Event
from dpstruct.privacy.events import Line as EventLine
from dpstruct.privacy.laws import variance

if TYPE_CHECKING:
    from dpstruct.core.release import Release
    from dpstruct.core.structure import Group, Structure

__all__ = ["Plan", "Scales", "make_plan"]

R = TypeVar("R", bound="Release")

MAX_SCALE = 2.0**52


class Scales:
    """Look-ups by line name shared by `Plan` and `Receipt`: both carry the noise scales."""

    events: tuple[Event, ...]

    @property
    def lines(self) -> dict[str, tuple[str, EventLine]]:
        """Kind of noise and line by name, in the order of the transcript."""
        return {line.name: (event.kind, line) for event in self.events for line in event.lines}

    def scale(self, name: str) -> NDArray[np.float64]:
        """Noise scale of a line: shape ``(1,)``, or one per first-axis entry."""
        return np.array(self.lines[name][1].scales)

    def variance(self, name: str) -> NDArray[np.float64]:
        """Exact variance of the noise of a line: shape ``(1,)``, or one per first-axis entry."""
        kind, line = self.lines[name]
        return np.asarray(variance(kind, np.array(line.scales)), dtype=np.float64)


@dataclass(frozen=True, repr=False)
class Plan(Scales, Generic[R]):
    """The price and the noise of one release, known before the data.

    Attributes
    ----------
    structure : Structure
        The blueprint.
    cost : GDP or PureDP
        What the release costs; also the claim that an audit attacks.
    neighbors, unit
        The neighbour relation and whose data it is about.
    events : tuple of Event
        Per group of lines: kind of noise, joint sensitivity, weights and scales.
    delta : float
        The delta at which `epsilon` is quoted (0 under pure DP).
    """

    structure: Structure[R]
    cost: GDP | PureDP
    neighbors: Relation
    unit: str
    events: tuple[Event, ...]
    delta: float = 0.0

    @property
    def claim(self) -> GDP | PureDP:
        """The guarantee of the release on its own."""
        return self.cost

    @property
    def epsilon(self) -> float:
        """Epsilon of this release on its own at `delta`, rounded up."""
        if isinstance(self.cost, PureDP):
            return self.cost.epsilon
        return self.cost.epsilon(self.delta) if self.delta else math.inf

    @property
    def error(self) -> float:
        """Largest standard error of one answer, in the units of the answer."""
        return self.structure.worst_error(self)

    @property
    def guarantee(self) -> str:
        """The guarantee in words, with the neighbour relation and the unit."""
        return guarantee(self.cost, self.neighbors, self.unit, self.delta or None)

    def request(self) -> bytes:
        """Digest of everything that decides the release but the data: blueprint, scales, cost, relation, unit."""
        parts = {
            "structure": blueprint.encode(self.structure),
            "events": [event.encode() for event in self.events],
            "neighbors": relations.encode(self.neighbors),
            "unit": self.unit,
        }
        return hashlib.sha256(blueprint.canonical(parts)).digest()

    def __repr__(self) -> str:
        return f"<Plan for {self.structure}: {self.guarantee}; worst standard error of one answer {self.error:.6g}>"

    def __str__(self) -> str:
        rows = [
            f"plan for {self.structure}",
            f"  {self.guarantee}",
            f"  worst standard error of one answer: {self.error:.6g}",
        ]
        rows += [f"  {note}" for note in self.structure.notes(self)]
        for name, (kind, line) in self.lines.items():
            low, high = min(line.scales), max(line.scales)
            scale = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
            rows.append(f"  {name} {line.shape}: {kind}, scale {scale}")
        return "\n".join(rows)


def make_plan(
    structure: Structure[R],
    *,
    cost: GDP | PureDP | ApproxDP | None,
    epsilon: float | None,
    delta: float | None,
    error: float | None,
    neighbors: Relation | str,
    unit: str,
) -> Plan[R]:
    """Resolve the price and turn cost, shares and sensitivities into scales."""
    relation = relations.parse(neighbors)
    if not isinstance(unit, str) or not unit:
        raise InvalidParameter("unit", repr(unit), 'a name such as "row" or "user"')
    if unit != "row" and not structure.bounds_units:
        raise NeighborsMismatch(f"{type(structure).__name__} bounds single rows, not the rows of one {unit!r}")
    if sum(option is not None for option in (cost, epsilon, error)) != 1:
        raise InvalidParameter("cost, epsilon, error", "none or several of them", "exactly one")
    at = 0.0 if delta is None else real("delta", delta)
    if error is not None:
        return _cheapest(structure, real("error", error), at, relation, unit)
    if cost is None:
        cost = PureDP(epsilon) if at == 0.0 else GDP.from_approx_dp(epsilon, at)  # type: ignore[arg-type]
    elif isinstance(cost, ApproxDP):
        at, cost = cost.delta, cost.to_gdp()
    if not isinstance(cost, GDP | PureDP) or cost.units <= 0:
        raise InvalidParameter("cost", repr(cost), "a GDP or PureDP cost above zero")
    if at:
        GDP.from_approx_dp(1.0, at)  # delta out of range is refused whoever states it
    return _scaled(structure, cost, 0.0 if isinstance(cost, PureDP) else at, relation, unit)


def _scaled(structure: Structure[R], cost: GDP | PureDP, delta: float, relation: Relation, unit: str) -> Plan[R]:
    kind: Kind = "rounded-gaussian" if isinstance(cost, GDP) else "discrete-laplace"
    groups = structure.groups(cost, relation)
    _check_groups(groups)
    events = tuple(_event(kind, group, math.floor(cost.units * group.share)) for group in groups)
    plan = Plan(structure, cost, relation, unit, events, delta)
    _check_scales(plan)
    return plan


def _check_groups(groups: Sequence[Group]) -> None:
    names = [line.name for group in groups for line in group.lines]
    if len(set(names)) != len(names) or not all(name.isidentifier() for name in names):
        raise PlanViolation(f"line names must be distinct identifiers: {names}")
    if "n" in names:
        raise PlanViolation("the line name 'n' is kept for the public number of units")
    if not all(0 < group.share <= 1 for group in groups) or not 0 < sum(group.share for group in groups) <= 1:
        raise PlanViolation("the shares of a plan's groups must be positive and sum to at most 1")


def _event(kind: Kind, group: Group, units: int) -> Event:
    known: dict[Fraction, float] = {}
    lines = []
    for line in group.lines:
        weights = line.weight if isinstance(line.weight, tuple) else (line.weight,)
        if len(weights) > 1 and len(weights) != line.shape[0]:
            raise PlanViolation(f"line {line.name!r} has {len(weights)} weights for {line.shape[0]} first-axis entries")
        if len(set(weights)) == 1:
            weights = weights[:1]
        for weight in weights:
            if weight not in known:
                known[weight] = smallest_scale(kind, weight, group.sensitivity, units)
        lines.append(EventLine(line.name, line.shape, weights, tuple(known[w] for w in weights)))
    return Event(kind, group.sensitivity, tuple(lines))


def _check_scales(plan: Plan[Any]) -> None:
    for name, (_, line) in plan.lines.items():
        low, high = min(line.scales), max(line.scales)
        if low < 1 / MAX_SCALE or high > MAX_SCALE:
            needed = f"noise scales from 2**-52 to 2**52 (line {name!r} needs {low:.3g} to {high:.3g})"
            raise InvalidParameter("cost", repr(plan.cost), needed, "spend more" if high > 1 else "spend less")


def _cheapest(structure: Structure[R], error: float, delta: float, relation: Relation, unit: str) -> Plan[R]:
    """Return the cheapest plan whose worst error is at most `error`, by bisection on the price (0.01 % of it)."""
    if error <= 0:
        raise InvalidParameter("error", repr(error), "a positive standard error")
    make = GDP if delta else PureDP
    if delta:
        GDP.from_approx_dp(1.0, delta)
    low, high = 1e-6, 60.0  # worst_error falls as the price rises
    best = _scaled(structure, make(high), delta, relation, unit)
    if best.error > error:
        raise InvalidParameter("error", repr(error), f"at least {best.error:.6g}, what the largest price reaches")
    while high / low > 1.0001:
        middle = math.sqrt(low * high)
        try:
            plan = _scaled(structure, make(middle), delta, relation, unit)
        except InvalidParameter:  # more noise than the sampler takes: too cheap
            low = middle
            continue
        if plan.error <= error:
            best, high = plan, middle
        else:
            low = middle
    return best
