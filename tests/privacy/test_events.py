"""Events: the price from the record alone, exact in JSON, and nothing else accepted."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpstruct.errors import InvalidParameter
from dpstruct.privacy import UNIT, Event, Line, smallest_scale

F = Fraction
rationals = st.builds(F, st.integers(1, 1 << 60), st.integers(1, 1 << 60))
kinds = st.sampled_from(["rounded-gaussian", "discrete-laplace"])


@st.composite
def events(draw):
    lines = []
    for i in range(draw(st.integers(1, 4))):
        n = draw(st.integers(1, 4))
        sizes = st.sampled_from([1, n])
        weights = tuple(draw(rationals) for _ in range(draw(sizes)))
        scales = tuple(draw(st.floats(1e-6, 1e12)) for _ in range(draw(sizes)))
        lines.append((f"line {i}", (n, 3), weights, scales))
    return Event(draw(kinds), draw(rationals), tuple(lines))


@given(events())
def test_price_is_the_worst_line_rounded_up(event):
    power = 2 if event.kind == "rounded-gaussian" else 1
    worst = max(
        line.weights[i % len(line.weights)] * event.sensitivity * UNIT / F(line.scales[i % len(line.scales)]) ** power
        for line in event.lines
        for i in range(line.shape[0])
    )
    assert event.price() == math.ceil(worst)


@given(events())
def test_json_round_trip(event):
    again = Event.decode(json.loads(json.dumps(event.encode())))
    assert again == event
    assert hash(again) == hash(event)
    assert again.encode() == event.encode()
    assert again.price() == event.price()


@given(kinds, st.lists(rationals, min_size=1, max_size=5), rationals, st.integers(1, 1 << 110))
def test_scales_made_for_a_cost_are_priced_at_most_that(kind, weights, sensitivity, cost):
    scales = tuple(smallest_scale(kind, w, sensitivity, cost) for w in weights)
    event = Event(kind, sensitivity, (("sums", (len(weights),), tuple(weights), scales),))
    assert event.price() <= cost


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 9)), min_size=1, max_size=6).filter(
        lambda d: any(x for x, _ in d)
    )
)
def test_no_neighbour_costs_more_than_the_price(differences):
    # the joint bound: any difference with sum d^2/w <= S costs sum d^2/scale^2 <= price
    sensitivity = sum(F(d * d, w) for d, w in differences)
    scales = tuple(smallest_scale("rounded-gaussian", F(w), sensitivity, UNIT // 7) for _, w in differences)
    event = Event(
        "rounded-gaussian", sensitivity, (("x", (len(scales),), tuple(F(w) for _, w in differences), scales),)
    )
    assert sum(F(d) ** 2 / F(s) ** 2 for (d, _), s in zip(differences, scales)) * UNIT <= event.price()


def test_one_low_scale_sets_the_price():
    body = ("x", (3,), (F(1),), (10.0, 10.0, 5.0))
    assert Event("rounded-gaussian", F(1), (body,)).price() == -(-UNIT // 25)
    assert Event("discrete-laplace", F(1), (body,)).price() == -(-UNIT // 5)


def test_normalisation():
    event = Event("rounded-gaussian", 2, (("x", (np.int64(2),), (1, np.int64(3)), (np.float32(4), 5)),))
    assert event.lines == (Line("x", (2,), (F(1), F(3)), (4.0, 5.0)),)
    assert type(event.lines[0].weights[1].numerator) is int
    assert json.dumps(event.encode())


ONE = ("x", (2,), (F(1),), (1.0,))


@pytest.mark.parametrize(
    ("kind", "sensitivity", "lines"),
    [
        ("gaussian", F(1), (ONE,)),
        ("rounded-gaussian", F(0), (ONE,)),
        ("rounded-gaussian", 1.0, (ONE,)),
        ("rounded-gaussian", F(1, 1 << 4000), (ONE,)),
        ("rounded-gaussian", F(1), ()),
        ("rounded-gaussian", F(1), [ONE]),
        ("rounded-gaussian", F(1), (ONE, ONE)),
        ("rounded-gaussian", F(1), (list(ONE),)),
        ("rounded-gaussian", F(1), (ONE[:3],)),
        ("rounded-gaussian", F(1), (("", *ONE[1:]),)),
        ("rounded-gaussian", F(1), ((1, *ONE[1:]),)),
        ("rounded-gaussian", F(1), (("x", (0,), (F(1),), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (True,), (F(1),), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2.0,), (F(1),), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (3,), (F(1), F(1)), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (3,), (F(1),), (1.0, 1.0)),)),
        ("rounded-gaussian", F(1), (("x", (), (F(1), F(1)), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (F(1),), ()),)),
        ("rounded-gaussian", F(1), (("x", (2,), (F(-1),), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (1.0,), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (1, True), (1.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (F(1),), (0.0,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (F(1),), (math.inf,)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (F(1),), (1.0, math.nan)),)),
        ("rounded-gaussian", F(1), (("x", (2,), (F(1),), (True,)),)),
    ],
)
def test_malformed_events(kind, sensitivity, lines):
    with pytest.raises(InvalidParameter):
        Event(kind, sensitivity, lines)


def hostile():
    good = Event("rounded-gaussian", F(3, 2), (ONE,)).encode()
    yield from (None, 1, "x", [], {}, [good], {**good, "more": 1}, {"kind": good["kind"]})
    yield {**good, "kind": "gaussian"}
    yield {**good, "kind": ["rounded-gaussian"]}
    for bad in (
        1,
        1.5,
        None,
        "1",
        "1/0",
        "0/1",
        "-1/2",
        "2/4",
        "01/2",
        " 1/2",
        "1/2\n",
        "1e3/2",
        "1_0/3",
        "١/٢",
        "9" * 10**6 + "/1",
        "nan",
    ):
        yield {**good, "sensitivity": bad}
        yield {**good, "lines": [{**good["lines"][0], "weights": [bad]}]}
    for bad in (
        1.0,
        None,
        "1.0",
        "nan",
        "inf",
        "-inf",
        "0x0.0p+0",
        "-0x1.0000000000000p+0",
        "0x1p9999",
        "0x1.8p+0",
        "0x0.0000000000001p-1022",
        "0x" + "f" * 10**6,
    ):
        yield {**good, "lines": [{**good["lines"][0], "scales": [bad]}]}
    for bad in (None, 2, "2", {"0": 2}, [2.0], [True], [-2], [0], [None], [[2]]):
        yield {**good, "lines": [{**good["lines"][0], "shape": bad}]}
    for bad in (None, "", 3, "y" * 10**4, ["x"]):
        yield {**good, "lines": [{**good["lines"][0], "name": bad}]}
    for bad in (None, {}, [], [None], [[]], [{}], [good["lines"][0]] * 2, [{**good["lines"][0], "extra": 1}], "lines"):
        yield {**good, "lines": bad}


@pytest.mark.parametrize("value", list(hostile()), ids=lambda v: str(v)[:40])
def test_hostile_json(value):
    with pytest.raises(InvalidParameter):
        Event.decode(value)


def test_messages_stay_short():
    with pytest.raises(InvalidParameter) as error:
        Event("x" * 10**6, F(1), (ONE,))
    assert len(str(error.value)) < 300
