"""KDEClassifier: scikit-learn's own checks, the budget, and digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

import dpstruct as dps
from dpstruct.sklearn import KDEClassifier, price

#: What an estimator that spends a budget can not do, and why.
EXPECTED = {
    "check_estimators_empty_data_messages": "the number of rows is private: no rows are fitted like others",
    "check_dtype_object": "a cell that is no number is a value like others: an error would tell of it",
    "check_supervised_y_no_nan": "a target that is not finite is a value like others: an error would tell of it",
    "check_fit_idempotent": "every fit draws fresh noise",
    "check_supervised_y_2d": "every fit draws fresh noise",
    "check_classifier_data_not_an_array": "every fit draws fresh noise",
}


def budget(epsilon=1.0):
    return dps.Budget(epsilon, 1e-6, neighbors="add-remove")


def test_passes_the_checks_of_scikit_learn(tmp_path):
    book = dps.Ledger(tmp_path / "book.db").budget("checks", epsilon=1500.0, delta=1e-6, neighbors="add-remove")
    options = {"bounds": dps.Box(-5, 5), "classes": "y", "n_features": 64, "expected_rows": 100}
    estimator = KDEClassifier(book, share=0.02, method="features", **options)
    results = check_estimator(estimator, expected_failed_checks=EXPECTED, on_fail=None, on_skip=None)
    assert {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"} == {}
    assert sum(r["status"] == "passed" for r in results) > 40


def test_digits_by_similarity_and_what_folds_cost():
    X, y = load_digits(return_X_y=True)
    spent = budget(12.0)
    options = {"bounds": dps.Box(0, 16), "classes": range(10), "bandwidth": 16.0, "n_features": 512}
    model = KDEClassifier(spent, share=0.25, expected_rows=1500, **options)
    told = price(model, fits=3)
    scores = cross_val_score(model, X, y, cv=3)
    assert told.fits
    assert spent.spent == pytest.approx(0.75)
    assert told.cost.units == pytest.approx(0.75 * spent.total.units)
    assert min(scores) > 0.8  # 0.1 by chance
    fitted = model.fit(X, y)
    chances = fitted.predict_proba(X[:50])
    assert np.allclose(chances.sum(axis=1), 1)
    assert (fitted.classes_[chances.argmax(axis=1)] == fitted.predict(X[:50])).all()
    with pytest.raises(dps.BudgetExceeded):
        model.fit(X, y)


def test_labels_are_never_taken_from_the_data_unasked():
    model = KDEClassifier(budget(), share=1, bounds=dps.Box(0, 1), expected_rows=10)
    with pytest.raises(TypeError, match="classes"):
        model.fit([[0.0], [1.0]], [0, 1])
