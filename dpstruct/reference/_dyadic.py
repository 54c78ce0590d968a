"""What the published distance trees share: public bounds, the split of the budget, heaps of counts, noise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import Box, check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter
from dpstruct.kernels import blocks
from dpstruct.reference._label import FLOAT_NOISE, Label

Array = NDArray[np.float64]
Table = NDArray[np.floating[Any]]
_ROWS = 1 << 14  # queries of one task


def positive(argument: str, value: object) -> float:
    """Return `value` as a float if it is a positive finite number."""
    number = real(argument, value)
    if not number > 0:
        raise InvalidParameter(argument, repr(number), "a positive number")
    return number


class DistanceTree(ABC):
    """Base of the baselines: one binary tree over ``2**depth`` equal cells per coordinate.

    Exactly one of `epsilon` (Laplace noise, pure DP) and `mu` (Gaussian noise, GDP) is given. Coordinates share it in
    the way that minimises the variance of a sum of distances: epsilon in proportion to ``range**(2/3)``, mu squared in
    proportion to the range. With equal ranges this is epsilon/d, as published, and mu/sqrt(d).
    """

    _source: str

    def __init__(
        self,
        bounds: tuple[ArrayLike, ArrayLike],
        *,
        depth: int,
        neighbors: str,
        epsilon: SupportsFloat | None,
        mu: SupportsFloat | None,
    ) -> None:
        box = Box(*bounds)
        self.low, self.high = np.array(box.low, np.float64), np.array(box.high, np.float64)
        if neighbors not in ("add-remove", "substitute"):
            raise InvalidParameter("neighbors", repr(neighbors), "'add-remove' or 'substitute'")
        if (epsilon is None) == (mu is None):
            received = "neither" if mu is None else "both"
            raise InvalidParameter("epsilon, mu", received, "exactly one", "epsilon gives Laplace noise, mu Gaussian")
        self.depth, self.neighbors = positive_integer("depth", depth, at_most=20), neighbors
        self.epsilon = None if epsilon is None else positive("epsilon", epsilon)
        self.mu = None if mu is None else positive("mu", mu)
        self._tables: Table | None = None

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        measure = f"{self.mu!r}-GDP" if self.epsilon is None else f"{self.epsilon!r}-DP"
        claim = f"{measure} under {self.neighbors} neighbours of rows if bounds and depth are public"
        return Label(self._source, claim, None, FLOAT_NOISE, True)

    def fit(self, X: ArrayLike, rng: np.random.Generator) -> Self:
        """Count the records of `X`, shape (n, d), and add noise from `rng` once.

        Values outside the bounds are clipped; NaN and infinities count as the middle of the box.
        """
        self._tables = self._release(self._columns(X), rng)
        return self

    def query(self, Y: ArrayLike) -> Array:
        """Return the noisy sums of l1 distances to the rows of `Y`, shape (q, d), as an array of shape (q,).

        Queries are clipped to the bounds; a row with a NaN is answered by NaN.
        """
        if self._tables is None:
            raise InvalidParameter("query", "a tree without data", "a fitted tree", "call fit first")
        return self._walk(Y, self._walker(self._tables))

    @abstractmethod
    def error(self, Y: ArrayLike) -> Array:
        """Return the standard error that the noise gives each answer of ``query(Y)``, from public values only."""

    @abstractmethod
    def _release(self, X: Array, rng: np.random.Generator) -> Table:
        """Return the noisy tables that queries read."""

    @abstractmethod
    def _walker(self, tables: Table) -> Callable[[Array, Array], None]:
        """Return ``walk(Y_block, out_block)`` over `tables`."""

    @property
    def _cells(self) -> int:
        return int(2**self.depth)

    @property
    def _ranges(self) -> Array:
        return self.high - self.low

    @property
    def _cells_per_unit(self) -> Array:
        return self._cells / self._ranges

    def _rows(self, argument: str, values: ArrayLike) -> Array:
        rows: Array = np.ascontiguousarray(check_rows(argument, values, self.low.size), dtype=np.float64)
        return rows

    def _columns(self, X: ArrayLike) -> Array:
        """Offsets from `low`, shape (d, n), inside the box."""
        rows = self._rows("X", X)
        inside = np.where(np.isfinite(rows), np.clip(rows, self.low, self.high), (self.low + self.high) / 2)
        return np.ascontiguousarray((inside - self.low).T)

    def _heaps(self, columns: Array, values: Array | None = None) -> Array:
        """Sum `values` (default: ones) of the records of every node; shape (d, 2 * cells), node 0 unused."""
        m = self._cells
        heaps = np.zeros((len(columns), 2 * m))
        for j, column in enumerate(columns):
            cell = np.minimum((column * self._cells_per_unit[j]).astype(np.int64), m - 1)
            heaps[j, m:] = np.bincount(cell, weights=None if values is None else values[j], minlength=m)
        for level in reversed(range(self.depth)):
            k = 2**level
            heaps[:, k : 2 * k] = heaps[:, 2 * k : 4 * k : 2] + heaps[:, 2 * k + 1 : 4 * k : 2]
        return heaps

    def _scale(self, share: float) -> Array:
        """Noise scale of each coordinate, shape (d,), for a heap where one record adds at most 1 per level.

        A record touches ``depth + 1`` nodes, root included, and a substitution twice as many: sensitivity L in l1 and
        sqrt(L) in l2. `share` is this heap's part of epsilon, or of mu squared.
        """
        touched = (self.depth + 1) * (1 if self.neighbors == "add-remove" else 2)
        if self.epsilon is not None:
            weights = self._ranges ** (2 / 3)
            return np.asarray(touched * weights.sum() / (share * self.epsilon * weights))
        assert self.mu is not None
        return np.asarray(np.sqrt(touched * self._ranges.sum() / (share * self._ranges)) / self.mu)

    def _noise(self, rng: np.random.Generator, share: float) -> Array:
        scale = self._scale(share)[:, None]
        draw = rng.normal if self.epsilon is None else rng.laplace
        return np.asarray(draw(0.0, scale, (scale.size, 2 * self._cells)))

    def _variance(self, share: float) -> Array:
        """Variance of one node's noise, shape (d,)."""
        return np.asarray((1.0 if self.epsilon is None else 2.0) * self._scale(share) ** 2)

    def _walk(self, Y: ArrayLike, walker: Callable[[Array, Array], None]) -> Array:
        rows = self._rows("Y", Y)
        out = np.empty(len(rows))
        blocks.run(lambda a, b: walker(rows[a:b], out[a:b]), blocks.spans(len(rows), _ROWS))
        return out
