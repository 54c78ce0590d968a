"""NTKRegressor and NTKClassifier: scikit-learn's own checks, searches that spend from one budget, and their price."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, RandomizedSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

import dpstruct as dps
from dpstruct.sklearn import NTKClassifier, NTKRegressor, price

BOX = dps.Box(-10, 10)
#: What an estimator that spends a budget can not do, and why.
FRESH = "every fit draws fresh noise, so that two fits never agree"
EXPECTED = {
    "check_estimators_empty_data_messages": "the number of rows is private: no rows are fitted like others",
    "check_dtype_object": "a cell that is no number is a value like others: an error would tell of it",
    "check_supervised_y_no_nan": "a target that is not finite is a value like others: an error would tell of it",
    "check_fit_idempotent": FRESH,
    "check_supervised_y_2d": FRESH,
    "check_regressors_int": FRESH,
    "check_regressor_data_not_an_array": FRESH,
    "check_classifier_data_not_an_array": FRESH,
}


def budget(epsilon=1.0, neighbors="add-remove"):
    return dps.Budget(epsilon, 1e-6, neighbors=neighbors)


def regressor(spent, **options):
    settings = {"share": 0.1, "bounds": BOX, "target": (-3, 3), "expected_rows": 500, "n_features": 40}
    return NTKRegressor(spent, **{**settings, **options})


def classifier(spent, **options):
    settings = {"share": 0.1, "bounds": BOX, "classes": "y", "expected_rows": 500, "n_features": 40, "steps": 30}
    return NTKClassifier(spent, **{**settings, **options})


@pytest.mark.parametrize(
    ("kind", "options"), [(regressor, {"target": (-4, 4), "sphere": "lift"}), (classifier, {"sphere": "lift"})]
)
def test_passes_the_checks_of_scikit_learn(tmp_path, kind, options):
    book = dps.Ledger(tmp_path / "book.db").budget("checks", epsilon=1500.0, delta=1e-6, neighbors="add-remove")
    estimator = kind(book, share=0.02, bounds=dps.Box(-4, 4), expected_rows=200, **options)
    results = check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None, on_skip=None)
    assert {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"} == {}
    assert any(r["status"] == "xfail" for r in results)
    assert sum(r["status"] == "passed" for r in results) >= 40


def data(n=600, seed=0):
    X = np.random.default_rng(seed).uniform(-10, 10, (n, 3))
    return X, 0.2 * X[:, 0] - 0.1 * X[:, 1]


def test_a_search_spends_what_price_says():
    spent, (X, y) = budget(8.0), data()
    search = GridSearchCV(regressor(spent, share=0.05), {"depth": [1, 2], "n_features": [20, 40]}, cv=3)
    told = price(search, scored_on="public")
    assert told.fits
    search.fit(X, y)
    assert spent.spent == pytest.approx(0.05 * 13)
    assert spent.total.units - spent._left().units == told.cost.units
    assert search.best_estimator_.budget is spent
    random = RandomizedSearchCV(
        regressor(spent, share=0.01), {"depth": [1, 2, 3]}, n_iter=2, cv=4, refit=False, random_state=0
    )
    assert price(random, scored_on="public").cost.units == pytest.approx(8 * 0.01 * spent.total.units)
    assert not price(GridSearchCV(regressor(spent, share=0.1), {"depth": [1, 2]}, cv=3), scored_on="public").fits


def test_candidates_of_several_prices():
    spent = budget(8.0)
    search = GridSearchCV(regressor(spent), {"share": [0.01, 0.03]}, cv=KFold(2))
    assert price(search, scored_on="public").cost.units == pytest.approx((2 * 0.04 + 0.03) * spent.total.units)
    pipeline = make_pipeline(FunctionTransformer(), regressor(spent, share=0.02))
    assert price(pipeline).cost.units == pytest.approx(0.02 * spent.total.units)
    search = GridSearchCV(pipeline, {"ntkregressor__depth": [1, 2]}, cv=5, refit=False)
    assert price(search, scored_on="public").cost.units == pytest.approx(0.2 * spent.total.units)


def test_cross_validation_spends_every_fit():
    spent, (X, y) = budget(8.0), data()
    estimator = classifier(spent, share=0.04, classes=[-1, 1])
    told = price(estimator, fits=4)
    scores = cross_val_score(estimator, X, np.sign(y).astype(int), cv=4)
    assert spent.total.units - spent._left().units == told.cost.units
    assert spent.spent == pytest.approx(0.16)
    assert scores.mean() > 0.6


def test_a_search_stops_when_the_budget_is_spent():
    spent, (X, y) = budget(), data(60)
    with pytest.raises(dps.BudgetExceeded):
        GridSearchCV(regressor(spent, share=0.3), {"depth": [1, 2]}, cv=2, error_score="raise").fit(X, y)
    assert spent.spent == pytest.approx(0.9)


def test_a_price_needs_private_estimators_and_a_number_of_folds():
    spent = budget()
    with pytest.raises(dps.InvalidType, match="estimator"):
        price(FunctionTransformer())
    with pytest.raises(dps.InvalidType, match="2 budgets"):
        price(make_pipeline(regressor(spent), regressor(budget())))
    with pytest.raises(dps.InvalidParameter, match="cv"):
        price(GridSearchCV(regressor(spent), {"depth": [1]}, cv=LeaveOneOut()), scored_on="public")
    assert spent.spent == 0


def test_predictions_and_their_noise():
    X, y = data(3000)
    found = regressor(budget(4.0), share=1, expected_rows=3000).fit(X, y)
    assert found.score(X, y) > 0.8
    assert found.prediction_error(X[:5]).shape == (5,)
    labels = np.where(y > 0, "up", "down")
    found = classifier(budget(4.0), share=1, expected_rows=3000, classes=["up", "down"], sphere="lift").fit(X, labels)
    assert found.classes_.tolist() == ["down", "up"]
    assert found.score(X, labels) > 0.8
    chance = found.predict_proba(X)
    assert np.array_equal(found.classes_[chance.argmax(axis=1)], found.predict(X))
    assert np.array_equal(found.decision_function(X) > 0, chance[:, 1] > chance[:, 0])


def test_values_never_raise():
    X, y = data(50)
    X[3], X[4, 1], y[5], y[6] = np.nan, -np.inf, np.nan, np.inf
    spent = budget(8.0)
    assert np.isfinite(regressor(spent).fit(X, y).predict(X)).all()
    assert np.isfinite(classifier(spent, classes=[0, 1]).fit(X, y).predict_proba(X)).all()
    assert np.isfinite(regressor(spent).fit(X[:0], y[:0]).predict(X)).all()


@pytest.mark.parametrize(
    ("kind", "argument", "options"),
    [
        (regressor, "budget", {"budget": None}),
        (regressor, "epsilon, share", {"share": None}),
        (regressor, "bounds", {"bounds": None}),
        (regressor, "target", {"target": None}),
        (regressor, "expected_rows", {"expected_rows": None}),
        (regressor, "n_features", {"n_features": 3}),
        (classifier, "classes", {"classes": None}),
        (classifier, "classes", {"classes": "all"}),
        (classifier, "classes", {"classes": [1]}),
    ],
)
def test_what_is_missing_is_named(kind, argument, options):
    spent, (X, y) = budget(), data(20)
    with pytest.raises(dps.InvalidParameter, match=f"^{argument}"):
        kind(spent).set_params(**options).fit(X, np.sign(y))
    assert spent.spent == 0
