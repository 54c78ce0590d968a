"""A user's own feature map: what it warns of, raises or returns for one record tells nothing and changes no other."""

import warnings

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.testing import ZeroNoise

X = np.linspace(0.05, 0.95, 20).reshape(-1, 2)
WHOLE = np.array([0.5, 0.5, 0.5])


def sometimes(bad):
    """Return a map to `WHOLE`, and to ``bad()`` for records on the right."""
    return lambda x: bad() if x[0] > 0.6 else WHOLE


def sums(kernel, rows=X):
    blueprint = dps.KernelDensity(kernel, bounds=dps.Box(0, 1, dim=2))
    with ZeroNoise():
        release = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(blueprint.summarize(rows), share=1)
    return release.transcript["sums"], release.query(rows)


def complaint(value=WHOLE):
    warnings.warn(f"secret {X[-1, 0]}", RuntimeWarning, stacklevel=1)
    return value


def numpy_warning():
    return np.array([0.0, 0.5, 0.5]) + np.log(np.float64(0.0)) * 0.0


def refusal():
    raise ValueError("secret")


@pytest.mark.parametrize("action", ["error", "always", "ignore"])
@pytest.mark.parametrize("bad", [complaint, numpy_warning, lambda: WHOLE + 1j, lambda: [1, 2]])
def test_no_filter_of_warnings_changes_a_record(action, bad):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = sums(sometimes(bad))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter(action)
        found = sums(sometimes(bad))
    assert told == []
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_a_record_whose_map_warns_counts():
    found, _ = sums(sometimes(complaint))
    expected, _ = sums(lambda x: WHOLE)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "bad",
    [
        lambda: WHOLE + 0j,
        lambda: [0.5, 0.5 + 1j, 0.5],
        lambda: WHOLE[:2],
        lambda: np.ones((1, 3)),
        lambda: 0.5,
        lambda: None,
        lambda: ["0.5"] * 3,
        lambda: np.array([0.5] * 3, object),
        lambda: [[0.5], [0.5, 0.5], 0.5],
        refusal,
    ],
    ids=["complex", "one complex", "short", "matrix", "number", "none", "text", "objects", "ragged", "error"],
)
def test_what_is_no_real_vector_is_no_record(bad):
    found, answers = sums(sometimes(bad))
    expected, others = sums(lambda x: WHOLE, X[X[:, 0] <= 0.6])
    assert np.array_equal(found, expected)
    assert np.array_equal(answers[X[:, 0] <= 0.6], others)
    assert (answers[X[:, 0] > 0.6] == 0).all()


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float32, np.longdouble])
def test_every_real_dtype_is_taken(dtype):
    value = np.array([1, 0, 0], dtype)
    found, _ = sums(lambda x: value)
    assert found.tolist() == [len(X) * 2**30, 0, 0]
