"""Public domains and input checks."""

import numpy as np
import pytest

from dpstruct import Ball, Box, InvalidParameter, InvalidType
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
    with pytest.raises(InvalidType, match=r"X: received dtype .*, expected real numbers.*; convert X"):
        check_rows("X", bad, 2)


def test_wrong_shapes_are_refused_without_a_row_count():
    with pytest.raises(InvalidParameter, match=r"X\.reshape\(-1, 1\)"):
        check_rows("X", np.ones(17), 1)
    with pytest.raises(InvalidParameter) as refusal:
        check_rows("X", np.ones((12345, 3)), 2)
    assert "12345" not in str(refusal.value)
    assert "(n, 2)" in str(refusal.value)
