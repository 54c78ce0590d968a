"""Public maps and prices that break one law each, and a few that only look so."""

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from oracle.rejected import BALL, COST, place, rejected
from oracle.toy import Location, Mean

import dpstruct as dps
from dpstruct.core import Group, Line, Sums
from dpstruct.core import plan as plans
from dpstruct.lattice import to_lattice
from dpstruct.testing import PrivacyViolation, assert_accounted, check_structure

# ---- sensitivity ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OneStepTooFew(Mean):
    def groups(self, cost, neighbors):
        return [replace(g, sensitivity=g.sensitivity - 1) for g in super().groups(cost, neighbors)]


@dataclass(frozen=True)
class SubstituteAtThePriceOfOne(Mean):
    def groups(self, cost, neighbors):
        (group,) = super().groups(cost, neighbors)
        factor = (4 if isinstance(cost, dps.GDP) else 2) if neighbors != "add-remove" else 1
        return [replace(group, sensitivity=group.sensitivity / factor)]


@dataclass(frozen=True)
class CompositionForgotten(Mean):
    """Both lines are noised as if the other did not exist."""

    def groups(self, cost, neighbors):
        size = 1 << self.bits
        return [Group([Line("total", (self.bounds.dim,)), Line("count", ())], Fraction(size**2))]


@dataclass(frozen=True)
class OneGroupTooSmall(Mean):
    """The price is right, as part of the cost is not used, but one of the bounds it is made of is wrong."""

    def groups(self, cost, neighbors):
        size = Fraction(1 << self.bits) ** 2
        total, count = Line("total", (self.bounds.dim,)), Line("count", ())
        return [Group([total], size / 2, Fraction(1, 4)), Group([count], size, Fraction(1, 4))]


@dataclass(frozen=True)
class StepsForgotten(Location):
    """One group, one joint bound, but that of a single step."""

    def groups(self, cost, neighbors):
        groups = super().groups(cost, neighbors)
        return [Group([line for group in groups for line in group.lines], groups[0].sensitivity)]


def test_a_bound_one_step_too_small_is_found():
    message = rejected(OneStepTooFew(BALL))
    assert "costs more" in message
    assert "1 + 4.55e-13 of the declared" in message


@pytest.mark.parametrize("cost", [COST, {"epsilon": 1.0}])
def test_a_forgotten_substitute_factor_is_found(cost):
    assert "group (total): " in rejected(SubstituteAtThePriceOfOne(BALL), "substitute", cost)
    check_structure(SubstituteAtThePriceOfOne(BALL).plan(neighbors="add-remove", **cost), examples=10)


def test_forgotten_composition_is_found():
    assert "2 of the declared" in rejected(CompositionForgotten(BALL))
    assert "costs more" in rejected(StepsForgotten(BALL), answers=place)
    message = rejected(OneGroupTooSmall(BALL))
    assert "price: 0.75 of the cost" in message
    assert "group (total): 2 of the declared" in message


def test_scales_that_do_not_pay_for_the_plan_are_found():
    plan = Mean(BALL).plan(neighbors="add-remove", **COST)
    (event,) = plan.events
    lines = tuple(line._replace(scales=tuple(s / 2 for s in line.scales)) for line in event.lines)
    with pytest.raises(PrivacyViolation):
        assert_accounted(replace(plan, events=(replace(event, lines=lines),)))


def test_a_plan_that_costs_more_than_it_says_is_found():
    plan = Mean(BALL).plan(neighbors="add-remove", **COST)
    with pytest.raises(PrivacyViolation, match="receipt differs"):
        assert_accounted(replace(plan, cost=dps.GDP.from_units(plan.cost.units * 98 // 100)))


# ---- the public map ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShapeOfTheData(Mean):
    def contributions(self, X):
        rows = dict(super().contributions(X))
        return rows | {"total": rows["total"][:, : 1 if len(X) and (X[:, 0] == 0).all() else None]}


@dataclass(frozen=True)
class BoundsFromData(Mean):
    def contributions(self, X):
        length = np.abs(np.nan_to_num(X)).max(initial=1e-9)
        size = np.full(len(X), 1 << self.bits)
        return {"total": to_lattice(X.astype(float), bound=min(length, 1e300), bits=self.bits), "count": size}


@dataclass(frozen=True)
class FloatSum(Mean):
    """Adds floats and rounds the sum: the last bit depends on who else is there."""

    def seal(self, X, device="auto"):
        total = super().contributions(X)["total"] / 3.0
        return Sums(len(X), {"total": total.sum(axis=0).astype(np.int64), "count": np.array(len(X) << self.bits)})


@dataclass(frozen=True)
class Centered(Mean):
    def contributions(self, X):
        rows = dict(super().contributions(X))
        total = rows["total"]
        return rows | {"total": total - (total.sum(axis=0) // max(len(X), 1) if len(X) > 9 else 0)}


@dataclass(frozen=True)
class Refusing(Mean):
    def contributions(self, X):
        if np.isnan(X).any():
            raise ValueError("NaN")
        return super().contributions(X)


@dataclass(frozen=True)
class Warning_(Mean):
    def contributions(self, X):
        rows = dict(super().contributions(X))
        return rows | {"count": rows["count"] + (np.abs(X.astype(np.float64)) * 1e10 > 1e308).any() * 0}


@dataclass(frozen=True)
class OrderOfRows(Mean):
    def contributions(self, X):
        rows = dict(super().contributions(X))
        return rows | {"total": rows["total"] - np.arange(len(X))[:, None] % 2}


@dataclass(frozen=True)
class Random(Mean):
    def contributions(self, X):
        rows = dict(super().contributions(X))
        return rows | {"total": rows["total"] // 2 + np.random.default_rng().integers(0, 9, rows["total"].shape)}


@pytest.mark.parametrize(
    ("structure", "word"),
    [
        (ShapeOfTheData, ""),
        (BoundsFromData, ""),
        (FloatSum, "depend on"),
        (Centered, ""),
        (Refusing, "ValueError: NaN"),
        (Warning_, "RuntimeWarning"),
        (OrderOfRows, ""),
        (Random, ""),
    ],
)
def test_a_map_that_is_not_of_single_records_is_found(structure, word):
    assert word in rejected(structure(BALL))


def test_groups_that_each_spend_everything_are_found(monkeypatch):
    plan = Location(BALL).plan(neighbors="add-remove", **COST)
    exact = plans.smallest_scale
    monkeypatch.setattr(plans, "smallest_scale", lambda kind, w, S, units: exact(kind, w, S, plan.cost.units))
    with pytest.raises(PrivacyViolation, match=r"recomputed: (3|2\.99999)"):
        assert_accounted(Location(BALL).plan(neighbors="add-remove", **COST))


def test_scales_below_the_exact_ones_are_found(monkeypatch):
    exact = plans.smallest_scale
    monkeypatch.setattr(plans, "smallest_scale", lambda *what: exact(*what) * (1 - 2.0**-52))
    with pytest.raises(PrivacyViolation, match=r"recomputed: 1 \+ 1\.71e-16 of the cost"):
        assert_accounted(Mean(BALL).plan(neighbors="add-remove", **COST))


# ---- not broken ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sparing(Mean):
    """Too much noise is no violation."""

    def groups(self, cost, neighbors):
        return [replace(g, sensitivity=g.sensitivity * 9) for g in super().groups(cost, neighbors)]


@dataclass(frozen=True)
class PublicTable(Mean):
    """A cache that depends on the blueprint alone is harmless."""

    def seal(self, X, device="auto"):
        object.__setattr__(self, "_table", np.random.default_rng(0).normal(size=50))
        return super().seal(X, device=device)


@pytest.mark.parametrize("structure", [Sparing, PublicTable])
def test_a_wasteful_or_caching_structure_passes(structure):
    check_structure(structure(BALL).plan(neighbors="add-remove", **COST), examples=20)
