"""NTKRegression: the conformance suite for both solvers, the worst pairs' price, and bits that nothing changes."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import strategies as st

import dpstruct as dps
from dpstruct.core import door
from dpstruct.features.sphere import STEPS
from dpstruct.structures import _ntk_descent as descent
from dpstruct.testing import ReplayNoise, assert_price, check_structure, records, statistics

GAUSSIAN, LAPLACE = {"epsilon": 1.0, "delta": 2.0**-20}, {"epsilon": 1.0}
BOX, BALL = dps.Box([0, -1], [2, 1]), dps.Ball(1.0, dim=3)
TARGETS = records(dps.Box(-1, 3, dim=1))
LABELS = st.sampled_from([0.0, 1.0, 2.0, 5.0, -1.0, np.nan, np.inf, 1e308])


def regression(**options):
    return dps.NTKRegression(BOX, target=(-1, 3), expected_rows=50, n_features=7, **options)


def classification(**options):
    return dps.NTKRegression(BALL, target=[0, 1, 2], expected_rows=50, **options)


MODELS = {
    "moments": (regression(), TARGETS),
    "moments of classes": (classification(solver="moments", n_features=6, depth=2), LABELS),
    "squared descent": (regression(solver="descent", steps=2, whiten=True, intercept=False), TARGETS),
    "softmax descent": (classification(n_features=6, steps=2, whiten=True, clip=0.125), LABELS),
    "bare descent": (classification(features="linear", loss="squared", steps=2, center=False), LABELS),
}


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize("name", MODELS)
def test_conforms(name, neighbors):
    model, targets = MODELS[name]
    plan = model.plan(neighbors=neighbors, **GAUSSIAN)
    price = check_structure(plan, data=st.tuples(records(model.bounds), targets), examples=10)[1]
    assert 0.2 < price.worst <= 1
    if neighbors == "add-remove":
        assert min(price.bounds) > 0.99


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute", dps.RowsWithin(0.2)], ids=str)
@pytest.mark.parametrize("name", ["moments", "moments of classes"])
def test_conforms_under_pure_dp(name, neighbors):
    model, targets = MODELS[name]
    check_structure(
        model.plan(neighbors=neighbors, **LAPLACE), data=st.tuples(records(model.bounds), targets), examples=10
    )


def test_small_moves_are_charged_as_substitutions():
    model = regression()
    near, far = (model.plan(neighbors=n, **GAUSSIAN) for n in (dps.RowsWithin(0.2), "substitute"))
    assert near.events == far.events


# ---- the worst pairs -------------------------------------------------------------------------------------------------


def on_sphere(*rows):
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize("kappa", [3, Fraction(3, 4), Fraction(1, 4)])
def test_the_joint_price_of_a_substitution_is_reached(monkeypatch, kappa):
    """Rows at inner product -a with one target, a = min(1, 1 / (2 kappa)): linear features reach them."""
    from dpstruct.structures import _ntk_moments as moments

    monkeypatch.setattr(moments, "SHARE", Fraction(kappa) / (1 + Fraction(kappa)))
    model = dps.NTKRegression(
        BALL, target=(-1, 1), expected_rows=9, solver="moments", features="linear", sphere="project"
    )
    plan = model.plan(neighbors="substitute", **GAUSSIAN)
    a = min(1.0, 1 / (2 * float(kappa)))
    first, second = on_sphere([1, 0, 0]), on_sphere([-a, np.sqrt(1 - a * a), 0])
    best = assert_price(plan, ((first, np.ones(1)), (second, np.ones(1))))
    assert 0.999 < best.worst <= 1
    random = np.random.default_rng(0)
    for _ in range(30):
        x, y = random.standard_normal((2, 3)), random.choice([-1.0, 1.0, 0.3], 2)
        assert assert_price(plan, ((x[:1], y[:1]), (x[1:], y[1:]))).worst <= best.worst + Fraction(1, 1000)


def test_the_price_of_a_substitution_in_the_descent_is_reached():
    model = dps.NTKRegression(
        BALL, target=(-1, 1), expected_rows=9, solver="descent", features="linear", sphere="project", steps=1,
        whiten=True, intercept=False,
    )  # fmt: skip
    plan = model.plan(neighbors="substitute", **GAUSSIAN)
    x = on_sphere([1, 0, 0])
    assert assert_price(plan, ((x, np.ones(1)), (-x, np.ones(1)))).bounds[0] > 0.999  # the centre
    assert assert_price(plan, ((x, np.ones(1)), (x[:, ::-1], np.ones(1)))).bounds[1] > 0.2
    assert assert_price(plan, ((x, np.ones(1)), (x, -np.ones(1)))).bounds[2] > 0.999  # a step


def test_a_count_that_no_neighbour_changes_is_nearly_exact():
    model, rows = regression(solver="descent", steps=1), 40
    x, y = np.random.default_rng(0).uniform(-1, 1, (rows, 2)), np.zeros(rows)
    for neighbors, most in (("substitute", 0.5), ("add-remove", np.inf)):
        budget = dps.Budget(1.0, 1e-6, neighbors=neighbors)
        assert abs(budget.release(model.summarize(x, y), share=1)._descent.rows - rows) < most


def test_the_claimed_lengths_hold_at_every_stage():
    """Stored features and residuals stay within the lattice ball whatever was released."""
    random = np.random.default_rng(3)
    model, _ = MODELS["softmax descent"]
    x = np.concatenate([random.standard_normal((40, 3)), np.zeros((2, 3)), np.full((2, 3), np.nan), 1e300 * np.eye(3)])
    rows = model.seal(x, random.integers(-1, 4, len(x)).astype(float))._open()[0]
    for size in (0.0, 1.0, 1e9, 1e150):
        public = {
            **model._map,
            "size": np.array(6),
            "center": random.standard_normal(6) * size,
            "whitener": np.trunc(random.standard_normal((6, 6)) * 2.0**34),
            "intercept": np.array(1),
        }
        store = np.zeros((len(rows), 2))
        descent.advance(rows[:, :-1], public, store)
        assert (descent.held(store, 7).astype(np.int64) ** 2).sum(axis=1).max() <= STEPS**2
        theta = np.trunc(random.standard_normal((3, 7)) * 2.0**35)
        settings = {"kind": np.array(1), "clip": np.array(0.15), "unit": np.array(min(max(size, 1e-9), 1e9) / STEPS)}
        for i in range(len(rows)):
            (change,) = descent.step_sum(
                rows[i : i + 1], {**settings, "theta": theta, "size": np.array(6)}, store[i : i + 1]
            )
            assert sum(int(v) ** 2 for v in change.ravel()) <= STEPS**4


# ---- bits and values -------------------------------------------------------------------------------------------------


def test_a_row_has_the_same_share_in_any_company():
    """Sums over blocks of any size agree under one history: products before a truncation are exact."""
    random = np.random.default_rng(1)
    model = dps.NTKRegression(
        dps.Ball(1.0, dim=40), target=list(range(4)), expected_rows=9, n_features=61, steps=3, whiten=True
    )
    plan = model.plan(neighbors="add-remove", **GAUSSIAN)
    x, y = random.standard_normal((700, 40)), random.integers(0, 4, 700)
    transcript = door.run(plan, model.summarize(x, y)._open())
    whole = statistics(plan, (x, y), transcript=transcript)
    cuts = [0, 1, 2, 5, 60, 61, 400, 700]
    parts = [statistics(plan, (x[a:b], y[a:b]), transcript=transcript) for a, b in pairwise(cuts)]
    for name, array in whole.items():
        assert np.array_equal(sum(part[name] for part in parts), array), name


def test_cancelling_products_are_exact():
    """A whitener that nearly annihilates a row: rounded products would leave other bits alone and in company."""
    random = np.random.default_rng(4)
    for _ in range(40):
        rows = random.integers(-4000, 4000, (300, 61)).astype(np.int16)
        W = np.trunc(random.standard_normal((61, 61)) * 2.0**31)
        f = rows[150].astype(np.float64)
        W = np.rint(W - np.outer(f, f @ W) / (f @ f))
        public = {"linear": np.array(1), "size": np.array(61), "whitener": W}
        raw = {"size": np.array(61), "whitener": W}
        alone, company = np.zeros((1, 16)), np.zeros((300, 16))
        for store, part in ((alone, rows[150:151]), (company, rows)):
            descent.held(store, 61)[:] = part
            descent.advance(part, raw, store)
        assert np.array_equal(descent.held(alone, 61)[0], descent.held(company, 61)[150])
        assert descent.held(alone, 61).any()
        for store, part in ((alone, rows[150:151]), (company, rows)):
            descent.advance(part, public, store)
        assert np.array_equal(descent.held(alone, 61)[0], descent.held(company, 61)[150])


def test_text_labels_are_integer_labels():
    random = np.random.default_rng(2)
    x, names = random.standard_normal((60, 3)), np.array(["cat", "dog", "emu"])
    y = random.integers(0, 3, 60)
    text = dps.NTKRegression(BALL, target=["cat", "dog"], expected_rows=60, n_features=6, solver="moments")
    codes = dps.NTKRegression(BALL, target=[0, 1], expected_rows=60, n_features=6, solver="moments")
    expected = statistics(codes.plan(neighbors="add-remove", **GAUSSIAN), (x, y))
    odd = np.array(
        [names[k] if k < 2 else [None, float("nan"), ["a"], {}, "emu"][i % 5] for i, k in enumerate(y)], object
    )
    for labels in (names[y], names[y].astype(object), names[y].tolist(), odd):
        found = text.summarize(x, labels)._open().sums._open()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_unknown_labels_teach_nothing():
    model, x = classification(solver="moments", n_features=6), np.random.default_rng(0).standard_normal((20, 3))
    plan = model.plan(neighbors="add-remove", **GAUSSIAN)
    assert (statistics(plan, (x, np.full(20, 7.0)))["moments"] == 0).all()
    model = classification(features="linear", steps=1, center=False)
    plan = model.plan(neighbors="add-remove", **GAUSSIAN)
    assert (statistics(plan, (x, np.full(20, np.nan)))["step0"] == 0).all()


def test_the_release_replays_its_rounds():
    """The iterate that queries use is the one that the last round ended with."""
    model, _ = MODELS["squared descent"]
    random = np.random.default_rng(5)
    x, y = random.uniform(-1, 1, (50, 2)), random.uniform(-1, 3, 50)
    budget = dps.Budget(1.0, 2.0**-20, neighbors="add-remove")
    private = budget.release(model.summarize(x, y), share=1)
    plan = model.plan(neighbors="add-remove", cost=private.receipt.cost, delta=2.0**-20)
    exact = statistics(plan, (x, y), transcript=private.transcript)
    noise = {name: private.transcript[name] - exact[name] for name in exact}
    with ReplayNoise(noise):
        again = dps.Budget(1.0, 2.0**-20, neighbors="add-remove").release(model.summarize(x, y), share=1)
    assert again.query(x).tobytes() == private.query(x).tobytes()
