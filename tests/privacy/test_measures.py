"""Measures are exact integers, survive copies, refuse nonsense, and print on the safe side."""

from __future__ import annotations

import copy
import math
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import privacy as oracle

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, UNIT, ApproxDP, PureDP

mus = st.floats(1e-6, 60)


def test_reference_budget():
    assert GDP.from_approx_dp(1, 1e-6).units == 71025149623250423496066502010
    assert ApproxDP(1, 1e-6).to_gdp() == GDP.from_approx_dp(1, 1e-6)


@given(mus)
def test_gdp_units_are_the_floor_of_the_square(mu):
    units = GDP(mu).units
    assert isinstance(units, int)
    assert units <= Fraction(mu) ** 2 * UNIT < units + 1
    assert GDP(mu).mu == mu == GDP(mu).floor


@given(st.floats(2.0**-100, 1e6))
def test_pure_units_are_the_floor(epsilon):
    units = PureDP(epsilon).units
    assert units <= Fraction(epsilon) * UNIT < units + 1


@given(st.floats(1e-12, 1e6))
def test_an_epsilon_is_read_back_as_typed(epsilon):
    assert PureDP(epsilon).epsilon == epsilon == PureDP(epsilon).floor


@given(st.integers(1, 1 << 160))
def test_claims_are_the_least_double_above_and_floors_the_largest_affordable(units):
    for measure, claim, power in (
        (GDP.from_units(units), GDP.from_units(units).mu, 2),
        (PureDP.from_units(units), PureDP.from_units(units).epsilon, 1),
    ):
        assert Fraction(claim) ** power * UNIT >= units > Fraction(math.nextafter(claim, 0)) ** power * UNIT
        floor, above = measure.floor, math.nextafter(measure.floor, math.inf)
        assert math.floor(Fraction(floor) ** power * UNIT) <= units < math.floor(Fraction(above) ** power * UNIT)


def test_nothing_left():
    for measure in (GDP.from_units(0), PureDP.from_units(0)):
        assert measure.units == measure.floor == measure.delta(0.0) == 0
        assert repr(measure).endswith("(0.0)")
        assert "0-" in measure.claim(1e-6)
        assert "0-" in measure.room(1e-6)
    assert GDP.from_units(0).mu == GDP.from_units(0).epsilon(1e-6) == GDP.from_units(0).epsilon_floor(1e-6) == 0
    assert GDP.from_pure(PureDP.from_units(0)) == GDP.from_units(0)


@pytest.mark.parametrize("units", [1, 10**6, 1 << 60, (1 << 100) * 3601, 1 << 300, 1 << 2000], ids=int.bit_length)
def test_no_property_raises_for_any_units(units):
    for measure in (GDP.from_units(units), PureDP.from_units(units)):
        assert measure.units == units
        assert measure.floor > 0
        assert measure.delta(1.0) >= 0
        assert all(map(len, (repr(measure), measure.claim(1e-6), measure.room(1e-6))))
    assert GDP.from_units(units).mu > 0
    assert GDP.from_units(units).epsilon(1e-6) >= 0
    assert GDP.from_units(units).epsilon_floor(1e-6) >= 0


@pytest.mark.parametrize("delta", [1e-12, 1e-6, 1e-3])
def test_epsilon_floor_is_affordable_and_epsilon_is_a_claim(delta):
    for mu in np.random.default_rng(12).uniform(0.01, 8, 60).tolist():
        measure = GDP(mu)
        low, high = measure.epsilon_floor(delta), measure.epsilon(delta)
        assert high * (1 - 1e-9) <= low <= high
        assert GDP.from_approx_dp(low, delta).units <= measure.units
    assert GDP(1e-6).epsilon_floor(0.1) == GDP(1e-6).epsilon(0.1) == 0


@given(mus, st.integers(1, 1000))
def test_groups_are_exact(mu, k):
    assert GDP(mu).group(k).units == k * k * GDP(mu).units
    assert PureDP(mu).group(k).units == k * PureDP(mu).units
    assert GDP(mu).group(k).mu == pytest.approx(k * mu)


@given(st.floats(1e-6, 20))
def test_a_pure_price_in_gdp_is_rounded_up(epsilon):
    mu = oracle.CTX.sqrt(oracle.number(Fraction(GDP.from_pure(PureDP(epsilon)).units, UNIT)))
    assert oracle.gdp_trade_off_at_corner(mu) < oracle.pure_corner(epsilon)


@given(st.floats(1e-3, 30), st.floats(0, 40, allow_subnormal=False))
def test_pure_delta_is_the_profile_of_randomised_response(pure, epsilon):
    stated, truth = PureDP(pure).delta(epsilon), oracle.pure_delta(epsilon, pure)
    assert truth <= stated <= truth * (1 + 1e-13) + 1e-300
    assert (stated == 0) == (epsilon >= pure)


def test_equality_hash_and_copies():
    assert GDP(1) == GDP(1.0) == GDP(np.float64(1)) == GDP(np.int64(1)) == GDP(Fraction(1)) == GDP.from_units(UNIT)
    assert GDP(1) != PureDP(1)
    assert len({GDP(1), GDP(1.0), PureDP(1), ApproxDP(1, 1e-6), ApproxDP(1.0, 1e-6)}) == 3
    for measure in (GDP(0.3), PureDP(0.3), ApproxDP(0.3, 1e-6)):
        assert copy.deepcopy(measure) == copy.copy(measure) == pickle.loads(pickle.dumps(measure)) == measure
        for name in ("units", "epsilon", "delta", "new"):
            with pytest.raises((AttributeError, TypeError)):
                setattr(measure, name, 5)


BAD = [0, -1, 0.0, -0.0, float("nan"), float("inf"), -float("inf"), 5e-324, 1e-310, 10**400, Fraction(1, 10**400)]
BAD_TYPE = [
    True,
    False,
    np.bool_(True),
    "1",
    b"1",
    None,
    1j,
    np.complex128(1),
    [1.0],
    np.array(1.0),
    Decimal(1),
    object(),
]


@pytest.mark.parametrize("value", BAD + BAD_TYPE)
def test_bad_parameters(value):
    for call in (GDP, PureDP, lambda v: ApproxDP(v, 1e-6), lambda v: ApproxDP(1, v)):
        with pytest.raises(InvalidType if value in BAD_TYPE[:1] else InvalidParameter):
            call(value)


@pytest.mark.parametrize("value", BAD_TYPE, ids=lambda v: type(v).__name__)
def test_bad_types(value):
    for call in (GDP, PureDP, lambda v: ApproxDP(v, 1e-6), GDP.from_units, PureDP.from_units, GDP(1).group):
        with pytest.raises(InvalidType):
            call(value)


@pytest.mark.parametrize("mu", [math.nextafter(1e-6, 0), math.nextafter(60, 61)])
def test_mu_range(mu):
    with pytest.raises(InvalidParameter, match="mu"):
        GDP(mu)


def test_a_price_of_zero_units_can_not_be_asked_for():
    with pytest.raises(InvalidParameter, match=r"2\^-100"):
        PureDP(math.nextafter(2.0**-100, 0))
    assert PureDP(2.0**-100).units == 1
    assert GDP.from_pure(PureDP.from_units(1)).units == 1


@pytest.mark.parametrize("units", [-1, 1.0, Fraction(1), np.float64(1)])
def test_units_are_integers(units):
    for kind in (GDP, PureDP):
        with pytest.raises(InvalidParameter):
            kind.from_units(units)


def test_numpy_units_become_python_integers():
    assert type(GDP.from_units(np.int64(2**62)).units) is int
    assert GDP.from_units(np.int64(2**62)).group(np.int64(4)).units == 2**66
    for k in (0, -1, 1.5):
        with pytest.raises(InvalidParameter):
            GDP(1).group(k)
