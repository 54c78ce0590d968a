"""`Structure`: the public blueprint. An author writes a public map, its noise lines and, if need be, its rounds."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import blueprint
from dpstruct.core.plan import Plan, make_plan
from dpstruct.core.state import Sealed, State, Sums
from dpstruct.core.summary import Summary
from dpstruct.domain import check_rows
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, ApproxDP, PureDP, Relation

if TYPE_CHECKING:
    from dpstruct.core.release import Release

__all__ = ["Group", "Line", "Rounds", "Structure"]

R = TypeVar("R", bound="Release")

#: What `Structure.rounds` returns: it yields sealed sums and receives them noised.
Rounds = Generator[Sealed, Mapping[str, NDArray[np.int64]], None]


@dataclass(frozen=True)
class Line:
    """One array of noised integers in the transcript.

    Parameters
    ----------
    name : str
        Unique in the plan.
    shape : tuple of int
        Shape of the array.
    weight : Fraction or tuple of Fraction
        Noise weight of every entry, or one per first-axis entry. Within a group the squared standard deviations
        (Gaussian) or the scales (Laplace) are proportional to the weights.
    """

    name: str
    shape: tuple[int, ...]
    weight: Fraction | tuple[Fraction, ...] = Fraction(1)


@dataclass(frozen=True)
class Group:
    """Lines that are bounded and charged together.

    Parameters
    ----------
    lines : sequence of Line
        The lines, in the order in which they are noised.
    sensitivity : Fraction
        Joint bound over all pairs of neighbours: ``sum |d|_2**2 / weight`` for a Gaussian plan, ``sum |d|_1 / weight``
        for a Laplace plan, where d is the change of a line's integers.
    share : Fraction
        Part of the plan's cost that pays for this group; the shares of a plan sum to at most 1.
    """

    lines: Sequence[Line]
    sensitivity: Fraction
    share: Fraction = Fraction(1)


class Structure(Generic[R]):
    """A public blueprint of a private data structure.

    Subclasses are frozen dataclasses whose fields are plain public values. They set `release_type` and write

    * `contributions` -- the public map, one integer vector per record (or override `seal` with a faster exact sum,
      or to seal lattice rows);
    * `groups` -- the noise lines for a cost and a relation, with their joint sensitivities;
    * `rounds` -- only for several rounds: a generator that yields sealed sums and receives them noised;
    * `worst_error` -- the predicted standard error of one answer.

    Everything else (budget, ledger, noise, files, conformance tests) is shared.
    """

    release_type: ClassVar[type[Any]]
    #: True if the blueprint bounds the joint contribution of a group of rows with one id.
    bounds_units: ClassVar[bool] = False
    #: Public row capacity: beyond it sums may wrap (still private, but useless).
    max_rows: int

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        blueprint.register(cls)

    def __getstate__(self) -> dict[str, Any]:
        """Return the public fields: what was computed from them is computed again."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in names}

    # ---- what an author writes -------------------------------------------------------------------------------------

    def no_rows(self) -> tuple[NDArray[np.generic], ...]:
        """Return the arguments of `summarize` for no records: arrays of zero rows that fix the widths."""
        raise NotImplementedError(f"{type(self).__name__} must define no_rows()")

    def seal_none(self) -> State:
        """Return the sealed state of no records."""
        return self.seal(*self.no_rows(), device="cpu")

    def contributions(self, *data: NDArray[np.generic]) -> Mapping[str, NDArray[np.int64]]:
        """Return per line an int64 array of shape ``(n, *shape)``: row i depends on record i alone."""
        raise NotImplementedError(f"{type(self).__name__} must define contributions() or seal()")

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> Sequence[Group]:
        """Return the noise lines in groups with a joint sensitivity bound each, from public values only."""
        raise NotImplementedError

    def worst_error(self, plan: Plan[R]) -> float:
        """Return the largest standard error of one answer under `plan`, in the units of the answer."""
        raise NotImplementedError

    def notes(self, plan: Plan[R]) -> list[str]:
        """Return further lines for a printed plan, from public values only."""
        return []

    def seal(self, *data: NDArray[np.generic], device: str = "auto") -> State:
        """Return the sealed exact state of some rows; by default the sums of `contributions`, block by block."""
        if device not in ("auto", "cpu"):
            raise InvalidParameter("device", repr(device), '"auto" or "cpu": this structure has no other kernels')
        n = len(data[0])
        state: State = self._seal_block(data, 0, 0)
        for start in range(0, n, 1 << 14):
            state = state._merge(self._seal_block(data, start, start + (1 << 14)))
        return state

    def _seal_block(self, data: tuple[NDArray[np.generic], ...], start: int, stop: int) -> Sums:
        rows = self.contributions(*(array[start:stop] for array in data))
        sums = {name: np.asarray(array.sum(axis=0, dtype=np.int64)) for name, array in rows.items()}
        return Sums(len(data[0][start:stop]), sums)

    def rounds(self, plan: Plan[R], state: Any) -> Rounds:
        """Yield sealed sums, receive them noised. The default releases the summary's sums at once."""
        yield state.sums

    # ---- what a user calls -----------------------------------------------------------------------------------------

    def summarize(self, *data: Any, **options: Any) -> Summary[R]:
        """Return the sealed exact summary of some records, to be merged with others or released.

        Parameters
        ----------
        *data : array-like
            As many arrays as the blueprint takes, one row per record. Values out of bounds, NaN and infinities are
            mapped into the domain, never refused.
        **options
            Passed to `seal`: ``device``, ``"auto"`` unless given, says where to compute; the integers are the same.
        """
        widths = [array.shape[1:] for array in self.no_rows()]
        if len(data) != len(widths):
            raise InvalidParameter("data", f"{len(data)} arrays", f"{len(widths)}")
        arrays = []
        for k, (item, width) in enumerate(zip(data, widths, strict=True)):
            arrays.append(check_rows(f"data[{k}]", item, width[0] if width else None))
        if len({len(array) for array in arrays}) > 1:
            raise InvalidParameter("data", "arrays of different lengths", "one row per record in each")
        return Summary(self, self.seal(*arrays, **options))

    def plan(
        self,
        *,
        cost: GDP | PureDP | ApproxDP | None = None,
        epsilon: float | None = None,
        delta: float | None = None,
        error: float | None = None,
        neighbors: Relation | str,
        unit: str = "row",
    ) -> Plan[R]:
        """Return price, noise scales and predicted error of a release; reads no data.

        Parameters
        ----------
        cost : GDP, PureDP or ApproxDP, optional
            The price itself.
        epsilon, delta : float, optional
            The price as (epsilon, delta); ``delta=0`` (the default) means pure DP with Laplace noise, ``delta > 0`` GDP
            with Gaussian noise.
        error : float, optional
            Instead of a price: the largest acceptable standard error of one answer. The plan is then the cheapest one,
            pure DP without `delta`, GDP with it.
        neighbors : {"add-remove", "substitute"} or RowsWithin
            The neighbour relation; there is no default.
        unit : str
            Whose data is protected: ``"row"``, or the name of the group that `unit_ids` marks.

        Raises
        ------
        InvalidParameter
            If not exactly one of `cost`, `epsilon` and `error` is given, or the noise would exceed the sampler's range.
        NeighborsMismatch
            If `unit` is not "row" and the blueprint bounds rows only.
        """
        return make_plan(self, cost=cost, epsilon=epsilon, delta=delta, error=error, neighbors=neighbors, unit=unit)
