"""How many runs a test needs: published limits, and the growth that a grid search finds."""

import math

import numpy as np
import pytest
from oracle.audit import plane_value

from dpstruct.audit import runs_needed, runs_to_distinguish
from dpstruct.audit.claims import read_claim
from dpstruct.audit.needed import _joint_growth, _laws, _plane_growth
from dpstruct.privacy import GDP, ApproxDP, PureDP


def laplace_pair(epsilon):
    """Laplace noise of scale 1/epsilon on 0 and 1, in cells within which the likelihood ratio is nearly constant."""
    edges = np.concatenate([[-np.inf], np.linspace(0, 1, 4001), [np.inf]])

    def cdf(t):
        return np.where(t < 0, 0.5 * np.exp(np.minimum(t, 0) * epsilon), 1 - 0.5 * np.exp(-np.maximum(t, 0) * epsilon))

    return np.diff(cdf(edges)), np.diff(cdf(edges - 1))


@pytest.mark.parametrize(
    ("epsilon", "few", "many"), [(1.05, 41_948, 83_897), (1.1, 10_705, 21_410), (1.25, 1_822, 3_644), (2, 155, 310)]
)
def test_laplace_against_a_pure_claim(epsilon, few, many):
    assert runs_needed(PureDP(1), laplace_pair(epsilon), 1e-3) == pytest.approx(few, abs=1.0)
    assert runs_needed(PureDP(1), laplace_pair(epsilon), 1e-6) == pytest.approx(many, abs=1.0)


def test_randomised_response_is_the_fastest_to_refute():
    for epsilon in (1.05, 1.25, 2):
        assert runs_needed(PureDP(1), PureDP(epsilon)) < runs_needed(PureDP(1), laplace_pair(epsilon))


def test_gaussian_against_a_gaussian():
    assert runs_needed(GDP(1), GDP(1.1), 1e-3) == pytest.approx(5_526, abs=1)
    assert runs_needed(GDP(1), GDP(1), 1e-3) == math.inf


@pytest.mark.parametrize(("mu", "one"), [(1.1, 16_194), (1.2, 4_072), (2, 201)])
def test_one_half_plane_and_all_of_them(mu, one):
    p, q = _laws(GDP(mu))
    claim, level = read_claim(GDP(1)), math.log(1e3)
    best = level / max(_plane_growth(e, d, p, q) for e, d in claim.pairs)
    assert best == pytest.approx(one, rel=0.02)
    joint = level / _joint_growth(claim, p, q)
    assert runs_needed(GDP(1), GDP(mu), 1e-3) < joint < 0.6 * best


def test_joint_growth_of_a_near_miss():
    assert math.log(1e3) / _joint_growth(read_claim(GDP(1)), *_laws(GDP(1.1))) == pytest.approx(6_991, rel=0.04)


def test_growth_of_a_half_plane_is_that_of_a_grid_search():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    assert _plane_growth(0.5, 0.05, p, q) == pytest.approx(plane_value(p, q, 0.5, 0.05), rel=1e-3)


@pytest.mark.parametrize("epsilon", [0.5, 1.0])
def test_raw_disclosure(epsilon):
    share = 1e-3
    expected = 2 * math.log(1e6) / (share * math.log1p(math.exp(-epsilon)))
    assert runs_needed(PureDP(epsilon), ([1 - share, share], [1, 0])) == pytest.approx(expected, rel=1e-2)


def test_rare_disclosure_against_a_delta():
    assert runs_needed(ApproxDP(1, 1e-6), ([1 - 1e-3, 1e-3], [1, 0])) == pytest.approx(8.83e4, rel=2e-3)
    assert runs_needed(ApproxDP(1, 1e-6), ([1 - 1e-5, 1e-5], [1, 0])) == pytest.approx(1.0e7, rel=1e-2)


def test_a_kept_claim_is_never_refuted():
    assert runs_needed(PureDP(1), laplace_pair(1)) > 1e12
    assert runs_needed(PureDP(1), PureDP(1)) == math.inf
    assert runs_needed([(1.0, 0.13)], GDP(1)) > 1e9
    assert runs_needed(PureDP(1), ([0.5, 0.5], [0.5, 0.5])) == math.inf


def test_telling_two_laws_apart():
    assert runs_to_distinguish(GDP(0.237), 0.01) == pytest.approx((229, 557), abs=0.6)
    epsilon = 1.3
    low, high = runs_to_distinguish(PureDP(epsilon), 0.01)
    assert high == pytest.approx(math.log(50) / math.log(math.cosh(epsilon / 2)))
    assert low == pytest.approx(math.log(25) / (2 * math.log(math.cosh(epsilon / 2))))
    gaussian = runs_to_distinguish(_laws(GDP(0.5)), 0.01)
    assert gaussian == pytest.approx(runs_to_distinguish(GDP(0.5), 0.01), rel=1e-3)
    assert runs_to_distinguish(([1.0, 0.0], [0.0, 1.0]), 0.01) == (0.0, 0.0)


@pytest.mark.parametrize(
    "alternative", [ApproxDP(1, 0.01), ([0.5, 0.5], [1.0]), ([0.5, 0.4], [0.5, 0.5]), ([1.5, -0.5], [0.5, 0.5]), 3.0]
)
def test_no_laws(alternative):
    with pytest.raises(ValueError, match="alternative"):
        runs_needed(PureDP(1), alternative)


def test_bad_levels():
    with pytest.raises(ValueError, match="alpha"):
        runs_needed(PureDP(1), PureDP(2), 0.5)
    with pytest.raises(ValueError, match="beta"):
        runs_to_distinguish(PureDP(1), 0.0)
