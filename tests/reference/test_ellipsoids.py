"""The published ellipsoids: exact on known cases, noise and sensitivities as claimed, and how one of them leaks."""

import math

import numpy as np
import pytest
from oracle import ellipsoid as oracle

from dpstruct import ellipsoid
from dpstruct.errors import InvalidParameter
from dpstruct.reference import CCLY, AnalyzeGauss, FastDPJohn, Khachiyan, WhitenedSecondMoment, _moments, fast_dp_john

RELATIONS = ["add-remove", "substitute"]
every_relation = pytest.mark.parametrize("neighbors", RELATIONS)
NOISY = [(AnalyzeGauss, {"noise": "goe"}), (AnalyzeGauss, {"noise": "symmetric"}), (WhitenedSecondMoment, {})]
every_noisy = pytest.mark.parametrize(("kind", "options"), NOISY)


class Silent:
    """A generator without noise, whose Gaussian sketch of d rows is an isometry."""

    def normal(self, loc, scale, size=None):
        return 0.0 if size is None else np.zeros(size)

    def standard_normal(self, shape):
        return np.sqrt(shape[1]) * np.eye(*shape)

    def random(self, n):
        return np.full(n, 0.5)


def rows(n=300, d=4, seed=1, size=0.3):
    return size * np.random.default_rng(seed).standard_normal((n, d))


# ---- exact algorithms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("tol", "away"), [(1e-2, False), (1e-2, True), (1e-8, True)])
def test_khachiyan_keeps_its_promise(center, tol, away):
    X = rows()
    found, best = Khachiyan(tol=tol, away=away, center=center).fit(X), ellipsoid.mvee(X, center=center, tol=1e-9)
    A = _moments.lift(X, center)
    assert found.excess <= tol
    assert found.weights.sum() == pytest.approx(1)
    assert found.moment == pytest.approx(oracle.moment(A, found.weights))
    assert oracle.leverages(A, found.moment).max() / A.shape[1] - 1 == pytest.approx(found.excess, abs=1e-9)
    assert found.ellipsoid().contains(X).all()
    assert best.log_volume - 1e-6 <= found.ellipsoid().log_volume <= best.log_volume + A.shape[1] * tol
    assert found.ellipsoid(0.5).contains(X).mean() == 0.5


def test_khachiyan_stops_when_told():
    assert Khachiyan(tol=1e-9, max_steps=10).fit(rows()).steps == 10


def test_khachiyan_steps_follow_the_formulas():
    A, p = rows(30, 3), np.full(30, 1 / 30)
    inverse, h = np.linalg.inv(oracle.moment(A, p)), oracle.leverages(A, oracle.moment(A, p))
    from dpstruct.reference import khachiyan

    for i in (int(h.argmax()), 5, int(h.argmin()), 7):
        khachiyan._move(A, p, inverse, h, i)
        moment = oracle.moment(A, p)
        assert inverse == pytest.approx(np.linalg.inv(moment))
        assert h == pytest.approx(oracle.leverages(A, moment))
        assert p.sum() == pytest.approx(1)
        assert h[i] == pytest.approx(3) or p[i] == 0, "exact line search"


@pytest.mark.parametrize("xi", [0.5, 0.1, 0.02])
def test_ccly_keeps_its_promise(xi):
    X = rows(500, 3)
    found = CCLY(xi=xi, center=False).fit(X)
    assert found.excess <= xi
    assert oracle.leverages(X, found.moment).max() / 3 - 1 == pytest.approx(found.excess)
    assert found.ellipsoid().contains(X).all()


@pytest.mark.parametrize("kind", [lambda: Khachiyan(), lambda: CCLY(xi=0.1), lambda: FastDPJohn(sigma=0, xi=0.5)])
def test_odd_rows_are_refused(kind):
    for X in (np.full((20, 2), np.nan), np.eye(3)[:1]):
        with pytest.raises(InvalidParameter, match=r"^[AX]: "):
            kind().fit(X, *([Silent()] if isinstance(kind(), FastDPJohn) else []))


# ---- Fast DP John ----------------------------------------------------------------------------------------------------


def test_fast_dp_john_without_noise_and_sketch_is_ccly():
    A = rows(100, 4)
    john = FastDPJohn(sigma=0, T=37, s=4, N="all").fit(A, Silent(), with_matrix=True)
    plain = CCLY(xi=1, T=37, center=False).fit(A)
    assert john.weights == pytest.approx(4 * plain.weights)
    assert john.matrix == pytest.approx(4 * plain.moment)


def test_fast_dp_john_derives_its_sizes():
    john = FastDPJohn(sigma=0.1, xi=0.25, lipschitz=2, closeness=0.25, delta0=0.1, delta1=0.2)
    assert john.sizes(1000, 5) == (
        math.ceil(16 * (math.log(10_000) + 4)),
        4,
        math.ceil(16 * 5 * math.log(25_000)),
    )
    assert FastDPJohn(sigma=0.1, xi=0.25, T=7, s=9, N=11).sizes(1000, 5) == (7, 9, 11)
    assert FastDPJohn(sigma=0.1, xi=0.3).fit(rows(), np.random.default_rng(0)).weights.sum() == pytest.approx(4)


def test_fast_dp_john_returns_the_weights_only():
    A, rng = rows(), np.random.default_rng(0)
    john = FastDPJohn(sigma=0.1, T=5, s=3, N=50).fit(A, rng)
    assert john.matrix is None
    assert john.weights.min() >= 0
    john.fit(A, rng, with_matrix=True)
    assert john.matrix == pytest.approx(oracle.moment(A, john.weights))
    around = john.ellipsoid(A, 0.9)
    assert np.mean(around.contains(A)) == pytest.approx(0.9)
    assert around.radius == pytest.approx(CCLY(xi=0.05, center=False).fit(A).ellipsoid(0.9).radius, rel=0.2)
    assert john.fit(A, rng).matrix is None
    with pytest.raises(InvalidParameter, match="with_matrix"):
        john.ellipsoid(A)


@pytest.mark.parametrize("sigma", [0.003, 0.1, 37])
def test_both_outputs_together_reveal_every_row(sigma):
    """Whoever knows the other rows solves for the last one: no noise level helps."""
    A = rows(1000, 5)
    john = FastDPJohn(sigma=sigma, T=100, s=20, N="all").fit(A, np.random.default_rng(4), with_matrix=True)
    for j in (0, 17, 999):
        others = np.arange(1000) != j
        known = A[others].T @ (A[others] * john.weights[others, None])
        found = (john.matrix - known) / john.weights[j]
        truth = np.outer(A[j], A[j])
        assert np.abs(found - truth).max() <= 1e-8 * np.abs(truth).max()


def test_sampled_moments_are_unbiased():
    # The mean of 4,000 draws, in units of its standard error: 16 entries beyond 6 have a probability below 4e-8.
    A, w, rng = rows(400, 4), np.random.default_rng(2).random(400), np.random.default_rng(3)
    draws = np.array([fast_dp_john._moment(A, w, 60, rng) for _ in range(4000)])
    error = draws.mean(axis=0) - A.T @ (A * w[:, None])
    assert np.abs(error / (draws.std(axis=0) / np.sqrt(4000))).max() < 6


def test_approximate_leverages_are_near():
    A = rows(5000, 3) * np.where(np.arange(5000) < 5, 30, 1)[:, None]
    h = oracle.leverages(A, A.T @ A)
    ratio = fast_dp_john._approximate_leverage(A, np.random.default_rng(0)) / h / fast_dp_john._DIRECTIONS
    assert ratio.min() > 0.05
    assert ratio.max() < 20


@pytest.mark.parametrize("sigma", [0.01, 0.2, 37.0])
def test_noise_is_normal_and_truncated(sigma):
    # 50,000 draws: each statement is about a mean whose deviation from its expectation beyond 6 standard errors has a
    # probability below 2e-9.
    from scipy.stats import truncnorm

    law = truncnorm(-0.5 / sigma, 0.5 / sigma, scale=sigma)
    z = fast_dp_john._noise(50_000, sigma, np.random.default_rng(5))
    assert np.abs(z).max() <= 0.5
    for cut in (-0.3, -0.01, 0.0, 0.005, 0.2):
        share = law.cdf(cut)
        assert abs(np.mean(z <= cut) - share) <= 6 * math.sqrt(share * (1 - share) / 50_000)


# ---- noisy moments ---------------------------------------------------------------------------------------------------


@every_noisy
@pytest.mark.parametrize("center", [True, False])
def test_without_noise_the_moment_and_the_quantile(kind, options, center):
    X = rows(20_000, 3, size=0.2)
    fitted = kind(mu=1.0, neighbors="add-remove", coverage=0.9, center=center, **options).fit(X, Silent())
    A = _moments.lift(_moments.in_the_ball(X), center)
    assert fitted.count == len(X)
    assert fitted.moment == pytest.approx(A.T @ A / len(X), abs=3e-3), "clipping at the radius 3 sqrt d is slight"
    assert fitted.region.contains(X).mean() == pytest.approx(0.9, abs=2e-3)


@every_relation
@pytest.mark.parametrize("noise", ["goe", "symmetric"])
def test_neighbours_cost_what_the_claim_says(neighbors, noise):
    """Every entry that is drawn once, over the deviation of its noise, for neighbours at and near the worst."""
    fitted = AnalyzeGauss(mu=0.7, neighbors=neighbors, noise=noise)
    rng = np.random.default_rng(0)
    one = np.vstack([np.eye(3), rng.standard_normal((30, 3)), [[9, 9, 9], [np.nan, 1, np.inf]]])
    one = _moments.in_the_ball(one)
    weight = 0.1 if neighbors == "add-remove" else 0.0
    prices = []
    for a in one:
        for b in one if neighbors == "substitute" else [np.zeros(3)]:
            sums = [fitted._noised_sum(np.vstack([one[:5], [x]]), 0.7, 0.1, noise, Silent()) for x in (a, b)]
            change, sigma = sums[0][0] - sums[1][0], sums[0][2]
            off = change[np.triu_indices(3, 1)] * (math.sqrt(2) if noise == "goe" else 1)
            square = (np.diag(change) ** 2).sum() + (off**2).sum() + weight**2
            prices.append(math.sqrt(square) / sigma)
    assert max(prices) == pytest.approx(0.7)


@every_noisy
@every_relation
def test_every_row_is_in_the_unit_ball_whenever_it_is_summed(kind, options, neighbors, monkeypatch):
    summed, plain = [], kind._noised_sum
    monkeypatch.setattr(
        kind, "_noised_sum", lambda self, rows, *rest: (summed.append(rows), plain(self, rows, *rest))[1]
    )
    X = np.vstack([rows(500, size=0.01), 5 * np.eye(4)])
    fitted = kind(mu=1.0, neighbors=neighbors, **options).fit(X, Silent())
    assert len(summed) == getattr(fitted, "rounds", 1)
    assert max(np.linalg.norm(part, axis=1).max() for part in summed) <= 1 + 1e-12


@pytest.mark.parametrize(("form", "off"), [("goe", 0.5), ("symmetric", 1.0)])
def test_noise_matrices(form, off):
    # Sample variances of 20,000 normal draws have a relative deviation of 0.01; 0.06 is 6 of these, 9 entries: 2e-8.
    rng = np.random.default_rng(6)
    draws = np.array([_moments.noise_matrix(3, 2.0, rng, form=form) for _ in range(20_000)])
    assert np.array_equal(draws, draws.transpose(0, 2, 1))
    expected = 4 * (np.eye(3) + off * (1 - np.eye(3)))
    assert np.abs((draws**2).mean(axis=0) / expected - 1).max() < 0.06


class Recorder(Silent):
    def __init__(self):
        self.scales = []

    def normal(self, loc, scale, size=None):
        self.scales.append(scale)
        return super().normal(loc, scale, size)


@every_relation
def test_all_noise_composes_to_mu(neighbors):
    """From the scales that are drawn: rounds of matrices (and counts, add-remove), and one vector of counts."""
    X, rho = rows(), 2.831050
    factor = 2 if neighbors == "substitute" else 1
    for kind, weight in ((AnalyzeGauss, 0.1), (WhitenedSecondMoment, 0.3)):
        recorder = Recorder()
        kind(mu=0.5, neighbors=neighbors).fit(X, recorder)
        *moments, tail = recorder.scales
        matrices = moments if neighbors == "substitute" else moments[::2]
        square = sum((1 if factor == 2 else 1 + weight**2) * factor / s**2 for s in matrices)
        assert square + factor * rho / tail**2 == pytest.approx(0.25, rel=1e-6)


@every_relation
def test_private_scale_is_unbiased_with_the_predicted_error(neighbors):
    # 400 covered fractions of 20,000 chi-squared values; the limit on their mean is 8 standard errors wide.
    h = np.random.default_rng(7).chisquare(20, 20_000)
    rng, mu, covered = np.random.default_rng(8), 0.09168, []
    for _ in range(400):
        s = _moments.private_scale(h, np.eye(20), coverage=0.95, count=20_000.0, mu=mu, neighbors=neighbors, rng=rng)
        covered.append(np.mean(h <= s))
    deviation = np.std(covered) * 20_000
    assert abs(np.mean(covered) - 0.95) < 1e-3
    assert deviation == pytest.approx(26 * (1 if neighbors == "add-remove" else math.sqrt(2)), rel=0.25)


def test_private_scale_beyond_its_grid():
    arguments = {"coverage": 0.5, "count": 100.0, "mu": 1.0, "neighbors": "substitute", "rng": Silent()}
    moment = np.diag([1.0, 0.25])
    assert _moments.private_scale(np.full(100, 1e9), moment, **arguments) == 4.0
    assert _moments.private_scale(np.zeros(100), moment, **arguments) == pytest.approx(2 / 16, rel=0.03)


@every_noisy
@every_relation
def test_useful_with_noise_and_unharmed_by_odd_rows(kind, options, neighbors):
    X = rows(20_000, 3, size=0.2)
    X[:3] = [[np.nan, np.inf, -np.inf], [1e300, -1e300, 0], [0, 0, 0]]
    fitted = kind(mu=0.3, neighbors=neighbors, **options).fit(X, np.random.default_rng(9))
    assert np.mean(fitted.region.contains(X[3:])) == pytest.approx(0.95, abs=0.02)
    best = ellipsoid.capped(X[3:], nu=0.1, coverage=0.95, tol=1e-4)
    assert best.radius * 0.95 <= fitted.region.radius <= best.radius * 1.3


@every_noisy
def test_few_rows_and_much_noise_still_give_an_ellipsoid(kind, options):
    for n in (0, 3):
        fitted = kind(mu=0.1, neighbors="add-remove", **options).fit(rows(n, 20), np.random.default_rng(n))
        assert np.isfinite(fitted.region.log_volume)
        assert np.linalg.eigvalsh(fitted.moment)[-1] <= 1 + 1e-9


def test_labels():
    for baseline, words in (
        (AnalyzeGauss(mu=0.5, neighbors="substitute"), ["0.5-GDP", "substitute", "NumPy generator"]),
        (WhitenedSecondMoment(mu=0.5, neighbors="add-remove"), ["0.5-GDP", "add-remove", "2006.06618"]),
        (FastDPJohn(sigma=0.1, xi=0.5), ["2408.06395", "A^T V A", "support", "Lipschitz", "epsilon_0"]),
        (Khachiyan(), ["no noise"]),
        (CCLY(xi=0.5), ["no noise"]),
    ):
        assert baseline.label.guarantee is None
        assert baseline.label.modelled
        for word in words:
            assert word in str(baseline.label)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: FastDPJohn(sigma=-1, xi=0.5), "sigma"),
        (lambda: FastDPJohn(sigma=0.1), "xi"),
        (lambda: FastDPJohn(sigma=0.1, xi=2), "xi"),
        (lambda: FastDPJohn(sigma=0.1, xi=0.5, T=0), "T"),
        (lambda: FastDPJohn(sigma=0.1, xi=0.5, N="some"), "N"),
        (lambda: FastDPJohn(sigma=0.1, xi=0.5, closeness=0), "lipschitz, closeness"),
        (lambda: FastDPJohn(sigma=0.1, xi=0.5, delta1=0), "delta1"),
        (lambda: Khachiyan(tol=0), "tol"),
        (lambda: Khachiyan().fit(rows()).ellipsoid(0), "coverage"),
        (lambda: CCLY(xi=0), "xi"),
        (lambda: AnalyzeGauss(mu=0, neighbors="substitute"), "mu"),
        (lambda: AnalyzeGauss(mu=1, neighbors="rows"), "neighbors"),
        (lambda: AnalyzeGauss(mu=1, neighbors="substitute", noise="wigner"), "noise"),
        (lambda: AnalyzeGauss(mu=1, neighbors="substitute", coverage=2), "coverage"),
        (lambda: WhitenedSecondMoment(mu=1, neighbors="substitute", rounds=0), "rounds"),
    ],
)
def test_wrong_parameters(call, argument):
    with pytest.raises(InvalidParameter, match=f"^{argument}: "):
        call()
