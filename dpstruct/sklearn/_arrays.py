"""What users pass as X and y to plain arrays: types and shapes are looked at, values are neither refused nor quoted."""

from __future__ import annotations

import math
import threading
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import check_classification_targets

from dpstruct.domain import check_rows, is_list, nested
from dpstruct.errors import InvalidParameter, InvalidType

__all__ = ["distinct", "label_column", "matrix", "number_column"]

Floats = NDArray[np.float64]

_one_at_a_time = threading.RLock()  # filters of warnings belong to the process


def matrix(argument: str, X: Any) -> Floats:
    """Return `X` as float64 of shape (n, d), NaN where a cell is no number."""
    rows = _numbers(argument, X)
    if rows.ndim != 2:
        received = f"{rows.ndim} dimensions" + (", or rows of several lengths" if is_list(X) else "")
        remedy = f"Reshape your data: {argument}.reshape(-1, 1) is one feature, {argument}.reshape(1, -1) one record"
        raise InvalidParameter(argument, received, "an array of shape (n, d)", remedy)
    if rows.shape[1] == 0:
        raise InvalidParameter(argument, "0 features", "at least one")
    return rows


def number_column(argument: str, y: Any) -> Floats:
    """Return `y` as float64 of shape (n,), NaN where it is no number."""
    column: Floats = _column(argument, _numbers(argument, y))
    return column


def label_column(argument: str, y: Any) -> NDArray[Any]:
    """Return labels as an array of shape (n,): those of a list are objects, each by itself."""
    if getattr(y, "ndim", 1) == 2 and hasattr(y, "iloc") and y.shape[1] == 1:
        y = y.iloc[:, 0]  # values decide what NumPy makes of a table
        _warn_of_a_column(argument)
    column = getattr(y, "ndim", 1) == 1 and hasattr(y, "__iter__") and not isinstance(y, str | bytes)
    typed = not column or isinstance(getattr(y, "dtype", None), np.dtype)
    array = _array(argument, y if typed else _elements(argument, y))
    if array.dtype.kind not in "biufUTO":
        raise _wrong_dtype(argument, array, "numbers, text or objects")
    return _column(argument, array)


def distinct(argument: str, labels: NDArray[Any]) -> NDArray[Any]:
    """Return the sorted set of `labels`, which is declared public; what is neither text nor finite is not in it."""
    cells = labels.tolist() if labels.dtype == object else np.unique(labels).tolist()
    found = {cell for cell in cells if _is_label(cell)}
    if len({isinstance(label, str) for label in found}) > 1:
        raise InvalidType(argument, "text and numbers", "labels of one type")
    public = np.array(sorted(found))
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of many labels beside the number of records, which is private
        check_classification_targets(public)
    return public


def _is_label(cell: object) -> bool:
    whole = isinstance(cell, str | int | np.integer | np.bool_)
    return whole or (isinstance(cell, float | np.floating) and math.isfinite(cell))


def _numbers(argument: str, X: Any) -> Floats:
    array = _array(argument, X)
    if array.dtype == object or (array.dtype.kind in "SUT" and not isinstance(X, np.ndarray) and array.ndim > 0):
        cells = [math.nan if nested(cell) else cell for cell in array.ravel().tolist()]
        return check_rows(argument, cells, None).astype(np.float64).reshape(array.shape)
    if array.dtype.kind not in "biuf":
        raise _wrong_dtype(argument, array, "real numbers")
    with np.errstate(all="ignore"):  # what is beyond the doubles is a value, too
        floats: Floats = np.asarray(array, dtype=np.float64)
    return np.where(array.mask, np.nan, floats) if isinstance(array, np.ma.MaskedArray) else floats


def _array(argument: str, X: Any) -> NDArray[Any]:
    """Return an array of the caller's dtype; a list has none, and its cells stay objects: none can change another."""
    if issparse(X):
        raise InvalidType(argument, "a sparse matrix", "a dense array", f"pass {argument}.toarray()")
    if is_list(X):
        return _of_list(list(X))
    array: NDArray[Any] | None = None
    with _one_at_a_time, warnings.catch_warnings(), suppress(Exception):  # NumPy and foreign types quote data
        warnings.simplefilter("ignore")
        array = X if isinstance(X, np.ma.MaskedArray) else np.asarray(X)
    if array is None:
        raise InvalidType(argument, f"a {type(X).__name__}", "a rectangular array")
    return array


def _elements(argument: str, y: Any) -> list[Any]:
    """Return the elements of a column without a dtype of NumPy's: its values decide what NumPy would make of it."""
    with suppress(Exception):
        return list(y)
    raise InvalidType(argument, f"a {type(y).__name__}", "an array of shape (n,)")


def _of_list(cells: list[Any]) -> NDArray[Any]:
    """Return objects in as many dimensions as all cells agree on; nothing is asked of a cell but whether it is one."""
    if cells and all(nested(cell) for cell in cells) and len({len(cell) for cell in cells}) == 1:
        inner = _of_list([part for cell in cells for part in cell])
        return inner.reshape(len(cells), len(cells[0]), *inner.shape[1:])
    return np.fromiter(cells, dtype=object, count=len(cells))


def _column(argument: str, array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 2 and array.shape[1] == 1:
        _warn_of_a_column(argument)
        return array.ravel()
    if array.ndim != 1:
        raise InvalidParameter(argument, f"{array.ndim} dimensions", "a 1d array of shape (n,)")
    return array


def _warn_of_a_column(argument: str) -> None:
    told = f"A column-vector {argument} was passed when a 1d array was expected: use {argument}.ravel()"
    warnings.warn(told, DataConversionWarning, stacklevel=6)


def _wrong_dtype(argument: str, array: NDArray[Any], expected: str) -> InvalidType:
    name = array.dtype.type.__name__
    if array.dtype.kind == "c":
        remedy = "Complex data not supported: real and imaginary parts can be two features"
        return InvalidType(argument, f"dtype {name}", expected, remedy)
    return InvalidType(argument, f"dtype {name}", expected, f"convert {argument} to an array of float64")
