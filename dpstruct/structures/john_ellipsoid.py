"""`JohnEllipsoid`: a small ellipsoid around most records, with its axes, radii, whitening map and outlier score."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Plan, Rounds, Rows, Structure
from dpstruct.domain import Ball, Box, check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.kernels import blocks
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _ellipsoid_rounds as passes
from dpstruct.structures._ellipsoid_recipe import CAPPED, ENTRY, WHITENING, groups, recipe, rows_needed
from dpstruct.structures._private_ellipsoid import PrivateEllipsoid

__all__ = ["JohnEllipsoid", "PrivateEllipsoid"]

Floats = NDArray[np.float64]

_BLOCK = 1 << 12  # rows sealed at a time


@dataclass(frozen=True)
class JohnEllipsoid(Structure[PrivateEllipsoid]):
    """A small ellipsoid around a wanted fraction of the records, its shape and its size both private.

    The shape is that of the capped D-optimal design: of all second moments with weights of at most ``1 / (nu n)`` the
    one with the largest determinant, which for small nu is the ellipsoid of smallest volume around all but nu n of the
    records (Loewner; its polar is John's). The size is a noised quantile of the Mahalanobis radii.

    Parameters
    ----------
    bounds : Box or Ball
        Public domain with a dimension; records are clipped to it, NaN and infinities become its middle.
    coverage : float
        Wanted fraction of records inside, in (0, 1).
    center : bool
        Find a centre too; else the ellipsoid is around the middle of the bounds.
    expected_rows : int
        Public guess of the number of records, where it is private; a wrong one costs accuracy, never privacy. Where it
        is public (substitute), that number.
    nu : "auto" or float
        Cap of the weights, in (0, 1]; ``"auto"`` is ``3 (1 - coverage)``, or up to 1/4 where the noise asks for it.
    method : {"auto", "capped", "second-moment"}
        ``"auto"`` takes capped rounds if, by the plan's public numbers, they beat their noise, else falls back to one
        second moment, the plan says which. Under pure DP there is only the second moment.
    resolution : float
        Smallest radius looked for, relative to the bounds, in [2**-20, 0.1].
    quantile : {"median", "conservative"}
        Size: on target up to `error` either way, or large enough that the coverage is missed with probability `beta`.
    beta : float
        That probability, in (0, 0.5].
    max_rows : int
        Public capacity; sums beyond it may wrap modulo 2**64, which stays private but is useless.

    Notes
    -----
    Neighbours: add-remove, substitute, and `RowsWithin`, which has its own sensitivity for the second moment under GDP
    and is charged as substitute elsewhere. Sensitivity: per round, proved in `dpstruct.structures._second_moment` and
    `dpstruct.structures._tail_scale`, attacked by ``tests/structures/test_john_ellipsoid.py``. A Gaussian cost mu^2 is
    spent on 3 whitening rounds (25.5 %), 8 capped rounds (59.5 %) and the size (15 %). Second moments with the noise
    of Analyze Gauss (Dwork et al., STOC 2014), whitened like arXiv 2006.06618; capped weights by the multiplicative
    step for D-optimal designs. Unlike noised leverage scores (arXiv 2408.06395), no round's change of one record grows
    with what the other records are. Coverage is that of the records as clipped.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> blueprint = dps.JohnEllipsoid(dps.Box([-3, -3], [3, 3]), expected_rows=20_000)
    >>> X = np.random.default_rng(0).standard_normal((20_000, 2)) * [0.5, 0.1] + [1, 0]
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> private = budget.release(blueprint.summarize(X), share=1)
    >>> private.method, bool(abs(private.contains(X).mean() - 0.95) < 0.02), private.contains([[0, 2]])
    ('capped', True, array([False]))
    """

    bounds: Box | Ball
    coverage: float = 0.95
    center: bool = True
    expected_rows: int = 0
    nu: float | str = "auto"
    method: str = "auto"
    resolution: float = 1e-3
    quantile: str = "median"
    beta: float = 0.05
    max_rows: int = 1 << 28

    release_type: ClassVar[type[Any]] = PrivateEllipsoid

    def __init__(
        self,
        bounds: Box | Ball,
        *,
        coverage: float = 0.95,
        center: bool = True,
        expected_rows: int,
        nu: float | str = "auto",
        method: str = "auto",
        resolution: float = 1e-3,
        quantile: str = "median",
        beta: float = 0.05,
        max_rows: int = 1 << 28,
    ) -> None:
        if not isinstance(bounds, Box | Ball):
            raise InvalidType("bounds", f"a {type(bounds).__name__}", "a Box or a Ball")
        if bounds.dim is None:
            raise InvalidParameter("bounds", "a domain without a dimension", "one with it", "pass dim=d")
        if bounds.dim > 4096:
            raise InvalidParameter("bounds", f"{bounds.dim} coordinates", "at most 4096")
        if not isinstance(center, bool | np.bool_):
            raise InvalidType("center", f"a {type(center).__name__}", "True or False")
        _choice("method", method, "auto", "capped", "second-moment")
        _choice("quantile", quantile, "median", "conservative")
        max_rows = positive_integer("max_rows", max_rows, at_most=1 << 32)
        values = {
            "bounds": bounds,
            "coverage": _between("coverage", coverage, 0.0, 1.0, strict=True),
            "center": bool(center),
            "expected_rows": positive_integer("expected_rows", expected_rows, at_most=max_rows),
            "nu": nu if isinstance(nu, str) and nu == "auto" else _between("nu", nu, 1e-6, 1.0),
            "method": method,
            "resolution": _between("resolution", resolution, 2.0**-20, 0.1),
            "quantile": quantile,
            "beta": _between("beta", beta, 1e-12, 0.5),
            "max_rows": max_rows,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    # ---- public map ------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Number of coordinates of a record."""
        return len(self._middle)

    @property
    def _width(self) -> int:
        """Number of coordinates of a sealed row: one more, a constant, where a centre is looked for."""
        return self.dim + self.center

    @cached_property
    def _middle(self) -> Floats:
        """The point that is mapped to 0."""
        if isinstance(self.bounds, Box):
            low, high = np.array(self.bounds.low), np.array(self.bounds.high)
            return np.asarray(low + 0.5 * (high - low))
        return np.array(self.bounds.center or (0.0,) * (self.bounds.dim or 1))

    @cached_property
    def _sides(self) -> Floats:
        """Half sides of a box; the radius of a ball, d times."""
        if isinstance(self.bounds, Box):
            return np.asarray(np.array(self.bounds.high) - self._middle)
        return np.full(self.dim, self.bounds.radius)

    @cached_property
    def _scale(self) -> Floats:
        """Mapped records, ``(x - middle) * scale``, are in the unit ball."""
        return 1 / self._sides / (math.sqrt(self.dim) if isinstance(self.bounds, Box) else 1.0)

    def no_rows(self) -> tuple[NDArray[np.float64]]:
        """Return an array of no records."""
        return (np.empty((0, self.dim)),)

    def seal(self, *data: NDArray[Any], device: str = "auto") -> Rows:
        """Return the records as sealed lattice rows, int32: ``2**24`` times the mapped record, and the constant."""
        if device not in ("auto", "cpu"):
            raise InvalidParameter("device", repr(device), '"auto" or "cpu"')
        from dpstruct.kernels.john_ellipsoid import seal

        X = check_rows("A", data[0], self.dim)
        box, lattice = isinstance(self.bounds, Box), np.full((len(X), self._width), ENTRY, np.int32)
        bound = self.bounds.radius if isinstance(self.bounds, Ball) else math.sqrt(self.dim)

        def part(start: int, stop: int) -> None:
            with np.errstate(all="ignore"):
                rows = np.array(X[start:stop], dtype=np.float64, order="C")
            seal(rows, self._middle, self._sides, box, bound, ENTRY, lattice[start:stop])

        blocks.run(part, blocks.spans(len(X), _BLOCK))
        lattice.setflags(write=False)
        return Rows(len(X), lattice)

    # ---- what a release does ---------------------------------------------------------------------------------------

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group per round, and one for the size."""
        return groups(recipe(self, cost, neighbors), neighbors)

    def rounds(self, plan: Plan[PrivateEllipsoid], state: Any) -> Rounds:
        """Yield the sealed sums of each round, receive them noised."""
        yield from passes.rounds(recipe(self, plan.cost, plan.neighbors), plan, state)

    def worst_error(self, plan: Plan[PrivateEllipsoid]) -> float:
        """Return the standard error of the covered fraction at `expected_rows`, for the noisiest cell of the grid."""
        r = recipe(self, plan.cost, plan.neighbors)
        count = (1 - self.coverage) * r.count_error(plan)
        return math.hypot(float(r.tail.errors(plan).max()), count) / self.expected_rows

    def notes(self, plan: Plan[PrivateEllipsoid]) -> list[str]:
        """Return the method, its rounds and noise, and a warning where the noise decided against capped rounds."""
        r = recipe(self, plan.cost, plan.neighbors)
        noise = f"noise of a round {r.eta:.3g} of the moment it is added to"
        if r.capped:
            told = [
                f"method: capped, nu = {r.nu:.3g}, {len(WHITENING)} whitening and {len(CAPPED)} capped rounds; {noise}"
            ]
            return told + ["warning: so much noise drowns the shape; spend more, or use method='auto'"] * (r.eta > 1)
        told = [f"method: second moment, one round; {noise}"]
        if self.method == "auto" and isinstance(plan.cost, GDP):
            least = rows_needed(self, plan.cost, plan.neighbors)
            told.append(f"warning: fell back to it; capped rounds, a smaller ellipsoid, take expected_rows >= {least}")
        return told + ["warning: so much noise drowns the shape; spend more"] * (r.eta > 1)

    def __repr__(self) -> str:
        domain = f"dim={self.dim}" if self.dim > 3 else repr(self.bounds)
        return f"JohnEllipsoid({domain}, coverage={self.coverage}, center={self.center}, method={self.method!r})"


def _choice(argument: str, value: object, *allowed: str) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise InvalidParameter(argument, repr(value)[:80], " or ".join(map(repr, allowed)))


def _between(argument: str, value: object, low: float, high: float, *, strict: bool = False) -> float:
    number = real(argument, value)
    if not low <= number <= high or (strict and number in (low, high)):
        raise InvalidParameter(argument, repr(number), f"a number {'strictly ' * strict}between {low:g} and {high:g}")
    return number
