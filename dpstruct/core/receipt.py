"""`Receipt`: what a release was charged, when, under which guarantee, with which noise; as public as the release."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from dpstruct.core.plan import Scales
from dpstruct.core.records import Terms
from dpstruct.errors import FileFormatError
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.privacy import neighbors as relations
from dpstruct.privacy.display import guarantee, round_up
from dpstruct.privacy.events import Event

__all__ = ["Receipt", "measure_from_json", "measure_to_json"]


def measure_to_json(measure: GDP | PureDP) -> dict[str, str]:
    """Return the JSON form of a cost: its name and its exact units."""
    return {"measure": "gdp" if isinstance(measure, GDP) else "pure-dp", "units": str(measure.units)}


def measure_from_json(value: Any) -> GDP | PureDP:
    """Rebuild a cost from JSON."""
    kinds: dict[str, type[GDP] | type[PureDP]] = {"gdp": GDP, "pure-dp": PureDP}
    try:
        units = str(value["units"])
        if not (units.isascii() and units.isdigit() and len(units) <= 40):
            raise ValueError("not a decimal integer")
        return kinds[value["measure"]].from_units(int(units))
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError("the receipt states no valid cost") from error


@dataclass(frozen=True, kw_only=True, repr=False)
class Receipt(Scales):
    """Record of one charge.

    Attributes
    ----------
    uid : str
        Random identifier of the charge, the same in the ledger.
    at : str
        When it was charged, UTC, ISO 8601.
    structure : str
        Name of the blueprint's class.
    cost : GDP or PureDP
        The guarantee of this release on its own.
    charged : GDP or PureDP
        The cost in the currency of the budget; equal to `cost` but for a pure release under a GDP budget.
    total : GDP or PureDP
        The budget's total: the guarantee of everything ever released from it, together.
    epsilon, delta : float
        The budget's total as the owner stated it.
    neighbors, unit : Relation, str
        The relation and whose data it is about.
    budget, label : str
        Names of the budget and, if given, of this release.
    events : tuple of Event
        Noise kind, sensitivity, weights and scales of every line.
    noise : str
        Source of the random words; ``"injected"`` if a test supplied the noise, which protects nothing.
    version : str
        Version of dpstruct that drew the noise.
    """

    uid: str
    at: str
    structure: str
    cost: GDP | PureDP
    charged: GDP | PureDP
    total: GDP | PureDP
    epsilon: float
    delta: float
    neighbors: Relation
    unit: str
    budget: str
    label: str
    events: tuple[Event, ...]
    noise: str
    version: str

    @property
    def guarantee(self) -> str:
        """The guarantee of this release on its own, in words."""
        return guarantee(self.cost, self.neighbors, self.unit, self.delta or None)

    def __repr__(self) -> str:
        share = round_up(Fraction(100 * self.charged.units, self.total.units))
        note = f" ({self.label})" if self.label else ""
        return (
            f"<Receipt {self.uid[:16]} of {self.structure}{note}: {self.guarantee}; charged {share} % of budget "
            f"{self.budget!r} at {self.at}; noise: {self.noise}>"
        )

    def to_json(self) -> dict[str, object]:
        """Return the JSON form; exact numbers are written as text."""
        plain = {name: getattr(self, name) for name in _TEXT}
        return plain | {
            "cost": measure_to_json(self.cost),
            "charged": measure_to_json(self.charged),
            "total": measure_to_json(self.total),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "neighbors": relations.encode(self.neighbors),
            "events": [event.encode() for event in self.events],
        }

    @classmethod
    def from_json(cls, value: Any) -> Receipt:
        """Rebuild a receipt, checking every field.

        Raises
        ------
        FileFormatError
            If a field is missing, unknown or malformed.
        """
        expected = {*_TEXT, "cost", "charged", "total", "epsilon", "delta", "neighbors", "events"}
        if not isinstance(value, dict) or set(value) != expected:
            raise FileFormatError("the receipt does not have the fields of format version 1")
        if not all(isinstance(value[name], str) and len(value[name]) <= 1000 for name in _TEXT):
            raise FileFormatError("a text field of the receipt is malformed")
        if not all(type(value[name]) is float and value[name] >= 0 for name in ("epsilon", "delta")):
            raise FileFormatError("the receipt's epsilon or delta is malformed")
        if not isinstance(value["events"], list) or not value["events"]:
            raise FileFormatError("the receipt lists no noise")
        try:
            events = tuple(Event.decode(event) for event in value["events"])
            relation = relations.decode(value["neighbors"])
        except (ValueError, TypeError, KeyError) as error:
            raise FileFormatError(f"the receipt is malformed: {error}") from error
        receipt = cls(
            **{name: value[name] for name in _TEXT},
            cost=measure_from_json(value["cost"]),
            charged=measure_from_json(value["charged"]),
            total=measure_from_json(value["total"]),
            epsilon=value["epsilon"],
            delta=value["delta"],
            neighbors=relation,
            events=events,
        )
        receipt._check()
        return receipt

    def _check(self) -> None:
        """Refuse amounts that no budget could have had."""
        try:
            terms = Terms.of(epsilon=self.epsilon, delta=self.delta, neighbors=self.neighbors, unit=self.unit)
        except ValueError as error:
            raise FileFormatError(f"the receipt states no valid budget: {error}") from error
        measure = "gdp" if isinstance(self.total, GDP) else "pure-dp"
        if measure != terms.measure or abs(self.total.units - terms.total) > 1e-9 * terms.total:
            raise FileFormatError("the receipt's total is not that of its epsilon and delta")
        if type(self.charged) is not type(self.total) or not 0 < self.charged.units <= self.total.units:
            raise FileFormatError("the receipt was charged nothing, or more than the total of its budget")
        if self.cost.units <= 0:
            raise FileFormatError("the receipt states a cost of nothing")


_TEXT = ("uid", "at", "structure", "unit", "budget", "label", "noise", "version")
