"""An event in words: the forms, values and intervals that it is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.partition import Column, Partition
from dpstruct.audit.symbols import Form, name, spell

__all__ = ["spell_event"]

_MOST_PARTS = 6


def spell_event(partition: Partition, bins: NDArray[np.bool_], *, scored: bool) -> str:
    """Return the set of bins in words, such as ``"score > 7"`` or ``"output is NaN"``.

    Parameters
    ----------
    partition : Partition
    bins : ndarray of bool
        Which bins the event holds.
    scored : bool
        Whether the numbers are scores that the caller computed.
    """
    if bins.all():
        return "any output"
    parts, start = [], 1
    alone = len(partition.columns) == 1
    for form, column in partition.columns.items():
        inside = bins[start : start + column.size]
        start += column.size
        if inside.any():
            parts += _spell_column(form, column, inside, alone=alone, scored=scored)
    if bins[0]:
        parts.append("an output of a rare form")
    more = len(parts) - _MOST_PARTS
    return " or ".join(parts[:_MOST_PARTS]) + (f" or one of {more} more sets" if more > 0 else "")


def _spell_column(form: Form, column: Column, inside: NDArray[np.bool_], *, alone: bool, scored: bool) -> list[str]:
    if inside.all():
        return [f"output is {name(form)}"]
    what = "score" if scored else "output" if column.projection is None else "learned score"
    tail = "" if alone or scored else f" ({name(form)})"
    n = len(column.edges) + 1
    parts = [text + tail for text in _intervals(what, column.edges, inside[:n])]
    if column.projection is not None:
        vectors = column.projection.common[inside[n:]]
        parts += [f"output = {spell(form, row)}" for row in vectors]
    return parts


def _intervals(what: str, edges: NDArray[np.float64], inside: NDArray[np.bool_]) -> list[str]:
    """Join neighbouring bins."""
    limits = np.concatenate([[-np.inf], edges, [np.inf]])
    padded = np.concatenate([[False], inside, [False]]).astype(np.int8)
    starts, ends = np.flatnonzero(np.diff(padded) == 1), np.flatnonzero(np.diff(padded) == -1)
    parts = []
    for low, high in zip(limits[starts], limits[ends]):
        if low == -np.inf and high == np.inf:
            parts.append("output is none of the common ones")
        elif np.nextafter(low, np.inf) == high:
            parts.append(f"{what} = {_digits(high)}")
        elif low == -np.inf:
            parts.append(f"{what} <= {_digits(high)}")
        elif high == np.inf:
            parts.append(f"{what} > {_digits(low)}")
        else:
            parts.append(f"{_digits(low)} < {what} <= {_digits(high)}")
    return parts


def _digits(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"
