"""Mironov's attack: certain about most outputs of float noise, blind on integers."""

import math

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.audit.low_bits import low_bits, reachable
from dpstruct.audit.mechanisms import broken
from dpstruct.errors import InvalidParameter

CASES = {case.name: case for case in broken()}


@pytest.mark.parametrize(("name", "support"), [("numpy-laplace", "numpy"), ("laplace-in-floats", "textbook")])
@pytest.mark.parametrize("world", [0, 1])
def test_certain_about_most_outputs_and_never_wrong(name, support, world):
    case = CASES[name].seeded(world)
    outputs = case.mechanism((case.x2, case.x)[world], 3000)
    found = low_bits(outputs, 0.0, 1.0, scale=1.0, support=support)
    wrong = ("second", "first")[world]
    assert found.counts[wrong] == found.counts["neither"] == 0
    assert found.share > 0.5
    assert f"of 3000 outputs, {found.counts['first']} can only come from the first value" in str(found)


@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
@pytest.mark.parametrize("value", [-3.0, 0.1, 20.0])
def test_what_the_sampler_gives_is_reachable(value, scale):
    outputs = value + np.random.default_rng(1).laplace(0.0, scale, 1500)
    assert reachable(outputs, value, scale=scale).all()


def test_close_values_and_large_counts():
    random = np.random.default_rng(2)
    near = low_bits(1 / 3 + random.laplace(0.0, 1.0, 2000), 0.0, 1 / 3, scale=1.0)
    assert near.counts["first"] == 0
    assert near.share > 0.5
    large = low_bits(1000 + random.laplace(0.0, 1.0, 2000), 1000, 1001, scale=1.0)  # few low bits are left
    assert large.counts["second"] == large.counts["neither"] == 0
    assert large.share < 0.05


def test_blind_on_a_release(fixed_words):
    """The released integers are reachable from every value; and no float sampler explains them."""
    tree = dps.KDETree(bounds=dps.Box(0, 1, dim=1), metric="l1", depth=9)
    budget = dps.Budget(epsilon=2.0, neighbors="add-remove")
    released = budget.release(tree.summarize(np.full((5, 1), 0.5)), share=1)
    transcript = np.concatenate([np.ravel(line) for line in released.transcript.values()]).astype(float)
    assert len(transcript) > 500
    for value, value2 in ((0.0, 1.0), (5.0, 4.0), (0.0, 2.0**20)):
        found = low_bits(transcript, value, value2, scale=100.0, support="lattice")
        assert found.counts == {"first": 0, "second": 0, "both": len(transcript), "neither": 0}
    assert low_bits(transcript, 0.0, 1.0, scale=2.0**20).counts["neither"] > 0.5 * len(transcript)


def test_off_the_lattice():
    assert low_bits([0.0, 0.5, 1.0], 0.0, 0.25, scale=1.0, support="lattice", step=0.5).certain.tolist() == [1, 1, 1]
    assert low_bits([0.1], 0.0, 0.25, scale=1.0, support="lattice").counts["neither"] == 1


def test_odd_values():
    found = low_bits([math.inf, math.nan, 0.0], 0.0, 1.0, scale=1.0)
    assert found.counts["first"] <= 1
    assert low_bits([], 0.0, 1.0, scale=1.0).share == 0.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: low_bits(np.ones((2, 2)), 0, 1, scale=1.0),
        lambda: low_bits([1.0], 0, 1, scale=0.0),
        lambda: low_bits([1.0], 0, 1, scale=1.0, support="float"),
        lambda: low_bits([1.0], math.nan, 1, scale=1.0),
    ],
)
def test_bad_input(call):
    with pytest.raises(InvalidParameter):
        call()
