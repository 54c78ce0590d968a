"""What happens to one coordinate of one record or query: plain Python, compiled for the CPU and for CUDA alike.

A record's integer takes one difference, one product, comparisons and a truncation of its own coordinate: every step is
rounded alike on every machine, and no sum follows the product, so that no compiler can fuse the two.
"""

from __future__ import annotations

LARGEST = 1.7976931348623157e308


def grid_point(x: float, low: float, high: float, middle: float, scale: float, top: float) -> int:
    """Return ``floor((x - low) * scale)`` within ``0 .. top``, `x` clipped to the box; NaN and inf become `middle`."""
    if not abs(x) <= LARGEST:
        x = middle
    if x < low:
        x = low
    if x > high:
        x = high
    t = (x - low) * scale
    return int(t if t < top else top)


def leaf_index(q: int, shift: int, last: int) -> int:
    """Return the leaf, of width ``2**shift``, that holds grid point `q`; the right end belongs to the last leaf."""
    i = q >> shift
    return i if i < last else last


def position(y: float, low: float, scale: float, leaves: int) -> float:
    """Return `y` in units of leaves from the left end, clipped to ``0 .. leaves``; NaN stays NaN."""
    z = (y - low) * scale
    if z < 0.0:
        z = 0.0
    if z > leaves:
        z = float(leaves)
    return z


def cell(z: float, leaves: int) -> int:
    """Return the leaf of position `z`: a valid index whatever `z` is (NaN and the right end get the last one)."""
    return int(z) if z < leaves else leaves - 1
