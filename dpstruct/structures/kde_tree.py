"""`KDETree`: sums of distances to every record, for any number of queries, from one private release."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Group, Line, Plan, Release, Structure, Summary, Sums
from dpstruct.core.plan import Scales
from dpstruct.core.progress import bar
from dpstruct.domain import Box, check_rows, positive_integer
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, PureDP, Relation, RowsWithin
from dpstruct.structures._schauder import gaussian_weights, laplace_weights, moved_within, variance

__all__ = ["KDETree", "PrivateKDETree"]

Floats = NDArray[np.float64]
Outside = Literal["clip", "extend", "raise"]


class PrivateKDETree(Release):
    """Answers ``f(y) = sum_i |x_i - y|_1`` for any y, for ever, from one noised tree.

    Every answer is unbiased at the knots of the tree and carries the standard error that `error` states in closed form;
    between knots the interpolation adds at most `bias`. Made by `Budget.release` or `dpstruct.load`.
    """

    @property
    def structure(self) -> KDETree:
        """The public blueprint."""
        tree: KDETree = self.__dict__["_structure"]
        return tree

    @cached_property
    def count(self) -> float:
        """Number of records: exact where it is public (substitute), else the released noisy count."""
        if "n" in self.transcript:
            return float(self.transcript["n"])
        ends = self.transcript["A"].astype(np.float64) + self.transcript["B"].astype(np.float64)
        return float(self._count_weights @ (ends / self.structure._grid))

    @cached_property
    def count_error(self) -> float:
        """Standard error of `count`: sqrt(2)/mu for a Gaussian release under add-remove, 0 where n is public."""
        if "n" in self.transcript:
            return 0.0
        return float(math.sqrt(self._count_weights**2 @ self._count_variances))

    @cached_property
    def _count_variances(self) -> Floats:
        """Variance of the count that each coordinate gives: all d of them count the same records."""
        variances: Floats = (self.receipt.variance("A") + self.receipt.variance("B")) / self.structure._grid**2
        return variances

    @cached_property
    def _count_weights(self) -> Floats:
        weights: Floats = 1 / self._count_variances
        weights /= weights.sum()
        return weights

    def _row_count(self) -> tuple[float, float]:
        return self.count, 6 * self.count_error

    @cached_property
    def _table(self) -> NDArray[Any]:
        """Look-up table (d, 2**depth, 2): float32 where its rounding stays below 2 % of the noise."""
        from dpstruct.kernels.kde_tree import interleave, knots

        tree, sums = self.structure, self.transcript
        A = sums["A"]
        if "B" in sums:
            B = sums["B"]
        else:  # A + B = n M is public; modulo 2**64, like all sums
            whole = sums["n"].astype(np.uint64) << tree._bits.astype(np.uint64)
            B = (whole - A.astype(np.uint64)).astype(np.int64)
        values = knots(A, B, [sums[f"level{k}"] for k in range(tree.depth)], tree._widths / tree._grid)
        coarse = max(self.count, 0.0) * 2.0**-21 * float(tree._widths.sum())
        noise = math.sqrt(tree._variance(self.receipt, np.zeros((1, tree.dim))).sum())
        single = coarse <= 0.02 * noise and noise > 1e-30 and np.abs(values).max() < 1e30
        return interleave(values, np.float32 if single else np.float64)

    def query(self, Y: ArrayLike, *, outside: Outside = "clip", device: str = "auto") -> Floats:
        """Return the sums of l1 distances from each query to all records.

        Parameters
        ----------
        Y : array-like, shape (q, d)
            Queries, in the units of the data. A row with a NaN gets a NaN.
        outside : {"clip", "extend", "raise"}
            Queries out of the box are clipped to it, or answered beyond it by adding ``count * |y - clip(y)|_1``, or
            refused.
        device : {"auto", "cpu", "cuda"}
            Where to compute.

        Returns
        -------
        ndarray of float64, shape (q,)
        """
        rows, beyond = self._queries(Y, outside)
        self._warn_of_capacity()
        tree = self.structure
        look_up = _kernels(device).look_up
        answers: Floats = look_up(rows, self._table, np.array(tree.bounds.low), 2.0**tree.depth / tree._widths)
        return answers if beyond is None else answers + self.count * beyond

    def mean(self, Y: ArrayLike, *, outside: Outside = "clip", device: str = "auto") -> Floats:
        """Return the average l1 distance from each query to a record: `query` over ``max(count, 1)``."""
        return self.query(Y, outside=outside, device=device) / max(self.count, 1.0)

    def error(self, Y: ArrayLike, *, outside: Outside = "clip") -> Floats:
        """Return the standard error of each answer of `query`, shape (q,), exactly, from public values only.

        For a Gaussian release it is ``sum(R) / mu`` at the knots and at most that elsewhere (R: sides of the box), what
        a single answer at an opposite corner would need: the other queries are free.
        """
        rows, beyond = self._queries(Y, outside)
        tree, errors = self.structure, np.empty(len(rows))
        block = max(1, (1 << 18) // tree.dim)
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            inside = np.clip(rows[part].astype(np.float64), tree.bounds.low, tree.bounds.high)
            t = np.clip((inside - np.array(tree.bounds.low)) / tree._widths, 0.0, 1.0)
            spread = tree._variance(self.receipt, t)
            if beyond is not None and "B" in self.transcript:  # the noisy count enters, through A and B
                share = beyond[part, None] * self._count_weights / tree._widths
                a, b = self.receipt.variance("A"), self.receipt.variance("B")
                spread += (tree._widths / tree._grid) ** 2 * (2 * share * ((1 - t) * a + t * b) + share**2 * (a + b))
            errors[part] = np.sqrt(spread.sum(axis=1))
        return errors

    def bias(self, Y: ArrayLike) -> Floats:
        """Return an upper bound on the bias of each answer, shape (q,), from the release only.

        Interpolation adds between 0 and ``count * R_j / 2**(depth + 1)`` per coordinate (only records in the query's
        own leaf count, and none at a knot); rounding records to the grid at most ``count * R_j / M_j``.
        """
        rows, _ = self._queries(Y, "clip")
        return np.full(len(rows), (max(self.count, 0.0) + 2 * self.count_error) * self.structure._bias)

    def _queries(self, Y: ArrayLike, outside: str) -> tuple[NDArray[Any], Floats | None]:
        """Return the checked queries and, for "extend", the l1 distance of each to the box."""
        rows = check_rows("Y", Y, self.structure.dim)
        if outside == "clip":
            return rows, None
        if outside not in ("extend", "raise"):
            raise InvalidParameter("outside", repr(outside), '"clip", "extend" or "raise"')
        box = self.structure.bounds
        exact = rows.astype(np.float64)
        distance: Floats = np.abs(exact - np.clip(exact, box.low, box.high)).sum(axis=1)
        if outside == "raise" and (distance > 0).any():
            raise InvalidParameter(
                "Y", "queries out of the bounds", "queries inside", 'or pass outside="clip" or "extend"'
            )
        return rows, distance


@dataclass(frozen=True)
class KDETree(Structure[PrivateKDETree]):
    """Sums of l1 distances with the error of one single private answer, whatever the number of queries.

    Per coordinate the records' distances are stored in the Faber-Schauder basis: exact integer sums of tents, noised
    once. The release answers any query with standard error at most ``sum(R) / mu`` (R: sides of the box).

    Parameters
    ----------
    bounds : Box
        Public box with a dimension; records are clipped to it, NaN and infinities become its midpoint.
    metric : {"l1"}
        Distance.
    depth : int, optional
        Each coordinate has ``2**depth`` leaves; noise does not depend on it, interpolation bias falls with it. Default
        ``min(12, 22 - ceil(log2(d)))``.
    max_rows : int
        Public capacity; sums beyond it may wrap modulo 2**64, which stays private but is useless.
    expected_rows : int, optional
        A public guess of the number of records; it changes no noise and is used to report the expected bias only.

    Notes
    -----
    Records: integers ``0 .. 2**F`` per coordinate, each from its own record alone. Neighbours: add-remove, substitute,
    and `RowsWithin` (its own smaller sensitivity under GDP, charged as substitute under pure DP). Sensitivity: joint
    over all lines, proved in `dpstruct.structures._schauder`, attacked by ``tests/structures/test_kde_tree.py``. Error
    under pure DP: at most ``C sum(R**(2/3))**1.5 / epsilon`` with C = 3.45 (add-remove), 3.01 (substitute) at depth 12.
    Private distance trees after Backurs et al. (arXiv 2403.08917) and Liu et al. (arXiv 2409.01688).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> tree = dps.KDETree(bounds=dps.Box(low=[0, 0], high=[1, 1]))
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> private = budget.release(tree.summarize(np.full((1000, 2), 0.5)), share=1)
    >>> Y = np.array([[0.0, 0.0], [0.5, 0.5]])
    >>> private.query(Y).shape, private.error(Y).round(2)
    ((2,), array([8.45, 8.45]))
    """

    bounds: Box
    metric: str = "l1"
    depth: int = 0
    max_rows: int = 1 << 32
    expected_rows: int | None = None

    release_type: ClassVar[type[Any]] = PrivateKDETree

    def __init__(
        self,
        bounds: Box,
        *,
        metric: str = "l1",
        depth: int | None = None,
        max_rows: int = 1 << 32,
        expected_rows: int | None = None,
    ) -> None:
        if not isinstance(bounds, Box):
            raise InvalidType("bounds", f"a {type(bounds).__name__}", "a Box", "use Box(low=[...], high=[...])")
        if bounds.dim is None:
            raise InvalidParameter(
                "bounds", "a Box without a dimension", "a Box with one", "pass Box(low, high, dim=d)"
            )
        if metric != "l1":
            raise InvalidParameter("metric", repr(metric), '"l1"')
        if depth is None:
            depth = max(1, min(12, 22 - math.ceil(math.log2(bounds.dim))))
        depth = positive_integer("depth", depth, at_most=20)
        if bounds.dim << depth > 1 << 26:
            raise InvalidParameter("depth", str(depth), f"at most 2**26 leaves in all {bounds.dim} coordinates")
        max_rows = positive_integer("max_rows", max_rows, at_most=1 << 60)
        if 1 << depth > (1 << 62) // max_rows:
            raise InvalidParameter("max_rows", str(max_rows), f"at most {(1 << 62) >> depth} at depth {depth}")
        if expected_rows is not None:
            expected_rows = positive_integer("expected_rows", expected_rows, at_most=max_rows)
        values = {
            "bounds": bounds,
            "metric": metric,
            "depth": depth,
            "max_rows": max_rows,
            "expected_rows": expected_rows,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.bounds.low)

    @cached_property
    def _widths(self) -> Floats:
        widths: Floats = np.array(self.bounds.high) - np.array(self.bounds.low)
        return widths

    @cached_property
    def _bits(self) -> NDArray[np.int64]:
        """Grid of coordinate j: ``0 .. 2**F_j``, finer for wide sides, so that noise scales stay in a common range.

        ``F_j = 30 - e`` with the smallest e such that ``4**e R_j >= sum(R)``, decided in integers: the lattice is the
        same on every machine.
        """
        widths = [Fraction(w) for w in self._widths.tolist()]
        total = sum(widths, Fraction(0))
        most = min(30, 62 - (self.max_rows - 1).bit_length())
        halves = [((math.ceil(total / w) - 1).bit_length() + 1) // 2 for w in widths]
        return np.array([min(most, max(self.depth, 30 - e)) for e in halves], dtype=np.int64)

    @cached_property
    def _grid(self) -> Floats:
        return (np.int64(1) << self._bits).astype(np.float64)

    def summarize(self, X: ArrayLike, *, device: str = "auto", progress: bool = False) -> Summary[PrivateKDETree]:
        """Return the sealed exact sums of the records of `X`, in one pass.

        Parameters
        ----------
        X : array-like, shape (n, d)
            One record per row, in the units of the bounds; any real dtype. Read block by block, never copied whole.
        device : {"auto", "cpu", "cuda"}
            Where to compute; the integers are the same everywhere.
        progress : bool
            Show a progress bar on standard error. It shows a percentage, never a row count.
        """
        return Summary(self, self.seal(check_rows("X", X, self.dim), device=device, progress=progress))

    def seal(self, *data: NDArray[Any], device: str = "auto", progress: bool = False) -> Sums:
        """Return the exact sums A, B and one array of tents per level."""
        from dpstruct.kernels.kde_tree import tents

        X = check_rows("X", data[0], self.dim)  # the kernels trust the width
        low, high, bits = np.array(self.bounds.low), np.array(self.bounds.high), self._bits
        middle = low + 0.5 * self._widths
        kernels, scale = _kernels(device), self._grid / self._widths
        leaves = np.zeros((self.dim, 1 << self.depth, 2), np.int64)
        rows = max(1, (1 << 26) // self.dim) if progress else max(1, len(X))
        with bar("summarize", -(-len(X) // rows), show=progress) as advance:
            for start in range(0, len(X), rows):
                leaves += kernels.leaf_counts(X[start : start + rows], low, high, middle, scale, bits, self.depth)
                advance()
        A, B, levels = tents(leaves, bits)
        return Sums(len(X), {"A": A, "B": B} | {f"level{k}": level for k, level in enumerate(levels)})

    def no_rows(self) -> tuple[NDArray[np.float64]]:
        """Return an array of no records."""
        return (np.empty((0, self.dim)),)

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group: both ends (A alone where n is public) and the levels, under one joint sensitivity."""
        counted = neighbors == "add-remove"
        widths, bits = [Fraction(w) for w in self._widths.tolist()], self._bits.tolist()
        weigh = gaussian_weights if isinstance(cost, GDP) else laplace_weights
        ends, *levels = weigh(widths, bits, self.depth, counted=counted)
        lines = [Line(name, (self.dim,), tuple(ends)) for name in (["A", "B"] if counted else ["A"])]
        lines += [Line(f"level{k}", (self.dim, 1 << k), tuple(w)) for k, w in enumerate(levels)]
        sensitivity = Fraction(1)
        if isinstance(neighbors, RowsWithin) and isinstance(cost, GDP):
            sensitivity = moved_within(neighbors.radius, self.bounds.low, self.bounds.high, bits)
        return [Group(lines, sensitivity)]

    def worst_error(self, plan: Plan[PrivateKDETree]) -> float:
        """Return the largest standard error of one answer: it is convex between knots, so a knot has it."""
        t = np.arange((1 << self.depth) // 2 + 1) / 2.0**self.depth
        columns = np.stack([self._widths, self._grid])
        _, first, times = np.unique(columns, axis=1, return_index=True, return_counts=True)
        worst = [self._variance(plan, t[:, None], slice(j, j + 1)).max() for j in first]
        return float(math.sqrt(np.array(worst) @ times))

    def _variance(self, noise: Scales, t: Floats, columns: slice = slice(None)) -> Floats:
        """Return the variance of each coordinate's part of the answers at relative positions `t`, shape (q, d)."""
        result: Floats = (self._widths / self._grid)[columns] ** 2 * variance(noise, self.depth, t, columns)
        return result

    def notes(self, plan: Plan[PrivateKDETree]) -> list[str]:
        """Return the bias to expect at `expected_rows`."""
        if self.expected_rows is None:
            return []
        return [f"bias of one answer at {self.expected_rows} rows: at most {self.expected_rows * self._bias:.6g}"]

    @property
    def _bias(self) -> float:
        """Largest bias per record: interpolation inside a leaf, and rounding to the grid."""
        return float((self._widths * (2.0 ** -(self.depth + 1) + 1 / self._grid)).sum())

    def __repr__(self) -> str:
        sides = f"dim={self.dim}" if self.dim > 3 else f"low={self.bounds.low}, high={self.bounds.high}"
        return f"KDETree(Box({sides}), metric={self.metric!r}, depth={self.depth})"


def _kernels(device: str) -> Any:
    """Return the module whose `leaf_counts` and `look_up` run on `device`."""
    from dpstruct.kernels import dispatch

    if device not in ("auto", "cpu", "cuda"):
        raise InvalidParameter("device", repr(device), '"auto", "cpu" or "cuda"')
    return dispatch.load("kde_tree", device)
