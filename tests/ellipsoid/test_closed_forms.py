"""Ellipsoids that are known in closed form, or from a general convex solver."""

import itertools

import numpy as np
import pytest
from oracle import ellipsoid as oracle

from dpstruct import ellipsoid

EXACT = {"rel": 1e-7, "abs": 1e-7}


def approx(value):
    return pytest.approx(np.asarray(value, dtype=float), **EXACT)


@pytest.mark.parametrize("d", [1, 2, 5, 20])
def test_the_cross_polytope_gives_balls(d):
    A = np.vstack([np.eye(d), -np.eye(d)])
    around, inside = ellipsoid.solve(A, center=False, tol=1e-9), ellipsoid.john(A, tol=1e-9)
    assert around.matrix == approx(np.eye(d))
    assert inside.matrix == approx(np.eye(d)), "the unit ball touches all faces of the cube"
    assert around.log_det == approx(-d * np.log(d))


@pytest.mark.parametrize("w", [[2.0, 0.5], [1.0, 3.0, 10.0, 0.01]])
def test_corners_of_a_box(w):
    w = np.array(w)
    A = np.array(list(itertools.product(*zip(-w, w))))
    for center in (True, False):
        around = ellipsoid.mvee(A, center=center, tol=1e-9)
        assert np.sort(around.axes[0]) == approx(np.sort(w) * np.sqrt(len(w)))
        assert around.center == approx(np.zeros(len(w)))
    assert np.linalg.slogdet(around.matrix)[1] == approx(-np.log(len(w) * w**2).sum())


def test_triangle():
    around = ellipsoid.mvee([[0, 0], [1, 0], [0, 1]], tol=1e-9)
    assert around.center == approx([1 / 3, 1 / 3])
    assert np.exp(around.log_volume) == approx(2 * np.pi / (3 * np.sqrt(3)))
    assert around.weights == approx([1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_regular_simplex_has_its_circumscribed_ball(d):
    corners = np.eye(d + 1) - 1 / (d + 1)
    plane = np.linalg.svd(corners)[2][:d]
    X = corners @ plane.T + 5
    around = ellipsoid.mvee(X, tol=1e-9)
    assert around.center == approx(np.full(d, 5.0))
    assert around.axes[0] == approx(np.full(d, np.linalg.norm(corners[0])))


@pytest.mark.parametrize(("t2", "weight", "det"), [(0.8, 0, 0.25), (2, 1 / 3, 1 / 3), (3, 0.4, 0.45)])
def test_three_rows_in_the_plane(t2, weight, det):
    A = np.array([[1, 0], [0, 1], np.sqrt(t2 / 2) * np.ones(2)])
    for found in (ellipsoid.mvee(A, center=False, tol=1e-10), ellipsoid.john(A, tol=1e-10)):
        assert found.weights[2] == approx(weight)
        assert np.exp(found.log_det) == approx(det)


@pytest.mark.parametrize(("nu", "m"), [(0.1, 0.5), (0.2, 0.5), (0.5, 0.2), (1, 0.1)])
def test_capped_with_copies(nu, m):
    A = np.repeat(np.eye(2), [90, 10], axis=0)
    found = ellipsoid.capped(A, nu=nu, coverage=0.5, center=False, tol=1e-9)
    seen = oracle.moment(A, found.weights)
    assert seen == approx(np.diag([1 - m, m]))
    assert found.weights.max() <= 1 / (nu * 100) * (1 + 1e-9)


def test_reference_value_of_a_normal_sample():
    A = np.random.default_rng(7).standard_normal((2000, 5))
    for found in (ellipsoid.mvee(A, center=False, tol=1e-8), ellipsoid.john(A, tol=1e-8)):
        assert found.log_det == pytest.approx(6.3046677, abs=1e-7)
        assert len(found.support) == 12


@pytest.mark.parametrize(
    ("nu", "log_det", "coverage"), [(0.5, 1.03365, 0.81), (0.2, 2.0693931, 0.91666667), (0.1, 2.6610484, 0.95)]
)
def test_reference_values_of_capped_designs(nu, log_det, coverage):
    A = np.random.default_rng(7).standard_normal((300, 3))
    found = ellipsoid.capped(A, nu=nu, center=False, tol=1e-9)
    assert found.log_det == pytest.approx(log_det, abs=1e-7)
    h = oracle.leverages(A, oracle.moment(A, found.weights))
    assert oracle.cvar(h, nu) == pytest.approx(3, abs=1e-7)
    assert np.mean(h <= 3) == pytest.approx(coverage, abs=1e-8)


def test_nu_of_one_is_the_second_moment():
    X = np.random.default_rng(1).standard_normal((50, 3))
    found = ellipsoid.capped(X, nu=1, coverage=0.9)
    shape = np.linalg.inv(found.matrix)
    assert shape / np.trace(shape) == approx(np.cov(X.T) / np.trace(np.cov(X.T)))
    assert found.center == approx(X.mean(axis=0))


def test_tiny_nu_is_the_ellipsoid_of_all_rows():
    X = np.random.default_rng(2).standard_normal((60, 3))
    whole = ellipsoid.mvee(X, tol=1e-9)
    for nu in (1 / 60, 1e-6):
        assert ellipsoid.capped(X, nu=nu, coverage=1, tol=1e-9).matrix == approx(whole.matrix)
