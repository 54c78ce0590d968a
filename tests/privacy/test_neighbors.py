"""Neighbour relations: named, exact in files, and converted in the sound direction only."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct.errors import InvalidParameter, NeighborsMismatch
from dpstruct.privacy import GDP, PureDP, RowsWithin
from dpstruct.privacy.neighbors import decode, describe, encode, factor, parse

radii = st.floats(1e-300, 1e300)


@pytest.mark.parametrize(
    "value", ["add_remove", "Add-Remove", "add-remove ", "", None, 1, b"substitute", True, ["substitute"], {}]
)
def test_anything_else_is_refused(value):
    with pytest.raises(InvalidParameter, match=r"^neighbors: "):
        parse(value)
    with pytest.raises(InvalidParameter):
        factor(value, "substitute")


@pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf, 1e-320, True, "1", None, 1j])
def test_bad_radius(radius):
    with pytest.raises(InvalidParameter, match="radius"):
        RowsWithin(radius)


def test_rows_within_is_a_value():
    assert RowsWithin(1) == RowsWithin(np.float32(1.0))
    assert len({RowsWithin(1), RowsWithin(1.0), RowsWithin(2)}) == 2
    with pytest.raises(AttributeError):
        RowsWithin(1).radius = 2
    assert parse(RowsWithin(0.1)) == RowsWithin(0.1)


@given(st.one_of(st.sampled_from(["add-remove", "substitute"]), st.builds(RowsWithin, radii)))
def test_json_round_trip(relation):
    assert decode(json.loads(json.dumps(encode(relation)))) == relation


def test_descriptions_name_the_relation():
    assert describe("add-remove") == "add-remove"
    assert describe(RowsWithin(0.1)) == "rows-within 0.1"


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        [],
        {},
        "rows-within",
        {"rows-within": 0.5},
        {"rows-within": "0.5"},
        {"rows-within": "nan"},
        {"rows-within": "inf"},
        {"rows-within": "-0x1.0000000000000p+0"},
        {"rows-within": "0x0.0p+0"},
        {"rows-within": "0x1p99999"},
        {"rows-within": "0x" + "1" * 10**6},
        {"rows-within": "0x1.0000000000000p+0", "more": 1},
        {"rows_within": "0x1.0000000000000p+0"},
    ],
)
def test_hostile_json(value):
    with pytest.raises(InvalidParameter):
        decode(value)


def test_sound_conversions():
    near, far = RowsWithin(0.25), RowsWithin(1.0)
    for relation in ("add-remove", "substitute", near):
        assert factor(relation, relation) == 1
    assert factor("add-remove", "substitute") == 2
    assert factor("add-remove", near) == 2
    assert factor("substitute", near) == 1
    assert factor(far, near) == 1
    assert factor(near, "substitute", diameter=1.0) == 4
    assert factor(near, far, diameter=10.0) == 4
    assert factor(near, RowsWithin(100), diameter=10.0) == 40
    assert GDP(0.5).group(factor("add-remove", "substitute")) == GDP(1.0)
    assert PureDP(0.5).group(factor("add-remove", "substitute")) == PureDP(1.0)


@pytest.mark.parametrize(
    ("source", "target", "diameter"),
    [
        ("substitute", "add-remove", None),
        ("substitute", "add-remove", 1.0),
        (RowsWithin(1), "add-remove", 1.0),
        (RowsWithin(1), "substitute", None),
        (RowsWithin(1), RowsWithin(2), None),
    ],
)
def test_unsound_conversions_are_refused(source, target, diameter):
    with pytest.raises(NeighborsMismatch):
        factor(source, target, diameter=diameter)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_chain_length_is_an_exact_ceiling(radius, diameter):
    k = factor(RowsWithin(radius), "substitute", diameter=diameter)
    assert k * Fraction(radius) >= Fraction(diameter) > (k - 1) * Fraction(radius)


def test_chain_length_does_not_trust_a_float_quotient():
    above = math.nextafter(3.0, 4)  # above / 1.0 needs a fourth step; 0.7 / 0.1 is 6.999... in doubles, 7 steps exactly
    assert factor(RowsWithin(1.0), "substitute", diameter=above) == 4
    assert factor(RowsWithin(0.1), "substitute", diameter=0.7) == 7
    assert factor(RowsWithin(1 / 3), "substitute", diameter=1.0) == 4  # 1/3 is a little less than a third


@pytest.mark.parametrize("diameter", [0, -1, math.nan, math.inf, True, "1"])
def test_bad_diameter(diameter):
    with pytest.raises(InvalidParameter, match="diameter"):
        factor(RowsWithin(1), "substitute", diameter=diameter)
