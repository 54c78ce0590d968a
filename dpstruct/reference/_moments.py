"""What the ellipsoid baselines share: clipped and lifted rows, scales with and without noise, the resulting region."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import check_rows, real
from dpstruct.ellipsoid import Region
from dpstruct.errors import InvalidParameter

Array = NDArray[np.float64]
CELLS = 256  # thresholds of the private scale
_REACH = 16.0  # they run from d * 16 down to about d / 16
RESOLUTION = 1e-3  # axes below are not resolved, in units of the ball


def fraction(argument: str, value: object) -> float:
    """Return `value` as a float in (0, 1]."""
    number = real(argument, value)
    if not 0 < number <= 1:
        raise InvalidParameter(argument, repr(number), "a number in (0, 1]")
    return number


def relation(neighbors: str) -> str:
    """Return `neighbors` if the baselines know it."""
    if neighbors not in ("add-remove", "substitute"):
        raise InvalidParameter("neighbors", repr(neighbors), "'add-remove' or 'substitute'")
    return neighbors


def matrix(argument: str, X: ArrayLike) -> Array:
    """Return `X` as float64 of shape (n, D)."""
    width = np.shape(X)[1] if np.ndim(X) == 2 else 1
    return np.ascontiguousarray(check_rows(argument, X, width), dtype=np.float64)


def in_the_ball(X: ArrayLike) -> Array:
    """Return the rows with non-finite entries set to 0 and norms shrunk to at most 1."""
    rows = matrix("X", X)
    rows = np.where(np.isfinite(rows), rows, 0.0)
    largest = np.maximum(np.abs(rows).max(axis=1, initial=1.0), 1.0)[:, None]
    norms = np.linalg.norm(rows / largest, axis=1)[:, None] * largest
    return np.asarray(rows / np.maximum(norms, 1.0))


def lift(X: Array, center: bool) -> Array:
    """Return ``(x, 1) / sqrt 2`` for every row, or the rows themselves if no centre is wanted."""
    return np.hstack([X, np.ones((len(X), 1))]) / math.sqrt(2) if center else X


def leverages(rows: Array, moment: Array) -> Array:
    """Return ``a_i^T moment^{-1} a_i`` for every row."""
    scaled = np.linalg.solve(np.linalg.cholesky(moment), rows.T)
    return np.asarray(np.einsum("ij,ij->j", scaled, scaled))


def region(moment: Array, scale: float, center: bool) -> Region:
    """Return ``{x : a^T moment^{-1} a <= scale}`` for the rows a of `lift`."""
    if center:
        tau = moment[-1, -1]
        middle = moment[:-1, -1] / tau
        moment, scale = moment[:-1, :-1] / tau - np.outer(middle, middle), max(2 * tau * scale - 1, RESOLUTION**2)
    else:
        middle = np.zeros(len(moment))
    generator: Array = np.asarray(np.linalg.cholesky(moment) * math.sqrt(scale), np.float64)
    d = len(moment)
    ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    factor: Array = np.asarray(np.linalg.inv(generator).T, np.float64)
    return Region(np.asarray(middle), factor, generator, ball + float(np.log(np.diag(generator)).sum()))


def exact_scale(h: Array, coverage: float) -> float:
    """Return the smallest leverage that at least the fraction `coverage` of the rows does not exceed."""
    return float(np.sort(h)[math.ceil(coverage * len(h) * (1 - 1e-12)) - 1])


def raised(moment: Array, floor: float) -> Array:
    """Return the symmetric part with its eigenvalues raised to at least `floor`."""
    values, vectors = np.linalg.eigh((moment + moment.T) / 2)
    return np.asarray((vectors * np.maximum(values, floor)) @ vectors.T)


def lowered(moment: Array) -> Array:
    """Return the symmetric matrix with its eigenvalues cut to at most 1: rows are in the unit ball."""
    values, vectors = np.linalg.eigh(moment)
    return np.asarray((vectors * np.minimum(values, 1.0)) @ vectors.T)


def noise_matrix(d: int, sigma: float, rng: np.random.Generator, *, form: str = "goe") -> Array:
    """Draw symmetric noise: diagonal of deviation sigma, the rest sigma / sqrt 2 ("goe") or sigma ("symmetric")."""
    draw = np.triu(rng.normal(0.0, sigma, (d, d)))
    upper = np.triu(draw, 1) / (math.sqrt(2) if form == "goe" else 1.0)
    return np.asarray(np.diag(np.diag(draw)) + upper + upper.T)


def private_scale(
    h: Array, moment: Array, *, coverage: float, count: float, mu: float, neighbors: str, rng: np.random.Generator
) -> float:
    """Return a noisy scale s such that about the fraction `coverage` of the leverages `h` is at most s.

    The numbers of leverages above 256 thresholds are released by the square root of the cumulative-sum matrix with
    Gaussian noise (mu-GDP), made monotone, and interpolated at ``(1 - coverage) * count``. Above the grid, the whole
    unit ball: the reciprocal of the smallest eigenvalue.
    """
    from sklearn.isotonic import isotonic_regression

    j = np.arange(CELLS)
    thresholds = _REACH * len(moment) * np.exp(-2 * math.log(_REACH) / CELLS * j)
    r = np.cumprod(np.concatenate([[1.0], (2 * j[1:] - 1) / (2 * j[1:])]))
    rho = np.cumsum(r**2)
    above = len(h) - np.searchsorted(np.sort(h), thresholds, side="right")
    root = np.convolve(np.diff(above, prepend=0), r)[:CELLS]
    sigma = math.sqrt(rho[-1] * (1 if neighbors == "add-remove" else 2)) / mu
    noised = root + rng.normal(0.0, sigma, CELLS)
    tails = np.convolve(noised, r)[:CELLS]
    tails = isotonic_regression(tails, sample_weight=1 / rho, increasing=True)
    wanted = (1 - coverage) * count
    if tails[0] > wanted:
        return float(1 / np.linalg.eigvalsh(moment)[0])
    k = int(np.searchsorted(tails, wanted, side="right"))
    if k == CELLS:
        return float(thresholds[-1])
    part = (wanted - tails[k - 1]) / (tails[k] - tails[k - 1])
    return float(np.exp((1 - part) * np.log(thresholds[k - 1]) + part * np.log(thresholds[k])))
