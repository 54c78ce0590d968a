"""A primal-dual interior-point method for a D-optimal design over a few rows, all others held fixed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_STEPS = 80  # far beyond the 5 to 25 that problems need
_EXTRA = 4  # looks at a solution that is good enough, until it is as good with exact zeros
_TO_THE_BOUNDARY = 0.995


class Iterate(NamedTuple):
    """Weights of the free rows, and how many Newton steps they took."""

    weights: Array
    steps: int


def leverages(rows: Array, moment: Array) -> Array:
    """Return ``a_i^T moment^{-1} a_i`` for every row."""
    factor = inverse_factor(moment)
    scaled = rows @ factor
    return np.asarray(np.einsum("ij,ij->i", scaled, scaled))


def inverse_factor(moment: Array) -> Array:
    """Return F with ``F F^T = moment^{-1}``: the transposed inverse of the Cholesky factor."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(moment)).T)


def capped(x: Array, caps: Array, total: float) -> Array:
    """Return ``min(caps, c x)`` with the c that makes it sum to `total`, for non-negative `x`.

    What rows of positive x can not take goes to the others in proportion to their caps. The sum is increasing and
    concave in c: Newton's method from the left never passes the root.
    """
    seen = x > 0
    short = total - caps[seen].sum()
    if short >= 0:
        rest = caps[~seen].sum()
        return np.where(seen, caps, caps * (min(1.0, short / rest) if rest > 0 else 0.0))
    c = total / x.sum()
    for _ in range(100):
        at_cap = c * x >= caps
        free = x[~at_cap].sum()
        if not free > 0:
            break
        step = (total - caps[at_cap].sum()) / free
        if not step > c * (1 + 1e-15):
            break
        c = step
    return np.asarray(np.minimum(caps, c * x))


def best(h: Array, caps: Array, total: float) -> float:
    """Return the largest ``sum p_i h_i`` over ``0 <= p <= caps`` with sum `total`."""
    if caps.min() >= total:
        return float(h.max()) * total
    order = np.argsort(-h)
    before = np.cumsum(caps[order]) - caps[order]
    return float(h[order] @ np.clip(total - before, 0.0, caps[order]))


def maximise(rows: Array, base: Array, caps: Array, total: float, start: Array, *, tol: float, warm: int) -> Iterate:
    """Maximise ``log det(base + sum p_i a_i a_i^T)`` over ``0 <= p <= caps`` with sum `total`.

    Stops when no feasible change of p raises the linearised objective by more than ``tol * d``. `start` is strictly
    between its bounds; `warm` multiplicative steps come first.
    """
    m, d = rows.shape
    p, z, y, steps, extra = start, np.zeros(m), np.zeros(m), 0, _EXTRA
    while True:
        h, solved, gap = _look(rows, base, caps, total, p)
        if gap <= tol * d:
            sharp = _sharpened(p, z, y, caps, total, d)
            if _look(rows, base, caps, total, sharp)[2] <= tol * d:
                return Iterate(sharp, steps)
            extra -= 1
        if extra == 0 or steps == _STEPS or gap <= 1e-14 * d:
            return Iterate(p, steps)
        if warm > 0:
            warm, p = warm - 1, capped(p * (h + 1e-6), caps * (1 - 1e-3), total)  # a row of zeros stays inside
            continue
        if steps == 0:
            z, y = 0.1 * min(gap, d) / m / p, 0.1 * min(gap, d) / m / (caps - p)
        steps += 1
        hessian = solved @ rows.T
        np.multiply(hessian, hessian, out=hessian)
        p, z, y = _step(hessian, h, total, p, caps - p, z, y)


def _sharpened(p: Array, z: Array, y: Array, caps: Array, total: float, d: int) -> Array:
    """Put weights on a bound if, relatively, their distance from it is below its multiplier."""
    even = total / len(p)
    sharp = np.where(p / even < z / d, 0.0, np.where((caps - p) / even < y / d, caps, p))
    between = (sharp > 0) & (sharp < caps)
    rest = total - sharp[~between].sum()
    if not between.any() and abs(rest) < 1e-12 * total:
        return np.asarray(sharp)
    if not 0 < rest < caps[between].sum():
        return p
    sharp[between] = capped(p[between], caps[between], rest)
    return np.asarray(sharp)


def _look(rows: Array, base: Array, caps: Array, total: float, p: Array) -> tuple[Array, Array, float]:
    """Return the leverages, ``rows @ M^{-1}``, and the largest gain of the linearised objective."""
    solved = rows @ np.linalg.inv(base + rows.T @ (rows * p[:, None]))
    h = np.einsum("ij,ij->i", solved, rows)
    return h, solved, best(h, caps, total) - float(p @ h)


def _step(hessian: Array, h: Array, total: float, p: Array, q: Array, z: Array, y: Array) -> tuple[Array, Array, Array]:
    """Take one predictor-corrector step; z and y are the multipliers of ``p >= 0`` and of ``q = caps - p >= 0``."""
    from scipy.linalg.lapack import dpotrf, dpotrs

    m = len(p)
    hessian.ravel()[:: m + 1] += z / p + y / q
    factor, _ = dpotrf(hessian.T, lower=1, overwrite_a=1)
    ones, _ = dpotrs(factor, np.ones(m), lower=1)

    def towards(low: Array | float, high: Array | float) -> tuple[Array, Array, Array]:
        free, _ = dpotrs(factor, h + low / p - high / q, lower=1)
        dp = free - (free.sum() - (total - p.sum())) / ones.sum() * ones
        return dp, low / p - z - z / p * dp, high / q - y + y / q * dp

    def reach(dp: Array, dz: Array, dy: Array) -> tuple[float, float]:
        return min(_reach(p, dp), _reach(q, -dp)), min(_reach(z, dz), _reach(y, dy))

    dp, dz, dy = towards(0.0, 0.0)
    a, b = reach(dp, dz, dy)
    product = float(p @ z + q @ y)
    ahead = float((p + a * dp) @ (z + b * dz) + (q - a * dp) @ (y + b * dy))
    aim = product / (2 * m) * min(1.0, max((ahead / product) ** 3, 1e-3))
    bent = a * b * dp  # a corrector beyond the reach of the predictor can cycle
    dp, dz, dy = towards(aim - bent * dz, aim + bent * dy)
    a, b = reach(dp, dz, dy)
    return p + a * dp, z + b * dz, y + b * dy


def _reach(x: Array, change: Array) -> float:
    """Longest step, at most 1, that goes no more than 99.5 % of the way from `x` to zero."""
    falling = change < 0
    return min(1.0, _TO_THE_BOUNDARY * float((-x[falling] / change[falling]).min(initial=np.inf)))
