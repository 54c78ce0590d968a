"""Numbers are never shown better than they are."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct.report.numbers import figure, percent, ticks

EXPONENTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def read(text):
    """What a reader makes of a shown number."""
    mantissa, _, power = text.replace(",", "").partition("\u00a0×\u00a010")
    return Fraction(mantissa) * Fraction(10) ** int(power.translate(EXPONENTS) or 0)


@given(st.floats(min_value=1e-30, max_value=1e30), st.integers(1, 8))
def test_figures_are_as_near_as_their_digits_allow(value, digits):
    step = Fraction(repr(value)) / 10 ** (digits - 1)
    assert abs(read(figure(value, digits)) - Fraction(repr(value))) <= step / 2


@given(st.fractions(0, 1))
def test_shares_round_outward(share):
    assert Fraction(percent(share, up=True)[:-2]) / 100 >= share >= Fraction(percent(share, up=False)[:-2]) / 100


def test_a_stated_number_is_shown_as_stated():
    assert (percent(0.1, up=True), percent(0.9, up=False), figure(0.0), figure(-1234.5)) == (
        "10.0 %", "90.0 %", "0", "-1,234"
    )  # fmt: skip


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 6))
def test_ticks_are_round_and_inside(low, width, count):
    if width < 1e-6 * abs(low):
        return  # an interval that no axis shows
    places, unit = ticks(low, low + width, count)
    assert 1 <= len(places) <= 2 * count + 1
    slack = 1e-8 * width
    assert all(low - slack <= place <= low + width + slack for place, _ in places)
    texts = [text for _, text in places]
    assert len(set(texts)) == len(texts)
    scale = {"": 1, "thousands": 10**3, "millions": 10**6, "billions": 10**9}.get(unit)
    if scale is None:
        scale = Fraction(10) ** int(unit.removeprefix("× 10").translate(EXPONENTS))
    for place, text in places:
        assert float(read(text.replace("−", "-")) * scale) == pytest.approx(place, rel=1e-9, abs=slack)
