"""ClassDensities: the conformance suite, prices within and across classes, answers, labels of any kind."""

import numpy as np
import pytest
from hypothesis import strategies as st

import dpstruct as dps
from dpstruct.structures import ClassDensities
from dpstruct.testing import assert_price, check_structure, records

LINE = dps.Box(0, 1, dim=1)
FOURIER = dps.KernelDensity(bandwidth=0.2, bounds=LINE, tolerance=0.01)
FEATURES = dps.KernelDensity("laplacian", bandwidth=1.0, bounds=dps.Box(0, 1, dim=2), method="features", n_features=16)
BINNED = dps.KernelDensity(bandwidth=0.3, bounds=LINE, method="binned")


def data(density, labels):
    return st.tuples(records(density.bounds), st.sampled_from(labels).map(np.array))


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize(
    ("density", "cost"),
    [(FOURIER, {"delta": 1e-6}), (FEATURES, {"delta": 1e-6}), (BINNED, {})],
    ids=["fourier", "features", "binned"],
)
def test_conforms(density, cost, neighbors):
    blueprint = ClassDensities(density, classes=[0, 1, 7])
    plan = blueprint.plan(epsilon=1.0, neighbors=neighbors, **cost)
    answers = [0.0] * density.dim, [0.7] * density.dim
    check_structure(
        plan,
        data=data(density, [0, 1, 7, 5]),
        answers=lambda release: [release.query(answers), release.error(answers), release.counts],
        examples=6,
    )


def test_text_labels_conform():
    plan = ClassDensities(FOURIER, classes=["a", "b"]).plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    answers = lambda release: [release.query([[0.0], [0.7]]), release.counts]  # noqa: E731
    check_structure(plan, data=data(FOURIER, ["a", "b", "c"]), answers=answers, examples=4)


def test_a_class_costs_what_a_density_costs_and_no_pair_exceeds_it():
    both = ClassDensities(FOURIER, classes=["a", "b"])
    alone = FOURIER.plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    plan = both.plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    assert plan.error == alone.error
    x, none = np.array([[0.3]]), np.empty((0, 1))
    one = assert_price(plan, ((x, np.array(["b"])), (none, np.array([], "<U1")))).worst
    assert one == assert_price(alone, (x, none)).worst
    moved = both.plan(epsilon=1.0, delta=1e-6, neighbors="substitute")
    prices = [
        assert_price(moved, ((x, np.array([u])), (np.array([[z]]), np.array([v])))).worst
        for z in (0.3, 0.9)
        for u, v in (("a", "a"), ("a", "b"), ("b", "?"))
    ]
    assert max(prices) <= 1
    assert prices[1] > 0.4  # into another class: half of what two opposite records of one class might cost


def test_answers_are_those_of_the_records_of_each_class():
    rng = np.random.default_rng(0)
    X = rng.random((6000, 1)) ** np.repeat([1, 3], 3000)[:, None]
    y = np.repeat(["flat", "low"], 3000)
    private = dps.Budget(8.0, 1e-6, neighbors="add-remove").release(
        ClassDensities(FOURIER, ["flat", "low"]).summarize(X, y), share=1
    )
    Y = np.array([[0.05], [0.5], [0.95], [np.nan]])
    exact = np.stack(
        [np.exp(-((X[y == c] - Y[:3].T) ** 2) / (2 * 0.2**2)).sum(axis=0) for c in private.classes], axis=1
    )
    answers = private.query(Y)
    # 7 standard errors: false alarms below 1e-10; and the tolerance of the series
    assert (np.abs(answers[:3] - exact) < 7 * private.error(Y[:3]) + 0.01 * 3000).all()
    assert np.isnan(answers[3]).all()
    assert private.predict(Y[:3]).tolist() == ["low", "flat", "flat"]
    assert np.abs(private.counts - 3000).max() < 500


def test_labels_that_are_not_public_count_for_nothing():
    blueprint = ClassDensities(FOURIER, classes=[1, 2])
    plan = blueprint.plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    stray = (np.array([[0.5]] * 3), np.array([3.0, np.nan, np.inf]))
    price = assert_price(plan, ((stray[0][:1], stray[1][:1]), (stray[0][:0], stray[1][:0])))
    assert price.worst == 0
    with pytest.raises(dps.InvalidParameter, match="distinct"):
        ClassDensities(FOURIER, classes=[1, 1])
    with pytest.raises(TypeError, match="KernelDensity"):
        ClassDensities("gaussian", classes=[1, 2])
    with pytest.raises(dps.InvalidParameter, match="method"):
        ClassDensities(dps.KernelDensity(bandwidth=0.2, bounds=LINE, method="batch", queries=[[0.5]]), classes=[1, 2])


def test_files_keep_the_nested_blueprint(tmp_path):
    blueprint = ClassDensities(FEATURES, classes=["a", "b"])
    X, y = np.random.default_rng(1).random((50, 2)), np.repeat(["a", "b"], 25)
    private = dps.Budget(1.0, 1e-6, neighbors="substitute").release(blueprint.summarize(X, y), share=1)
    private.save(tmp_path / "x.dps")
    again = dps.load(tmp_path / "x.dps")
    assert again.structure == blueprint
    assert np.array_equal(again.query(X[:5]), private.query(X[:5]))
