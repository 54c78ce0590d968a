"""What a method of `KernelDensity` provides, and what all of them share: clipped records and a private count.

A method is a public linear statistic with a proved bound. It maps records to bounded integers, states the joint bound
of its lines, turns released sums into answers, and knows the variance of each answer from public values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line, Plan, Rounds, Sums
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.features.radial import Kernel, kernel_named
from dpstruct.privacy import GDP, PureDP, Relation

if TYPE_CHECKING:
    from dpstruct.core.state import State
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["COUNT_BITS", "Method", "Transcript"]

Floats = NDArray[np.float64]
Transcript = Mapping[str, NDArray[np.int64]]

COUNT_BITS = 16  # a record counts as 2**16 steps
_BLOCK = 1 << 14


class Method:
    """One way to answer kernel sums; subclasses say how.

    Parameters
    ----------
    blueprint : KernelDensity
        Checked public parameters, of which nothing is kept but plain values.
    """

    name: ClassVar[str]
    #: Whether the joint bound also holds in l1, so that a pure-DP plan exists.
    pure: ClassVar[bool] = False
    #: Root mean square error of the features per record, before any noise; 0 where answers are exact.
    fit_error: float = 0.0

    def __init__(self, blueprint: KernelDensity) -> None:
        assert blueprint.bounds.dim is not None
        if isinstance(blueprint.kernel, str):
            self.kernel: Kernel = kernel_named(blueprint.kernel)
        self.shape = blueprint.shape
        self.bandwidths = blueprint.bandwidths
        self.bandwidth = self.bandwidths[0]
        self.dim = blueprint.bounds.dim
        self.low, self.high = np.array(blueprint.bounds.low), np.array(blueprint.bounds.high)
        self.sides = self.high - self.low
        self.middle = self.low + 0.5 * self.sides
        self.max_rows = blueprint.max_rows
        self.expected_rows = blueprint.expected_rows
        self.count_share = Fraction(blueprint.count_share)

    # ---- what a method writes --------------------------------------------------------------------------------------

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[Sequence[Line], Fraction]:
        """Return the lines of the kernel sums and their joint bound."""
        raise NotImplementedError

    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the exact sums over a block of clipped records, by line."""
        raise NotImplementedError

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the kernel sums at `Y`."""
        raise NotImplementedError

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the variance of the noise of each answer."""
        raise NotImplementedError

    def worst_variance(self, scales: Scales) -> float:
        """Return the largest variance of one answer at any y and any declared bandwidth."""
        raise NotImplementedError

    @classmethod
    def capacity(cls, blueprint: KernelDensity) -> int:
        """Return the default capacity."""
        return 1 << 32

    # ---- what they share -------------------------------------------------------------------------------------------

    def fit(self, scales: Scales) -> float:
        """Return the root mean square error of the features per record for a release with these noise scales."""
        return self.fit_error

    def sketch(self, scales: Scales) -> tuple[float, float]:
        """Return standard error of one answer and error of the features per record, cheaply."""
        return math.sqrt(self.worst_variance(scales)), self.fit(scales)

    def operations(self, numbers: int) -> int:
        """Return about how many multiplications one query takes, given how many numbers are released."""
        return numbers * (self.dim + 2)

    def notes(self) -> list[str]:
        """Return lines for a printed plan."""
        return []

    def own_queries(self) -> Floats:
        """Return the queries that the blueprint declares."""
        raise InvalidParameter("Y", "nothing", f"an array of shape (q, {self.dim})")

    def coverage(self, Y: Floats) -> Floats:
        """Return which part of the kernel at each query the features hold, 0 to 1."""
        return np.ones(len(Y))

    def law_of(self, transcript: Transcript) -> tuple[Floats, Floats]:
        """Return mean and covariance of the law that the features are made for."""
        raise InvalidParameter("method", repr(self.name), 'method="mercer"', "other features know of no law")

    def check_bandwidth(self, bandwidth: float) -> None:
        """Refuse a bandwidth that the release does not hold."""
        if bandwidth not in self.bandwidths:
            raise InvalidParameter(
                "bandwidth",
                repr(bandwidth),
                f"one of the declared {self.bandwidths}",
                "declare it in the blueprint, where the method allows several",
            )

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the kernel sums' group and, where the number of records is private, that of the count."""
        if isinstance(cost, PureDP) and not self.pure:
            raise InvalidParameter(
                "cost",
                f"pure DP with method={self.name!r}",
                "delta > 0",
                'pure DP is offered by method="binned" in one and two dimensions',
            )
        lines, bound = self.lines(cost, neighbors)
        if neighbors != "add-remove" or not self.counts_apart:
            return [Group(lines, bound)]
        one = Fraction(1 << COUNT_BITS)
        counted = Group([Line("count", ())], one**2 if isinstance(cost, GDP) else one, self.count_share)
        return [Group(lines, bound, 1 - self.count_share), counted]

    @property
    def counts_apart(self) -> bool:
        """Whether the count has a line of its own; else it can be read from the kernel sums."""
        return True

    def seal(self, X: NDArray[Any]) -> State:
        """Return the sealed exact sums of some records."""
        sums: dict[str, NDArray[np.int64]] = self.sums_of(np.empty((0, self.dim)))
        for rows in self.blocks(X):
            for name, part in self.sums_of(rows).items():
                sums[name] = np.add(sums[name], part, out=np.empty(sums[name].shape, np.int64))
        if self.counts_apart:
            sums["count"] = np.array((len(X) << COUNT_BITS) % 2**64, np.uint64).view(np.int64)
        return Sums(len(X), sums)

    def blocks(self, X: NDArray[Any], size: int = _BLOCK) -> Iterator[Floats]:
        """Yield blocks of records clipped to the box; a coordinate that is not finite becomes its midpoint."""
        for start in range(0, len(X), size):
            with np.errstate(all="ignore"):
                rows = X[start : start + size].astype(np.float64)
            yield np.where(np.isfinite(rows), np.clip(rows, self.low, self.high), self.middle)

    def rounds(self, plan: Plan[Any], state: Any) -> Rounds:
        """Yield sealed sums, receive them noised: one round unless a method needs more."""
        yield state.sums

    def count(self, transcript: Transcript) -> float:
        """Return the released number of records."""
        if "n" in transcript:
            return float(transcript["n"])
        return float(transcript["count"]) / 2.0**COUNT_BITS

    def count_variance(self, scales: Scales) -> float:
        """Return the variance of `count`; 0 where the number is public."""
        return float(scales.variance("count")[0]) / 4.0**COUNT_BITS if "count" in scales.lines else 0.0
