"""The noise laws again, from the definitions: long words, plain (not interval) arithmetic at 600 bits, no stages."""

from __future__ import annotations

import mpmath
import numpy as np

BITS = 600


def real(words):
    """Return the number whose binary expansion is the given 64-bit words followed by a one."""
    bits = 64 * len(words)
    integer = sum(int(word) << (bits - 64 * (i + 1)) for i, word in enumerate(words))
    return mpmath.mpf(2 * integer + 1) / mpmath.mpf(2) ** (bits + 1)


def unit_pair(u, v):
    """Return the pair of standard Gaussians of two reals in (0, 1)."""
    r = mpmath.sqrt(-2 * mpmath.log(u))
    return r * mpmath.cos(2 * mpmath.pi * v), r * mpmath.sin(2 * mpmath.pi * v)


def gaussian(u_words, v_words, sigma_x, sigma_y):
    with mpmath.workprec(BITS):
        x, y = unit_pair(real(u_words), real(v_words))
        half = mpmath.mpf(1) / 2
        return int(mpmath.floor(sigma_x * x + half)), int(mpmath.floor(sigma_y * y + half))


def geometric(u_words, t):
    with mpmath.workprec(BITS):
        return int(mpmath.floor(-t * mpmath.log(real(u_words))))


def pmf(kind, scale, k):
    with mpmath.workprec(BITS):
        k, scale = abs(mpmath.mpf(k)), mpmath.mpf(scale)
        if kind == "discrete-laplace":
            p = mpmath.exp(-1 / scale)
            return (1 - p) / (1 + p) * p**k
        return mpmath.ncdf(-(k - 0.5) / scale) - mpmath.ncdf(-(k + 0.5) / scale)


def tail(kind, scale, k):
    with mpmath.workprec(BITS):
        k, scale = mpmath.mpf(k), mpmath.mpf(scale)
        if kind == "discrete-laplace":
            p = mpmath.exp(-1 / scale)
            return 2 * p**k / (1 + p)
        return 2 * mpmath.ncdf(-(k - 0.5) / scale)


class Seeded:
    """A source of words for the private hook: block i has the stream PCG64((seed, i)); counts what it hands out."""

    def __init__(self, seed):
        self.seed, self.taken = seed, {}

    def __call__(self, block):
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, block))))

        def stream(count):
            self.taken.setdefault(block, []).append(count)
            return frozen(generator.integers(0, 2**64, count, np.uint64))

        return stream


class Fixed:
    """A source that hands out the given words, in order, to its one block; running out is an error."""

    def __init__(self, words):
        self.words, self.position = np.asarray(words, np.uint64), 0

    def __call__(self, block):
        assert block == 0
        return self.stream

    def stream(self, count):
        taken = self.words[self.position : self.position + count]
        assert taken.size == count, "more words were asked for than given"
        self.position += count
        return frozen(taken)


def frozen(words):
    view = words.view()
    view.flags.writeable = False
    return view


def edge_words():
    """Words where bounds are tight: both ends of U, the borders and middles of the quadrants of V, powers of two."""
    ends = [0, 1, 2, 3, 1023, 1024, 2047, 2**30, 2**31 - 1, 2**31, 2**32]
    ends += [2**64 - 1 - w for w in (0, 1, 2, 511, 512, 1023, 1024, 1025, 2047, 2048, 2**20, 2**40)]
    middle = [q * 2**61 + d for q in range(1, 8) for d in (-(2**20), -1025, -2, -1, 0, 1, 2, 1023, 2**20)]
    root = int(mpmath.floor(mpmath.sqrt(mpmath.mpf(1) / 2) * 2**53)) << 11  # where the logarithm changes its exponent
    return sorted(set(ends + middle + [root + d for d in (-2049, -2048, -1, 0, 1, 2048)] + [2**i for i in range(64)]))
