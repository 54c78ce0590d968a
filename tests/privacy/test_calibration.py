"""Scales and prices: decided by rationals, to the last double."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, UNIT, price, smallest_scale

KINDS = {"rounded-gaussian": 2, "discrete-laplace": 1}
kinds = st.sampled_from(sorted(KINDS))
rationals = st.builds(Fraction, st.integers(1, 1 << 70), st.integers(1, 1 << 70))
costs = st.integers(1, 1 << 120)
scales = st.floats(1e-9, 1e18)


@given(kinds, rationals, rationals, costs)
def test_the_smallest_double_that_holds(kind, weight, sensitivity, cost):
    power, need = KINDS[kind], weight * sensitivity * UNIT
    scale = smallest_scale(kind, weight, sensitivity, cost)
    assert Fraction(scale) ** power * cost >= need
    assert Fraction(math.nextafter(scale, 0)) ** power * cost < need


@given(kinds, rationals, rationals, scales)
def test_price_is_the_ceiling(kind, weight, sensitivity, scale):
    exact = weight * sensitivity * UNIT / Fraction(scale) ** KINDS[kind]
    assert price(kind, weight, sensitivity, scale) - 1 < exact <= price(kind, weight, sensitivity, scale)


@given(kinds, rationals, rationals, costs)
def test_a_calibrated_scale_never_costs_more(kind, weight, sensitivity, cost):
    scale = smallest_scale(kind, weight, sensitivity, cost)
    assert price(kind, weight, sensitivity, scale) <= cost
    assert price(kind, weight, sensitivity, math.nextafter(scale, 0)) >= cost


def test_reference_values():
    assert price("rounded-gaussian", 1, 1, 10) == 12676506002282294014967032054
    total = GDP.from_approx_dp(1, 1e-6)
    quarter = total.units // 4
    assert smallest_scale("rounded-gaussian", Fraction(1), Fraction(2**40), quarter) == 8859793.7821099907
    left = GDP.from_units(total.units - 2 * quarter)
    assert left.floor == pytest.approx(0.1673752727, rel=1e-9)


def test_numpy_numbers_do_not_wrap():
    big = np.int64(2**62)
    assert price("rounded-gaussian", big, big, 1.0) == 2**224
    assert smallest_scale("rounded-gaussian", big, big, np.int64(1)) == 2.0**112
    assert price("discrete-laplace", big, big, np.float32(0.5)) == 2**225


@pytest.mark.parametrize("value", [0, -1, True, 0.5, float("nan"), "1", None, np.float64(1), 1j])
def test_weights_and_sensitivities_are_positive_rationals(value):
    for args in ((value, 1), (1, value)):
        with pytest.raises(InvalidParameter):
            price("rounded-gaussian", *args, 1.0)
        with pytest.raises(InvalidParameter):
            smallest_scale("rounded-gaussian", *args, 1)


@pytest.mark.parametrize("scale", [0, -1.0, math.inf, math.nan, 1e-320, True, "1", None, 1j])
def test_bad_scales(scale):
    with pytest.raises(InvalidParameter, match="scale"):
        price("discrete-laplace", 1, 1, scale)


@pytest.mark.parametrize("cost", [0, -1, 1.0, True, "1", None, Fraction(1)])
def test_bad_costs(cost):
    with pytest.raises(InvalidParameter, match="cost_units"):
        smallest_scale("discrete-laplace", 1, 1, cost)


@pytest.mark.parametrize("kind", ["gaussian", "", None, 1, ["rounded-gaussian"], b"rounded-gaussian"])
def test_unknown_kinds(kind):
    with pytest.raises(InvalidParameter, match="kind"):
        price(kind, 1, 1, 1.0)
    with pytest.raises(InvalidParameter, match="kind"):
        smallest_scale(kind, 1, 1, 1)


def test_extreme_scales():
    for kind, sensitivity in (("discrete-laplace", 1 << 2000), ("rounded-gaussian", 1 << 3000)):
        with pytest.raises(InvalidParameter, match="cost_units"):
            smallest_scale(kind, 1, Fraction(sensitivity), 1)
    tiny = smallest_scale("discrete-laplace", Fraction(1, 1 << 2000), Fraction(1), 1)
    assert tiny == 2.0**-1022
    assert price("discrete-laplace", Fraction(1, 1 << 2000), Fraction(1), tiny) == 1
