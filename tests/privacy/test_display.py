"""Printed guarantees: never better than the truth, and never without relation and unit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, ApproxDP, PureDP, RowsWithin, guarantee, remaining, round_down, round_up

positive = st.floats(1e-300, 1e300)
digits = st.integers(1, 17)


@given(positive, digits)
def test_floats_round_in_the_safe_direction(x, n):
    down, up = float(round_down(x, n)), float(round_up(x, n))
    assert down <= x <= up
    assert up - down <= 10.0 ** (1 - n) * x * 1.01 + np.spacing(x)


@given(st.fractions(0, 10**6), digits)
def test_fractions_round_exactly(x, n):
    assert Fraction(round_down(x, n)) <= x <= Fraction(round_up(x, n))


@given(st.decimals("0.0001", "9999", places=3))
def test_short_decimals_print_as_typed(x):
    if len(x.normalize().as_tuple().digits) <= 4 and x:
        assert Fraction(round_up(float(x))) == Fraction(round_down(float(x))) == Fraction(x)


def test_known_digits():
    assert (round_up(4.886554117), round_down(4.886554117)) == ("4.887", "4.886")
    assert (round_up(0.1), round_down(0.1), round_up(0.3), round_down(0.3)) == ("0.1", "0.1", "0.3", "0.3")
    assert (round_up(0.0), round_up(100.0), round_up(1e-6), round_up(99999.0)) == ("0", "100", "1e-6", "100000")
    assert (round_up(1 / 3, 2), round_down(Fraction(2, 3), 2), round_up(Fraction(2, 3), 2)) == ("0.34", "0.66", "0.67")


def test_reprs_are_exact_and_claims_round_up():
    for measure in (GDP(0.23670438), GDP(0.1), PureDP(0.123412), ApproxDP(1.00001, 1.00001e-6)):
        assert eval(repr(measure)) == measure
    assert GDP(0.23670438).claim() == "0.2368-GDP"
    assert PureDP(0.123412).claim() == "0.1235-DP"
    assert ApproxDP(1.00001, 1.00001e-6).claim() == "(1.001, 1.001e-6)-DP"
    assert GDP(0.1).claim() == "0.1-GDP"


def test_a_typed_budget_is_printed_as_typed():
    text = guarantee(GDP.from_approx_dp(1, 1e-6), "add-remove", "row", 1e-6)
    assert text == "(1, 1e-6)-DP from 0.2368-GDP for add-remove neighbors, unit row"
    assert guarantee(PureDP(0.3), "substitute", "user") == "0.3-DP for substitute neighbors, unit user"
    assert (
        guarantee(ApproxDP(2, 1e-5), RowsWithin(0.5), "row") == "(2, 1e-5)-DP for rows-within 0.5 neighbors, unit row"
    )


def test_remaining_rounds_down_and_can_be_spent():
    total = GDP.from_approx_dp(1, 1e-6)
    left = GDP.from_units(total.units - 2 * (total.units // 4))
    text = remaining(left, "add-remove", "row", 1e-6)
    assert text.startswith("one release of 0.1673-GDP, or of epsilon 0.6")
    assert text.endswith("at delta 1e-6, for add-remove neighbors, unit row")
    shown = float(text.split("epsilon ")[1].split()[0])
    assert GDP.from_approx_dp(shown, 1e-6).units <= left.units < GDP.from_approx_dp(shown + 1e-3, 1e-6).units
    assert remaining(total, "add-remove", "row", 1e-6).startswith("one release of 0.2367-GDP, or of epsilon 1 at")
    assert remaining(PureDP(0.3), "substitute", "user") == "one release of 0.3-DP, for substitute neighbors, unit user"


@given(st.floats(1e-3, 10), st.sampled_from([1e-12, 1e-6, 1e-3]))
def test_every_printed_number_is_safe(mu, delta):
    measure = GDP(mu)
    claim = measure.claim(delta)
    epsilon, shown_mu = float(claim[1:].split(",")[0]), float(claim.split("from ")[1].split("-")[0])
    assert measure.delta(epsilon * (1 + 1e-11)) <= delta * (1 + 1e-9)
    assert shown_mu >= mu
    room = measure.room(delta)
    assert float(room.split("-GDP")[0]) <= mu
    assert float(room.split("epsilon ")[1].split()[0]) <= measure.epsilon(delta)


@pytest.mark.parametrize("unit", ["", "  ", None, 1, b"row", True])
def test_the_unit_is_never_missing(unit):
    for words in (guarantee, remaining):
        with pytest.raises(InvalidParameter, match="unit"):
            words(GDP(1), "add-remove", unit)


@pytest.mark.parametrize("relation", ["", None, "add_remove", 1])
def test_the_relation_is_never_missing(relation):
    for words in (guarantee, remaining):
        with pytest.raises(InvalidParameter, match="neighbors"):
            words(GDP(1), relation, "row")
