"""Plain NumPy judges of the kernel density: exact kernel sums, and every map in its slowest, plainest form."""

import math

import numpy as np


def profile(name, r, shape=None):
    """The kernels by their formulas, at bandwidth 1 and distance r in their norm."""
    return {
        "gaussian": lambda: np.exp(-r * r / 2),
        "laplacian": lambda: np.exp(-r),
        "exponential": lambda: np.exp(-r),
        "cauchy": lambda: 1 / (1 + r * r),
        "rational_quadratic": lambda: (1 + r * r / (2 * (shape or 1.0))) ** -(shape or 1.0),
        "matern": lambda: (1 + math.sqrt(3) * r) * np.exp(-math.sqrt(3) * r),
        "inv_l2": lambda: 1 / (1 + r),
        "inv_l1": lambda: 1 / (1 + r),
    }[name]()


def kernel(name, X, Y, h):
    """Kernel between all pairs, shape (len(Y), len(X))."""
    z = np.abs(Y[:, None, :] - X[None, :, :]) / h
    if name == "product_cauchy":
        return np.prod(1 / (1 + z * z), axis=2)
    r = z.sum(axis=2) if name in ("laplacian", "inv_l1") else np.sqrt((z * z).sum(axis=2))
    return profile(name, r)


def kernel_sums(name, X, Y, h):
    """Exact answers."""
    return kernel(name, X, Y, h).sum(axis=1)


def phase_sums(rows, matrix, shift, cos, sin):
    """Points on circles, added one by one in Python's integers."""
    total = [[0, 0] for _ in range(matrix.shape[1])]
    for row in rows.astype(object):
        for j, column in enumerate(matrix.T.astype(object)):
            i = (int(sum(int(a) * int(b) for a, b in zip(row, column))) >> shift) & 4095
            total[j][0] += int(cos[i])
            total[j][1] += int(sin[i])
    return np.array([t[0] for t in total]), np.array([t[1] for t in total])


def fourier_sums(phases, index, cos, sin):
    """Products of integer points as Python complex integers, added one by one."""
    real, imaginary = [], []
    for k in index.tolist():
        re = im = 0
        for row in phases.tolist():
            a, b = 1, 0
            for degree, p in zip(k, row):
                i = (degree * p) % len(cos)
                c, s = int(cos[i]), int(sin[i])
                a, b = a * c - b * s, a * s + b * c
            re, im = re + a, im + b
        real.append(re)
        imaginary.append(im)
    return np.array(real), np.array(imaginary)


def product_features(rows, low, scale, table, starts, part, index, bits):
    """Integer products of interpolated factors, row by row, of norm at most 2**bits."""
    out = []
    for row in rows:
        factors, norms = np.empty(table.shape[1]), np.ones(part.max() + 1)
        for c in range(len(starts) - 1):
            z = min(max((row[c] - low[c]) * scale[c], 0.0), len(table) - 1.0)
            k = min(int(z), len(table) - 2)
            t = z - k
            columns = slice(starts[c], starts[c + 1])
            factors[columns] = ((1.0 - t) * table[k] + t * table[k + 1])[columns]
            for q in range(len(norms)):
                squares = 0.0
                for f in factors[columns][part[columns] == q]:
                    squares += f * f
                norms[q] *= squares
        total = 0.0
        for norm in norms:
            total += norm
        size = 2.0**bits * (1 - 2.0**-30)
        factors[starts[0] : starts[1]] *= size if total <= 1 else size / np.sqrt(total)
        out.append(np.trunc(_product(factors[index])).astype(np.int64))
    return np.array(out).reshape(-1, len(index))


def _product(factors):
    """Products over axes, halves by halves, as the order of multiplications decides last bits."""
    if factors.shape[1] == 1:
        return factors[:, 0]
    half = (factors.shape[1] + 1) // 2
    return _halves(factors[:, :half]) * _halves(factors[:, half:])


def _halves(factors):
    if factors.shape[1] == 1:
        return factors[:, 0]
    half = factors.shape[1] // 2
    return _halves(factors[:, :half]) * _halves(factors[:, half:])
