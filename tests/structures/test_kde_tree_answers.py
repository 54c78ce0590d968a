"""KDETree: what it answers, what it warns of and what it refuses."""

import math
import warnings

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.testing import ReplayNoise, ZeroNoise, statistics

GAUSSIAN = {"epsilon": 1.0, "delta": 1e-6}
UNEQUAL = dps.Box([0, -2, 5], [1, 3, 5.3])


def release(tree, X, neighbors="add-remove", cost=GAUSSIAN, source=None):
    budget = dps.Budget(cost["epsilon"], cost.get("delta", 0.0), neighbors=neighbors)
    if source is None:
        return budget.release(tree.summarize(X), share=1)
    with source:
        return budget.release(tree.summarize(X), share=1)


def exact(X, Y):
    return np.abs(X[None, :, :] - Y[:, None, :]).sum(axis=(1, 2))


# ---- the answers ---------------------------------------------------------------------------------------------------


def test_a_small_example_by_hand():
    tree = dps.KDETree(bounds=dps.Box(0, 8, dim=1), depth=3, max_rows=1 << 59)  # so few grid points that F = L = 3
    private = release(tree, np.array([[1.0], [3.0], [3.0], [8.0]]), source=ZeroNoise())
    found = {name: array.tolist() for name, array in private.transcript.items()}
    assert found == {"A": [15], "B": [17], "level0": [[7]], "level1": [[3, 0]], "level2": [[1, 2, 0, 0]]}
    assert private.query(np.arange(9.0)[:, None]).tolist() == [15, 11, 9, 7, 9, 11, 13, 15, 17]
    assert private.query([[0.5], [-3.0], [99.0]]).tolist() == [13, 15, 17]
    assert private.count == 4
    assert private.mean([[4.0]]).tolist() == [2.25]


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_answers_are_exact_at_knots_and_biased_by_little_between(neighbors):
    tree = dps.KDETree(bounds=UNEQUAL, depth=4)
    random = np.random.default_rng(7)
    X = random.random((500, 3)) * [1, 5, 0.3] + [0, -2, 5]
    private = release(tree, X, neighbors, source=ZeroNoise())
    assert private.count == pytest.approx(500)
    rounding = 500 * (tree._form.widths / tree._form.grid).sum()
    knots = random.integers(0, 17, (40, 3)) / 16 * [1, 5, 0.3] + [0, -2, 5]
    assert np.abs(private.query(knots) - exact(X, knots)).max() < rounding + 1e-4
    Y = random.random((400, 3)) * [1, 5, 0.3] + [0, -2, 5]
    bias = private.query(Y) - exact(X, Y)
    assert bias.min() > -rounding - 1e-3
    assert 0.5 < bias.max() < 500 * 6.3 / 2**5
    assert (bias <= private.bias(Y)).all()
    assert private.bias(Y).shape == (400,)


def test_the_bias_bound_is_reached_by_records_amid_one_leaf():
    tree = dps.KDETree(bounds=UNEQUAL, depth=4, expected_rows=3000)
    middle = np.array([[0.5 + 1 / 32, 0.5 + 5 / 32, 5.15 + 0.3 / 32]])
    private = release(tree, np.repeat(middle, 3000, axis=0), "substitute", source=ZeroNoise())
    found = private.query(middle)[0]
    assert found == pytest.approx(3000 * 6.3 / 2**5, rel=1e-5)
    assert found <= private.bias(middle)[0] + 1e-3
    assert found == pytest.approx(private.bias(middle)[0], rel=1e-5)
    assert f"at 3000 rows: at most {found:.5g}" in str(tree.plan(neighbors="substitute", **GAUSSIAN))


def test_wide_and_narrow_sides_share_the_sampler_s_range():
    plan = dps.KDETree(bounds=dps.Box([0, 0], [1e6, 1])).plan(neighbors="add-remove", **GAUSSIAN)
    assert plan.scale("A").max() <= 2.0**31 / plan.cost.mu


def test_public_rows_are_not_noised():
    tree = dps.KDETree(bounds=UNEQUAL, depth=4)
    private = release(tree, np.zeros((17, 3)), "substitute")
    assert set(private.transcript) == {"A", "n", *(f"level{k}" for k in range(4))}
    assert (private.count, private.count_error) == (17.0, 0.0)
    noised = release(tree, np.zeros((17, 3)), "add-remove")
    assert set(noised.transcript) == {"A", "B", *(f"level{k}" for k in range(4))}
    assert not noised.count.is_integer()


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_queries_outside(neighbors):
    tree = dps.KDETree(bounds=dps.Box([0, 0], [1, 2]), depth=4)
    X = np.random.default_rng(3).random((50, 2))
    private = release(tree, X, neighbors, source=ZeroNoise())
    Y = np.array([[1.5, 1.0], [-1.0, 3.0], [0.5, 0.5]])
    clipped = private.query(np.clip(Y, [0, 0], [1, 2]))
    assert (private.query(Y) == clipped).all()
    beyond = np.array([0.5, 2.0, 0.0])
    assert private.query(Y, outside="extend") == pytest.approx(clipped + 50 * beyond)
    assert private.query(Y[:2], outside="extend") == pytest.approx(exact(X, Y[:2]), abs=1)
    assert private.mean(Y, outside="extend") == pytest.approx((clipped + 50 * beyond) / 50)
    with pytest.raises(dps.DPStructError, match="outside="):
        private.query(Y, outside="raise")
    assert private.query(Y[2:], outside="raise") == clipped[2:]
    assert (private.error(Y, outside="extend") >= private.error(Y)).all()


def test_values_that_are_no_numbers():
    tree = dps.KDETree(bounds=UNEQUAL, depth=4)
    odd = release(tree, np.array([[np.nan, np.inf, -np.inf]] * 3), source=ZeroNoise())
    middle = release(tree, np.array([[0.5, 0.5, 5.15]] * 3), source=ZeroNoise())
    assert all((odd.transcript[k] == middle.transcript[k]).all() for k in odd.transcript)
    far = release(tree, np.array([[1e308, -1e308, 1e30]]), source=ZeroNoise())
    corner = release(tree, np.array([[1.0, -2.0, 5.3]]), source=ZeroNoise())
    assert all((far.transcript[k] == corner.transcript[k]).all() for k in far.transcript)
    answers = odd.query([[np.nan, 0, 5], [0, np.nan, 5], [0, 0, 5], [np.inf, -np.inf, 5]])
    assert np.isnan(answers).tolist() == [True, True, False, False]


def test_no_records():
    tree = dps.KDETree(bounds=UNEQUAL, depth=4)
    private = release(tree, np.empty((0, 3)), source=ZeroNoise())
    assert private.query(np.zeros((2, 3))).tolist() == [0, 0]
    assert private.mean(np.zeros((2, 3))).tolist() == [0, 0]
    assert private.query(np.empty((0, 3))).shape == (0,)


def test_the_table_is_single_where_that_is_far_below_the_noise():
    tree = dps.KDETree(bounds=UNEQUAL, depth=6)
    random = np.random.default_rng(5)
    X = random.random((2000, 3)) * [1, 5, 0.3] + [0, -2, 5]
    Y = random.random((100, 3)) * [1, 5, 0.3] + [0, -2, 5]
    assert release(tree, X)._table.dtype == np.float32
    precise = release(tree, X, cost={"epsilon": 60.0, "delta": 1e-6})
    assert precise._table.dtype == np.float32
    single = release(tree, X, source=ZeroNoise()).query(Y)
    many = 2_000_000  # copies of every record, through the noise
    sums = statistics(tree.plan(neighbors="add-remove", **GAUSSIAN), X)
    crowd = release(tree, X[:0], source=ReplayNoise({name: array * many for name, array in sums.items()}))
    assert crowd._table.dtype == np.float64
    assert np.abs(crowd.query(Y) / many - single).max() < 2000 * 6.3 * 2.0**-23


def test_capacity_is_told_from_the_noisy_count():
    tree = dps.KDETree(bounds=UNEQUAL, depth=4, max_rows=100)
    Y = np.zeros((1, 3))
    full = release(tree, np.zeros((1000, 3)))  # no warning: an error here would lose what was paid for
    with pytest.warns(dps.CapacityWarning, match="max_rows=100"):
        full.query(Y)
    with pytest.warns(dps.CapacityWarning):
        release(tree, np.zeros((101, 3)), "substitute").query(Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        release(tree, np.zeros((100, 3)), "substitute").query(Y)
    plan = tree.plan(neighbors="add-remove", **GAUSSIAN)
    none = {name: np.zeros(line.shape, np.int64) for name, (_, line) in plan.lines.items()}
    for errors in (5.9, 6.1):  # a noisy count above the capacity by so many standard errors
        noisy = none | {"A": ((100 + errors * math.sqrt(2) / plan.cost.mu) * tree._form.grid).astype(np.int64)}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            release(tree, np.empty((0, 3)), source=ReplayNoise(noisy)).query(Y)
        assert len(caught) == (errors > 6)


# ---- refusals ------------------------------------------------------------------------------------------------------

BOX = dps.Box(0, 1, dim=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bounds": [0, 1]}, ["bounds: received a list", "Box(low=[...], high=[...])"]),
        ({"bounds": dps.Ball(1.0, dim=2)}, ["bounds: received a Ball", "a Box"]),
        ({"bounds": dps.Box(0, 1)}, ["bounds", "dimension", "dim=d"]),
        ({"bounds": BOX, "metric": "cosine"}, ["metric: received 'cosine'", '"l1"']),
        ({"bounds": BOX, "depth": 0}, ["depth: received 0", "1 to 20"]),
        ({"bounds": BOX, "depth": 21}, ["depth: received 21", "1 to 20"]),
        ({"bounds": BOX, "depth": True}, ["depth: received a bool", "an integer"]),
        ({"bounds": BOX, "depth": 8.0}, ["depth: received a float", "an integer"]),
        ({"bounds": dps.Box(0, 1, dim=1 << 12), "depth": 15}, ["depth: received 15", "2**26 leaves"]),
        ({"bounds": BOX, "max_rows": 0}, ["max_rows: received 0"]),
        ({"bounds": BOX, "max_rows": 1 << 55, "depth": 12}, ["max_rows", f"at most {1 << 50} at depth 12"]),
        ({"bounds": BOX, "expected_rows": -1}, ["expected_rows: received -1"]),
        ({"bounds": BOX, "max_rows": 10, "expected_rows": 11}, ["expected_rows: received 11", "1 to 10"]),
    ],
)
def test_blueprints_that_make_no_sense(options, words):
    with pytest.raises(dps.DPStructError) as caught:
        dps.KDETree(**options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (np.full((4, 3), 0.1234567), ["X: received rows of 3 coordinates", "(n, 2)"]),
        (np.full(7, 0.1234567), ["X: received 1 dimensions", "reshape(-1, 2)"]),
        (np.full((4, 2), "0.1234567"), ["X: received dtype str_", "convert X to an array of float64"]),
        (np.full((4, 2), 0.1234567 + 0j), ["X: received dtype complex128"]),
        (np.array([[0.1234567, 0.1234567], ["0.1234567", None]], dtype=object), ["X: received dtype object_"]),
        ([[0.1234567, 0.1234567], ["0.1234567"]], ["X: received a list of another shape"]),
    ],
)
def test_arrays_that_do_not_fit(X, words):
    tree = dps.KDETree(bounds=BOX, depth=3)
    with pytest.raises(dps.DPStructError) as caught:
        tree.summarize(X)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "0.12" not in str(caught.value)
    private = release(tree, np.zeros((1, 2)))
    for ask in (private.query, private.error, private.mean, private.bias):
        with pytest.raises(dps.DPStructError, match=r"^Y: "):
            ask(X)


def test_other_refusals():
    tree = dps.KDETree(bounds=BOX, depth=3)
    private = release(tree, np.zeros((1, 2)))
    with pytest.raises(dps.DPStructError, match='outside: received \'wrap\', expected "clip", "extend" or "raise"'):
        private.query(np.zeros((1, 2)), outside="wrap")
    for call in (tree.summarize, private.query):
        with pytest.raises(dps.DPStructError, match="device: received 'tpu'"):
            call(np.zeros((1, 2)), device="tpu")
    with pytest.raises(dps.NeighborsMismatch, match="user"):
        tree.plan(neighbors="add-remove", unit="user", **GAUSSIAN)
    with pytest.raises(dps.DPStructError, match="2\\*\\*52"):
        tree.plan(neighbors="add-remove", cost=dps.PureDP(1e-9))


@pytest.mark.parametrize("width", [1e-100, 1e-40, 1e36, 1e100])
def test_boxes_of_any_size_give_the_same_answers(width):
    """Catches a float32 table for values beyond float32, and squares that leave the doubles."""
    tree = dps.KDETree(bounds=dps.Box(0, width, dim=2), depth=3)
    with np.errstate(all="raise"), ZeroNoise():
        budget = dps.Budget(neighbors="add-remove", **GAUSSIAN)
        private = budget.release(tree.summarize(np.full((1000, 2), width / 2)), share=1)
        np.testing.assert_allclose(private.query(np.zeros((1, 2))) / width, [1000.0], rtol=1e-6)
        np.testing.assert_allclose(private.error(np.zeros((1, 2))) / width, [2 / private.receipt.cost.mu], rtol=1e-6)
        assert private.count == 1000


def test_the_grid_is_decided_in_integers():
    """Catches a logarithm that rounds: sides whose ratio to their sum is a power of four, or next to one."""
    for sides, bits in (([1, 3], [29, 29]), ([1, 15], [28, 29]), ([1, 15.000001], [27, 29]), ([1, 1, 1, 1], [29] * 4)):
        tree = dps.KDETree(bounds=dps.Box([0] * len(sides), sides), depth=4)
        assert tree._form.bits.tolist() == bits


def test_the_kernels_never_see_another_width():
    tree = dps.KDETree(bounds=dps.Box(0, 1, dim=40), depth=3)
    with pytest.raises(dps.InvalidParameter, match="rows of 1"):
        tree.seal(np.zeros((10, 1)))


def test_queries_beyond_all_measure_and_nan_queries_are_answered():
    private = release(dps.KDETree(bounds=BOX, depth=3), np.zeros((10, 2)))
    far = np.array([[1e300, -1e300], [np.inf, 0.0]])
    np.testing.assert_array_equal(private.error(far), private.error(np.clip(far, BOX.low, BOX.high)))
    assert np.isnan(private.query([[np.nan, 0.0]], outside="raise")).all()
