"""Second moments of lattice rows: their noise lines, joint sensitivities, and what a noised matrix is turned into.

A record is an integer vector b with ``|b|**2 <= K``; released is the sum of ``b b^T``, its diagonal and its strict
upper triangle as two lines. Weight 1/2 on the upper triangle makes the Gaussian cost the squared Frobenius norm of the
change, in which the noise is isotropic; ``|b b^T|_F = |b|**2`` exactly (the Gaussian orthogonal form of Analyze Gauss,
Dwork, Talwar, Thakurta and Zhang, STOC 2014).

Joint bounds, over all neighbours (attacked by ``tests/structures/test_second_moment.py``):

* add-remove, Gaussian: ``|b b^T|_F**2 = |b|**4 <= K**2``, reached;
* substitute, Gaussian: ``2 K**2``, since ``<b b^T, c c^T> = (b.c)**2 >= 0``, reached by orthogonal rows;
* add-remove, Laplace: the triangle with its diagonal has l1 norm ``(|b|_1**2 + |b|**2) / 2 <= (d + 1) K / 2``;
  substitute twice that;
* one row moves by at most e, Gaussian: `moved_within`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Line
from dpstruct.features import PublicMatrix, cross, quantise
from dpstruct.privacy import GDP, PureDP, Relation

__all__ = ["bound_eigenvalues", "lines", "moved_within", "pack", "sensitivity", "total", "unpack", "whitening"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def lines(prefix: str, d: int, cost: GDP | PureDP) -> list[Line]:
    """Return the lines ``<prefix>_diagonal`` (d,) and, for d > 1, ``<prefix>_upper`` (d(d-1)/2,)."""
    half = Fraction(1, 2) if isinstance(cost, GDP) else Fraction(1)
    upper = [Line(f"{prefix}_upper", (d * (d - 1) // 2,), half)] if d > 1 else []
    return [Line(f"{prefix}_diagonal", (d,)), *upper]


def sensitivity(d: int, cost: GDP | PureDP, neighbors: Relation, *, bound: int) -> Fraction:
    """Return the joint bound of `lines` for rows with ``|b|**2 <= bound``; a small move counts as substitute."""
    one = Fraction(bound**2) if isinstance(cost, GDP) else Fraction((d + 1) * bound, 2)
    return one if neighbors == "add-remove" else 2 * one


def moved_within(step: Fraction, *, bound: Fraction, constant: int = 0) -> Fraction:
    """Return a bound on ``|b b^T - c c^T|_F**2`` over ``|b|**2, |c|**2 <= bound`` and ``|b - c| <= step``.

    With ``u = |b|**2``, ``v = |c|**2`` and distance e it is ``(u - v)**2 / 2 + e**2 (u + v) - e**4 / 2``, convex in v:
    the largest value has both ends on one line through 0, ``e (2 R - e)`` unsquared (R the root of `bound`), or both on
    the sphere, ``e sqrt(2 R**2 - e**2 / 2)``; the first is larger up to ``e = 2 R / 3``, the second grows up to
    ``e = sqrt(2) R`` and is the substitute bound there. One more coordinate, a `constant`, adds ``2 constant**2 e**2``.
    """
    e2, most = step**2, 2 * (bound + constant**2) ** 2
    if e2 >= 2 * bound:
        return most
    if 9 * e2 > 4 * bound:
        moved = e2 * (2 * bound - e2 / 2)
    else:
        root = Fraction(math.isqrt(math.ceil(bound * 2**80)) + 1, 2**40)
        moved = e2 * (2 * root - step) ** 2
    return min(most, moved + 2 * constant**2 * e2)


def total(rows: NDArray[np.generic], *, bound: int) -> Integers:
    """Return ``rows.T @ rows`` exactly, modulo ``2**64``, for integer rows with ``|b|**2 <= bound``."""
    if rows.dtype == np.float64 and len(rows) * bound <= 1 << 53:  # one block, no copy
        doubles = np.asarray(rows, dtype=np.float64)
        return np.asarray((doubles.T @ doubles).astype(np.int64))
    return cross(rows, rows, bound=bound)


def pack(prefix: str, matrix: Integers) -> dict[str, Integers]:
    """Return the lines of a symmetric integer matrix."""
    d = len(matrix)
    upper = {f"{prefix}_upper": matrix[np.triu_indices(d, 1)]} if d > 1 else {}
    return {f"{prefix}_diagonal": np.diagonal(matrix).copy(), **upper}


def unpack(prefix: str, transcript: Mapping[str, Integers]) -> Floats:
    """Return the symmetric matrix of `pack` in float64."""
    diagonal = transcript[f"{prefix}_diagonal"]
    matrix = np.diag(diagonal.astype(np.float64))
    if len(diagonal) > 1:
        above = np.triu_indices(len(diagonal), 1)
        matrix[above] = matrix.T[above] = transcript[f"{prefix}_upper"]
    return matrix


def bound_eigenvalues(matrix: Floats, floor: float, ceiling: float = math.inf) -> Floats:
    """Return the symmetric part of a released matrix with its eigenvalues raised to `floor` and cut to `ceiling`."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    bounded: Floats = (vectors * np.clip(values, floor, ceiling)) @ vectors.T
    return (bounded + bounded.T) / 2


def whitening(matrix: Floats, *, entry_bound: int) -> PublicMatrix:
    """Return an upper triangular G with about ``G^T matrix G = I``: rows times it have the identity as second moment.

    It is computed once, from released values, and handed to all shards, since LAPACK differs between machines.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(matrix))
    return quantise(np.triu(inverse.T), entry_bound=entry_bound)
