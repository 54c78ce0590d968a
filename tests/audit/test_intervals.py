"""Exact binomial limits: published values, exact tails in fractions, extreme levels."""

import math
from fractions import Fraction

import pytest
from oracle.audit import binomial_at_least

from dpstruct.audit.events import EPSILON, MU
from dpstruct.audit.intervals import logistic, logit, lower_limit, upper_limit


def test_published_values():
    assert float(lower_limit(600, 1000, 0.05)) == pytest.approx(0.5738234133, abs=5e-11)
    assert float(EPSILON.lower(600, 1000, 400, 1000, 0.05, 0.0)) == pytest.approx(0.2974679236, abs=5e-11)
    assert float(EPSILON.lower(600, 1000, 400, 1000, 1e-6, 0.0)) == pytest.approx(0.0990737231, abs=5e-11)
    assert float(EPSILON.lower(600, 1000, 200, 1000, 0.05, 0.01)) == pytest.approx(0.9046920602, abs=5e-11)
    assert float(MU.lower(600, 1000, 200, 1000, 0.05, 0.0)) == pytest.approx(0.9250744385, abs=5e-11)


@pytest.mark.parametrize("level", [0.3, 0.05, 1e-6, 1e-12])
@pytest.mark.parametrize(("k", "n"), [(0, 7), (1, 7), (4, 7), (7, 7), (30, 200)])
def test_the_chance_of_as_many_hits_is_the_level(k, n, level):
    low, high = float(lower_limit(k, n, level)), float(upper_limit(k, n, level))
    if k:
        assert float(binomial_at_least(k, n, Fraction(low))) == pytest.approx(level, rel=1e-7)
    else:
        assert low == 0.0
    if k < n:
        assert float(binomial_at_least(n - k, n, 1 - Fraction(high))) == pytest.approx(level, rel=1e-4)
    else:
        assert high == 1.0


def test_logistic_scale():
    for x in (-700.0, -30.0, -1.0, 0.0, 2.5, 10.0):
        assert logit(logistic(x)) == pytest.approx(x, rel=1e-9)
    assert (logit(0.0), logit(1.0), logistic(800.0)) == (-math.inf, math.inf, 1.0)


def test_limits_of_no_violation():
    assert float(EPSILON.lower(0, 0, 0, 0, 0.05, 0.0)) == -math.inf
    assert float(EPSILON.lower(5, 100, 5, 100, 0.05, 0.99)) == -math.inf
    assert float(EPSILON.upper(5, 100, 0, 100, 0.05, 0.0)) == math.inf
    assert float(EPSILON.upper(5, 100, 0, 100, 0.05, 0.01)) == math.inf
    assert float(MU.upper(5, 100, 0, 100, 0.05, 0.0)) == math.inf
    assert float(EPSILON.lower(5, 100, 5, 100, 0.05, 0.01)) < float(EPSILON.upper(5, 100, 5, 100, 0.05, 0.01))
