"""The baselines of NTK regression: right without noise, as noisy as their formulas, labelled, honest on conditions."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dpstruct.errors import InvalidParameter
from dpstruct.features.ntk import ntk_kernel
from dpstruct.reference import AdaSSP, ClassMeans, GaussianSamplingNTK, OutputPerturbation


class Silent:
    """A generator whose normal and uniform numbers are zero and whose chi-squares are their means."""

    def standard_normal(self, shape=None):
        return np.zeros(shape) if shape is not None else 0.0

    uniform = staticmethod(lambda low, high, shape: np.zeros(shape))
    chisquare = staticmethod(lambda degrees: np.asarray(degrees, dtype=float))


def data(n=4000, seed=0):
    random = np.random.default_rng(seed)
    X = random.uniform(-0.5, 0.5, (n, 3))
    return X, X @ [0.8, -0.5, 0.0] + 0.01 * random.standard_normal(n)


def test_every_baseline_says_that_it_guarantees_nothing():
    models = [
        AdaSSP(epsilon=1.0, delta=1e-6),
        ClassMeans(3, mu=1.0),
        OutputPerturbation(3, mu=1.0, ridge=0.1),
        sampling(),
    ]
    for model in models:
        assert model.label.guarantee is None
        assert "noise" in str(model.label)


def test_adassp_is_least_squares_where_there_is_much_data():
    X, y = data()
    fit = AdaSSP(epsilon=1e6, delta=1e-6).fit(X, y, Silent())
    assert fit.ridge == 0
    assert np.abs(fit.theta - np.linalg.lstsq(X, y, rcond=None)[0]).max() < 1e-9
    tight = AdaSSP(epsilon=0.1, delta=1e-6).fit(X[:50], y[:50], Silent())
    log = np.log(6e6)
    assert tight.ridge == pytest.approx(np.sqrt(3 * log * np.log(18 / 0.05)) / (0.1 / 3))


def test_the_noise_of_adassp():
    """With targets 0 the coefficients are noise of sqrt(ln(6/delta)) / (epsilon/3) over the second moment."""
    X, _ = data()
    random, moment = np.random.default_rng(0), X.T @ X
    thetas = [AdaSSP(epsilon=1.0, delta=1e-6).fit(X, np.zeros(len(X)), random).theta for _ in range(200)]
    assert abs(np.std(thetas @ moment) / (3 * np.sqrt(np.log(6e6))) - 1) < 0.2


def test_class_means():
    random = np.random.default_rng(0)
    X, y = random.uniform(-0.5, 0.5, (900, 2)), random.integers(0, 4, 900)
    fit = ClassMeans(3, mu=0.7).fit(X, y, Silent())
    for label in range(3):
        assert fit.means[label] == pytest.approx(X[y == label].mean(axis=0))
    Y = random.uniform(-0.5, 0.5, (50, 2))
    nearest = ((Y[:, None] - fit.means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(fit.query(Y).argmax(axis=1), nearest)
    noisy = np.array([ClassMeans(3, mu=0.7).fit(X[:0], y[:0], random).means for _ in range(300)])
    counts = np.sqrt(17 / 16) / 0.7
    assert noisy[np.abs(noisy) < 20].std() < 2 * counts  # divided by counts of at least 1


def test_output_perturbation_is_softmax_regression():
    random = np.random.default_rng(1)
    X = random.standard_normal((600, 3))
    X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.3)
    fit = OutputPerturbation(3, mu=1.0, ridge=0.01).fit(X, y, Silent())
    expected = LogisticRegression(C=1 / (0.01 * 600), fit_intercept=False, tol=1e-9, max_iter=5000).fit(X, y)
    assert np.abs(fit.theta - expected.coef_.T).max() < 1e-3
    noisy = [OutputPerturbation(3, mu=1.0, ridge=0.01).fit(X, y, random).theta - fit.theta for _ in range(40)]
    assert abs(np.std(noisy) / (2 * np.sqrt(2) / 6) - 1) < 0.3  # 360 draws: 8 standard deviations
    moved = np.array(X)
    moved[0] *= -1
    other = OutputPerturbation(3, mu=1.0, ridge=0.01).fit(moved, y, Silent())
    assert np.linalg.norm(other.theta - fit.theta) < fit.sensitivity


def sampling(**options):
    settings = {"epsilon": 1.0, "delta": 1e-6, "closeness": 1e-6, "ridge": 1.0, "samples": 4000, "query_epsilon": 0.1}
    return GaussianSamplingNTK(**{**settings, **options})


def test_the_sampled_kernel_is_the_kernel_on_average():
    X, y = data(40)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    exact = ntk_kernel(X) @ np.linalg.solve(ntk_kernel(X) + np.eye(40), y)
    random = np.random.default_rng(0)
    fits = [sampling().fit(X, y, random).query(X, random) for _ in range(60)]
    # S^-1 is on average k / (k - n - 1) of the inverse
    assert np.abs(np.mean(fits, axis=0) * (1 - 41 / 4000) - exact).max() < 0.01
    A = sampling(samples=100)._bartlett(40, np.random.default_rng(1))
    mean = np.mean([a @ a.T for a in (sampling(samples=100)._bartlett(40, random) for _ in range(300))], axis=0)
    assert A.shape == (40, 40)
    assert np.abs(mean - 100 * np.eye(40)).max() < 100 * 6 * np.sqrt(2 / 100 / 300)


def test_every_query_costs_and_conditions_are_checked():
    X, y = data(40)
    model = sampling().fit(X, y, np.random.default_rng(0))
    assert model.spent == (1.0, 1e-6)
    model.query(X[:7], np.random.default_rng(0))
    assert model.spent == (pytest.approx(1.7), pytest.approx(8e-6))
    with pytest.raises(InvalidParameter, match="ridge"):
        sampling(closeness=1e-3).fit(X, y, np.random.default_rng(0))
    with pytest.raises(InvalidParameter, match="samples"):
        sampling(samples=30).fit(X, y, np.random.default_rng(0))


@pytest.mark.parametrize("depth", [1, 2])
def test_the_condition_bounds_what_close_rows_do(depth):
    """The exact change of the whitened kernel, for rows that moved as far as neighbours may."""
    random = np.random.default_rng(depth)
    X, _ = data(30, depth)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    model = sampling(closeness=0.01, depth=depth)
    for _ in range(20):
        other = X.copy()
        step = random.standard_normal(3)
        other[0] += 0.0099 * step / np.linalg.norm(step)
        other[0] /= np.linalg.norm(other[0])
        first, second = (ntk_kernel(rows, depth=depth) + np.eye(30) for rows in (X, other))
        root = np.linalg.cholesky(first)
        change = np.linalg.norm(root.T @ np.linalg.solve(second, root) - np.eye(30))
        assert change <= model.change(30)
    assert model.change(30) < 40 * change


def test_truncated_laplace_noise_has_its_bounds():
    model, random = sampling(closeness=0.01), np.random.default_rng(0)
    noise = model._truncated_laplace((100000,), random)
    scale = model.lipschitz * 0.01 * np.pi / 2 / 0.1
    assert np.abs(noise).max() <= scale * np.log1p(np.expm1(0.1) / 2e-6)
    assert abs(np.abs(noise).mean() / scale - 1) < 0.03
    assert abs(noise.mean()) < 0.03 * scale
