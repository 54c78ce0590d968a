"""What one pass over whitened rows does, row by row in plain Python, and an exact ellipsoid to compare with."""

from __future__ import annotations

import math

import numpy as np

from dpstruct.lattice import to_lattice


def seal(X, middle, sides, box, bound, bits):
    """Return the records as lattice rows, with the library's own map of vectors to integers."""
    with np.errstate(all="ignore"):
        rows = X - middle
        rows = np.clip(rows / sides, -1.0, 1.0) if box else np.clip(rows, -np.finfo(float).max, np.finfo(float).max)
        rows[~np.isfinite(X)] = 0.0
    return to_lattice(rows, bound=bound, bits=bits)


def squared_length(row, unit):
    """Return the squared length of ``unit row``, every fourth entry added up apart, the last few to the first lane."""
    whole, lanes = len(row) // 4 * 4, [0.0] * 4
    for j, v in enumerate(row):
        lanes[j % 4 if j < whole else 0] += (v * unit) * (v * unit)
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3])


def contributions(rows, weights, unit, growth, radius2, size, count):
    """Return the lattice rows, the new weights and the summed counts."""
    lattice, updated, total = [], [], 0
    for row, q in zip(rows.tolist(), weights.tolist(), strict=True):
        h = squared_length(row, unit)
        if growth > 0:
            q = min(1.0, growth * q * h)
        factor = math.sqrt(q / max(h, radius2)) * (math.sqrt(size) * (1.0 - 2.0**-40)) * unit
        beta = [math.trunc(v * factor) for v in row]
        lattice.append(beta)
        updated.append(q)
        total += math.floor(q * count)
    return np.array(lattice, float).reshape(rows.shape), np.array(updated), total


def cells(rows, unit, thresholds):
    """Return the number of rows per first threshold below their squared length."""
    counts = [0] * len(thresholds)
    for row in rows.tolist():
        h = squared_length(row, unit)
        beyond = [j for j, t in enumerate(thresholds.tolist()) if t < h]
        if beyond:
            counts[beyond[0]] += 1
    return np.array(counts)


def capped(A, nu, steps=200):
    """Return the second moment of the rows of A of largest determinant with weights of at most ``1 / (nu n)``."""
    n, d = A.shape
    p = np.full(n, 1 / n)
    for _ in range(steps):
        M = (A * p[:, None]).T @ A
        v = p * np.einsum("ij,ij->i", A @ np.linalg.inv(M), A) / d
        low, high = 1.0, 1e9
        for _ in range(100):
            c = math.sqrt(low * high)
            low, high = (c, high) if np.minimum(1 / (nu * n), c * v).sum() < 1 else (low, c)
        p = np.minimum(1 / (nu * n), high * v)
    return (A * p[:, None]).T @ A


def radius(A, M, coverage):
    """Return the geometric mean radius of the lifted rows' ellipsoid of shape M that holds this fraction of them."""
    D = A.shape[1] - 1
    h = np.einsum("ij,ij->i", A @ np.linalg.inv(M), A)
    s = np.quantile(h, coverage, method="higher")
    c, tau = M[:D, D] / M[D, D], M[D, D]
    C = M[:D, :D] / tau - np.outer(c, c)
    return math.exp(np.linalg.slogdet(C)[1] / (2 * D)) * math.sqrt(2 * tau * s - 1)


def mixture(n, d, random):
    """Return rows in the unit ball: 85 % long in the first half of the coordinates, the rest in the second."""
    X = random.standard_normal((n, d))
    most = random.random(n) < 0.85
    X[most, d // 2 :] *= 0.05
    X[~most, : d // 2] *= 0.05
    X /= np.quantile(np.linalg.norm(X, axis=1), 0.99)
    X = 0.6 * X / np.maximum(np.linalg.norm(X, axis=1), 1)[:, None] + 0.3 / math.sqrt(d)
    return X / np.maximum(np.linalg.norm(X, axis=1), 1)[:, None]
