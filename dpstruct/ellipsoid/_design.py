"""Capped D-optimal designs over many rows: free the rows near the boundary, solve for them exactly, look again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.ellipsoid._interior import best, capped, inverse_factor, maximise
from dpstruct.kernels import blocks

Array = NDArray[np.float64]
Index = NDArray[np.intp]
_ROWS = 4096  # of a block: its product stays in the cache
_WIDEST = 500  # rows on each side of the boundary
_FIRST_STEPS = 4  # multiplicative steps over all rows before the first window of a capped problem
_PATIENCE = 64  # and after a window that came too early: as many, then twice as many, up to this


class Design(NamedTuple):
    """Weights of all rows, their moment matrix, the leverages of all rows under it, and what it took."""

    weights: Array
    moment: Array
    leverages: Array
    excess: float
    steps: int
    passes: int


def gram(rows: Array, weights: Array) -> Array:
    """Return ``sum w_i a_i a_i^T``, block by block."""

    def part(start: int, stop: int) -> Array:
        return np.asarray(rows[start:stop].T @ (rows[start:stop] * weights[start:stop, None]))

    parts = blocks.run(part, blocks.spans(len(rows), _ROWS))
    return np.asarray(sum(parts, start=np.zeros((rows.shape[1],) * 2)))


def scores(rows: Array, moment: Array) -> Array:
    """Return ``a_i^T moment^{-1} a_i`` of all rows, block by block."""
    factor, out = inverse_factor(moment), np.empty(len(rows))

    def part(start: int, stop: int) -> None:
        scaled = rows[start:stop] @ factor
        np.einsum("ij,ij->i", scaled, scaled, out=out[start:stop])

    blocks.run(part, blocks.spans(len(rows), _ROWS))
    return out


def design(rows: Array, caps: Array, *, tol: float, max_passes: int) -> Design:
    """Maximise ``log det sum p_i a_i a_i^T`` over ``0 <= p <= caps`` with sum 1.

    `rows` span their space, with the identity as their moment under weights in proportion to `caps`, the start. The
    excess is ``max sum p_i h_i / d - 1`` over all feasible p, h the leverages of *all* rows under the returned moment:
    the optimum is at most ``d ln(1 + excess)`` higher. Stops once it is at most `tol`, or after `max_passes` passes.
    """
    d, half, steps, before = rows.shape[1], max(5 * rows.shape[1], 50), 0, np.inf
    p, moment, exact = caps / caps.sum(), np.eye(rows.shape[1]), bool(caps.min() >= 1)
    settled, wait, patience = False, 0 if exact else _FIRST_STEPS, _FIRST_STEPS
    for passes in range(1, max_passes + 1):
        h = scores(rows, moment)
        excess = max(top(h, caps) / max(d, 1) - 1, 0.0)  # d = 0: all rows are zero
        if excess <= tol or passes == max_passes:
            break
        if wait > 0:
            wait, p = wait - 1, capped(p * h, caps, 1.0)
            moment = gram(rows, p)
            continue
        half, before = (half if excess <= 0.5 * before else min(2 * half, _WIDEST)), excess
        free, above = _window(rows, h, caps, p if settled else None, half)
        target = max(0.5 * tol, 0.05 * min(excess, 1.0))
        q, ahead, used = _solve(rows, p, caps, free, above, tol=target, warm=1 if settled else 8)
        steps += used
        if settled or exact or patience > _PATIENCE or np.linalg.slogdet(ahead)[1] >= np.linalg.slogdet(moment)[1]:
            settled, p, moment = True, q, ahead
        else:  # too early: multiplicative steps never lose
            wait, patience, before = patience, 2 * patience, np.inf
    return Design(p, moment, h, float(excess), steps, passes)


def top(h: Array, caps: Array) -> float:
    """Return the largest ``sum p_i h_i`` over ``0 <= p <= caps`` with sum 1: a conditional value at risk."""
    if caps.min() >= 1:
        return float(h.max())
    if caps.max() > caps.min():
        return best(h, caps, 1.0)
    k = _count(caps)
    if k == len(h):
        return float(h.sum() * caps[0])
    tail = np.partition(h, len(h) - 1 - k)[len(h) - 1 - k :]
    return float(tail[1:].sum() * caps[0] + tail[0] * (1 - k * caps[0]))


def _count(caps: Array) -> int:
    """How many rows of equal caps fit below a total of 1."""
    return int(min(len(caps), np.floor((1 + 1e-12) / caps[0])))


def _window(rows: Array, h: Array, caps: Array, p: Array | None, half: int) -> tuple[Index, Index]:
    """Return the rows to solve for, and those to hold at their caps; all others are held at zero.

    Free are the `half` rows on each side of the rank at which the largest leverages use up 1. Without weights `p`, all
    beyond are held where the order puts them. With them, they stay where they are (so that solving can only gain),
    except those strictly between their bounds, and the ``2 * half`` farthest on the wrong side, which are free too.
    """
    n = len(h)
    if caps.max() > caps.min():
        order = np.argsort(-h)
        k = int(np.searchsorted(np.cumsum(caps[order]), 1 - 1e-12))
        low, high = max(k - half, 0), min(k + half, n)
    else:
        k = _count(caps) if caps[0] < 1 else 0
        low, high = max(k - half, 0), min(k + half, n)
        order = np.argpartition(-h, sorted({low, min(k, n - 1), min(high, n - 1)}))
    free, above = order[low:high], order[:low]
    if p is not None:
        far = np.concatenate([above[p[above] < caps[above]], order[high:][p[order[high:]] > 0]])
        between = (p[far] > 0) & (p[far] < caps[far])
        wrong = far[~between]
        worst = wrong[np.argsort(-np.abs(h[wrong] - h[order[min(k, n - 1)]]))[: 2 * half]]
        free = np.concatenate([free, far[between], worst])
        above = np.flatnonzero(p >= caps)
    return _spanning(rows, free, np.setdiff1d(above, free))


def _spanning(rows: Array, free: Index, above: Index) -> tuple[Index, Index]:
    """Free more rows until those in use span the space."""
    for _ in range(rows.shape[1]):
        used = rows[np.concatenate([free, above])]
        values, vectors = np.linalg.eigh(used.T @ used / len(used))
        missing = values < 1e-6
        if not missing.any():
            break
        found = np.abs(rows @ vectors[:, missing]).argmax(axis=0)
        free = np.union1d(free, found)
        above = np.setdiff1d(above, found)
    return np.unique(free), above


def _solve(
    rows: Array, p: Array, caps: Array, free: Index, above: Index, *, tol: float, warm: int
) -> tuple[Array, Array, int]:
    """Return weights that are optimal over the `free` rows, their moment, and the number of Newton steps."""
    base, room = gram(rows[above], caps[above]), caps[free]
    total = 1 - float(caps[above].sum())
    even = room * (total / room.sum())
    start = 0.9 * capped(p[free] + 1e-9 * even, 0.999 * room, total) + 0.1 * even
    solved = maximise(rows[free], base, room, total, start, tol=tol, warm=warm)
    q = np.zeros_like(p)
    q[above], q[free] = caps[above], solved.weights
    return q, base + gram(rows[free], solved.weights), solved.steps
