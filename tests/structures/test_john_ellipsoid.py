"""JohnEllipsoid: the conformance suite, and attacks on the price of a row in every round."""

import math
from fractions import Fraction

import numpy as np
import pytest
from oracle.john_ellipsoid import mixture

import dpstruct as dps
from dpstruct.core import door
from dpstruct.structures import _ellipsoid_recipe as plans
from dpstruct.structures import _ellipsoid_rounds as passes
from dpstruct.testing import ReplayNoise, ZeroNoise, assert_price, check_structure, statistics
from dpstruct.testing.sources import SeededNoise

GAUSSIAN, LAPLACE = {"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}
BOX, LINE = dps.Box([0, -2], [1, 3]), dps.Box(-1, 3, dim=1)
BALL, SPAN = dps.Ball(2.0, dim=2, center=[1, 5]), dps.Ball(2.0, dim=1, center=[1])


def blueprint(bounds, **options):
    return dps.JohnEllipsoid(bounds, **{"expected_rows": 40, **options})


# ---- the suite -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bounds", "neighbors", "cost", "options"),
    [
        (LINE, "add-remove", GAUSSIAN, {"method": "capped"}),
        (LINE, "substitute", GAUSSIAN, {"method": "capped", "center": False}),
        (BOX, "add-remove", GAUSSIAN, {"method": "second-moment"}),
        (SPAN, "substitute", GAUSSIAN, {"method": "second-moment", "quantile": "conservative"}),
        (BOX, dps.RowsWithin(0.1), GAUSSIAN, {"method": "second-moment"}),
        (SPAN, dps.RowsWithin(0.3), GAUSSIAN, {"method": "second-moment", "center": False}),
        (BOX, "add-remove", LAPLACE, {"quantile": "conservative", "center": False}),
        (LINE, "substitute", LAPLACE, {"center": False}),
        (LINE, dps.RowsWithin(0.3), LAPLACE, {}),
    ],
    ids=str,
)
def test_conforms(bounds, neighbors, cost, options, monkeypatch):
    if neighbors == "substitute":  # fewer rounds: there are many pairs
        for module in (plans, passes):
            monkeypatch.setattr(module, "WHITENING", plans.WHITENING[:1])
            monkeypatch.setattr(module, "CAPPED", plans.CAPPED[:3])
    plan = blueprint(bounds, **options).plan(neighbors=neighbors, **cost)
    price = check_structure(plan, examples=5)[1]
    assert 0.04 < price.worst <= 1
    if neighbors == "add-remove":
        assert price.worst > 0.97


# ---- a row's part in every round -----------------------------------------------------------------------------------


def price(sums, other, r, prefix):
    """Return the price of a change in one round, in units of the largest contribution squared."""
    total = Fraction(0)
    for line in r.lines(prefix, counted=True):
        change = np.atleast_1d(sums[line.name] - other[line.name]).astype(object)
        total += sum(Fraction(int(c) ** 2) / line.weight for c in change)
    return total


@pytest.mark.parametrize("center", [True, False])
def test_no_released_matrix_makes_a_row_dearer(center):
    """Rows of all kinds under histories that were never released: whatever G, c and the weights, a row is bounded."""
    plan = blueprint(BOX, method="capped", center=center).plan(neighbors="substitute", **GAUSSIAN)
    r = plans.recipe(plan.structure, plan.cost, "substitute")
    random = np.random.default_rng(1)
    rows = [np.array([[0.0, 3.0]]), np.array([[1.0, -2.0]]), np.array([[0.5, 0.5]]), random.random((1, 2))]
    one, two = 0, 0
    for size in (1, 1e10, 1e13, 1e18):
        history = {
            name: np.array(np.rint(random.standard_normal(line.shape) * size), dtype=np.int64)
            for name, (_, line) in plan.lines.items()
        } | {"n": np.array(1)}
        with np.errstate(all="raise"):
            sums = [statistics(plan, X, transcript=history) for X in rows]
        none = {name: np.zeros_like(array) for name, array in sums[0].items()}
        for prefix in plans.CAPPED:
            one = max([one, *(price(s, none, r, prefix) for s in sums)])
            two = max([two, *(price(s, t, r, prefix) for s in sums for t in sums)])
    assert r.size**2 < one <= r.size**2 + r.count_unit**2
    assert two <= 2 * r.size**2 + r.count_unit**2 == r.price("substitute", counted=True)


def test_weights_stay_fractions_and_only_grow_by_what_was_released():
    rows = blueprint(BOX).seal(np.random.default_rng(2).random((50, 2)))._open()[0]
    public = {
        "whitening": np.eye(3) * 2.0**20,
        "unit": np.array(2.0**-44),
        "growth": np.array(3.0),
        "radius2": np.array(6.0),
        "size": np.array(2.0**32),
        "start": np.array(0.1),
        "count": np.array(1e9),
    }
    cache = np.zeros((50, 1))
    length = ((rows / 2.0**24) ** 2).sum(axis=1)
    first = passes.second_moment(rows, public, cache)[-1]
    assert cache[:, 0] == pytest.approx(0.3 * length)
    second = passes.second_moment(rows, public | {"start": np.array(0.0), "growth": np.array(9.0)}, cache)[-1]
    assert cache[:, 0] == pytest.approx(np.minimum(1, 2.7 * length**2))
    assert first < second == sum(int(q * 1e9) for q in cache[:, 0])


@pytest.mark.parametrize("method", ["capped", "second-moment"])
def test_a_row_changes_no_other_rows_integers(method):
    """With 15 coordinates a float product would: under one history, all = all but one + that one, in every line."""
    X = mixture(700, 15, np.random.default_rng(3))
    X[11], X[12, 3], X[13] = 0, np.nan, 9.0
    plan = dps.JohnEllipsoid(dps.Ball(1.0, dim=15), expected_rows=700, method=method).plan(
        neighbors="add-remove", **GAUSSIAN
    )
    with SeededNoise(4):
        history = door.run(plan, plan.structure.summarize(X)._open())
    whole = statistics(plan, X, transcript=history)
    for i in (0, 11, 12, 13, 699):
        rest, alone = (statistics(plan, Y, transcript=history) for Y in (np.delete(X, i, axis=0), X[i : i + 1]))
        for name, array in whole.items():
            assert np.array_equal(array, rest[name] + alone[name]), name


def test_what_is_truncated_is_a_product_of_exact_integers(monkeypatch):
    """A last bit that depends on the block would move a truncated integer too rarely for any search to see."""
    from dpstruct.kernels import john_ellipsoid as kernels

    seen = []
    for name in ("contributions", "cells"):
        plain = getattr(kernels, name)
        monkeypatch.setattr(
            kernels, name, lambda rows, *rest, plain=plain: seen.append(rows.copy()) or plain(rows, *rest)
        )
    X = mixture(500, 15, np.random.default_rng(14))
    structure = dps.JohnEllipsoid(dps.Ball(1.0, dim=15), expected_rows=500, method="capped")
    plan, rows = structure.plan(neighbors="add-remove", **GAUSSIAN), structure.seal(X)._open()[0]
    with SeededNoise(2):
        transcript = door.run(plan, structure.summarize(X)._open())
    asking = passes.passes(plans.recipe(structure, plan.cost, "add-remove"), plan)
    request = next(asking)
    products = [product for product in seen if len(product)]
    assert len(products) == len(plans.WHITENING) + len(plans.CAPPED) + 1
    for product in products:
        exact = rows.astype(object) @ request.public["whitening"].astype(np.int64).astype(object)
        assert (product.astype(np.int64) == exact).all()
        assert np.array_equal(product, np.rint(product))
        if product is not products[-1]:
            request = asking.send(transcript)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("bounds", [BOX, BALL], ids=["box", "ball"])
@pytest.mark.parametrize("radius", [0.001, 0.2, 0.9, 3.0, 50.0])
def test_a_small_move_costs_what_the_plan_says(center, bounds, radius):
    structure, neighbors = blueprint(bounds, method="second-moment", center=center), dps.RowsWithin(radius)
    r = plans.recipe(structure, dps.GDP(0.3), neighbors)
    request = passes._Whitening(None, r).request("moment", r, 1.0, count=0)
    random, best = np.random.default_rng(5), 0
    middle, reach = (np.array([0.5, 0.5]), 2.6) if bounds is BOX else (np.array([1.0, 5.0]), 2.0)
    for k in range(400):
        u, v = random.standard_normal((2, 2))
        start = middle + u / np.linalg.norm(u) * reach * (1.0, 0.97, 1.3, 0.5)[k // 4 % 4]
        step = (v, -u, u, [u[1], -u[0]])[k % 4]
        end = start + np.array(step) / np.linalg.norm(step) * radius * (1 - 1e-12)
        sides = [request.row_map(structure.seal(np.array([x]))._open()[0], request.public) for x in (start, end)]
        change = [(a - b).astype(object) for a, b in zip(*sides)]
        best = max(best, (change[0] ** 2).sum() + 2 * (change[1] ** 2).sum())
    assert best <= r.moved <= 2 * r.size**2
    assert best > (0.75 if bounds is BALL and radius > 0.01 else 0.01) * r.moved


FAR = 1 << 60


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    ("bounds", "dtype"),
    [
        *[(dps.Box([FAR], [FAR + 2**side]), "int64") for side in (11, 13, 16)],
        (dps.Box([-FAR - 2**11], [-FAR]), "int64"),
        (dps.Box([8 * FAR, 0], [8 * FAR + 2**14, 2**30]), "uint64"),
        (dps.Ball(2**12, dim=2, center=[4 * FAR, -FAR]), "int64"),
        (dps.Box([1.0, 2.0**20], [1.0 + 2**-40, 2.0**20 + 1]), "float64"),
        (dps.Ball(2.0**-30, dim=2, center=[1.0, 3.0]), "float64"),
        (dps.Box([2.0**20], [2.0**20 + 1]), "float32"),
    ],
    ids=str,
)
def test_a_small_move_far_from_zero_costs_no_more_than_the_plan_says(center, bounds, dtype):
    """64-bit integers that differ by two are 256 apart as doubles: the conversion belongs to the price of a move."""
    structure = blueprint(bounds, method="second-moment", center=center)
    middle, sides = structure._middle.tolist(), structure._sides.tolist()
    pairs = []
    for part in (0, 0.125, -0.9375, 0.999, -1.5, 40.0):
        if dtype == "float64" or dtype == "float32":
            one = np.array([[m + part * s for m, s in zip(middle, sides)]], dtype)
            pairs.append((one, np.nextafter(one, np.array(np.inf, dtype))))
            continue
        steps = [max(int(math.ulp(m)), 2) for m in middle]  # around a point halfway between doubles
        half = [int(m) + int(part * s) // u * u + u // 2 for m, s, u in zip(middle, sides, steps)]
        half = [max(h, 1) if dtype == "uint64" else h for h in half]
        pairs.append(tuple(np.array([[h + step for h in half]], dtype) for step in (-1, 1)))
    moves = [[Fraction(a) - Fraction(b) for a, b in zip(x[0].tolist(), y[0].tolist())] for x, y in pairs]
    radius = math.sqrt(max(sum(c * c for c in move) for move in moves)) * (1 + 1e-12)
    plan = structure.plan(neighbors=dps.RowsWithin(radius), **GAUSSIAN)
    for pair in pairs:
        assert_price(plan, pair)


def test_small_moves_need_less_noise():
    far, near, tiny = (
        blueprint(BALL, method="second-moment").plan(neighbors=n, cost=dps.GDP(0.3)).scale("moment_upper")[0]
        for n in ("substitute", dps.RowsWithin(0.1), dps.RowsWithin(1e-9))
    )
    lattices = [
        plans.recipe(blueprint(BALL, method="second-moment"), dps.GDP(0.3), n).size
        for n in ("substitute", dps.RowsWithin(0.1), dps.RowsWithin(1e-9))
    ]
    relative = [s / k for s, k in zip((far, near, tiny), lattices)]
    assert relative[1] < relative[0] / 10
    assert relative[2] < relative[0] / 1e4  # truncation is what remains
    same = blueprint(BALL, method="second-moment").plan(neighbors=dps.RowsWithin(99.0), cost=dps.GDP(0.3))
    r = plans.recipe(same.structure, same.cost, same.neighbors)
    assert r.moved == 2 * r.size**2


def test_every_row_is_counted_at_full_weight_in_the_first_rounds():
    plan = blueprint(BOX, method="capped").plan(neighbors="add-remove", **GAUSSIAN)
    r = plans.recipe(plan.structure, plan.cost, "add-remove")
    exact = statistics(plan, np.random.default_rng(6).random((30, 2)))
    assert [exact[f"{name}_count"] for name in plans.WHITENING] == [30 * r.count_unit] * 3
    assert exact["tail"][0] >= 0


def test_the_shares_are_spent_in_full():
    for options, cost in (({"method": "capped"}, GAUSSIAN), ({"method": "second-moment"}, GAUSSIAN), ({}, LAPLACE)):
        plan = blueprint(BOX, **options).plan(neighbors="add-remove", **cost)
        groups = plan.structure.groups(plan.cost, "add-remove")
        assert sum(group.share for group in groups) == 1


# ---- values never raise --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize(("n", "expected"), [(0, 100_000), (30, 100_000), (20_000, 3), (1, 1)])
def test_a_wrong_guess_costs_accuracy_only(n, expected, neighbors):
    X = mixture(n, 12, np.random.default_rng(7)) if n else np.empty((0, 12))
    for center in (True, False):
        private = dps.Budget(1.0, 1e-6, neighbors=neighbors).release(
            dps.JohnEllipsoid(dps.Ball(1.0, dim=12), expected_rows=expected, method="capped", center=center).summarize(
                X
            ),
            share=1,
        )
        assert np.isfinite(private.matrix).all()
        assert np.isfinite(private.query(np.zeros((1, 12)))).all()
        assert private.radii.min() > 0
        assert private.radii.max() < 1e5


@pytest.mark.parametrize("bounds", [BOX, BALL], ids=["box", "ball"])
def test_wild_rows_are_clipped_or_the_middle(bounds):
    structure = blueprint(bounds, method="second-moment", center=False)
    plan = structure.plan(neighbors="substitute", **GAUSSIAN)
    middle = np.array([0.5, 0.5]) if bounds is BOX else np.array([1.0, 5.0])

    def sums(row):
        return {k: v.tolist() for k, v in statistics(plan, np.array([row])).items()}

    assert sums([np.nan, np.inf]) == sums(middle)
    assert sums([1.7e308, 1.7e308])["moment_upper"] == sums(middle + 1e6)["moment_upper"]
    assert sums([1.7e308, -np.inf]) == sums([1e300, np.nan])
    if bounds is BOX:
        assert sums([4.0, 0.7]) == sums([1.0, 0.7])
    else:
        assert sums(middle + np.array([6.0, 8.0])) == sums(middle + np.array([1.2, 1.6]))


# ---- what a release is ---------------------------------------------------------------------------------------------


def test_the_release_follows_the_rounds():
    """Whitening matrices are recomputed from the transcript: the same as the ones that the rounds used."""
    structure = blueprint(BOX, method="capped", expected_rows=500)
    plan, X = structure.plan(neighbors="add-remove", **GAUSSIAN), np.random.default_rng(8).random((500, 2))
    seen = []

    class Watched(type(structure.seal(X))):
        def sum(self, row_map, public, **options):
            seen.append(public["whitening"].copy())
            return super().sum(row_map, public, **options)

    with SeededNoise(1):
        transcript = door.run(plan, Watched(len(X), *structure.seal(X)._open()))
    r = plans.recipe(structure, plan.cost, "add-remove")
    again, asking = [], passes.passes(r, plan)
    request = next(asking)
    while True:
        again.append(request.public["whitening"])
        try:
            request = asking.send(transcript)
        except StopIteration:
            break
    assert len(seen) == len(again) == 1 + len(plans.WHITENING) + len(plans.CAPPED) + 1 - 1
    assert all(map(np.array_equal, seen, again))


def test_nothing_else_is_told():
    X = np.random.default_rng(9).random((100, 2))
    with ZeroNoise():
        private = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(blueprint(BOX).summarize(X), share=1)
    told = {name for name in dir(private) if not name.startswith("_")}
    assert told == {
        *("structure", "transcript", "receipt", "save"),
        *("center", "matrix", "radii", "axes", "log_volume", "volume", "count", "method", "nu", "eta"),
        *("query", "score", "contains", "error", "coverage_error", "whiten", "polar", "sample"),
    }


def test_noise_is_added_to_exact_sums_of_the_noised_history():
    structure, X = blueprint(BOX, method="capped", expected_rows=300), np.random.default_rng(10).random((300, 2))
    plan = structure.plan(neighbors="add-remove", **GAUSSIAN)
    with SeededNoise(5):
        history = door.run(plan, structure.summarize(X)._open())
    exact = statistics(plan, X, transcript=history)
    with ReplayNoise({name: history[name] - exact[name] for name in exact}):
        assert all(np.array_equal(v, history[k]) for k, v in door.run(plan, structure.summarize(X)._open()).items())


# ---- plans ---------------------------------------------------------------------------------------------------------


def test_the_plan_says_what_it_will_do():
    good = dps.JohnEllipsoid(dps.Ball(1.0, dim=5), expected_rows=10_000).plan(neighbors="add-remove", **GAUSSIAN)
    assert "method: capped, nu = 0.15, 3 whitening and 8 capped rounds" in str(good)
    poor = dps.JohnEllipsoid(dps.Ball(1.0, dim=5), expected_rows=1_000).plan(neighbors="add-remove", **GAUSSIAN)
    assert "warning: fell back" in str(poor)
    least = int(str(poor).split("expected_rows >= ")[1].split()[0])
    for rows, capped in ((least, True), (least - 1, False)):
        structure = dps.JohnEllipsoid(dps.Ball(1.0, dim=5), expected_rows=rows)
        assert plans.recipe(structure, poor.cost, "add-remove").capped is capped
    asked = dps.JohnEllipsoid(dps.Ball(1.0, dim=5), expected_rows=1_000, method="second-moment")
    assert "warning" not in str(asked.plan(neighbors="add-remove", **GAUSSIAN))
    pure = dps.JohnEllipsoid(dps.Ball(1.0, dim=5), expected_rows=100).plan(neighbors="add-remove", **LAPLACE)
    assert "drowns" in str(pure)


def test_noise_does_not_depend_on_the_guess():
    scales = [
        [
            line.scales
            for _, line in blueprint(BOX, method="capped", expected_rows=rows)
            .plan(neighbors="add-remove", **GAUSSIAN)
            .lines.values()
        ]
        for rows in (10, 10**6)
    ]
    assert scales[0] == scales[1]


def test_known_noise_scales():
    """At epsilon 1 and delta 1e-6, in units of the largest contribution."""
    structure = dps.JohnEllipsoid(BOX, expected_rows=10_000)
    plan = structure.plan(neighbors="add-remove", **GAUSSIAN)
    assert plan.scale("whitening1_diagonal")[0] / 2.0**32 == pytest.approx(15.13, abs=0.01)
    assert plan.scale("capped8_count")[0] / 2.0**32 == pytest.approx(16.17, abs=0.01)
    assert plan.scale("tail")[0] / 2.0**30 == pytest.approx(18.354, abs=0.001)
    r = plans.recipe(structure, plan.cost, "add-remove")
    assert r.count_error(plan) == pytest.approx(29.1, abs=0.1)


@pytest.mark.parametrize("cost", [{"cost": dps.GDP(1e-6)}, {"cost": dps.GDP(60.0)}, {"epsilon": 1e-9}, {"epsilon": 99}])
@pytest.mark.parametrize("neighbors", ["add-remove", dps.RowsWithin(0.01)], ids=str)
def test_extreme_prices_have_a_plan(cost, neighbors):
    for method in ("auto", "capped") if "cost" in cost else ("auto",):
        plan = blueprint(dps.Ball(1.0, dim=30), method=method).plan(neighbors=neighbors, **cost)
        assert math.isfinite(plan.error)


def test_an_error_can_be_asked_for():
    structure = dps.JohnEllipsoid(dps.Ball(1.0, dim=3), expected_rows=10_000)
    plan = structure.plan(error=0.005, delta=1e-6, neighbors="add-remove")
    assert 0.004 < plan.error <= 0.005


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("coverage", {"coverage": 1.0}),
        ("coverage", {"coverage": "most"}),
        ("expected_rows", {"expected_rows": 0}),
        ("expected_rows", {"expected_rows": 1 << 29}),
        ("nu", {"nu": 0.0}),
        ("nu", {"nu": "least"}),
        ("method", {"method": "exact"}),
        ("resolution", {"resolution": 0.2}),
        ("quantile", {"quantile": 0.5}),
        ("beta", {"beta": 0.7}),
        ("max_rows", {"max_rows": 1 << 33}),
        ("center", {"center": 1}),
        ("bounds", {"bounds": dps.Box(0, 1)}),
        ("bounds", {"bounds": [0, 1]}),
    ],
)
def test_wrong_parameters_are_named(argument, options):
    with pytest.raises(dps.InvalidParameter, match=f"^{argument}"):
        dps.JohnEllipsoid(**{"bounds": BOX, "expected_rows": 10, **options})


def test_capped_rounds_need_a_delta():
    with pytest.raises(dps.InvalidParameter, match="method"):
        blueprint(BOX, method="capped").plan(neighbors="add-remove", **LAPLACE)
    with pytest.raises(dps.InvalidParameter, match="device"):
        blueprint(BOX).summarize(np.zeros((1, 2)), device="abacus")
