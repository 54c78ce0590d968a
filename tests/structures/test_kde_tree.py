"""KDETree: the conformance suite, its price by brute force, its error by linear algebra."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chi2

import dpstruct as dps
from dpstruct.core import door
from dpstruct.structures import _schauder
from dpstruct.testing import check_structure, statistics

GAUSSIAN, LAPLACE = {"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}
MEASURES = pytest.mark.parametrize("cost", [GAUSSIAN, LAPLACE], ids=["gaussian", "laplace"])
UNEQUAL = dps.Box([0, -2, 5], [1, 3, 5.3])


def release(tree, X, neighbors="add-remove", cost=GAUSSIAN):
    budget = dps.Budget(cost["epsilon"], cost.get("delta", 0.0), neighbors=neighbors)
    return budget.release(tree.summarize(X), share=1)


def exact(X, Y):
    return np.abs(X[None, :, :] - Y[:, None, :]).sum(axis=(1, 2))


# ---- the suite -----------------------------------------------------------------------------------------------------


@MEASURES
@pytest.mark.parametrize("neighbors", ["add-remove", "substitute", dps.RowsWithin(0.2)], ids=str)
@pytest.mark.parametrize("bounds", [dps.Box(-1, 3, dim=1), UNEQUAL], ids=["d=1", "d=3"])
def test_conforms(bounds, neighbors, cost):
    price = check_structure(dps.KDETree(bounds=bounds, depth=6).plan(neighbors=neighbors, **cost), examples=20)[1]
    if "delta" in cost and isinstance(neighbors, str):
        assert price.bounds == (1,)
    assert 0 < price.worst <= 1


def test_conforms_at_full_depth():
    check_structure(dps.KDETree(bounds=dps.Box(0, 1, dim=2)).plan(neighbors="add-remove", **GAUSSIAN), examples=10)


# ---- the price, over all records -----------------------------------------------------------------------------------


def small(depth, bits=7):
    """Return a tree whose grid has 2**bits steps, as few rows are many to it, over a box of unit steps."""
    return dps.KDETree(bounds=dps.Box(0, 2**bits, dim=1), depth=depth, max_rows=1 << (62 - bits))


def prices(plan, rows):
    """Return every row's statistic, and the function that prices changes, in units of the declared sensitivity."""
    exact_sums = [statistics(plan, np.array([[row]])) for row in rows]
    T = np.array([np.concatenate([sums[name].ravel() for name in plan.lines]) for sums in exact_sums]).astype(object)
    event = plan.events[0]
    weights = [w for line in event.lines for w in np.repeat(line.weights, math.prod(line.shape) // len(line.weights))]
    units = [1 / (w * event.sensitivity) for w in weights]
    common = math.lcm(*(u.denominator for u in units))
    units = np.array([int(u * common) for u in units], dtype=object)
    power = 2 if event.kind == "rounded-gaussian" else 1
    return T, lambda change: [Fraction(v, common) for v in (abs(change) ** power) @ units]


@pytest.mark.parametrize(("depth", "least"), [(7, Fraction(1)), (4, Fraction(31, 32))])
def test_gaussian_price_of_every_record(depth, least):
    T, price = prices(small(depth).plan(neighbors="add-remove", **GAUSSIAN), np.arange(129))
    found = price(T)
    assert (min(found), max(found)) == (least, 1)
    assert (T[:, 0] == np.arange(129)).all()  # the grid is that of the test


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_laplace_price_of_every_record(depth):
    T, price = prices(small(depth).plan(neighbors="add-remove", **LAPLACE), np.arange(129))
    assert max(price(T)) == 1


@MEASURES
@pytest.mark.parametrize("depth", [1, 4, 6])
def test_price_of_every_substitution(depth, cost):
    T, price = prices(small(depth, bits=6).plan(neighbors="substitute", **cost), np.arange(65))
    a, b = np.triu_indices(65, 1)
    assert max(price(T[a] - T[b])) == 1


@MEASURES
@pytest.mark.parametrize("radius", [0.01, 0.5, 1.0, 2.3, 7.9, 100.0])
def test_price_of_every_small_move(radius, cost):
    rows = np.arange(0, 64.125, 0.125)  # finer than the grid
    rows = np.sort(np.concatenate([rows, np.nextafter(rows, -1), np.nextafter(rows, 99)]))
    rows = rows[[*range(0, len(rows), 1 if radius < 2 else 8), -1]]
    T, price = prices(small(6, bits=6).plan(neighbors=dps.RowsWithin(radius), **cost), rows)
    a, b = np.nonzero(np.triu(rows[None, :] - rows[:, None] <= radius, 1))
    found = max(price(T[a] - T[b]))
    assert found <= 1
    if radius == 100.0:
        assert found == 1


def test_a_small_move_needs_less_noise_but_no_pair_gets_more():
    tree = dps.KDETree(bounds=UNEQUAL, depth=6)
    far, near = (tree.plan(neighbors=n, **GAUSSIAN).error for n in ("substitute", dps.RowsWithin(0.01)))
    assert near < far / 10
    assert tree.plan(neighbors=dps.RowsWithin(1e6), **GAUSSIAN).error == far
    # d coordinates move by radius / sqrt(d) each: the l1 norm, not the l2 norm, is what a move costs
    moved = _schauder.moved_within(0.5, (0.0,) * 4, (1.0,) * 4, [30] * 4)
    assert Fraction(1, 4) <= moved <= Fraction(1, 4) * (1 + Fraction(1, 10**7))


# ---- the error -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_gaussian_error_is_that_of_one_answer(neighbors):
    tree = dps.KDETree(bounds=UNEQUAL, depth=5)
    plan = tree.plan(neighbors=neighbors, **GAUSSIAN)
    floor = (1 + 5 + 0.3) / plan.cost.mu
    assert plan.error == pytest.approx(floor, rel=1e-9)
    private = release(tree, np.zeros((1, 3)), neighbors)
    grid = np.arange(33)[:, None] / 32 * [1, 5, 0.3] + [0, -2, 5]
    assert private.error(grid) == pytest.approx(np.full(33, floor), rel=1e-9)
    u = np.random.default_rng(0).random((50, 3))
    inside = private.error((u + 7) / 32 * [1, 5, 0.3] + [0, -2, 5])
    dip = 2.0 ** (-4 if neighbors == "add-remove" else -3) * u * (1 - u)  # less inside a leaf than at its knots
    assert inside == pytest.approx(floor * np.sqrt((1 - dip) @ np.array([1, 5, 0.3]) / 6.3), rel=1e-9)


@pytest.mark.parametrize(
    ("depth", "cost", "add_remove", "substitute"),
    [(8, 2.18011, 3.404, 2.945), (10, 2.19578, 3.434, 2.989), (12, 2.20191, 3.446, 3.007), (16, 2.20527, 3.453, 3.017)],
)
def test_laplace_error_constants(depth, cost, add_remove, substitute):
    tree = dps.KDETree(bounds=UNEQUAL, depth=depth)
    size = (1 + 5 ** (2 / 3) + 0.3 ** (2 / 3)) ** 1.5
    for neighbors, expected in (("add-remove", add_remove), ("substitute", substitute)):
        found = tree.plan(epsilon=0.25, neighbors=neighbors).error * 0.25 / size
        assert found == pytest.approx(expected, abs=6e-4)
    assert float(_schauder._rates(depth, True)[1]) == pytest.approx(cost, abs=6e-6)


@MEASURES
@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_error_is_that_of_the_linear_answer(neighbors, cost):
    """Move every noised integer alone: an answer's variance is the sum of squared effects times the noise variances."""
    tree = dps.KDETree(bounds=dps.Box([0, -2], [1, 3]), depth=3)
    private = release(tree, np.random.default_rng(1).random((20, 2)), neighbors, cost)
    Y = np.array([[0, -2], [1, 3], [0.5, 0.5], [0.03, 2.9], [0.3, -1.2], [0.3, 4.0], [-2.0, -7.0], [3.0, 0.0]])
    start = {name: np.zeros_like(array) for name, array in private.transcript.items()}
    start["n" if neighbors == "substitute" else "A"] += 20
    variance, counts = {"clip": 0.0, "extend": 0.0}, 0.0
    for name in private.receipt.lines:
        for at in np.ndindex(start[name].shape):
            moved = {key: array.copy() for key, array in start.items()}
            moved[name][at] += 1 << 40
            other, base = (type(private)(tree, t, private.receipt) for t in (moved, start))
            scale = private.receipt.variance(name)[at[0] if len(private.receipt.scale(name)) > 1 else 0] / 4.0**40
            for how in variance:
                effect = other.query(Y, outside=how) - base.query(Y, outside=how)
                variance[how] = variance[how] + effect**2 * scale
            counts += (other.count - base.count) ** 2 * scale
    for how, found in variance.items():
        assert private.error(Y, outside=how) == pytest.approx(np.sqrt(found), rel=1e-5)
    assert private.count_error == pytest.approx(math.sqrt(counts), rel=1e-6)
    if neighbors == "add-remove" and "delta" in cost:
        assert private.count_error == pytest.approx(math.sqrt(2) / private.receipt.cost.mu, rel=1e-9)


@pytest.mark.usefixtures("fixed_words")
@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_error_of_simulated_releases(neighbors):
    """Squared errors over their variance are chi-square; 10 queries, 2 sides: false alarm 1e-6 in all."""
    tree = dps.KDETree(bounds=UNEQUAL, depth=5)
    random = np.random.default_rng(4)
    X = random.random((300, 3)) * [1, 5, 0.3] + [0, -2, 5]
    Y = random.integers(0, 33, (10, 3)) / 32 * [1, 5, 0.3] + [0, -2, 5]
    receipt = release(tree, X, neighbors).receipt
    plan, state = tree.plan(neighbors=neighbors, **GAUSSIAN), tree.summarize(X)._open()
    made = [tree.release_type(tree, door.run(plan, state), receipt) for _ in range(400)]
    errors = np.array([private.query(Y) for private in made]) - exact(X, Y)
    squared = (errors**2 / made[0].error(Y) ** 2).sum(axis=0)
    assert (chi2.ppf(5e-8, 400) < squared).all()
    assert (squared < chi2.isf(5e-8, 400)).all()
