"""Lattice features of keys: integers by definition, norms that can not exceed one, blocks that change nothing."""

from itertools import pairwise

import numpy as np
import pytest
from oracle import cross_attention as oracle

from dpstruct.features import polynomial
from dpstruct.lattice import to_lattice

WILD = [0.0, -0.0, 5e-324, 1e-308, 1e-10, 1.0, -1.0, 1e300, -1e308, 1.7976931348623157e308, np.nan, np.inf, -np.inf]


def keys(d, n=40, seed=0, bound=1.0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-3, 4, (n, 1))
    rows[: n // 2] = rng.choice(WILD, (n // 2, d))
    rows[-1], rows[-2, :] = 0.0, np.eye(d)[0]
    return to_lattice(rows, bound=bound, bits=polynomial.KEY_BITS)


def per_row(X, **options):
    """Return the features of each row, shape (features, n), as Python integers."""
    return polynomial.moments(X, np.eye(len(X), dtype=np.int64), bound=1, **options).astype(object)


@pytest.mark.parametrize(("d", "degree", "bits"), [(1, 3, 18), (3, 2, 18), (4, 3, 24), (6, 1, 20)])
def test_moments_are_the_oracle_s_integers(d, degree, bits):
    X = keys(d)
    W = np.random.default_rng(1).integers(-(1 << 14), 1 << 14, (len(X), 3))
    found = polynomial.moments(X, W, degree=degree, bits=bits, bound=1 << 14)
    assert (found == oracle.moments(X, W, degree, bits)).all()


@pytest.mark.parametrize("bound", [1.0, 1e-10, 1e60])
@pytest.mark.parametrize(("d", "degree", "bits"), [(2, 3, 18), (7, 3, 24), (24, 2, 18)])
def test_no_features_are_longer_than_the_lattice_allows(d, degree, bits, bound):
    X = keys(d, n=200, seed=d, bound=bound)
    features, cut = per_row(X, degree=degree, bits=bits), np.cumsum([0, *polynomial.sizes(d, degree)])
    norms = np.array([(features[a:b] ** 2).sum(axis=0) for a, b in pairwise(cut)])
    assert norms.max() <= 4**bits
    assert norms[1:].max() > 0.999 * 4**bits  # and use what is allowed


@pytest.mark.parametrize("bits", [14, 18, 20])
def test_truncation_never_rounds_a_unit_vector_up(bits):
    # Pythagorean rows: products are exact, so norms reach the bound
    rows = np.array([[3, 4, 0], [0, 0, 5], [5, 12, 0], [8, 9, 12], [-3, 4, 0]], np.float64)
    X = to_lattice(rows / np.sqrt((rows**2).sum(axis=1, keepdims=True)) * (1 + 1e-9), bound=1.0, bits=30)
    features = per_row(X, degree=3, bits=bits)
    for a, b in ((0, 1), (1, 4), (4, 10), (10, 20)):
        assert ((features[a:b] ** 2).sum(axis=0) <= 4**bits).all()


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_inner_products_of_features_are_powers(degree):
    X = keys(4)
    features = per_row(X, degree=degree, bits=22).astype(np.float64) / 2**22
    cut, x = np.cumsum([0, *polynomial.sizes(4, degree)]), X / 2.0**30
    for p in range(degree + 1):
        part = features[cut[p] : cut[p + 1]]
        assert np.abs(part.T @ part - (x @ x.T) ** p).max() < 4e-6


@pytest.mark.parametrize("sketched", [False, True])
def test_blocks_threads_and_neighbours_change_no_bit(sketched, monkeypatch):
    hashed = polynomial.hashes(5, 3, 16, 0) if sketched else None
    X = keys(5, n=1500)
    W = np.random.default_rng(3).integers(-50, 50, (1500, 2))
    options = {"degree": 3, "bits": 18, "bound": 50, "hashed": hashed}
    whole = polynomial.moments(X, W, **options)
    parts = [polynomial.moments(X[a:b], W[a:b], **options) for a, b in ((0, 1), (1, 2), (2, 700), (700, 1500))]
    assert (sum(parts) == whole).all()
    starts = np.arange(0, 1500, 3)
    each = polynomial.moments_each(X, W, starts, degree=3, bits=18, hashed=hashed)
    assert (each.sum(axis=0) == whole).all()
    assert (each[7] == polynomial.moments(X[21:24], W[21:24], **options)).all()
    monkeypatch.setenv("DPSTRUCT_NUM_THREADS", "3")
    assert (polynomial.moments(X, W, **options) == whole).all()


@pytest.mark.parametrize("degree", [2, 3])
def test_sketches_are_exact_bounded_and_unbiased(degree):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(6, 9))
    X = to_lattice(rows, bound=1.0, bits=30)
    x, found = X / 2.0**30, []
    for seed in range(200):
        hashed = polynomial.hashes(9, degree, 32, seed)
        features = per_row(X, degree=degree, bits=18, hashed=hashed)
        norms = (features[-32:] ** 2).sum(axis=0)
        assert norms.max() <= 4**18
        *_, last = hashed.sketches(x.T.copy())
        found.append(last.T @ last)
        rounded = features[-32:].astype(np.float64) / 2**18  # clipped to norm 1
        clipped = last / np.maximum(1.0, np.linalg.norm(last, axis=0))
        assert np.abs(rounded - clipped).max() < 2e-3
    spread = np.std(found, axis=0) / np.sqrt(200)
    assert (np.abs(np.mean(found, axis=0) - (x @ x.T) ** degree) < 6 * spread + 1e-12).all()


def convolution(a, b):
    """Return the circular convolution of two integer vectors in Python integers."""
    out = [0] * len(a)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[(i + j) % len(a)] += x * y
    return out


@pytest.mark.parametrize(("dim", "size"), [(1024, 2), (1024, 64), (5, 8)])
def test_convolutions_are_exact_integers(dim, size):
    """Against Python integers, at the largest entries: all coordinates equal, of one sign in a bucket."""
    hashed = polynomial.Hashes(dim, 3, size, 0)
    shift = polynomial.SKETCH_BITS
    x = np.full(dim, 1 << shift, dtype=np.float64) * hashed.sign[0]  # longer than any key: |x|_1 = dim 2**14
    if dim == 1024:
        x /= 32
    counted = [[int(v) for v in hashed._counted(x[:, None], k)[:, 0]] for k in range(3)]
    expected, now = [], counted[0]
    for other in counted[1:]:
        now = [abs(v) >> shift if v >= 0 else -(abs(v) >> shift) for v in convolution(now, other)]
        expected.append(now)
    block = np.column_stack([x, *np.random.default_rng(0).integers(-512, 512, (3, dim))])
    for found, exact in zip(hashed.sketches(block, shift=shift), expected):
        assert found[:, 0].tolist() == exact


def test_hashes_are_the_same_everywhere():
    hashed = polynomial.hashes(4, 2, 64, 7)
    assert hashed.index.tolist() == [[53, 28, 34, 6], [61, 47, 23, 19]]
    assert hashed.sign.tolist() == [[1, -1, -1, -1], [-1, -1, 1, -1]]
    assert polynomial.Hashes(4, 2, 64, 8).index.tolist() != hashed.index.tolist()
    assert (hashed.index.min() >= 0) & (hashed.index.max() < 64)
    assert set(hashed.sign.ravel()) <= {-1.0, 1.0}
