"""JohnEllipsoid: what the ellipsoid is worth, and that everything said about it agrees."""

import math

import numpy as np
import pytest
from oracle import john_ellipsoid as oracle

import dpstruct as dps
from dpstruct.testing import ZeroNoise

GAUSSIAN = {"epsilon": 1.0, "delta": 1e-6}


def release(bounds, X, neighbors="add-remove", delta=1e-6, epsilon=1.0, **options):
    structure = dps.JohnEllipsoid(bounds, **{"expected_rows": max(1, len(X)), **options})
    return dps.Budget(epsilon, delta, neighbors=neighbors).release(structure.summarize(X), share=1)


def exact(*args, **options):
    with ZeroNoise():
        return release(*args, **options)


# ---- the shape -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nu", [0.1, 0.15, 0.2])
def test_the_capped_shape_of_two_axes(nu):
    """90 copies of one axis and 10 of the other: M = diag(1 - m, m) with m = min(1/2, 0.1 / nu)."""
    X = np.repeat(np.eye(2), [900, 100], axis=0)
    private = exact(dps.Ball(1.0, dim=2), X, center=False, nu=nu, method="capped", resolution=0.1)
    Q = private.matrix
    assert Q[0, 1] == pytest.approx(0, abs=1e-6)
    assert Q[0, 0] / Q[1, 1] == pytest.approx(1, rel=0.25)


def test_without_noise_the_second_moment_is_exact():
    random = np.random.default_rng(0)
    X = random.standard_normal((5000, 3)) @ random.standard_normal((3, 3)) * 0.1 + [0.5, 0, -0.2]
    private = exact(dps.Ball(4.0, dim=3), X, method="second-moment", resolution=2.0**-20, epsilon=80.0)
    assert private.center == pytest.approx(X.mean(axis=0), abs=1e-3)  # an eigenvalue may be raised to the noise
    shape = np.linalg.inv(np.cov(X.T, bias=True))
    found = private.matrix / np.trace(private.matrix) * np.trace(shape)
    assert found == pytest.approx(shape, rel=0.02, abs=0.01 * np.abs(shape).max())


def mean_radius(private, d):
    """Return the radius of the ball with the volume of the ellipsoid."""
    return math.exp((private.log_volume - d / 2 * math.log(math.pi) + math.lgamma(d / 2 + 1)) / d)


def test_without_noise_capped_rounds_find_nearly_the_best_ellipsoid():
    X = oracle.mixture(5000, 8, np.random.default_rng(1))
    A = np.hstack([X, np.ones((len(X), 1))]) / math.sqrt(2)
    best = min(oracle.radius(A, oracle.capped(A, nu, 100), 0.95) for nu in (0.5, 0.35, 0.2, 0.1))
    plain = oracle.radius(A, A.T @ A / len(A), 0.95)
    assert plain / best > 1.12
    assert 0.98 < mean_radius(exact(dps.Ball(1.0, dim=8), X, method="capped"), 8) / best < 1.03


@pytest.mark.usefixtures("fixed_words")
@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
def test_with_noise_it_is_smaller_than_the_exact_covariance(neighbors):
    X = oracle.mixture(20_000, 8, np.random.default_rng(2))
    A = np.hstack([X, np.ones((len(X), 1))]) / math.sqrt(2)
    plain = oracle.radius(A, A.T @ A / len(A), 0.95)
    private = release(dps.Ball(1.0, dim=8), X, neighbors)
    assert private.method == "capped"
    assert mean_radius(private, 8) < 0.94 * plain
    assert abs(private.contains(X).mean() - 0.95) < 0.01


# ---- coverage ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("fixed_words")
@pytest.mark.parametrize(
    ("neighbors", "delta", "method"),
    [("add-remove", 1e-6, "capped"), ("substitute", 1e-6, "second-moment"), ("add-remove", 0.0, "auto")],
)
def test_coverage_is_off_by_the_stated_error(neighbors, delta, method):
    """30 releases; each within 7 errors and a cell of the grid, their mean within 2.5: false alarm below 1e-9."""
    X = np.random.default_rng(3).standard_normal((4000, 2)) * [1.0, 0.3]
    off = []
    for _ in range(30):
        private = release(dps.Box(-5, 5, dim=2), X, neighbors, delta, method=method)
        off.append((private.contains(X).mean() - 0.95) / (private.coverage_error + 0.002))
    assert np.abs(off).max() < 7
    assert abs(np.mean(off)) < 1.5


@pytest.mark.usefixtures("fixed_words")
@pytest.mark.parametrize("delta", [1e-6, 0.0])
def test_a_conservative_ellipsoid_rarely_covers_too_little(delta):
    """60 releases at beta = 0.05: more than 20 failures have a chance below 1e-9."""
    X = np.random.default_rng(4).standard_normal((3000, 2))
    failed = sum(
        release(dps.Box(-5, 5, dim=2), X, delta=delta, quantile="conservative").contains(X).mean() < 0.95
        for _ in range(60)
    )
    assert failed <= 20


@pytest.mark.usefixtures("fixed_words")
def test_the_count_and_the_error():
    X = np.random.default_rng(5).standard_normal((5000, 2))
    private = release(dps.Box(-5, 5, dim=2), X)
    assert abs(private.count - 5000) < 8 * 29.1
    assert private.error() == private.coverage_error == private.error(X[:3])[2]
    assert private.error(X[:3]).shape == (3,)
    assert 1e-4 < private.coverage_error <= 1.2 * private.structure.plan(neighbors="add-remove", **GAUSSIAN).error
    assert release(dps.Box(-5, 5, dim=2), X, "substitute").count == 5000


def test_more_rows_than_the_capacity_are_warned_of():
    private = exact(dps.Box(-5, 5, dim=2), np.zeros((500, 2)), "substitute", max_rows=100, expected_rows=100)
    with pytest.warns(dps.CapacityWarning):
        private.query([[0, 0]])


# ---- the geometry --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def private():
    random = np.random.default_rng(6)
    X = random.standard_normal((20_000, 3)) * [5.0, 0.1, 1e-3] + [100.0, -1.0, 0.02]
    box = dps.Box([50, -3, 0.0], [150, 1, 0.05])
    return exact(box, X), X


def test_units_are_those_of_the_data(private):
    ellipsoid, X = private
    assert ellipsoid.center == pytest.approx(X.mean(axis=0), rel=0.01, abs=0.02)
    assert np.sqrt(np.diagonal(np.linalg.inv(ellipsoid.matrix))) == pytest.approx(2.8 * X.std(axis=0), rel=0.1)
    assert ellipsoid.contains(X).mean() == pytest.approx(0.95, abs=0.005)


def test_all_views_of_the_ellipsoid_agree(private):
    ellipsoid, X = private
    Q, c, Y = ellipsoid.matrix, ellipsoid.center, X[:200]
    score = np.einsum("ij,jk,ik->i", Y - c, Q, Y - c)
    assert np.array_equal(Q, Q.T)
    assert ellipsoid.score(Y) == pytest.approx(score, rel=1e-6)
    assert ellipsoid.query(Y) == pytest.approx(np.sqrt(score), rel=1e-6)
    assert np.array_equal(ellipsoid.contains(Y), ellipsoid.query(Y) <= 1)
    assert np.linalg.norm(ellipsoid.whiten(Y), axis=1) == pytest.approx(ellipsoid.query(Y))
    radii, axes = ellipsoid.radii, ellipsoid.axes
    assert (np.diff(radii) <= 0).all()
    assert axes.T @ axes == pytest.approx(np.eye(3), abs=1e-12)
    assert ellipsoid.query(c + (axes * radii).T) == pytest.approx(np.ones(3), rel=1e-6)
    assert ellipsoid.polar() @ Q == pytest.approx(np.eye(3), abs=1e-6)
    assert ellipsoid.volume == pytest.approx(4 / 3 * math.pi * radii.prod())
    assert ellipsoid.log_volume == pytest.approx(math.log(ellipsoid.volume))


def test_samples_fill_it_evenly(private):
    ellipsoid, _ = private
    points = ellipsoid.sample(20_000, seed=1)
    radius = ellipsoid.query(points)
    assert radius.max() <= 1 + 1e-9
    assert (radius**3).mean() == pytest.approx(0.5, abs=0.02)
    assert points.mean(axis=0) == pytest.approx(ellipsoid.center, abs=0.02 * ellipsoid.radii[0])
    assert np.array_equal(points, ellipsoid.sample(20_000, seed=1))
    assert not np.array_equal(ellipsoid.sample(2), ellipsoid.sample(2))


def test_the_polar_is_inside_most_slabs():
    random = np.random.default_rng(7)
    A = random.standard_normal((5000, 3)) * [1.0, 0.5, 0.2]
    private = exact(dps.Ball(6.0, dim=3), A, center=False)
    radii, axes = np.linalg.eigh(private.polar())
    boundary = random.standard_normal((400, 3))
    boundary = boundary / np.linalg.norm(boundary, axis=1)[:, None] / np.sqrt(radii) @ axes.T
    inside = (np.abs(A @ boundary.T) <= 1).all(axis=1)
    assert 0.95 <= inside.mean() < 0.99  # of finitely many points; in the limit the coverage
    assert np.array_equal(private.center, np.zeros(3))


def test_queries_of_any_size(private):
    ellipsoid, _ = private
    far = ellipsoid.query([[1e308, -1e308, 1e308], [np.nan, 0, 0], [1e6, 0, 0]])
    assert far[0] == math.inf
    assert np.isnan(far[1])
    assert 1e3 < far[2] < 1e6
    assert ellipsoid.contains([[np.nan, 0, 0]]).tolist() == [False]
    assert ellipsoid.query(np.empty((0, 3))).shape == (0,)
    with pytest.raises(dps.InvalidParameter, match="Y"):
        ellipsoid.query([[0, 0]])


def test_directions_without_spread_have_the_resolution():
    X = np.random.default_rng(8).random((4000, 3)) * [1, 1, 0]
    ellipsoid = exact(dps.Ball(2.0, dim=3), X, resolution=0.01)
    assert ellipsoid.radii[2] < 0.2 * ellipsoid.radii[1]
    assert np.isfinite(ellipsoid.log_volume)
    point = exact(dps.Ball(2.0, dim=3), np.ones((100, 3)), method="capped")
    assert point.center == pytest.approx(np.ones(3), abs=0.1)
    assert np.isfinite(point.radii).all()


def test_the_ellipsoid_of_everything_holds_the_domain():
    """With nothing left outside the released size is the one that holds all clipped rows."""
    X = np.vstack([np.zeros((50, 2)), 100 * np.eye(2), -100 * np.eye(2)])
    private = exact(dps.Ball(1.0, dim=2), X, coverage=0.999, method="second-moment")
    assert private.contains([[0.99, 0], [0, -0.99], [0.7, 0.7]]).all()


def test_saved_and_loaded(tmp_path, private):
    X = np.random.default_rng(9).random((200, 2))
    ellipsoid = release(dps.Box(0, 1, dim=2), X)
    ellipsoid.save(tmp_path / "shape.dps")
    loaded = dps.load(tmp_path / "shape.dps")
    assert isinstance(loaded, dps.PrivateEllipsoid)
    assert np.array_equal(loaded.matrix, ellipsoid.matrix)
    assert repr(loaded) == repr(ellipsoid)
    assert "JohnEllipsoid(Box(low=(0.0, 0.0)" in repr(loaded)
