"""Neural tangent kernels of ReLU networks: exact, and as a public feature map of unit norm.

On unit vectors with inner product u, let ``k0(u) = 1 - acos(u) / pi`` and
``k1(u) = (sqrt(1 - u**2) + u (pi - acos u)) / pi``. Starting from S = T = u each layer sets ``T = k1(S) + T k0(S)``,
then ``S = k1(S)``; the kernel of depth L is ``Theta = T / (L + 1)`` (arXiv 1806.07572; this form: arXiv 1905.12173).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import positive_integer
from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws, orthogonal_blocks
from dpstruct.features.products import PublicMatrix, multiply, quantise
from dpstruct.features.sphere import STEPS

__all__ = ["ntk_kernel", "zonal_coefficients", "zonal_map", "zonal_rows"]

Floats = NDArray[np.float64]

TILE = 256  # rows and columns of the kernel that are computed together
DEGREE = 6  # of the polynomial in a direction's product
CLIP = 5.0  # a polynomial's value is bounded by so many of its standard deviations


def ntk_kernel(X: ArrayLike, Y: ArrayLike | None = None, *, depth: int = 1) -> Floats:
    """Return the exact kernel of a ReLU network of infinite width between unit vectors; it is 1 on equal ones.

    Parameters
    ----------
    X, Y : array-like, shapes (n, d) and (q, d)
        Unit vectors; Y defaults to X, which takes half the time.
    depth : int
        Number of hidden layers, at least 1.

    Returns
    -------
    ndarray of float64, shape (n, q)

    Examples
    --------
    >>> ntk_kernel([[1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]], depth=2).round(6).tolist()
    [[0.22857, 1.0]]
    """
    from dpstruct.kernels import blocks
    from dpstruct.kernels.ntk_regression import recursion

    depth = positive_integer("depth", depth, at_most=64)
    rows = np.asarray(X, dtype=np.float64)
    others = rows if Y is None else np.asarray(Y, dtype=np.float64)
    kernel = np.empty((len(rows), len(others)))

    def tile(i: int, j: int) -> None:
        part = rows[i : i + TILE] @ others[j : j + TILE].T
        recursion(part.reshape(-1), depth)
        kernel[i : i + TILE, j : j + TILE] = part
        if Y is None and j > i:
            kernel[j : j + TILE, i : i + TILE] = part.T

    starts = range(0, len(rows), TILE)
    blocks.run(tile, [(i, j) for i in starts for j in range(i if Y is None else 0, len(others), TILE)])
    return kernel


@lru_cache(maxsize=16)
def zonal_coefficients(dim: int, depth: int) -> tuple[float, ...]:
    """Return a_0 .. a_6 with ``Theta(u) = sum a_l P_l(u)``, Gegenbauer polynomials with P_l(1) = 1, the tail in a_6.

    Quadrature in 50 digits, correctly rounded: the same doubles on every machine.

    Parameters
    ----------
    dim : int
        Coordinates of the sphere, at least 3.
    depth : int
        Hidden layers.
    """
    from mpmath.ctx_mp import MPContext

    new: Any = MPContext
    ctx = new()  # of its own: the shared one is not thread-safe
    ctx.dps = 50
    step = ctx.mpf(1) / max(40, math.ceil(6 * math.sqrt(dim)))
    sums, mass = [ctx.mpf(0)] * DEGREE, ctx.mpf(0)
    for k in range(-int(4 / step), int(4 / step) + 1):  # angle = pi/2 (1 + tanh(pi/2 sinh)), trapezoidal rule
        inner = ctx.pi / 2 * ctx.sinh(k * step)
        weight = ctx.cosh(k * step) / ctx.cosh(inner) ** 2
        angle = ctx.pi / 2 * (1 + ctx.tanh(inner))
        weight *= ctx.sin(angle) ** (dim - 2)
        if weight < ctx.mpf(10) ** -45:
            continue
        t = ctx.cos(angle)
        mass += weight
        value, below, this = weight * _theta(ctx, t, depth), ctx.mpf(0), ctx.mpf(1)
        for degree in range(DEGREE):
            sums[degree] += value * this
            below, this = this, ((2 * degree + dim - 2) * t * this - degree * below) / (degree + dim - 2)
    found = [max(0.0, float(_harmonics(dim, degree) * total / mass)) for degree, total in enumerate(sums)]
    found = [a if a > 1e-20 else 0.0 for a in found]
    return (*found, max(0.0, 1.0 - math.fsum(found)))


def _theta(ctx: Any, u: Any, depth: int) -> Any:
    s = tangent = u
    for _ in range(depth):
        slope = 1 - ctx.acos(s) / ctx.pi
        s = min(ctx.mpf(1), ctx.sqrt(max(0, 1 - s * s)) / ctx.pi + s * slope)
        tangent = s + tangent * slope
    return tangent / (depth + 1)


def _harmonics(dim: int, degree: int) -> int:
    """Return the number of independent spherical harmonics."""
    if degree == 0:
        return 1
    return (2 * degree + dim - 2) * math.comb(degree + dim - 3, degree - 1) // degree


def _polynomial(dim: int, weights: list[float]) -> list[float]:
    """Return the monomial coefficients of ``sum weights[l] P_l``."""
    below, this = [0.0] * (DEGREE + 1), [1.0] + [0.0] * DEGREE
    total = [weights[0] * c for c in this]
    for n in range(DEGREE):
        up = [0.0, *this[:-1]]
        below, this = this, [((2 * n + dim - 2) * a - n * b) / (n + dim - 2) for a, b in zip(up, below, strict=True)]
        total = [t + weights[n + 1] * c for t, c in zip(total, this, strict=True)]
    return total


def zonal_map(dim: int, depth: int, n_features: int, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return the public arrays of a feature map with ``<phi(x), phi(x')>`` close to the kernel, for `zonal_rows`.

    Constant and coordinates reproduce the degrees 0 and 1 exactly, and all products of two coordinates degree 2 where
    they fit into 80 % of the features; the others are one polynomial of ``<w, x>`` each, for random directions w. With
    weights ``sqrt(a_l N_l)`` it reproduces all degrees that it contains: over uniform w the mean of
    ``N_l P_l(<w, x>) P_j(<w, x'>)`` is ``P_l(<x, x'>)`` for j = l, else 0 (Gegenbauer features: arXiv 2202.03474).

    Raises
    ------
    InvalidParameter
        If `n_features` leaves no room for a direction.
    """
    a = zonal_coefficients(dim, depth)
    size = 1 + dim + dim * (dim + 1) // 2
    exact = 2 if size <= 0.8 * n_features else 1
    count = n_features - (size if exact == 2 else 1 + dim)
    if count < 1:
        raise InvalidParameter("n_features", str(n_features), f"more than {1 + dim}: {dim} coordinates and a constant")
    signs = (1, 1, 1, -1, -1)
    weights = [0.0] * (DEGREE + 1)
    for n in range(exact + 1, DEGREE + 1):
        weights[n] = signs[n % 5] * math.sqrt(a[n] * _harmonics(dim, n) / count)
    bound = CLIP * math.sqrt(math.fsum(a[exact + 1 :]) / count)
    matrix = quantise(orthogonal_blocks(Draws(seed, "zonal map"), dim, count), entry_bound=STEPS)
    square = math.sqrt(a[2] * dim / (dim - 1)) / STEPS**2 if exact == 2 else 0.0
    heads = [math.sqrt(a[0]), math.sqrt(a[1]) / STEPS, square, matrix.unit / STEPS]
    return {
        "directions": matrix.integers,
        "heads": np.array(heads),
        "psi": np.array([*_polynomial(dim, weights), bound]),
    }


def zonal_rows(points: NDArray[np.int16], public: Mapping[str, NDArray[Any]], out: Floats) -> None:
    """Write lattice features of points of `to_sphere`: integers in steps of ``1 / STEPS``, of length at most 1.

    Every row has the same bits whatever rows surround it: the products are exact, the rest runs row by row.

    Parameters
    ----------
    points : ndarray of int16, shape (n, d)
    public : mapping
        From `zonal_map`.
    out : ndarray of float64, shape (n, n_features)
    """
    from dpstruct.kernels import ntk_regression as kernels

    matrix = PublicMatrix(public["directions"], 1.0, STEPS)
    for start in range(0, len(points), 1 << 10):
        block = points[start : start + (1 << 10)]
        kernels.zonal_rows(
            block, multiply(block, matrix), public["heads"], public["psi"], out[start : start + (1 << 10)]
        )
