"""Eigenfunctions of product kernels, and of mixtures of them, under a law of the records.

Per axis of a product kernel, points t_i with weights w_i stand for the law, ``(v, u)`` are eigenpairs of
``sqrt(w_i w_l) kappa(t_i - t_l)`` and ``g_k(x) = sum_i kappa(x - t_i) sqrt(w_i) u_ik / sqrt(v_k)`` is ``B kappa_x`` for
a matrix B with ``B K B^T = I`` to `SLACK`: eigenfunctions beyond those for which that is verified are dropped. So
``g(x)`` is an image of x's representer under a map of norm at most ``1 + SLACK``, products over axes are an image under
the product of these maps, and leaving some out is a projection:

* ``|features(x)|**2 <= k(x, x) = 1`` and ``|features(x) - features(x')|**2 <= 2 - 2 k(x, x') <= 2``, both times
  ``(1 + SLACK)**(2 d)``, for every x, whatever the law: a wrong law costs accuracy only;
* linear interpolation between knots takes convex combinations of representers, whose inner products stay >= 0.

Component q of a mixture has features times the root of its weight; weights add to at most 1, and so do the bounds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["SLACK", "ProductBasis", "rotation"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Profile = Callable[[Floats], Floats]

SLACK = 2.0**-17
POINTS = 192  # that stand for the law of one axis
DEGREES = 32
_SMALLEST = 1e-8  # eigenvalue relative to the first


def rotation(matrix: Floats) -> tuple[Floats, Floats]:
    """Return eigenvalues and eigenvectors (columns) of a symmetric matrix by Jacobi's method, largest first.

    Fixed order and plain arithmetic: a record's rotated coordinates are the same on every machine.
    """
    A = (matrix + matrix.T) / 2
    d = len(A)
    V = np.eye(d)
    for _ in range(60):
        if not (np.abs(A - np.diag(np.diag(A))) > 1e-15 * np.abs(np.diag(A)).max()).any():
            break
        for p in range(d - 1):
            for q in range(p + 1, d):
                if A[p, q] == 0.0:
                    continue
                theta = (A[q, q] - A[p, p]) / (2 * A[p, q])
                t = (1.0 if theta >= 0 else -1.0) / (abs(theta) + np.sqrt(theta * theta + 1))
                c = 1 / np.sqrt(t * t + 1)
                s = t * c
                for M in (A, A.T, V):  # columns, rows, vectors
                    left, right = c * M[:, p] - s * M[:, q], s * M[:, p] + c * M[:, q]
                    M[:, p], M[:, q] = left, right
    order = np.argsort(-np.diag(A), kind="stable")
    return np.diag(A)[order], V[:, order]


class ProductBasis:
    """The products of per-axis eigenfunctions with the largest eigenvalues, of a kernel or of a mixture of kernels.

    Parameters
    ----------
    profiles : sequence of callable
        Components, as functions of the distance along one axis; 1 at 0, positive definite, not negative.
    weights : sequence of float
        Positive, one per component, with sum at most 1.
    center, spread : ndarray, shape (d,)
        Mean and standard deviation of the law, per axis.
    reach : ndarray, shape (d, 2)
        Where records can lie on each axis.
    count : int
        Number of features.
    knots : int
        Number of knots of the tables, at least two.

    Attributes
    ----------
    index : ndarray of int64, shape (m, d)
        The factors of each feature, one per axis, as columns of `factors`.
    starts : ndarray of int64, shape (d + 1,)
        First column of each axis.
    mass : float
        Sum of the eigenvalues kept: the mean squared norm of a record's features under the law.
    """

    def __init__(
        self,
        profiles: Sequence[Profile],
        weights: Sequence[float],
        center: Floats,
        spread: Floats,
        reach: Floats,
        count: int,
        knots: int,
    ) -> None:
        self.reach, self.knots, d = reach, knots, len(center)
        parts = [_axes(profile, center, spread, reach) for profile in profiles]
        chosen, self.mass = _largest([[axis.values for axis in part] for part in parts], weights, count)
        self._pieces: list[list[tuple[Profile, Floats, Floats]]] = []
        columns, starts = np.empty((len(chosen), d), np.int64), [0]
        for j in range(d):
            used, places = np.unique(chosen[:, [0, 1 + j]], axis=0, return_inverse=True)
            columns[:, j], pieces = places.reshape(-1) + starts[-1], []
            for q in np.unique(used[:, 0]).tolist():
                size = np.sqrt(weights[q]) if j == 0 else 1.0
                axis = parts[q][j]
                degrees = used[used[:, 0] == q, 1]
                pieces.append((profiles[q], axis.points, size * axis.matrix[degrees]))
            self._pieces.append(pieces)
            starts.append(starts[-1] + len(used))
        self.index: Integers = columns
        self.starts: Integers = np.array(starts, dtype=np.int64)

    @cached_property
    def tree(self) -> tuple[Integers, Integers]:
        """The two factors of every product: node 0 is 1, then the columns, products of halves of axes, the features."""
        m, d = self.index.shape
        pairs: list[Integers] = []
        count = 1 + int(self.starts[-1])

        def segment(a: int, b: int) -> Integers:
            """Return the nodes that the features have on some axes, adding those of two axes or more."""
            nonlocal count
            if b - a < 2:
                return self.index[:, a] + 1 if a < b else np.zeros(m, np.int64)
            both = np.stack([segment(a, (a + b) // 2), segment((a + b) // 2, b)], axis=1)
            distinct, place = np.unique(both, axis=0, return_inverse=True)
            pairs.append(distinct)
            count += len(distinct)
            return place.reshape(-1) + (count - len(distinct))

        top = np.stack([segment(0, (d + 1) // 2), segment((d + 1) // 2, d)], axis=1)
        left, right = np.ascontiguousarray(np.concatenate([*pairs, top]).T)
        return left, right

    @cached_property
    def part(self) -> Integers:
        """The component of each column."""
        return np.concatenate([np.full(len(B), q) for pieces in self._pieces for q, (_, _, B) in enumerate(pieces)])

    def factors(self, rows: Floats) -> Floats:
        """Return the factors of all features at some points, exact wherever they lie, (n, columns)."""
        out = [
            profile(np.abs(rows[:, j : j + 1] - points)) @ matrix.T
            for j, pieces in enumerate(self._pieces)
            for profile, points, matrix in pieces
        ]
        return np.concatenate(out, axis=1)

    def inner(self, factors: Floats, sums: Floats) -> Floats:
        """Return the inner products of the features that some factors make, (n, columns), with `sums`, (n,)."""
        from dpstruct.kernels.mercer import product_answers

        place = np.repeat(np.arange(len(factors), dtype=np.float64)[:, None], self.index.shape[1], axis=1)
        table = np.concatenate([factors, np.zeros((2, factors.shape[1]))])  # each row lies on a knot
        zero, one = np.zeros(place.shape[1]), np.ones(place.shape[1])
        return product_answers(place, zero, one, table, self.starts, *self.tree, sums)

    @cached_property
    def table(self) -> tuple[Floats, Floats, Floats]:
        """The factors at equally spaced knots of the reach, (knots, columns), low ends and scales, (d,)."""
        low, high = self.reach.T
        ends = low + np.linspace(0, 1, self.knots)[:, None] * (high - low)
        return self.factors(ends), low, (self.knots - 1) / (high - low)


@dataclass(frozen=True)
class _Axis:
    """Points, eigenvalues, and the matrix B of one axis."""

    points: Floats
    values: Floats
    matrix: Floats


def _axes(profile: Profile, center: Floats, spread: Floats, reach: Floats) -> list[_Axis]:
    """Return the eigenfunctions of all axes; equal axes have the same ones."""
    keys = list(zip(spread.tolist(), center.tolist(), *reach.T.tolist(), strict=True))
    known = {key: _axis(profile, *key) for key in dict.fromkeys(keys)}
    return [known[key] for key in keys]


def _axis(profile: Profile, spread: float, center: float, low: float, high: float) -> _Axis:
    """Return the eigenfunctions of one axis under a normal law, on points that stand for it."""
    left, right = max(low - center, -4 * spread), min(high - center, 4 * spread)
    if not left < right:  # the law lies outside the reach
        left, right = low - center, high - center
    t = left + (np.arange(POINTS) + 0.5) * ((right - left) / POINTS)
    points = t + center  # rounded once: the kernel matrix is that of the points that features use
    weights = np.exp(-0.5 * np.minimum((t / spread) ** 2, 1000.0))
    root = np.sqrt(np.maximum(weights / weights.sum(), 1e-12))
    K = profile(np.abs(points[:, None] - points))
    values, vectors = np.linalg.eigh(root[:, None] * K * root)
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = min(DEGREES, int((values > _SMALLEST * values[0]).sum()))
    vectors = vectors[:, :kept]
    half = vectors[POINTS // 2 :]  # eigenvalues of one axis are simple, so a sign settles an eigenfunction
    vectors = vectors * np.sign(half[np.abs(half).argmax(axis=0), np.arange(kept)])
    B: Floats = (vectors * root[:, None] / np.sqrt(values[:kept])).T
    error = B @ K @ B.T - np.eye(kept)
    while kept > 1 and not np.linalg.norm(error[:kept, :kept]) <= SLACK:
        kept -= 1  # the smallest eigenpairs are the least accurate; the first is off by a few roundings
    return _Axis(np.asarray(points, np.float64), values[:kept].astype(np.float64), B[:kept])


def _largest(values: list[list[Floats]], weights: Sequence[float], count: int) -> tuple[Integers, float]:
    """Return component and degrees of the products with the largest eigenvalues, sorted, and the sum of these.

    Logarithms are compared as integers: equal axes tie exactly, and the order does not hang on a last bit.
    """
    logs = [[np.rint(np.log(v) * 2.0**20).astype(np.int64).tolist() for v in axes] for axes in values]
    heap: list[tuple[int, tuple[int, ...]]] = []
    for q, axes in enumerate(logs):
        heap.append((-round(math.log(weights[q]) * 2.0**20) - sum(axis[0] for axis in axes), (q,) + (0,) * len(axes)))
    heapq.heapify(heap)
    seen = {at for _, at in heap}
    chosen: list[tuple[int, ...]] = []
    mass = 0.0
    while heap and len(chosen) < count:
        size, at = heapq.heappop(heap)
        chosen.append(at)
        mass += math.exp(-size * 2.0**-20)
        for j, degree in enumerate(at[1:]):
            axis = logs[at[0]][j]
            after = (*at[: 1 + j], degree + 1, *at[2 + j :])
            if degree + 1 < len(axis) and after not in seen:
                seen.add(after)
                heapq.heappush(heap, (size + axis[degree] - axis[degree + 1], after))
    return np.array(sorted(chosen), dtype=np.int64), mass
