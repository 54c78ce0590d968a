from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpstruct.errors import InvalidParameter
from dpstruct.features import cross, multiply, quantise


@pytest.mark.parametrize("entry_bound", [1, 1 << 18, 1 << 24, (1 << 53) - 1])
def test_the_public_matrix_leaves_no_partial_sum_beyond_a_double(entry_bound):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        real = rng.standard_normal((rng.integers(1, 70), 5)) * 10.0 ** rng.integers(-200, 200)
        public = quantise(real, entry_bound=entry_bound)
        sums = [sum(abs(int(v)) for v in column) for column in public.integers.T]
        assert max(sums) * entry_bound <= 2**53
        assert np.array_equal(public.integers, np.rint(public.integers))
        assert np.log2(public.unit) == np.rint(np.log2(public.unit))
        if entry_bound <= 1 << 24:  # fine, too: at most one bit is given away, and half a step an entry
            assert max(sums) * entry_bound > 2**51
            assert np.abs(public.matrix - real).max() <= public.unit / 2


def test_rows_at_the_bound_multiply_exactly():
    public = quantise(np.random.default_rng(0).standard_normal((64, 33)), entry_bound=1 << 24)
    signs = np.sign(public.integers.T).astype(np.int64)
    rows = np.concatenate([signs, -signs]) * (1 << 24)
    exact = rows.astype(object) @ public.integers.astype(np.int64).astype(object)
    assert np.array_equal(multiply(rows, public).astype(np.int64), exact.astype(np.int64))
    assert multiply(rows * 5, public).tolist() == multiply(rows, public).tolist()  # clipped


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 40))
def test_a_row_has_the_same_bits_in_any_block(seed, d, cut):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-(1 << 20), (1 << 20) + 1, (40, d))
    public = quantise(rng.standard_normal((d, 7)), entry_bound=1 << 20)
    whole = multiply(rows, public)
    parts = np.concatenate([multiply(rows[:cut], public), multiply(rows[cut:], public)])
    assert whole.tobytes() == parts.tobytes()
    assert multiply(rows[::-1], public)[::-1].tobytes() == whole.tobytes()


def test_cross_products_are_exact_and_wrap():
    rng = np.random.default_rng(1)
    A = rng.integers(-(1 << 26), (1 << 26) + 1, (3000, 4))
    B = rng.integers(-(1 << 26), (1 << 26) + 1, (3000, 3))
    A[0], B[0] = 1 << 26, 1 << 26  # blocks of two rows: the sums of three would not be doubles
    exact = A.T.astype(object) @ B.astype(object)
    assert np.array_equal(cross(A, B, bound=1 << 52), exact)
    assert np.array_equal(cross(A, A, bound=1 << 52), A.T.astype(object) @ A.astype(object))
    full = np.full((4100, 1), 1 << 26)
    assert cross(full, full, bound=1 << 52)[0, 0] == (4100 * 2**52 + 2**63) % 2**64 - 2**63
    assert cross(A[:0], B[:0], bound=1).tolist() == np.zeros((4, 3), int).tolist()


@pytest.mark.parametrize("matrix", [np.ones(3), np.array([[np.nan]]), np.array([[np.inf]])])
def test_a_matrix_must_be_finite_and_two_dimensional(matrix):
    with pytest.raises(InvalidParameter, match="matrix"):
        quantise(matrix, entry_bound=1)


@pytest.mark.parametrize("bound", [0, -1, (1 << 53) + 1])
def test_bounds_must_fit_a_double(bound):
    with pytest.raises(InvalidParameter, match="bound"):
        cross(np.ones((1, 1), int), np.ones((1, 1), int), bound=bound)
    with pytest.raises(InvalidParameter, match="entry_bound"):
        quantise(np.ones((1, 1)), entry_bound=bound)
