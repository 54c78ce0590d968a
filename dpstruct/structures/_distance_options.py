"""Which options of `KDETree` go together, and their defaults."""

from __future__ import annotations

import math

from dpstruct.domain import Ball, Box, positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType

__all__ = ["check_bounds", "choose_depth", "choose_directions", "choose_power", "dim_of", "spread_bits"]

METRICS = ("l1", "l2", "sqeuclidean", "lp")


def dim_of(bounds: Box | Ball) -> int:
    """Return the number of coordinates of a domain."""
    return len(bounds.low) if isinstance(bounds, Box) else int(bounds.dim or 0)


def check_bounds(bounds: object, metric: str) -> int:
    """Return the number of coordinates of a domain that fits the metric."""
    if metric not in METRICS:
        raise InvalidParameter("metric", repr(metric), " or ".join(f'"{m}"' for m in METRICS))
    if isinstance(bounds, Ball) and metric in ("l1", "lp"):
        raise InvalidType("bounds", "a Ball", f"a Box for metric {metric!r}", "use Box(low=[...], high=[...])")
    if not isinstance(bounds, Box | Ball):
        raise InvalidType("bounds", f"a {type(bounds).__name__}", "a Box", "use Box(low=[...], high=[...])")
    if bounds.dim is None:
        kind = type(bounds).__name__
        raise InvalidParameter("bounds", f"a {kind} without a dimension", f"a {kind} with one", "pass dim=d to it")
    return dim_of(bounds)


def choose_power(metric: str, p: float | None) -> float | None:
    """Return the checked power of metric "lp", None for the others."""
    if metric != "lp":
        if p is not None:
            raise InvalidParameter("p", repr(p), "none: only metric 'lp' has a power")
        return None
    if p is None:
        raise InvalidParameter("p", "none", "the power of metric 'lp'", "pass p=")
    power = real("p", p)
    if not (0.05 <= power <= 2 or (power <= 16 and power % 2 == 0)):
        raise InvalidParameter("p", repr(p), "a power from 0.05 to 2, or an even one up to 16")
    return power


def choose_directions(dim: int, directions: int | None) -> int:
    """Return the checked number of directions or its default."""
    if dim == 1:
        return 1
    step = dim if dim >= 4 else 1
    if directions is None:
        directions = 64 if dim == 2 else step * max(1, -(-256 // step))
    directions = positive_integer("directions", directions, at_most=1 << 16)
    if directions * dim > 1 << 26:
        raise InvalidParameter(
            "directions", str(directions), f"at most 2**26 numbers in directions of {dim} coordinates"
        )
    if directions < dim or directions % step:
        raise InvalidParameter("directions", str(directions), f"a multiple of {step}, at least {dim}")
    return directions


def choose_depth(
    metric: str, p: float | None, dim: int, directions: int | None, depth: int | None, max_rows: int
) -> int | None:
    """Return the checked depth or its default, None for polynomials."""
    room = 62 - (max_rows - 1).bit_length()
    if metric == "sqeuclidean" or (p is not None and p % 2 == 0):
        if depth is not None:
            raise InvalidParameter("depth", str(depth), "none: this metric is a polynomial and has no tree")
        if room < 30:
            raise InvalidParameter("max_rows", str(max_rows), f"at most {1 << 32} for this metric")
        return None
    columns = dim if directions is None else directions
    grid = metric == "lp" and p != 1
    if depth is None:
        depth = 8 if grid else max(1, min(12 if dim <= 4 or metric != "l2" else 8, 22 - math.ceil(math.log2(columns))))
    depth = positive_integer("depth", depth, at_most=11 if grid else 20)
    if columns << depth > 1 << 26:
        raise InvalidParameter("depth", str(depth), f"at most 2**26 leaves in all {columns} coordinates")
    slack = 30 if grid else depth
    if metric == "l2" and dim > 4:  # the sizes of m projections of 16 bits or more, and more than leaves, add up
        slack = max(16, depth) + spread_bits(dim, columns)
    if slack > room:
        raise InvalidParameter("max_rows", str(max_rows), f"at most {(1 << 62) >> slack} at depth {depth}")
    return depth


def spread_bits(dim: int, directions: int) -> int:
    """Return by how many bits the sum of a record's projections, ``m / sqrt(d)`` of them, exceeds the largest."""
    return max(0, math.ceil(math.log2(directions / math.sqrt(dim))))
