"""Public domains (`Box`, `Ball`) and the checks that turn user input into plain arrays."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter, InvalidType

__all__ = ["Ball", "Box", "check_rows", "positive_integer", "real"]

LARGE, SMALL = 1e100, 1e-100  # sides far enough from the ends of the doubles for squares and sums of squares


def real(argument: str, value: object) -> float:
    """Return `value` as a finite float; anything else (bool, str, NaN, inf) is refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise InvalidType(argument, f"a {type(value).__name__}", "a real number")
    try:
        number = float(value) + 0.0  # -0.0 becomes 0.0: equal parameters are to have equal digests
    except OverflowError:
        raise InvalidParameter(argument, "a number beyond the doubles", "a finite number") from None
    if not math.isfinite(number):
        raise InvalidParameter(argument, str(number), "a finite number")
    return number


def positive_integer(argument: str, value: object, *, at_most: int) -> int:
    """Return `value` as an int in ``1 .. at_most``."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise InvalidType(argument, f"a {type(value).__name__}", "an integer")
    if not 1 <= int(value) <= at_most:
        raise InvalidParameter(argument, str(int(value)), f"an integer from 1 to {at_most}")
    return int(value)


def _vector(argument: str, value: object) -> tuple[float, ...] | float:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return tuple(real(f"{argument}[{j}]", v) for j, v in enumerate(value))
    return real(argument, value)


def _dim(*parts: tuple[float, ...] | float, dim: int | None) -> int | None:
    sizes = {len(p) for p in parts if isinstance(p, tuple)}
    if dim is not None:
        sizes.add(positive_integer("dim", dim, at_most=2**24))
    if len(sizes) > 1:
        raise InvalidParameter("bounds", f"sides of {sorted(sizes)} coordinates", "one number of coordinates")
    if sizes == {0}:
        raise InvalidParameter("bounds", "no coordinates", "at least one coordinate")
    return sizes.pop() if sizes else None


@dataclass(frozen=True, init=False)
class Box:
    """Promise that every record is clipped to ``low <= x <= high``, coordinate by coordinate.

    Bounds are public and must not be computed from the private data.

    Parameters
    ----------
    low, high : float or sequence of float
        Sides of the box in the units of the data, ``low < high``. A single number serves every coordinate.
    dim : int, optional
        Number of coordinates where both sides are single numbers. Without it the box fits any dimension, which only
        adapters (who take the dimension from the data's public shape) can use.

    Examples
    --------
    >>> Box(low=[0, -1], high=1)
    Box(low=(0.0, -1.0), high=(1.0, 1.0), dim=2)
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    dim: int | None

    def __init__(
        self,
        low: float | Sequence[float] | ArrayLike,
        high: float | Sequence[float] | ArrayLike,
        dim: int | None = None,
    ) -> None:
        lows, highs = _vector("low", low), _vector("high", high)
        size = _dim(lows, highs, dim=dim)
        lows = lows if isinstance(lows, tuple) else (lows,) * (size or 1)
        highs = highs if isinstance(highs, tuple) else (highs,) * (size or 1)
        for j, (a, b) in enumerate(zip(lows, highs, strict=True)):
            if not a < b:
                raise InvalidParameter(f"low[{j}], high[{j}]", f"{a!r} and {b!r}", "low < high")
            if not (max(abs(a), abs(b)) <= LARGE and b - a >= SMALL and math.nextafter(a, b) < b):
                expected = f"sides within +-{LARGE:g} and at least {SMALL:g} apart, with a double between them"
                raise InvalidParameter(f"low[{j}], high[{j}]", f"{a!r} and {b!r}", expected)
        object.__setattr__(self, "low", lows)
        object.__setattr__(self, "high", highs)
        object.__setattr__(self, "dim", size)

    def with_dim(self, dim: int) -> Box:
        """Return this box in `dim` coordinates; only a box without a dimension can change it."""
        if self.dim is None:
            return Box(self.low[0], self.high[0], dim=dim)
        if dim != self.dim:
            raise InvalidParameter("bounds", f"a box of {self.dim} coordinates", f"one of {dim} coordinates")
        return self


@dataclass(frozen=True, init=False)
class Ball:
    """Promise that every record is shrunk to ``|x - center| <= radius`` in the Euclidean norm.

    Parameters
    ----------
    radius : float
        Public radius in the units of the data, > 0.
    dim : int, optional
        Number of coordinates; without it the ball fits any dimension (for adapters).
    center : sequence of float, optional
        Public centre; the origin if not given.
    """

    radius: float
    dim: int | None
    center: tuple[float, ...] | None

    def __init__(
        self, radius: float, dim: int | None = None, center: Sequence[float] | ArrayLike | None = None
    ) -> None:
        size = real("radius", radius)
        if not SMALL <= size <= LARGE:
            raise InvalidParameter("radius", repr(size), f"a number from {SMALL:g} to {LARGE:g}")
        middle = None if center is None else _vector("center", center)
        if isinstance(middle, float):
            middle = (middle,)
        object.__setattr__(self, "radius", size)
        object.__setattr__(self, "dim", _dim(*([] if middle is None else [middle]), dim=dim))
        object.__setattr__(self, "center", middle)

    def with_dim(self, dim: int) -> Ball:
        """Return this ball in `dim` coordinates; only a ball without a dimension can change it."""
        if self.dim not in (None, dim):
            raise InvalidParameter("bounds", f"a ball of {self.dim} coordinates", f"one of {dim} coordinates")
        return replace(self, dim=dim) if self.dim is None else self


def check_rows(argument: str, X: Any, dim: int | None) -> NDArray[np.generic]:
    """Return `X` as an array of shape ``(n, dim)``, or ``(n,)`` for None, with a real dtype; values are not looked at.

    Masked entries become NaN. The dtype of an array is the caller's. A list has none, and that of a table's values may
    follow from the values: their cells become float64 one by one, or NaN where they are no number, so that no cell can
    change what another one becomes.

    Raises
    ------
    InvalidType
        If the dtype is not a real number type of at most 64 bits. The message quotes no data.
    InvalidParameter
        If the shape is another. The message quotes no row count.
    """
    mask = np.ma.getmask(X) if isinstance(X, np.ma.MaskedArray) else np.ma.nomask
    wanted = "(n,)" if dim is None else f"(n, {dim})"
    if is_list(X):
        return _from_list(argument, X, dim, wanted)
    try:
        array: NDArray[np.generic] = np.asarray(X)
    except Exception:  # of NumPy or of a foreign type; its message could quote data
        array = np.empty((), dtype=object)
    if array.dtype.kind in "OSUT" and not isinstance(X, np.ndarray) and array.ndim == (1 if dim is None else 2):
        return _from_list(argument, array.tolist(), dim, wanted)  # of a table: values decided upon that dtype
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        expected = "a rectangular array of real numbers of at most 64 bits (float, integer or bool)"
        raise InvalidType(
            argument, f"dtype {array.dtype.type.__name__}", expected, f"convert {argument} to an array of float64"
        )
    if array.ndim != (1 if dim is None else 2):
        remedy = f"use {argument}.reshape(-1, {dim})" if array.ndim == 1 else ""
        raise InvalidParameter(argument, f"{array.ndim} dimensions", f"an array of shape {wanted}", remedy)
    if dim is not None and array.shape[1] != dim:
        raise InvalidParameter(argument, f"rows of {array.shape[1]} coordinates", f"an array of shape {wanted}")
    if mask is not np.ma.nomask:
        with np.errstate(all="ignore"):
            array = array.astype(np.float64)
        array[mask] = np.nan
    return array


_PLAIN = (float, int, bool)


def is_list(X: object) -> bool:
    """Return whether `X` is a sequence without a dtype, whose elements are to be read one by one."""
    return (
        isinstance(X, Sequence) and not isinstance(X, str | bytes | bytearray | memoryview) and not hasattr(X, "dtype")
    )


def nested(cell: object) -> bool:
    """Return whether an element of a list is itself a list, or an array."""
    return is_list(cell) or (isinstance(cell, np.ndarray) and cell.ndim > 0)


def _from_list(argument: str, X: Sequence[Any], dim: int | None, wanted: str) -> NDArray[np.float64]:
    try:
        found = _vector_of(X) if dim is None else _matrix_of(X, dim)
    except Exception:  # of a foreign row; its message could quote data
        found = None
    if found is None:
        raise InvalidParameter(argument, "a list of another shape", f"an array of shape {wanted}")
    return found


def _number(cell: object) -> float:
    """Return one cell of a list as a double, NaN where it is none; text is none, whatever it says."""
    kind = type(cell)
    if kind is float:
        return cell  # type: ignore[return-value]
    if kind is not int and not _may_be_number(cell):
        return math.nan
    try:
        return float(cell)  # type: ignore[arg-type]
    except Exception:  # no number, one beyond the doubles, or a broken one: its message could quote data
        return math.nan


def _may_be_number(cell: object) -> bool:
    if isinstance(cell, str | bytes | bytearray | np.ma.MaskedArray):
        return False
    return not isinstance(cell, np.generic | np.ndarray) or cell.dtype.kind in "biuf"


def _vector_of(cells: Sequence[Any]) -> NDArray[np.float64] | None:
    """Return the cells of a list as doubles, each by itself; None if there are lists among them."""
    if any(nested(cell) for cell in cells if type(cell) not in _PLAIN):
        return None
    return np.fromiter(map(_number, cells), dtype=np.float64, count=len(cells))


def _matrix_of(rows: Sequence[Any], dim: int) -> NDArray[np.float64] | None:
    """Return a list of rows as doubles, each cell by itself; None if a row has not `dim` cells."""
    cells: list[Any] = []
    for row in rows:
        if isinstance(row, str | bytes) or len(row) != dim:
            return None
        cells += list(row)
    vector = _vector_of(cells)
    return None if vector is None else vector.reshape(-1, dim)
