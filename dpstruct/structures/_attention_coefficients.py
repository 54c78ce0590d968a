"""Polynomials that stand for the exponential: coefficients that balance their bias against the noise they cost.

The similarity t of a query and a key, both on the unit sphere, is weighted by ``p(t) = sum_p a_p t**p`` in place of
``exp(theta t)``. The answer does not change when all a_p are multiplied by one number.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_THETA", "Family", "amplitudes", "fit", "lowest", "taylor"]

Floats = NDArray[np.float64]
DIMENSIONS = (8.0, 16.0, 32.0)  # of the spheres on which the prior places keys and queries
VALUE_VARIANCE = ROW_VARIANCE = 0.25  # prior: of the values' field per harmonic degree, and of a row around it
LARGEST_THETA = 64.0
_NODES, _GRID = 500, 96


def taylor(theta: Floats, degree: int) -> Floats:
    """Return ``theta**p / p!``, shape ``(*theta.shape, degree + 1)``."""
    powers = np.arange(degree + 1)
    factorials = np.array([math.factorial(p) for p in powers])
    result: Floats = np.asarray(theta, np.float64)[..., None] ** powers / factorials
    return result


class Family:
    """The prior's expected squared error as a quadratic form.

    For values with harmonic fields of some variance per degree (1/4, if not known better) and rows with variance 1/4
    around them, the squared bias of a polynomial is ``a^T H a`` if ``mass @ a = 1`` (Funk-Hecke: degree l is reproduced
    exactly when ``E[p P_l] = rho_l E p``).

    Parameters
    ----------
    degree : int
        Of the polynomial.
    rows : float
        Number of records.
    dimensions : tuple of float
        Of the spheres over which H is averaged; the middle one defines `mass`.
    """

    def __init__(self, degree: int, rows: float, dimensions: tuple[float, ...] = DIMENSIONS) -> None:
        self.degree, self.rows = degree, max(rows, 1.0)
        self.spheres = [_sphere(max(d, 3.0), degree) for d in dimensions]
        self.mass = self.spheres[len(dimensions) // 2][2][0]

    def bias(self, theta: Floats) -> Floats:
        """Return the forms H, shape (len(theta), degree + 1, degree + 1)."""
        fields, rows = self.forms(theta)
        result: Floats = VALUE_VARIANCE * fields.sum(axis=0) + rows / self.rows
        return result

    def forms(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the forms of a field of variance 1 per harmonic degree from 1, and of rows around it, times n."""
        shape = (len(theta), self.degree + 1, self.degree + 1)
        fields, rows = np.zeros((self.degree, *shape)), np.zeros(shape)
        for dimension, nodes, products, powers, weights in self.spheres:
            mass, rho = products[0], _ratios(theta, dimension, self.degree)
            for degree in range(1, self.degree + 1):
                off = products[degree] - rho[:, degree, None] * mass
                fields[degree - 1] += off[:, :, None] * off[:, None, :] / len(self.spheres)
            tilt = np.exp(theta[:, None] * (nodes - 1))
            tilt /= (tilt @ weights)[:, None]
            rest = powers[None, :, :] - tilt[:, None, :] * mass[:, None]
            rows += ROW_VARIANCE / len(self.spheres) * ((rest * weights) @ rest.transpose(0, 2, 1))
        return fields, rows

    def log_mean(self, theta: Floats) -> Floats:
        """Return ``log E exp(theta t)`` for the middle dimension: what unit mass stands for."""
        _, nodes, _, _, weights = self.spheres[len(self.spheres) // 2]
        result: Floats = theta + np.log(np.exp(theta[:, None] * (nodes - 1)) @ weights)
        return result

    def best(self, theta: Floats, noise: Floats) -> Floats:
        """Return the coefficients of least ``a^T H a + sum noise_p a_p**2``, of unit mass, per theta."""
        return _solve(self.bias(theta), noise, self.mass)

    def design(self, theta: float, unit: float) -> Floats:
        """Return the coefficients of least ``a^T H a + unit**2 |a|_1**2``: noise divided in the best way for them."""
        return _least_l1(self.bias(np.array([theta]))[0], unit, self.mass)


@lru_cache(maxsize=64)
def _sphere(dimension: float, degree: int) -> tuple[float, Floats, Floats, Floats, Floats]:
    """Return nodes on [-1, 1] and, for ``t`` of a random unit vector, ``E[t**p P_l]`` by l, powers and weights."""
    nodes = np.cos((np.arange(_NODES) + 0.5) * np.pi / _NODES)
    weights = (1 - nodes**2) ** (dimension / 2 - 1)
    weights /= weights.sum()
    powers: Floats = nodes ** np.arange(degree + 1)[:, None]
    harmonic = [np.ones_like(nodes), nodes]
    for k in range(1, degree):
        harmonic.append(((2 * k + dimension - 2) * nodes * harmonic[k] - k * harmonic[k - 1]) / (k + dimension - 2))
    products: Floats = np.array([(powers * P) @ weights for P in harmonic[: degree + 1]])
    return dimension, nodes, products, powers, weights


def _ratios(theta: Floats, dimension: float, degree: int) -> Floats:
    """Return ``rho_l = I_{l+nu}(theta) / I_nu(theta)``, shape (len(theta), degree + 1)."""
    from scipy.special import ive

    nu, safe = dimension / 2 - 1, np.maximum(theta, 1e-3)[:, None]
    ratios: Floats = ive(np.arange(degree + 1) + nu, safe) / ive(nu, safe)
    return np.where(theta[:, None] > 1e-3, ratios, np.eye(1, degree + 1))


def _solve(forms: Floats, noise: Floats, mass: Floats) -> Floats:
    """Minimise ``a^T form a + sum noise_p a_p**2`` over ``mass @ a = 1``, per form."""
    penalised = forms + np.diag(noise)
    solved = np.linalg.solve(penalised, np.broadcast_to(mass[:, None], (len(forms), len(mass), 1)))[..., 0]
    result: Floats = solved / (solved @ mass)[:, None]
    return result


@lru_cache(maxsize=32)
def _on_grid(degree: int, dimensions: tuple[float, ...]) -> tuple[Floats, Floats, Floats, Floats]:
    """Return a family's forms, mass and log-means on the grid, computed once."""
    family = Family(degree, 1.0, dimensions)
    return (*family.forms(grid()), family.mass, family.log_mean(grid()))


def log_means(theta: Floats, degree: int) -> Floats:
    """Return the log of what unit mass stands for, interpolated."""
    result: Floats = along(theta, _on_grid(degree, DIMENSIONS)[3][:, None])[:, 0]
    return result


def prior_table(
    degree: int, rows: float, noise: Floats, size: float | None = None, fields: tuple[float, ...] = ()
) -> Floats:
    """Return on the grid: coefficients of unit mass, their least value, log of what unit mass stands for.

    Parameters
    ----------
    degree, rows, noise
        Of the polynomial; number of records; variance that each squared coefficient costs.
    size : float, optional
        Effective dimension of the keys, which is averaged with the prior's 16 on the scale of logarithms.
    fields : tuple of float
        Variance of the values' field per harmonic degree, if it is known.
    """
    middle = 0.0 if size is None else 4 * math.sqrt(size)
    dimensions = DIMENSIONS if size is None else (middle / 1.5, middle, 1.5 * middle)
    forms, spread, mass, log_mean = _on_grid(degree, dimensions)
    scales = np.array(fields or [VALUE_VARIANCE] * degree)
    A = _solve(np.tensordot(scales, forms, axes=1) + spread / max(rows, 1.0), noise, mass)
    return np.column_stack([A, lowest(A), log_mean])


def _least_l1(form: Floats, unit: float, mass: Floats) -> Floats:
    """Minimise ``a^T form a + unit**2 |a|_1**2`` over ``mass @ a = 1`` by non-negative least squares on a = u - v."""
    from scipy.optimize import nnls

    values, vectors = np.linalg.eigh(form)
    root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    heavy = 1e3 * math.sqrt(np.trace(form) + unit**2)
    rows = np.concatenate([root, heavy * mass[None]])
    system = np.concatenate([np.concatenate([rows, -rows], axis=1), np.full((1, 2 * len(mass)), unit)])
    target = np.zeros(len(system))
    target[len(root)] = heavy
    both = nnls(system, target)[0]
    a = both[: len(mass)] - both[len(mass) :]
    result: Floats = a / (a @ mass)
    return result


def amplitudes(temperatures: tuple[float, ...], degree: int, rows: float, unit: float, given: object) -> Floats:
    """Return the typical share of each degree in ``|a|_1`` over the planned temperatures, at least 0.02, of sum 1."""
    theta = 1 / np.array(temperatures)
    if given == "taylor":
        a = taylor(theta, degree)
    elif given == "prior":
        family = Family(degree, rows)
        a = np.array([family.design(float(t), unit) for t in theta])
    else:
        a = np.array([given])
    shares = np.sqrt(np.mean((a / np.abs(a).sum(axis=1, keepdims=True)) ** 2, axis=0))
    shares = np.maximum(shares / shares.sum(), 0.02)
    result: Floats = shares / shares.sum()
    return result


def fit(T: Floats, W: Floats, theta: Floats, degree: int, unit: float) -> Floats:
    """Return the coefficients of least error on public pilot records, with the noise that they will cost.

    Parameters
    ----------
    T : ndarray, shape (q, n)
        Similarities of pilot queries and pilot keys.
    W : ndarray, shape (n, dv)
        Pilot values in the unit ball.
    theta : ndarray, shape (q,)
        Sharpness of each query's softmax.
    degree : int
        Of the polynomial.
    unit : float
        Noise of one answer over |a|_1 of unit mass.

    Returns
    -------
    ndarray, shape (degree + 1,)
        Minimises ``mean |sum_j p(t_j) (w_j - o)|**2 / n**2 + unit**2 |a|_1**2`` with ``mean p = 1``.
    """
    n = T.shape[1]
    weights = np.exp(theta[:, None] * (T - T.max(axis=1, keepdims=True)))
    target = (weights @ W) / weights.sum(axis=1, keepdims=True)
    off, mass, power = [], [], np.ones_like(T)
    for _ in range(degree + 1):
        sums = power.sum(axis=1, keepdims=True)
        off.append((power @ W - sums * target) / n)
        mass.append(sums.mean() / n)
        power = power * T
    stacked = np.array(off).reshape(degree + 1, -1)
    return _least_l1(stacked @ stacked.T / len(T), unit, np.array(mass))


def lowest(A: Floats) -> Floats:
    """Return the minimum over [-1, 1] of every polynomial of degree at most 3; coefficients in the last axis."""
    a = np.concatenate([A, np.zeros((*A.shape[:-1], 4 - A.shape[-1]))], axis=-1)
    with np.errstate(all="ignore"):
        root = np.sqrt(np.maximum(4 * a[..., 2] ** 2 - 12 * a[..., 3] * a[..., 1], 0))
        tall = -2 * a[..., 2] - np.copysign(root, a[..., 2])  # both roots without cancellation
        candidates = np.stack([tall / (6 * a[..., 3]), 2 * a[..., 1] / tall], axis=-1)
    ends = np.broadcast_to([-1.0, 1.0], candidates.shape)
    t = np.concatenate([np.clip(np.nan_to_num(candidates, nan=1.0, posinf=1.0, neginf=-1.0), -1, 1), ends], axis=-1)
    values = ((a[..., 3, None] * t + a[..., 2, None]) * t + a[..., 1, None]) * t + a[..., 0, None]
    result: Floats = values.min(axis=-1)
    return result


def grid() -> Floats:
    """Return the thetas at which coefficients are computed, evenly spaced in log(1 + theta), from 0."""
    result: Floats = np.expm1(np.linspace(0, math.log1p(LARGEST_THETA), _GRID))
    return result


def along(theta: Floats, table: Floats) -> Floats:
    """Interpolate a table over `grid` by local cubics, theta beyond its end counting as that end."""
    position = np.log1p(np.clip(np.asarray(theta, np.float64), 0, LARGEST_THETA))
    position = position / math.log1p(LARGEST_THETA) * (_GRID - 1)
    k = np.clip(position.astype(np.int64), 1, _GRID - 3)
    u = (position - k)[..., None]
    left, a, b, right = (table[k + s] for s in (-1, 0, 1, 2))
    result: Floats = (
        left * (-u * (u - 1) * (u - 2) / 6)
        + a * ((u + 1) * (u - 1) * (u - 2) / 2)
        + b * (-(u + 1) * u * (u - 2) / 2)
        + right * ((u + 1) * u * (u - 1) / 6)
    )
    return result
