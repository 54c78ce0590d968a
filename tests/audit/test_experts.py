"""Bets: the published values, and no law that keeps the claim gives any of them a mean above 1."""

import math

import numpy as np
import pytest
from oracle.audit import bin_bet, largest_mean

from dpstruct.audit.claims import read_claim
from dpstruct.audit.experts import plane_bets, pure_bets, side_bets
from dpstruct.audit.portfolio import portfolio_bets
from dpstruct.privacy import GDP

PAST = np.array([(85, 40, 12), (15, 40, 88)], dtype=float)
NEW = np.array([(90, 40, 10), (10, 40, 90)], dtype=float)


def wealth(bets):
    return (bets * NEW).sum(axis=(1, 2))


def mean(logs):
    return np.logaddexp.reduce(logs) - math.log(len(logs))


def test_values_of_a_pure_claim():
    logs = wealth(pure_bets(PAST, 1.0))
    assert logs == pytest.approx([16.19507938, 14.76918873, 14.76918873, 7.49719120, 8.46445722], abs=5e-9)
    assert mean(logs) == pytest.approx(14.97849053, abs=5e-9)


def test_values_of_half_planes():
    logs = wealth(plane_bets(PAST, [(1.0, 0.05)]))
    assert logs == pytest.approx([6.31234905, 4.91673664, 6.92174939, 6.31234905], abs=5e-9)
    assert mean(logs) == pytest.approx(6.33386819, abs=5e-9)


def test_value_of_the_portfolio():
    assert wealth(portfolio_bets(PAST, [(0.5, 0.1), (1.0, 0.05)]))[0] == pytest.approx(18.02710752, abs=5e-9)


@pytest.mark.parametrize("epsilon", [0.3, 1.0, 3.0])
def test_bin_bets_are_their_formulas(epsilon):
    random = np.random.default_rng(4)
    past = random.integers(0, 60, (2, 40)).astype(float)
    expected = [
        [bin_bet(t1, t0, epsilon, prior, margin) for t1, t0 in past.T] for prior, margin in ((2, 0), (20, 1), (20, 2))
    ]
    assert pure_bets(past, epsilon)[:3] == pytest.approx(np.swapaxes(expected, 1, 2), abs=1e-12)


def pasts(count, bins, seed):
    """Pasts of all kinds: even, lopsided, empty bins, nothing at all."""
    random = np.random.default_rng(seed)
    for k in range(count):
        size = random.choice([0, 3, 30, 1000])
        tilt = np.exp(random.normal(scale=random.choice([0.1, 1.0, 4.0]), size=bins))
        first = random.dirichlet(np.ones(bins))
        second = first * tilt / (first * tilt).sum()
        yield np.stack([random.multinomial(size, first), random.multinomial(size * (k % 3), second)]).astype(float)


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0, 4.0])
def test_no_pure_law_makes_a_bet_favourable(epsilon):
    largest = 0.0
    for past in pasts(24, 7, seed=1):
        ladder = np.array([2, 3, 4, 5, 6])
        for bet in [*pure_bets(past, epsilon), *side_bets(past, epsilon, ladder)]:
            found = largest_mean(np.exp(bet), [(epsilon, 0.0)])
            assert found <= 1 + 1e-9
            largest = max(largest, found)
    assert largest > 1 - 1e-6  # bets are not idle: some law makes them fair


@pytest.mark.parametrize("pairs", [[(1.0, 0.05)], [(0.0, 0.2)], [(3.0, 1e-6)], [(0.5, 0.1), (1.0, 0.05)]])
def test_no_law_makes_a_half_plane_favourable(pairs):
    for past in pasts(20, 5, seed=2):
        for bet in [*plane_bets(past, pairs), *portfolio_bets(past, pairs)]:
            assert largest_mean(np.exp(bet), pairs) <= 1 + 1e-9


def test_no_law_makes_a_bet_on_a_curve_favourable():
    pairs = read_claim(GDP(1.0)).pairs
    for past in pasts(12, 4, seed=3):
        for bet in portfolio_bets(past, pairs):
            assert largest_mean(np.exp(bet), pairs) <= 1 + 1e-9


def test_the_judge_finds_an_unfair_bet():
    # a bin that kept its prior within the claim, as a clipped rho would, gains at the other boundary
    rho, R = 0.6, 1 / (1 + math.exp(-1.0))
    factors = np.array([[rho / R, 1.0], [(1 - rho) / (1 - R), 1.0]])
    assert largest_mean(factors, [(1.0, 0.0)]) > 1.01


def test_both_sides_add_up():
    # by hand: bin 0 for x and bin 2 for x2, each with a prior of 5 runs at the boundary
    R = 1 / (1 + math.exp(-1.0))
    expected = np.zeros((2, 3))
    for bin_, common, often, total in ((0, 0, 85, 100), (2, 1, 88, 100)):
        rho = (often + 5 * R) / (total + 5)
        expected[common, bin_], expected[1 - common, bin_] = math.log(rho / R), math.log((1 - rho) / (1 - R))
    for bet in side_bets(PAST, 1.0, np.arange(3)):
        assert bet == pytest.approx(expected, abs=1e-12)


def test_a_bin_is_bet_on_in_one_direction():
    for past in pasts(60, 9, seed=5):
        for bet in side_bets(past, 0.5, np.arange(1, 9)):
            assert ((bet[0] > 0) & (bet[1] > 0)).sum() == 0
            assert (((bet == 0).all(axis=0)) | ((bet[0] > 0) ^ (bet[1] > 0))).all()


@pytest.mark.parametrize("epsilon", [40.0, 500.0])
def test_huge_claims_stay_finite(epsilon):
    past = np.array([[500.0, 3.0, 0.0], [0.0, 4.0, 500.0]])
    assert np.isfinite(pure_bets(past, epsilon)).all()
    assert np.isfinite(side_bets(past, epsilon, np.arange(3))).all()
