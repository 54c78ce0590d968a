"""The exact integers that a structure offers to the door, under one common history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, Rounds, Rows, Sealed, Structure, Summary, door
from dpstruct.core.state import Cache, RowMap
from dpstruct.errors import PlanViolation
from dpstruct.testing.sources import SeededNoise, ZeroNoise
from dpstruct.testing.violation import Data

__all__ = ["as_data", "count_rounds", "follow", "histories", "statistics"]

Integers = NDArray[np.int64]
Transcript = Mapping[str, Integers]


def as_data(data: object) -> Data:
    """Return the arguments of `summarize` as a tuple of arrays; a bare array is the only argument."""
    return tuple(np.asarray(part) for part in (data if isinstance(data, tuple) else (data,)))


class _Followed:
    """A structure whose rounds are shown a given history instead of their own noised sums, and are written down."""

    def __init__(self, plan: Plan[Any], history: Transcript | None) -> None:
        self._plan, self._history = plan, history
        self.asked: list[Any] = []

    def rounds(self, plan: Plan[Any], state: Any) -> Rounds:
        """Pass the sealed sums on to the door and the history back to the structure."""
        if type(state) is Rows:
            state = _WatchedRows(state, self.asked)
        inner = self._plan.structure.rounds(self._plan, state)
        answer: Transcript | None = None
        while True:
            try:
                sealed = next(inner) if answer is None else inner.send(answer)
            except StopIteration:
                return
            noised = yield sealed
            self.asked.append(tuple(noised))
            answer = noised if self._history is None else {name: self._history[name] for name in noised}


class _WatchedRows(Rows):
    """Sealed rows that write down which sums are asked for."""

    __slots__ = ("_asked",)

    def __init__(self, rows: Rows, asked: list[Any]) -> None:
        super().__init__(rows._units, *rows._open())
        self._asked = asked

    def sum(
        self,
        row_map: RowMap,
        public: Mapping[str, NDArray[np.generic]],
        *,
        lines: Sequence[str],
        block: int = 1 << 16,
        cache: Cache | None = None,
    ) -> Sealed:
        """Sum as the original does."""
        name = f"{getattr(row_map, '__module__', '')}.{getattr(row_map, '__qualname__', '<object>')}"
        if "<" in name:
            raise PlanViolation(
                f"the row map {name} is not a module-level function: it could see more than it is given"
            )
        arrays = [(key, np.asarray(value).tobytes()) for key, value in sorted(public.items())]
        self._asked.append((name, *arrays))
        return super().sum(row_map, public, lines=lines, block=block, cache=cache)


def follow(
    plan: Plan[Any], summary: Summary[Any], history: Transcript | None = None
) -> tuple[dict[str, Integers], Any]:
    """Return the exact sums of a summary by line, with `history` as what was released, and all that was asked for.

    What was asked for, row maps, their public arrays and the lines of each round, must depend on the history alone.
    """
    followed = _Followed(plan, history)
    with ZeroNoise():
        exact = door.run(replace(plan, structure=cast(Structure[Any], followed)), summary._open())
    return exact, tuple(followed.asked)


def count_rounds(asked: Any) -> int:
    """Return the number of rounds in what `follow` says was asked for."""
    return sum(all(isinstance(part, str) for part in item) for item in asked)


def statistics(plan: Plan[Any], data: object, *, transcript: Transcript | None = None) -> dict[str, Integers]:
    """Return the exact, un-noised transcript of test data: what the price is computed from.

    Parameters
    ----------
    plan : Plan
        The plan under test.
    data : array or tuple of arrays
        Arguments of `summarize`.
    transcript : mapping of str to int64 array, optional
        What the rounds are told was released. To compare the later rounds of two datasets both must be given the same;
        without it each round sees its own exact sums.

    Returns
    -------
    dict of str to int64 array
        Round k's lines hold ``T_k(data; transcript of the rounds before)``; ``"n"`` where that number is public.
    """
    return follow(plan, plan.structure.summarize(*as_data(data)), transcript)[0]


def histories(plan: Plan[Any], *summaries: Summary[Any]) -> list[dict[str, Integers]]:
    """Return common histories for a comparison: one for a single round; else exact, noisy and empty ones."""
    exact, asked = follow(plan, summaries[0])
    found = [exact]
    if count_rounds(asked) > 1:
        found += [follow(plan, summary)[0] for summary in summaries[1:]]
        for seed, summary in enumerate(summaries):
            with SeededNoise(seed):
                found.append(door.run(plan, summary._open()))
        found.append({name: np.zeros_like(array) for name, array in exact.items()})
    return found
