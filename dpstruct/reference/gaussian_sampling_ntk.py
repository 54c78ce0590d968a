"""Kernel regression with a sampled neural tangent kernel, after Gu, Liang, Sha, Shi and Song (arXiv 2407.13621)."""

from __future__ import annotations

import math
from typing import Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import check_rows, positive_integer, real
from dpstruct.errors import InvalidParameter
from dpstruct.features.ntk import ntk_kernel
from dpstruct.reference._label import FLOAT_NOISE, Label
from dpstruct.reference._moments import Array, matrix

__all__ = ["GaussianSamplingNTK"]


class GaussianSamplingNTK:
    """Predicts ``K(x, X) S^-1 y``, S a mean of k Gaussian outer products of covariance ``K(X, X) + ridge I``.

    A baseline in floating point, not a private release: see `label` for what it does not protect. Every query costs.

    Parameters
    ----------
    epsilon, delta : float
        Of the sampled matrix.
    closeness : float
        Neighbours are datasets in which one unit row moved by at most this l2 distance.
    ridge : float
        Public; bounds the smallest eigenvalue, so that the condition needs no look at the data.
    samples : int
        Number k of outer products, at least n.
    query_epsilon : float
        Price of the truncated Laplace noise on the n kernel values of one query; the same `delta` is added.
    depth : int
        Hidden layers.

    Attributes
    ----------
    spent : tuple of float
        Epsilon and delta of the matrix and all queries so far, added up.

    Notes
    -----
    *Condition.* The sample is (epsilon, delta)-DP if ``|M^1/2 M'^-1 M^1/2 - I|_F`` over neighbours is at most
    ``min(epsilon / sqrt(8 k ln(1/delta)), epsilon / (8 ln(1/delta)))`` (arXiv 2212.08018). A row that moves by b turns
    at most ``pi/2 b``; the kernel is C-Lipschitz in the angle (C from a grid), so 2n - 1 entries move by at most
    ``C b pi/2`` and the left side is at most ``f / (ridge - f)`` with ``f = sqrt(2 n) C b pi/2``.

    References
    ----------
    arXiv 2407.13621; the mechanism: arXiv 2212.08018. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.eye(3)
    >>> model = GaussianSamplingNTK(epsilon=1.0, delta=1e-6, closeness=1e-5, ridge=1.0, samples=100, query_epsilon=0.1)
    >>> model.allowed > model.change(3)
    True
    >>> model.fit(X, [1.0, 0.0, 0.0], np.random.default_rng(0)).query(X[:1], np.random.default_rng(1)).shape
    (1,)
    """

    def __init__(
        self,
        *,
        epsilon: SupportsFloat,
        delta: SupportsFloat,
        closeness: SupportsFloat,
        ridge: SupportsFloat,
        samples: int,
        query_epsilon: SupportsFloat,
        depth: int = 1,
    ) -> None:
        numbers = {"epsilon": epsilon, "delta": delta, "closeness": closeness, "ridge": ridge}
        numbers["query_epsilon"] = query_epsilon
        for name, value in numbers.items():
            setattr(self, name, real(name, value))
            if getattr(self, name) <= 0:
                raise InvalidParameter(name, repr(value), "a positive number")
        self.samples = positive_integer("samples", samples, at_most=1 << 40)
        self.depth = positive_integer("depth", depth, at_most=64)
        self._X: Array = np.empty((0, 0))
        self._alpha: Array = np.empty(0)
        self._queries = 0

    epsilon: float
    delta: float
    closeness: float
    ridge: float
    query_epsilon: float

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this implementation guarantees nothing."""
        claim = (
            f"({self.epsilon!r}, {self.delta!r})-DP of the matrix for datasets in which one row moved by at most "
            f"{self.closeness!r}, and {self.query_epsilon!r} more for every query"
        )
        reason = (
            "the targets enter without noise and the server keeps the rows, so that only single answers are noised; "
            "neighbours are close rows, which says nothing of adding, removing or replacing one; " + FLOAT_NOISE
        )
        return Label("arXiv:2407.13621", claim, None, reason, True)

    @property
    def lipschitz(self) -> float:
        """Largest slope of the kernel in the angle between two rows."""
        angle = np.linspace(0.0, np.pi, 20001)
        values = ntk_kernel([[1.0, 0.0]], np.stack([np.cos(angle), np.sin(angle)], axis=1), depth=self.depth)[0]
        return float(np.abs(np.diff(values)).max() / (angle[1] - angle[0]))

    @property
    def allowed(self) -> float:
        """The largest change of the whitened kernel for which the sample keeps its claim."""
        log = math.log(1 / self.delta)
        return min(self.epsilon / math.sqrt(8 * self.samples * log), self.epsilon / (8 * log))

    def change(self, n: int) -> float:
        """Return the bound on the change of the whitened kernel of n rows between neighbours."""
        moved = math.sqrt(2 * n) * self.lipschitz * self.closeness * math.pi / 2
        return moved / (self.ridge - moved) if moved < self.ridge else math.inf

    @property
    def spent(self) -> tuple[float, float]:
        """Epsilon and delta so far, by adding them up."""
        return self.epsilon + self._queries * self.query_epsilon, self.delta * (1 + self._queries)

    def fit(self, X: ArrayLike, y: ArrayLike, rng: np.random.Generator) -> Self:
        """Sample the kernel of unit rows `X`, shape (n, d), and solve for targets `y`, shape (n,).

        Raises
        ------
        InvalidParameter
            If the condition fails for n rows, or there are fewer samples than rows.
        """
        rows, targets = matrix("X", X), check_rows("y", y, None).astype(np.float64)
        n = len(rows)
        if self.samples < n:
            raise InvalidParameter("samples", str(self.samples), f"at least {n}: the sample is singular")
        if self.change(n) > self.allowed:
            told = f"a change of {self.change(n):.3g} where {self.allowed:.3g} is allowed"
            raise InvalidParameter("ridge", told, "the condition of the theorem", "raise ridge, or lower closeness")
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        root = np.linalg.cholesky(ntk_kernel(rows, depth=self.depth) + self.ridge * np.eye(n))
        factor = root @ self._bartlett(n, rng) / math.sqrt(self.samples)
        self._X = rows
        self._alpha = np.asarray(np.linalg.solve(factor @ factor.T, targets), dtype=np.float64)
        return self

    def _bartlett(self, n: int, rng: np.random.Generator) -> Array:
        """Return a lower triangular A with ``A A^T`` distributed as the sum of k standard outer products."""
        A = np.tril(rng.standard_normal((n, n)), -1)
        A[np.diag_indices(n)] = np.sqrt(rng.chisquare(self.samples - np.arange(n)))
        return A

    def query(self, X: ArrayLike, rng: np.random.Generator) -> Array:
        """Return predictions, shape (q,); every row of `X` is one query and adds to `spent`."""
        rows = matrix("X", X)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        kernel = ntk_kernel(rows, self._X, depth=self.depth)
        self._queries += len(rows)
        return np.asarray((kernel + self._truncated_laplace(kernel.shape, rng)) @ self._alpha)

    def _truncated_laplace(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Return Laplace noise cut where (query_epsilon, delta)-DP of one moved entry allows it."""
        scale = self.lipschitz * self.closeness * math.pi / 2 / self.query_epsilon
        most = scale * math.log1p(math.expm1(self.query_epsilon) / (2 * self.delta))
        uniform = rng.uniform(-1.0, 1.0, shape)
        inside = -math.expm1(-most / scale)
        return np.asarray(-scale * np.sign(uniform) * np.log1p(-np.abs(uniform) * inside))
