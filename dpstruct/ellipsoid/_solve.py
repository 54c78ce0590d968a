"""The solver's doors: ellipsoids around rows, inside polytopes, around most rows. Exact, and not private."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import positive_integer, real
from dpstruct.ellipsoid._design import Design, design
from dpstruct.ellipsoid._interior import inverse_factor
from dpstruct.ellipsoid._prepare import Prepared, prepare
from dpstruct.ellipsoid._region import Region, finite_rows, log_unit_ball
from dpstruct.errors import InvalidParameter

Array = NDArray[np.float64]
Mode = Literal["loewner", "john", "capped"]
_SUPPORT = 1e-12  # weights at or below are zero


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Ellipsoid(Region):
    """An exact ellipsoid of the rows. NOT PRIVATE: every attribute is computed from them without noise.

    Attributes
    ----------
    weights : ndarray of shape (n,)
        The optimal design p over the rows, of sum 1; equal rows share their weight.
    excess : float
        The certificate, from the leverages h of *all* rows under the returned ellipsoid: ``max h / d - 1``, and for a
        capped design the mean of the largest leverages that the caps admit, over d, minus 1.
    gap : float
        ``d ln(1 + excess)``, an upper bound of the optimal log det minus `log_det`.
    log_det : float
        Log determinant of the moment ``sum p_i a_i a_i^T`` in the span of the rows; centred: of the covariance.
    nu, coverage : float
        Parameters of a capped design; 0 and 1 otherwise.
    iterations, passes : int
        Newton steps, and passes over all rows.
    converged : bool
        Whether `excess` is at most the tolerance.
    """

    mode: str
    weights: Array
    log_det: float
    excess: float
    gap: float
    nu: float
    coverage: float
    iterations: int
    passes: int
    converged: bool
    private: bool = field(default=False, init=False)

    @property
    def support(self) -> NDArray[np.intp]:
        """Indices of the rows of positive weight."""
        return np.flatnonzero(self.weights > _SUPPORT)

    def __repr__(self) -> str:
        size = f"rank {self.rank} of {len(self.center)}, radius {self.radius:.6g}, excess {self.excess:.1e}"
        return f"<Ellipsoid ({self.mode}), NOT PRIVATE: {size}>"


def solve(
    A: ArrayLike,
    *,
    mode: Mode = "loewner",
    center: bool | None = None,
    nu: float | None = None,
    coverage: float | None = None,
    tol: float = 1e-6,
    max_passes: int = 200,
) -> Ellipsoid:
    """Return the extremal ellipsoid of the rows of `A` to a certified tolerance. NOT PRIVATE.

    Parameters
    ----------
    A : array of shape (n, D)
        Finite rows. Duplicates, rows of zeros, fewer rows than columns and any scale are fine; directions in which the
        rows vary by less than about 1e-13 of the largest (per column) do not count: see `Region.rank`.
    mode : {"loewner", "john", "capped"}
        The smallest ellipsoid around all rows; the largest inside ``{x : |a_i^T x| <= 1}``; one around most rows.
    center : bool, optional
        Fit the centre as well (default but for "john", which has none to fit). False: centred at the origin, so that
        "loewner" contains the rows and their negatives.
    nu : float
        For "capped": no row has more than ``1/(nu n)`` of the weight. 1 gives the second moment, at most 1/n "loewner".
    coverage : float, optional
        For "capped": the smallest scale that contains this fraction of the rows; ``1 - nu`` if not given.
    tol : float
        Largest `Ellipsoid.excess`, from 1e-10 to 1.
    max_passes : int
        Passes over all rows after which the solver gives up with a `RuntimeWarning` and ``converged=False``.

    Notes
    -----
    All modes are D-optimal designs: maximise ``log det M``, ``M = sum p_i a_i a_i^T``, over weights of sum 1 (capped:
    and at most ``1/(nu n)``), with rows ``(x, 1)`` if the centre is fitted. Each pass takes the leverages
    ``h_i = a_i^T M^{-1} a_i`` of all rows, frees the rows around the boundary that the optimality conditions draw
    (h above it: weight at the cap; below: zero), and solves for their weights by a primal-dual interior-point method. A
    handful of passes suffices.

    A "loewner" or "john" ellipsoid is scaled by the measured ``max h``, so that it contains all rows (is inside the
    polytope) whatever `excess` is; with its centre fixed its log volume is within ``gap / 2`` of the best.

    Examples
    --------
    >>> solve([[0, 0], [1, 0], [0, 1]], tol=1e-9)
    <Ellipsoid (loewner), NOT PRIVATE: rank 2 of 2, radius 0.62040..., excess ...>
    """
    if mode not in ("loewner", "john", "capped"):
        raise InvalidParameter("mode", repr(mode), "'loewner', 'john' or 'capped'")
    fitted = mode != "john" if center is None else bool(center)
    if mode == "john" and fitted:
        raise InvalidParameter(
            "center", "True with mode 'john'", "False", "the polytope is symmetric: so is its ellipsoid"
        )
    share, kept = _fractions(mode, nu, coverage)
    tolerance = real("tol", tol)
    if not 1e-10 <= tolerance <= 1:
        raise InvalidParameter("tol", repr(tolerance), "a number from 1e-10 to 1")
    limit = positive_integer("max_passes", max_passes, at_most=10**9)
    ready = prepare(finite_rows("A", A), center=fitted)
    n = ready.counts.sum()
    caps = ready.counts / (share * n) if share * n > 1 else np.ones(len(ready.counts))
    found = design(ready.rows, caps, tol=tolerance, max_passes=limit)
    if found.excess > tolerance:
        warnings.warn(f"excess {found.excess:.1e} after {found.passes} passes", RuntimeWarning, stacklevel=2)
    return _ellipsoid(mode, fitted, share, kept, ready, found, found.excess <= tolerance)


def mvee(A: ArrayLike, *, center: bool = True, tol: float = 1e-6) -> Ellipsoid:
    """Return the minimum-volume ellipsoid that contains the rows of `A`, shape (n, D). NOT PRIVATE; see `solve`.

    Examples
    --------
    >>> around = mvee([[3, 0], [-3, 0], [0, 1], [0, -1]])
    >>> around.axes[0].round(6).tolist(), around.support.tolist()
    ([3.0, 1.0], [0, 1, 2, 3])
    """
    return solve(A, mode="loewner", center=center, tol=tol)


def john(A: ArrayLike, *, tol: float = 1e-6) -> Ellipsoid:
    """Return the largest ellipsoid inside ``{x : |a_i^T x| <= 1}``, rows a_i of shape (n, D). NOT PRIVATE; see `solve`.

    Examples
    --------
    >>> inside = john([[1, 0], [0, 0.25]])
    >>> inside.axes[0].round(6).tolist()
    [4.0, 1.0]
    """
    return solve(A, mode="john", tol=tol)


def capped(
    A: ArrayLike, *, nu: float, coverage: float | None = None, center: bool = True, tol: float = 1e-6
) -> Ellipsoid:
    """Return an ellipsoid around most rows of `A`, shape (n, D). NOT PRIVATE.

    The D-optimal design with weights of at most ``1/(nu n)``, scaled to contain the fraction `coverage` (default
    ``1 - nu``) of the rows; see `solve`.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.random.default_rng(0).standard_normal((500, 2))
    >>> around = capped(points, nu=0.1)
    >>> around.coverage, bool(around.radius < 0.8 * mvee(points).radius)
    (0.9, True)
    """
    return solve(A, mode="capped", nu=nu, coverage=coverage, center=center, tol=tol)


def _fractions(mode: str, nu: float | None, coverage: float | None) -> tuple[float, float]:
    """Return nu and the coverage."""
    if mode != "capped":
        for argument, value in (("nu", nu), ("coverage", coverage)):
            if value is not None:
                raise InvalidParameter(argument, repr(value), "nothing", "only mode 'capped' takes it")
        return 0.0, 1.0
    if nu is None:
        raise InvalidParameter("nu", "None", "a number in (0, 1]", "say how much of the weight a row may have at most")
    share = real("nu", nu)
    kept = 1 - share if coverage is None else real("coverage", coverage)
    if not 0 < share <= 1:
        raise InvalidParameter("nu", repr(share), "a number in (0, 1]")
    if not 0 < kept <= 1:
        raise InvalidParameter("coverage", repr(kept), "a number in (0, 1]", "1 - nu is the default")
    return share, kept


def _threshold(h: Array, counts: Array, coverage: float) -> float:
    """Return the smallest leverage that at least this fraction of the rows does not exceed."""
    if coverage == 1:
        return float(h.max())
    order = np.argsort(h)
    covered = np.cumsum(counts[order])
    return float(h[order][np.searchsorted(covered, coverage * covered[-1] * (1 - 1e-12))])


def _ellipsoid(
    mode: str, fitted: bool, nu: float, coverage: float, ready: Prepared, found: Design, converged: bool
) -> Ellipsoid:
    """Map the optimal moment back to the coordinates of the data."""
    s, M = _threshold(found.leverages, ready.counts, coverage), found.moment
    middle = ready.shift.copy()
    if fitted:
        mean, s = M[:-1, -1] / M[-1, -1], s - 1
        M, middle = M[:-1, :-1] / M[-1, -1] - np.outer(mean, mean), middle + mean @ ready.spread
    rank, s = len(M), max(s, float(np.finfo(np.float64).tiny))
    if rank:
        outer, inner = np.linalg.cholesky(M) * math.sqrt(s), inverse_factor(M) / math.sqrt(s)
    else:
        outer = inner = np.zeros((0, 0))
    factor, generator, sizes = ready.whiten @ inner, ready.spread.T @ outer, ready.scale
    if mode == "john":
        factor, generator, sizes = ready.spread.T @ outer, ready.whiten @ inner, 1 / ready.scale
    log_size = _log_size(generator, sizes)
    sign = -1 if mode == "john" else 1
    shares = found.weights / ready.counts
    return Ellipsoid(
        center=middle,
        factor=factor,
        generator=generator,
        log_volume=log_unit_ball(rank) + log_size,
        cylinder=mode == "john",
        mode=mode,
        weights=shares if ready.inverse is None else shares[ready.inverse],
        log_det=sign * 2 * log_size - rank * math.log(s),
        excess=found.excess,
        gap=len(found.moment) * math.log1p(found.excess),
        nu=nu,
        coverage=coverage,
        iterations=found.steps,
        passes=found.passes,
        converged=converged,
    )


def _log_size(generator: Array, sizes: Array) -> float:
    """Log of the product of the singular values; exact at any scale of the columns if there is no null space."""
    dim, rank = generator.shape
    if dim == rank:
        return float(np.linalg.slogdet(generator / sizes[:, None])[1] + np.log(sizes).sum())
    return float(np.log(np.linalg.svd(generator, compute_uv=False)).sum())
