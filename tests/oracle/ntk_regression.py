"""NTK regression in plain NumPy, one row or one formula at a time: the judge of kernels and solvers."""

import math

import numpy as np

UNIT = 1 << 15
SHRINK = UNIT * (1 - 2.0**-30)


def theta(u, depth):
    """The kernel of a network of infinite width, whole arrays at a time."""
    s = tangent = np.clip(u, -1, 1)
    for _ in range(depth):
        slope = 1 - np.arccos(s) / np.pi
        s = np.minimum(1, np.sqrt(np.maximum(0, 1 - s * s)) / np.pi + s * slope)
        tangent = s + tangent * slope
    return tangent / (depth + 1)


def gegenbauer(t, dim, degree):
    """P_l with P_l(1) = 1."""
    below, this = np.zeros_like(t), np.ones_like(t)
    for n in range(degree):
        below, this = this, ((2 * n + dim - 2) * t * this - n * below) / (n + dim - 2)
    return this


def harmonics(dim, n):
    return 1 if n == 0 else (2 * n + dim - 2) * math.comb(n + dim - 3, n - 1) // n


def coefficients(dim, depth, nodes=20000):
    """a_0 .. a_5 by the midpoint rule."""
    angle = (np.arange(nodes) + 0.5) * np.pi / nodes
    t, weight = np.cos(angle), np.sin(angle) ** (dim - 2)
    value = theta(t, depth) * weight / weight.sum()
    return np.array([harmonics(dim, n) * (value * gegenbauer(t, dim, n)).sum() for n in range(6)])


def zonal(x, a, W, exact):
    """Features of unit rows in floating point, from the definition."""
    n, d = x.shape
    blocks = [np.full((n, 1), math.sqrt(a[0])), math.sqrt(a[1]) * x]
    if exact == 2:
        i, j = np.triu_indices(d)
        squares = x[:, i] * x[:, j] * np.where(i == j, 1.0, math.sqrt(2)) - (i == j) / d
        blocks.append(math.sqrt(a[2] * d / (d - 1)) * squares)
    t, signs = np.clip(x @ W.T, -1, 1), (1, 1, 1, -1, -1)
    psi = sum(signs[n % 5] * math.sqrt(a[n] * harmonics(d, n)) * gegenbauer(t, d, n) for n in range(exact + 1, 7))
    bound = 5 * math.sqrt(sum(a[exact + 1 :]))
    features = np.concatenate([*blocks, np.clip(psi, -bound, bound) / math.sqrt(len(W))], axis=1)
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def residuals(scores, y, kind, clip):
    """Clipped residuals in units of the clip, not truncated; kinds 0 normal, 1 softmax, 2 one-hot."""
    out = np.zeros_like(scores)
    k = scores.shape[1]
    for i, row in enumerate(scores):
        if kind == 0:
            r = row - y[i] / UNIT
        elif not 0 <= y[i] < k:
            continue
        elif kind == 1:
            e = np.exp(row - row.max())
            r = e / e.sum() - (np.arange(k) == y[i])
        else:
            r = row - (np.arange(k) == y[i]) + 1 / k
        length = np.sqrt((r * r).sum())
        out[i] = r * min(1, clip / length) / clip if length > 0 else 0
    return out


def descent(F, y, kind, *, steps, clip, rate, momentum=0.9):
    """Gradient steps with momentum on float features of length at most 1."""
    k = 1 if kind == 0 else int(y.max()) + 1
    coefficients, pace = np.zeros((F.shape[1], k)), np.zeros((F.shape[1], k))
    for _ in range(steps):
        gradient = F.T @ (clip * residuals(F @ coefficients, y, kind, clip)) / len(F)
        pace = momentum * pace + gradient
        coefficients = coefficients - (1 - momentum) * rate * pace
    return coefficients
