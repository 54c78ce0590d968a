"""Euclidean distances by slicing: ``|z|_2 = E |<u, z>| / c_d`` over directions u on the sphere.

Rows become lattice vectors; their projections on the public directions are exact integers, so a record's projections do
not depend on the rows beside it.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line, Release
from dpstruct.core.plan import Scales
from dpstruct.domain import Ball, Box
from dpstruct.features.directions import even_directions
from dpstruct.features.draws import Draws, orthogonal_blocks
from dpstruct.features.products import multiply, quantise
from dpstruct.lattice import to_lattice
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._distance import Floats, Form, Sums64, center_and_radius, inward, kernels
from dpstruct.structures._distance_l1 import L1Form
from dpstruct.structures._distance_options import dim_of, spread_bits

__all__ = ["CentredSlices", "PlainSlices", "slice_constant"]

BITS = 24
BLOCK = 1 << 22  # projections held at a time


def slice_constant(dim: int) -> float:
    """Return ``c_d = E |<u, z>|`` for u uniform on the sphere and any unit vector z."""
    return math.exp(math.lgamma(dim / 2) - math.lgamma((dim + 1) / 2)) / math.sqrt(math.pi)


class _Slices:
    """Public directions and the projections of rows and queries on them, in units of the radius over ``2**bits``."""

    def __init__(self, bounds: Box | Ball, directions: int, bits: int) -> None:
        self.bounds, self.dim, self.bits = bounds, dim_of(bounds), bits
        self.one = 1 << bits
        self.radius = center_and_radius(bounds)[1]
        if self.dim == 1:
            vectors = np.ones((1, 1))
        elif self.dim <= 3:
            vectors = even_directions(self.dim, directions)
        else:
            vectors = orthogonal_blocks(Draws(0, "KDETree l2"), self.dim, directions)
        self.public = quantise(vectors, entry_bound=self.one)
        self.count = vectors.shape[1]
        self.block = max(1, BLOCK // self.count)

    def project(self, X: NDArray[Any]) -> Floats:
        """Return the projections of records, integers within ``+-2**bits``, each from its own record alone."""
        rows = to_lattice(inward(X, self.bounds), bound=self.radius, bits=self.bits)
        found: Floats = np.clip(np.trunc(multiply(rows, self.public) * self.public.unit), -self.one, self.one)
        return found

    def project_queries(self, rows: NDArray[Any]) -> Floats:
        """Return the projections of queries, clipped to the domain; a NaN stays one."""
        offset = inward(rows, self.bounds)
        offset[np.isnan(rows).any(axis=1)] = np.nan
        found: Floats = (offset / self.radius) @ (self.public.matrix * self.one)
        return found


class PlainSlices(Form):
    """An l1 tree over the projections: standard error at most ``2 r / (c_d mu)``, for up to four coordinates.

    Direction i gets the range ``[-rho_i, rho_i]`` that it has in the domain, ``sum |u_ij| R_j / 2`` in a box. The noise
    lines and their proof are those of the l1 tree.
    """

    def __init__(self, bounds: Box | Ball, directions: int, depth: int, max_rows: int) -> None:
        self._slices = slices = _Slices(bounds, directions, BITS)
        rho = np.full(slices.count, float(slices.one))
        if isinstance(bounds, Box):
            half = 0.5 * (np.array(bounds.high) - np.array(bounds.low)) / slices.radius
            rho = np.minimum(rho, np.ceil(np.abs(slices.public.matrix.T) @ half * slices.one) + 1)
        self.tree = L1Form(Box(-rho, rho), depth, max_rows)
        self._unit = slices.radius / (slices.one * slices.count * slice_constant(slices.dim))

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the tree's sums of the projections."""
        block, project = self._slices.block, self._slices.project
        total = self.tree.sums(project(X[:block]), device)
        for start in range(block, len(X), block):
            for name, part in self.tree.sums(project(X[start : start + block]), device).items():
                total[name] += part
        return total

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the tree's group; a row that moves little is charged as one that is substituted."""
        return self.tree.groups(cost, neighbors if isinstance(neighbors, str) else "substitute")

    def worst(self, noise: Scales) -> float:
        """Return the largest standard error: that of all projections at an end, an upper bound."""
        return self._unit * self.tree.worst(noise)

    def count(self, release: Release) -> tuple[float, float]:
        """Return the tree's count."""
        return self.tree.count(release)

    def table(self, release: Any) -> NDArray[Any]:
        """Return the tree's table."""
        return self.tree.table(release)

    def answers(self, release: Any, rows: NDArray[Any], *, extend: bool, device: str) -> Floats:
        """Return the mean over directions of the tree's answers."""
        found = self.tree.answers(release, self._slices.project_queries(rows), extend=False, device=device)
        return self._unit * found

    def spread(self, release: Any, rows: NDArray[Any], *, extend: bool) -> Floats:
        """Return the variance of each answer."""
        spread = self.tree.spread(release, self._slices.project_queries(rows), extend=False)
        return self._unit**2 * spread

    @cached_property
    def bias(self) -> float:
        """Largest bias per record from leaves and grids; the directions' own spread is relative, see the docs."""
        return self._unit * (self.tree.bias + 2 * self._slices.count * math.sqrt(self._slices.dim))


class CentredSlices(Form):
    """``|p - q| = |p| + |q| - 2 min(|p|, |q|) [same sign]``: an error that does not grow with the dimension.

    The integers of a record are its projections P_i, shrunk until ``sum |P_i| <= E = m M / sqrt(d)`` (which orthogonal
    bases satisfy but for rounding), with ``M = 2**24`` (less where many directions and rows need the bits). Lines and
    variances (units of ``1 / mu**2``): the count, 4; the sum ``S = sum_i |P_i|``, ``4 E**2``; per direction and sign a
    half tree over ``a = |P_i|`` with end ``sum a``, ``2 E M``, and tents, ``2 E w`` on nodes of width w. As
    ``a**2 / M + sum T**2 / w <= a``, a record costs at most ``1/4 + 1/4 + S / (2 E) <= 1``. Where n is public there is
    no count, S gets ``2 E**2``, and two records cost at most ``(S + S') / (2 E) + (S - S')**2 / (2 E**2) <= 1``.
    """

    def __init__(self, bounds: Box | Ball, directions: int, depth: int, max_rows: int) -> None:
        bits = min(BITS, 62 - (max_rows - 1).bit_length() - spread_bits(dim_of(bounds), directions))
        self._slices = slices = _Slices(bounds, directions, bits)
        self.depth, self.one, m = depth, slices.one, slices.count
        self.most = math.isqrt((m * self.one) ** 2 // slices.dim)  # E
        self._unit = slices.radius / (self.one * m * slice_constant(slices.dim))

    def _project(self, X: NDArray[Any]) -> Floats:
        P = self._slices.project(X).astype(np.int64)
        total = np.abs(P).sum(axis=1, keepdims=True)
        long = total[:, 0] > self.most
        P[long] = np.sign(P[long]) * (np.abs(P[long]) * self.most // total[long])
        return P.astype(np.float64)

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the count, the sum of all sizes, and the half trees of both signs."""
        from dpstruct.kernels.kde_tree import tents

        m, low = self._slices.count, np.full(self._slices.count, float(-self.one))
        ones, bits = np.ones(m), np.full(m, self._slices.bits + 1)
        leaves, total = np.zeros((m, 2 << self.depth, 2), np.int64), np.zeros((), np.int64)
        for start in range(0, max(len(X), 1), self._slices.block):
            P = self._project(X[start : start + self._slices.block])
            leaves += kernels(device).leaf_counts(P, low, -low, 0.0 * low, ones, bits, self.depth + 1)
            total = np.add(total, np.abs(P).sum(dtype=np.float64).astype(np.int64), out=np.empty((), np.int64))
        half = 1 << self.depth
        _, negative, below = tents(leaves[:, :half], bits - 1)
        positive, _, above = tents(leaves[:, half:], bits - 1)
        sums = {"count": np.array(len(X), np.int64), "size": np.array(total, np.int64)}
        sums["ends"] = np.stack([negative, positive])
        return sums | {f"level{k}": np.stack([a, b]) for k, (a, b) in enumerate(zip(below, above, strict=True))}

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group of all lines with sensitivity 1."""
        m, E, counted = self._slices.count, self.most, neighbors == "add-remove"
        lines = [Line("count", (), Fraction(4))] if counted else []
        lines += [
            Line("size", (), Fraction((4 if counted else 2) * E**2)),
            Line("ends", (2, m), Fraction(2 * E * self.one)),
        ]
        lines += [Line(f"level{k}", (2, m, 1 << k), Fraction(2 * E * (self.one >> k))) for k in range(self.depth)]
        return [Group(lines, Fraction(1))]

    def worst(self, noise: Scales) -> float:
        """Return ``4 e_max / mu`` (substitute: ``sqrt(10)``), an upper bound: all queries have ``sum |Q_i| <= E``."""
        count = noise.variance("count")[0] if "count" in noise.lines else 0.0
        tree = 4 * noise.variance("ends")[0] / self.one
        return self._unit * math.sqrt(noise.variance("size")[0] + self.most**2 * count + tree * self.most)

    def table(self, release: Any) -> NDArray[Any]:
        """Return the table of ``-2 sum min(a, b)`` over [-M, M] per direction; the rest of an answer is two sums."""
        from dpstruct.kernels.kde_tree import interleave, knots

        sums, m = release.transcript, self._slices.count
        levels = [-0.5 * sums[f"level{k}"] for k in range(self.depth)]
        none = np.zeros(m, np.int64)
        below = knots(sums["ends"][0], none, [level[0] for level in levels], np.full(m, -2.0))
        above = knots(none, sums["ends"][1], [level[1] for level in levels], np.full(m, -2.0))
        return interleave(np.concatenate([below, above[:, 1:]], axis=1), np.float64)

    def answers(self, release: Any, rows: NDArray[Any], *, extend: bool, device: str) -> Floats:
        """Return ``r / (m c_d M) (S + n sum |Q_i| - 2 K)``."""
        Q = self._slices.project_queries(rows)
        m = self._slices.count
        shared = kernels(device).look_up(
            Q, release._table, np.full(m, float(-self.one)), np.full(m, 2.0**self.depth / self.one)
        )
        found: Floats = self._unit * (
            float(release.transcript["size"]) + release.count * np.abs(Q).sum(axis=1) + shared
        )
        return found

    def spread(self, release: Any, rows: NDArray[Any], *, extend: bool) -> Floats:
        """Return the variance of each answer: size, count and one half tree per direction."""
        Q = np.abs(self._slices.project_queries(rows))
        noise = release.receipt
        t = np.minimum(Q / self.one, 1.0)
        tree = t**2 * noise.variance("ends")[0]
        for k in range(self.depth):
            inside = t * 2.0**k % 1.0
            tree += np.minimum(inside, 1 - inside) ** 2 * noise.variance(f"level{k}")[0]
        count = noise.variance("count")[0] if "count" in noise.lines else 0.0
        total: Floats = noise.variance("size")[0] + Q.sum(axis=1) ** 2 * count + 4 * tree.sum(axis=1)
        return self._unit**2 * total

    @cached_property
    def bias(self) -> float:
        """Largest bias per record from leaves and lattices; the directions' own spread is relative, see the docs."""
        m = self._slices.count
        return self._unit * m * (self.one / 2.0 ** (self.depth + 1) + 4 * math.sqrt(self._slices.dim))
