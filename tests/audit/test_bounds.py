"""Lower bounds hold as often as they say, come close to the truth, and never use a run twice."""

import math

import numpy as np
import pytest

from dpstruct.audit import epsilon_bound, mu_bound
from dpstruct.audit.events import EPSILON, MU, best_event
from dpstruct.privacy import GDP


def laplace(random, epsilon=1.0, grid=2.0**-10):
    p = -math.expm1(-epsilon * grid)
    return lambda count, n: count + (random.geometric(p, n) - random.geometric(p, n)) * grid


def gaussian(random, mu=1.0, grid=2.0**-10):
    return lambda count, n: count + np.rint(random.normal(scale=1 / (mu * grid), size=n)) * grid


def response(random, epsilon=1.0):
    right = 1 / (1 + math.exp(-epsilon))
    return lambda bit, n: np.where(random.random(n) < right, bit, 1 - bit)


@pytest.mark.parametrize(
    ("make", "bound", "truth"),
    [
        (response, epsilon_bound, 1.0),
        (laplace, epsilon_bound, 1.0),
        (gaussian, mu_bound, 1.0),
        (gaussian, lambda *a, **k: epsilon_bound(*a, delta=GDP(1).delta(1.0), **k), 1.0),
    ],
)
def test_coverage(make, bound, truth):
    # 120 bounds at 90 %: more than 30 misses have chance below 1e-6 for any valid bound
    missed = [
        bound(make(np.random.default_rng([1, s])), 0, 1, runs=2000, confidence=0.9, seed=s).value > truth
        for s in range(120)
    ]
    assert sum(missed) <= 30


def test_tightness():
    exact = epsilon_bound(laplace(np.random.default_rng(2)), 0, 1, runs=200_000, seed=1)
    assert 0.95 < exact.value <= 1.0
    gauss = mu_bound(gaussian(np.random.default_rng(3)), 0, 1, runs=200_000, seed=1)
    assert 0.95 < gauss.value <= 1.0
    bit = epsilon_bound(response(np.random.default_rng(4), 2.0), 0, 1, runs=100_000, seed=1)
    assert 1.95 < bit.value <= 2.0
    pair = epsilon_bound(gaussian(np.random.default_rng(5)), 0, 1, runs=100_000, delta=GDP(1).delta(1.0), seed=1)
    assert 0.85 < pair.value <= 1.0


def test_two_answers_by_a_learned_score():
    random = np.random.default_rng(6)
    bound = epsilon_bound(lambda c, n: c + random.laplace(size=(n, 2)), 0, 1, runs=40_000, seed=1)
    assert 1.7 < bound.value <= 2.0
    assert "learned score" in bound.event


def test_both_directions_are_tried():
    random = np.random.default_rng(7)

    def leak(data, n):
        return np.where((random.random(n) < 0.05) & bool(data), -9.0, random.normal(size=n))

    for x, x2 in ((0, 1), (1, 0)):
        bound = epsilon_bound(leak, x, x2, runs=20_000, seed=1)
        assert bound.value > 4
        assert "-9" in bound.event
        assert min(bound.counts.hits, bound.counts.hits2) <= 3


def test_runs_add_up_and_training_is_not_counted():
    calls = []

    def mechanism(data, n):
        calls.append(n)
        return np.zeros(n)

    bound = epsilon_bound(mechanism, 0, 1, runs=1000, seed=1)
    assert sum(calls) == bound.runs == 1000
    assert bound.counts.runs + bound.counts.runs2 == 700
    assert sum(map(sum, bound.bins)) == 700
    assert bound.value == 0.0
    assert bound.event == "any output" or "output" in bound.event


def test_an_event_never_holds_a_bin_that_training_did_not_show():
    ordering = np.array([[0.0, 5, 5, 0], [0.0, 5, 1, 0]])
    judging = np.array([[50.0, 5, 5, 0], [0.0, 5, 1, 0]])
    for goal in (EPSILON, MU):
        for ladder in (None, np.array([0, 1, 2, 3])):
            event = best_event(ordering, judging, goal, level=0.05, ladder=ladder)
            assert not event.bins[[0, 3]].any()


class Late:
    """Raises in one batch call once `quiet` calls are over, and never when called for a single output."""

    def __init__(self, quiet, fails_on):
        self.quiet, self.fails_on, self.random = quiet, fails_on, np.random.default_rng(8)

    def __call__(self, data, n):
        self.quiet -= 1
        if self.quiet < 0 and data == self.fails_on:
            raise RuntimeError
        return response(self.random, 3.0)(data, n)


@pytest.mark.parametrize("fails_on", [0, 1])
def test_a_batch_that_fails_while_counting_speaks_against_the_bound(fails_on):
    fine = epsilon_bound(Late(99, fails_on), 0, 1, runs=5000, seed=2)
    late = epsilon_bound(Late(4, fails_on), 0, 1, runs=5000, seed=2)
    assert fine.value > 2.5
    assert late.value < 0.5
    assert late.counts.runs + late.counts.runs2 == 3500


def test_trouble_in_training_means_separate_calls():
    random = np.random.default_rng(9)

    def mechanism(data, n):
        if data and random.random() < 0.3:
            raise ValueError
        return random.normal(size=n)

    bound = epsilon_bound(mechanism, 0, 1, runs=3000, seed=3)
    assert bound.event == "output is an exception ValueError"
    assert bound.value > 3


def test_words_and_page():
    mechanism = laplace(np.random.default_rng(10))
    bound = epsilon_bound(mechanism, 0, 1, runs=5000, seed=4)
    text = str(bound)
    assert text.startswith(f"epsilon >= {math.floor(bound.value * 1e4) / 1e4:g}, with confidence 0.95")
    assert "seed: 4" in text
    assert "<svg" in bound.to_html()
    assert "<svg" in bound._repr_html_()
    mu = mu_bound(gaussian(np.random.default_rng(11)), 0, 1, runs=5000, seed=4)
    assert str(mu).startswith("mu >= 0.")
    assert "<svg" in mu.to_html()
    some = epsilon_bound(gaussian(np.random.default_rng(12)), 0, 1, runs=5000, delta=0.1, seed=4)
    assert "at delta = 0.1" in str(some)


def test_a_given_score():
    random = np.random.default_rng(13)
    score = lambda o: (np.abs(o - 1) - np.abs(o)).sum(axis=1)  # noqa: E731
    bound = epsilon_bound(lambda c, n: c + random.laplace(size=(n, 2)), 0, 1, runs=20_000, seed=1, score=score)
    assert "score" in bound.event
    assert bound.value > 1.7


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"runs": 99}, "runs"),
        ({"runs": 1000.0}, "runs"),
        ({"confidence": 0.4}, "confidence"),
        ({"confidence": 1.0}, "confidence"),
        ({"delta": 1.0}, "delta"),
        ({"delta": math.nan}, "delta"),
    ],
)
def test_bad_input(change, name):
    with pytest.raises(ValueError, match=name):
        epsilon_bound(lambda data, n: np.zeros(n), 0, 1, **{"runs": 1000, **change})
