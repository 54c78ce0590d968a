"""`sampler`: the transcripts of a plan as a black box, each reduced to one number that decides between two datasets."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, Release, Structure, Summary, door
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy.laws import pmf
from dpstruct.testing.pairs import as_pair, check_related
from dpstruct.testing.statistics import as_data, follow
from dpstruct.testing.violation import same

__all__ = ["sampler"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_BLOCK = 1 << 17  # integers of noise at a time
_NARROW = 8.0  # below this sigma a rounded Gaussian is not close enough to a Gaussian
_EXACT = 2.0**52  # floats up to here are integers


def sampler(plan: Plan[Any], x: Any, x2: Any) -> Callable[[Any, int], NDArray[Any]]:
    """Return the mechanism of a plan on two neighbours: ``mechanism(data, n)`` runs it n times, with real noise.

    An output is the log-likelihood ratio ``log P(transcript | x) - log P(transcript | x2)`` of a whole transcript, up
    to a positive factor: the one number on which every best test between the two rests. It is an integer where the
    lines that change share one noise scale. Lines that do not change do not enter: that they agree is for
    `dpstruct.testing` to show.

    Parameters
    ----------
    plan : Plan
        The plan under test. There is no budget: nothing is charged, and nothing that could be saved is made.
    x, x2 : array or tuple of arrays
        Test data, never private data: neighbours under the relation of the plan.

    Returns
    -------
    callable
        ``mechanism(data, n)`` with `data` equal to `x` or `x2` returns n scores, int64 or float64.

    Raises
    ------
    NeighborsMismatch
        If the two are no neighbours.
    InvalidType
        If one of them is a summary or a release: an audit works on test data.

    Notes
    -----
    A structure of one round has its exact sums computed once; its noise is drawn in blocks, for the entries that
    change. For several rounds each output is one full run, and the ratio is that of the joint law: the sum over the
    rounds of the ratios at the sums that either dataset would have offered after the rounds before.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> plan = dps.KDETree(bounds=dps.Box(0, 1, dim=1), depth=3).plan(epsilon=1.0, neighbors="substitute")
    >>> x, x2 = np.array([[0.0]]), np.array([[1.0]])
    >>> scores = sampler(plan, x, x2)(x, 100)
    >>> scores.shape, scores.dtype
    ((100,), dtype('int64'))
    """
    for name, data in (("x", x), ("x2", x2)):
        if isinstance(data, Summary | Release):
            raise InvalidType(
                name, f"a {type(data).__name__}", "arrays of test data", "an audit never sees private data"
            )
    pair = as_pair((x, x2))
    check_related(pair, plan.neighbors, plan.unit)
    one_round = type(plan.structure).rounds is Structure.rounds
    sides = _OneRound(plan, pair) if one_round else _FullRuns(plan, pair)

    def mechanism(data: Any, n: int) -> NDArray[Any]:
        return sides.scores(_side(data, (x, x2), pair), n)

    return mechanism


def _side(data: Any, given: tuple[Any, Any], pair: tuple[Any, Any]) -> int:
    """Return which of the two datasets `data` is."""
    for side, (one, arrays) in enumerate(zip(given, pair, strict=True)):
        if data is one:
            return side
        mine = as_data(data)
        if len(mine) == len(arrays) and all(map(same, mine, arrays)):
            return side
    raise InvalidParameter("data", "another dataset", "one of the two that the sampler was made for")


class _Change(NamedTuple):
    """The entries of one line that differ between the two datasets: noise, its scales, and the differences."""

    line: str
    kind: str
    scales: Floats
    d: Integers


def _changes(plan: Plan[Any], first: Mapping[str, Integers], second: Mapping[str, Integers]) -> list[_Change]:
    found = []
    for name, (kind, line) in plan.lines.items():
        d = np.subtract(first[name], second[name], out=np.empty(line.shape, np.int64)).ravel()
        scales = np.repeat(np.array(line.scales), max(1, d.size) // len(line.scales))
        changed = d != 0
        if changed.any():
            found.append(_Change(name, kind, scales[changed], d[changed]))
    return found


class _OneRound:
    """Noise on exact sums that were computed once."""

    def __init__(self, plan: Plan[Any], pair: Any) -> None:
        structure = plan.structure
        exact = [follow(plan, structure.summarize(*data))[0] for data in pair]
        changes = _changes(plan, *exact)
        unit = _common_unit(changes)
        self._integer = unit is not None
        self._parts = [_score(change, unit) for change in changes]
        self._size = sum(change.d.size for change in changes)

    def scores(self, side: int, n: int) -> NDArray[Any]:
        total = np.zeros(n, np.int64 if self._integer else np.float64)
        step = max(1, _BLOCK // max(1, self._size))
        for start in range(0, n if self._parts else 0, step):
            block = total[start : start + step]
            scores = self._parts[0](side, block.size)
            for part in self._parts[1:]:
                scores += part(side, block.size)
            block[:] = scores
        return total


def _common_unit(changes: list[_Change]) -> int | None:
    """Return the common divisor of all differences if the scores are integers in this unit, exact in a float."""
    if not changes:
        return 1
    scales = {float(s) for change in changes for s in np.unique(change.scales)}
    if len(scales) > 1:
        return None
    differences = [abs(v) for change in changes for v in change.d.tolist()]
    unit, scale = math.gcd(*differences), scales.pop()
    if changes[0].kind == "discrete-laplace":
        return 1 if 4 * sum(differences) < _EXACT else None
    largest = 2 * sum(v // unit for v in differences) * (64 * scale + max(differences))
    return unit if scale >= _NARROW and largest < _EXACT else None


def _score(change: _Change, unit: int | None) -> Callable[[int, int], Floats]:
    """Return what draws the noise of one line n times and returns its part of the scores on one side."""
    if change.kind == "discrete-laplace":
        return _laplace(change, unit)
    if change.scales.min() >= _NARROW:
        return _gaussian(change, unit)
    return _narrow_gaussian(change)


def _draw(change: _Change, n: int) -> Integers:
    """Draw real noise for the changed entries, shape (entries, n)."""
    scales = change.scales[:1] if (change.scales == change.scales[0]).all() else change.scales
    return door._draw(change.line, change.kind, scales, (change.d.size, n))


def _laplace(change: _Change, unit: int | None) -> Callable[[int, int], Floats]:
    """Return ``sum (|o - c'| - |o - c|) / b``: with noise k and c - c' = d, ``|k + d| - |k|`` or ``|k| - |k - d|``."""
    d = change.d
    per_step = 1 / change.scales if unit is None else np.ones(d.size)
    weights = 2 * np.sign(d) * per_step
    whole = float(np.abs(d.astype(np.float64)) @ per_step)

    def score(side: int, n: int) -> Floats:
        move = d if side else -d
        k = _draw(change, n)
        np.clip(k, np.minimum(move, 0)[:, None], np.maximum(move, 0)[:, None], out=k)
        scores: Floats = weights @ k.astype(np.float64)
        scores += -whole if side else whole
        return scores

    return score


def _gaussian(change: _Change, unit: int | None) -> Callable[[int, int], Floats]:
    """Return ``sum d (o - (c + c')/2) / sigma^2``, or twice ``sum d (o - (c + c')/2) / unit``."""
    d = change.d.astype(np.float64)
    weights = d / change.scales**2 if unit is None else 2 * (d / unit)
    middle = float(weights @ d) / 2

    def score(side: int, n: int) -> Floats:
        scores: Floats = weights @ _draw(change, n).astype(np.float64)
        scores += -middle if side else middle
        return scores

    return score


def _narrow_gaussian(change: _Change) -> Callable[[int, int], Floats]:
    d, scales = change.d[:, None], change.scales[:, None]

    def score(side: int, n: int) -> Floats:
        k = _draw(change, n)
        return _log_ratio(change.kind, scales, k, k + d) if side == 0 else _log_ratio(change.kind, scales, k - d, k)

    return score


def _log_ratio(kind: str, scales: Floats, first: Integers, second: Integers) -> Floats:
    """Return ``sum log P(first) - log P(second)`` over the first axis, from the exact laws."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = np.log(pmf(kind, scales, first)) - np.log(pmf(kind, scales, second))
    return np.asarray(ratios.sum(axis=0))


class _FullRuns:
    """Every output is one run through the door; both datasets are then shown its transcript."""

    def __init__(self, plan: Plan[Any], pair: Any) -> None:
        self._plan = plan
        self._summaries = [plan.structure.summarize(*data) for data in pair]

    def scores(self, side: int, n: int) -> NDArray[Any]:
        return np.array([self._score(door.run(self._plan, self._summaries[side]._open())) for _ in range(n)])

    def _score(self, transcript: Mapping[str, Integers]) -> float:
        exact = [follow(self._plan, summary, transcript)[0] for summary in self._summaries]
        total = 0.0
        for name, (kind, line) in self._plan.lines.items():
            k, k2 = (np.subtract(transcript[name], sums[name], out=np.empty(line.shape, np.int64)) for sums in exact)
            scales = np.repeat(np.array(line.scales), max(1, k.size) // len(line.scales))
            changed = (k != k2).ravel()
            total += _joint(kind, scales[changed], k.ravel()[changed], k2.ravel()[changed])
        return total


def _joint(kind: str, scales: Floats, k: Integers, k2: Integers) -> float:
    """Return the log ratio of one line, given the noise that each dataset would have needed."""
    a, b = k.astype(np.float64), k2.astype(np.float64)
    if kind == "discrete-laplace":
        return float(((np.abs(b) - np.abs(a)) / scales).sum())
    wide = scales >= _NARROW
    ratio = float(((b - a) * (b + a) / (2 * scales**2))[wide].sum())
    if not wide.all():
        ratio += float(_log_ratio(kind, scales[~wide], k[~wide], k2[~wide]))
    return ratio
