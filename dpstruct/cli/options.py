"""What the words after an option mean: bounds, columns, points, neighbour relations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dpstruct.domain import Box
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import Relation, RowsWithin
from dpstruct.privacy import neighbors as relations

__all__ = ["box", "intervals", "numbers", "point", "relation"]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def intervals(text: str) -> list[tuple[float, float]]:
    """Read ``low:high,low:high``: one public interval per column, or one for all of them.

    Examples
    --------
    >>> intervals("0:1,-5:5")
    [(0.0, 1.0), (-5.0, 5.0)]
    """
    pairs = []
    for part in text.split(","):
        low, colon, high = part.partition(":")
        if not colon:
            raise argparse.ArgumentTypeError(f"{part!r} is not an interval; write low:high, as in 0:1")
        pairs.append((_number(low), _number(high)))
    return pairs


def point(text: str) -> list[float]:
    """Read ``0.1,0.2``: the coordinates of one query."""
    return [_number(part) for part in text.split(",")]


def relation(text: str) -> Relation:
    """Read ``add-remove``, ``substitute`` or ``rows-within:RADIUS``.

    Examples
    --------
    >>> relation("rows-within:0.5")
    RowsWithin(radius=0.5)
    """
    name, colon, radius = text.partition(":")
    try:
        return RowsWithin(_number(radius)) if name == "rows-within" and colon else relations.parse(text)
    except InvalidParameter as error:
        raise argparse.ArgumentTypeError(f"{error} (here: rows-within:RADIUS)") from None


def numbers(text: str) -> list[int]:
    """Read ``0,2,5-7``: columns of a file without names, counted from 0.

    Examples
    --------
    >>> numbers("0,2,5-7")
    [0, 2, 5, 6, 7]
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            raise InvalidParameter(
                "--columns", repr(part), "column numbers from 0, as in 0,2,5-7, in a file without names"
            )
        start, stop = int(first), int(last or first)
        if not start <= stop < 1 << 24:
            raise InvalidParameter("--columns", repr(part), "a range of column numbers below 2**24, upwards")
        found.extend(range(start, stop + 1))
    return found


def box(pairs: Sequence[tuple[float, float]], dim: int | None) -> Box:
    """Return the public box of `dim` columns that the intervals of ``--bounds`` state."""
    if len(pairs) == 1 and dim is not None:
        return Box(*pairs[0], dim=dim)
    if dim is not None and len(pairs) != dim:
        raise InvalidParameter(
            "--bounds", f"{len(pairs)} intervals for {dim} columns", "one interval, or one per column"
        )
    low, high = zip(*pairs, strict=True)
    return Box(low, high)
