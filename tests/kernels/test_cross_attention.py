"""Monomials in tiles and the query kernel, against sums by definition."""

import numpy as np
import pytest
from oracle.cross_attention import indices

from dpstruct.kernels import cross_attention as kernel


def columns(d, n, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (d, n))


@pytest.mark.parametrize(("d", "degree"), [(1, 1), (1, 3), (2, 2), (5, 3), (7, 2), (4, 0)])
@pytest.mark.parametrize("tile", [512, 7])
def test_monomials_by_definition(d, degree, tile, monkeypatch):
    monkeypatch.setattr(kernel, "TILE", tile)
    X = columns(d, 3)
    found, first = np.full((len(indices(d, degree)), 3), np.nan), 0
    for start, part in kernel.monomials(X, degree):
        assert start == first
        found[start : start + len(part)], first = part, start + len(part)
    assert first == len(found)
    for row, alpha in zip(found, indices(d, degree)):
        expected = np.ones(3)
        for i in reversed(alpha):
            expected = expected * X[i]
        assert row.tolist() == expected.tolist()


def test_a_vector_has_the_same_monomials_in_any_block():
    X = columns(6, 300)
    whole = np.concatenate([part.copy() for _, part in kernel.monomials(X, 3)])
    for at in (0, 1, 7, 255, 299):
        for width in (1, 2, 5):
            block = np.ascontiguousarray(X[:, at : at + width])
            alone = np.concatenate([part.copy() for _, part in kernel.monomials(block, 3)])
            assert np.array_equal(alone, whole[:, at : at + width])


@pytest.mark.parametrize(("degree", "tile"), [(1, 4096), (2, 4096), (3, 4096), (3, 10)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attend_by_definition(degree, tile, dtype, monkeypatch):
    monkeypatch.setattr(kernel, "TILE", tile)
    rng = np.random.default_rng(1)
    Q, A = columns(5, 600).T.astype(dtype), rng.normal(size=(600, degree + 1)).astype(dtype)
    state = rng.normal(size=(len(indices(5, degree)), 4)).astype(dtype)
    expected = np.zeros((600, 4))
    for row, alpha in zip(state.astype(np.float64), indices(5, degree)):
        value = A[:, len(alpha)] * np.prod(Q[:, list(alpha)].astype(np.float64), axis=1)
        expected += value[:, None] * row
    found = kernel.attend(Q, A, state, degree)
    assert found.dtype == dtype
    assert np.abs(found - expected).max() < (1e-4 if dtype == np.float32 else 1e-12)
    assert kernel.attend(Q[:0], A[:0], state, degree).shape == (0, 4)


def test_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    Q, A, state = columns(5, 1000).T, rng.normal(size=(1000, 3)), rng.normal(size=(21, 4))
    answers = []
    for threads in ("1", "3"):
        monkeypatch.setenv("DPSTRUCT_NUM_THREADS", threads)
        answers.append(kernel.attend(Q, A, state, 2))
    assert np.array_equal(*answers)
