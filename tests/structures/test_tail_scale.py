"""The private quantile of radii: exact sensitivity over all pairs of cells, unbiased tails, stated errors."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binom, chi2

import dpstruct as dps
from dpstruct.privacy.laws import variance
from dpstruct.structures._tail_scale import Tail, _column, _isotonic, _root, laplace_quantile

GAUSSIAN, LAPLACE = Tail(5, 256, laplace=False), Tail(5, 256, laplace=True)
KINDS = pytest.mark.parametrize("tail", [GAUSSIAN, LAPLACE], ids=["gaussian", "laplace"])


class Noise:
    """Noise scales of the one line, as a plan has them."""

    def __init__(self, tail, scale):
        self.kind, self.one = ("discrete-laplace" if tail.laplace else "rounded-gaussian"), scale

    def scale(self, name):
        return np.array([self.one])

    def variance(self, name):
        return np.array([variance(self.kind, self.one)])

    def draw(self, shape, random):
        if self.kind == "rounded-gaussian":
            return np.rint(random.standard_normal(shape) * self.one).astype(np.int64)
        p = 1 - math.exp(-1 / self.one)
        return random.geometric(p, shape) - random.geometric(p, shape)


def rows(tail):
    """Return what a row in each cell adds, one per line."""
    return np.array([tail.encode({"cells": row})["tail"] for row in np.eye(tail.cells, dtype=np.int64)])


@pytest.mark.parametrize("tail", [GAUSSIAN, LAPLACE, Tail(3, 300, laplace=False), Tail(3, 64, laplace=False, bits=12)])
def test_sensitivity_over_all_pairs_of_cells(tail):
    R = np.vstack([rows(tail), np.zeros(tail.lines[0].shape, np.int64)])  # and beyond no threshold
    if tail.laplace:
        one = np.abs(R).sum(axis=1).max()
        two = max(np.abs(R - row).sum(axis=1).max() for row in R)
    else:
        G = R @ R.T
        one, two = np.diagonal(G).max(), (np.diagonal(G)[:, None] + np.diagonal(G) - 2 * G).max()
    assert tail.sensitivity("add-remove") == one
    assert tail.sensitivity("substitute") == tail.sensitivity(dps.RowsWithin(0.1)) == two
    assert isinstance(tail.sensitivity("substitute"), Fraction)


def test_a_replaced_row_costs_less_than_two_columns():
    assert GAUSSIAN.sensitivity("substitute") < Fraction(81, 100) * 2 * GAUSSIAN.sensitivity("add-remove")


def test_the_square_root_factor():
    r = _root(1024)
    assert np.convolve(r, r)[:1024] == pytest.approx(np.ones(1024), abs=1e-12)
    rho = np.cumsum(r**2)
    known = {15: 1.943879, 63: 2.388848, 255: 2.831050, 511: 3.05184, 1023: 3.27255}
    assert {k: rho[k] for k in known} == pytest.approx(known, abs=6e-6)
    exact = [Fraction(math.comb(2 * k, k), 4**k) for k in range(300)]
    assert all(c >= 2**30 * v for c, v in zip(_column(300, 30).tolist(), exact))


@KINDS
def test_without_noise_tails_are_exact_or_a_hair_above(tail):
    counts = np.random.default_rng(0).integers(0, 1000, tail.cells)
    found = tail.counts(tail.encode({"cells": counts}))
    true = np.cumsum(counts)
    assert (found >= true - 1e-6).all()
    assert found == pytest.approx(true, rel=1e-6)


@KINDS
def test_errors_are_those_of_the_linear_estimate(tail):
    noise = Noise(tail, 2.0**31 if not tail.laplace else 7.0)
    (m,) = tail.lines[0].shape
    effects = np.array([tail.counts({"tail": e << 30}) / 2.0**30 for e in np.eye(m, dtype=np.int64)])
    expected = np.sqrt((effects**2).sum(axis=0) * noise.variance("tail")[0])
    assert tail.errors(noise) == pytest.approx(expected, rel=1e-9)


def test_noise_grows_with_the_logarithm_of_the_cells_only():
    sigma = math.sqrt(GAUSSIAN.sensitivity("add-remove"))
    worst = GAUSSIAN.errors(Noise(GAUSSIAN, sigma)).max()
    assert worst == pytest.approx(2.831050, rel=1e-5)  # rho / mu at mu = 1; a histogram's tail would have 16


@KINDS
def test_simulated_tails_have_the_stated_errors(tail):
    """Squared errors over variances are near chi-square for Gaussian noise: false alarm 1e-9."""
    random, noise = np.random.default_rng(1), Noise(tail, 2.0**33 if not tail.laplace else 40.0)
    counts = random.integers(0, 50, tail.cells)
    clean, true = tail.encode({"cells": counts})["tail"], np.cumsum(counts)
    runs = np.array([tail.counts({"tail": clean + noise.draw(clean.shape, random)}) for _ in range(400)])
    ratio = ((runs - true) ** 2).mean(axis=0) / tail.errors(noise) ** 2
    assert (ratio > 0.5).all()
    assert (ratio < (2.0 if tail.laplace else chi2.isf(1e-9, 400) / 400)).all()
    assert (np.abs(runs.mean(axis=0) - true) < 7 * tail.errors(noise) / 20).all()


@pytest.mark.parametrize("quantile", [0.001, 0.05, 0.5])
def test_the_median_radius_is_the_quantile(quantile):
    tail, random = Tail(5, 256, laplace=False), np.random.default_rng(2)
    h = random.chisquare(5, 40_000)
    cells = np.searchsorted(-tail.thresholds, -h, side="right")
    counts = np.bincount(cells[cells < 256], minlength=256)
    s, j = tail.median(tail.encode({"cells": counts}), Noise(tail, 1.0), quantile * len(h))
    assert tail.thresholds[j] <= s <= tail.thresholds[max(j - 1, 0)]
    assert (h > s).mean() == pytest.approx(quantile, abs=0.02 * quantile + 5e-5)


@KINDS
def test_beyond_the_grid(tail):
    noise = Noise(tail, 1.0)
    outside = tail.encode({"cells": np.eye(256, dtype=np.int64)[0] * 100})
    inside = tail.encode({"cells": np.zeros(256, np.int64)})
    for choose in (tail.median, lambda t, n, w: tail.conservative(t, n, w, 0.01)):
        assert choose(outside, noise, 50.0) == (math.inf, 0)
        assert choose(inside, noise, 50.0) == (tail.thresholds[-1], 255)


@KINDS
@pytest.mark.parametrize("chance", [0.3, 0.05])
def test_a_conservative_radius_fails_as_rarely_as_stated(tail, chance):
    """3000 releases of one dataset; more failures than that at false alarm 1e-9. The worst data have one steep step."""
    random, noise = np.random.default_rng(3), Noise(tail, 2.0**33 if not tail.laplace else 20.0)
    counts = np.zeros(256, np.int64)
    counts[[20, 62]], wanted = (10, 5000), 900.0
    counts[57] = round(900 + 1e-9) - 10 + 1  # cell 57 brings the tail just above what is wanted
    true, clean = np.cumsum(counts), tail.encode({"cells": counts})["tail"]
    failed = 0
    for _ in range(3000):
        j = tail.conservative({"tail": clean + noise.draw(clean.shape, random)}, noise, wanted, chance)[1]
        failed += true[j] > wanted
    assert failed <= binom.isf(1e-9, 3000, chance)
    if not tail.laplace:
        assert failed > binom.ppf(1e-9, 3000, 0.5 * chance)  # and the bound is used


def test_laplace_quantiles_bound_sums():
    random = np.random.default_rng(4)
    for terms in (1, 3, 12):
        draws = random.laplace(size=(200_000, terms)).sum(axis=1)
        for chance in (0.1, 0.01, 0.001):
            bound = laplace_quantile(terms, 1.0, chance)
            assert (draws > bound).mean() < chance + 6 * math.sqrt(chance / 200_000)
            assert (draws > bound).mean() > chance / 40
    assert laplace_quantile(0, 1.0, 0.1) == 0.0


def test_isotonic_fit():
    from scipy.stats import norm

    values, weights = norm.rvs(size=50, random_state=5) + np.arange(50) / 20, np.linspace(1, 3, 50)
    fit = _isotonic(values, weights)
    assert (np.diff(fit) >= 0).all()
    assert (weights * fit).sum() == pytest.approx((weights * values).sum())
    best = (weights * (fit - values) ** 2).sum()
    for seed in range(200):
        other = np.sort(fit + 0.1 * norm.rvs(size=50, random_state=seed))
        assert (weights * (other - values) ** 2).sum() >= best
