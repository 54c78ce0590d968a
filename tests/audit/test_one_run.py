"""Bounds from one run: published values, exact binomial tails, and coverage of randomised response."""

import math
from fractions import Fraction

import numpy as np
import pytest
from oracle.audit import binomial_at_least

from dpstruct.audit import canary_guesses, one_run_bound
from dpstruct.audit.one_run import _chance


def test_published_value():
    bound = one_run_bound(760, 1000)
    assert bound.value == pytest.approx(1.0290515354, abs=5e-11)
    assert "760 of 1,000 guesses" in str(bound)
    assert "epsilon >= 1.029," in str(bound)


def test_all_right_and_all_wrong():
    assert one_run_bound(10, 10).value == pytest.approx(math.log(0.05 ** (1 / 10)) - math.log(1 - 0.05 ** (1 / 10)))
    assert one_run_bound(0, 10).value == 0.0
    assert one_run_bound(5, 10).value == 0.0


def chance_by_definition(v, r, m, epsilon, delta):
    q = Fraction(math.exp(epsilon) / (1 + math.exp(epsilon)))
    beta = binomial_at_least(v, r, q)
    steps = [(binomial_at_least(v - i, r, q) - beta) / i for i in range(1, v + 1)]
    return float(beta + 2 * m * Fraction(delta) * max(steps, default=0))


@pytest.mark.parametrize(("v", "r", "m"), [(0, 5, 5), (1, 5, 8), (8, 10, 10), (14, 20, 50)])
@pytest.mark.parametrize("delta", [1e-5, 1e-2])
def test_chance_with_delta(v, r, m, delta):
    assert _chance(v, r, m, 0.7, delta) == pytest.approx(chance_by_definition(v, r, m, 0.7, delta), rel=1e-9)


def test_delta_costs_and_canaries_cost_more():
    plain = one_run_bound(760, 1000).value
    some = one_run_bound(760, 1000, delta=1e-5).value
    more = one_run_bound(760, 1000, delta=1e-5, canaries=10_000).value
    assert more < some < plain
    assert one_run_bound(760, 1000, delta=1e-12).value == pytest.approx(plain, abs=1e-6)
    assert one_run_bound(760, 1000, delta=0.5).value == 0.0


def test_coverage_on_randomised_response():
    # 4,000 experiments at 95 %: more than 300 misses have chance below 1e-10
    random, epsilon = np.random.default_rng(7), 1.0
    right = random.binomial(200, 1 / (1 + math.exp(-epsilon)), 4000)
    missed = {v: one_run_bound(int(v), 200).value > epsilon for v in set(right.tolist())}
    assert 50 < sum(missed[v] for v in right.tolist()) <= 300


def test_rank_rule():
    included = np.array([True, True, False, False, True])
    assert canary_guesses(included, [5.0, 4.0, 3.0, 2.0, 1.0], guesses=4) == (3, 4)
    assert canary_guesses(included, [5.0, 4.0, 3.0, 2.0, 1.0], guesses=1) == (1, 1)
    assert canary_guesses(included, [0.0] * 5, guesses=5) == (3, 5)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: one_run_bound(11, 10), "correct"),
        (lambda: one_run_bound(0, 0), "guesses"),
        (lambda: one_run_bound(5, 10, canaries=9), "canaries"),
        (lambda: one_run_bound(5, 10, delta=1.0), "delta"),
        (lambda: one_run_bound(5, 10, confidence=0.3), "confidence"),
        (lambda: one_run_bound(5.5, 10), "correct"),
        (lambda: canary_guesses([1, 0], [1.0, 2.0], guesses=1), "included"),
        (lambda: canary_guesses([True, False], [1.0, math.nan], guesses=1), "scores"),
        (lambda: canary_guesses([True, False], [1.0, 2.0], guesses=3), "guesses"),
    ],
)
def test_bad_input(call, name):
    with pytest.raises(ValueError, match=name):
        call()
