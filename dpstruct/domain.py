"""Public domains (`Box`, `Ball`) and the checks that turn user input into plain arrays."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidParameter, InvalidType

__all__ = ["Ball", "Box", "check_rows", "positive_integer", "real"]


def real(argument: str, value: object) -> float:
    """Return `value` as a finite float; anything else (bool, str, NaN, inf) is refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise InvalidType(argument, f"a {type(value).__name__}", "a real number")
    number = float(value)
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
            width = b - a
            if not (math.isfinite(width) and width >= 2.0**-960 and math.nextafter(a, b) < b):
                raise InvalidParameter(f"high[{j}] - low[{j}]", repr(width), "a finite width of normal size")
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
        if not 2.0**-480 <= size <= 2.0**480:
            raise InvalidParameter("radius", repr(size), "a positive number of normal size")
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


def check_rows(argument: str, X: object, dim: int) -> NDArray[np.generic]:
    """Return `X` as an array of shape ``(n, dim)`` with a real dtype; values are never looked at.

    Raises
    ------
    InvalidType
        If the dtype is not a real number type.
    InvalidParameter
        If the shape is not ``(n, dim)``. The message quotes no row count.
    """
    if isinstance(X, np.ma.MaskedArray):
        X = np.ma.filled(X.astype(np.float64), np.nan)
    array: NDArray[np.generic] = np.asarray(X)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise InvalidType(
            argument,
            f"dtype {array.dtype}",
            "real numbers of at most 64 bits (float, integer or bool)",
            f"convert {argument} with .astype(float)",
        )
    if array.ndim != 2 or array.shape[1] != dim:
        received = f"{array.ndim} dimensions" if array.ndim != 2 else f"rows of {array.shape[1]} coordinates"
        remedy = f"use {argument}.reshape(-1, {dim})" if array.ndim == 1 else ""
        raise InvalidParameter(argument, received, f"an array of shape (n, {dim})", remedy)
    return array
