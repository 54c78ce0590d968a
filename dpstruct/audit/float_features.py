"""What the bits of a floating-point output give away."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.errors import InvalidType

__all__ = ["float_features"]

_ZERO = 1100  # a power of two that no double reaches: every power divides 0


def float_features(values: ArrayLike) -> NDArray[np.int64]:
    """Return sign, exponent, four low bits and finest power of two of each double: audit them like any other output.

    Textbook noise in doubles leaves holes in the low bits that move with the answer (Mironov, CCS 2012). These seven
    integers make the holes visible: ``lambda data, n: float_features(mechanism(data, n))``.

    Parameters
    ----------
    values : array_like of float, shape (n,) or (n, k)

    Returns
    -------
    ndarray of int64, shape (n, 7 k)
        For each number its sign bit, unbiased exponent (1024 for NaN and infinities), the four lowest bits of the
        mantissa from the lowest on, and the largest j such that it is a multiple of 2^j (1100 for 0).

    Examples
    --------
    >>> float_features([0.75, -3.0]).tolist()
    [[0, -1, 0, 0, 0, 0, -2], [1, 1, 0, 0, 0, 0, 0]]
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise InvalidType("values", f"shape {array.shape}, dtype {array.dtype}", "an array (n,) or (n, k) of numbers")
    bits = np.ascontiguousarray(array, dtype=np.float64).view(np.uint64)
    sign = bits >> np.uint64(63)
    biased = ((bits >> np.uint64(52)) & np.uint64(0x7FF)).astype(np.int64)
    mantissa = bits & np.uint64((1 << 52) - 1)
    exponent = np.where(biased == 0, -1022, biased - 1023)
    whole = np.where(biased == 0, mantissa, mantissa | np.uint64(1 << 52))
    lowest = whole & (~whole + np.uint64(1))  # a power of two, exact as a double
    trailing = np.frexp(lowest.astype(np.float64))[1].astype(np.int64) - 1
    finest = np.where(whole == 0, _ZERO, exponent - 52 + trailing)
    low = [((mantissa >> np.uint64(j)) & np.uint64(1)).astype(np.int64) for j in range(4)]
    columns = np.stack([sign.astype(np.int64), exponent, *low, finest], axis=-1)
    return columns.reshape(len(array), -1)
