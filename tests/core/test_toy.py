"""Structures that a user writes in plain NumPy: the life-cycle serves them, the conformance suite judges them."""

import numpy as np
import pytest
from oracle.toy import Location, Mean

import dpstruct as dps
from dpstruct.testing import check_structure

MEASURES = [{"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}]
RELATIONS = ["add-remove", "substitute", dps.RowsWithin(0.25)]


@pytest.mark.parametrize("cost", MEASURES, ids=["gaussian", "laplace"])
@pytest.mark.parametrize("neighbors", RELATIONS, ids=str)
def test_one_round_passes(cost, neighbors):
    plan = Mean(dps.Ball(2.0, dim=3)).plan(neighbors=neighbors, **cost)
    price = check_structure(plan, examples=20)[1]
    tight = isinstance(neighbors, str) and "delta" in cost
    assert price.bounds[0] > (0.999 if tight else 0.0038)  # a move by 1/16 of the diameter is charged as a substitution


@pytest.mark.parametrize("cost", MEASURES, ids=["gaussian", "laplace"])
@pytest.mark.parametrize("neighbors", RELATIONS, ids=str)
def test_several_rounds_pass(cost, neighbors):
    plan = Location(dps.Ball(1.0, dim=2)).plan(neighbors=neighbors, **cost)
    price = check_structure(plan, answers=lambda release: [release.location], examples=20)[1]
    assert len(price.bounds) == 3
    assert price.bounds[0] > (0.24 if isinstance(neighbors, str) else 0.005)


def test_the_mean_is_near_the_mean():
    X = np.random.default_rng(1).normal(0.3, 0.1, (5000, 3))
    budget = dps.Budget(epsilon=2.0, delta=1e-6, neighbors="add-remove")
    private = budget.release(Mean(dps.Ball(2.0, dim=3)).summarize(X), share=1)
    # standard error 2.1 * 2 / 5000 per coordinate; fails by chance with probability below 1e-9
    assert np.abs(private.mean - X.mean(axis=0)).max() < 0.01


def test_the_location_is_near_the_median():
    X = np.concatenate([np.random.default_rng(1).normal(0.2, 0.02, (900, 2)), np.full((100, 2), 9.0)])
    location = Location(dps.Ball(1.0, dim=2), steps=12, expected_rows=1000)
    private = dps.Budget(epsilon=50.0, delta=1e-6, neighbors="substitute").release(location.summarize(X), share=1)
    assert np.abs(private.location - 0.2).max() < 0.05
