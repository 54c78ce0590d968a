"""The lattice keeps its norm bound exactly and treats every record by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct import InvalidParameter
from dpstruct.lattice import _repair, to_lattice

entries = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-2, 2)
rows = st.integers(1, 4).flatmap(
    lambda k: st.lists(st.lists(entries, min_size=k, max_size=k), min_size=1, max_size=6).map(np.array)
)


def size(row, norm):
    return sum(int(q) ** 2 for q in row) if norm == "l2" else sum(abs(int(q)) for q in row)


@given(rows, st.integers(1, 30), st.sampled_from(["l1", "l2"]))
def test_the_bound_holds_exactly_for_all_values(V, bits, norm):
    Q = to_lattice(V, bound=1.0, bits=bits, norm=norm)
    assert all(size(row, norm) <= (4**bits if norm == "l2" else 2**bits) for row in Q)


@given(rows, st.sampled_from(["l1", "l2"]))
def test_a_record_depends_on_itself_alone(V, norm):
    together = to_lattice(V, bound=1.5, bits=20, norm=norm)
    for i in range(len(V)):
        np.testing.assert_array_equal(to_lattice(V[i : i + 1], bound=1.5, bits=20, norm=norm)[0], together[i])
    np.testing.assert_array_equal(to_lattice(np.asfortranarray(V), bound=1.5, bits=20, norm=norm), together)


@given(rows)
def test_inside_the_bound_the_error_is_below_one_step_and_toward_zero(V):
    V = np.nan_to_num(V, nan=0.0, posinf=0.0, neginf=0.0)
    V = V[(np.abs(V) <= 1 / V.shape[1]).all(axis=1)]
    scaled = V * 2.0**20
    Q = to_lattice(V, bound=1.0, bits=20)
    assert (np.abs(Q) <= np.abs(scaled)).all()
    assert (np.abs(Q - scaled) < 1 + 1e-6).all()


def test_a_row_that_floats_made_too_long_is_repaired():
    """Catches a missing integer check: a float clip factor overshoots on 3-4-5 triangles of full length."""
    Q = np.array([[3, 4, 1], [3, 4, 0], [-5, 1, 0]], dtype=np.int64)
    np.testing.assert_array_equal(_repair(Q.copy(), 25, "l2"), [[3, 3, 1], [3, 4, 0], [-4, 1, 0]])
    np.testing.assert_array_equal(_repair(Q.copy(), 7, "l1"), [[3, 3, 1], [3, 4, 0], [-5, 1, 0]])


def test_infinite_and_huge_rows_stay_usable():
    Q = to_lattice(np.array([[np.inf, 0.5], [1e308, 1e308], [np.nan, np.nan]]), bound=1.0, bits=10)
    np.testing.assert_array_equal(Q, [[0, 512], [724, 724], [0, 0]])


def test_no_floating_point_error_tells_of_a_value():
    with np.errstate(all="raise"):
        to_lattice(np.array([[1e-200, 0.5], [1e300, 1e-10], [5e-324, 5e-324]]), bound=1e-3, bits=30)


def test_bad_parameters_are_refused():
    for bits in (0, 31):
        with pytest.raises(InvalidParameter, match="bits"):
            to_lattice(np.zeros((1, 1)), bound=1.0, bits=bits)
    for bound in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InvalidParameter, match="bound"):
            to_lattice(np.zeros((1, 1)), bound=bound, bits=4)
