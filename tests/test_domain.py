"""Public domains and input checks."""

from fractions import Fraction

import numpy as np
import pytest

from dpstruct import Ball, Box, InvalidParameter, InvalidType, KDETree
from dpstruct.domain import check_rows


def test_a_box_broadcasts_single_numbers_and_compares_by_value():
    assert Box([0, 1], 2) == Box(np.array([0.0, 1.0]), [2, 2]) == Box([0, 1], 2, dim=2)
    assert Box(0, 1, dim=3).low == (0.0, 0.0, 0.0)
    assert Box(0, 1).dim is None
    assert Box(0, 1).with_dim(2) == Box(0, 1, dim=2)
    assert len({Box(0, 1, dim=2), Box([0, 0], [1, 1])}) == 1


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (1, 1),
        (2, 1),
        (0, np.nan),
        (-np.inf, 1),
        (-1.7e308, 1.7e308),
        (0, 1e-300),
        (0, 1e101),
        (0, 10**400),
        ([0, 0], [1]),
        ([], []),
        ("0", 1),
        (True, 2),
    ],
)
def test_a_box_refuses_what_is_no_box(low, high):
    with pytest.raises(InvalidParameter):
        Box(low, high)


def test_a_box_does_not_change_its_dimension():
    with pytest.raises(InvalidParameter, match="2 coordinates"):
        Box(0, 1, dim=2).with_dim(3)
    with pytest.raises(InvalidParameter):
        Box([0, 1], 2, dim=3)


def test_a_ball_knows_its_dimension_from_its_centre():
    assert Ball(2.0, center=[0, 0, 1]).dim == 3
    assert Ball(2.0).with_dim(4) == Ball(2.0, dim=4)
    for radius in (0, -1, np.inf, 1e-200):
        with pytest.raises(InvalidParameter):
            Ball(radius)


def test_rows_of_any_real_dtype_pass_and_masked_values_become_nan():
    for dtype in (np.float32, np.float64, np.int8, np.uint64, np.bool_, np.float16):
        assert check_rows("X", np.ones((3, 2), dtype), 2).dtype == dtype
    masked = np.ma.masked_array([[1, 2]], mask=[[True, False]])
    np.testing.assert_array_equal(check_rows("X", masked, 2), [[np.nan, 2.0]])


@pytest.mark.parametrize(
    "bad",
    [
        np.ones((3, 2), complex),
        np.ones((3, 2), np.longdouble),
        np.array([["1", "2"]]),
        np.array([[None, 1.0]], dtype=object),
    ],
)
def test_other_dtypes_are_refused_with_a_remedy(bad):
    with pytest.raises(InvalidType, match=r"X: received dtype .*, expected .* real numbers .*; convert X"):
        check_rows("X", bad, 2)


def test_wrong_shapes_are_refused_without_a_row_count():
    with pytest.raises(InvalidParameter, match=r"X\.reshape\(-1, 1\)"):
        check_rows("X", np.ones(17), 1)
    with pytest.raises(InvalidParameter) as refusal:
        check_rows("X", np.ones((12345, 3)), 2)
    assert "12345" not in str(refusal.value)
    assert "(n, 2)" in str(refusal.value)


def test_equal_boxes_have_equal_digests():
    from dpstruct.core.blueprint import digest

    one, two = (KDETree(bounds=Box(low, 1.0, dim=1)) for low in (0.0, -0.0))
    assert one == two
    assert digest(one) == digest(two)


@pytest.mark.parametrize(
    "bad",
    [
        np.ma.masked_array([[1.0, "SSN 123-45"]], dtype=object),
        np.ma.masked_array(["SSN 123-45"]),
        np.ma.masked_array([[1.0, 2.0]], dtype=np.longdouble),
        np.ma.masked_array([[1, 2]], dtype="M8[D]"),
    ],
    ids=str,
)
def test_no_message_quotes_data_or_a_row_count(bad):
    with pytest.raises(InvalidType) as refusal:
        check_rows("X", bad, 2)
    assert "SSN" not in str(refusal.value)
    assert "3" not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_cells_of_a_list_become_numbers_each_by_itself():
    """Whatever stands in other rows: text, None, integers beyond the doubles, masked cells, numbers of other types."""
    rows = [[1, 2.5], [True, np.float32(0.1)], [2**60 + 1, -0.0], [np.uint64(2**63 + 1), Fraction(1, 3)]]
    alone = [check_rows("X", [row], 2)[0] for row in rows]
    for odd in (
        [],
        [None, 1.0],
        ["SSN 123-45", "3"],
        [10**400, -(10**400)],
        [np.nan, 1j],
        [np.ma.masked, np.array(2.0)],
    ):
        extra = [odd] if odd else []
        found = check_rows("X", [*rows, *extra], 2)
        assert found.dtype == np.float64
        assert (found[:4] == alone).all()
    assert np.isnan(check_rows("X", [[None, "3"], [10**400, 1j], [np.ma.masked, np.nan]], 2)).all()
    masked = check_rows("X", [np.ma.masked_array([1.0, 0.9], [False, True])], 2)
    np.testing.assert_array_equal(masked, [[1, np.nan]])
    assert check_rows("X", [], 3).shape == (0, 3)
    assert check_rows("y", (), None).shape == (0,)
    np.testing.assert_array_equal(check_rows("y", [1, None, "x", 2**63], None), [1, np.nan, np.nan, 2.0**63])


@pytest.mark.parametrize(
    "bad", [[[1, 2], [3, 4], [5]], [1, 2], ["ab", "cd"], [[[1, 2]], [[3, 4]]], [[[1], [2]]], [3, [4]]]
)
def test_lists_of_other_shapes_are_refused(bad):
    with pytest.raises(InvalidParameter, match=r"X: received a list of another shape, expected .*\(n, 2\)"):
        check_rows("X", bad, 2)


def test_masks_of_vectors_and_of_large_values_are_kept_in_silence():
    masked = np.ma.masked_array([1, 7, 2], mask=[False, True, False])
    np.testing.assert_array_equal(check_rows("y", masked, None), [1, np.nan, 2])
    large = np.ma.masked_array(np.array([[3e38, 1]], np.float32), mask=[[False, True]])
    np.testing.assert_array_equal(check_rows("X", large, 2), [[np.float32(3e38), np.nan]])
    with pytest.raises(InvalidParameter, match=r"\(n,\)"):
        check_rows("y", np.ones((2, 1)), None)
