"""Second stage of the noise samplers: flagged elements again, in double-double arithmetic.

A double-double is an unevaluated sum of two doubles, 106 bits. Products are split after Veltkamp and Dekker, so no
fused multiply-add is assumed. Each operation used here has a relative error below 2^-99 (arXiv 1603.06491 collects
the bounds: 3u^2 to 15u^2 with u = 2^-53); the logarithm, sine and cosine stay below 2^-90. What remains is then
dominated by the bits that have not been drawn: 2^-61 in the angle and 1/A in ln U.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from dpstruct.kernels._jit import inline, jit
from dpstruct.kernels.noise import Flags, Floats, Ints, Words

__all__ = ["gaussian", "laplace"]

Pair = tuple[float, float]


def _split(value: Fraction) -> Pair:
    """Return the two doubles nearest to an exact fraction."""
    high = float(value)
    return high, float(value - Fraction(high))


_LN2 = _split(Fraction("0.69314718055994530941723212145817656807550013436026"))
_PI_4 = _split(Fraction("0.78539816339744830961566084581987572104929234984378"))
_ATANH = np.array([_split(Fraction(1, 2 * n + 1)) for n in range(21)])
_COS = np.array([_split(Fraction((-1) ** n, math.factorial(2 * n))) for n in range(13)])
_SIN = np.array([_split(Fraction((-1) ** n, math.factorial(2 * n + 1))) for n in range(13)])

_ONE, _TWO, _SIX2, _EIGHTH = np.uint64(1), np.uint64(2), np.uint64(62), np.uint64(1 << 61)
_LOW = np.uint64(0x7FF)
_ROUNDING = 2.0**-48  # of the fractional part of |x| < 2^57, absolute


@inline
def two_sum(a: float, b: float) -> Pair:
    """Return the rounded sum and its exact error."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


@inline
def two_prod(a: float, b: float) -> Pair:
    """Return the rounded product and its exact error, without a fused multiply-add."""
    p = a * b
    t = 134217729.0 * a
    a1 = t - (t - a)
    a2 = a - a1
    t = 134217729.0 * b
    b1 = t - (t - b)
    b2 = b - b1
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


@inline
def add(x1: float, x0: float, y1: float, y0: float) -> Pair:
    """Return the sum of two double-doubles."""
    s, e = two_sum(x1, y1)
    t, f = two_sum(x0, y0)
    s, e = two_sum(s, e + t)
    return two_sum(s, e + f)


@inline
def mul(x1: float, x0: float, y1: float, y0: float) -> Pair:
    """Return the product of two double-doubles."""
    p, e = two_prod(x1, y1)
    return two_sum(p, e + (x1 * y0 + x0 * y1))


@inline
def div(x1: float, x0: float, y1: float, y0: float) -> Pair:
    """Return the quotient of two double-doubles: the double quotient, then one correction by the exact remainder."""
    q = x1 / y1
    p1, p0 = mul(y1, y0, q, 0.0)
    r1, r0 = add(x1, x0, -p1, -p0)
    return two_sum(q, (r1 + r0) / y1)


@inline
def root(x1: float, x0: float) -> Pair:
    """Return the square root of a positive double-double: one Newton step from the double root."""
    s = math.sqrt(x1)
    p1, p0 = two_prod(s, s)
    r1, r0 = add(x1, x0, -p1, -p0)
    return two_sum(s, (r1 + r0) / (2.0 * s))


@jit
def series(table: Floats, z1: float, z0: float) -> Pair:
    """Return the sum of ``table[n] z^n`` by Horner's rule."""
    p1, p0 = table[-1, 0], table[-1, 1]
    for n in range(table.shape[0] - 2, -1, -1):
        p1, p0 = mul(p1, p0, z1, z0)
        p1, p0 = add(p1, p0, table[n, 0], table[n, 1])
    return p1, p0


@jit
def minus_log(a: np.uint64) -> Pair:
    """Return ``-ln(a 2^-64)`` for a word ``a >= 1``; relative error below 2^-90."""
    high, low = two_sum(np.float64(a & ~_LOW), np.float64(a & _LOW))
    m, k = math.frexp(high)
    if m < math.sqrt(0.5):
        m, k = 2.0 * m, k - 1
    low = math.ldexp(low, -k)
    n1, n0 = add(m, low, -1.0, 0.0)
    d1, d0 = add(m, low, 1.0, 0.0)
    w1, w0 = div(n1, n0, d1, d0)
    z1, z0 = mul(w1, w0, w1, w0)
    p1, p0 = series(_ATANH, z1, z0)
    p1, p0 = mul(p1, p0, w1, w0)
    l1, l0 = mul(_LN2[0], _LN2[1], 64.0 - k, 0.0)
    return add(l1, l0, -2.0 * p1, -2.0 * p0)


@jit
def polar(a_word: np.uint64, b_word: np.uint64) -> tuple[float, float, float, float, float]:
    """Return ``x1, x0, y1, y0, e``: the unit Gaussian pair of two words and its error bound.

    ``|error| <= r 2^-60 + 3/(A r)``: the undrawn bits move the angle by at most 2 pi 2^-64 < 2^-61.3 and -2 ln U by at
    most 2/A, hence its root by (2/A)/r; rounding (below r 2^-85) takes the rest.
    """
    l1, l0 = minus_log(a_word)
    r1, r0 = root(2.0 * l1, 2.0 * l0)
    turn = b_word << _TWO
    t1, t0 = two_sum(np.float64(np.int64(turn & ~_LOW)) * 2.0**-63, np.float64(turn & _LOW) * 2.0**-63)
    p1, p0 = mul(t1, t0, _PI_4[0], _PI_4[1])
    z1, z0 = mul(p1, p0, p1, p0)
    c1, c0 = series(_COS, z1, z0)
    s1, s0 = series(_SIN, z1, z0)
    s1, s0 = mul(s1, s0, p1, p0)
    c1, c0 = mul(c1, c0, r1, r0)
    s1, s0 = mul(s1, s0, r1, r0)
    e = r1 * 2.0**-60 + 3.0 / (np.float64(a_word) * r1)
    quadrant = np.int64((b_word + _EIGHTH) >> _SIX2)
    if quadrant == 0:
        return c1, c0, s1, s0, e
    if quadrant == 1:
        return -s1, -s0, c1, c0, e
    if quadrant == 2:
        return -c1, -c0, -s1, -s0, e
    return s1, s0, -c1, -c0, e


@inline
def floor(x1: float, x0: float, e: float, offset: float) -> tuple[np.int64, bool]:
    """Return ``floor(x + offset)`` and whether it is certain for every real within ``e`` of ``x``."""
    base = math.floor(x1)
    part = (x1 - base) + x0 + offset
    step = math.floor(part)
    part -= step
    e += _ROUNDING
    return np.int64(base) + np.int64(step), (e < part) & (part < 1.0 - e)


@jit
def gaussian(words: Words, sigma: Floats, index: Ints, out: Ints, flags: Flags) -> None:
    """Decide the flagged pairs `index` of `kernels.noise.gaussian` where 64 bits suffice; clear their flags."""
    h = flags.size
    for i in index:
        x1, x0, y1, y0, e = polar(words[i], words[h + i])
        scale_x = sigma[0] if sigma.size == 1 else sigma[i]
        scale_y = sigma[0] if sigma.size == 1 else sigma[h + i]
        x1, x0 = mul(x1, x0, scale_x, 0.0)
        y1, y0 = mul(y1, y0, scale_y, 0.0)
        kx, certain_x = floor(x1, x0, scale_x * e, 0.5)
        ky, certain_y = floor(y1, y0, scale_y * e, 0.5)
        if certain_x & certain_y:
            out[i], out[h + i], flags[i] = kx, ky, 0


@inline
def exponential(a: np.uint64) -> tuple[float, float, float]:
    """Return ``x1, x0, e``: -ln U within e for every U in [a, a+1) 2^-64."""
    l1, l0 = minus_log(a)
    return l1, l0, l1 * 2.0**-80 + 1.5 / np.float64(a)


@inline
def geometric(word: np.uint64, t: float) -> tuple[np.int64, bool]:
    """Return ``floor(-t ln U)`` and whether it is certain."""
    x1, x0, e = exponential(word)
    x1, x0 = mul(x1, x0, t, 0.0)
    return floor(x1, x0, t * e, 0.0)


@jit
def laplace(words: Words, t: Floats, index: Ints, out: Ints, flags: Flags) -> None:
    """Decide the flagged entries `index` of `kernels.noise.laplace` where 64 bits suffice; clear their flags."""
    n = flags.size
    for i in index:
        scale = t[0] if t.size == 1 else t[i]
        k, certain_k = geometric(words[i], scale)
        j, certain_j = geometric(words[n + i], scale)
        if certain_k & certain_j:
            out[i], flags[i] = k - j, 0
