"""Exact prices and the second accountant."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from oracle.toy import Mean

import dpstruct as dps
from dpstruct.core import Group, Line
from dpstruct.testing import (
    PrivacyViolation,
    assert_accounted,
    assert_price,
    assert_sensitivity,
)
from dpstruct.testing.accounting import delta_in_digits

COST = {"epsilon": 1.0, "delta": 1e-6}
BALL = dps.Ball(2.0, dim=2)


# ---- prices --------------------------------------------------------------------------------------------------------


def test_sensitivity_of_plain_functions():
    pair = np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[1.0, 1.0]])
    options = {"neighbors": "add-remove"}

    def total(rows):
        return rows.sum(axis=0)

    assert assert_sensitivity(total, pair, norm="l2", bound=5, **options) == 1
    assert assert_sensitivity(total, pair, norm="l1", bound=8, **options) == Fraction(7, 8)
    assert assert_sensitivity(total, pair, norm="linf", bound=4.0, **options) == 1
    with pytest.raises(PrivacyViolation, match=r"moves by 1 \+ 4e-16 of the bound in l2 squared"):
        assert_sensitivity(total, pair, norm="l2", bound=Fraction(5) - Fraction(1, 10**15), **options)
    with pytest.raises(PrivacyViolation, match="not finite"):
        assert_sensitivity(lambda rows: rows.sum() * np.inf, pair, norm="l2", bound=5, **options)
    with pytest.raises(PrivacyViolation, match="shapes"):
        assert_sensitivity(lambda rows: rows, pair, norm="l2", bound=5, **options)
    with pytest.raises(dps.NeighborsMismatch):
        assert_sensitivity(total, pair, norm="l2", bound=5, neighbors="substitute")
    with pytest.raises(dps.DPStructError, match="norm"):
        assert_sensitivity(total, pair, norm="l3", bound=5, **options)


@dataclass(frozen=True)
class TwoWeights(Mean):
    """One line with a weight per entry, in two groups: the price is that of its own scale for every entry."""

    def groups(self, cost, neighbors):
        size = 1 << self.bits
        line = Line("total", (2,), (Fraction(1), Fraction(4)))
        bound = Fraction(size**2)
        return [Group([line], bound, Fraction(1, 4)), Group([Line("count", ())], bound, Fraction(3, 4))]


def test_every_entry_is_priced_by_its_own_weight_and_share():
    plan = TwoWeights(BALL).plan(neighbors="add-remove", **COST)
    price = assert_price(plan, (np.array([[0.0, 2.0]]), np.empty((0, 2))))
    assert price.bounds == (Fraction(1, 4), Fraction(1))
    assert float(price.ratio) == pytest.approx(1 / 16 + 3 / 4, rel=1e-12)


# ---- accounting ----------------------------------------------------------------------------------------------------


def test_the_second_accountant():
    for epsilon, delta in ((0.0, 0.382924923), (0.5, 0.238421708), (1.0, 0.1269367375), (2.0, 0.020923636)):
        assert float(delta_in_digits(epsilon, Fraction(1))) == pytest.approx(delta, rel=1e-8)
    assert float(delta_in_digits(4.886554117462, Fraction(1))) == pytest.approx(1e-6, rel=1e-10)
    for cost in (COST, {"epsilon": 3.0}, {"cost": dps.GDP(0.5)}):
        assert 1 - 1e-12 < float(assert_accounted(Mean(BALL).plan(neighbors="substitute", **cost))) <= 1


def test_a_claim_that_is_too_small_is_found(monkeypatch):
    monkeypatch.setattr(dps.GDP, "epsilon", lambda self, delta: 0.9999)
    with pytest.raises(PrivacyViolation, match="claimed epsilon is too small"):
        assert_accounted(Mean(BALL).plan(neighbors="substitute", **COST))
