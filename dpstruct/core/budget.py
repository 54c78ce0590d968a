"""`Budget`: a total that is fixed in advance, and the one door through which releases leave."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from dpstruct._version import __version__
from dpstruct.core import blueprint, door, files
from dpstruct.core.accounts import LogEntry, Preview, charged_for, cost_of, read_log, refusal
from dpstruct.core.hooks import _noise_source
from dpstruct.core.plan import Plan
from dpstruct.core.receipt import Receipt, measure_to_json
from dpstruct.core.store import Charge, OverBudget, ReleasePurged, Store, Terms
from dpstruct.core.summary import Summary
from dpstruct.errors import BudgetExceeded, InvalidParameter, InvalidType, LedgerError, PlanViolation
from dpstruct.privacy import GDP, ApproxDP, Measure, PureDP, Relation
from dpstruct.privacy import neighbors as relations
from dpstruct.privacy.display import guarantee, remaining, round_up
from dpstruct.privacy.filters import Filter

if TYPE_CHECKING:
    from dpstruct.core.release import Release

__all__ = ["Budget"]

R = TypeVar("R", bound="Release")


class Budget:
    """A privacy budget that no sequence of releases can exceed, whatever is chosen in the light of earlier ones.

    Everything released from one budget, together, satisfies its total: mu-GDP and hence (epsilon, delta)-DP if
    ``delta > 0``, epsilon-DP if ``delta = 0``. Copies are the same budget. This one lives in memory; see `Ledger` for
    one that outlives the process.

    Parameters
    ----------
    epsilon : float
        Total epsilon, > 0.
    delta : float
        Total delta: 0 for pure DP, else between 1e-15 and 0.1.
    neighbors : {"add-remove", "substitute"} or RowsWithin
        What two neighbouring datasets differ in.
    unit : str
        Whose data that is: ``"row"``, or a name such as ``"user"`` for blueprints that bound a group of rows.

    Raises
    ------
    InvalidParameter
        If a number is not finite and positive, out of range, or the relation unknown.

    Notes
    -----
    The rule is ``spent + cost <= total``, in exact integers, in the currency that adds: mu^2 or epsilon. That it holds
    for costs chosen adaptively is the filter theorem of arXiv 2210.17520 and 2209.15596. Epsilons at a delta do not add
    up; shares of the total do.

    Examples
    --------
    >>> budget = Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove")
    >>> budget.remaining.epsilon(1e-6) <= 2.0
    True
    """

    __slots__ = ("_name", "_store", "_terms")

    def __init__(self, epsilon: float, delta: float = 0.0, *, neighbors: Relation | str, unit: str = "row") -> None:
        terms = Terms.of(epsilon=epsilon, delta=delta, neighbors=neighbors, unit=unit)
        self._store, self._name, self._terms = Store(), "memory", terms
        self._store.open(self._name, terms)

    @classmethod
    def _on(cls, store: Store, name: str) -> Budget:
        self = cls.__new__(cls)
        self._store, self._name, self._terms = store, name, store.terms(name)
        return self

    # ---- public facts ----------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name in the ledger; ``"memory"`` for a budget in memory."""
        return self._name

    @property
    def epsilon(self) -> float:
        """Total epsilon as stated."""
        return self._store.terms(self._name).epsilon

    @property
    def delta(self) -> float:
        """Total delta as stated; 0 under pure DP."""
        return self._terms.delta

    @property
    def neighbors(self) -> Relation:
        """The neighbour relation."""
        return relations.decode(self._terms.neighbors)

    @property
    def unit(self) -> str:
        """Whose data the guarantee is about."""
        return self._terms.unit

    @property
    def total(self) -> Measure:
        """The whole budget in the currency that adds."""
        return self._measure(self._store.terms(self._name).total)

    @property
    def remaining(self) -> Measure:
        """The largest single further cost, rounded down: ``release(..., cost=budget.remaining)`` fits."""
        left = self._left()
        kind, floor = type(left), left.floor
        return kind(floor) if floor >= (1e-6 if self.delta else 2.0**-100) else kind.from_units(0)

    def _left(self) -> Measure:
        return Filter(self.total).remaining(self._store.spent(self._name))

    @property
    def spent(self) -> float:
        """Share of the total that was charged, rounded up: bookkeeping; the guarantee is always the total."""
        share = Fraction(self._store.spent(self._name), self._store.terms(self._name).total)
        return float(share) if Fraction(float(share)) >= share else math.nextafter(float(share), math.inf)

    @property
    def guarantee(self) -> str:
        """The guarantee of everything ever released from this budget, in words.

        If the total was ever amended the words say so: a total is a guarantee only if it was fixed in advance.
        """
        terms, told = self._store.terms(self._name), self.delta or None
        words = guarantee(self._measure(terms.total), self.neighbors, self.unit, told)
        if terms.first is None:
            return words
        return (
            f"{words} (amended from {self._measure(terms.first).claim(told)}; proved for totals fixed in advance only)"
        )

    def _measure(self, units: int) -> Measure:
        return GDP.from_units(units) if self._terms.measure == "gdp" else PureDP.from_units(units)

    # ---- the price -------------------------------------------------------------------------------------------------

    def preview(
        self,
        cost: GDP | PureDP | ApproxDP | None = None,
        *,
        epsilon: float | None = None,
        share: float | Fraction | None = None,
    ) -> Preview:
        """Return what a release at this price would be charged and leave; charges nothing."""
        charged = charged_for(self.delta, cost_of(self.total, self.delta, cost, epsilon, share))
        left = self._left().units - charged.units
        return Preview(charged, left >= 0, self._measure(max(0, left)))

    # ---- the door --------------------------------------------------------------------------------------------------

    def release(
        self,
        summary: Summary[R],
        *,
        epsilon: float | None = None,
        share: float | Fraction | None = None,
        cost: GDP | PureDP | ApproxDP | None = None,
        key: str | None = None,
        label: str = "",
    ) -> R:
        """Charge the budget, add noise once, and return the private structure.

        The charge is durable before any noise is drawn; whatever fails after it stays charged.

        Parameters
        ----------
        summary : Summary
            The sealed sums of one blueprint.
        epsilon : float, optional
            The price as the epsilon of this release on its own at the budget's delta. Such epsilons do not add up.
        share : float or Fraction, optional
            The price as a share of the *total* in the currency that adds (mu^2 or epsilon), in (0, 1]. Shares add up;
            0.2 is read as 1/5.
        cost : GDP, PureDP or ApproxDP, optional
            The price itself. A pure cost under a GDP budget gets Laplace noise.
        key : str, optional
            Names this release for retries: the same request under the same key returns the stored release and is
            charged once, also after a crash. Only then is the transcript kept in the ledger.
        label : str
            A public note for receipt and log.

        Returns
        -------
        Release
            Of the class that the blueprint names; nothing in it refers to the data.

        Raises
        ------
        BudgetExceeded
            If the cost does not fit; nothing is charged.
        NeighborsMismatch
            If the blueprint does not bound this budget's unit.
        LedgerError
            If the ledger fails, or the key belongs to another request or to a failed or purged release.
        """
        if not isinstance(summary, Summary):
            raise InvalidType("summary", f"a {type(summary).__name__}", "what structure.summarize(...) returned")
        if not isinstance(label, str) or len(label) > 1000:
            raise InvalidParameter("label", f"a {type(label).__name__}", "a text of at most 1000 characters")
        if self._store.durable and _noise_source.get() is not None:
            raise PlanViolation("a budget in a ledger refuses noise that a test injects; use Budget(...) in memory")
        price = cost_of(self.total, self.delta, cost, epsilon, share)
        charged = charged_for(self.delta, price)
        plan = summary.structure.plan(cost=price, delta=self.delta or None, neighbors=self.neighbors, unit=self.unit)
        body = self._body(plan, label)
        charge = self._charge(plan, charged, body, key)
        receipt = self._receipt(plan, charge, charged, body)
        return self._finish(summary, plan, charge, receipt, key)

    def _body(self, plan: Plan[Any], label: str) -> dict[str, object]:
        return {
            "structure": type(plan.structure).__name__,
            "blueprint": blueprint.digest(plan.structure),
            "cost": measure_to_json(plan.cost),
            "events": [event.encode() for event in plan.events],
            "neighbors": relations.encode(plan.neighbors),
            "unit": plan.unit,
            "label": label,
            "noise": door.noise_label(),
            "pid": os.getpid(),
            "version": __version__,
        }

    def _charge(self, plan: Plan[Any], charged: Measure, body: Mapping[str, object], key: str | None) -> Charge:
        try:
            return self._store.charge(self._name, cost=charged.units, request=plan.request(), body=body, key=key)
        except OverBudget as over:
            raise BudgetExceeded(
                refusal(self, plan.cost, charged, self._measure(max(0, over.total - over.spent)))
            ) from None

    def _receipt(self, plan: Plan[R], charge: Charge, charged: Measure, body: Mapping[str, Any]) -> Receipt:
        terms = self._store.terms(self._name)
        return Receipt(
            uid=charge.uid,
            at=charge.at,
            structure=body["structure"],
            cost=plan.cost,
            charged=charged,
            total=self._measure(terms.total),
            epsilon=terms.epsilon,
            delta=terms.delta,
            neighbors=plan.neighbors,
            unit=plan.unit,
            budget=self._name if terms.first is None else f"{self._name} (total amended)",
            label=body["label"],
            events=plan.events,
            noise=body["noise"],
            version=__version__,
        )

    def _finish(self, summary: Summary[R], plan: Plan[R], charge: Charge, receipt: Receipt, key: str | None) -> R:
        """Return the release of a charge, drawn now or stored; nothing noisy is shown before it is recorded."""
        structure = plan.structure
        if charge.status == "open":
            failure: BaseException | None = None
            try:
                charge, transcript = self._draw(summary, plan, charge, receipt, key)
            except BaseException as error:
                failure = error
            if failure is not None:
                if receipt.noise != "injected":  # the frames behind a real release hold exact sums and unrecorded noise
                    failure.__traceback__ = failure.__cause__ = failure.__context__ = None
                raise failure
            if transcript is not None:
                release: R = structure.release_type(structure, transcript, receipt)
                return release
        if charge.status == "failed":
            raise LedgerError(
                f"the release under key {key!r} was charged and failed; it is never drawn again: use a new key"
            )
        if charge.payload is None:
            raise ReleasePurged(f"the release under key {key!r} was deleted by its owner; it is never drawn again")
        return files.decode(charge.payload, structure)

    def _draw(
        self, summary: Summary[R], plan: Plan[R], charge: Charge, receipt: Receipt, key: str | None
    ) -> tuple[Charge, door.Transcript | None]:
        """Draw the noise of an open charge and record the outcome; return the transcript if it is not stored.

        What was drawn leaves only once it is recorded: whoever calls this drops its frames if it fails.
        """
        pid = os.getpid()
        try:
            transcript = door.run(plan, summary._open())
            stored = key is not None and receipt.noise != "injected"
            payload = files.encode(plan.structure, transcript, receipt) if stored else None
        except BaseException as error:
            self._store.fail(charge, type(error).__name__)
            raise
        if os.getpid() != pid:
            raise LedgerError("forked in the middle of a release: the parent shows what it drew, this process does not")
        return self._store.finish(charge, payload=payload), None if stored else transcript

    # ---- the books -------------------------------------------------------------------------------------------------

    def log(self) -> list[LogEntry]:
        """Return every charge of this budget, oldest first."""
        return read_log(self._store.entries(self._name), self.total)

    def verify(self) -> None:
        """Recompute the hash chain, the running totals and the price of every charge.

        Raises
        ------
        LedgerError
            Naming the first entry that does not hold.
        """
        self._store.verify()

    # ---- budgets do not multiply -----------------------------------------------------------------------------------

    def __copy__(self) -> Budget:
        return self

    def __deepcopy__(self, memo: object) -> Budget:
        return self

    def __sklearn_clone__(self) -> Budget:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._store.durable:
            raise TypeError("a budget in memory can not be pickled, or it would multiply; keep it in a Ledger")
        return Budget._on, (self._store, self._name)  # the store reopens its file and checks that it is the same

    def __repr__(self) -> str:
        left = remaining(self._left(), self.neighbors, self.unit, self.delta or None)
        return f"<Budget {self._name!r}: {self.guarantee}; spent {round_up(100 * self.spent)} %; room for {left}>"
