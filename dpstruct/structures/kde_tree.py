"""`KDETree`: sums of distances to every record, for any number of queries, from one private release."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Group, Plan, Release, Structure, Summary, Sums
from dpstruct.core.progress import bar
from dpstruct.domain import Ball, Box, check_rows, positive_integer
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._distance import Floats, Form, inward
from dpstruct.structures._distance_grid import GridForm
from dpstruct.structures._distance_l1 import L1Form
from dpstruct.structures._distance_moments import EvenPowerForm, SquaredForm
from dpstruct.structures._distance_options import check_bounds, choose_depth, choose_directions, choose_power, dim_of
from dpstruct.structures._distance_slices import CentredSlices, PlainSlices

__all__ = ["KDETree", "PrivateKDETree"]

Outside = Literal["clip", "extend", "raise"]


class PrivateKDETree(Release):
    """Answers ``f(y) = sum_i dist(x_i, y)`` for any y, for ever, from one set of noised sums.

    Every answer carries the standard error that `error` states in closed form; `bias` bounds what grids and
    interpolation add. Made by `Budget.release` or `dpstruct.load`.
    """

    @property
    def structure(self) -> KDETree:
        """The public blueprint."""
        tree: KDETree = self.__dict__["_structure"]
        return tree

    @cached_property
    def count(self) -> float:
        """Number of records: exact where it is public (substitute), else the released noisy count."""
        return float(self.transcript["n"]) if "n" in self.transcript else self._counted[0]

    @property
    def count_error(self) -> float:
        """Standard error of `count`: sqrt(2)/mu for l1 under GDP and add-remove, 0 where n is public."""
        return 0.0 if "n" in self.transcript else self._counted[1]

    @cached_property
    def _counted(self) -> tuple[float, float]:
        return self.structure._form.count(self)

    def _row_count(self) -> tuple[float, float]:
        return self.count, 6 * self.count_error

    @cached_property
    def _table(self) -> Any:
        return self.structure._form.table(self)

    def query(self, Y: ArrayLike, *, outside: Outside = "clip", device: str = "auto") -> Floats:
        """Return the sums of distances from each query to all records.

        Parameters
        ----------
        Y : array-like, shape (q, d)
            Queries, in the units of the data. A row with a NaN gets a NaN.
        outside : {"clip", "extend", "raise"}
            Queries out of the bounds are clipped to them, or answered beyond them (l1: by adding
            ``count * |y - clip(y)|_1``; sqeuclidean and even powers: by their polynomial), or refused.
        device : {"auto", "cpu", "cuda"}
            Where to compute.

        Returns
        -------
        ndarray of float64, shape (q,)
        """
        rows, extend = self._queries(Y, outside)
        self._warn_of_capacity()
        parts = [
            self.structure._form.answers(self, rows[part], extend=extend, device=device) for part in self._blocks(rows)
        ]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def mean(self, Y: ArrayLike, *, outside: Outside = "clip", device: str = "auto") -> Floats:
        """Return the average distance from each query to a record: `query` over ``max(count, 1)``."""
        return self.query(Y, outside=outside, device=device) / max(self.count, 1.0)

    def error(self, Y: ArrayLike, *, outside: Outside = "clip") -> Floats:
        """Return the standard error of each answer of `query`, shape (q,), exactly, from public values only.

        For a Gaussian l1 release it is ``sum(R) / mu`` at the knots and at most that elsewhere (R: sides of the box),
        what a single answer at an opposite corner would need: the other queries are free.
        """
        rows, extend = self._queries(Y, outside)
        errors = np.empty(len(rows))
        block = max(1, (1 << 18) // self.structure._width)
        for start in range(0, len(rows), block):
            part = slice(start, start + block)
            errors[part] = np.sqrt(self.structure._form.spread(self, rows[part], extend=extend))
        return errors

    def bias(self, Y: ArrayLike) -> Floats:
        """Return an upper bound on the bias of each answer, shape (q,), from the release only.

        For l1, interpolation adds between 0 and ``count * R_j / 2**(depth + 1)`` per coordinate (only records in the
        query's own leaf count, and none at a knot); rounding records to the grid at most ``count * R_j / M_j``. For l2
        the bound is about leaves and grids; the relative error of slicing, public and without noise, comes on top.
        """
        rows, _ = self._queries(Y, "clip")
        return np.full(len(rows), (max(self.count, 0.0) + 2 * self.count_error) * self.structure._form.bias)

    def _blocks(self, rows: NDArray[Any]) -> list[slice]:
        """Return the blocks of queries: one for metrics whose kernels read the queries as they are."""
        step = len(rows) if self.structure.metric in ("l1", "lp") else (1 << 22) // self.structure._width + 1
        return [slice(start, start + step) for start in range(0, max(len(rows), 1), max(step, 1))]

    def _queries(self, Y: ArrayLike, outside: str) -> tuple[NDArray[Any], bool]:
        """Return the checked queries, and whether to answer beyond the bounds."""
        tree = self.structure
        rows = check_rows("Y", Y, tree.dim)
        if outside == "clip":
            return rows, False
        if outside == "extend" and not tree._form.extends:
            raise InvalidParameter("outside", "'extend'", f'"clip" or "raise" for metric {tree.metric!r}')
        if outside not in ("extend", "raise"):
            raise InvalidParameter("outside", repr(outside), '"clip", "extend" or "raise"')
        if outside == "raise" and tree._outside(rows).any():
            raise InvalidParameter(
                "Y", "queries out of the bounds", "queries inside", 'or pass outside="clip" or "extend"'
            )
        return rows, outside == "extend"


@dataclass(frozen=True)
class KDETree(Structure[PrivateKDETree]):
    """Sums of distances with (nearly) the error of one single private answer, whatever the number of queries.

    Parameters
    ----------
    bounds : Box or Ball
        Public domain with a dimension; records are clipped to it, NaN and infinities become its midpoint. A Ball serves
        "l2" and "sqeuclidean".
    metric : {"l1", "l2", "sqeuclidean", "lp"}
        Distance: ``sum |x_j - y_j|``, ``|x - y|_2``, its square, or ``sum |x_j - y_j|**p``.
    p : float, optional
        Power for "lp": any in (0, 2], or even up to 16.
    depth : int, optional
        Each coordinate, or direction, has ``2**depth`` leaves (grid cells for fractional p); noise does not depend on
        it, interpolation bias falls with it. Default ``min(12, 22 - ceil(log2(d)))`` for trees, 8 for l2 above four
        coordinates, 8 for fractional p; the polynomial metrics have none.
    directions : int, optional
        Number of public directions for "l2" (a multiple of d for d >= 4). Default 64 for d = 2, else about 256.
    max_rows : int
        Public capacity; sums beyond it may wrap modulo 2**64, which stays private but is useless.
    expected_rows : int, optional
        A public guess of the number of records; it changes no noise and is used to report the expected bias only.

    Notes
    -----
    Records: integers from their own values alone. Neighbours: add-remove, substitute, and `RowsWithin` (l1: its own
    smaller sensitivity under GDP; else charged as substitute). Sensitivities are joint over all lines; proofs stand in
    `dpstruct.structures._schauder` (l1) and in the form of each metric, ``tests/structures/test_kde_tree*.py`` attack
    them. Standard errors of an answer under GDP and add-remove, R the sides of the box, r the radius of the domain:

    * l1: at most ``sum(R) / mu``; sqeuclidean: at most ``4 r**2 / mu``; even p: at most ``sum(R**p) / mu``: the error
      of one answer alone.
    * l2: at most ``2 r / (c_d mu)`` for d <= 4 (c_1 .. c_4 = 1, 0.637, 0.5, 0.424), ``4 k r / mu`` above, k <= 1.2533.
    * lp: ``2 c sum(R**p) / mu``, 0.59 <= c <= 0.75 for p in (0.25, 1.55); ``2**(2 - p) sum(R**p) / mu`` above.

    Pure DP: l1 at most ``C sum(R**(2/3))**1.5 / epsilon`` with C = 3.45 (add-remove), 3.01 (substitute) at depth 12; l2
    for d <= 4; the polynomial metrics. Private distance trees after Backurs et al. (arXiv 2403.08917) and Liu et al.
    (arXiv 2409.01688).

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

    bounds: Box | Ball
    metric: str = "l1"
    p: float | None = None
    depth: int | None = None
    directions: int | None = None
    max_rows: int = 1 << 32
    expected_rows: int | None = None

    release_type: ClassVar[type[Any]] = PrivateKDETree

    def __init__(
        self,
        bounds: Box | Ball,
        *,
        metric: str = "l1",
        p: float | None = None,
        depth: int | None = None,
        directions: int | None = None,
        max_rows: int = 1 << 32,
        expected_rows: int | None = None,
    ) -> None:
        dim = check_bounds(bounds, metric)
        max_rows = positive_integer("max_rows", max_rows, at_most=1 << 60)
        if expected_rows is not None:
            expected_rows = positive_integer("expected_rows", expected_rows, at_most=max_rows)
        p = choose_power(metric, p)
        if metric == "l2":
            directions = choose_directions(dim, directions)
        elif directions is not None:
            raise InvalidParameter("directions", str(directions), "none: only metric 'l2' has directions")
        values = {
            "bounds": bounds,
            "metric": metric,
            "p": p,
            "depth": choose_depth(metric, p, dim, directions, depth, max_rows),
            "directions": directions,
            "max_rows": max_rows,
            "expected_rows": expected_rows,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return dim_of(self.bounds)

    @cached_property
    def _form(self) -> Form:
        if self.metric == "l2":
            assert self.directions is not None
            assert self.depth is not None
            slices = PlainSlices if self.dim <= 4 else CentredSlices
            return slices(self.bounds, self.directions, self.depth, self.max_rows)
        if self.metric == "sqeuclidean":
            return SquaredForm(self.bounds)
        assert isinstance(self.bounds, Box)
        if self.depth is None:
            return EvenPowerForm(self.bounds, int(self.p or 2))
        if self.metric == "lp" and self.p != 1:
            return GridForm(self.bounds, float(self.p or 1), 1 << self.depth, self.max_rows)
        return L1Form(self.bounds, self.depth, self.max_rows)

    @property
    def _width(self) -> int:
        """Numbers that one query takes."""
        return max(self.dim, self.directions or 0)

    def _outside(self, rows: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which queries are out of the bounds."""
        exact = rows.astype(np.float64)
        if isinstance(self.bounds, Box):
            return np.asarray(((exact < self.bounds.low) | (exact > self.bounds.high)).any(axis=1))
        offset = exact - np.array(self.bounds.center or (0.0,) * self.dim)
        return np.asarray(
            np.abs(inward(rows, self.bounds) - offset).max(axis=1, initial=0.0) > 1e-9 * self.bounds.radius
        )

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
        """Return the exact sums of the metric's lines."""
        X = check_rows("X", data[0], self.dim)  # the kernels trust the width
        rows = (
            max(1, (1 << 26) // self.dim)
            if progress or not isinstance(self._form, L1Form | GridForm)
            else max(1, len(X))
        )
        sums: dict[str, NDArray[np.int64]] = {}
        with bar("summarize", -(-len(X) // rows), show=progress) as advance:
            for start in range(0, max(len(X), 1), rows):
                for name, part in self._form.sums(X[start : start + rows], device).items():
                    sums[name] = np.add(sums[name], part, out=sums[name]) if name in sums else part
                advance()
        return Sums(len(X), sums)

    def no_rows(self) -> tuple[NDArray[np.float64]]:
        """Return an array of no records."""
        return (np.empty((0, self.dim)),)

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group of lines under one joint sensitivity."""
        if isinstance(cost, PureDP) and self.metric == "l2" and self.dim > 4:
            raise InvalidParameter("delta", "0", "delta > 0 for l2 in more than 4 coordinates", "or use metric='l1'")
        return self._form.groups(cost, neighbors)

    def worst_error(self, plan: Plan[PrivateKDETree]) -> float:
        """Return the largest standard error of one answer inside the bounds."""
        return self._form.worst(plan)

    def notes(self, plan: Plan[PrivateKDETree]) -> list[str]:
        """Return the bias to expect at `expected_rows`."""
        if self.expected_rows is None:
            return []
        return [f"bias of one answer at {self.expected_rows} rows: at most {self.expected_rows * self._form.bias:.6g}"]

    def __repr__(self) -> str:
        if isinstance(self.bounds, Ball):
            domain = f"Ball({self.bounds.radius:g}, dim={self.dim})"
        else:
            sides = f"dim={self.dim}" if self.dim > 3 else f"low={self.bounds.low}, high={self.bounds.high}"
            domain = f"Box({sides})"
        options = {"metric": self.metric, "p": self.p, "depth": self.depth, "directions": self.directions}
        shown = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
        return f"KDETree({domain}{shown})"
