"""Real vectors to bounded integer vectors, one record at a time.

A record is shrunk to its norm bound, scaled to the lattice and truncated *toward zero*; an exact integer check then
repairs what a floating-point factor may have overshot. The integers of a record depend on nothing but that record: only
elementwise + - * / and square roots are used, accumulated column by column, so neither the other rows nor the number
of threads can change a bit.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter

__all__ = ["to_lattice"]

Norm = Literal["l1", "l2"]


def to_lattice(V: NDArray[np.float64], *, bound: float, bits: int, norm: Norm = "l2") -> NDArray[np.int64]:
    """Return integers ``Q`` with ``|Q[i]| <= 2**bits`` in the declared norm, whatever `V` holds.

    ``Q * bound / 2**bits`` approximates the rows of `V` shrunk to norm `bound`, off by less than one step per
    coordinate and never longer.

    Parameters
    ----------
    V : ndarray of float64, shape (n, k)
        One real vector per record, in user units. A row with a NaN or infinite entry has that entry replaced by 0.
    bound : float
        Public norm bound, > 0.
    bits : int
        The bound is ``2**bits`` lattice steps; 1 to 30.
    norm : {"l2", "l1"}
        Norm of the bound.

    Returns
    -------
    ndarray of int64, shape (n, k)
        With ``sum(Q[i]**2) <= 4**bits`` (l2) or ``sum(|Q[i]|) <= 2**bits`` (l1), exactly.
    """
    if not 1 <= bits <= 30:
        raise InvalidParameter("bits", str(bits), "1 to 30, so that squared norms fit in 62 bits")
    if not (np.isfinite(bound) and bound > 0):
        raise InvalidParameter("bound", repr(bound), "a positive finite number")
    columns = np.array(V.T, dtype=np.float64, order="C")
    columns[~np.isfinite(columns)] = 0.0
    with np.errstate(all="ignore"):  # underflow is a value, too
        columns /= np.maximum(np.abs(columns).max(axis=0, initial=0.0), bound)  # in [-1, 1]: no square can overflow
        length = np.zeros(columns.shape[1])
        for column in columns:
            length += column * column if norm == "l2" else np.abs(column)
        factor = 1.0 / np.maximum(np.sqrt(length) if norm == "l2" else length, 1.0)
        Q: NDArray[np.int64] = np.trunc(columns * (factor * 2.0**bits)).astype(np.int64).T
    return _repair(np.ascontiguousarray(Q), 4**bits if norm == "l2" else 2**bits, norm)


def _repair(Q: NDArray[np.int64], allowed: int, norm: Norm) -> NDArray[np.int64]:
    """Move the largest entry of each row that is still too long one step toward zero, until none is."""
    while True:
        size = (Q * Q).sum(axis=1) if norm == "l2" else np.abs(Q).sum(axis=1)
        (rows,) = np.nonzero(size > allowed)
        if rows.size == 0:
            return Q
        worst = np.abs(Q[rows]).argmax(axis=1)
        Q[rows, worst] -= np.sign(Q[rows, worst])
