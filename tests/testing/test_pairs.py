"""Pairs of neighbours, the strategies that draw them, and units of several rows."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle.toy import Mean

import dpstruct as dps
from dpstruct.core import Sums
from dpstruct.testing import (
    Pair,
    PrivacyViolation,
    assert_price,
    check_structure,
    datasets,
    neighbors,
    records,
    worst_pair,
)
from dpstruct.testing.pairs import check_related, moved_at_most
from dpstruct.testing.strategies import corners, move

CALM = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
QUICK = settings(max_examples=60, **CALM)
COST = {"epsilon": 1.0, "delta": 1e-6}
BALL = dps.Ball(2.0, dim=2)
X = np.array([[0.1, 0.2], [1.5, -1.0], [0.0, 0.3]])


# ---- pairs and strategies ------------------------------------------------------------------------------------------


def test_pairs_must_be_neighbours():
    plan = Mean(BALL).plan(neighbors="add-remove", **COST)
    assert assert_price(plan, (X, X[::-1])).worst == 0
    assert assert_price(plan, (X[[2, 0]], X)).worst > 0
    shift = np.array([[0, 0], [0, 0], [0, 1]])
    for other in (X[:1], np.concatenate([X, X]), X + shift):
        with pytest.raises(dps.NeighborsMismatch):
            assert_price(plan, (X, other))
    check_related(Pair((X,), (X + shift,)), "substitute")
    with pytest.raises(dps.NeighborsMismatch):
        check_related(Pair((X,), (X + shift + 1e-9 * shift[::-1],)), "substitute")
    with pytest.raises(dps.NeighborsMismatch, match="rows-within"):
        check_related(Pair((X,), (X + shift * 1.0000001,)), dps.RowsWithin(1.0))


def test_distances_are_exact():
    row, unit = (np.array([[0.0, 0.0]]),), 2.0**-52
    assert moved_at_most(row, (np.array([[0.6, 0.8]]),), 1.0) is (Fraction(0.6) ** 2 + Fraction(0.8) ** 2 <= 1)
    assert not moved_at_most(row, (np.array([[0.0, 1 + unit]]),), 1.0)
    assert moved_at_most((np.array([[np.nan, np.inf]]),), (np.array([[np.nan, np.inf]]),), 1.0)
    assert not moved_at_most((np.array([[np.nan, np.inf]]),), (np.array([[np.nan, -np.inf]]),), 1.0)


@QUICK
@given(st.data())
def test_a_moved_row_is_within_the_radius_and_near_it(data):
    row = (data.draw(st.lists(st.floats(-5, 5), min_size=3, max_size=3).map(np.array))[None, :],)
    direction = data.draw(st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any))
    new = move(row, direction, 0.25)
    assert moved_at_most(row, new, 0.25)
    assert np.linalg.norm(new[0] - row[0]) > 0.2499


@pytest.mark.parametrize("neighbors_", ["add-remove", "substitute", dps.RowsWithin(0.25)], ids=str)
@pytest.mark.parametrize("domain", [BALL, dps.Box([0, -3], [1, 5])], ids=["ball", "box"])
def test_drawn_pairs_are_neighbours_and_often_extreme(neighbors_, domain):
    plan = Mean(BALL).plan(neighbors=neighbors_, **COST)
    wild = moved = 0

    @settings(QUICK, max_examples=200)
    @given(neighbors(plan, data=st.tuples(records(domain))))
    def run(pair):
        nonlocal wild, moved
        check_related(pair, plan.neighbors)
        wild += not np.isfinite(pair.second[0]).all()
        moved += any(a.tobytes() != b.tobytes() for a, b in zip(pair.first, pair.second))

    run()
    assert wild > 3
    assert moved > 100


def test_records_hit_what_breaks_public_maps():
    box = dps.Box([0.0, 2.0], [1.0, 6.0])
    seen = []
    settings(QUICK, max_examples=600)(given(datasets(box, max_size=5))(lambda X: seen.append(X)))()
    assert all(X.shape[1:] == (2,) and X.dtype == np.float64 for X in seen)
    rows = np.concatenate(seen)
    assert {0, 5} <= {len(X) for X in seen}
    assert any(len(np.unique(X, axis=0)) < len(X) for X in seen)
    first = set(rows[:, 0].tolist())
    assert {np.nextafter(1.0, 2), np.nextafter(0.0, -1), 1.0, 0.0, np.inf, 1e308} <= first
    assert np.isnan(rows).any()
    assert any(v * 4096 == int(v * 4096) and v * 2 != int(v * 2) for v in first if 0 < v < 1)


def test_corners():
    assert len(corners(dps.Box(0, 1, dim=3))) == 8
    assert len(corners(dps.Box(0, 1, dim=40))) == 16
    ends = np.array(corners(dps.Ball(3.0, dim=2, center=[1, 1])))
    assert np.allclose(np.linalg.norm(ends - 1, axis=1), 3)
    assert len(ends) == 6
    with pytest.raises(dps.DPStructError, match="dimension"):
        corners(dps.Box(0, 1))


@dataclass(frozen=True)
class Product(Mean):
    """Two arrays: vectors, and a weight each in [0, 1]; neither domain can be guessed."""

    def no_rows(self):
        return (np.empty((0, 2)), np.empty(0))

    def contributions(self, X, w):
        rows = super().contributions(X)
        part = np.where(np.isfinite(w), np.clip(w, 0, 1), 0)[:, None]
        return {"total": (rows["total"] * part).astype(np.int64), "count": rows["count"]}


def test_structures_of_several_arrays_need_a_strategy():
    plan = Product(BALL).plan(neighbors="substitute", **COST)
    with pytest.raises(dps.DPStructError, match=r"data: received nothing.*st\.tuples"):
        check_structure(plan)
    data = st.tuples(records(BALL), records(dps.Box(0, 1, dim=1)))
    pair, price = check_structure(plan, data=data, examples=150)
    assert len(pair.first) == 2
    assert price.bounds[0] > 0.9


# ---- units of several rows -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UserMean(Mean):
    """The rows of a user are added, then shrunk together."""

    bounds_units: ClassVar[bool] = True

    def summarize(self, X: Any, unit_ids: Any = None) -> Any:
        rows = np.nan_to_num(np.asarray(X, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0).clip(-1e9, 1e9)
        names, at = np.unique(np.arange(len(rows)) if unit_ids is None else unit_ids, return_inverse=True)
        users = np.zeros((len(names), rows.shape[1]))
        np.add.at(users, at, rows)
        made = super().contributions(users)
        return dps.Summary(self, Sums(len(names), {k: np.asarray(v.sum(axis=0)) for k, v in made.items()}))


class RowsOnly(UserMean):
    """Shrinks single rows but says that it bounds users."""

    def summarize(self, X: Any, unit_ids: Any = None) -> Any:
        made = self.contributions(np.asarray(X))
        sums = {k: np.asarray(v.sum(axis=0)) for k, v in made.items()}
        return dps.Summary(self, Sums(len(set(unit_ids.tolist())), sums))


def test_units_of_several_rows():
    blocks = st.tuples(st.lists(records(BALL), min_size=1, max_size=3).map(np.stack))
    plan = UserMean(BALL).plan(neighbors="add-remove", unit="user", **COST)
    with pytest.raises(dps.DPStructError, match="data"):
        worst_pair(plan)
    assert worst_pair(plan, data=blocks)[1].worst > 0.99
    with pytest.raises(PrivacyViolation, match="costs more"):
        worst_pair(RowsOnly(BALL).plan(neighbors="add-remove", unit="user", **COST), data=blocks)
