"""The tree's kernels against plain integers: equality, whatever the blocks, threads, dtypes and layouts."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import kde_tree as oracle

from dpstruct.kernels import dispatch
from dpstruct.kernels import kde_tree as kernels

INF, NAN = math.inf, math.nan


def box(low, high, bits):
    low, high, bits = np.array(low, float), np.array(high, float), np.array(bits)
    return low, high, (low + high) / 2, np.exp2(bits) / (high - low), bits


def same_as_oracle(X, parameters, depth):
    low, high, middle, scale, bits = parameters
    got = kernels.leaf_counts(X, low, high, middle, scale, bits, depth)
    points = oracle.grid_points(X, low, high, middle, scale, bits)
    assert got.dtype == np.int64
    assert got.flags.c_contiguous
    assert (got == oracle.leaf_counts(points, bits, depth)).all()
    return got, points


@st.composite
def sides(draw):
    """One side of a box, its grid, and values that probe every cell boundary from both neighbours."""
    bits = draw(st.integers(6, 30))
    low = draw(st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.1, -1e9, 1e-300, 5e-324, -3.3]))
    width = draw(st.sampled_from([1.0, 0.3, 7.0, 1e-3, 1e9, 2.0**-20, 1e30]))
    high = low + width
    scale = 2.0**bits / (high - low)
    cell = st.integers(0, 2**bits).map(lambda q: low + q / scale)
    edge = st.one_of(cell, st.sampled_from([low, high, (low + high) / 2]))
    near = st.builds(lambda x, way: x if way == 0 else math.nextafter(x, way * INF), edge, st.sampled_from([-1, 0, 1]))
    odd = st.sampled_from([NAN, INF, -INF, 0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308])
    return low, high, bits, st.one_of(near, odd, st.floats(low, high), st.floats())


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_leaf_counts_equal_the_definition(data):
    chosen = data.draw(st.lists(sides(), min_size=1, max_size=3))
    depth = data.draw(st.integers(0, 6))
    rows = data.draw(st.lists(st.tuples(*(s[3] for s in chosen)), max_size=12))
    dtype = data.draw(st.sampled_from([np.float64, np.float32]))
    with np.errstate(over="ignore"):
        X = np.array(rows, np.float64).reshape(-1, len(chosen)).astype(dtype)
    same_as_oracle(X, box(*([s[i] for s in chosen] for i in range(3))), depth)


@pytest.mark.parametrize("depth", range(8))
def test_every_point_of_a_small_grid(depth):
    """Each of the 129 points alone, the right end included: leaf, tents, and the distances to all knots."""
    bits, M = 7, 128
    parameters = box([0], [M], [bits])
    knot_places = range(0, M + 1, M >> depth)
    for x in range(M + 1):
        leaves, points = same_as_oracle(np.array([[float(x)]]), parameters, depth)
        assert points == [[x]]
        A, B, N = kernels.tents(leaves, parameters[-1])
        assert (A[0], B[0], [list(level[0]) for level in N]) == oracle.tents([x], bits, depth)
        values = kernels.knots(A, B, N, np.ones(1))
        assert list(values[0]) == oracle.distances([x], knot_places)


def test_a_tree_by_hand():
    leaves = kernels.leaf_counts(np.array([[1.0], [3], [3], [8]]), *box([0], [8], [3]), 3)
    A, B, N = kernels.tents(leaves, np.array([3]))
    assert A == [15]
    assert B == [17]
    assert [level.tolist() for level in N] == [[[7]], [[3, 0]], [[1, 2, 0, 0]]]
    assert kernels.knots(A, B, N, np.array([0.5])).tolist() == [[7.5, 5.5, 4.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5]]


def test_a_tree_of_a_thousand_records():
    x = np.array([(2**20 * ((7919 * i) % 10007)) // 10007 for i in range(1000)], float)[:, None]
    leaves = kernels.leaf_counts(x, *box([0], [2**20], [20]), 8)
    A, B, N = kernels.tents(leaves, np.array([20]))
    assert (A[0], B[0], N[0][0, 0], N[7][0, 100]) == (524660625, 523915375, 262045187, 16633)
    assert N[1].tolist() == [[65325172, 65660117]]
    values = kernels.knots(A, B, N, np.array([2.0**-20]))
    assert values[0, 64] * 2**20 == 328126547
    table = kernels.interleave(values, np.float64)
    answer = kernels.look_up(np.array([[0.3]]), table, np.zeros(1), np.array([256.0]))
    assert round(answer[0], 6) == 290.396655


@given(st.lists(st.integers(0, 2**16), max_size=30), st.integers(0, 16))
@settings(max_examples=50, deadline=None)
def test_tents_equal_the_definition(points, depth):
    X = np.array(points, float)[:, None]
    leaves = kernels.leaf_counts(X, *box([0], [2**16], [16]), depth)
    A, B, N = kernels.tents(leaves, np.array([16]))
    wanted = oracle.tents(points, 16, min(depth, 9))
    assert (A[0], B[0]) == wanted[:2]
    assert [level[0].tolist() for level in N[:9]] == wanted[2]


@given(st.integers(0, 5), st.lists(st.integers(5, 30), min_size=1, max_size=3), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_tents_wrap_and_add_up(depth, bits, seed):
    """Any int64 at all, near 2**63 too: exact modulo 2**64, without a warning; the tents of a sum are the sum's."""
    rng = np.random.default_rng(seed)
    bits = np.array(bits)
    first, second = rng.integers(-(2**63), 2**63 - 1, (2, len(bits), 2**depth, 2), endpoint=True)
    A, B, N = kernels.tents(first, bits)
    for j, b in enumerate(bits.tolist()):
        wanted = oracle.tents_of_leaves(first[j].tolist(), b, depth)
        assert (A[j], B[j], [level[j].tolist() for level in N]) == wanted
    for one, two, both in zip(*(flat(kernels.tents(leaves, bits)) for leaves in (first, second, first + second))):
        assert (one + two == both).all()


def flat(tree):
    A, B, N = tree
    assert [a.dtype for a in (A, B, *N)] == [np.int64] * (2 + len(N))
    return [A, B, *N]


def test_counts_beyond_int64_wrap():
    leaves = np.full((1, 1, 2), 2**63 - 2, np.int64)
    sides, shift = np.array([[0.0], [8.0], [4.0], [1.0], [8.0]]), np.array([3])
    kernels._count(np.full((5, 1), 6.0), sides, shift, leaves)
    assert leaves.tolist() == [[[oracle.wrapped(2**63 + 3), oracle.wrapped(2**63 + 28)]]]


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(5)
    X = rng.normal(0.4, 0.5, (1000, 5))
    X[rng.random(X.shape) < 0.05] = NAN
    X[7] = [INF, -INF, 0.0, 1.0, -0.0]
    return X


PARAMETERS = box([0.0, -1.0, 0.1, -3.0, 0.0], [1.0, 2.0, 0.7, 0.5, 1e-3], [30, 21, 30, 17, 12])
DEPTH = 9


def counted(X, depth=DEPTH):
    return kernels.leaf_counts(X, *PARAMETERS, depth)


def test_order_shards_and_single_rows_do_not_matter(records):
    whole, _ = same_as_oracle(records, PARAMETERS, DEPTH)
    assert (counted(records[np.random.default_rng(1).permutation(1000)]) == whole).all()
    assert (counted(records[:333]) + counted(records[333:]) == whole).all()
    assert (sum(counted(records[i : i + 1]) for i in range(1000)) == whole).all()


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize(
    "sizes",
    [
        {"ROWS": 7, "QUERIES": 35},
        {"ROWS": 100, "TILE": 1, "QUERIES": 1},
        {"ROWS": 64, "LEAVES": 1},
        {"ROWS": 33, "LEAVES": 1024, "COPIES": 1},
    ],
    ids=str,
)
def test_blocks_and_threads_do_not_matter(records, monkeypatch, threads, sizes):
    whole = counted(records)
    table = np.random.default_rng(2).normal(size=(5, 2**DEPTH, 2))
    low, scale = PARAMETERS[0], 2**DEPTH / (PARAMETERS[1] - PARAMETERS[0])
    answers = kernels.look_up(records, table, low, scale)
    for name, value in sizes.items():
        monkeypatch.setattr(kernels, name, value)
    monkeypatch.setenv("DPSTRUCT_NUM_THREADS", str(threads))
    assert (counted(records) == whole).all()
    assert kernels.look_up(records, table, low, scale).tobytes() == answers.tobytes()


def test_layouts_and_byte_orders_do_not_matter(records, monkeypatch):
    monkeypatch.setattr(kernels, "ROWS", 100)
    whole = counted(records)
    wide = np.zeros((2000, 10))
    wide[::2, ::2] = records
    frozen = records.copy()
    frozen.flags.writeable = False
    for X in (np.asfortranarray(records), wide[::2, ::2], records[::-1][::-1], records.astype(">f8"), frozen):
        assert (counted(X) == whole).all()
    assert (counted(records.astype(np.float32)) == counted(records.astype(np.float32).astype(float))).all()


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.uint8, np.int64, np.uint64, np.float16, np.longdouble])
def test_other_dtypes_are_read_as_float64(dtype):
    X = np.arange(40).reshape(8, 5).astype(dtype)
    assert (counted(X) == counted(X.astype(np.float64))).all()
    same_as_oracle(X, PARAMETERS, 3)


def test_values_beyond_float64_pass_in_silence():
    X = np.full((3, 5), np.finfo(np.longdouble).max)
    assert (counted(X) == counted(np.full((3, 5), float(X[0, 0]) if X.itemsize == 8 else INF))).all()


def test_a_box_as_wide_as_float64():
    """The difference overflows to inf: still a grid point of the box."""
    largest = np.finfo(float).max
    X = np.array([[-largest], [0.0], [largest]])
    scale = np.array([2.0**10 / largest / 2])
    leaves = kernels.leaf_counts(X, np.array([-largest]), np.array([largest]), np.zeros(1), scale, np.array([10]), 1)
    assert leaves.tolist() == [[[1, 0], [2, 512]]]


def test_nothing_is_a_valid_data_set():
    leaves = counted(np.empty((0, 5)))
    assert leaves.shape == (5, 2**DEPTH, 2)
    assert not leaves.any()
    A, B, N = kernels.tents(leaves, PARAMETERS[-1])
    assert not kernels.knots(A, B, N, np.ones(5)).any()
    table = kernels.interleave(np.zeros((5, 2**DEPTH + 1)), np.float32)
    assert kernels.look_up(np.empty((0, 5)), table, PARAMETERS[0], np.ones(5)).shape == (0,)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("d", [1, 3, 90])
def test_look_up_interpolates(d, dtype):
    """Every answer within its rounding bound of the exact interpolation, at knots, between them and outside the box."""
    rng = np.random.default_rng(d)
    depth, low = 5, rng.normal(size=d)
    high = low + rng.uniform(0.5, 3, d)
    values = rng.normal(size=(d, 33))
    table = kernels.interleave(values, dtype)
    Y = rng.uniform(low - 0.2, high + 0.2, (100, d))
    Y[:3] = low, high, (low + high) / 2
    Y[3, 0], Y[4, -1] = INF, -INF
    answers = kernels.look_up(Y, table, low, 2**depth / (high - low))
    held = np.concatenate([table[:, :, 0], table[:, -1:, :].sum(axis=2, dtype=float)], axis=1)
    u = np.finfo(dtype).eps
    for y, answer in zip(Y, answers):
        exact = sum(oracle.look_up(v, values[j], low[j], high[j]) for j, v in enumerate(np.clip(y, low, high).tolist()))
        assert abs(float(exact) - answer) <= 4 * d * (u + 64 * 2**-52) * (1 + np.abs(held).max())


def test_look_up_is_exact_at_knots_and_nan_where_asked():
    values = np.arange(9.0)[None, :] ** 2
    table = kernels.interleave(values, np.float32)
    assert table.dtype == np.float32
    ends = np.array([2.0]), np.array([2.0])
    knots = np.linspace(2, 6, 9)[:, None]
    assert kernels.look_up(knots, table, *ends).tolist() == values[0].tolist()
    assert kernels.look_up(knots.astype(np.float32), table, *ends).tolist() == values[0].tolist()
    assert kernels.look_up(np.array([[-9.0], [INF], [3]]), table, *ends).tolist() == [0, 64, 4]
    two = [np.repeat(v, 2, axis=0) for v in (table, *ends)]
    answers = kernels.look_up(np.array([[2.0, NAN], [NAN, 2], [2, 2], [INF, NAN]]), *two)
    assert np.isnan(answers).tolist() == [True, True, False, True]


def test_look_up_reads_any_layout(records):
    table = np.random.default_rng(3).normal(size=(5, 2**DEPTH, 2))
    sides = PARAMETERS[0], 2**DEPTH / (PARAMETERS[1] - PARAMETERS[0])
    answers = kernels.look_up(records, table, *sides)
    for Y in (np.asfortranarray(records), records.astype(">f8"), np.repeat(records, 2, axis=1)[:, ::2]):
        assert kernels.look_up(Y, table, *sides).tobytes() == answers.tobytes()
    alone = np.concatenate([kernels.look_up(records[i : i + 1], table, *sides) for i in range(50)])
    assert alone.tobytes() == answers[:50].tobytes()


def test_devices_are_chosen_without_loading_a_driver():
    code = (
        "import sys, dpstruct.kernels.dispatch as d; from importlib.util import find_spec\n"
        "assert d.resolve('cpu') == 'cpu' and 'numba' not in sys.modules\n"
        "assert find_spec('numba_cuda') or (d.resolve('auto') == 'cpu' and 'numba' not in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_missing_gpu_is_named(monkeypatch):
    monkeypatch.setattr(dispatch, "_usable", lambda: False)
    assert dispatch.resolve("auto") == "cpu"
    assert dispatch.load("kde_tree", "auto") is kernels
    with pytest.raises(RuntimeError, match="numba-cuda"):
        dispatch.resolve("cuda")
    with pytest.raises(ValueError, match="'gpu'"):
        dispatch.resolve("gpu")


def test_a_gpu_that_answers_is_taken(monkeypatch):
    monkeypatch.setattr(dispatch, "_usable", lambda: True)
    monkeypatch.setattr(dispatch, "_simulated", lambda: False)
    monkeypatch.setattr(dispatch, "_installed", lambda: True)
    assert dispatch.resolve("auto") == dispatch.resolve("cuda") == "cuda"
    monkeypatch.setattr(dispatch, "_simulated", lambda: True)
    assert dispatch.resolve("auto") == "cpu"
