"""Cut the outputs into bins that are fixed by past runs: forms, point masses, and intervals of a number or a score.

Bin 0 is there from the start and takes every form that the past did not show often enough to have bins of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.projection import Projection, first_part, fit_projection
from dpstruct.audit.symbols import Form, Sample

__all__ = ["Column", "Partition", "fit_partition", "join_samples", "size_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_FORMS, _MOST_ATOMS, _NEAR, _TABLE = 64, 64, 5, 1 << 16


@dataclass(frozen=True)
class Column:
    """Bins of one form: interval j holds ``edges[j-1] < value <= edges[j]``.

    Attributes
    ----------
    edges : ndarray
        Increasing; a point mass at a lies between the number before a and a itself.
    projection : Projection or None
        What turns vectors into one number, and which vectors have bins of their own, after the intervals.
    start, table : int and ndarray
        Bins of the integers from `start` on, or an empty array: then values are searched.
    """

    edges: Floats
    projection: Projection | None = None
    start: int = 0
    table: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    @property
    def size(self) -> int:
        """Number of bins."""
        heavy = 0 if self.projection is None else len(self.projection.heavy)
        return len(self.edges) + 1 + heavy

    def place(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the bin of each value."""
        if self.projection is not None:
            score, heavy = self.projection(values)
            return np.where(heavy >= 0, len(self.edges) + 1 + heavy, np.searchsorted(self.edges, score))
        if not len(self.edges):
            return np.zeros(len(values), np.intp)
        if len(self.table) and values.dtype.kind in "iu" and values.dtype.itemsize <= 8 and values.dtype != np.uint64:
            inside = np.clip(values, self.start, self.start + len(self.table) - 1).astype(np.int64)
            inside -= self.start
            return np.asarray(self.table[inside])
        return np.searchsorted(self.edges, values)

    def count(self, values: NDArray[Any]) -> Ints:
        """Return how many values fall in each bin."""
        if self.size == 1:
            return np.array([len(values)], dtype=np.int64)
        return np.bincount(self.place(values), minlength=self.size).astype(np.int64)


@dataclass(frozen=True)
class Partition:
    """Bins of all forms.

    Attributes
    ----------
    columns : dict
        The column of each form, in the order of their bins.
    size : int
        Number of bins, the one for everything else included.
    """

    columns: dict[Form, Column]

    @property
    def size(self) -> int:
        """Number of bins, that of unknown forms included."""
        return 1 + sum(column.size for column in self.columns.values())

    @property
    def ladder(self) -> NDArray[np.intp]:
        """Bins of the column with the most intervals, in the order of their values."""
        start, found = 1, np.empty(0, np.intp)
        for column in self.columns.values():
            if len(column.edges) >= len(found):
                found = start + np.arange(len(column.edges) + 1)
            start += column.size
        return found

    def count(self, sample: Sample) -> Ints:
        """Return how many outputs fall in each bin."""
        counts, known = np.zeros(self.size, dtype=np.int64), 0
        start = 1
        for form, column in self.columns.items():
            values = sample.get(form)
            if values is not None:
                counts[start : start + column.size] = column.count(values)
                known += len(values)
            start += column.size
        counts[0] = size_of(sample) - known
        return counts


def size_of(sample: Sample) -> int:
    """Return the number of outputs."""
    return sum(map(len, sample.values()))


def join_samples(samples: Sequence[Sample]) -> Sample:
    """Return all outputs of several samples."""
    parts: dict[Form, list[NDArray[Any]]] = {}
    for sample in samples:
        for form, values in sample.items():
            parts.setdefault(form, []).append(values)
    return {form: np.concatenate(arrays) if len(arrays) > 1 else arrays[0] for form, arrays in parts.items()}


def fit_partition(x: Sample, x2: Sample, *, bins: int, tails: Sequence[float] = ()) -> tuple[Partition, Floats]:
    """Choose bins from past outputs, and count in them those that no score was fitted to.

    Parameters
    ----------
    x, x2 : Sample
        Past outputs under either neighbour.
    bins : int
        Intervals in all, shared by the forms in proportion to their outputs.
    tails : sequence of float
        Further quantiles to cut at.

    Returns
    -------
    Partition
    ndarray of float, shape (2, B)
        Past counts under x and x2. Where vectors had to be scored, the last third of the outputs alone: on the others
        the score looks better than it is.
    """
    totals = {form: len(x.get(form, ())) + len(x2.get(form, ())) for form in [*x, *x2]}
    common = sorted((f for f in totals if totals[f] > 1), key=lambda f: -totals[f])[:_MOST_FORMS]
    columns = {}
    for form in common:
        share = max(2, round(bins * totals[form] / sum(totals.values())))
        columns[form] = _fit_column(x.get(form), x2.get(form), share, tails)
    partition = Partition(columns)
    learned = any(column.projection is not None and column.projection.learned for column in columns.values())
    held = (_last_third(x), _last_third(x2)) if learned else (x, x2)
    return partition, np.stack([partition.count(sample) for sample in held]).astype(np.float64)


def _last_third(sample: Sample) -> Sample:
    return {form: values[first_part(len(values)) :] for form, values in sample.items()}


def _fit_column(first: NDArray[Any] | None, second: NDArray[Any] | None, bins: int, tails: Sequence[float]) -> Column:
    present = [values for values in (first, second) if values is not None]
    width = 1 if present[0].ndim == 1 else present[0].shape[1]
    if width == 0:
        return Column(np.empty(0))
    if width == 1:
        values = np.concatenate(present)
        edges = _edges(values.astype(np.float64), bins, tails)
        return Column(edges, None, *_table(values, edges))
    empty = present[0][:0]
    projection = fit_projection(*(empty if values is None else values for values in (first, second)))
    score, heavy = projection(np.concatenate(present))
    return Column(_edges(score[heavy < 0], bins, tails), projection)


def _edges(values: Floats, bins: int, tails: Sequence[float]) -> Floats:
    """Cut at quantiles, and on both sides of every point mass."""
    if not len(values):
        return np.empty(0)
    distinct, counts = np.unique(values, return_counts=True)
    n = len(values)
    heavy = (counts >= max(4, n / (2 * bins))) | _stands_out(counts)
    if heavy.sum() > _MOST_ATOMS:
        heavy &= counts >= np.sort(counts[heavy])[-_MOST_ATOMS]
    atoms = distinct[heavy]
    spread = np.repeat(distinct[~heavy], counts[~heavy])
    levels = np.concatenate([np.arange(1, bins) / bins, np.asarray(tails, dtype=np.float64)])
    places = np.ceil(levels * len(spread)).astype(np.intp) - 1
    quantiles = spread[np.clip(places, 0, len(spread) - 1)] if len(spread) else spread
    edges = np.unique(np.concatenate([quantiles, atoms, np.nextafter(atoms, -np.inf)]))
    return np.asarray(edges[edges < distinct[-1]])


def _stands_out(counts: Ints) -> NDArray[np.bool_]:
    """Return which values, in increasing order, are seen 5 times, and 3 times as often as their neighbours."""
    found = counts >= 5
    places = np.flatnonzero(found)
    near = places[:, None] + np.array([k for k in range(-_NEAR, _NEAR + 1) if k])
    outside = (near < 0) | (near >= len(counts))
    around = np.where(outside, np.nan, counts[np.clip(near, 0, len(counts) - 1)])
    if len(counts) > 1 and len(places):
        found[places] = counts[places] >= 3 * np.nanmedian(around, axis=1)
    return found


def _table(values: NDArray[Any], edges: Floats) -> tuple[int, NDArray[np.int32]]:
    if values.dtype.kind not in "iu" or not len(edges) or np.abs(edges).max() > 2.0**31:
        return 0, np.empty(0, np.int32)
    low, high = int(np.floor(edges[0])), int(np.floor(edges[-1])) + 1
    if high - low >= _TABLE:
        return 0, np.empty(0, np.int32)
    return low, np.searchsorted(edges, np.arange(low, high + 1, dtype=np.float64)).astype(np.int32)
