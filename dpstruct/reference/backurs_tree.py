"""The tree of noisy counts of Backurs et al. for sums of l1 distances (arXiv 2403.08917)."""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.reference._dyadic import Array, DistanceTree, Table, positive


class BackursTree(DistanceTree):
    """Answer sums of l1 distances from noisy dyadic counts, within a factor 1 + alpha of the gridded distance.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    bounds : (low, high)
        Public bounds of the coordinates, two vectors of length d in the units of the data.
    depth : int
        Cells per coordinate: ``2**depth``. Public; the paper takes log2 of a public n.
    alpha : float
        Ratio of the ring radii minus one, hence the relative bias; at least 0.001.
    neighbors : {"add-remove", "substitute"}
        The relation of the claim.
    epsilon, mu : float
        Exactly one: Laplace noise for pure epsilon-DP (as published) or Gaussian noise for mu-GDP (like for like with
        Gaussian rivals).

    Notes
    -----
    *Release.* Noise on the counts of all L = depth + 1 levels. Adding a record changes one count by 1 on every level:
    sensitivity L in l1, sqrt(L) in l2. A substitution changes at most two per level: 2L and sqrt(2L). The scale is that
    over a coordinate's epsilon or mu; coordinates compose. Budgets are split as `DistanceTree` says.

    *Query.* Around the cell of y, rings of cells at distance in ``(R/(1+alpha)**(i+1), R/(1+alpha)**i]``; each side of
    a ring is covered by dyadic nodes, and their total is multiplied by the outer radius. Without noise the answer lies
    between the sum of gridded distances and 1 + alpha times it; gridding moves a distance by less than one cell.

    *Error.* Variance of one count times the sum of the squared weights of all nodes read. In units of R/mu at depth 10,
    add-remove, d = 1: rms 10.0 and at most 12.0 (alpha 0.5); 15.1 and 19.2 (alpha 0.1).

    References
    ----------
    Backurs, Lin, Mahabadi, Silwal, Tarnawski (ICLR 2024), arXiv 2403.08917. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> tree = BackursTree(([0.0], [1.0]), depth=6, alpha=0.5, epsilon=1.0, neighbors="add-remove")
    >>> tree.fit([[0.2], [0.9]], np.random.default_rng(0)).query([[0.5]]).shape
    (1,)
    """

    _source = "arXiv:2403.08917"

    def __init__(
        self,
        bounds: tuple[ArrayLike, ArrayLike],
        *,
        depth: int,
        neighbors: str,
        alpha: SupportsFloat = 0.5,
        epsilon: SupportsFloat | None = None,
        mu: SupportsFloat | None = None,
    ) -> None:
        super().__init__(bounds, depth=depth, neighbors=neighbors, epsilon=epsilon, mu=mu)
        self.alpha = positive("alpha", alpha)
        if self.alpha < 1e-3:
            raise InvalidParameter("alpha", repr(self.alpha), "at least 0.001")
        self._nearest, self._farthest, self._radius = self._rings()

    def _rings(self) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """First and last distance of every ring that holds a cell, and its outer radius, all in cells."""
        rings, outer = [], float(self._cells)
        while outer >= 1.0:
            inner = outer / (1.0 + self.alpha)
            if int(inner) < int(outer):
                rings.append((int(inner) + 1, int(outer), outer))
            outer = inner
        nearest, farthest, radius = zip(*rings)
        return np.array(nearest, dtype=np.int64), np.array(farthest, dtype=np.int64), np.array(radius)

    def error(self, Y: ArrayLike) -> Array:
        """Return the standard error of each answer of ``query(Y)``, shape (q,), in the units of the data."""
        variance = np.repeat(self._variance(1.0)[:, None], 2 * self._cells, axis=1)
        weights = (self._radius / self._cells_per_unit[:, None]) ** 2
        return np.asarray(np.sqrt(self._walk(Y, self._ring_walker(variance, weights))))

    def _release(self, X: Array, rng: np.random.Generator) -> Array:
        return self._heaps(X) + self._noise(rng, 1.0)

    def _walker(self, tables: Table) -> Callable[[Array, Array], None]:
        return self._ring_walker(tables, self._radius / self._cells_per_unit[:, None])

    def _ring_walker(self, heaps: Table, weights: Array) -> Callable[[Array, Array], None]:
        from dpstruct.kernels.reference_tree import ring_sums

        tail = (self.low, self.high, self._cells_per_unit, heaps, self._nearest, self._farthest, weights)
        return lambda Y, out: ring_sums(Y, *tail, out)
