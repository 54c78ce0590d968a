"""`AnchorAttention`: softmax attention over public anchors, weighted by the private records nearest to each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Group, Line, Plan
from dpstruct.domain import SMALL
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.features.polynomial import KEY_BITS
from dpstruct.features.products import PublicMatrix, multiply, quantise
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _attention_blueprint as public
from dpstruct.structures import _attention_units as units
from dpstruct.structures._attention_answers import Evaluated, PrivateMemory

__all__ = ["AnchorAttention", "PrivateAnchorAttention"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class PrivateAnchorAttention(PrivateMemory):
    """Answers softmax attention over private records that were moved to public anchors; weights are never negative.

    Made by `Budget.release` or `dpstruct.load`. It takes no `coefficients`: the exponential is exact.
    """

    @property
    def structure(self) -> AnchorAttention:
        """The public blueprint."""
        blueprint: AnchorAttention = self.__dict__["_structure"]
        return blueprint

    @cached_property
    def count(self) -> float:
        """Number of records, or of units where it is public: exact then, else the released noisy total of all cells."""
        if "n" in self.transcript and not isinstance(self.structure.unit_rule, tuple):
            return float(self.transcript["n"])
        return float(self.transcript["D"].astype(np.float64).sum()) / self.structure._unit

    @cached_property
    def count_error(self) -> float:
        """Standard error of `count`; 0 where it is public."""
        exact = "n" in self.transcript and not isinstance(self.structure.unit_rule, tuple)
        return 0.0 if exact else math.sqrt(len(self.structure.anchors) * self._noise[1])

    def _row_count(self) -> tuple[float, float]:
        return self.count, 6 * self.count_error

    @cached_property
    def _noise(self) -> tuple[float, float]:
        unit = self.structure._unit**2
        return float(self.receipt.variance("N")[0]) / unit, float(self.receipt.variance("D")[0]) / unit

    @cached_property
    def _cells(self) -> Floats:
        both = np.concatenate([self.transcript["N"], self.transcript["D"][:, None]], axis=1)
        result: Floats = both / self.structure._unit
        return result

    def _sum_of_values(self) -> tuple[Floats, float, float]:
        cells = len(self.structure.anchors)
        return self._cells[None, :, :-1].sum(axis=1), cells * self._noise[0], self.count_error**2

    def _evaluate(self, head: int, Q: NDArray[Any], temperature: Floats, coefficients: Any) -> Evaluated:
        if coefficients is not None:
            raise InvalidParameter("coefficients", "some", "None", "anchors need no polynomial")
        scores = Q.astype(np.float64) @ np.array(self.structure.anchors).T / temperature[:, None]
        top = scores.max(axis=1, initial=-np.inf)
        weights = np.exp(scores - top[:, None])
        mean = weights.mean(axis=1)
        weights /= mean[:, None]
        both = weights @ self._cells
        squares, total = (weights**2).sum(axis=1), weights.sum(axis=1)
        var_N, var_D = self._noise
        return Evaluated(
            both[:, :-1].astype(Q.dtype),
            both[:, -1],
            squares * var_N,
            squares * var_D,
            total * var_N,
            total * (var_D if self.count_error else 0.0),
            weights.min(axis=1),
            top + np.log(mean),
        )


def _nearest(X: Integers, Z: PublicMatrix, half: Floats) -> NDArray[np.intp]:
    """Return the nearest anchor of every lattice key: the products are exact, the rest is elementwise."""
    return np.asarray((multiply(X, Z) - half).argmax(axis=1))


@dataclass(frozen=True)
class AnchorAttention(public.Memory[PrivateAnchorAttention]):
    """Softmax attention whose keys are replaced by the nearest public anchor, at any temperature.

    Per anchor the values of the records nearest to it are summed and the records counted, exactly, and noised once.
    Best for clustered keys with anchors that match; `CrossAttention` is better for spread-out keys.

    Parameters
    ----------
    anchors : array-like, shape (c, d)
        Public codebook in the units of the keys, such as centroids of *public* keys.
    dim_value : int
        Length of a value.
    value_norm : float
        Public norm bound of values, around their centre.
    value_weight : float, optional
        Precision of the value sums over that of the counts. Default ``sqrt(dim_value)``, or 1 under substitute.
    value_center : sequence of float, optional
        Public centre.
    unit_rule : None, "mean", ("max_rows", g) or ("clip", C)
        What bounds the rows of one unit; see `CrossAttention`.
    max_rows : int
        Public capacity.
    expected_rows : int
        Public guess, for `Plan.error`.
    value_bits : int
        Values are integers up to ``2**value_bits``.

    Notes
    -----
    A record adds ``(w, 1)`` to one cell: Delta**2 = beta + gamma under add-remove and ``max(4 beta, 2 (beta + gamma))``
    under substitute (same or different cell); `RowsWithin` is charged as substitute. The unit rules "mean" and
    "max_rows" keep these by convexity. Under pure DP a record moves N by sqrt(dim_value) and D by 1 in l1. The nearest
    anchor is decided by integers (ties: the first). Error: ``Delta |psi(q)| / mu`` value norms per coordinate, psi the
    weights of the anchors. Attacked by ``tests/structures/test_anchor_attention.py``.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> memory = dps.AnchorAttention([[0.0, 0.0], [1.0, 1.0]], 1, value_norm=1.0)
    >>> K, V = np.repeat([[0.1, 0.0], [0.9, 1.1]], 2000, axis=0), np.repeat([[-1.0], [1.0]], 2000, axis=0)
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> private = budget.release(memory.summarize(K, V), share=1)
    >>> bool(private.query([1.0, 1.0], temperature=0.1)[0] > 0.9)
    True
    """

    anchors: tuple[tuple[float, ...], ...]
    dim_key: int = field(init=False)
    key_norm: float = field(init=False)
    key_center: tuple[float, ...] | None = field(init=False)
    normalize: str = field(init=False)

    release_type: ClassVar[type[Any]] = PrivateAnchorAttention

    def __init__(
        self,
        anchors: ArrayLike,
        dim_value: int,
        *,
        value_norm: float,
        value_weight: float | None = None,
        value_center: ArrayLike | Sequence[float] | None = None,
        unit_rule: Any = None,
        max_rows: int = 1 << 40,
        expected_rows: int = 10_000,
        value_bits: int = 14,
    ) -> None:
        values = {name: value for name, value in locals().items() if name not in ("self", "anchors", "__class__")}
        given = anchors.tolist() if isinstance(anchors, np.ndarray) else anchors
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise InvalidType("anchors", f"a {type(anchors).__name__}", "an array of shape (c, d)")
        rows = [public.numbers(f"anchors[{i}]", row) for i, row in enumerate(given)]
        if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
            raise InvalidParameter("anchors", "no anchors, or of several lengths", "an array of shape (c, d)")
        norm = 2 * max(math.hypot(*row) for row in rows)
        values |= {"dim_key": len(rows[0]), "key_norm": max(norm, SMALL), "key_center": None, "normalize": "clip"}
        for name, value in (public.checked(values) | {"anchors": tuple(rows)}).items():
            object.__setattr__(self, name, value)

    @property
    def _unit(self) -> float:
        return 2.0**self.value_bits

    # ---- exact sums ------------------------------------------------------------------------------------------------

    @cached_property
    def _codebook(self) -> tuple[PublicMatrix, Floats]:
        """The anchors as an integer matrix; half their squared lengths in units of its products with lattice keys."""
        Z = quantise(np.array(self.anchors).T, entry_bound=1 << KEY_BITS)
        half = (Z.integers**2).sum(axis=0) / 2 * (Z.unit / self.key_norm) * 2.0**KEY_BITS
        return Z, np.rint(half)

    def _sums(self, K: NDArray[Any], V: NDArray[Any], rows: Any, weights: Integers) -> Integers:
        total = np.zeros((1, len(self.anchors), self.dim_value + 1), np.int64)
        codebook = self._codebook  # made whether or not there are rows
        for _, X, W in self._blocks(K, V, rows, weights):
            np.add.at(total[0], _nearest(X, *codebook), W)
        return total

    def _each(self, K: NDArray[Any], V: NDArray[Any], rows: Integers, starts: Integers) -> Integers:
        total = np.zeros((len(starts), 1, len(self.anchors), self.dim_value + 1), np.int64)
        unit = np.repeat(np.arange(len(starts)), np.diff([*starts, len(rows)]))
        for _, X, W in self._blocks(K, V, rows, np.full(len(rows), 1 << self.value_bits)):
            np.add.at(total[:, 0], (unit, _nearest(X, *self._codebook)), W)
        return total

    def _lines(self, total: Integers) -> dict[str, Integers]:
        return {"N": total[0, :, :-1], "D": total[0, :, -1]}

    def _ratio(self, neighbors: Relation) -> Fraction:
        """Return the precision of the counts over that of the value sums."""
        if self.value_weight is not None:
            return Fraction(max(1, round(2**40 / self.value_weight)), 2**40)
        clipped = isinstance(self.unit_rule, tuple) and self.unit_rule[0] == "clip"
        best = Fraction(round(2**40 / math.sqrt(self.dim_value)), 2**40)
        return best if clipped or neighbors == "add-remove" else Fraction(1)

    def _row_precisions(self) -> Floats:
        row = np.array([1.0] * self.dim_value + [float(self._ratio("add-remove"))])
        return np.tile(row, (len(self.anchors), 1))

    def _row_bound(self) -> float:
        return 1 + float(self._ratio("add-remove"))

    # ---- price -----------------------------------------------------------------------------------------------------

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group: value sums and counts of all cells."""
        cells, dv, factor = len(self.anchors), self.dim_value, Fraction(units.factor(self.unit_rule))
        clipped = isinstance(self.unit_rule, tuple) and self.unit_rule[0] == "clip"
        if isinstance(cost, PureDP):
            if clipped:
                raise InvalidParameter("cost", "pure DP", 'GDP: unit_rule="clip" bounds an l2 norm', "pass delta > 0")
            bound = Fraction(math.isqrt((dv << 60) - 1) + 1, 1 << 30)
            part = Fraction(round(2**30 * (float(bound) * math.sqrt(dv)) ** (2 / 3)), 2**30)
            lines = [Line("N", (cells, dv), bound / part), Line("D", (cells,), Fraction(1))]
            sensitivity = (part + 1) * factor * (1 if neighbors == "add-remove" else 2)
            return [Group(lines, sensitivity * int(self._unit))]
        ratio = self._ratio(neighbors)
        lines = [Line("N", (cells, dv), Fraction(1)), Line("D", (cells,), 1 / ratio)]
        one = 1 + ratio
        if neighbors != "add-remove":
            one = 4 * one if clipped else max(Fraction(4), 2 * one)
        return [Group(lines, one * factor**2 * int(self._unit) ** 2)]

    def worst_error(self, plan: Plan[PrivateAnchorAttention]) -> float:
        """Return the standard error of an output at one anchor, where `expected_rows` records are spread evenly."""
        variance = self.dim_value * plan.variance("N")[0] + plan.variance("D")[0]
        return self.value_norm * math.sqrt(variance) / self._unit * len(self.anchors) / self.expected_rows

    def notes(self, plan: Plan[PrivateAnchorAttention]) -> list[str]:
        """Return what the error stands for, and advice."""
        part = plan.error / self.value_norm
        notes = [f"at one anchor of {len(self.anchors)}: noise {part:.2g} value norms at {self.expected_rows} rows"]
        if part > 1 / 3:
            needed = math.ceil(3 * part * self.expected_rows)
            notes.append(f"hopeless there: use fewer anchors, a higher temperature, or about {needed:,} rows and more")
        return notes

    def __repr__(self) -> str:
        return f"AnchorAttention({len(self.anchors)} anchors, dim_key={self.dim_key}, dim_value={self.dim_value})"
