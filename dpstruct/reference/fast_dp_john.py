"""The sketched John ellipsoid with multiplicative noise of Li et al. (arXiv 2408.06395)."""

from __future__ import annotations

import math
from typing import Any, Literal, Self, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.domain import positive_integer, real
from dpstruct.ellipsoid import Region
from dpstruct.errors import InvalidParameter
from dpstruct.reference import _moments as shared
from dpstruct.reference._label import Label
from dpstruct.reference._moments import Array

_HALF_WIDTH = 0.5  # of the truncated noise
_BUCKETS, _DIRECTIONS = 8, 12  # hashed rows per squared dimension, random directions: approximate leverages


class FastDPJohn:
    """Approximate John weights of ``{x : |a_i^T x| <= 1}`` by noisy sketched leverage scores. Guarantees nothing.

    A baseline in floating point, not a private release: see `label` for four reasons.

    Parameters
    ----------
    sigma : float
        Standard deviation of the noise before its truncation to [-1/2, 1/2]; 0 for none.
    T, s, N : int, optional
        Iterations, rows of the Gaussian sketch, sampled rows. ``N="all"`` uses every row (no sampling). One that is not
        given is derived from `xi` when the data arrive.
    xi : float, optional
        Wanted accuracy, in (0, 1]: ``T = ceil(xi**-2 (ln(n/delta0) + (lipschitz closeness)**-2))``,
        ``s = ceil(1/xi)`` and ``N = ceil(xi**-2 d ln(n d/delta1))``.
    lipschitz, closeness : float
        The L and the epsilon_0 of the paper: Lipschitz constant of the weights, distance of neighbouring rows.
    delta0, delta1 : float
        Failure probabilities of the analysis.

    Attributes
    ----------
    weights : ndarray of shape (n,)
        The diagonal of V: non-negative, of sum d.
    matrix : ndarray of shape (d, d) or None
        ``A^T V A``, which the paper returns too; kept only if `fit` is asked for it, because together with V it reveals
        rows exactly (`Label.reason`). The ellipsoid is ``{x : x^T A^T V A x <= 1}``.

    Notes
    -----
    From ``w = d/n``, each of ``T - 1`` rounds scales the rows to ``B = W^{1/2} A``, draws N of them with replacement
    (probabilities in proportion to approximate leverage scores, weights ``1/(N probability)``), and sets
    ``w_i <- |S (B^T D B)^{-1/2} sqrt(w_i) a_i|^2 / s * (1 + z_i)`` with a fresh s x d Gaussian S and truncated normal
    z_i. The T iterates, the first included, are averaged and scaled to sum d.

    References
    ----------
    Li, Liang, Shi, Song, Yu (2024), arXiv 2408.06395. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> A = np.random.default_rng(0).standard_normal((50, 3))
    >>> john = FastDPJohn(sigma=0.1, T=20, s=8, N=40).fit(A, np.random.default_rng(1))
    >>> float(round(john.weights.sum(), 9)), john.matrix is None
    (3.0, True)
    """

    def __init__(
        self,
        *,
        sigma: SupportsFloat,
        T: int | None = None,
        s: int | None = None,
        N: int | Literal["all"] | None = None,
        xi: SupportsFloat | None = None,
        lipschitz: SupportsFloat = 1.0,
        closeness: SupportsFloat = 1.0,
        delta0: SupportsFloat = 0.05,
        delta1: SupportsFloat = 0.05,
    ) -> None:
        self.sigma = real("sigma", sigma)
        if self.sigma < 0:
            raise InvalidParameter("sigma", repr(self.sigma), "a number >= 0")
        self.T = None if T is None else positive_integer("T", T, at_most=10**9)
        self.s = None if s is None else positive_integer("s", s, at_most=10**6)
        self.N: int | str | None = N if N is None or N == "all" else positive_integer("N", N, at_most=10**9)
        self.xi = None if xi is None else shared.fraction("xi", xi)
        if self.xi is None and None in (self.T, self.s, self.N):
            raise InvalidParameter("xi", "None", "a number in (0, 1], or all of T, s and N")
        self.lipschitz, self.closeness = real("lipschitz", lipschitz), real("closeness", closeness)
        if not self.lipschitz * self.closeness > 0:
            raise InvalidParameter("lipschitz, closeness", "a product that is not positive", "positive numbers")
        self.delta0, self.delta1 = shared.fraction("delta0", delta0), shared.fraction("delta1", delta1)
        self.weights: Array | None = None
        self.matrix: Array | None = None

    @property
    def label(self) -> Label:
        """What the algorithm claims, and why this guarantees nothing."""
        claim = "(epsilon, delta)-DP for data sets in which one row moves by at most epsilon_0"
        return Label("arXiv:2408.06395", claim, None, _REASON, True)

    def sizes(self, n: int, d: int) -> tuple[int, int, int | Literal["all"]]:
        """Return T, s and N for `n` rows of `d` coordinates."""
        xi = self.xi or 1.0  # not read if all three were given
        rounds = xi**-2 * (math.log(n / self.delta0) + (self.lipschitz * self.closeness) ** -2)
        samples = xi**-2 * d * math.log(n * d / self.delta1)
        drawn: Any = self.N or math.ceil(samples)
        return self.T or math.ceil(rounds), self.s or math.ceil(1 / xi), drawn

    def fit(self, A: ArrayLike, rng: np.random.Generator, *, with_matrix: bool = False) -> Self:
        """Compute the weights of the rows of `A`, shape (n, d) of full column rank, with the randomness of `rng`."""
        rows = shared.matrix("A", A)
        n, d = rows.shape
        if not (n >= d >= 1 and np.isfinite(rows).all()):
            raise InvalidParameter("A", "too few rows, or values that are not finite", "full column rank, finite")
        rounds, s, samples = self.sizes(n, d)
        w = np.full(n, d / n)
        total = w.copy()
        for _ in range(rounds - 1):
            root = _inverse_root(_moment(rows, w, samples, rng))
            sketched = rows @ (rng.standard_normal((s, d)) @ root).T
            w = w * np.einsum("ij,ij->i", sketched, sketched) / s * (1 + _noise(n, self.sigma, rng))
            total += w
        self.weights = total * (d / total.sum())
        self.matrix = rows.T @ (rows * self.weights[:, None]) if with_matrix else None
        return self

    def ellipsoid(self, A: ArrayLike, coverage: SupportsFloat = 1.0) -> Region:
        """Return the ellipsoid of the fitted shape that holds the fraction `coverage` of the rows of `A` exactly.

        Its shape is polar to ``{x : x^T A^T V A x <= 1}``; neither shape nor scale is private.
        """
        if self.matrix is None:
            raise InvalidParameter("ellipsoid", "weights only", "a fitted matrix", "call fit with with_matrix=True")
        h = shared.leverages(shared.matrix("A", A), self.matrix)
        return shared.region(self.matrix, shared.exact_scale(h, shared.fraction("coverage", coverage)), False)


_REASON = (
    "(1) A^T V A is no function of V: whoever knows V and all rows but one finds the last one from both; (2) the noise "
    "multiplies the weights and is truncated to [w/2, 3w/2], a support that moves with the data; (3) the Lipschitz "
    "constant of the proof needs weights bounded away from 0, but they start at d/n; (4) the claim protects only rows "
    "known to within epsilon_0; besides, the noise is floating-point and nothing is charged to a budget"
)


def _moment(rows: Array, w: Array, samples: int | str, rng: np.random.Generator) -> Array:
    """``B^T D B`` for ``B = W^{1/2} rows``, from all rows or from a weighted sample of them."""
    if isinstance(samples, str):
        return np.asarray(rows.T @ (rows * w[:, None]))
    probability = _approximate_leverage(rows * np.sqrt(w)[:, None], rng)
    probability /= probability.sum()
    drawn = rng.multinomial(samples, probability)
    used = np.flatnonzero(drawn)
    scale = w[used] * drawn[used] / (samples * probability[used])
    return np.asarray(rows[used].T @ (rows[used] * scale[:, None]))


def _approximate_leverage(B: Array, rng: np.random.Generator) -> Array:
    """Leverage scores of `B` up to a constant factor, in time O(n d): hashed rows, then random directions."""
    n, d = B.shape
    buckets = _BUCKETS * d * d
    if n <= buckets:
        sketched = B
    else:
        signed = B * rng.choice(np.array([-1.0, 1.0]), n)[:, None]
        bucket = rng.integers(0, buckets, n)
        sketched = np.stack([np.bincount(bucket, weights=column, minlength=buckets) for column in signed.T], axis=1)
    directions = _inverse_root(sketched.T @ sketched) @ rng.standard_normal((d, _DIRECTIONS))
    return np.asarray(np.square(B @ directions).sum(axis=1))


def _inverse_root(moment: Array) -> Array:
    """Symmetric ``moment^{-1/2}``, zero in directions without rows."""
    values, vectors = np.linalg.eigh(moment)
    seen = values > values[-1] * len(values) * np.finfo(np.float64).eps
    return np.asarray((vectors[:, seen] / np.sqrt(values[seen])) @ vectors[:, seen].T)


def _noise(n: int, sigma: float, rng: np.random.Generator) -> Array:
    """Draw normal variables of standard deviation `sigma`, truncated to [-1/2, 1/2], by inversion."""
    from scipy.special import ndtr, ndtri

    if sigma == 0:
        return np.zeros(n)
    below = ndtr(-_HALF_WIDTH / sigma)
    z = sigma * ndtri(below + (1 - 2 * below) * rng.random(n))
    return np.asarray(np.clip(z, -_HALF_WIDTH, _HALF_WIDTH))
