"""Targets of NTK regression: public labels or a public interval, and the int16 codes that records carry."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import Box, check_rows, nested
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.features.sphere import STEPS

__all__ = ["check_targets", "classes", "encode", "normalised", "one_hot"]

UNKNOWN = -1
EXPECTED = 'a list of labels such as ["no", "yes"], or an interval (low, high)'


def normalised(target: Any) -> Box | tuple[Any, ...]:
    """Return an interval as a `Box` of one coordinate, and labels as ``("labels", first, second, ...)``."""
    if isinstance(target, Box) and target.low and len(target.low) == 1:
        return Box(target.low[0], target.high[0], dim=1)
    if isinstance(target, np.ndarray):
        target = target.tolist()
    if isinstance(target, tuple) and target[:1] == ("labels",):
        target = list(target[1:])
    elif isinstance(target, tuple) and len(target) == 2:
        return Box(target[0], target[1], dim=1)
    if not isinstance(target, list):
        raise InvalidType("target", f"a {type(target).__name__}", EXPECTED)
    labels = [label.item() if isinstance(label, np.generic) else label for label in target]
    kinds = {str if isinstance(label, str) else numbers.Real for label in labels}
    if len(kinds) != 1 or not all(isinstance(label, str | bool | int | float) for label in labels):
        raise InvalidType("target", "labels of several or other types", "labels that are all text or all numbers")
    if len(set(labels)) < len(labels) or not 2 <= len(labels) < STEPS or any(label != label for label in labels):
        raise InvalidParameter("target", f"{len(set(labels))} distinct labels of {len(labels)}", "2 or more, distinct")
    return ("labels", *labels)


def classes(target: Box | tuple[Any, ...]) -> NDArray[Any] | None:
    """Return the labels as an array, or None for an interval."""
    return None if isinstance(target, Box) else np.array(target[1:])


def check_targets(argument: str, y: Any, target: Box | tuple[Any, ...]) -> NDArray[Any]:
    """Return `y` as an array of shape ``(n,)``: real numbers, or text where the labels are.

    Where labels have no dtype of NumPy's, in a list or a nullable column, they are looked up one by one: a common dtype
    could make other labels of some when others arrive.

    Raises
    ------
    InvalidType, InvalidParameter
        For another dtype or shape; no message quotes a value.
    """
    if isinstance(target, Box):
        return check_rows(argument, y, None)
    if not isinstance(getattr(y, "dtype", None), np.dtype):
        return _each(argument, y)
    if not isinstance(target[1], str) and y.dtype != object:
        return check_rows(argument, y, None)
    try:
        array = np.asarray(y)
    except Exception:  # its message could quote data
        array = np.empty((0, 0))
    if array.ndim != 1:
        raise InvalidParameter(argument, f"{array.ndim} dimensions", "an array of shape (n,)")
    if array.dtype.kind not in "OUT":
        raise InvalidType(argument, f"dtype {array.dtype.type.__name__}", "labels of the type that `target` lists")
    if isinstance(y, np.ma.MaskedArray):
        array = array.astype(object)
        array[np.ma.getmaskarray(y)] = None
    return array


def _each(argument: str, y: Any) -> NDArray[Any]:
    """Return labels without a dtype as objects, each by itself."""
    try:
        labels = [] if getattr(y, "ndim", 1) != 1 else list(y)
        flat = getattr(y, "ndim", 1) == 1 and not isinstance(y, str | bytes) and not any(map(nested, labels))
    except Exception:  # nothing that has elements; a message could quote data
        flat = False
    if not flat:
        raise InvalidParameter(argument, "labels of another shape", "an array of shape (n,)")
    return np.fromiter(labels, dtype=object, count=len(labels))


def encode(y: NDArray[Any], target: Box | tuple[Any, ...]) -> NDArray[np.int16]:
    """Return the place of each label, -1 for an unknown one; or steps of 1 / STEPS from the middle of the interval.

    A value that is not finite is the middle.
    """
    if isinstance(target, Box):
        low, high = target.low[0], target.high[0]
        half = 0.5 * (high - low)
        with np.errstate(all="ignore"):  # underflow is a value, too
            values = y.astype(np.float64)
            place = (np.clip(values, low, high) - (low + half)) / half
            place[~np.isfinite(values)] = 0.0
            steps: NDArray[np.int16] = np.trunc(np.clip(place, -1.0, 1.0) * (STEPS * (1 - 2.0**-30))).astype(np.int16)
        return steps
    codes = np.full(len(y), UNKNOWN, np.int16)
    if y.dtype == object:
        known = {label: code for code, label in enumerate(target[1:])}
        codes[:] = [_look_up(known, value) for value in y]
        return codes
    with np.errstate(all="ignore"):  # of a label beyond the range of the array's dtype
        for code, label in enumerate(target[1:]):
            codes[y == label] = code
    return codes


def _look_up(known: dict[Any, int], value: Any) -> int:
    try:
        return known.get(value.item() if hasattr(value, "item") else value, UNKNOWN)
    except Exception:  # a value without a hash, or with a broken one
        return UNKNOWN


def one_hot(labels: Sequence[Any]) -> NDArray[np.int64]:
    """Return a lattice row per label, one-hot minus 1/k scaled to length 1 (STEPS), and last a zero row (code -1)."""
    k = len(labels)
    table = np.zeros((k + 1, k))
    table[:k] = (np.eye(k) - 1 / k) / math.sqrt(1 - 1 / k)
    return np.trunc(table * (STEPS * (1 - 2.0**-30))).astype(np.int64)
