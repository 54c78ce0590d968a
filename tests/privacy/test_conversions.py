"""The conversions against the textbook formulas in 90 digits: right values, and never on the wrong side."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from oracle import privacy as oracle

from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, ApproxDP, PureDP, trade_off
from dpstruct.privacy.conversions import delta_of, eps_of, log_delta, mu_of, mu_of_pure, pure_of_mu

DELTAS = (1e-15, 1e-9, 1e-6, 1e-5, 1e-2)
EPS_OF = {
    1e-6: (5.69907383194e-06, 2.7178059288e-06, 0, 0, 0),
    1e-3: (0.00675763963518, 0.00442535088754, 0.00271821908881, 0.00193872496986, 0),
    0.1: (0.743298397004, 0.535148231553, 0.396857377644, 0.340669364684, 0.0927075662257),
    0.5: (3.9173690845, 2.90973238076, 2.25408465022, 1.99309140442, 0.919457635049),
    1.0: (8.1655796955, 6.17393504667, 4.88655411746, 4.37717809568, 2.3177890403),
    2.0: (17.4794584926, 13.5347722192, 10.9971512142, 9.99725614643, 5.99789252982),
    10.0: (128.678073268, 109.195596882, 96.7172719639, 91.8172896247, 72.366289441),
    60.0: (2275.54164906, 2158.91537497, 2084.24317086, 2054.92746637, 1938.59985542),
}
MU_OF = [
    (0.1, 1e-6, 0.0275446502438259),
    (0.5, 1e-6, 0.124106149030522),
    (1, 1e-9, 0.181974807295327),
    (1, 1e-6, 0.236704380663424),
    (1, 1e-5, 0.268051123211278),
    (4, 1e-6, 0.837858757089965),
    (8, 1e-5, 1.66603059784565),
    (1, 0.1, 0.920913966612978),
    (0.001, 1e-15, 0.000154166567988589),
]
DELTA_OF = [
    (1, 1, 0.1269367375066439),
    (2, 1, 0.0209236358211137),
    (1, 0.5, 0.00682959498311458),
    (3, 2, 0.183813076544472),
    (0.2, 0.1, 0.000937445959328600),
]
MU_OF_PURE = [
    (0.1, 0.125309012211608),
    (0.5, 0.623892592098508),
    (1, 1.2320353853449),
    (2, 2.35796148564725),
    (5, 4.94667844559566),
    (50, 19.3496505672247),
]


def sweep(n: int, seed: int) -> list[tuple[float, float]]:
    """Return log-uniform (mu, delta) over the whole range, corners included."""
    rng = np.random.default_rng(seed)
    mu = np.exp(rng.uniform(math.log(1e-6), math.log(60), n))
    delta = np.exp(rng.uniform(math.log(1e-15), math.log(0.1), n))
    corners = [(m, d) for m in (1e-6, 0.5, math.nextafter(0.5, 1), 60.0) for d in (1e-15, 1e-6, 0.1)]
    return [(float(m), float(d)) for m, d in zip(mu, delta)] + corners


@pytest.mark.parametrize("mu", EPS_OF)
def test_eps_of_table(mu):
    for delta, expected in zip(DELTAS, EPS_OF[mu]):
        assert eps_of(mu, delta) == pytest.approx(expected, rel=2e-11, abs=0)


@pytest.mark.parametrize(("epsilon", "delta", "expected"), MU_OF)
def test_mu_of_table(epsilon, delta, expected):
    assert mu_of(epsilon, delta) == pytest.approx(expected, rel=2e-14, abs=0)


@pytest.mark.parametrize(("epsilon", "mu", "expected"), DELTA_OF)
def test_delta_of_table(epsilon, mu, expected):
    assert delta_of(epsilon, mu) == pytest.approx(expected, rel=3e-12, abs=0)


@pytest.mark.parametrize(("epsilon", "expected"), MU_OF_PURE)
def test_mu_of_pure_table(epsilon, expected):
    assert mu_of_pure(epsilon) == pytest.approx(expected, rel=3e-13, abs=0)
    assert pure_of_mu(expected) == pytest.approx(epsilon, rel=1e-12, abs=0)


def test_log_delta_is_exact_to_1e_13():
    # the outward margin of 1e-12 covers the evaluation only while this holds
    rng = np.random.default_rng(1)
    for mu, delta in sweep(200, 2):
        epsilon = eps_of(mu, delta) * rng.uniform(0.5, 1.2)
        truth = oracle.log_delta(epsilon, mu)
        assert abs(log_delta(epsilon, mu) - truth) <= 1e-13 + 4e-16 * abs(truth)


def test_eps_of_rounds_outward():
    for mu, delta in sweep(300, 3):
        epsilon = eps_of(mu, delta)
        assert oracle.delta(epsilon, mu) <= oracle.number(delta)
        if epsilon > 0:
            assert oracle.delta(epsilon * (1 - 1e-9), mu) > oracle.number(delta)


def test_mu_of_rounds_inward():
    for mu, delta in sweep(300, 4):
        epsilon = eps_of(mu, delta)
        if epsilon > 0 and 2e-6 < mu < 59:
            found = mu_of(epsilon, delta)
            assert oracle.delta(epsilon, found) <= oracle.number(delta)
            assert oracle.delta(epsilon, found * (1 + 1e-9)) > oracle.number(delta)


def test_delta_of_rounds_outward():
    rng = np.random.default_rng(5)
    for mu, delta in sweep(300, 6):
        epsilon = eps_of(mu, delta) * rng.uniform(0, 1.5)
        truth, stated = oracle.delta(epsilon, mu), delta_of(epsilon, mu)
        assert truth <= stated <= truth * (1 + oracle.number(1e-11)) + oracle.number(1e-323)


def test_delta_of_rounds_outward_in_the_far_tail():
    rng = np.random.default_rng(8)
    for mu in np.geomspace(1e-6, 60, 200).tolist():
        epsilon = mu * (float(rng.uniform(8, 37)) + mu / 2)
        truth, stated = oracle.delta(epsilon, mu), delta_of(epsilon, mu)
        assert truth < stated <= truth * (1 + oracle.number(1e-11))


def test_log_delta_outside_the_range_of_budgets():
    for epsilon, mu in ((0.0, 200.0), (10.0, 200.0), (1e4, 200.0), (1e-9, 60.0), (3.0, 1e-5), (1.0, 2e-6)):
        assert log_delta(epsilon, mu) == pytest.approx(float(oracle.log_delta(epsilon, mu)), rel=1e-13, abs=1e-300)


def test_far_tail_does_not_underflow_to_a_free_release():
    assert 0 < delta_of(1e6, 1e-3) < 1e-300
    assert 0 < delta_of(1e308, 1e-6) < 1e-300
    assert log_delta(2000.0, 1.0) == pytest.approx(float(oracle.log_delta(2000.0, 1.0)), rel=1e-14)


def test_round_trip_mu():
    for mu, delta in sweep(300, 7):
        epsilon = eps_of(mu, delta)
        if epsilon > 1e-3 * mu and 2e-6 < mu < 59:
            assert mu_of(epsilon, delta) == pytest.approx(mu, rel=2e-12, abs=0)


def test_round_trip_returns_the_number_that_was_typed():
    for epsilon in (0.1, 0.25, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 8.0, 10.0):
        for delta in (1e-9, 1e-6, 1e-5, 1e-3):
            assert GDP.from_approx_dp(epsilon, delta).epsilon(delta) == epsilon


def test_monotone():
    mus = np.exp(np.linspace(math.log(1e-6), math.log(60), 120))
    for delta in (1e-15, 1e-6, 0.1):
        epsilons = [eps_of(float(m), delta) for m in mus]
        assert all(a < b or a == b == 0 for a, b in itertools.pairwise(epsilons))
        back = [mu_of(e, delta) for e in epsilons[5:-5] if e > 0]
        assert all(a < b for a, b in itertools.pairwise(back))
    falling = [eps_of(1.0, float(d)) for d in np.geomspace(1e-15, 0.1, 60)]
    assert all(a > b for a, b in itertools.pairwise(falling))
    profile = [delta_of(float(e), 0.7) for e in np.linspace(0, 12, 100)]
    assert all(a > b for a, b in itertools.pairwise(profile))


@pytest.mark.parametrize("mu", [0, 1e-300, 1e-20, 2e-15, 1e-12, 3e-9, 9e-7])
def test_tiny_mu_is_displayed_safely(mu):
    for delta in (1e-15, 1e-10, 0.1):
        epsilon = eps_of(mu, delta)
        assert 0 <= epsilon < 1e-5
        if mu:
            assert oracle.delta(epsilon, mu) <= oracle.number(delta)
    assert delta_of(0.0, mu) >= mu / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("mu", [60.001, 100.0, 1e4, 12345678.9, 1e9, math.pi * 1e11])
def test_huge_mu_is_displayed_safely(mu):
    for delta in (1e-15, 1e-9, 1e-6, 1e-3, 0.1):
        epsilon = eps_of(mu, delta)
        assert mu**2 / 2 < epsilon < mu**2 / 2 + 9 * mu
        assert oracle.delta(epsilon, mu) <= oracle.number(delta)
        for e in (epsilon, mu**2 / 2, 10.0):
            assert oracle.delta(e, mu) <= oracle.number(delta_of(e, mu))


def test_pure_conversions_round_outward():
    for epsilon in [*np.geomspace(1e-12, 500, 150).tolist(), math.nextafter(1, 0), 1.0]:
        corner = oracle.pure_corner(epsilon)
        mu = mu_of_pure(epsilon)
        # the corner of the eps-DP curve lies on or above G_mu: eps-DP implies mu-GDP
        assert oracle.gdp_trade_off_at_corner(mu) < corner
        assert oracle.gdp_trade_off_at_corner(mu * (1 - 1e-12)) > corner
        assert pure_of_mu(mu) == pytest.approx(epsilon, rel=1e-12, abs=0)
    for mu in [*np.geomspace(1e-12, 60, 150).tolist(), math.nextafter(1, 0), 1.0]:
        corner = oracle.gdp_trade_off_at_corner(mu)
        assert oracle.pure_corner(pure_of_mu(mu)) > corner
        assert oracle.pure_corner(pure_of_mu(mu) * (1 + 1e-12)) < corner


@pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0, 3.0, 8.0])
def test_the_whole_pure_curve_lies_above_the_gaussian_one(epsilon):
    alpha = np.concatenate([np.geomspace(1e-12, 0.5, 4000), np.linspace(0, 1, 4001)])
    pure, gauss = trade_off(PureDP(epsilon), alpha), trade_off(GDP.from_pure(PureDP(epsilon)), alpha)
    assert (pure >= gauss - 1e-14).all()
    corner = np.array([1 / (1 + math.exp(epsilon))])  # tight: a smaller mu is false there
    smaller = trade_off(GDP(mu_of_pure(epsilon) * (1 - 1e-6)), corner)
    assert trade_off(PureDP(epsilon), corner)[0] < smaller[0]


def test_an_approximate_claim_implies_no_gdp():
    # the curve of (1, 1e-6)-DP starts below 1, that of any mu-GDP at 1
    claim = ApproxDP(1, 1e-6)
    assert trade_off(claim, 0.0) < trade_off(GDP(60), 0.0)
    alpha = np.linspace(0, 1, 2001)
    assert (trade_off(claim.to_gdp(), alpha) >= trade_off(claim, alpha) - 1e-14).all()


def test_group_privacy_converts_after_scaling():
    fourfold = GDP(0.25).group(4)
    assert fourfold == GDP(1.0)
    assert fourfold.epsilon(1e-6) == pytest.approx(4.88655411746, rel=1e-11)
    # the generic rule for (eps, delta) would claim 4.2428 at 3.6e-5: false at 1e-6, so the order matters
    assert 4 * GDP(0.25).epsilon(1e-6) < 4.2429 < fourfold.epsilon(1e-6)


@pytest.mark.parametrize("delta", [0, 9e-16, 0.11, 1, float("nan"), "1e-6", None, True])
def test_bad_delta(delta):
    for call in (lambda: eps_of(1.0, delta), lambda: mu_of(1.0, delta), lambda: ApproxDP(1.0, delta)):
        with pytest.raises(InvalidParameter, match=r"^delta: "):
            call()


@pytest.mark.parametrize("epsilon", [-1, float("nan"), float("inf"), 1e-310, "1", 1j, True, None, np.bool_(True)])
def test_bad_epsilon(epsilon):
    for call in (
        lambda: delta_of(epsilon, 1.0),
        lambda: log_delta(epsilon, 1.0),
        lambda: mu_of(epsilon, 1e-6),
        lambda: mu_of_pure(epsilon),
        lambda: ApproxDP(epsilon, 1e-6),
        lambda: PureDP(epsilon),
        lambda: PureDP(1.0).delta(epsilon),
    ):
        with pytest.raises(InvalidParameter, match=r"^epsilon: "):
            call()


def test_mu_out_of_range_is_refused():
    for epsilon, delta in ((1e-9, 1e-15), (1e5, 1e-6)):
        with pytest.raises(InvalidParameter, match="mu at delta"):
            mu_of(epsilon, delta)


def test_scipy_is_loaded_on_first_use_only():
    code = "import sys, dpstruct.privacy; sys.exit(any(m.split('.')[0] in ('scipy', 'numba') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
