"""The published distance trees, one query and one coordinate at a time, straight from their definitions."""

import numpy as np


def cell_of(y, low, high, cells):
    """Index of the cell of ``[low, high]`` that holds `y`; the right end belongs to the last cell."""
    return min(int((y - low) * (cells / (high - low))), cells - 1)


def cover(cells, wanted, node=1):
    """Nodes of the coarsest dyadic cover of the set of cells `wanted`, from the root down."""
    depth = node.bit_length() - 1
    width = cells >> depth
    first = (node - (1 << depth)) * width
    mine = set(range(first, first + width))
    if not mine & wanted:
        return []
    if mine <= wanted:
        return [node]
    return cover(cells, wanted, 2 * node) + cover(cells, wanted, 2 * node + 1)


def rings(cells, alpha):
    """``(inner, outer]`` radii, in cells, from the whole range down to one cell."""
    i = 0
    while cells / (1 + alpha) ** i >= 1:
        yield cells / (1 + alpha) ** (i + 1), cells / (1 + alpha) ** i
        i += 1


def backurs_terms(k, cells, alpha):
    """Pairs (node, weight in cells) that the query in cell `k` adds up; each side of a ring is covered by itself."""
    terms = []
    for inner, outer in rings(cells, alpha):
        for side in (range(k), range(k + 1, cells)):
            wanted = {c for c in side if inner < abs(c - k) <= outer}
            terms += [(node, outer) for node in cover(cells, wanted)]
    return terms


def backurs_answer(y, low, high, heap, alpha):
    """Weighted sum of the noisy counts of the dyadic nodes around `y`."""
    cells = len(heap) // 2
    terms = backurs_terms(cell_of(y, low, high, cells), cells, alpha)
    return sum(heap[node] * weight * (high - low) / cells for node, weight in terms)


def refined_answer(y, low, high, counts, sums):
    """Descend to the leaf of `y`; each sibling adds its noisy sum of distances, by sums measured from `low`."""
    cells = len(counts) // 2
    leaf = cells + cell_of(y, low, high, cells)
    total, u = 0.0, y - low
    while leaf > 1:
        sibling = leaf ^ 1
        total += (sums[sibling] - counts[sibling] * u) * (1 if sibling > leaf else -1)
        leaf //= 2
    return total


def gridded_distances(x, y, low, high, cells):
    """Sum over records of ``|cell - cell of y|`` in units of the data."""
    k = cell_of(y, low, high, cells)
    return sum(abs(cell_of(v, low, high, cells) - k) for v in x) * (high - low) / cells


def distances_outside_leaf(x, y, low, high, cells):
    """Sum of ``|x - y|`` over the records outside the leaf of `y`."""
    k = cell_of(y, low, high, cells)
    return float(np.sum([abs(v - y) for v in x if cell_of(v, low, high, cells) != k]))
