"""No error and no warning of `fit` quotes a value or a number of rows; a bad cell is a value like others."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import cross_val_score

import dpstruct as dps
from dpstruct.sklearn import EllipticEnvelope, KDEClassifier, NTKClassifier, NTKRegressor
from dpstruct.sklearn._arrays import label_column
from dpstruct.testing import ZeroNoise

BOX = dps.Box(-1, 1)
N, SECRET = 7_919, 0.12345678  # a number of rows and a value that no message may hold
KINDS = ("regressor", "ntk", "kde", "envelope")


def estimator(kind, classes=(0, 1), spent=None):
    spent = spent or dps.Budget(50.0, 1e-6, neighbors="add-remove")
    shared = {"share": 0.01, "bounds": BOX, "expected_rows": 500}
    if kind == "regressor":
        return NTKRegressor(spent, target=(-1, 1), n_features=20, **shared)
    if kind == "envelope":
        return EllipticEnvelope(spent, method="second-moment", **shared)
    kind = NTKClassifier if kind == "ntk" else KDEClassifier
    return kind(spent, classes=classes, n_features=20, **shared)


class Hostile:
    """Quotes itself wherever it can."""

    def __array__(self, dtype=None, copy=None):
        raise ValueError(f"secret {SECRET}")

    def __float__(self):
        raise ValueError(f"secret {SECRET}")

    __index__ = __len__ = __hash__ = __float__

    def __eq__(self, other):
        raise ValueError(f"secret {SECRET}")


def rows():
    return np.full((N, 2), SECRET)


def labels():
    return np.arange(N) % 2


#: Types and shapes that are refused, by what the message says.
WRONG = {
    "one record": (lambda: (np.full(N, SECRET), labels()), "Reshape your data"),
    "a number": (lambda: (SECRET, labels()), "0 dimensions"),
    "three dimensions": (lambda: (np.full((N, 2, 2), SECRET), labels()), "3 dimensions"),
    "no features": (lambda: (rows()[:, :0], labels()), "0 features"),
    "complex": (lambda: (rows() * 1j, labels()), "Complex data not supported"),
    "text array": (lambda: (np.full((N, 2), f"{SECRET}"), labels()), "dtype str_"),
    "bytes array": (lambda: (np.full((N, 2), b"0.12345678"), labels()), "dtype bytes_"),
    "text": (lambda: (f"{SECRET}", labels()), "dtype str_"),
    "dates": (lambda: (rows().view("M8[s]"), labels()), "dtype datetime64"),
    "records": (lambda: (np.zeros(N, [(f"{SECRET}", float)]), labels()), "dtype void"),
    "ragged": (lambda: ([[SECRET]] * N + [[SECRET, SECRET]], labels()), "rows of several lengths"),
    "dictionaries": (lambda: ([{"salary": SECRET}] * N, labels()), "dimensions"),
    "sparse": (lambda: (csr_array(rows()), labels()), "sparse"),
    "hostile": (lambda: (Hostile(), labels()), "a Hostile"),
}
#: The same for targets; `None` where an estimator takes them.
WRONG_TARGETS = {
    "too few": (lambda: labels()[:-3], "different lengths"),
    "too many": (lambda: np.arange(N + 3) % 2, "different lengths"),
    "two columns": (lambda: np.full((N, 2), SECRET), "2 dimensions"),
    "two columns of a list": (lambda: [[SECRET, 1]] * N, "2 dimensions"),
    "a number": (lambda: SECRET, "0 dimensions"),
    "complex": (lambda: labels() * 1j, "Complex data not supported"),
    "dates": (lambda: labels().view("M8[s]"), "dtype datetime64"),
    "text array": (lambda: np.full(N, f"salary={SECRET}"), "dtype str_"),
    "hostile": (lambda: Hostile(), "a Hostile"),
}


def refusal(kind, X, y):
    model = estimator(kind)
    with pytest.raises(ValueError) as told:
        model.fit(X, y)
    assert model.budget.spent == 0
    return told.value


def quoted(error):
    """Return all that an exception and those it was raised from hold."""
    said = []
    while error is not None:
        said += [str(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return " ".join(said)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", WRONG)
def test_refusals_of_rows_tell_types_and_shapes_alone(kind, case):
    make, text = WRONG[case]
    said = quoted(refusal(kind, *make()))
    assert text in said
    assert "12345" not in said
    assert "0.1" not in said
    assert str(N) not in said
    assert str(N + 1) not in said


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize("case", WRONG_TARGETS)
def test_refusals_of_targets_tell_types_and_shapes_alone(kind, case):
    make, text = WRONG_TARGETS[case]
    said = quoted(refusal(kind, rows(), make()))
    assert text in said
    assert "12345" not in said
    assert all(str(N + k) not in said for k in (-3, 0, 3))


#: Cells that are no numbers: as if they were NaN.
BAD = ("SECRET", b"1", None, {"a": 1}, [1.0, 2.0], 1 + 2j, np.complex64(1j), np.ones(1), 10**400, Hostile(), "0.5")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_cell_is_a_value_like_others(kind):
    y = labels()[: len(BAD)]
    table = np.empty((len(BAD), 2), object)
    table[:, 1] = 0.5
    for i, cell in enumerate(BAD):
        table[i, 0] = cell
    plain = np.column_stack([np.full(len(BAD), np.nan), np.full(len(BAD), 0.5)])
    seen = []
    for X in (table, [list(row) for row in table], np.ma.masked_invalid(plain), plain):
        with ZeroNoise():
            model = estimator(kind).fit(X, y)
        assert model.predict(X).shape == (len(BAD),)
        seen.append(model.predict([[0.1, 0.2], [-0.5, 0.5]]))
        released = model.ellipsoid_ if kind == "envelope" else model.densities_ if kind == "kde" else model.private_
        seen[-1] = (seen[-1].tolist(), released.query([[0.1, 0.2], [-0.5, 0.5]]).tolist())
    assert all(found == seen[-1] for found in seen)


def test_a_bad_target_is_a_value_like_others():
    X = np.linspace(-1, 1, 2 * (len(BAD) + 1)).reshape(-1, 2)
    y = np.fromiter([*BAD, 1], dtype=object)
    seen = []
    for targets in (y, list(y), np.r_[np.full(len(BAD), np.nan), 1.0]):
        with ZeroNoise():
            seen.append(estimator("regressor").fit(X, targets).predict(X).tolist())
            estimator("ntk").fit(X, targets)
            estimator("kde").fit(X, targets)
            estimator("ntk", classes=["no", "yes"]).fit(X, y)
    assert seen[0] == seen[1] == seen[2]


def test_no_cell_of_a_list_changes_another():
    X = np.linspace(-1, 1, 8).reshape(-1, 2)
    seen = []
    for y in ([0, 1, 1, 2], [0, 1, 1, "2"], [0, 1.0, True, None]):
        with ZeroNoise():
            seen.append(estimator("kde").fit(X, y).densities_.query(X).tolist())
    assert seen[0] == seen[1] == seen[2]
    assert np.array(seen[0])[:, 1].min() > 0  # the ones were found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_values_out_of_range_do_not_warn(kind):
    extremes = [1e308, -1e308, np.inf, np.nan, 5e-324, 2**63, True, Fraction(1, 3)]
    X = np.array([[value, 0.5] for value in extremes], object)
    estimator(kind).fit(X, np.arange(8) % 2)
    estimator(kind).fit(X.astype(np.longdouble) * np.longdouble(10) ** 4000, np.arange(8) % 2)
    estimator(kind).fit(X[:0], [])
    assert estimator(kind).fit(X, np.arange(8) % 2).predict(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize("kind", ["ntk", "kde"])
@pytest.mark.filterwarnings("error")
def test_labels_declared_public_tell_nothing_of_their_number(kind):
    y = np.r_[np.arange(30), [3.0, np.nan, np.inf]]  # more labels than half the records: scikit-learn would warn
    X = np.zeros((33, 2))
    assert estimator(kind, "y").fit(X, y).classes_.tolist() == list(range(30))
    mixed = np.array([1, 0, True, None, [7], np.nan], object)
    assert estimator(kind, "y").fit(X[:6], mixed).classes_.tolist() == [0, 1]
    assert estimator(kind, "y").fit(X[:3], ["a", None, "b"]).classes_.tolist() == ["a", "b"]
    for bad, text in ((["a", 1], "text and numbers"), ([0.5, SECRET], "Unknown label type"), (["a", "a"], "one class")):
        with pytest.raises(ValueError, match=text) as told:
            estimator(kind, "y").fit(X[:2], bad)
        assert "12345" not in quoted(told.value)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_a_column_of_targets_is_taken_with_a_warning(kind):
    with pytest.warns(DataConversionWarning, match="column-vector y") as told:
        estimator(kind).fit(rows(), labels()[:, None])
    assert str(N) not in str(told[0].message)
    assert told[0].filename == __file__


def test_masked_targets_are_unknown():
    y = np.ma.array([0, 1, 1, 1], mask=[False, False, True, True])
    X = np.linspace(-1, 1, 8).reshape(-1, 2)
    with ZeroNoise():
        found = estimator("kde").fit(X, y).densities_.query(X)
        known = estimator("kde").fit(X[:2], [0, 1]).densities_.query(X)
        assert np.array_equal(found, known)
        words = np.ma.array(["no", "yes", "yes", "yes"], mask=y.mask)
        for classes in (["no", "yes"], "y"):
            assert np.array_equal(estimator("kde", classes).fit(X, words).densities_.query(X), known)
        assert estimator("regressor").fit(X, y).predict(X).tolist() == (
            estimator("regressor").fit(X, [0, 1, np.nan, np.nan]).predict(X).tolist()
        )


def test_folds_with_bad_cells_are_fitted_and_scored():
    X = np.column_stack([np.linspace(-1, 1, 90), np.zeros(90)]).astype(object)
    X[::7, 1] = "SECRET"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = cross_val_score(estimator("kde"), X, np.arange(90) // 45, cv=3, error_score="raise")
    assert np.isfinite(scores).all()


class Frame:
    """Columns with names, in the way of data frames."""

    def __init__(self, values, columns):
        self.values, self.columns, self.shape = values, columns, values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values


def test_frames_are_read_like_arrays():
    X = np.linspace(-1, 1, 20).reshape(-1, 2).astype(object)
    X[0, 0] = "SECRET"
    y = np.arange(10) % 2
    found = estimator("kde").fit(Frame(X, ["a", "b"]), y)
    assert found.n_features_in_ == 2
    with pytest.raises(ValueError, match="X has 3 features, but KDEClassifier is expecting 2"):
        found.predict(np.zeros((1, 3)))


def test_names_of_columns_are_kept_and_compared():
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"age": [0.1, None, 0.3], "pay": [0.1, 0.2, 0.3]})
    found = estimator("regressor").fit(table, [0, 1, 0])
    assert found.feature_names_in_.tolist() == ["age", "pay"]
    with pytest.raises(ValueError, match="feature names should match"):
        found.predict(table.rename_columns(["pay", "age"]))


def test_a_table_of_one_column_is_read_label_by_label():
    """A missing label must not turn the other integers to floats."""

    class Frame:
        ndim, shape, columns = 2, (3, 1), ["y"]

        def __init__(self, values):
            self.iloc = self
            self.values = values

        def __getitem__(self, at):
            assert at == (slice(None), 0)
            return self.values

    with pytest.warns(DataConversionWarning):
        found = label_column("y", Frame([2**60, 2**60 + 1, None]))
    assert found.tolist() == [2**60, 2**60 + 1, None]
