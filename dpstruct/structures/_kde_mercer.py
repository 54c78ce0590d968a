"""Kernel sums from eigenfunctions under a law of the records, stated publicly or learned privately in a first round.

Joint bounds, in steps of ``2**-30`` (attacked by ``tests/structures/test_kernel_density_prices.py``): a record's
integers have norm at most ``2**30``, whatever law. By `dpstruct.features.mercer` the features of two records have
norms up to ``A = (1 + SLACK)**d`` and differ by at most ``sqrt(2) A``; those above 1 are shrunk, by no more than A,
which adds ``A - 1`` at most; cutting toward zero adds at most one step per feature, and rounding in floating point
less than ``2**12`` steps in all. The law never enters a bound, so the scales of the second round are fixed beforehand
(arXiv 2210.17520).

The law of the first round is the second moment of the records z, scaled to the box, with a constant 1: one symmetric
Gaussian release (`dpstruct.structures._second_moment`), which also counts the records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line, Plan, Rounds, Rows
from dpstruct.core.plan import Scales
from dpstruct.core.state import State
from dpstruct.errors import InvalidParameter
from dpstruct.features import PublicMatrix, multiply, quantise
from dpstruct.features.draws import Draws
from dpstruct.features.mercer import SLACK, ProductBasis, rotation
from dpstruct.features.mixtures import components
from dpstruct.features.radial import KERNELS, Kernel
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _second_moment as second
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["LAW_SHARE", "Law", "Mercer"]

Arrays = Mapping[str, NDArray[Any]]

BITS = 30  # of a feature
CELLS = 1 << 17  # of the grid along half a side of the box
COARSE = 7  # bits of the grid that the law does without
KNOTS = 512  # per bandwidth, of the tables that records are looked up in
MOST_KNOTS = 1 << 13
LAW_SHARE = Fraction(1, 8)


def _one(dim: int) -> int:
    """Return the constant beside a record's coarse cells: their largest norm."""
    return math.isqrt(dim * (CELLS >> COARSE) ** 2 - 1) + 1


def _bound(dim: int) -> int:
    """Return the largest squared norm of both."""
    return dim * (CELLS >> COARSE) ** 2 + _one(dim) ** 2


class Law:
    """A normal law of the records in user units: centre, axes and standard deviations along them."""

    def __init__(self, center: Floats, axes: Floats, spread: Floats) -> None:
        self.center, self.axes, self.spread = center, axes, spread


class Mercer(Method):
    """Sums of the products of per-axis eigenfunctions with the largest eigenvalues."""

    name = "mercer"

    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        if (blueprint.location is None) != (blueprint.scale is None):
            raise InvalidParameter("location, scale", "one of them", "both, or none for a private law")
        self.features = min(blueprint.n_features or 4096, 1 << 16)
        reach = self.sides.sum() if self.kernel.norm == "l1" else np.sqrt((self.sides**2).sum())
        mixed = components(self.kernel.name, self.shape, float(reach) / self.bandwidth)
        self.base: Kernel = mixed[0]
        self.sizes, self.weights = mixed[1:]
        self.public_law: Law | None = None
        if blueprint.location is not None:
            self.public_law = self._given(np.array(blueprint.location), np.array(blueprint.scale))
        self._known: tuple[bytes, Law] | None = None
        if self.max_rows > self.capacity(blueprint):
            raise InvalidParameter("max_rows", str(self.max_rows), f"at most {self.capacity(blueprint)}")

    @classmethod
    def capacity(cls, blueprint: KernelDensity) -> int:
        """Return how many records the sums of both rounds hold."""
        largest = 1 << BITS if blueprint.location is not None else max(1 << BITS, 2 * _bound(blueprint.dim))
        return (1 << 62) // largest

    # ---- the law ---------------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def law(self, transcript: Transcript) -> Law:
        """Return the law that a release holds, from its first round; any noise gives one."""
        if self.public_law is not None:
            return self.public_law
        key = transcript["moment_diagonal"].tobytes() + transcript["moment_upper"].tobytes()
        known = self._known
        if known is None or known[0] != key:
            known = self._known = key, self._learned(transcript)
        return known[1]

    def _learned(self, transcript: Transcript) -> Law:
        moment = second.unpack("moment", transcript) / (CELLS >> COARSE) ** 2
        one = _one(self.dim) / (CELLS >> COARSE)
        count = max(moment[-1, -1] / one**2, 1.0)
        center = np.clip(moment[:-1, -1] / (one * count), -1.0, 1.0)
        half = self.sides / 2
        covariance = (moment[:-1, :-1] / count - np.outer(center, center)) * np.outer(half, half)
        axes, values = self._axes(covariance)
        floor, top = float(self.sides.min()) / 20, float(np.sqrt((half**2).sum()))
        spread = np.sqrt(np.clip(values, floor**2, top**2))
        return Law(self.middle + half * center, axes, spread)

    def _axes(self, covariance: Floats) -> tuple[Floats, Floats]:
        """Return the axes along which the kernel is a product, the principal ones if it may be turned; variances."""
        if self.base.norm != "l2":
            return np.eye(self.dim), np.diag(covariance)
        values, axes = rotation(covariance)
        return axes, values

    @np.errstate(all="ignore")
    def _given(self, location: Floats, scale: Floats) -> Law:
        """Return a public law: standard deviations, or a covariance matrix."""
        axes, values = (np.eye(self.dim), scale**2) if scale.ndim == 1 else self._axes(scale)
        if not (values > 0).all():
            raise InvalidParameter("scale", "a matrix that is not positive definite", "a covariance matrix")
        return Law(location, axes, np.sqrt(values))

    def law_of(self, transcript: Transcript) -> tuple[Floats, Floats]:
        """Return mean and covariance of `law`."""
        law = self.law(transcript)
        return law.center, (law.axes * law.spread**2) @ law.axes.T

    @np.errstate(all="ignore")
    def basis(self, law: Law) -> ProductBasis:
        """Return the eigenfunctions under a law, in coordinates ``axes^T (x - middle)``."""
        half = self.sides / 2
        far = np.abs(law.axes).T @ half * (1 + 1e-9)
        center = law.axes.T @ (law.center - self.middle)
        fine = KNOTS * 2 * float(far.max()) / self.bandwidth * (4 if len(self.sizes) > 1 else 1)
        knots = math.ceil(min(fine, MOST_KNOTS)) + 1
        plain = (tuple(vector.tolist()) for vector in (center, law.spread, far))
        return _basis(self.base.name, self.bandwidth, self.sizes, self.weights, *plain, self.features, knots)

    @property
    def _guess(self) -> Law:
        return Law(self.middle, np.eye(self.dim), self.sides / 5)

    @cached_property
    def _public_basis(self) -> ProductBasis:
        """The basis of the public law, or, for predictions, of a guess: centred, a fifth of each side wide."""
        return self.basis(self.public_law or self._guess)

    @np.errstate(all="ignore")
    def arrays(self, law: Law) -> Arrays:
        """Return the public arrays that map lattice rows to features."""
        basis = self.basis(law)
        table, low, scale = basis.table
        turned = quantise((self.sides / 2 / CELLS)[:, None] * law.axes, entry_bound=CELLS)
        left, right = basis.tree
        return {
            "turn": turned.integers,
            "low": low / turned.unit,
            "scale": scale * turned.unit,
            "table": table,
            "starts": basis.starts,
            "part": basis.part,
            "left": left,
            "right": right,
            "features": np.array(len(basis.index)),
            "count": np.array(self.features),
        }

    # ---- the rounds ------------------------------------------------------------------------------------------------

    @property
    def counts_apart(self) -> bool:
        """The private law counts the records, too."""
        return self.public_law is not None

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[list[Line], Fraction]:
        """Return the sums of the features."""
        count, size = self.features, 1 << BITS
        bound = Fraction(size)
        if neighbors != "add-remove":
            root = Fraction(math.isqrt(2 << 80) + 1, 1 << 40)
            stretch = (1 + Fraction(SLACK)) ** self.dim
            bound = size * (root * stretch + stretch - 1) + math.isqrt(count) + 1 + (1 << 12)
            bound = Fraction(math.ceil(bound))
        return [Line("sums", (count,))], bound**2

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the features' group, after that of the private law if there is one."""
        if self.public_law is not None:
            return super().groups(cost, neighbors)
        (features,) = super().groups(cost, neighbors)
        bound = second.sensitivity(self.dim + 1, cost, neighbors, bound=_bound(self.dim))
        law = Group(second.lines("moment", self.dim + 1, cost), bound, LAW_SHARE)
        return [law, Group(features.lines, features.sensitivity, 1 - LAW_SHARE)]

    @np.errstate(all="ignore")
    def _lattice(self, rows: Floats) -> NDArray[np.int32]:
        cells = np.clip(np.floor((rows - self.middle) / (self.sides / 2) * CELLS), -CELLS, CELLS)
        return np.asarray(cells, np.int32)

    def seal(self, X: NDArray[Any]) -> State:
        """Return lattice rows for two rounds, or the sums of the features where the law is public."""
        if self.public_law is not None:
            return super().seal(X)
        return Rows(len(X), np.concatenate([np.empty((0, self.dim), np.int32), *map(self._lattice, self.blocks(X))]))

    @cached_property
    def _public_arrays(self) -> Arrays:
        assert self.public_law is not None
        return self.arrays(self.public_law)

    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the sums of the features under the public law."""
        return {"sums": feature_sums(self._lattice(rows), self._public_arrays)[0]}

    def rounds(self, plan: Plan[Any], state: Any) -> Rounds:
        """Yield the second moment, then the features of the law that was released."""
        if self.public_law is not None:
            yield state.sums
            return
        lines = [line.name for line in second.lines("moment", self.dim + 1, plan.cost)]
        noised = yield state.sum(
            moment_sums, {"one": np.array(_one(self.dim)), "bound": np.array(_bound(self.dim))}, lines=lines
        )
        yield state.sum(feature_sums, self.arrays(self.law(noised)), lines=("sums",))

    # ---- answers ---------------------------------------------------------------------------------------------------

    @np.errstate(all="ignore")
    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return inner products of the queries' features, from the records' tables inside the box, with the sums."""
        from dpstruct.kernels.mercer import product_answers

        law = self.law(transcript)
        basis = self.basis(law)
        sums = np.ldexp(transcript["sums"][: len(basis.index)].astype(np.float64), -BITS)
        turned = (Y - self.middle - self.sides / (4 * CELLS)) @ law.axes  # records stand for their cells
        inside = ((basis.reach[:, 0] <= turned) & (basis.reach[:, 1] >= turned)).all(axis=1)
        table, low, scale = basis.table
        out = np.full(len(Y), np.nan)
        out[inside] = product_answers(turned[inside], low, scale, table, basis.starts, *basis.tree, sums)
        outside = np.flatnonzero(~inside & np.isfinite(turned).all(axis=1))
        for start in range(0, len(outside), 1 << 10):
            part = outside[start : start + (1 << 10)]
            out[part] = basis.inner(basis.factors(turned[part]), sums)
        return out

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return a bound, the same for every query: features have norm at most 1."""
        return np.full(len(Y), self.worst_variance(scales))

    def worst_variance(self, scales: Scales) -> float:
        """Return the variance of a query whose features have norm 1."""
        return float(scales.variance("sums")[0]) / 4.0**BITS

    @cached_property
    def fit_error(self) -> float:  # type: ignore[override]
        """Root mean square of what is missing from the kernel, over pairs of the public law, or of a guess of one."""
        law = self.public_law or self._guess
        with np.errstate(all="ignore"):
            from_center = Draws(0, "pairs").normal((2, 2000, self.dim)) * law.spread @ law.axes.T
            X, Y = np.clip(law.center + from_center, self.low, self.high) - self.middle
            basis = self._public_basis
            held = basis.inner(basis.factors(X @ law.axes) * basis.factors(Y @ law.axes), np.ones(len(basis.index)))
            return float(np.sqrt(((self.kernel.values(X - Y, self.bandwidth, self.shape) - held) ** 2).mean()))

    def count(self, transcript: Transcript) -> float:
        """Return the released number of records; the last entry of the second moment counts them."""
        if "n" in transcript or self.public_law is not None:
            return super().count(transcript)
        return float(transcript["moment_diagonal"][-1]) / _one(self.dim) ** 2

    def count_variance(self, scales: Scales) -> float:
        """Return the variance of `count`."""
        if self.public_law is not None:
            return super().count_variance(scales)
        return float(scales.variance("moment_diagonal")[0]) / float(_one(self.dim)) ** 4

    def operations(self, numbers: int) -> int:
        """Return two for each factor, and those of the products and their sum."""
        basis = self._public_basis
        return 2 * int(basis.starts[-1]) + len(basis.tree[0]) + len(basis.index)

    def notes(self) -> list[str]:
        """Return the kept part of the kernel, and what is kept of records."""
        basis = self._public_basis
        law = "the public law" if self.public_law else "a law of a fifth of each side"
        lines = [f"mercer: {len(basis.index)} features keep {basis.mass:.3f} of the kernel under {law}"]
        if self.public_law is None:
            lines.append(f"mercer: the real law is learned privately; a summary keeps {4 * self.dim} bytes a record")
        if len(self.sizes) > 1:
            lines.append(f"mercer: the kernel as a mixture of {len(self.sizes)} {self.base.name} kernels")
        return lines


@lru_cache(maxsize=2)  # tables may have a hundred megabytes
def _basis(
    kernel: str,
    bandwidth: float,
    sizes: tuple[float, ...],
    weights: tuple[float, ...],
    center: tuple[float, ...],
    spread: tuple[float, ...],
    far: tuple[float, ...],
    count: int,
    knots: int,
) -> ProductBasis:
    """Return the basis of public values; a release asks for the same one again and again."""
    profile = KERNELS[kernel].profile

    def component(size: float) -> Callable[[Floats], Floats]:
        return lambda distance: profile(distance / (size * bandwidth), 0.0)

    reach = np.stack([-np.array(far), np.array(far)], axis=1)
    profiles = [component(size) for size in sizes]
    return ProductBasis(profiles, weights, np.array(center), np.array(spread), reach, count, knots)


def moment_sums(rows: NDArray[np.int32], public: Arrays) -> list[NDArray[np.int64]]:
    """Return the second moment of coarse lattice rows with a constant, as lines."""
    coarse = np.concatenate([rows >> COARSE, np.full((len(rows), 1), public["one"])], axis=1).astype(np.int64)
    matrix = second.total(coarse, bound=int(public["bound"]))
    return list(second.pack("moment", matrix).values())


def feature_sums(rows: NDArray[np.int32], public: Arrays) -> list[NDArray[np.int64]]:
    """Return the sums of the features of lattice rows: an exact rotation, then tables and products."""
    from dpstruct.kernels.mercer import product_sums

    turned = multiply(rows, PublicMatrix(public["turn"], 1.0, CELLS))
    where = public["low"], public["scale"], public["table"], public["starts"], public["part"]
    sums = product_sums(turned, *where, public["left"], public["right"], int(public["features"]), BITS)
    return [np.pad(sums, (0, int(public["count"]) - len(sums)))]  # some laws have fewer products
