"""Eigenfunctions under a law: contractions whatever the law, and the kernel itself with enough of them."""

import numpy as np
import pytest

from dpstruct.features import mercer
from dpstruct.features.mercer import ProductBasis, rotation

PROFILES = {
    "gaussian": lambda r: np.exp(-0.5 * (r / 0.3) ** 2),
    "laplacian": lambda r: np.exp(-r / 0.3),
    "cauchy": lambda r: 1 / (1 + (r / 0.3) ** 2),
}
REACH = np.array([[-1.0, 1.0], [-2.0, 1.5]])


def basis(name, count=60, center=(0.1, -0.3), spread=(0.3, 0.5)):
    return ProductBasis(PROFILES[name], np.array(center), np.array(spread), REACH, count)


def features(b, rows):
    return np.prod(b.factors(rows)[:, np.arange(2), b.index], axis=2)


def exact(name, X, Y):
    return np.prod(PROFILES[name](np.abs(X[:, None] - Y)), axis=2)


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("law", [{}, {"center": (5.0, -9.0)}, {"spread": (0.01, 20.0)}])
def test_features_contract_whatever_the_law(name, law):
    """Norms at most 1 and squared distances at most 2 - 2k, also between knots of the table."""
    b = basis(name, **law)
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform(-2, 2, (60, 2)), rng.normal(size=(20, 2)) * 9, b.grid.T[::40]])
    phi, most = features(b, rows), (1 + mercer.SLACK) ** 4
    assert (phi**2).sum(axis=1).max() <= most
    apart = ((phi[:, None] - phi) ** 2).sum(axis=2)
    assert (apart - (2 - 2 * exact(name, rows, rows)) * most).max() <= 1e-9
    tables, low, scale = b.table(33)
    z = np.clip((rows - low) * scale, 0, 32)
    k = np.minimum(z.astype(int), 31)
    factors = np.stack(
        [
            tables[c, k[:, c]] * (1 - z + k)[:, c : c + 1] + tables[c, k[:, c] + 1] * (z - k)[:, c : c + 1]
            for c in (0, 1)
        ],
        axis=1,
    )
    mixed = np.prod(factors[:, np.arange(2), b.index], axis=2)
    assert (mixed**2).sum(axis=1).max() <= most
    assert ((mixed[:, None] - mixed) ** 2).sum(axis=2).max() <= 2 * most


def test_enough_features_are_the_kernel():
    b = basis("gaussian", 400)
    rng = np.random.default_rng(1)
    X, Y = (rng.normal(size=(200, 2)) * [0.3, 0.5] + [0.1, -0.3] for _ in range(2))
    X, Y = np.clip(X, REACH[:, 0], REACH[:, 1]), np.clip(Y, REACH[:, 0], REACH[:, 1])
    assert np.abs(features(b, X) @ features(b, Y).T - exact("gaussian", X, Y)).max() < 2e-3
    assert b.mass == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", PROFILES)
def test_predicted_fit(name):
    b = basis(name, 40)
    rng = np.random.default_rng(2)
    X, Y = (rng.normal(size=(4000, 2)) * [0.3, 0.5] + [0.1, -0.3] for _ in range(2))
    kept = (REACH[:, 0] < X).all(axis=1) & (REACH[:, 1] > X).all(axis=1) & (REACH[:, 0] < Y).all(axis=1)
    kept &= (REACH[:, 1] > Y).all(axis=1)
    X, Y = X[kept], Y[kept]
    truth = np.prod(PROFILES[name](np.abs(X - Y)), axis=1)
    miss = np.sqrt((((features(b, X) * features(b, Y)).sum(axis=1) - truth) ** 2).mean())
    assert miss == pytest.approx(b.fit, rel=0.25)


def test_the_largest_products_are_kept():
    values = [np.array([1, 0.5, 0.2, 0.01]), np.array([1, 0.3])]
    found = mercer._largest(values, 5)
    assert {tuple(row) for row in found.tolist()} == {(0, 0), (1, 0), (0, 1), (2, 0), (1, 1)}
    assert len(mercer._largest(values, 100)) == 8
    equal = mercer._largest([np.array([1.0, 0.1])] * 3, 3)
    assert {tuple(row) for row in equal.tolist()} == {(0, 0, 0), (0, 0, 1), (0, 1, 0)}


def test_rotation():
    rng = np.random.default_rng(3)
    for d in (1, 2, 9):
        A = rng.normal(size=(d, d))
        values, vectors = rotation(A + A.T)
        assert values == pytest.approx(np.linalg.eigvalsh(A + A.T)[::-1], abs=1e-12)
        assert (A + A.T) @ vectors == pytest.approx(vectors * values, abs=1e-12)
        assert vectors.T @ vectors == pytest.approx(np.eye(d), abs=1e-13)
    assert rotation(np.zeros((3, 3)))[1] == pytest.approx(np.eye(3))
