"""Slow second computations of what the test mechanisms do, by plain sums over the noise."""

import itertools
import math

import numpy as np


def laplace(t, k):
    a = math.exp(-1 / t)
    return (1 - a) / (1 + a) * a ** abs(k)


def sparse_vector(queries, word, *, threshold, query, redraw=False):
    """P(word): every noise of the threshold, every noise of a query, in loops over one integer at a time."""
    reach = int(50 * max(threshold, query)) + 3
    noise = {k: laplace(query, k) for k in range(-2 * reach, 2 * reach + 1)} if query else {0: 1.0}
    values = sorted(noise)
    tails = dict(zip(reversed(values), itertools.accumulate(noise[k] for k in reversed(values))))
    heads = dict(zip(values, itertools.accumulate(noise[k] for k in values)))

    def at_least(gap):
        return tails.get(gap, 0.0) if query else float(gap <= 0)

    def below(gap):
        return heads.get(gap - 1, 0.0) if query else float(gap > 0)

    letters = [(letter, q) for letter, q in zip(word, queries) if letter != "."]
    parts = [[]]
    for letter, q in letters:
        parts[-1].append((letter, q))
        if redraw and letter == "T":
            parts.append([])
    total = 1.0
    for part in parts:
        total *= sum(
            laplace(threshold, z) * math.prod((at_least if letter == "T" else below)(z - q) for letter, q in part)
            for z in range(-reach, reach + 1)
        )
    return total


def noisy_maximum(scores, pmf, reach=130):
    """P(index of the first maximum), P(maximum)."""
    grid = range(-reach, reach + 1)
    index, value = [0.0] * len(scores), dict.fromkeys(grid, 0.0)
    rows = [[pmf(z - q) for z in grid] for q in scores]
    heads = [[0.0, *itertools.accumulate(row)] for row in rows]
    for i in range(len(scores)):
        for at, z in enumerate(grid):
            beaten = math.prod(heads[j][at + (j > i)] for j in range(len(scores)) if j != i)
            index[i] += rows[i][at] * beaten
            value[z] += rows[i][at] * beaten
    return index, value


def permute_and_flip(scores, epsilon):
    """P(i), by inclusion and exclusion over who stands before i."""
    accept = [math.exp(epsilon / 2 * (q - max(scores))) for q in scores]
    law = []
    for i, a in enumerate(accept):
        others = accept[:i] + accept[i + 1 :]
        subsets = (s for size in range(len(others) + 1) for s in itertools.combinations(others, size))
        law.append(a * sum((-1) ** len(s) / (len(s) + 1) * math.prod(s) for s in subsets))
    return law


def smallest_epsilon(p, q, delta):
    """The smallest epsilon of two laws at delta, by bisection on the hockey-stick divergence in both directions."""

    def excess(epsilon):
        e = math.exp(epsilon)
        return max(math.fsum(np.maximum(a - e * b, 0.0)) for a, b in ((p, q), (q, p))) - delta

    if max(math.fsum(p[q == 0]), math.fsum(q[p == 0])) > delta:
        return math.inf
    low, high = 0.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
