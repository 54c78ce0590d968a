"""Filters: the integer rule, and adversaries that chase their own privacy loss."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, ApproxDP, Filter, PureDP, read_share

measures = st.one_of(st.builds(GDP, st.floats(1e-6, 60)), st.builds(PureDP, st.floats(1e-9, 1e3)))
shares = st.floats(1e-6, 1.0)


@given(measures, st.lists(st.integers(1, 1 << 104), max_size=30))
def test_admitted_costs_never_pass_the_total(total, costs):
    rule, spent = Filter(total), 0
    for cost in costs:
        left = rule.remaining(spent)
        assert left.units == total.units - spent
        assert type(left) is type(total)
        assert rule.admits(spent, cost) == (cost <= left.units)
        if rule.admits(spent, cost):
            spent += cost
    assert spent <= total.units
    if left := rule.remaining(spent).units:
        assert rule.admits(spent, left)
    assert not rule.admits(spent, left + 1)


@given(measures, shares)
def test_shares_round_down(total, share):
    units = Filter(total).share_units(share)
    assert units <= Fraction(repr(share)) * total.units < units + 1


@given(measures, st.fractions(0, 1))
def test_largest_share_is_admitted_and_the_next_is_not(total, used):
    rule, spent = Filter(total), math.floor(used * total.units)
    share = rule.largest_share(spent)
    if share == 0:
        assert rule.remaining(spent).units == 0
    else:
        assert 0 < share <= 1
        assert math.floor(read_share(share) * total.units) <= rule.remaining(spent).units
    if share < 1:
        assert not rule.admits(spent, rule.share_units(math.nextafter(share, 1)) if share else 1)


@given(measures, st.integers(2, 40))
def test_n_equal_shares_fit_exactly_n_times(total, n):
    rule, spent = Filter(total), 0
    for _ in range(n):
        cost = rule.share_units(Fraction(1, n))
        assert rule.admits(spent, cost)
        spent += cost
    assert total.units - spent < n
    assert not rule.admits(spent, cost)


def test_decimal_shares_mean_what_they_say():
    rule, spent = Filter(GDP(1.0)), 0
    for _ in range(10):
        spent += rule.share_units(0.1)
    assert 0 <= rule.total.units - spent < 10
    assert Filter(GDP(1)).largest_share(4 * rule.share_units(0.2)) == 0.2


def test_an_amended_total_below_what_was_spent_leaves_nothing():
    rule = Filter(PureDP(1.0))
    assert rule.remaining(rule.total.units + 5) == PureDP.from_units(0)
    assert rule.largest_share(rule.total.units + 5) == 0.0
    assert not rule.admits(rule.total.units + 5, 1)


@pytest.mark.parametrize(
    "share", [0, -0.1, 1.0000001, math.nan, math.inf, True, "0.2", None, Fraction(3, 2), Fraction(0)]
)
def test_bad_shares(share):
    with pytest.raises(InvalidParameter, match="share"):
        Filter(GDP(1)).share_units(share)


def test_a_share_is_never_free():
    with pytest.raises(InvalidParameter, match="one unit"):
        Filter(GDP.from_units(10)).share_units(0.05)


@pytest.mark.parametrize("value", [-1, 1.0, True, None, "1", Fraction(1)])
def test_bad_units(value):
    rule = Filter(GDP(1))
    for call in (lambda: rule.admits(value, 1), lambda: rule.admits(0, value), lambda: rule.remaining(value)):
        with pytest.raises(InvalidParameter, match="_units"):
            call()
    with pytest.raises(InvalidParameter, match="cost_units"):
        rule.admits(0, 0)


def test_extreme_totals_do_not_raise():
    for total in (PureDP(1e308), PureDP.from_units(1), GDP.from_units(0), GDP(1e-6)):
        rule = Filter(total)
        assert rule.largest_share(max(0, total.units - 1)) >= 0


@pytest.mark.parametrize("total", [1.0, None, ApproxDP(1, 1e-6), GDP])
def test_total_is_a_measure_that_adds_up(total):
    with pytest.raises(InvalidType):
        Filter(total)


def chase(rule, policy, *, paths: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the privacy losses (under theta = 1) and the 64ths of the total that were spent.

    Gaussian releases follow one another; ``policy(loss)`` names the next cost in 64ths of the total, 0 to stop. A cost
    that the rule refuses is not drawn.
    """
    grain = rule.total.units // 64

    admitted = np.array([[c > 0 and rule.admits(s * grain, c * grain) for c in range(65)] for s in range(129)])
    rng = np.random.default_rng(seed)
    loss, spent = np.zeros(paths), np.zeros(paths, dtype=np.int64)
    for _ in range(64):
        cost = policy(loss)
        cost = np.where(admitted[spent, cost], cost, 0)
        square = cost * (grain / 2**100)
        loss += square / 2 + np.sqrt(square) * rng.standard_normal(paths)
        spent += cost
    return loss, spent


def delta_at(loss: np.ndarray, epsilon: float) -> float:
    return float(np.maximum(0, -np.expm1(epsilon - loss)).mean())


POLICIES = {
    "stop when ahead": lambda loss: np.where(loss > 3.0, 0, np.where(loss > 1.0, 2, 8)),
    "small steps near the goal": lambda loss: np.where(loss > 2.2, 0, np.where(np.abs(loss - 1) < 0.5, 1, 16)),
    "all in when behind": lambda loss: np.where(loss > 1.0, 0, np.where(loss < -0.5, 32, 4)),
}
PATHS = 40_000
# Hoeffding: a mean of PATHS values in [0, 1] exceeds its expectation by this with probability at most 1e-7
SLACK = math.sqrt(math.log(1e7) / (2 * PATHS))


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("epsilon", [1.0, 2.0])
def test_an_adaptive_adversary_stays_below_the_curve(name, epsilon):
    # false alarms: 6 cases at 1e-7 each
    loss, spent = chase(Filter(GDP(1.0)), POLICIES[name], paths=PATHS, seed=11)
    assert spent.max() == 64
    assert delta_at(loss, epsilon) <= GDP(1.0).delta(epsilon) + SLACK


def test_the_attack_has_teeth():
    class Leaky(Filter):
        def admits(self, spent_units, cost_units):
            return spent_units < self.total.units  # looks before the charge, not after

    def greedy(loss):
        return np.where(loss > 1.6, 0, 63)

    loss, spent = chase(Leaky(GDP(1.0)), greedy, paths=PATHS, seed=4)
    assert spent.max() > 64
    assert delta_at(loss, 1.0) > GDP(1.0).delta(1.0) + 2 * SLACK
    loss, _ = chase(Filter(GDP(1.0)), POLICIES["stop when ahead"], paths=PATHS, seed=5)
    assert delta_at(loss, 1.0) > 0.9 * GDP(1.0).delta(1.0)


def test_a_pure_adversary_never_loses_more_than_the_total():
    # randomised response: each answer moves the loss by +-eps_i; the adversary picks eps_i from the loss so far
    rule, rng = Filter(PureDP(1.0)), np.random.default_rng(3)
    for _ in range(300):
        loss, spent = 0.0, 0
        for _ in range(40):
            epsilon = float(rng.choice([0.01, 0.05, 0.3])) * (1.5 if loss > 0.2 else 1.0)
            if rule.admits(spent, PureDP(epsilon).units):
                spent += PureDP(epsilon).units
                loss += epsilon if rng.random() < 1 / (1 + math.exp(-epsilon)) else -epsilon
        assert abs(loss) <= 1.0 + 1e-12
        assert spent <= rule.total.units
