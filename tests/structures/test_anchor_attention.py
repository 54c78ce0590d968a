"""AnchorAttention: the conformance suite, the nearest anchor, and attention by definition."""

import numpy as np
import pytest
from hypothesis import strategies as st
from oracle.cross_attention import attention
from scipy.stats import chi2

import dpstruct as dps
from dpstruct.testing import ZeroNoise, assert_price, check_structure, records, statistics

GAUSSIAN, LAPLACE = {"epsilon": 1.0, "delta": 2.0**-20}, {"epsilon": 1.0}
B = 0.625
Z = np.random.default_rng(0).normal(size=(5, 3))
Q = np.random.default_rng(5).normal(size=(12, 3))
ROWS = st.tuples(records(dps.Ball(1.25, dim=3)), records(dps.Ball(B, dim=2)))
PEOPLE = st.lists(ROWS, min_size=1, max_size=3).map(lambda some: tuple(map(np.array, zip(*(some + some[:1])))))


def memory(**options):
    return dps.AnchorAttention(Z, 2, value_norm=B, **options)


def release(structure, K, V, neighbors="add-remove", epsilon=1.0):
    return dps.Budget(epsilon, 1e-6, neighbors=neighbors).release(structure.summarize(K, V), share=1)


def answers(private):
    told = [private.query(Q), private.query(Q, temperature=0.5, shrink=False), private.error(Q), private.reliable(Q)]
    return [*told, np.array([private.count, private.count_error]), *private.numerator_denominator(Q)]


PLANS = {
    "add": ({"value_center": (0.25, -0.125)}, GAUSSIAN, "add-remove"),
    "pure-substitute": ({}, LAPLACE, "substitute"),
}
UNITS = {
    "mean": ({"unit_rule": "mean"}, GAUSSIAN, "substitute"),
    "max_rows": ({"unit_rule": ("max_rows", 2)}, GAUSSIAN, "substitute"),
    "clip": ({"unit_rule": ("clip", 2.0)}, GAUSSIAN, "add-remove"),
}


@pytest.mark.parametrize("case", [*PLANS, *UNITS])
def test_conforms(case):
    options, cost, neighbors = (PLANS | UNITS)[case]
    unit, data = ("row", ROWS) if case in PLANS else ("user", PEOPLE)
    plan = memory(**options).plan(neighbors=neighbors, unit=unit, **cost)
    price = check_structure(plan, data=data, answers=answers, examples=10)[1]
    assert 0.97 <= max(price.bounds) <= 1


@pytest.mark.parametrize("value_weight", [None, 0.25, 4.0])
def test_substitutions_in_one_cell_and_across(value_weight):
    plan = memory(value_weight=value_weight).plan(neighbors="substitute", **GAUSSIAN)
    v = np.array([[B, 0.0]])
    found = [float(assert_price(plan, ((Z[:1], v), (Z[i : i + 1], -v))).bounds[0]) for i in (0, 1)]
    assert max(found) == pytest.approx(1, abs=1e-3)


def test_the_nearest_anchor_by_definition():
    rng = np.random.default_rng(1)
    K = rng.normal(size=(500, 3)) * rng.choice([0.1, 1, 1.5], (500, 1))
    distance = np.linalg.norm(K[:, None] - Z, axis=2)
    plan = memory().plan(neighbors="add-remove", **GAUSSIAN)
    counts = statistics(plan, (K, np.zeros((500, 2))))["D"] / 2**14
    assert counts.tolist() == np.bincount(distance.argmin(axis=1), minlength=5).tolist()


def test_ties_go_to_the_first_and_wild_keys_somewhere():
    structure = dps.AnchorAttention([[1.0], [-1.0], [-1.0]], 1, value_norm=1.0)
    plan = structure.plan(neighbors="add-remove", **GAUSSIAN)
    K = np.array([[0.0], [np.nan], [np.inf], [1e308], [-1e308]])
    assert (statistics(plan, (K, np.zeros((5, 1))))["D"] / 2**14).tolist() == [4, 1, 0]


@pytest.mark.parametrize("temperature", [1.0, 0.1, 0.01])
def test_without_noise_it_is_attention_to_the_anchors(temperature):
    rng = np.random.default_rng(2)
    place = rng.integers(0, 5, 400)
    V = rng.uniform(-0.4, 0.4, (400, 2))
    with ZeroNoise():
        private = release(memory(), Z[place], V)
    exact = attention(Q, Z[place], V, temperature)
    reliable = np.abs(private.query(Q, temperature=temperature, shrink=False) - exact).max()
    assert reliable < 1e-3
    N, D, log_scale = private.numerator_denominator(Q, temperature=temperature)
    sums = np.exp(Q @ Z[place].T / temperature)
    assert np.abs(np.exp(log_scale) * D / sums.sum(axis=1) - 1).max() < 1e-9
    assert np.abs(N / D[:, None] - exact).max() < 1e-3


def test_errors_have_the_size_that_is_stated(fixed_words):
    """A chi-square test of 200 releases; false alarms: 2e-6."""
    rng = np.random.default_rng(3)
    place, V = rng.integers(0, 5, 4000), rng.uniform(-0.4, 0.4, (4000, 2))
    structure, q = memory(), Q[:1]
    summary = structure.summarize(Z[place], V)
    exact = attention(q, Z[place], V, 1.0)
    scores = []
    for _ in range(200):
        private = dps.Budget(8.0, 1e-6, neighbors="add-remove").release(summary, share=1)
        off = private.query(q, temperature=1.0, shrink=False) - exact
        scores.append((off**2).sum() / private.error(q, temperature=1.0)[0] ** 2)
    # two coordinates: their squared error over its mean spreads no more than one squared normal
    total = float(np.sum(scores))
    assert chi2.ppf(1e-6, 200) < total < chi2.ppf(1 - 1e-6, 200)


def test_what_a_plan_says():
    plan = memory().plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    private = release(memory(), np.repeat(Z, 2000, axis=0), np.zeros((10_000, 2)))
    assert "noise" in str(plan)
    assert 0.3 < plan.error / private.error(Z * 100, temperature=0.1).mean() < 3
    few = dps.AnchorAttention(Z, 2, value_norm=B, expected_rows=20)
    assert "hopeless" in str(few.plan(epsilon=0.1, delta=1e-6, neighbors="add-remove"))


@pytest.mark.parametrize("anchors", [[], [[]], [[1.0], [1.0, 2.0]], [["a"]], 3.0])
def test_anchors_are_checked(anchors):
    with pytest.raises(dps.InvalidParameter, match="anchors"):
        dps.AnchorAttention(anchors, 1, value_norm=1.0)


def test_anchors_take_no_polynomial():
    private = release(memory(), Z, np.zeros((5, 2)))
    with pytest.raises(dps.InvalidParameter, match="coefficients"):
        private.query(Q, coefficients="prior")
