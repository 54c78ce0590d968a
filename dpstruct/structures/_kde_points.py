"""Kernel sums at public points: a fixed batch of queries, or anchors near which any query is answered.

Both release the whitened kernel values of `dpstruct.features.nystrom`, whose joint bound is proved there (attacked by
``tests/structures/test_kernel_density_prices.py``). A batch is unbiased, with covariance ``(K + l I) / mu**2``: each
answer has the error of a single one, and errors of near queries agree. Anchors give the projection of the kernel on
what the points span: `coverage` says how much of it that is.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Line
from dpstruct.core.plan import Scales
from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.features.nystrom import PointBasis
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._kde_method import Floats, Method, Transcript

if TYPE_CHECKING:
    from dpstruct.structures.kernel_density import KernelDensity

__all__ = ["Batch", "Nystrom"]


class _Points(Method):
    def __init__(self, blueprint: KernelDensity) -> None:
        super().__init__(blueprint)
        given = blueprint.queries if self.name == "batch" else blueprint.anchors
        self.points = np.array(given, dtype=np.float64)
        self.basis = PointBasis(self.kernel, self.shape, self.points, self.bandwidth)
        if self.max_rows > self.most_rows(len(self.points)):
            most = self.most_rows(len(self.points))
            raise InvalidParameter("max_rows", str(self.max_rows), f"at most {most} with {len(self.points)} points")

    @staticmethod
    def most_rows(q: int) -> int:
        """Return how many records the words of `q` points hold."""
        return 1 << (62 - sum(PointBasis.word(q)))

    @classmethod
    def capacity(cls, blueprint: KernelDensity) -> int:
        """Return the default capacity."""
        given = blueprint.queries if cls.name == "batch" else blueprint.anchors
        return min(1 << 32, cls.most_rows(len(given or ((),))))

    def lines(self, cost: GDP | PureDP, neighbors: Relation) -> tuple[list[Line], Fraction]:
        """Return the whitened kernel sums."""
        return [Line("sums", (len(self.points),))], self.basis.sensitivity(neighbors != "add-remove")

    def sums_of(self, rows: Floats) -> dict[str, NDArray[np.int64]]:
        """Return the rounded kernel sums at the points, not yet whitened."""
        return {"sums": self.basis.sums(rows)}

    def rounds(self, plan: Any, state: Any) -> Any:
        """Yield the whitened sums, and the count."""
        yield state.sums.map(lambda sums: {**sums, "sums": self.basis.whiten(sums["sums"])})

    def _unit(self, scales: Scales) -> float:
        """Return the variance of one line, in units of the features."""
        return float(scales.variance("sums")[0]) / 4.0 ** (self.basis.bits + self.basis.whitening_bits)


class Batch(_Points):
    """Unbiased answers at declared queries."""

    name = "batch"

    @cached_property
    def _inverse(self) -> Floats:
        """The inverse of the whitener times ``2**G``: about the Cholesky factor of the kernel matrix."""
        from scipy.linalg import solve_triangular

        W = np.ldexp(self.basis.whitener.astype(np.float64), -self.basis.whitening_bits)
        inverse: Floats = solve_triangular(W, np.eye(len(W)), lower=True)
        return inverse

    @cached_property
    def _place(self) -> dict[bytes, int]:
        return {row.tobytes(): i for i, row in enumerate(self.points)}

    def operations(self, numbers: int) -> int:
        """Return the length of a row of the decoder."""
        return numbers

    def own_queries(self) -> Floats:
        """Return the declared queries."""
        return self.points

    def _at(self, Y: Floats) -> NDArray[np.int64]:
        place = [self._place.get(row.tobytes(), -1) for row in np.ascontiguousarray(Y) + 0.0]
        if -1 in place:
            raise InvalidParameter(
                "Y", "a point that is not one of the queries", "declared queries, or nothing for all"
            )
        return np.array(place, dtype=np.int64)

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the kernel sums at declared queries."""
        sums = self._inverse @ transcript["sums"].astype(np.float64)
        return np.ldexp(sums, -self.basis.bits - self.basis.whitening_bits)[self._at(Y)]

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the diagonal of the covariance."""
        squares: Floats = (self._inverse**2).sum(axis=1)
        return self._unit(scales) * squares[self._at(Y)]

    def worst_variance(self, scales: Scales) -> float:
        """Return the largest of them."""
        return self._unit(scales) * float((self._inverse**2).sum(axis=1).max())


class Nystrom(_Points):
    """Answers anywhere, as good as the anchors are near."""

    name = "nystrom"

    def _features(self, Y: Floats) -> Floats:
        """Return the whitened kernel values of some points, (q, anchors), at most 1 in norm up to rounding."""
        W = np.ldexp(self.basis.whitener.astype(np.float64), -self.basis.whitening_bits)
        features: Floats = self.basis.values(Y) @ W.T
        return features

    def answers(self, transcript: Transcript, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return inner products of the queries' features with the released sums."""
        return np.ldexp(self._features(Y) @ transcript["sums"], -self.basis.bits - self.basis.whitening_bits)

    def variance(self, scales: Scales, Y: Floats, bandwidth: float) -> Floats:
        """Return the squared norms of the queries' features, times the variance of a line."""
        return self._unit(scales) * self.coverage(Y)

    def worst_variance(self, scales: Scales) -> float:
        """Return the variance of a query that the anchors cover fully."""
        return self._unit(scales) * (1 + 2.0**-8)

    def operations(self, numbers: int) -> int:
        """Return the size of the whitener and the distances to the anchors."""
        return numbers * (numbers + self.dim + 4)

    def coverage(self, Y: Floats) -> Floats:
        """Return the squared norm of each query's features: 1 next to the anchors, 0 far from them."""
        squares: Floats = (self._features(Y) ** 2).sum(axis=1)
        return squares

    @cached_property
    def fit_error(self) -> float:  # type: ignore[override]
        """Root mean square error over pairs of points of the box."""
        draws = Draws(0, "pairs")
        left, right = (self.low + draws.uniform((500, self.dim)) * self.sides for _ in range(2))
        truth = self.kernel.values(left - right, self.bandwidth, self.shape)
        return float(np.sqrt(((truth - (self._features(left) * self._features(right)).sum(axis=1)) ** 2).mean()))
