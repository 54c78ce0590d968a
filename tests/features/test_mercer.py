"""Eigenfunctions under a law: contractions whatever the law, and the kernel itself with enough of them."""

import numpy as np
import pytest

from dpstruct.features import mercer
from dpstruct.features.mercer import ProductBasis, rotation


def _gaussian(size):
    return lambda r: np.exp(-0.5 * (r / size) ** 2)


KERNELS = {  # components and weights
    "gaussian": ([_gaussian(0.3)], [1.0]),
    "laplacian": ([lambda r: np.exp(-r / 0.3)], [1.0]),
    "cauchy": ([lambda r: 1 / (1 + (r / 0.3) ** 2)], [1.0]),
    "mixture": ([_gaussian(0.2), _gaussian(0.5), _gaussian(30.0)], [0.3, 0.5, 0.2]),
}
REACH = np.array([[-1.0, 1.0], [-2.0, 1.5]])


def basis(name, count=60, center=(0.1, -0.3), spread=(0.3, 0.5)):
    return ProductBasis(*KERNELS[name], np.array(center), np.array(spread), REACH, count, 33)


def features(b, rows):
    return np.prod(b.factors(rows)[:, b.index], axis=2)


def exact(name, X, Y):
    parts = zip(*KERNELS[name], strict=True)
    return sum(weight * np.prod(profile(np.abs(X[:, None] - Y)), axis=2) for profile, weight in parts)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("law", [{}, {"center": (5.0, -9.0)}, {"spread": (0.01, 20.0)}])
def test_features_contract_whatever_the_law(name, law):
    """Norms at most 1 and squared distances at most 2 - 2k, also between knots of the table."""
    b = basis(name, **law)
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.uniform(-2, 2, (60, 2)), rng.normal(size=(20, 2)) * 9, [law.get("center", [0.1, -0.3])]])
    phi, most = features(b, rows), (1 + mercer.SLACK) ** 4
    assert (phi**2).sum(axis=1).max() <= most
    apart = ((phi[:, None] - phi) ** 2).sum(axis=2)
    assert (apart - (2 - 2 * exact(name, rows, rows)) * most).max() <= 1e-9
    table, low, scale = b.table
    z = np.clip((rows - low) * scale, 0, 32)
    k = np.minimum(z.astype(int), 31)
    axis = np.repeat([0, 1], np.diff(b.starts))
    lower, upper = (table[k[:, axis] + i, np.arange(len(axis))] for i in (0, 1))
    t = (z - k)[:, axis]
    mixed = np.prod(((1 - t) * lower + t * upper)[:, b.index], axis=2)
    assert (mixed**2).sum(axis=1).max() <= most
    assert ((mixed[:, None] - mixed) ** 2).sum(axis=2).max() <= 2 * most


@pytest.mark.parametrize("name", ["gaussian", "mixture"])
def test_enough_features_are_the_kernel(name):
    b = basis(name, 1000)
    rng = np.random.default_rng(1)
    X, Y = (rng.normal(size=(200, 2)) * [0.3, 0.5] + [0.1, -0.3] for _ in range(2))
    X, Y = np.clip(X, REACH[:, 0], REACH[:, 1]), np.clip(Y, REACH[:, 0], REACH[:, 1])
    assert np.abs(features(b, X) @ features(b, Y).T - exact(name, X, Y)).max() < 5e-3
    assert b.mass == pytest.approx(1, abs=2e-3)
    sums = rng.normal(size=len(b.index))
    assert b.inner(b.factors(X), sums) == pytest.approx(features(b, X) @ sums, abs=1e-11)


@pytest.mark.parametrize("name", KERNELS)
def test_the_kept_mass_is_the_mean_squared_norm(name):
    """And no other choice of as many products holds more: eigenvalues are kept from the largest on."""
    b = basis(name, 40)
    rng = np.random.default_rng(2)
    X = rng.normal(size=(20000, 2)) * [0.3, 0.5] + [0.1, -0.3]
    X = X[((REACH[:, 0] < X) & (REACH[:, 1] > X)).all(axis=1)]
    squares = features(b, X) ** 2
    assert squares.sum(axis=1).mean() == pytest.approx(b.mass, rel=0.02)
    more = features(basis(name, 80), X) ** 2
    assert np.sort(more.mean(axis=0))[-40:].sum() < 1.02 * squares.mean(axis=0).sum()


def test_the_largest_products_are_kept():
    values = [np.array([1, 0.5, 0.2, 0.01]), np.array([1, 0.3])]
    found, mass = mercer._largest([values], [1.0], 5)
    assert {tuple(row) for row in found.tolist()} == {(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 2, 0), (0, 1, 1)}
    assert mass == pytest.approx(1 + 0.5 + 0.3 + 0.2 + 0.15, abs=1e-5)
    assert len(mercer._largest([values], [1.0], 100)[0]) == 8
    equal, _ = mercer._largest([[np.array([1.0, 0.1])] * 3], [1.0], 3)
    assert {tuple(row) for row in equal.tolist()} == {(0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0)}
    narrow = [np.array([0.4, 0.3]), np.array([0.5])]
    both, mass = mercer._largest([values, narrow], [0.1, 0.9], 4)  # .18, .135 | .1, .05, .03, ..
    assert {tuple(row) for row in both.tolist()} == {(1, 0, 0), (1, 1, 0), (0, 0, 0), (0, 1, 0)}
    assert mass == pytest.approx(0.18 + 0.135 + 0.1 + 0.05, abs=1e-5)


def test_rotation():
    rng = np.random.default_rng(3)
    for d in (1, 2, 9):
        A = rng.normal(size=(d, d))
        values, vectors = rotation(A + A.T)
        assert values == pytest.approx(np.linalg.eigvalsh(A + A.T)[::-1], abs=1e-12)
        assert (A + A.T) @ vectors == pytest.approx(vectors * values, abs=1e-12)
        assert vectors.T @ vectors == pytest.approx(np.eye(d), abs=1e-13)
    assert rotation(np.zeros((3, 3)))[1] == pytest.approx(np.eye(3))
