"""The tree of noisy counts and sums of Liu et al. for sums of l1 distances (arXiv 2409.01688)."""

from __future__ import annotations

from collections.abc import Callable
from typing import SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.reference._dyadic import Array, DistanceTree, Table


class RefinedTree(DistanceTree):
    """Answer sums of l1 distances from one noisy count and one noisy sum per level: exact but for the query's own leaf.

    A baseline in floating point, not a private release: see `label`.

    Parameters
    ----------
    bounds : (low, high)
        Public bounds of the coordinates, two vectors of length d in the units of the data.
    depth : int
        Cells per coordinate: ``2**depth``. Public; the paper takes log2 of a public n.
    neighbors : {"add-remove", "substitute"}
        The relation of the claim.
    epsilon, mu : float
        Exactly one: Laplace noise for pure epsilon-DP (as published) or Gaussian noise for mu-GDP (like for like with
        Gaussian rivals).
    origin : {"low", "center"}
        Where sums are measured from: the low end, as published, or the middle of the range, an improvement of ours that
        halves the sensitivity of the sums and the worst error.

    Notes
    -----
    *Release.* Half of a coordinate's epsilon (of its mu squared) for the counts, half for the sums, on all
    L = depth + 1 levels. Adding a record changes on every level one count by 1 and one sum by at most r, the largest
    distance from the origin (R, or R/2 from the centre): sensitivities L and L r in l1, sqrt(L) and sqrt(L) r in l2. A
    substitution touches two nodes per level: 2L and sqrt(2L). Budgets are split as `DistanceTree` says.

    *Query.* Climbing from the leaf of y, a sibling to the right adds ``sum - count * y`` and one to the left
    ``count * y - sum``: exact without noise, up to the distances inside the leaf (each less than one cell). The sign
    replaces an absolute value, which would bias noisy answers upwards. Each node stores its sibling's signed pair, so a
    level costs one load and two additions; pairs are single precision (rounding below n R 2**-20 a coordinate).

    *Error.* Per coordinate ``depth * (Var sum + u**2 Var count)``, u = y - origin. In units of R/mu at depth 10,
    add-remove, d = 1: rms 17.1 and at most 21.0 (origin "low"); 8.6 and at most 10.5 (origin "center").

    References
    ----------
    Liu, Hu, Reneau, Song, Liu (2024), arXiv 2409.01688. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> tree = RefinedTree(([0.0], [1.0]), depth=6, epsilon=1.0, neighbors="add-remove")
    >>> tree.fit([[0.2], [0.9]], np.random.default_rng(0)).query([[0.5]]).shape
    (1,)
    """

    _source = "arXiv:2409.01688"

    def __init__(
        self,
        bounds: tuple[ArrayLike, ArrayLike],
        *,
        depth: int,
        neighbors: str,
        epsilon: SupportsFloat | None = None,
        mu: SupportsFloat | None = None,
        origin: str = "low",
    ) -> None:
        super().__init__(bounds, depth=depth, neighbors=neighbors, epsilon=epsilon, mu=mu)
        if origin not in ("low", "center"):
            raise InvalidParameter("origin", repr(origin), "'low' or 'center'")
        self.origin = origin

    @property
    def _shift(self) -> Array:
        """Offset of the origin from `low`."""
        return self._ranges * (0.0 if self.origin == "low" else 0.5)

    def error(self, Y: ArrayLike) -> Array:
        """Return the standard error of each answer of ``query(Y)``, shape (q,), in the units of the data."""
        reach, node = self._ranges - self._shift, self._variance(0.5)
        u = np.clip(self._rows("Y", Y), self.low, self.high) - self.low - self._shift
        return np.asarray(np.sqrt(self.depth * ((reach**2 + u**2) @ node)))

    def _statistics(self, X: Array) -> tuple[Array, Array]:
        """Exact heaps of counts and of sums from the origin."""
        return self._heaps(X), self._heaps(X, X - self._shift[:, None])

    def _release(self, X: Array, rng: np.random.Generator) -> NDArray[np.float32]:
        counts, sums = self._statistics(X)
        counts += self._noise(rng, 0.5)
        sums += (self._ranges - self._shift)[:, None] * self._noise(rng, 0.5)
        return self._lines(counts, sums + self._shift[:, None] * counts)

    def _lines(self, counts: Array, sums: Array) -> NDArray[np.float32]:
        """For each node, its sibling's ``(intercept, slope)`` of the answer as a function of y - low."""
        sibling = np.arange(2 * self._cells) ^ 1
        sign = np.where(sibling & 1, 1.0, -1.0)  # a sibling to the right has an odd index
        lines = np.stack([sign * sums[:, sibling], -sign * counts[:, sibling]], axis=2)
        return lines.astype(np.float32, order="C")  # "K" would keep the layout of the fancy index, and walk slower

    def _walker(self, tables: Table) -> Callable[[Array, Array], None]:
        from dpstruct.kernels.reference_tree import path_sums

        head = (self.low, self.high, self._cells_per_unit, tables)
        return lambda Y, out: path_sums(Y, *head, out)
