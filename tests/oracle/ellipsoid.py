"""Slow, plain judges for ellipsoids: leverages, conditional values at risk, the multiplicative algorithm."""

import numpy as np


def lifted(X):
    return np.hstack([X, np.ones((len(X), 1))])


def moment(rows, p):
    return sum(w * np.outer(a, a) for w, a in zip(p, rows))


def leverages(rows, M):
    return np.array([a @ np.linalg.solve(M, a) for a in rows])


def cvar(h, nu):
    """Largest ``sum p_i h_i`` over weights of sum 1, each at most ``1 / (nu n)``: greedy."""
    room, total, cap = 1.0, 0.0, min(1.0, 1 / (nu * len(h)))
    for value in sorted(h, reverse=True):
        total += min(cap, room) * value
        room -= min(cap, room)
    return total


def share(x, cap):
    """``min(cap, c x)`` of sum 1: cap the largest, scale the rest, repeat."""
    p, full = x / x.sum(), np.zeros(len(x), bool)
    while (p > cap * (1 + 1e-12)).any():
        full |= p >= cap
        p = np.where(full, cap, x * (1 - cap * full.sum()) / x[~full].sum())
    return p


def multiplicative(rows, nu, steps):
    """Weights after many monotone steps; nu = 0 for no cap."""
    n = len(rows)
    cap, p = 1.0 if nu * n <= 1 else 1 / (nu * n), np.full(n, 1 / n)
    for _ in range(steps):
        M = rows.T @ (rows * p[:, None])
        p = share(p * np.einsum("ij,ij->i", rows @ np.linalg.inv(M), rows), cap)
    return p
