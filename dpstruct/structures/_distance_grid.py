"""``sum_j |x_j - y_j|**p`` for any p in (0, 2): a factor of the distance matrix of a grid, coordinate by coordinate.

On G knots t of [0, 1] either ``K = c - |t_a - t_b|**p`` (the smallest c that leaves K positive), or, where c would be
large, ``K = (|s|**p + |t|**p - |s - t|**p) / 2`` about the midpoint. With ``K = V V'`` a record contributes row V[g] of
its knot (or a mean of two rows), an answer is ``V[y] @ sum``, and the noise of all of them is that of one.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line
from dpstruct.core.plan import Scales
from dpstruct.domain import Box
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._distance import Floats, Form, Sums64, kernels

__all__ = ["GridForm", "factor"]

Integers = NDArray[np.int64]
CENTRED_ABOVE = 1.55  # there the plain constant c passes the price of the centred form
PART = 1 << 6  # a record lies this finely between two knots
SCALE = 1 << 24  # of the entries of V


@lru_cache(maxsize=8)
def factor(p: float, cells: int) -> tuple[float, Integers, Integers]:
    """Return c (0 for the centred form), V and the integers nearest to ``SCALE |s|**p``, V in units of ``1 / SCALE``.

    Powers come from mpmath and the factor from a Cholesky process without BLAS, so that every machine has the same.
    """
    import mpmath

    with mpmath.workprec(100):
        power = np.array([float((mpmath.mpf(k) / cells) ** mpmath.mpf(p)) for k in range(cells + 1)])
        middle = [mpmath.mpf(abs(2 * k - cells)) / (2 * cells) for k in range(cells + 1)]
        size = np.array([float(s ** mpmath.mpf(p)) for s in middle])
    k = np.arange(cells + 1)
    distance = power[np.abs(k[:, None] - k)]
    if p > CENTRED_ABOVE:
        c, K = 0.0, 0.5 * (size[:, None] + size - distance)
    else:
        c = math.ceil(2**20 / float(np.linalg.solve(distance, np.ones(cells + 1)).sum())) / 2**20
        K, size = c - distance, np.zeros(cells + 1)
    V = np.rint(_cholesky(K) * SCALE).astype(np.int64)
    V.setflags(write=False)
    return c, V, np.rint(size * SCALE).astype(np.int64)


def _cholesky(K: Floats) -> Floats:
    """Return a lower triangular V with ``V V' = K``, K positive semi-definite, elementwise and in a fixed order."""
    rest, V = K.copy(), np.zeros_like(K)
    for j in range(len(K)):
        if rest[j, j] > 1e-13:
            V[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
            rest[j:, j:] -= V[j:, j, None] * V[None, j:, j]
    return V


class GridForm(Form):
    """The grid's factor per coordinate, and for the centred form the sum of ``|s|**p``.

    The joint sensitivity is enumerated, exactly: with coordinate j's weights divided by its part of
    ``sum_j R_j**p``, a change costs at most the largest cost in one coordinate, and a quadratic form of a mean of knots
    (of two records) is largest at knots.
    """

    def __init__(self, bounds: Box, p: float, cells: int, max_rows: int) -> None:
        self.bounds, self.p, self.cells = bounds, p, cells
        self.low, self.high = np.array(bounds.low), np.array(bounds.high)
        self.widths: Floats = self.high - self.low
        self.scale: Floats = self.widths**p
        parts = [max(1, round(2.0**40 * float(w))) for w in (self.widths / self.widths.max()) ** p]
        self.shares = [Fraction(sum(parts), part) for part in parts]

    @property
    def centred(self) -> bool:
        """Whether the midpoint is the reference."""
        return self.p > CENTRED_ABOVE

    @cached_property
    def _factor(self) -> tuple[float, Integers, Integers]:
        return factor(self.p, self.cells)

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the count and, per coordinate, the sums of rows of V (and of ``|s|**p``), from counts of cells."""
        _, V, size = self._factor
        depth, part = self.cells.bit_length() - 1, PART.bit_length() - 1
        bits = np.full(len(self.widths), depth + part)
        middle, scale = self.low + 0.5 * self.widths, (self.cells * PART) / self.widths
        leaves = kernels(device).leaf_counts(X, self.low, self.high, middle, scale, bits, depth)
        knots = np.zeros((len(self.widths), self.cells + 1), np.int64)
        knots[:, :-1] += PART * leaves[:, :, 0] - leaves[:, :, 1]
        knots[:, 1:] += leaves[:, :, 1]
        sums = {"count": np.array(len(X), np.int64), "total": knots @ V}
        return sums | {"size": knots @ size} if self.centred else sums

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group with the enumerated sensitivity."""
        if isinstance(cost, PureDP):
            remedy = "pass delta > 0, or use metric='l1' or an even p"
            raise InvalidParameter("delta", "0", f"delta > 0 for p = {self.p:g}", remedy)
        counted, dim = neighbors == "add-remove", len(self.widths)
        changes = _changes(self.p, self.cells, counted)
        total, lines = max(r for r, _ in changes) * PART**2, []
        if self.centred:
            top = max(D for _, D in changes) * PART**2
            w_total, w_size = (2 * total, 4 * top) if counted else (total, 2 * top)
            bound, w_count = max(r / w_total + D / w_size for r, D in changes) * PART**2, Fraction(4)
            lines.append(Line("size", (dim,), tuple(w_size * share for share in self.shares)))
        else:
            w_total, w_count = (2 * total, Fraction(2)) if counted else (total, Fraction(1))
            bound = total / w_total
        lines.append(Line("total", (dim, self.cells + 1), tuple(w_total * share for share in self.shares)))
        if counted:
            return [Group([Line("count", (), w_count), *lines], bound + 1 / w_count)]
        return [Group(lines, bound)]

    def _table(self, count: float, total: Floats, size: Floats | None) -> Floats:
        """Return the answers' parts at the knots of each coordinate, (d, cells + 1)."""
        c, V, sizes = self._factor
        inner = total @ V.T.astype(np.float64) / (float(SCALE) ** 2 * PART)
        if size is None:
            return self.scale[:, None] * (c * count - inner)
        own = (size / (SCALE * PART))[:, None] + count * sizes / SCALE
        return self.scale[:, None] * (own - 2 * inner)

    def table(self, release: Any) -> NDArray[Any]:
        """Return the look-up table (d, cells, 2)."""
        from dpstruct.kernels.kde_tree import interleave

        sums = {name: array.astype(np.float64) for name, array in release.transcript.items()}
        return interleave(self._table(release.count, sums["total"], sums.get("size")), np.float64)

    def answers(self, release: Any, rows: NDArray[Any], *, extend: bool, device: str) -> Floats:
        """Return one interpolated table entry per coordinate, summed."""
        found: Floats = kernels(device).look_up(rows, release._table, self.low, self.cells / self.widths)
        return found

    def spread(self, release: Any, rows: NDArray[Any], *, extend: bool) -> Floats:
        """Return the variance of each answer, for the interpolated rows of V that it uses."""
        inside = (np.clip(rows.astype(np.float64), self.low, self.high) - self.low) / self.widths * self.cells
        inside = np.clip(inside, 0.0, self.cells)
        return self._spread(release.receipt, inside)

    def _spread(self, noise: Scales, place: Floats) -> Floats:
        c, V, sizes = self._factor
        left = np.minimum(np.nan_to_num(place).astype(np.int64), self.cells - 1)
        u = place - left
        squares = (V.astype(np.float64) ** 2).sum(axis=1) / float(SCALE) ** 2
        across = (V[:-1].astype(np.float64) * V[1:]).sum(axis=1) / float(SCALE) ** 2
        length = (1 - u) ** 2 * squares[left] + u**2 * squares[left + 1] + 2 * u * (1 - u) * across[left]
        total = noise.variance("total") / (float(SCALE) * PART) ** 2
        count = noise.variance("count")[0] if "count" in noise.lines else 0.0
        if not self.centred:
            plain: Floats = (self.scale**2 * total * length).sum(axis=1) + (c * self.scale.sum()) ** 2 * count
            return plain
        own = ((1 - u) * sizes[left] + u * sizes[left + 1]) / SCALE
        spread = self.scale**2 * (noise.variance("size") / (float(SCALE) * PART) ** 2 + 4 * total * length)
        centred: Floats = spread.sum(axis=1) + (own @ self.scale) ** 2 * count
        return centred

    def worst(self, noise: Scales) -> float:
        """Return the largest standard error, that of a knot at the rim in every coordinate."""
        dim = len(self.widths)
        knots = np.repeat(np.arange(self.cells + 1.0)[:, None], dim, axis=1)
        return float(np.sqrt(self._spread(noise, knots).max()))

    @cached_property
    def bias(self) -> float:
        """Largest bias per record: interpolation between knots at both ends, and rounding of V."""
        c, V, sizes = self._factor
        k = np.arange(self.cells + 1)
        step, p = 1.0 / self.cells, self.p
        inner = V.astype(np.float64) @ V.T / float(SCALE) ** 2
        made = sizes[:, None] / SCALE + sizes / SCALE - 2 * inner if self.centred else c - inner
        off = float(np.abs(made - (np.abs(k[:, None] - k) / self.cells) ** p).max())
        curve = step**p if p <= 1 else 2 ** (2 - p) * (step**2 / 2) ** (p / 2)
        grid = (step / PART) ** min(p, 1.0) * max(p, 1.0)  # a record's place between two knots, rounded down
        return float(self.scale.sum() * (curve + grid + off))


@lru_cache(maxsize=16)
def _changes(p: float, cells: int, counted: bool) -> tuple[tuple[Fraction, Fraction], ...]:
    """Return the squared changes of a row of V and of the size, of all knots or pairs of knots that none dominates.

    A weighted sum of the two has its maximum among them.
    """
    _, V, size = factor(p, cells)
    squares = (V * V).sum(axis=1)
    if counted:
        r, D = squares, size**2
    else:  # |V_a - V_b|**2 and (size_a - size_b)**2, exactly
        r = (squares[:, None] + squares - 2 * (V @ V.T)).ravel()
        D = ((size[:, None] - size) ** 2).ravel()
    order = np.lexsort((-D, -r))
    above = np.maximum.accumulate(np.concatenate([[-1], D[order][:-1]]))
    kept = order[D[order] > above]
    return tuple((Fraction(int(r[i])), Fraction(int(D[i]))) for i in kept)
