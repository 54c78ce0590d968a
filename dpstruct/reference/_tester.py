"""What the published testers share: runs of a black box as a table of numbers, intervals as events, and the outcome."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import positive_integer, real
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import ApproxDP, PureDP

Array = NDArray[np.float64]
Mechanism = Callable[[Any, int], Any]
_SYMBOLS = 40  # values of one position that become columns of their own


@dataclass(frozen=True)
class Outcome:
    """What a published tester says about a claim.

    Attributes
    ----------
    rejected : bool
        Whether it refutes the claim at the false-alarm rate it was given.
    value : float
        Its statistic: see the tester.
    runs : int
        Runs of the mechanism on both neighbours together.
    event : str
        The event it counted.
    """

    rejected: bool
    value: float
    runs: int
    event: str

    def __str__(self) -> str:
        verdict = "refuted" if self.rejected else "not refuted"
        return f"{verdict} after {self.runs} runs: {self.event}, value {self.value:.6g}"


class Runs:
    """Outputs of one call: a matrix of numbers, and the symbols that stand where there is no finite number."""

    def __init__(self, mechanism: Mechanism, data: Any, n: int) -> None:
        try:
            outputs = mechanism(data, n)
        except Exception as error:
            outputs = [type(error).__name__] * n
        array = outputs if isinstance(outputs, np.ndarray) and outputs.dtype.kind in "biuf" else None
        if array is not None and (array.dtype.kind != "f" or np.isfinite(array).all()):
            self.numbers = array.reshape(n, -1).astype(np.float64)
            self.symbols: NDArray[np.object_] | None = None
            return
        cells = [list(_flat(output)) for output in (outputs.tolist() if isinstance(outputs, np.ndarray) else outputs)]
        width = max(map(len, cells))
        padded = [row + [(0.0, "missing")] * (width - len(row)) for row in cells]
        self.numbers = np.array([[number for number, _ in row] for row in padded], dtype=np.float64)
        self.symbols = np.array([[symbol for _, symbol in row] for row in padded], dtype=object)


def _flat(output: Any) -> Iterator[tuple[float, str]]:
    """Yield the numbers and symbols of one output from left to right."""
    if isinstance(output, tuple | list | np.ndarray):
        for part in output:
            yield from _flat(part)
    elif isinstance(output, int | float | np.number):
        number = float(output)
        yield (number, "") if np.isfinite(number) else (0.0, str(number))
    else:
        yield 0.0, repr(output)


class Encoder:
    """Turns runs into columns: every position's numbers, and one indicator for each of its frequent symbols."""

    def __init__(self, *training: Runs) -> None:
        self.width = max(runs.numbers.shape[1] for runs in training)
        self.symbols: list[list[str]] = []
        for j in range(self.width):
            seen: dict[str, int] = {}
            for runs in training:
                column = _symbols(runs, j)
                for symbol, count in zip(*np.unique(column.astype(str), return_counts=True)):
                    seen[str(symbol)] = seen.get(str(symbol), 0) + int(count)
            frequent = sorted(seen, key=lambda symbol: -seen[symbol])[:_SYMBOLS]
            self.symbols.append(frequent if len(frequent) > 1 else [])
        self.names = [f"number {j}" for j in range(self.width)]
        self.names += [
            f"position {j} is {symbol or 'a number'}" for j, kept in enumerate(self.symbols) for symbol in kept
        ]

    def __call__(self, runs: Runs) -> Array:
        """Return the columns, shape (n, k)."""
        n, given = runs.numbers.shape
        numbers = np.zeros((n, self.width))
        numbers[:, : min(given, self.width)] = runs.numbers[:, : self.width]
        columns = [numbers]
        for j, kept in enumerate(self.symbols):
            if kept:
                column = _symbols(runs, j).astype(str)
                columns.append((column[:, None] == np.array(kept)[None, :]).astype(np.float64))
        return np.concatenate(columns, axis=1)


def _symbols(runs: Runs, j: int) -> NDArray[Any]:
    if j >= runs.numbers.shape[1]:
        return np.full(len(runs.numbers), "missing")
    return np.full(len(runs.numbers), "") if runs.symbols is None else runs.symbols[:, j]


@dataclass(frozen=True)
class Event:
    """The event that some columns lie in intervals [low, high]: triples of column, low and high."""

    sides: tuple[tuple[int, float, float], ...]

    def count(self, table: Array) -> int:
        """Return how many rows are in the event."""
        inside = np.ones(len(table), dtype=np.bool_)
        for column, low, high in self.sides:
            inside &= (table[:, column] >= low) & (table[:, column] <= high)
        return int(inside.sum())

    def spell(self, names: Sequence[str]) -> str:
        """Return the event in words."""
        return " and ".join(f"{names[column]} in [{low:.6g}, {high:.6g}]" for column, low, high in self.sides)


def intervals(tables: tuple[Array, Array], cuts: int = 32) -> tuple[list[Event], NDArray[np.int64]]:
    """Return all intervals between quantiles of each column, and their counts in both tables, shape (2, events)."""
    events: list[Event] = []
    counts: list[NDArray[np.int64]] = []
    for j in range(tables[0].shape[1]):
        pooled = np.concatenate([table[:, j] for table in tables])
        low = np.unique(np.quantile(pooled, np.linspace(0, 1, cuts), method="lower"))
        cells = np.append(low, np.inf)
        first, last = np.triu_indices(len(low))
        places = [np.maximum(np.searchsorted(low, table[:, j], side="right") - 1, 0) for table in tables]
        filled = np.array([np.bincount(place, minlength=len(low)) for place in places])
        heads = np.concatenate([np.zeros((2, 1), np.int64), np.cumsum(filled, axis=1)], axis=1)
        counts.append(heads[:, last + 1] - heads[:, first])
        left = np.where(first == 0, -np.inf, low[first])
        right = np.nextafter(cells[last + 1], -np.inf)
        events += [Event(((j, float(a), float(b)),)) for a, b in zip(left, right)]
    return events, np.concatenate(counts, axis=1)


def corners(tables: tuple[Array, Array], columns: int, cuts: int = 7) -> tuple[list[Event], NDArray[np.int64]]:
    """Return all corners ``a_i beyond s and a_j beyond t`` of pairs of the first columns, and their counts."""
    events: list[Event] = []
    counts: list[tuple[int, ...]] = []
    limits = []
    for j in range(columns):
        pooled = np.concatenate([table[:, j] for table in tables])
        ends = np.unique(np.quantile(pooled, np.linspace(0, 1, cuts + 2)[1:-1], method="lower"))
        limits.append([(-np.inf, end) for end in ends] + [(np.nextafter(end, np.inf), np.inf) for end in ends])
    inside = [[np.array([(t[:, j] >= a) & (t[:, j] <= b) for a, b in limits[j]], np.float32) for t in tables]
              for j in range(columns)]  # fmt: skip
    for i, j in itertools.combinations(range(columns), 2):
        both = [(inside[i][k] @ inside[j][k].T).astype(np.int64).ravel() for k in (0, 1)]
        events += [Event(((i, *one), (j, *two))) for one in limits[i] for two in limits[j]]
        counts += list(zip(*both))
    return events, np.array(counts, dtype=np.int64).reshape(-1, 2).T


def check(claim: object, runs: int, alpha: float, *, pure: bool) -> tuple[float, float, int, float]:
    """Return epsilon, delta, runs and alpha, or raise.

    Raises
    ------
    InvalidParameter
        If the tester can not treat the claim, there are under 400 runs, or alpha is not in (0, 1/2).
    """
    if isinstance(claim, PureDP):
        epsilon, delta = claim.epsilon, 0.0
    elif isinstance(claim, ApproxDP) and not pure:
        epsilon, delta = claim.epsilon, claim.delta
    else:
        allowed = "a PureDP claim" if pure else "a PureDP or ApproxDP claim"
        raise InvalidType("claim", f"a {type(claim).__name__}", allowed, "this tester was published for no other")
    level = real("alpha", alpha)
    if not 0 < level < 0.5:
        raise InvalidParameter("alpha", repr(level), "a number between 0 and 1/2")
    total = positive_integer("runs", runs, at_most=10**9)
    if total < 400:
        raise InvalidParameter("runs", str(total), "at least 400")
    return epsilon, delta, total, level


NO_PROMISE = "a tester releases nothing and protects nobody; its false-alarm rate is the promise"
