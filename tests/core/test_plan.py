"""The price is known before the data."""

import math

import numpy as np
import pytest

import dpstruct as dps

TREE = dps.KDETree(bounds=dps.Box(low=[0, -2], high=[1, 5]), depth=4, expected_rows=1000)
RELATIONS = ["add-remove", "substitute", dps.RowsWithin(0.25)]


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(
    "terms", [{"epsilon": 0.5, "delta": 1e-6}, {"epsilon": 0.5}, {"cost": dps.GDP(0.1)}, {"cost": dps.PureDP(2)}]
)
def test_the_plan_is_what_the_release_gets(relation, terms):
    plan = TREE.plan(**terms, neighbors=relation)
    budget = dps.Budget(epsilon=20.0, delta=1e-6, neighbors=relation)
    private = budget.release(TREE.summarize(np.zeros((3, 2))), cost=plan.cost)
    assert private.receipt.events == plan.events
    assert private.receipt.cost == plan.cost
    assert private.error(np.array([[0.0, -2.0], [1.0, 5.0], [0.3, 0.3]])).max() <= plan.error * (1 + 1e-12)
    assert sum(event.price() for event in plan.events) <= plan.cost.units


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("delta", [None, 1e-6])
def test_the_cheapest_plan_for_an_error_meets_it_and_hardly_more(relation, delta):
    plan = TREE.plan(error=50.0, delta=delta, neighbors=relation)
    assert 50.0 / 1.001 <= plan.error <= 50.0
    assert isinstance(plan.cost, dps.PureDP if delta is None else dps.GDP)


def test_an_error_that_no_price_reaches_is_refused():
    for error in (1e-9, 0.0, -1.0, math.nan, "1"):
        with pytest.raises(dps.InvalidParameter, match="error"):
            TREE.plan(error=error, delta=1e-6, neighbors="add-remove")


def test_a_price_too_small_for_the_sampler_is_refused():
    with pytest.raises(dps.InvalidParameter, match=r"noise scales from .* spend more"):
        TREE.plan(cost=dps.PureDP(1e-9), neighbors="add-remove")
    with pytest.raises(dps.InvalidParameter, match="spend less"):
        dps.KDETree(bounds=dps.Box(0, 1, dim=1), depth=1, max_rows=1 << 60).plan(
            cost=dps.PureDP(1e18), neighbors="substitute"
        )


@pytest.mark.parametrize(
    "terms",
    [
        {},
        {"epsilon": 1.0, "error": 1.0},
        {"epsilon": math.nan},
        {"epsilon": -1.0},
        {"epsilon": 1.0, "delta": 1.0},
        {"epsilon": 1.0, "delta": math.nan},
        {"cost": 0.5},
        {"cost": dps.GDP.from_units(0)},
        {"epsilon": True},
    ],
)
def test_other_prices_are_refused(terms):
    with pytest.raises(dps.InvalidParameter):
        TREE.plan(**terms, neighbors="add-remove")


def test_the_relation_is_named():
    with pytest.raises(TypeError):
        TREE.plan(epsilon=1.0)
    with pytest.raises(dps.InvalidParameter, match="neighbors"):
        TREE.plan(epsilon=1.0, neighbors="all")
    with pytest.raises(dps.NeighborsMismatch, match="user"):
        TREE.plan(epsilon=1.0, neighbors="add-remove", unit="user")


def test_a_plan_prints_price_error_noise_and_bias():
    text = str(TREE.plan(epsilon=0.5, delta=1e-6, neighbors="add-remove"))
    for part in (
        "(0.5, 1e-6)-DP",
        "add-remove",
        "unit row",
        "standard error",
        "level3 (2, 8): rounded-gaussian",
        "1000 rows",
    ):
        assert part in text


def test_equal_requests_have_equal_digests_and_others_do_not():
    plans = [TREE.plan(epsilon=e, delta=1e-6, neighbors=r) for e in (0.5, 0.6) for r in RELATIONS]
    assert len({plan.request() for plan in plans}) == len(plans)
    assert TREE.plan(epsilon=0.5, delta=1e-6, neighbors="add-remove").request() == plans[0].request()


def test_a_plan_and_a_receipt_show_themselves_in_one_line():
    plan = TREE.plan(epsilon=0.5, delta=1e-6, neighbors="add-remove")
    budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    receipt = budget.release(TREE.summarize(np.zeros((3, 2))), cost=plan.cost, label="first").receipt
    for text in (repr(plan), repr(receipt)):
        assert "(0.5, 1e-6)-DP from 0.1242-GDP for add-remove neighbors, unit row" in text
        assert len(text) < 400
        assert "\n" not in text
    assert "(first)" in repr(receipt)
    assert "27.49 % of budget 'memory'" in repr(receipt)
