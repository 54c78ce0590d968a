"""The attention baselines: exact without noise, as noisy as they say, and labelled for what they are."""

import math

import numpy as np
import pytest
from oracle.cross_attention import attention, polynomial

import dpstruct as dps
from dpstruct.reference import DPTreeSoftmax, QueryGaussian, RandomFeaturesAttention


class Silent:
    """A generator whose noise is zero."""

    def normal(self, loc, scale, size):
        return np.zeros(size)

    laplace = normal

    def standard_normal(self, size=None):
        return 0.0 if size is None else np.zeros(size)


def data(n=300, d=3, dv=4):
    rng = np.random.default_rng(0)
    K, V = rng.normal(size=(n, d)), rng.normal(size=(n, dv))
    return K / np.linalg.norm(K, axis=1, keepdims=True), V / 4 / np.linalg.norm(V, axis=1, keepdims=True), K[:20]


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("totals", ["exact", "noisy"])
def test_trees_are_the_taylor_polynomial_without_noise(degree, totals):
    K, V, Q = data()
    trees = DPTreeSoftmax(3, 4, theta=0.5, degree=degree, depth=5, mu=1.0, totals=totals).fit(K, V, Silent())
    a = np.array([0.5**p / math.factorial(p) for p in range(degree + 1)])
    N, D = polynomial(Q, K, V, a)
    assert np.abs(trees.query(Q, shrink=False) - N / D[:, None]).max() < 1e-9


@pytest.mark.parametrize("price", [{"epsilon": 1.0}, {"mu": 0.5}], ids=str)
def test_the_trees_noise_is_the_stated_one(price):
    K, V, Q = data()
    noiseless = DPTreeSoftmax(3, 4, theta=1.0, depth=4, **price).fit(K, V, Silent())
    exact, rng = noiseless._evaluate(Q[:1])[0], np.random.default_rng(1)
    draws = [DPTreeSoftmax(3, 4, theta=1.0, depth=4, **price).fit(K, V, rng)._evaluate(Q[:1])[0] for _ in range(300)]
    found = np.mean((np.array(draws) - exact) ** 2)
    assert found == pytest.approx(noiseless.variance(Q[:1])[0], rel=0.25)


@pytest.mark.parametrize(("kind", "theta"), [("favor", 1.0), ("fourier", 1.0)])
def test_random_features_estimate_the_exponential(kind, theta):
    K, V, Q = data()
    Q = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    features = RandomFeaturesAttention(3, 4, theta=theta, mu=1.0, kind=kind, features=1 << 15, clip=9.0)
    products = features._map(Q) @ features._map(K).T
    exact = np.exp(theta * Q @ K.T - (theta if kind == "fourier" else 0))
    assert np.abs(products / exact - 1).max() < 0.15
    assert (
        np.linalg.norm(RandomFeaturesAttention(3, 4, theta=2.0, mu=1.0, kind="fourier")._map(K), axis=1).max() < 1.001
    )
    off = features.fit(K, V, Silent()).query(Q, shrink=False) - attention(Q, K, V, 1 / theta)
    assert np.abs(off).max() < 0.02


@pytest.mark.parametrize("degree", [2, 3])
def test_sketches_estimate_their_polynomial(degree):
    K, V, Q = data()
    Q = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    options = {"theta": 0.5, "mu": 1.0, "kind": "sketch", "degree": degree, "features": 1 << 12, "clip": 9.0}
    sketch = RandomFeaturesAttention(3, 4, **options)
    exact = (1 + 0.5 * Q @ K.T / degree) ** degree
    assert np.abs(sketch._map(Q) @ sketch._map(K).T / exact - 1).max() < 0.25
    off = sketch.fit(K, V, Silent()).query(Q, shrink=False) - attention(Q, K, V, 2.0)
    assert np.abs(off).max() < 0.02


def test_a_release_per_query_is_exact_without_noise_and_counts():
    K, V, Q = data()
    each = QueryGaussian(3, 4, theta=2.0, mu=1.0, queries=30).fit(K, V, Silent())
    directions = Q / np.linalg.norm(Q, axis=1, keepdims=True)
    assert np.abs(each.query(Q) - attention(directions, K, V, 0.5)).max() < 1e-12
    with pytest.raises(dps.InvalidParameter, match="at most 10"):
        each.query(Q)
    worst = max(
        np.linalg.norm(
            attention(directions, K, np.vstack([s * V[:1], V[1:]]), 0.5) - attention(directions, K, V, 0.5), axis=1
        ).max()
        for s in (-4, 4)
    )
    assert worst < each.scale * 1.0 / math.sqrt(30)


def test_noise_far_above_ours():
    """A thousand times the noise of the moments, for the same polynomial, keys of 8 coordinates and epsilon = 1."""
    a = np.array([1.0, 1.0, 0.5])
    plan = dps.CrossAttention(8, 8, key_norm=1, value_norm=1, coefficients=a).plan(
        epsilon=1.0, delta=1e-6, neighbors="add-remove"
    )
    ours = math.sqrt(a**2 @ [plan.variance(f"N{p}")[0] for p in range(3)]) / plan.structure._unit
    trees = DPTreeSoftmax(8, 8, theta=1.0, depth=10, epsilon=1.0)
    q = np.random.default_rng(0).normal(size=(20, 8))
    theirs = math.sqrt(trees.variance(q / np.linalg.norm(q, axis=1, keepdims=True)).mean())
    assert theirs > 1000 * ours


@pytest.mark.parametrize(
    "baseline",
    [
        DPTreeSoftmax(2, 1, theta=1.0, epsilon=1.0),
        RandomFeaturesAttention(2, 1, theta=1.0, mu=1.0),
        QueryGaussian(2, 1, theta=1.0, mu=1.0, queries=1),
    ],
    ids=lambda b: type(b).__name__,
)
def test_labels_guarantee_nothing(baseline):
    label = baseline.label
    assert label.guarantee is None
    assert "noise" in label.reason
    if not isinstance(baseline, QueryGaussian):
        with pytest.raises(dps.InvalidParameter, match="fit"):
            baseline.query([[1.0, 0.0]])


def test_parameters_are_checked():
    for bad in ({"epsilon": 1.0, "mu": 1.0}, {}, {"mu": -1.0}, {"mu": 1.0, "totals": "some"}):
        with pytest.raises(dps.InvalidParameter):
            DPTreeSoftmax(2, 1, theta=1.0, **bad)
    with pytest.raises(dps.InvalidParameter, match="kind"):
        RandomFeaturesAttention(2, 1, theta=1.0, mu=1.0, kind="other")
