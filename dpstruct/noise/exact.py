"""The noise laws by definition, in rigorous interval arithmetic: slow, exact, and the judge of the fast stages.

A word stands for every real that begins with its bits. The formula is evaluated on that whole interval; when both
ends give the same integer it is the answer, else 64 fresh bits are appended and the evaluation starts again. An
undecided element is never dropped: dropping would favour some integers over others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = ["gaussian", "laplace"]

Fresh = Callable[[], int]
_LOCAL = threading.local()


def _intervals(bits: int) -> Any:
    """Return this thread's own interval context (mpmath's shared one is not thread-safe) at `bits` + 80 bits."""
    if not hasattr(_LOCAL, "context"):
        from mpmath.ctx_iv import MPIntervalContext

        context = MPIntervalContext()
        context.prec = 2048  # mpmath caches pi and ln 2 for all threads: long ones now, so that nobody replaces them
        _ = +context.pi, +context.ln2
        _LOCAL.context = context
    _LOCAL.context.prec = bits + 80
    return _LOCAL.context


def _unit(context: Any, word: int, bits: int) -> Any:
    """Return the interval ``[word, word + 1] 2^-bits``."""
    return context.mpf([word, word + 1]) / (1 << bits)


def _floor(value: Any) -> int | None:
    """Return the floor of every real in an interval, or None if they differ."""
    import mpmath

    low, high = (int(mpmath.libmp.to_int(mpmath.libmp.mpf_floor(end))) for end in value._mpi_)
    return low if low == high else None


def gaussian(a: int, b: int, sigma_x: float, sigma_y: float, fresh: Fresh) -> tuple[int, int]:
    """Return a pair of rounded Gaussians: round(sigma sqrt(-2 ln U) (cos, sin)(2 pi V)).

    Parameters
    ----------
    a, b : int
        The first 64 bits of U and of V.
    sigma_x, sigma_y : float
        Standard deviations before rounding.
    fresh : callable
        Returns 64 fresh random bits; called twice per extension, for U then for V.
    """
    bits = 64
    while True:
        if a > 0:
            context = _intervals(bits)
            radius = context.sqrt(-2 * context.log(_unit(context, a, bits)))
            angle = 2 * context.pi * _unit(context, b, bits)
            half = context.mpf(0.5)
            x = _floor(context.mpf(sigma_x) * radius * context.cos(angle) + half)
            y = _floor(context.mpf(sigma_y) * radius * context.sin(angle) + half)
            if x is not None and y is not None:
                return x, y
        a, b, bits = a << 64 | fresh(), b << 64 | fresh(), bits + 64


def geometric(a: int, t: float, fresh: Fresh) -> int:
    """Return floor(-t ln U), where `a` holds the first 64 bits of U: a geometric variable, P(k) = (1 - p) p^k."""
    bits = 64
    while True:
        if a > 0:
            context = _intervals(bits)
            k = _floor(-context.mpf(t) * context.log(_unit(context, a, bits)))
            if k is not None:
                return k
        a, bits = a << 64 | fresh(), bits + 64


def laplace(a: int, b: int, t: float, fresh: Fresh) -> int:
    """Return a discrete Laplace variable: the difference of two geometric ones with p = exp(-1/t)."""
    return geometric(a, t, fresh) - geometric(b, t, fresh)
