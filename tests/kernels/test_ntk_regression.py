"""The kernels of NTK regression against plain NumPy, at the edges of their promises."""

import math

import numpy as np
import pytest
from oracle import ntk_regression as oracle

from dpstruct.kernels import ntk_regression as kernels

UNIT = kernels.UNIT


def lengths(rows):
    return (rows.astype(np.int64) ** 2).sum(axis=1)


@pytest.mark.parametrize("width", [1, 3, 4, 9, 300])
def test_unit_rows_are_truncated_directions(width):
    rows = np.random.default_rng(width).standard_normal((400, width)) * 10.0 ** np.arange(-200, 200)[:, None] ** 1.0
    expected = rows / np.abs(rows).max(axis=1, keepdims=True)
    expected = np.trunc(expected / np.linalg.norm(expected, axis=1, keepdims=True) * oracle.SHRINK)
    fine = (np.abs(rows).max(axis=1) < 1e140) & (np.abs(rows).max(axis=1) > 1e-140)
    found = rows.copy()
    kernels.unit_rows(found)
    assert np.abs(found - expected)[fine].max() <= 1  # a quotient next to an integer
    assert (lengths(found) <= UNIT**2).all()
    assert np.array_equal(found, np.rint(found))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308])
def test_a_row_that_has_no_direction_is_zero(bad):
    rows = np.array([[1.0, bad, 2.0], [0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    kernels.unit_rows(rows)
    assert rows[:2].tolist() == [[0.0] * 3] * 2
    assert rows[2].tolist() == [math.trunc(0.6 * oracle.SHRINK), 0.0, math.trunc(0.8 * oracle.SHRINK)]


def test_centred_rows_forget_their_length():
    rows, center = np.random.default_rng(0).standard_normal((50, 7)) * UNIT, np.linspace(-1, 1, 7) * UNIT
    expected = rows - center
    found = rows.copy()
    kernels.centred_rows(found, center)
    kernels.unit_rows(expected)
    assert np.array_equal(found, expected)


def exponential(x):
    """Softmax of two scores x apart gives e**x / (1 + e**x)."""
    scores = np.array([[0.0, x]])
    kernels.residual_rows(scores, np.array([0], np.int16), kernels.SOFTMAX, 2.0)
    return scores[0, 1] / UNIT * 2.0


def test_the_exponential_function():
    for x in np.concatenate([-np.logspace(-12, 1, 60), [0.0, -0.34657359, -54.9, -55.1, -800.0]]):
        expected = math.exp(x) / (1 + math.exp(x))
        assert abs(exponential(x) - expected) <= 2 * 1.01 / UNIT
    body = kernels._exp.py_func
    for x in -np.logspace(-8, math.log10(54), 300):
        assert abs(body(x) / math.exp(x) - 1) < 5e-15
    assert body(-60.0) == 0
    assert body(0.0) == 1


@pytest.mark.parametrize("kind", [kernels.NORMAL, kernels.SOFTMAX, kernels.ONE_HOT])
@pytest.mark.parametrize("clip", [0.1, 0.5, 3.0])
def test_residuals_are_those_of_the_definition(kind, clip):
    random, k = np.random.default_rng(kind), 1 if kind == kernels.NORMAL else 5
    scores = random.standard_normal((500, k)) * random.choice([1e-3, 1.0, 30.0, 1e4], (500, 1))
    y = random.integers(-UNIT + 1, UNIT, 500) if kind == kernels.NORMAL else random.integers(-1, k + 1, 500)
    found = scores.copy()
    kernels.residual_rows(found, y.astype(np.int16), kind, clip)
    assert np.abs(found - oracle.residuals(scores, y, kind, clip) * oracle.SHRINK).max() <= 1.001
    assert (lengths(found) <= UNIT**2).all()
    assert np.array_equal(found, np.rint(found))
    if kind != kernels.NORMAL:
        assert (found[(y < 0) | (y >= k)] == 0).all()


@pytest.mark.parametrize("kind", [kernels.NORMAL, kernels.SOFTMAX, kernels.ONE_HOT])
def test_scores_that_are_not_finite_teach_nothing(kind):
    k = 1 if kind == kernels.NORMAL else 3
    scores = np.array([[np.nan] * k, [np.inf] * k, [-np.inf] * k, [1e308] * k])
    scores[:3, 1:] = 0.0
    kernels.residual_rows(scores, np.zeros(4, np.int16), kind, 0.5)
    assert np.isfinite(scores).all()
    assert (lengths(scores) <= UNIT**2).all()
    assert (scores[0] == 0).all()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_recursion(depth):
    u = np.concatenate([np.linspace(-1, 1, 1001), [1 + 1e-15, -1 - 1e-15, 1 - 1e-16]])
    found = u.copy()
    kernels.recursion(found, depth)
    assert np.abs(found - oracle.theta(u, depth)).max() < 1e-8
