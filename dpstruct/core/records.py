"""What the ledger store takes and returns: terms, charges, and its refusals."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from dpstruct.errors import InvalidParameter, InvalidType, LedgerError, NeighborsMismatch
from dpstruct.privacy import GDP, Filter, PureDP
from dpstruct.privacy import neighbors as relations

__all__ = ["Charge", "KeyReused", "OverBudget", "ReleasePurged", "Terms", "check_name", "check_units"]


@dataclass(frozen=True)
class Terms:
    """What a budget promises, fixed when it is opened; only an amendment changes total and epsilon.

    Parameters
    ----------
    measure : {"gdp", "pure-dp"}
        What adds up: mu^2 or epsilon.
    total : int
        The whole budget in units of 2^-100.
    epsilon, delta : float
        The same, as the user stated it.
    neighbors : object
        JSON value of the neighbour relation.
    unit : str
        Whose data one neighbour holds, such as ``"row"`` or ``"user"``.
    first : int, optional
        The total at opening, in the same units, if an amendment is in force: then `total` was not fixed in advance.
        Never stored with the terms.
    """

    measure: str
    total: int
    epsilon: float
    delta: float
    neighbors: object
    unit: str
    first: int | None = None

    @classmethod
    def of(cls, *, epsilon: float, delta: float = 0.0, neighbors: object, unit: str = "row") -> Terms:
        """Return the terms of an (epsilon, delta) budget: GDP if delta > 0, pure DP if delta = 0."""
        relation = relations.encode(relations.parse(neighbors))
        check_name("unit", unit)
        if isinstance(delta, (int, float)) and not isinstance(delta, bool) and delta == 0:
            return cls("pure-dp", PureDP(epsilon).units, float(epsilon), 0.0, relation, unit)
        return cls("gdp", GDP.from_approx_dp(epsilon, delta).units, float(epsilon), float(delta), relation, unit)

    @property
    def rule(self) -> Filter:
        """The rule that admits charges under this total."""
        return Filter((GDP if self.measure == "gdp" else PureDP).from_units(self.total))

    def stated(self) -> dict[str, object]:
        """Return the terms as an opening stores them: all but `first`."""
        return {name: value for name, value in asdict(self).items() if name != "first"}

    def demand(self, budget: str, given: Terms) -> None:
        """Raise unless `given` are these terms; whether they were amended does not matter."""
        for what in ("neighbors", "unit"):
            if (a := getattr(self, what)) != (b := getattr(given, what)):
                raise NeighborsMismatch(
                    f"budget {budget!r}: {what} is {a!r} in the ledger, {b!r} was given; open it as stored"
                )
        same = abs(self.total - given.total) * 10**9 <= self.total  # the last bits of a total depend on the machine
        for what in ("measure", "epsilon", "delta", "total"):
            if (a := getattr(self, what)) != (b := getattr(given, what)) and not (what == "total" and same):
                raise LedgerError(
                    f"budget {budget!r}: {what} is {a!r} in the ledger, {b!r} was given; open it as stored, or amend it"
                )


@dataclass(frozen=True)
class Charge:
    """A durable charge and what became of it.

    ``open``: no outcome yet. ``done``: released; `payload` holds the transcript if it was stored. ``failed``: charged,
    never to be released. ``purged``: released, the transcript deleted since.
    """

    uid: str
    seq: int
    at: str
    status: Literal["open", "done", "failed", "purged"]
    payload: bytes | None = field(default=None, repr=False)


class OverBudget(Exception):
    """The charge does not fit; nothing was written."""

    def __init__(self, spent: int, total: int) -> None:
        super().__init__(spent, total)
        self.spent, self.total = spent, total


class KeyReused(LedgerError):
    """A key names one release; another was asked for under the same key."""


class ReleasePurged(LedgerError):
    """The release under this key was deleted by its owner; it is never drawn again."""


def check_name(argument: str, value: object) -> None:
    """Raise unless `value` is a printable text that every part of the ledger can hold."""
    if not isinstance(value, str):
        raise InvalidType(argument, f"a {type(value).__name__}", "a string")
    if not (value.strip() and value.isprintable() and len(value) <= 1000):
        raise InvalidParameter(argument, "an empty, unprintable or overlong string", "1 to 1000 printable characters")


def check_units(argument: str, value: object) -> None:
    """Raise unless `value` is an integer > 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(argument, f"a {type(value).__name__}", "an integer in units of 2^-100")
    if value <= 0:
        raise InvalidParameter(argument, str(value), "an integer > 0 in units of 2^-100")
