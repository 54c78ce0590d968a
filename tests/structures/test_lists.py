"""Lists have no dtype: what one row's label or unit becomes must not depend on what stands in other rows."""

from collections import UserList, deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.domain import check_rows
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.structures import ClassDensities
from dpstruct.structures._attention_units import check_ids
from dpstruct.structures._ntk_targets import check_targets, encode

BOX = dps.Box(0, 1, dim=1)


def cost(plan, one, other):
    """The exact price of two summaries, over what the plan allows, at most over its events."""
    a, b = (summary._open().sums._open() for summary in (one, other))
    worst = 0.0
    for event in plan.events:
        total = Fraction(0)
        for line in event.lines:
            both = zip(np.ravel(a[line.name]).tolist(), np.ravel(b[line.name]).tolist(), strict=True)
            total += sum((v - w) ** 2 for v, w in both) / line.weights[0]
        worst = max(worst, float(total / event.sensitivity))
    return worst


@pytest.mark.parametrize("odd", [float("nan"), 0.5, -1, "text", None, 2**80, (1, 2), [1]], ids=str)
@pytest.mark.parametrize(
    "ids",
    [[2**60 + i for i in range(200)], [2**63 + i for i in range(200)], [7, 7.0] * 100],
    ids=["signed", "unsigned", "mixed"],
)
def test_units_of_a_list(ids, odd):
    """Identifiers that agree to 53 bits stay apart, whatever arrives."""
    rule = ("max_rows", 1)
    model = dps.CrossAttention(2, 1, key_norm=1.0, value_norm=1.0, degree=1, unit_rule=rule)
    K, V = np.tile([[0.6, 0.8]], (200, 1)), np.ones((200, 1))
    plan = model.plan(epsilon=1.0, delta=1e-6, neighbors="add-remove", unit="user")
    more = model.summarize(np.vstack([K, [[0, 0]]]), np.vstack([V, [[0]]]), unit_ids=[*ids, odd])
    assert cost(plan, model.summarize(K, V, unit_ids=ids), more) <= 1


def test_equal_ids_are_one_unit():
    found = check_ids([1, np.int64(1), 1.0, "1", np.str_("1"), None, np.nan, float("nan"), b"1", {}], 10)
    assert len({*found[:3]}) == 1
    assert len({*found[3:5]}) == 1
    assert len({*found[[5, 6, 7, 9]]}) == 1
    assert len(set(found.tolist())) == 4
    with pytest.raises(InvalidParameter, match="one id per row"):
        check_ids([1, 2], 3)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (["0", "1"], ["1"] + [0] * 99),
        (["a", "b"], ["a\0"] * 100),
        ([2**53, 2**53 + 1], [2**53] * 100),
        ([0.1, 0.2], [np.float32(0.1)] * 100),
        ([0, 1], [1, True] * 50),
    ],
    ids=["mixed", "trailing", "large", "narrow", "bool"],
)
@pytest.mark.parametrize("odd", [None, 0.5, "0", b"0", 2**70, np.nan], ids=str)
def test_labels_of_a_list(classes, labels, odd):
    density = dps.KernelDensity(bandwidth=0.2, bounds=BOX, method="binned")
    blueprint = ClassDensities(density, classes)
    X = np.full((100, 1), 0.5)
    plan = blueprint.plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    more = blueprint.summarize(np.vstack([X, [[0.5]]]), [*labels, odd])
    assert cost(plan, blueprint.summarize(X, labels), more) <= 1
    codes = encode(check_targets("y", labels, ("labels", *classes)), ("labels", *classes))
    both = encode(check_targets("y", [*labels, odd], ("labels", *classes)), ("labels", *classes))
    assert (both[:-1] == codes).all()


def test_labels_are_found():
    target = ("labels", "no", "yes")
    for y in (["no", "yes", "?", None], np.array(["no", "yes", "?", "??"]), np.array(["no", "yes", 3, None], object)):
        assert encode(check_targets("y", y, target), target).tolist() == [0, 1, -1, -1]
    masked = np.ma.masked_array(["no", "yes"], [False, True])
    assert encode(check_targets("y", masked, target), target).tolist() == [0, -1]
    assert encode(check_targets("y", [3, 5, 5.0], ("labels", 3, 5)), ("labels", 3, 5)).tolist() == [0, 1, 1]
    with pytest.raises(InvalidParameter, match="another shape"):
        check_targets("y", [["no"]], target)


def test_an_interval_takes_a_list_with_gaps():
    target = dps.Box(0, 1, dim=1)
    assert encode(check_targets("y", [0.0, None, "1", 1], target), target).tolist()[1:3] == [0, 0]


class Column:
    """A nullable column: NumPy makes floats of it when one value is missing."""

    dtype, ndim = "Int64", 1

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array([np.nan if v is None else v for v in self.values], dtype)


@pytest.mark.parametrize("kind", [Column, deque, UserList])
@pytest.mark.parametrize("odd", [None, 0.5])
def test_columns_whose_values_decide_their_type(kind, odd):
    ids = [2**60, 2**60 + 1, 2**60]
    assert check_ids(kind([*ids, odd]), 4).tolist()[:3] == check_ids(kind(ids), 3).tolist() == [0, 1, 0]
    labels = ("labels", 2**60, 2**60 + 1)
    assert encode(check_targets("y", kind([*ids, odd]), labels), labels).tolist() == [0, 1, 0, -1]


class Table:
    """A table of booleans, which NumPy makes objects when one value is missing."""

    def __init__(self, values):
        self.values, self._mask = values, np.array([57] * len(values))

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def test_tables_whose_values_decide_their_type():
    """And an attribute that is called like a mask is none."""
    assert check_rows("X", Table([[True], [False]]), 1).tolist() == [[1.0], [0.0]]
    found = check_rows("X", Table([[True], [None], [Decimal("0.5")]]), 1)
    np.testing.assert_array_equal(found, [[1.0], [np.nan], [0.5]])
    np.testing.assert_array_equal(check_rows("X", deque([(0.5,), [None]]), 1), [[0.5], [np.nan]])


class Broken:
    def __len__(self):
        raise ValueError("a private value")

    __array__ = __eq__ = __hash__ = __iter__ = __float__ = __len__


def test_broken_elements_are_not_quoted():
    for bad in ([Broken()], [np.array(3.0)], Broken(), 3.0):
        with pytest.raises((InvalidParameter, InvalidType)) as refusal:
            check_rows("X", bad, 1)
        assert "private" not in str(refusal.value)
        assert refusal.value.__cause__ is None
    assert np.isnan(check_rows("X", [[Broken()]], 1)).all()
    assert check_ids([Broken(), Broken()], 2).tolist() == [0, 0]
    labels = ("labels", "a", "b")
    assert encode(check_targets("y", [Broken(), "b"], labels), labels).tolist() == [-1, 1]
    for bad in (Broken(), 3):
        with pytest.raises((InvalidParameter, InvalidType)):
            check_ids(bad, 1)
        with pytest.raises(InvalidParameter):
            check_targets("y", bad, labels)


def test_wide_identifiers_are_refused():
    with pytest.raises(InvalidType, match="longdouble"):
        check_ids(np.ones(2, np.longdouble), 2)
