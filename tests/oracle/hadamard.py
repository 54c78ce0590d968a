"""Plain judges of structured random features: an explicit Hadamard matrix, record by record, in 64-bit integers."""

import numpy as np


def matrix(D):
    """Entry (i, j) is -1 to the number of common bits of i and j."""
    i = np.arange(D)
    common = i[:, None] & i
    parity = np.zeros_like(common)
    while common.any():
        parity ^= common & 1
        common >>= 1
    return 1 - 2 * parity


def transform(x):
    """The product of the matrix and a vector, by halves."""
    if len(x) == 1:
        return x
    low, high = np.split(x, 2)
    return np.concatenate([transform(low + high), transform(low - high)])


def projections(cells, signs, shifts):
    """Integers of each record, (n, B * D), and the largest sum that any transform met on the way."""
    D, largest, out = signs.shape[1], 0, []
    for cell in cells:
        x = np.zeros(D, np.int64)
        x[: len(cell)] = cell
        once = transform(x * signs[0])
        found = []
        for b in range(len(signs) // 2):
            twice = transform((once >> shifts[0]) * signs[2 * b + 1])
            thrice = transform((twice >> shifts[1]) * signs[2 * b + 2])
            largest = max(largest, np.abs(once).max(), np.abs(twice).max(), np.abs(thrice).max())
            found.append(thrice)
        out.append(np.concatenate(found))
    return np.array(out), int(largest)


def phases(cells, signs, shifts, turns):
    """Which of 4096 parts of a turn each projection falls into, (n, J), in Python's integers."""
    P = projections(cells, signs, shifts)[0][:, : len(turns)].astype(object)
    return ((P * turns.astype(object)) % 2**64 // 2**52).astype(int)


def cells_of(rows, middle, scale, reach):
    """The grid cells of clipped rows."""
    return np.clip(np.floor((rows - middle) * scale), -reach, reach).astype(np.int64)


def phase_sums(cells, signs, shifts, turns, cos, sin):
    """Sums of table entries."""
    index = phases(cells, signs, shifts, turns)
    return cos[index].sum(axis=0), sin[index].sum(axis=0)
