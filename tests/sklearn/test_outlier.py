"""EllipticEnvelope: scikit-learn's own checks, the budget, and what it finds."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import check_estimator

import dpstruct as dps
from dpstruct.sklearn import EllipticEnvelope

BOX = dps.Box(-30, 30)
#: What an estimator that spends a budget can not do, and why.
EXPECTED = {
    "check_estimators_empty_data_messages": "the number of rows is private: no rows are fitted like others",
    "check_dtype_object": "a cell that is no number is a value like others: an error would tell of it",
    "check_outliers_train": "the exact number of training outliers is private",
    "check_outliers_fit_predict": "every fit draws fresh noise",
    "check_fit_idempotent": "every fit draws fresh noise",
    "check_classifier_data_not_an_array": "every fit draws fresh noise",
}


def budget(neighbors="add-remove", epsilon=1.0):
    return dps.Budget(epsilon, 1e-6, neighbors=neighbors)


def envelope(spent=None, **options):
    return EllipticEnvelope(spent or budget(), **{"share": 0.5, "bounds": BOX, "expected_rows": 5000, **options})


def test_passes_the_checks_of_scikit_learn(tmp_path):
    book = dps.Ledger(tmp_path / "book.db").budget("checks", epsilon=60.0, delta=1e-6, neighbors="add-remove")
    estimator = envelope(book, share=1e-3, expected_rows=300, method="second-moment")
    results = check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None, on_skip=None)
    assert {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"} == {}
    certain = {"check_estimators_empty_data_messages", "check_dtype_object"}  # noise may pass the others by chance
    assert {r["check_name"] for r in results if r["status"] == "xfail"} >= certain
    assert sum(r["status"] == "passed" for r in results) >= 35


def rows(n=5000):
    return np.random.default_rng(0).standard_normal((n, 3)) * [3.0, 1.0, 0.2] + [5.0, 0.0, 1.0]


def test_finds_outliers_and_the_shape():
    X = rows()
    found = envelope(share=1, contamination=0.05).fit(X)
    assert abs((found.predict(X) == -1).mean() - 0.05) < 0.02
    assert found.location_ == pytest.approx([5, 0, 1], abs=1.5)
    assert found.predict([[5, 0, 1], [5, 0, 4], [5, 9, 1]]).tolist() == [1, -1, -1]
    assert found.decision_function(X) == pytest.approx(1 - found.mahalanobis(X))
    assert np.array_equal(found.score_samples(X) - found.offset_, found.decision_function(X))
    assert np.array_equal(found.predict(X) == 1, found.ellipsoid_.contains(X))
    assert found.covariance_ @ found.precision_ == pytest.approx(np.eye(3), abs=1e-6)
    assert found.ellipsoid_.receipt.neighbors == "add-remove"


def test_one_fit_spends_its_price_and_answers_are_free():
    spent = budget()
    found = envelope(spent, share=0.25).fit(rows(500))
    found.predict(rows(500))
    assert spent.spent == 0.25
    envelope(spent, share=None, epsilon=0.3).fit(rows(500))
    assert 0.25 < spent.spent < 0.5


def test_a_clone_spends_from_the_same_budget():
    spent = budget()
    search = GridSearchCV(envelope(spent, share=0.3), {"contamination": [0.1, 0.2]}, cv=2, scoring=lambda e, X: 0.0)
    with pytest.raises(dps.BudgetExceeded):
        search.set_params(error_score="raise").fit(rows(500))
    assert spent.spent == 0.9
    assert clone(envelope(spent)).budget is spent


def test_values_never_raise():
    X = rows(300)
    X[3], X[4, 1], X[5] = np.nan, -np.inf, 1e300
    found = envelope(method="second-moment").fit(X)
    assert found.predict([[np.nan, 0, 0], [np.inf, 0, 0]]).tolist() == [-1, -1]
    assert np.isfinite(envelope().fit(X[:0]).location_).all()


def test_the_middle_of_the_bounds_as_the_centre():
    found = envelope(assume_centered=True, bounds=dps.Ball(30.0)).fit(rows(500))
    assert found.location_.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("budget", {"budget": None}),
        ("budget", {"budget": 1.0}),
        ("epsilon, share", {"share": None}),
        ("epsilon, share", {"epsilon": 0.1}),
        ("bounds", {"bounds": None}),
        ("bounds", {"bounds": dps.Box(0, 1, dim=2)}),
        ("expected_rows", {"expected_rows": None}),
        ("contamination", {"contamination": 0.6}),
        ("contamination", {"contamination": "auto"}),
    ],
)
def test_what_is_missing_is_named(argument, options):
    spent = budget()
    with pytest.raises(dps.InvalidParameter, match=f"^{argument}"):
        envelope(spent).set_params(**options).fit(rows(50))
    assert spent.spent == 0


def test_the_number_of_rows_is_taken_where_it_is_public():
    found = envelope(budget("substitute"), expected_rows=None).fit(rows(400))
    assert found.ellipsoid_.structure.expected_rows == 400
