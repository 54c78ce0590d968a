"""Eigenfunctions of a product kernel under a law of the records: the best features of a given number.

Per axis, points t_i with weights w_i stand for the law, ``(v, u)`` are eigenpairs of ``sqrt(w_i w_l) kappa(t_i - t_l)``
and ``g_k(x) = sum_i kappa(x - t_i) sqrt(w_i) u_ik / sqrt(v_k)`` is ``B kappa_x`` for a matrix B with ``B K B^T = I``
to `SLACK`: eigenfunctions beyond those for which that is verified are dropped. So ``g(x)`` is an image of x's
representer under a map of norm at most ``1 + SLACK``, products over axes are an image under the product of these maps,
and leaving some out is a projection:

* ``|features(x)|**2 <= k(x, x) = 1`` and ``|features(x) - features(x')|**2 <= 2 - 2 k(x, x') <= 2``, both times
  ``(1 + SLACK)**(2 d)``, for every x, whatever the law: a wrong law costs accuracy only;
* linear interpolation between knots takes convex combinations of representers, whose inner products stay >= 0.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["SLACK", "ProductBasis", "rotation"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

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
    """The products of per-axis eigenfunctions with the largest eigenvalues.

    Parameters
    ----------
    profile : callable
        The kernel of one axis as a function of the distance; 1 at 0, positive definite, not negative.
    center, spread : ndarray, shape (d,)
        Mean and standard deviation of the law, per axis.
    reach : ndarray, shape (d, 2)
        Where records can lie on each axis.
    count : int
        Number of features.

    Attributes
    ----------
    index : ndarray of int64, shape (m, d)
        Degrees of each feature.
    mass : float
        Sum of the eigenvalues kept: the mean squared norm of a record's features under the law.
    fit : float
        Root mean square of what is missing from the kernel, over pairs of the law.
    """

    def __init__(
        self, profile: Callable[[Floats], Floats], center: Floats, spread: Floats, reach: Floats, count: int
    ) -> None:
        self.reach = reach
        self._profile = profile
        known: dict[tuple[float, ...], tuple[Floats, Floats, Floats, float]] = {}
        axes = []
        for j in range(len(center)):
            key = (float(spread[j]), float(reach[j, 0] - center[j]), float(reach[j, 1] - center[j]))
            if key not in known:
                known[key] = _axis(profile, *key)
            axes.append(known[key])
        degrees = max(len(values) for _, values, _, _ in axes)
        self.grid = np.stack([points + c for (points, _, _, _), c in zip(axes, center, strict=True)])
        self.matrices = np.stack([np.pad(B, ((0, degrees - len(B)), (0, 0))) for _, _, B, _ in axes])
        self.index = _largest([values for _, values, _, _ in axes], count)
        padded = np.stack([np.pad(values, (0, degrees - len(values))) for _, values, _, _ in axes])
        kept = np.prod(padded[np.arange(len(axes)), self.index], axis=1)
        self.mass = float(kept.sum())
        total = float(np.prod([squares for _, _, _, squares in axes]))
        self.fit = float(np.sqrt(max(total - float((kept**2).sum()), 0.0)))

    @cached_property
    def tree(self) -> tuple[Integers, Integers, int]:
        """Parent and factor of every node of the tree of products, and the first node that is a feature."""
        degrees = self.matrices.shape[1]
        parents, entries = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        above, first = np.zeros(len(self.index), np.int64), 1
        for j in range(self.index.shape[1]):
            pairs, place = np.unique(np.stack([above, self.index[:, j]], axis=1), axis=0, return_inverse=True)
            parents.append(pairs[:, 0])
            entries.append(pairs[:, 1] + j * degrees)
            above, start = first + place.reshape(-1), first
            first += len(pairs)
        return np.concatenate(parents), np.concatenate(entries), start

    def factors(self, rows: Floats) -> Floats:
        """Return the eigenfunctions of every axis at some points, exact wherever they lie, (n, d, degrees)."""
        out = np.empty((len(rows), *self.matrices.shape[:2]))
        for j, (points, B) in enumerate(zip(self.grid, self.matrices, strict=True)):
            out[:, j] = self._profile(np.abs(rows[:, j : j + 1] - points)) @ B.T
        return out

    def table(self, knots: int) -> tuple[Floats, Floats, Floats]:
        """Return the eigenfunctions at equally spaced knots of the reach, (d, knots, degrees), low ends and scales."""
        low, high = self.reach.T
        ends = low + np.linspace(0, 1, knots)[:, None] * (high - low)
        tables = np.ascontiguousarray(self.factors(ends).transpose(1, 0, 2))
        return tables, low, (knots - 1) / (high - low)


def _axis(
    profile: Callable[[Floats], Floats], spread: float, low: float, high: float
) -> tuple[Floats, Floats, Floats, float]:
    """Return points about the centre, eigenvalues, the matrix B and the sum of all squared eigenvalues of one axis."""
    left, right = max(low, -4 * spread), min(high, 4 * spread)
    if not left < right:  # the law lies outside the reach
        left, right = low, high
    t = left + (np.arange(POINTS) + 0.5) * ((right - left) / POINTS)
    weights = np.exp(-0.5 * np.minimum((t / spread) ** 2, 1000.0))
    root = np.sqrt(np.maximum(weights / weights.sum(), 1e-12))
    K = profile(np.abs(t[:, None] - t))
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
    return np.asarray(t, np.float64), values[:kept].astype(np.float64), B[:kept], float((values**2).sum())


def _largest(values: list[Floats], count: int) -> Integers:
    """Return the degrees of the products with the largest eigenvalues, sorted; ties by degrees.

    Logarithms are compared as integers: equal axes tie exactly, and the order does not hang on a last bit.
    """
    logs = [np.rint(np.log(v / v[0]) * 2.0**20).astype(np.int64).tolist() for v in values]
    start = (0,) * len(values)
    heap, seen = [(0, start)], {start}
    chosen: list[tuple[int, ...]] = []
    while heap and len(chosen) < count:
        size, at = heapq.heappop(heap)
        chosen.append(at)
        for j, degree in enumerate(at):
            after = (*at[:j], degree + 1, *at[j + 1 :])
            if degree + 1 < len(logs[j]) and after not in seen:
                seen.add(after)
                heapq.heappush(heap, (size + logs[j][degree] - logs[j][degree + 1], after))
    return np.array(sorted(chosen), dtype=np.int64)
