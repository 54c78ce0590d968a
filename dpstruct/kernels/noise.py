"""First stage of the noise samplers: double precision, vectorised, every doubtful element flagged.

Two 64-bit words A and B, read as the leading bits of two infinite binary expansions U and V, make a pair of rounded
Gaussians (polar form) or one discrete Laplace variable (the difference of two geometric ones). The kernels compute the
real numbers behind the integers with ``+ - * /`` and ``sqrt`` alone, next to a bound ``e`` on everything that can be
wrong with them: rounding, polynomials, and the bits not yet drawn. If no integer boundary lies within ``e`` the integer
is certain and stored; otherwise a flag is raised and a later stage decides. So the output is the exact function of the
bits, on every machine.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpstruct.kernels._jit import inline, jit

__all__ = ["gaussian", "laplace"]

Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.uint8]

_ONE, _TWO, _SIX2, _EIGHTH = np.uint64(1), np.uint64(2), np.uint64(62), np.uint64(1 << 61)
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)
_EXPONENT = np.int64(52)
_LN2 = 0.6931471805599453
_MAGIC = 6755399441055744.0  # 1.5 * 2^52: adding it rounds |x| < 2^51 to an integer, kept in the low bits
_MAGIC_BITS = np.int64(0x4338000000000000)


@inline
def minus_log(fa: float) -> float:
    """Return ``-ln(fa 2^-63)`` for an integer-valued double ``1 <= fa <= 2^63``; relative error below 2^-50."""
    bits = np.float64(fa).view(np.int64)
    k = (bits - _SQRT_HALF_BITS) >> _EXPONENT  # fa = 2^k m, m in [sqrt(1/2), sqrt(2))
    m = np.int64(bits - (k << _EXPONENT)).view(np.float64)
    w = (m - 1.0) / (m + 1.0)
    z = w * w
    p = 1 / 17 + z * (1 / 19 + z * (1 / 21))
    p = 1 / 9 + z * (1 / 11 + z * (1 / 13 + z * (1 / 15 + z * p)))
    p = z * (1 / 3 + z * (1 / 5 + z * (1 / 7 + z * p)))
    return (63.0 - k) * _LN2 - 2.0 * (w + w * p)


@inline
def cos_sin(phi: float) -> tuple[float, float]:
    """Return cosine and sine for ``|phi| <= pi/4``, Taylor to the powers 16 and 15; error below 1.1 * 2^-53."""
    z = phi * phi
    c = -1 / 87178291200 + z * (1 / 20922789888000)
    c = -1 / 720 + z * (1 / 40320 + z * (-1 / 3628800 + z * (1 / 479001600 + z * c)))
    c = 1.0 + z * (-0.5 + z * (1 / 24 + z * c))
    s = 1 / 6227020800 + z * (-1 / 1307674368000)
    s = -1 / 5040 + z * (1 / 362880 + z * (-1 / 39916800 + z * s))
    s = phi + phi * (z * (-1 / 6 + z * (1 / 120 + z * s)))
    return c, s


@inline
def polar(a_word: np.uint64, b_word: np.uint64) -> tuple[float, float, float]:
    """Return ``x, y, e``: the unit Gaussian pair of two words and its error bound.

    Both are within e of ``sqrt(-2 ln U) (cos, sin)(2 pi V)`` for every U in [A, A+1) 2^-64 and V in [B, B+1) 2^-64.
    In e, ``r 2^-48`` covers rounding, polynomials and the undrawn bits of V; ``2/fa + 2^-51`` bounds twice the change
    of ln U by its undrawn bits and by the conversion to a double, and dividing it by r bounds the change of the root.
    At both ends e is infinite: fa = 0, and fa = 2^63 (the last 1024 words), where r = +0. A negative zero would give
    -inf and make (0, 0) certain.
    """
    fa = np.float64(a_word >> _ONE)
    r = math.sqrt(2.0 * minus_log(max(fa, 1.0)))
    phi = np.float64(np.int64(b_word << _TWO)) * 2.0**-63 * (math.pi / 4)
    c, s = cos_sin(phi)
    quadrant = np.int64((b_word + _EIGHTH) >> _SIX2)  # nearest multiple of pi/2, as b_word << 2 is signed
    x = s if quadrant & 1 else c
    y = c if quadrant & 1 else s
    x = -x if (quadrant + 1) & 2 else x
    y = -y if quadrant & 2 else y
    return r * x, r * y, r * 2.0**-48 + (fa * 2.0**-51 + 2.0) / (fa * r)


@inline
def settle(x: float, e: float) -> tuple[np.int64, bool]:
    """Return the integer nearest to ``x`` and whether it is certain for every real within ``e`` of ``x``."""
    shifted = x + _MAGIC
    certain = abs(x - (shifted - _MAGIC)) < 0.5 - e
    return np.float64(shifted).view(np.int64) - _MAGIC_BITS, certain


@inline
def pair(a_word: np.uint64, b_word: np.uint64, sigma_x: float, sigma_y: float) -> tuple[np.int64, np.int64, np.uint8]:
    """Return two integers and the flag of one pair of rounded Gaussians."""
    x, y, e = polar(a_word, b_word)
    kx, certain_x = settle(sigma_x * x, sigma_x * e)
    ky, certain_y = settle(sigma_y * y, sigma_y * e)
    return kx, ky, np.uint8(0 if certain_x & certain_y else 1)


@jit
def gaussian(words: Words, sigma: Floats, out: Ints, flags: Flags) -> int:
    """Fill `out` (2h,) with rounded Gaussians from `words` (2h,), and flags (h,): pair i has words and entries i, h+i.

    `sigma` has one entry or 2h. Returns the number of flagged pairs.
    """
    h = flags.size
    first, second, left, right = words[:h], words[h:], out[:h], out[h:]
    flagged = 0
    if sigma.size == 1:
        scale = sigma[0]
        for i in range(h):
            left[i], right[i], flags[i] = pair(first[i], second[i], scale, scale)
            flagged += flags[i]
    else:
        scale_x, scale_y = sigma[:h], sigma[h:]
        for i in range(h):
            left[i], right[i], flags[i] = pair(first[i], second[i], scale_x[i], scale_y[i])
            flagged += flags[i]
    return flagged


@inline
def exponential(word: np.uint64) -> tuple[float, float]:
    """Return ``x, e``: -ln U within e for every U in [A, A+1) 2^-64; e is infinite for fa = 0."""
    fa = np.float64(word >> _ONE)
    x = minus_log(max(fa, 1.0))
    return x, x * 2.0**-48 + (2.0**-51 + 2.0 / fa)


@inline
def geometric(word: np.uint64, t: float) -> tuple[np.int64, bool]:
    """Return ``floor(-t ln U)`` and whether it is certain."""
    x, e = exponential(word)
    x, e = t * x, t * e
    shifted = (x - 0.5) + _MAGIC
    part = x - (shifted - _MAGIC)
    return np.int64(np.float64(shifted).view(np.int64) - _MAGIC_BITS), (e < part) & (part < 1.0 - e)


@inline
def difference(a_word: np.uint64, b_word: np.uint64, t: float) -> tuple[np.int64, np.uint8]:
    """Return the difference of two geometric variables and its flag."""
    k, certain_k = geometric(a_word, t)
    j, certain_j = geometric(b_word, t)
    return k - j, np.uint8(0 if certain_k & certain_j else 1)


@jit
def laplace(words: Words, t: Floats, out: Ints, flags: Flags) -> int:
    """Fill `out` (n,) with discrete Laplace noise from `words` (2n,), and flags (n,): entry i has words i, n+i.

    `t` has one entry or n. Returns the number of flagged entries.
    """
    n = flags.size
    first, second = words[:n], words[n:]
    flagged = 0
    if t.size == 1:
        scale = t[0]
        for i in range(n):
            out[i], flags[i] = difference(first[i], second[i], scale)
            flagged += flags[i]
    else:
        for i in range(n):
            out[i], flags[i] = difference(first[i], second[i], t[i])
            flagged += flags[i]
    return flagged
