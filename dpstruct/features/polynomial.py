"""Bounded polynomial features of lattice rows: symmetric powers, exact, or sketched by public hashes.

``phi_p(x)`` lists ``sqrt(p!/alpha!) x^alpha`` over the multi-indices of degree p, so that
``<phi_p(x), phi_p(y)> = <x, y>**p`` and ``|phi_p(x)| = |x|**p``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations_with_replacement
from math import comb, factorial, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.features.products import cross
from dpstruct.kernels import blocks
from dpstruct.kernels.cross_attention import monomials
from dpstruct.lattice import to_lattice

__all__ = ["KEY_BITS", "hashes", "moments", "moments_each", "multiplicities", "sizes"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
KEY_BITS = 30  # keys arrive as integers of norm at most 2**KEY_BITS
SKETCH_BITS = 14  # and enter a sketch with this many: convolutions of up to 1,024 coordinates are then exact
_ROWS = 512


def sizes(dim: int, degree: int) -> list[int]:
    """Return the number of features of each degree, ``C(dim + p - 1, p)``.

    Examples
    --------
    >>> sizes(64, 2)
    [1, 64, 2080]
    """
    return [comb(dim + p - 1, p) for p in range(degree + 1)]


@lru_cache(maxsize=8)
def multiplicities(dim: int, degree: int) -> Floats:
    """Return ``sqrt(p!/alpha!)`` for every feature of degree 0 .. `degree`, in the order of `monomials`."""
    found: list[Floats] = [np.ones(1 + dim * (degree > 0))]
    if degree >= 2:
        i, j = np.triu_indices(dim)
        found.append(np.where(i == j, 1.0, sqrt(2.0)))
    for p in range(3, degree + 1):
        found.append(np.array([_factor(alpha) for alpha in combinations_with_replacement(range(dim), p)]))
    result = np.concatenate(found)
    result.setflags(write=False)
    return result


def _factor(alpha: tuple[int, ...]) -> float:
    return sqrt(factorial(len(alpha)) / prod(factorial(alpha.count(i)) for i in set(alpha)))


def moments(X: Integers, W: Integers, *, degree: int, bits: int, bound: int, hashed: Hashes | None = None) -> Integers:
    """Return ``sum_i F(x_i) w_i^T`` modulo 2**64, exactly: shape (number of features, columns of `W`).

    The features of degree p are the integers ``F_p = trunc(2**bits phi_p(x))``, made by elementwise operations from one
    row each, with ``|F_p|_2 <= 2**bits``: rounding phi_p can add less than ``2**(2 bits - 50) < 1`` to the integer
    ``|F_p|_2**2``.

    Parameters
    ----------
    X : ndarray of int64, shape (n, d)
        Keys, ``|X[i]|_2 <= 2**KEY_BITS``.
    W : ndarray of int64, shape (n, c)
        Entries of size at most `bound`.
    degree, bits : int
        Largest degree, 1 to 3; lattice bits of the features, at most 24.
    bound : int
        ``2**bits * bound <= 2**53``.
    hashed : Hashes, optional
        Sketch the features of degree 2 and more.
    """
    n, dim = X.shape
    total = np.zeros((hashed.features if hashed else sum(sizes(dim, degree)), W.shape[1]), np.int64)

    def task(start: int, stop: int) -> Integers:
        part = np.zeros_like(total)
        rows = max(1, min(_ROWS, (1 << 21) // max(1, dim)))
        for a in range(start, stop, rows):
            block, weights = X[a : min(stop, a + rows)], W[a : min(stop, a + rows)]
            for first, F in hashed.lattice(block, bits) if hashed else _lattice(block, degree, bits):
                part[first : first + len(F)] += cross(F.T, weights, bound=bound << bits)
        return part

    share = max(_ROWS, -(-n // max(1, blocks.threads())))
    for part in blocks.run(task, blocks.spans(n, share)):
        total += part
    return total


def moments_each(
    X: Integers, W: Integers, starts: Integers, *, degree: int, bits: int, hashed: Hashes | None = None
) -> Integers:
    """Return `moments` of consecutive groups of a few rows, which start at `starts`: shape (groups, features, columns).

    Exact while ``rows * 2**bits * bound <= 2**53``.
    """
    tiles = hashed.lattice(X, bits) if hashed else _lattice(X, degree, bits)
    right = W.astype(np.float64)
    parts = [np.add.reduceat(F.T[:, :, None] * right[:, None, :], starts, axis=0) for _, F in tiles]
    return np.concatenate(parts, axis=1).astype(np.int64)


def _lattice(X: Integers, degree: int, bits: int) -> Iterator[tuple[int, Floats]]:
    columns = X.T.astype(np.float64, order="C") * 2.0**-KEY_BITS
    scale = multiplicities(X.shape[1], degree) * 2.0**bits
    for first, tile in monomials(columns, degree):
        tile *= scale[first : first + len(tile), None]
        yield first, np.trunc(tile, out=tile)


class Hashes:
    """Public hash functions of a tensor sketch (Pham and Pagh 2013), from a seed, the same on every machine.

    Degree 1 is kept as it is. Degree p >= 2 becomes the circular convolution of p count sketches, with
    ``E <TS_p(x), TS_p(y)> = <x, y>**p`` over seeds.

    Parameters
    ----------
    dim, degree, size, seed : int
        `size` is a power of two: the number of features of each degree from 2 on.
    """

    def __init__(self, dim: int, degree: int, size: int, seed: int) -> None:
        self.dim, self.degree, self.size = dim, degree, size
        stream = hashlib.shake_256(f"dpstruct tensor sketch {dim} {degree} {size} {seed}".encode())
        words = np.frombuffer(stream.digest(4 * dim * degree), "<u4").reshape(degree, dim)
        self.index = (words >> np.uint32(1)).astype(np.int64) & (size - 1)
        self.sign = 1.0 - 2.0 * (words & np.uint32(1)).astype(np.float64)

    @property
    def features(self) -> int:
        """Number of features of all degrees."""
        return 1 + self.dim + self.size * (self.degree - 1)

    def _counted(self, X: Floats, k: int) -> Floats:
        """Return the k-th count sketch of the columns of `X`, shape (size, block); exact on integers."""
        table = np.zeros((self.size, X.shape[1]), X.dtype)
        for i in range(self.dim):
            table[self.index[k, i]] += X[i] * X.dtype.type(self.sign[k, i])
        return table

    def sketches(self, X: Floats, *, shift: int | None = None) -> Iterator[Floats]:
        """Yield the sketches of degree 2, 3, .. of the columns of `X`, shape (size, block).

        With `shift` all values are integers, rounded to them after each convolution and divided by ``2**shift`` toward
        zero. No exact entry exceeds ``dim**1.5 * 2**28``, so for dim <= 1024 the transform is off by less than 1/2 and
        its errors vanish: a row's integers do not depend on its block.
        """
        now = self._counted(X, 0)
        for k in range(1, self.degree):
            product = np.fft.rfft(now, axis=0) * np.fft.rfft(self._counted(X, k), axis=0)
            now = np.fft.irfft(product, n=self.size, axis=0)
            if shift is not None:
                now = np.trunc(np.rint(now) * 2.0**-shift)
            yield now

    def lattice(self, X: Integers, bits: int) -> Iterator[tuple[int, Floats]]:
        """Yield ``(first row, features)`` of integer keys: every degree clipped to norm ``2**bits``."""
        yield from _lattice(X, 1, bits)
        columns = np.trunc(X.T.astype(np.float64, order="C") * 2.0 ** (SKETCH_BITS - KEY_BITS))
        for p, sketched in enumerate(self.sketches(columns, shift=SKETCH_BITS)):
            F = to_lattice(sketched.T, bound=2.0**SKETCH_BITS, bits=bits).T.astype(np.float64)
            yield 1 + self.dim + p * self.size, F

    def attend(self, Q: NDArray[Any], A: Floats, state: NDArray[Any]) -> tuple[NDArray[Any], Floats]:
        """Return ``sum_p A[:, p] <TS_p(Q), state_p>``, shape (q, c), and the norms of the sketches, (q, degree + 1)."""
        out = np.empty((len(Q), state.shape[1]), state.dtype)
        norms = np.ones((len(Q), self.degree + 1))
        for start in range(0, len(Q), 256):
            part = slice(start, start + 256)
            X = np.ascontiguousarray(Q[part].T)
            features = [np.ones((1, X.shape[1]), X.dtype), X, *self.sketches(X)]
            norms[part] = np.stack([np.sqrt(np.einsum("ij,ij->j", F, F)) for F in features], axis=1)
            scaled = [F.astype(X.dtype, copy=False) * a.astype(X.dtype) for F, a in zip(features, A[part].T)]
            out[part] = np.concatenate(scaled).T @ state
        return out, norms


@lru_cache(maxsize=8)
def hashes(dim: int, degree: int, size: int, seed: int) -> Hashes:
    """Return the public hash functions of a sketch, made once."""
    return Hashes(dim, degree, size, seed)
