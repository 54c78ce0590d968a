"""The slow path against the definition, word vectors, and what happens when 64 bits do not decide."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from oracle import noise as oracle

from dpstruct.noise import exact
from dpstruct.noise.sampler import _draw_from

PAIRS = [
    (0x0123456789ABCDEF, 0x0F1E2D3C4B5A6978),
    (0xFEDCBA9876543210, 0x9999999999999999),
    (0x8000000000000000, 0x4000000000000001),
    (0x00000000FFFFFFFF, 0xDEADBEEFCAFEF00D),
]
GAUSSIAN = {
    0.8: [(2, 1), (0, 0), (0, 1), (4, -4)],
    5.0: [(15, 6), (0, 0), (0, 6), (23, -24)],
    1000.0: [(3067, 1193), (-76, -55), (0, 1177), (4554, -4860)],
    2.0**22: [(12865000, 5005385), (-320276, -232694), (0, 4938416), (19102783, -20383769)],
}
GEOMETRIC = {  # of the first words of pairs 0, 1, 3
    0.8: [4, 0, 17],
    5.0: [27, 0, 110],
    1000.0: [5416, 4, 22180],
    2.0**22: [22716771, 18682, 93032639],
}


def nothing():
    raise AssertionError("64 bits were enough")


def words_of(value, count):
    """Return the first `count` 64-bit words of a real in (0, 1), as integers."""
    integer = int(mpmath.floor(value * mpmath.mpf(2) ** (64 * count)))
    return [(integer >> (64 * (count - 1 - i))) & (2**64 - 1) for i in range(count)]


@pytest.mark.parametrize("sigma", GAUSSIAN)
def test_gaussian_word_vectors(sigma):
    first, second = zip(*PAIRS)
    drawn = _draw_from(oracle.Fixed([*first, *second]), "rounded-gaussian", np.array([sigma]), (2, 4))
    assert list(zip(*drawn.tolist())) == GAUSSIAN[sigma]
    assert [exact.gaussian(a, b, sigma, sigma, nothing) for a, b in PAIRS] == GAUSSIAN[sigma]


@pytest.mark.parametrize("t", GEOMETRIC)
def test_geometric_word_vectors(t):
    words = [PAIRS[i][0] for i in (0, 1, 3)]
    other = 2**63 + 12345
    offset = exact.geometric(other, t, nothing)
    drawn = _draw_from(oracle.Fixed([*words, other, other, other]), "discrete-laplace", np.array([t]), (3,))
    assert (drawn + offset).tolist() == GEOMETRIC[t]
    assert [exact.geometric(a, t, nothing) for a in words] == GEOMETRIC[t]


@pytest.mark.parametrize("sigma", [0.3, 5.0, 2.0**34, 2.0**50, 2.0**62])
def test_exact_gaussian_is_the_definition(sigma):
    """At 2^62 no pair is decided by 64 bits: every one takes the extension."""
    generator = np.random.Generator(np.random.PCG64(1))
    for a, b in [*generator.integers(0, 2**64, (40, 2), np.uint64).tolist(), (0, 1), (0, 0), (2**64 - 1, 2**64 - 1)]:
        more = generator.integers(0, 2**64, 8, np.uint64).tolist()
        fresh = iter(more)
        got = exact.gaussian(a, b, sigma, 3 * sigma, lambda fresh=fresh: next(fresh))
        assert got == oracle.gaussian([a, *more[::2]], [b, *more[1::2]], sigma, 3 * sigma)


@pytest.mark.parametrize(("t", "k"), [(0.8, 1), (1000.0, 500), (2.0**22, 10**7), (2.0**52, 2**53)])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_extension_decides_at_the_boundary(t, k, depth):
    """U agrees with the boundary exp(-k/t) in 64 * depth bits and then lies just above (k - 1) or below (k)."""
    with mpmath.workprec(oracle.BITS):
        words = words_of(mpmath.exp(-mpmath.mpf(k) / mpmath.mpf(t)), 5)
    for last, value in ((2**64 - 1, k - 1), (0, k)):
        fresh = iter([*words[1:depth], last])
        assert exact.geometric(words[0], t, lambda fresh=fresh: next(fresh)) == value
        assert next(fresh, None) is None  # all of them were needed


def test_draw_extends_in_order_and_drops_nothing():
    """Entries 1 and 3 are undecided; each gets its own fresh words, in order, and the others keep theirs."""
    t = 1000.0
    with mpmath.workprec(oracle.BITS):
        boundary = words_of(mpmath.exp(-mpmath.mpf(500) / 1000), 1)[0]
    half = 2**63 + 1
    words = [half, boundary, half, boundary] + [2**64 - 2**40] * 4
    for ends, expected in (((0, 2**64 - 1), (500, 499)), ((2**64 - 1, 0), (499, 500))):
        drawn = _draw_from(oracle.Fixed([*words, *ends]), "discrete-laplace", np.array([t]), (4,))
        assert drawn.tolist() == [693, expected[0], 693, expected[1]]


def test_a_word_of_zeros_is_extended():
    assert exact.geometric(0, 1.0, iter([0, 2**63]).__next__) == int(mpmath.floor(129 * mpmath.log(2)))
