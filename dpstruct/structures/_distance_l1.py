"""l1 distances by the Faber-Schauder tree; also of projections, one coordinate per direction."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line, Release
from dpstruct.core.plan import Scales
from dpstruct.domain import Box
from dpstruct.privacy import GDP, PureDP, Relation, RowsWithin
from dpstruct.structures._distance import Floats, Form, Sums64, kernels
from dpstruct.structures._schauder import gaussian_weights, laplace_weights, moved_within, variance

__all__ = ["L1Form"]


class L1Form(Form):
    """Sums of tents per coordinate of a box: proofs in `dpstruct.structures._schauder`."""

    extends = True

    def __init__(self, bounds: Box, depth: int, max_rows: int) -> None:
        self.bounds, self.depth, self.max_rows = bounds, depth, max_rows
        self.low, self.high = np.array(bounds.low), np.array(bounds.high)
        self.widths: Floats = self.high - self.low

    @cached_property
    def bits(self) -> NDArray[np.int64]:
        """Grid of coordinate j: ``0 .. 2**F_j``, finer for wide sides, so that noise scales stay in a common range.

        ``F_j = 30 - e`` with the smallest e such that ``4**e R_j >= sum(R)``, decided in integers: the lattice is the
        same on every machine.
        """
        widths = [Fraction(w) for w in self.widths.tolist()]
        total = sum(widths, Fraction(0))
        most = min(30, 62 - (self.max_rows - 1).bit_length())
        halves = [((math.ceil(total / w) - 1).bit_length() + 1) // 2 for w in widths]
        return np.array([min(most, max(self.depth, 30 - e)) for e in halves], dtype=np.int64)

    @cached_property
    def grid(self) -> Floats:
        """Number of grid steps of each side."""
        return (np.int64(1) << self.bits).astype(np.float64)

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the exact sums A, B and one array of tents per level."""
        from dpstruct.kernels.kde_tree import tents

        middle = self.low + 0.5 * self.widths
        count = kernels(device).leaf_counts
        leaves = count(X, self.low, self.high, middle, self.grid / self.widths, self.bits, self.depth)
        A, B, levels = tents(leaves, self.bits)
        return {"A": A, "B": B} | {f"level{k}": level for k, level in enumerate(levels)}

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group: both ends (A alone where n is public) and the levels, under one joint sensitivity."""
        counted = neighbors == "add-remove"
        widths, bits, dim = [Fraction(w) for w in self.widths.tolist()], self.bits.tolist(), len(self.widths)
        weigh = gaussian_weights if isinstance(cost, GDP) else laplace_weights
        ends, *levels = weigh(widths, bits, self.depth, counted=counted)
        lines = [Line(name, (dim,), tuple(ends)) for name in (["A", "B"] if counted else ["A"])]
        lines += [Line(f"level{k}", (dim, 1 << k), tuple(w)) for k, w in enumerate(levels)]
        sensitivity = Fraction(1)
        if isinstance(neighbors, RowsWithin) and isinstance(cost, GDP):
            sensitivity = moved_within(neighbors.radius, self.bounds.low, self.bounds.high, bits)
        return [Group(lines, sensitivity)]

    def worst(self, noise: Scales) -> float:
        """Return the largest standard error: it is convex between knots, so a knot has it."""
        t = np.arange((1 << self.depth) // 2 + 1) / 2.0**self.depth
        _, first, times = np.unique(np.stack([self.widths, self.grid]), axis=1, return_index=True, return_counts=True)
        worst = [self._variance(noise, t[:, None], slice(j, j + 1)).max() for j in first]
        return float(math.sqrt(np.array(worst) @ times))

    def _variance(self, noise: Scales, t: Floats, columns: slice = slice(None)) -> Floats:
        """Return the variance of each coordinate's part of the answers at relative positions `t`, shape (q, d)."""
        result: Floats = (self.widths / self.grid)[columns] ** 2 * variance(noise, self.depth, t, columns)
        return result

    @property
    def bias(self) -> float:
        """Largest bias per record: interpolation inside a leaf, and rounding to the grid."""
        return float((self.widths * (2.0 ** -(self.depth + 1) + 1 / self.grid)).sum())

    # ---- what a release answers ------------------------------------------------------------------------------------

    def _count_weights(self, noise: Scales) -> Floats:
        """Weights of the coordinates, all of which count the same records, in the released count."""
        weights: Floats = self.grid**2 / (noise.variance("A") + noise.variance("B"))
        weights /= weights.sum()
        return weights

    def count(self, release: Release) -> tuple[float, float]:
        """Return the noisy count, the best mean over coordinates of ``(A + B) / M``, and its standard error."""
        ends = release.transcript["A"].astype(np.float64) + release.transcript["B"].astype(np.float64)
        weights, noise = self._count_weights(release.receipt), release.receipt
        spread = (noise.variance("A") + noise.variance("B")) / self.grid**2
        return float(weights @ (ends / self.grid)), float(math.sqrt(weights**2 @ spread))

    def table(self, release: Any) -> NDArray[Any]:
        """Return the look-up table (d, 2**depth, 2): float32 where its rounding stays below 2 % of the noise."""
        from dpstruct.kernels.kde_tree import interleave, knots

        sums = release.transcript
        A = sums["A"]
        if "B" in sums:
            B = sums["B"]
        else:  # A + B = n M is public; modulo 2**64, like all sums
            whole = sums["n"].astype(np.uint64) << self.bits.astype(np.uint64)
            B = (whole - A.astype(np.uint64)).astype(np.int64)
        values = knots(A, B, [sums[f"level{k}"] for k in range(self.depth)], self.widths / self.grid)
        coarse = max(release.count, 0.0) * 2.0**-21 * float(self.widths.sum())
        noise = math.sqrt(self._variance(release.receipt, np.zeros((1, len(self.widths)))).sum())
        single = coarse <= 0.02 * noise and noise > 1e-30 and np.abs(values).max() < 1e30
        return interleave(values, np.float32 if single else np.float64)

    def answers(self, release: Any, rows: NDArray[Any], *, extend: bool, device: str) -> Floats:
        """Return one table entry per coordinate, summed; beyond the box plus `count` times the distance to it."""
        found: Floats = kernels(device).look_up(rows, release._table, self.low, 2.0**self.depth / self.widths)
        return found + release.count * self._beyond(rows) if extend else found

    def spread(self, release: Any, rows: NDArray[Any], *, extend: bool) -> Floats:
        """Return the variance of each answer; `extend` adds that of the count, which A and B share."""
        inside = np.clip(rows.astype(np.float64), self.low, self.high)
        t, noise = np.clip((inside - self.low) / self.widths, 0.0, 1.0), release.receipt
        spread = self._variance(noise, t)
        if extend and "B" in release.transcript:
            share = self._beyond(rows)[:, None] * self._count_weights(noise) / self.widths
            a, b = noise.variance("A"), noise.variance("B")
            spread += (self.widths / self.grid) ** 2 * (2 * share * ((1 - t) * a + t * b) + share**2 * (a + b))
        total: Floats = spread.sum(axis=1)
        return total

    def _beyond(self, rows: NDArray[Any]) -> Floats:
        exact = rows.astype(np.float64)
        distance: Floats = np.abs(exact - np.clip(exact, self.low, self.high)).sum(axis=1)
        return distance
