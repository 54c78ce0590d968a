"""The l1 distance tree by its definitions: Python integers, fractions, one record at a time."""

import math
from fractions import Fraction

import numpy as np


def wrapped(value):
    """A Python integer as int64 sums hold it: modulo 2**64, signed."""
    return (value + 2**63) % 2**64 - 2**63


def grid_point(x, low, high, middle, scale, bits):
    x = x if math.isfinite(x) else middle
    x = min(max(x, low), high)
    return min(2**bits, math.floor((x - low) * scale))


def grid_points(X, low, high, middle, scale, bits):
    """Integers of every record, a list of lists; `X` may have any dtype that `float` takes."""
    return [
        [
            grid_point(float(x), float(low[j]), float(high[j]), float(middle[j]), float(scale[j]), int(bits[j]))
            for j, x in enumerate(row)
        ]
        for row in X
    ]


def node(q, bits, level):
    """Index of the node of a level that holds `q`: the one whose half-open span does, the last for the right end."""
    return min(q // 2 ** (bits - level), 2**level - 1)


def leaf_counts(points, bits, depth):
    d = len(bits)
    leaves = np.zeros((d, 2**depth, 2), dtype=object)
    for row in points:
        for j, q in enumerate(row):
            k = node(q, int(bits[j]), depth)
            leaves[j, k, 0] += 1
            leaves[j, k, 1] += q - k * 2 ** int(bits[j] - depth)
    return leaves


def tents(points, bits, depth):
    """A, B and the levels of one coordinate, straight from its integers."""
    M = 2**bits
    levels = []
    for level in range(depth):
        sums, width = [0] * 2**level, M >> level
        for q in points:
            k = node(q, bits, level)
            sums[k] += min(q - k * width, (k + 1) * width - q)
        levels.append(sums)
    return sum(points), sum(M - q for q in points), levels


def tents_of_leaves(leaves, bits, depth):
    """The same from counts and offsets, any integers: a leaf's records enter through their number and their sum."""
    h = 2 ** (bits - depth)
    count, offset = [c for c, _ in leaves], [o for _, o in leaves]
    levels = []
    for level in range(depth):
        sums, span = [], 2 ** (depth - level)
        for k in range(2**level):
            total = 0
            for i in range(span):
                leaf, left = k * span + i, i * h
                from_left = offset[leaf] + left * count[leaf]
                total += from_left if i < span // 2 else span * h * count[leaf] - from_left
            sums.append(wrapped(total))
        levels.append(sums)
    A = sum(o + i * h * c for i, (c, o) in enumerate(zip(count, offset)))
    return wrapped(A), wrapped(2**bits * sum(count) - A), levels


def distances(points, targets):
    """Sums of ``|q - t|`` at each target, grid units."""
    return [sum(abs(q - t) for q in points) for t in targets]


def look_up(y, values, low, high):
    """Interpolate a coordinate's knot values exactly, at `y` clipped to its side of the box."""
    low, high, y = Fraction(low), Fraction(high), min(max(y, low), high)
    leaves = len(values) - 1
    z = (Fraction(y) - low) / (high - low) * leaves
    k = min(math.floor(z), leaves - 1)
    left, right = Fraction(float(values[k])), Fraction(float(values[k + 1]))
    return left + (right - left) * (z - k)
