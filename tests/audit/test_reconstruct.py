"""The red team: exact recovery from published weights and moments, no more than the theorem from private ones."""

import math

import numpy as np
import pytest
from oracle.moments import Moments, john_weights
from scipy.stats import binom, norm

import dpstruct as dps
from dpstruct.audit.reconstruct import (
    differencing,
    identification_bound,
    identification_test,
    identify,
    leverage_scores,
    quadratic_form,
)
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, ApproxDP, PureDP
from dpstruct.reference import FastDPJohn

ROWS = np.random.default_rng(11).standard_normal((60, 3))


@pytest.fixture(scope="module")
def optimal():
    weights = john_weights(ROWS)
    return weights, ROWS.T @ (weights[:, None] * ROWS)


@pytest.mark.parametrize("sigma", [0.003, 0.1, 37.0])
def test_differencing_recovers_every_row_of_the_published_algorithm(sigma):
    random = np.random.default_rng(3)
    rows = random.standard_normal((200, 5))
    john = FastDPJohn(sigma=sigma, T=40, s=20, N="all").fit(rows, random, with_matrix=True)
    for i in range(0, 200, 7):
        found = differencing(john.weights, john.matrix, np.delete(rows, i, axis=0), i)
        assert found.error(rows[i]) < 1e-10
        assert found.residual < 1e-10


def test_quadratic_form_recovers_a_missing_attribute_at_the_optimum(optimal):
    weights, gram = optimal
    support = np.flatnonzero(weights)
    assert len(support) >= 3
    for i in support:
        for missing in range(3):
            known = ROWS[i].copy()
            known[missing] = np.nan
            assert quadratic_form(gram, known, missing).error(ROWS[i]) < 1e-6


@pytest.mark.parametrize("unknown", [slice(0, 1), slice(0, 2), slice(None)])
def test_leverage_scores_recover_entries_from_the_weights_alone(optimal, unknown):
    weights, _ = optimal
    for i in np.flatnonzero(weights)[:3]:
        known = ROWS.copy()
        known[i, unknown] = np.nan
        found = leverage_scores(weights, known, starts=8)
        assert found.error(ROWS[i]) < 1e-8
        assert found.residual < 1e-10


def test_leverage_scores_of_two_rows_at_once(optimal):
    """Six unknowns, and as many equations as rows of positive weight: with released scores of all rows, plenty."""
    weights = np.full(60, 0.05)
    scores = np.einsum("ij,jk,ik->i", ROWS, np.linalg.inv(ROWS.T @ (weights[:, None] * ROWS)), ROWS)
    known = ROWS.copy()
    known[[4, 9]] = np.nan
    found = leverage_scores(weights, known, scores=scores, starts=30)
    assert found.residual < 1e-10
    for guess, row in zip(found.guesses, ROWS[[4, 9]]):
        assert min(np.abs(guess - row).max(), np.abs(guess + row).max()) < 1e-8


def test_the_gradient_of_the_leverage_equations():
    from dpstruct.audit.reconstruct import _equations

    unknown, weights = np.zeros(ROWS.shape, bool), np.linspace(0.1, 1, 60)
    unknown[[2, 5], [0, 1]] = unknown[2, 2] = True
    value, jacobian = _equations(ROWS, unknown, weights)
    for column, (i, k) in enumerate(zip(*np.nonzero(unknown))):
        moved = ROWS.copy()
        moved[i, k] += 1e-6
        assert (_equations(moved, unknown, weights)[0] - value) / 1e-6 == pytest.approx(jacobian[:, column], abs=1e-4)


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("k", [2, 4, 100])
def test_the_bound_in_closed_form(mu, k):
    assert identification_bound(GDP(mu), k) == pytest.approx(norm.cdf(mu + norm.ppf(1 / k)), rel=1e-12)
    pure = min(math.exp(mu) / k, 1 - math.exp(-mu) * (1 - 1 / k))
    assert identification_bound(PureDP(mu), k) == pytest.approx(pure, rel=1e-12)
    assert identification_bound(ApproxDP(mu, 0.01), k) == pytest.approx(min(pure, 1) + 0.01, abs=0.01)


def test_the_bound_beside_randomised_response():
    """Randomised response among k symbols names its symbol with probability e^eps/(e^eps + k - 1)."""
    for k in (2, 5):
        assert math.e / (math.e + k - 1) <= identification_bound(PureDP(1.0), k)
    assert math.e / (math.e + 1) == pytest.approx(0.7310586)
    assert identification_bound(PureDP(1.0), 2) == pytest.approx(1 - math.exp(-1) / 2)


def trials(gram_of, count, random):
    """How often the likelihood attack names the row among four, with all other rows known."""
    others, hits = random.uniform(-0.5, 0.5, (5, 3)), 0
    for _ in range(count):
        candidates = random.standard_normal((4, 3))
        candidates /= np.linalg.norm(candidates, axis=1)[:, None]
        truth = int(random.integers(4))
        gram = gram_of(np.vstack([others, candidates[truth]]))
        hits += identify(np.ones(6), gram, others, 5, candidates) == truth
    return hits


@pytest.mark.parametrize("mu", [0.5, 2.0])
def test_attack_fails_on_a_private_release(mu, fixed_words):
    """False alarm below 1e-6: the claim is true, and the attack, close to the best, stays below the bound."""
    structure = Moments(bounds=dps.Ball(1.0, dim=3))

    def gram_of(rows):
        budget = dps.Budget(epsilon=40.0, delta=1e-6, neighbors="add-remove")
        return budget.release(structure.summarize(rows), cost=GDP(mu)).gram

    found = identification_test(trials(gram_of, 200, np.random.default_rng(5)), 200, 4, GDP(mu))
    assert found.p_value > 1e-6, str(found)
    assert found.hits > 200 / 4  # the attack does see something
    assert f"the claim allows {found.bound:.4f}" in str(found)


JOHN = dps.JohnEllipsoid(dps.Ball(1.0, dim=3), expected_rows=6, center=False, method="second-moment")


def john_gram(rows, mu):
    """What a private ellipsoid publishes in place of A^T A."""
    budget = dps.Budget(epsilon=1000.0, delta=1e-6, neighbors="add-remove")
    moments = budget.release(JOHN.summarize(rows), cost=GDP(mu)).transcript
    upper = np.zeros((3, 3))
    upper[np.triu_indices(3, 1)] = moments["moment_upper"]
    return (upper + upper.T + np.diag(moments["moment_diagonal"])) / 4.0**16


def test_attacks_fail_on_a_private_ellipsoid(fixed_words):
    """Where the published algorithm loses a row to ten digits; false alarm below 1e-6."""
    random = np.random.default_rng(8)
    rows = random.standard_normal((6, 3))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    john = FastDPJohn(sigma=0.1, T=20, s=20, N="all").fit(rows, random, with_matrix=True)
    assert differencing(john.weights, john.matrix, rows[:5], 5).error(rows[5]) < 1e-10
    assert differencing(np.ones(6), john_gram(rows, 30.0), rows[:5], 5).error(rows[5]) < 0.1  # the attack is aimed well
    errors = [differencing(np.ones(6), john_gram(rows, 1.0), rows[:5], 5).error(rows[5]) for _ in range(20)]
    assert np.median(errors) > 0.3
    hits = trials(lambda rows: john_gram(rows, 2.0), 120, random)
    found = identification_test(hits, 120, 4, GDP(2.0))
    assert found.p_value > 1e-6, str(found)
    assert found.hits > 120 / 4


def test_attack_succeeds_without_noise_and_the_test_says_so():
    hits = trials(lambda rows: rows.T @ rows, 60, np.random.default_rng(5))
    found = identification_test(hits, 60, 4, GDP(2.0))
    assert hits == 60
    assert found.p_value < 0.9076**60 < 0.01
    assert identification_test(hits, 60, 4, GDP(1.0)).p_value < 1e-12


def test_the_test_is_the_exact_binomial():
    found = identification_test(70, 100, 4, GDP(1.0))
    tail = sum(binom.pmf(k, 100, found.bound) for k in range(70, 101))
    assert found.p_value == pytest.approx(tail, rel=1e-9)
    assert identification_test(0, 100, 4, GDP(1.0)).p_value == 1.0


def test_a_reconstruction_in_words(optimal):
    weights, gram = optimal
    i = int(np.argmax(weights))
    text = str(quadratic_form(gram, ROWS[i], 0))
    assert text.startswith("quadratic form, knowing the moment matrix")
    assert "or 1 other," in text
    assert "1 other" not in str(differencing(weights, gram, np.delete(ROWS, i, axis=0), i))


@pytest.mark.parametrize(
    "call",
    [
        lambda: differencing([1.0, 0.0], np.eye(2), [[1.0, 0.0]], 1),
        lambda: differencing([1.0, 1.0], np.eye(2), [[1.0, 0.0]], 2),
        lambda: differencing([1.0, 1.0], np.eye(2), [[1.0, np.nan]], 1),
        lambda: differencing([1.0], np.eye(2), [[1.0, 0.0]], 0),
        lambda: differencing([1.0, 1.0], np.ones(3), [[1.0, 0.0]], 0),
        lambda: quadratic_form(np.zeros((2, 2)), [1.0, 0.0], 0),
        lambda: quadratic_form(np.eye(2), [1.0, np.inf], 0),
        lambda: quadratic_form(np.eye(2), [1.0], 0),
        lambda: leverage_scores([1.0, 1.0], [[1.0], [2.0]]),
        lambda: leverage_scores([1.0, -1.0], [[1.0], [np.nan]]),
        lambda: identification_bound(GDP(1.0), 1),
        lambda: identification_test(5, 4, 4, GDP(1.0)),
    ],
)
def test_bad_input(call):
    with pytest.raises(InvalidParameter):
        call()
