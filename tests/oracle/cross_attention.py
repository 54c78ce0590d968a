"""Private attention in plain Python and NumPy: lattice features one by one, attention by definition."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement
from math import factorial, prod, sqrt, trunc

import numpy as np


def indices(dim: int, degree: int) -> list[tuple[int, ...]]:
    """Return the multi-indices of degree 0 .. `degree` in the order of the state."""
    return [alpha for p in range(degree + 1) for alpha in combinations_with_replacement(range(dim), p)]


def feature(x: list[int], alpha: tuple[int, ...], bits: int) -> int:
    """Return one lattice feature of a key in steps of 2**-30."""
    value = 1.0
    for i in reversed(alpha):
        value *= x[i] * 2.0**-30
    times = Counter(alpha).values()
    factor = sqrt(factorial(len(alpha)) / prod(factorial(t) for t in times))
    return trunc(value * (factor * 2.0**bits))


def moments(X: np.ndarray, W: np.ndarray, degree: int, bits: int) -> np.ndarray:
    """Return the exact sums of feature times weight, one row and one feature after the other."""
    wide = indices(X.shape[1], degree)
    total = [[0] * W.shape[1] for _ in wide]
    for x, w in zip(X.tolist(), W.tolist()):
        for row, alpha in zip(total, wide):
            f = feature(x, alpha, bits)
            for c, value in enumerate(w):
                row[c] += f * value
    return np.array(total, dtype=object).reshape(len(wide), W.shape[1])


def attention(Q: np.ndarray, K: np.ndarray, V: np.ndarray, temperature: float) -> np.ndarray:
    """Return exact softmax attention."""
    scores = Q @ K.T / temperature
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights @ V / weights.sum(axis=1, keepdims=True)


def polynomial(Q: np.ndarray, X: np.ndarray, W: np.ndarray, a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of ``p(t) w`` and of ``p(t)`` over the records, t the similarity of the query's direction and x."""
    t = Q / np.linalg.norm(Q, axis=1, keepdims=True) @ X.T
    weights = sum(c * t**p for p, c in enumerate(a))
    return weights @ W, weights.sum(axis=1)
