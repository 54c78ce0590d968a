"""Counts as baselines for distances: least squares by linear algebra, sensitivities by neighbours, known constants."""

import numpy as np
import pytest

from dpstruct.errors import InvalidParameter
from dpstruct.reference import ConsistentTree, PrefixSums

UNIT = ([0.0], [1.0])
KINDS = [(ConsistentTree, {"fan_out": 2}), (ConsistentTree, {"fan_out": 4}), (PrefixSums, {})]


class Silent:
    def normal(self, loc, scale, size):
        return np.zeros(size)

    laplace = normal


def tree_matrix(levels, b):
    return np.concatenate([np.kron(np.eye(b ** (levels - k)), np.ones((1, b**k))) for k in range(levels + 1)])


def root_matrix(m):
    r = PrefixSums(UNIT, depth=int(np.log2(m)), neighbors="add-remove", mu=1.0)._root
    return np.array([[r[i - j] if i >= j else 0.0 for j in range(m)] for i in range(m)])


@pytest.mark.parametrize(("b", "levels"), [(2, 6), (4, 3), (8, 2)])
def test_least_squares(b, levels):
    A = tree_matrix(levels, b)
    tree = ConsistentTree(UNIT, depth=6, fan_out=b, neighbors="add-remove", mu=1.0)
    W = np.random.default_rng(0).standard_normal((5, 64))
    assert np.allclose(tree._solve(W), np.linalg.solve(A.T @ A, W.T).T, atol=1e-10)
    assert np.allclose(tree._scale(1.0), np.sqrt(levels + 1))
    assert np.abs(A).sum(axis=0).max() == levels + 1


def test_the_square_root_of_the_sums():
    B = root_matrix(32)
    assert np.allclose(B @ B, np.tril(np.ones((32, 32))))
    sums = PrefixSums(UNIT, depth=5, neighbors="substitute", epsilon=1.0)
    assert np.allclose(sums._scale(1.0), 2 * np.abs(B).sum(axis=0).max())
    weights = np.random.default_rng(1).standard_normal((4, 32))
    assert np.allclose(sums._spread(weights), ((weights @ np.linalg.inv(B)) ** 2).sum(axis=1))


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_without_noise_distances_are_those_of_the_cells(kind, options):
    low, high = [0.0, -2.0], [1.0, 3.0]
    X = np.random.default_rng(2).uniform(low, high, (100, 2))
    fitted = kind((low, high), depth=6, neighbors="add-remove", mu=1.0, **options).fit(X, Silent())
    Y = np.random.default_rng(3).uniform(low, high, (9, 2))
    exact = np.abs(X[None] - Y[:, None]).sum(axis=(1, 2))
    assert (np.abs(fitted.query(Y) - exact) < 100 * 6 / 64).all()


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("cost", [{"mu": 0.5}, {"epsilon": 0.5}])
def test_error_is_that_of_the_noise(kind, options, cost):
    """4,000 draws of five answers: mean squares within 15 % (more than 5 standard errors)."""
    Y = np.random.default_rng(4).random((5, 1))
    made = kind(UNIT, depth=4, neighbors="substitute", **cost, **options)
    rng = np.random.default_rng(5)
    draws = np.array([made.fit(np.empty((0, 1)), rng).query(Y) for _ in range(4000)])
    assert np.allclose((draws**2).mean(axis=0) / made.error(Y) ** 2, 1, atol=0.15)


@pytest.mark.parametrize(
    ("kind", "options", "gaussian", "laplace"),
    [
        (ConsistentTree, {"fan_out": 2}, (1.26, 1.66), (5.92, 7.78)),
        (ConsistentTree, {"fan_out": 4}, (1.33, 1.73), (4.62, 6.00)),
        (ConsistentTree, {"fan_out": 32}, (2.29, 2.95), (5.60, 7.24)),
        (PrefixSums, {}, (1.84, 2.94), (51.9, 82.9)),
    ],
)
def test_constants_at_1024_cells(kind, options, gaussian, laplace):
    Y = (np.arange(1025) / 1024)[:, None]
    for cost, (rms, most) in (({"mu": 1.0}, gaussian), ({"epsilon": 1.0}, laplace)):
        errors = kind(UNIT, depth=10, neighbors="add-remove", **cost, **options).error(Y)
        assert np.sqrt((errors**2).mean()) == pytest.approx(rms, rel=0.01)
        assert errors.max() == pytest.approx(most, rel=0.01)


def test_fan_outs_must_fit():
    for fan_out in (1, 3, 8, 2048):
        with pytest.raises(InvalidParameter, match="fan_out"):
            ConsistentTree(UNIT, depth=10, fan_out=fan_out, neighbors="add-remove", mu=1.0)
