"""The laws of exact sums: order, merging, chunks, threads and layout change no bit, and noise is added blindly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, Summary, blueprint, door
from dpstruct.testing.lifecycle import Answers, assert_charged, assert_rebuilt, budget_for, default_answers
from dpstruct.testing.pairs import Unit, join, split
from dpstruct.testing.reach import assert_sealed
from dpstruct.testing.sources import RecordingNoise, ReplayNoise, SeededNoise, ZeroNoise
from dpstruct.testing.statistics import as_data, follow
from dpstruct.testing.violation import Data, same, silent, violation

__all__ = ["assert_invariants", "assert_laws", "assert_threads"]

Integers = NDArray[np.int64]


def assert_invariants(plan: Plan[Any], *datasets: Any, answers: Answers | None = None) -> None:
    """Check everything a release must satisfy whatever the data, all of it by ``==``.

    * Lines, order, shapes, scales and draws are the plan's on every dataset and on none; `plan` is blind to data.
    * Sums do not depend on order, chunks, merging order, threads, device or memory layout; no rows are the unit.
    * Without noise the transcript is the statistic; noise is added to it, not mixed with it.
    * The charge is the plan's, precedes the first draw, and stays when a draw fails.
    * The release is a function of structure, transcript and receipt, saved or not; nothing un-noised is in its reach.
    * No value raises or warns.

    Parameters
    ----------
    plan : Plan
        The plan under test.
    *datasets : array or tuple of arrays
        Test data, at least one: extreme values and repeats belong here.
    answers : callable, optional
        Takes a release, returns a list of arrays: everything that it answers. By default `query` and `error`.

    Raises
    ------
    PrivacyViolation
        Naming the law and the data.
    """
    structure = plan.structure
    for data in map(as_data, datasets):
        assert_laws(plan, split(data, plan.unit))
        _no_noise(plan, data)
    data = as_data(datasets[0])
    assert_threads(plan, split(data, plan.unit))
    with silent(plan, "release", data):
        assert_charged(plan, structure.summarize(*data))
        assert_rebuilt(plan, structure.summarize(*data), answers or default_answers(plan, data))
    assert_sealed(plan, data, answers or default_answers(plan, data))


def assert_laws(plan: Plan[Any], units: list[Unit]) -> None:
    """Check the laws of one dataset, given by its units."""
    structure, data = plan.structure, join(plan.structure, units, plan.unit)
    before = blueprint.digest(structure)
    with silent(plan, "summarize or release", data):
        whole = structure.summarize(*data)
        again = structure.plan(cost=plan.cost, delta=plan.delta or None, neighbors=plan.neighbors, unit=plan.unit)
        if blueprint.digest(structure) != before or again.events != plan.events:
            raise violation(plan, "summarize changed the blueprint or its plan", x=data)
        none = structure.summarize(*join(structure, [], plan.unit))
        with SeededNoise(0):
            history = door.run(plan, whole._open())
        exact, asked = follow(plan, whole, history)
        if follow(plan, none, history)[1] != asked:
            raise violation(plan, "the rounds ask for sums that depend on more than the released history", x=data)
        for law, other in _variants(plan, units, whole, none):
            found = follow(plan, other, history)[0]
            wrong = [name for name in exact if not same(found[name], exact[name])]
            if wrong:
                raise violation(plan, f"the exact sums depend on {law}", f"lines: {', '.join(wrong[:6])}", x=data)
        _blind_noise(plan, none, join(structure, [], plan.unit))
        _blind_noise(plan, whole, data)


def _variants(plan: Plan[Any], units: list[Unit], whole: Summary[Any], none: Summary[Any]) -> Iterator[tuple[str, Any]]:
    """Yield other ways to the same sums, and what differs."""

    def summarize(some: list[Unit], **options: Any) -> Summary[Any]:
        return plan.structure.summarize(*join(plan.structure, some, plan.unit), **options)

    yield "chance", summarize(units)
    yield "the device", summarize(units, device="cpu")
    yield "the order of the rows", summarize(units[::-1])
    middle = len(units) // 2
    turned = np.random.default_rng(len(units)).permutation(len(units)).tolist()
    yield "the order of the rows", summarize([units[i] for i in turned])
    fortran = tuple(np.asfortranarray(array) for array in join(plan.structure, units, plan.unit))
    yield "the memory layout", plan.structure.summarize(*fortran)
    yield "merging with no rows", whole + none
    yield "merging with no rows", none + whole
    left, right = summarize(units[:middle]), summarize(units[middle:])
    yield "the chunks", left + right
    yield "the order of merging", right + left
    single = [summarize([unit]) for unit in units[:128]]
    rest = summarize(units[128:])
    yield "which rows share a block", sum(single, start=rest)
    while len(single) > 1:
        single = [a + b for a, b in zip(single[::2], single[1::2])] + single[len(single) & ~1 :]
    yield "the grouping of merges", sum(single) + rest if single else rest


def _blind_noise(plan: Plan[Any], summary: Summary[Any], data: Data) -> None:
    """Check that draws are the plan's, and that transcript = statistic + noise, for no, real and chosen noise."""
    with RecordingNoise() as recorded:
        noised = door.run(plan, summary._open())
    drawn = [(d.line, d.kind, tuple(d.scales.tolist()), d.shape) for d in recorded.draws]
    if drawn != [(name, kind, line.scales, line.shape) for name, (kind, line) in plan.lines.items()]:
        raise violation(plan, "the noise that was drawn is not the plan's", x=data)
    exact = follow(plan, summary, noised)[0]
    for draw in recorded.draws:
        if not same(noised[draw.line], np.add(exact[draw.line], draw.draws, out=np.empty(draw.shape, np.int64))):
            raise violation(plan, f"line {draw.line!r} is not its statistic plus the noise", x=data)
    with ReplayNoise(recorded):
        again = door.run(plan, summary._open())
    if not all(same(again[name], noised[name]) for name in noised):
        raise violation(plan, "the same noise on the same data gave another transcript", x=data)


def _no_noise(plan: Plan[Any], data: Data) -> None:
    """Check that a release without noise is the statistic."""
    with silent(plan, "release", data), ZeroNoise():
        summary = plan.structure.summarize(*data)
        silence = budget_for(plan).release(summary, cost=plan.cost).transcript
    if not all(same(silence[name], array) for name, array in follow(plan, summary)[0].items()):
        raise violation(plan, "a release without noise is not the statistic", x=data)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    name = "DPSTRUCT_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = str(count)
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def assert_threads(plan: Plan[Any], units: list[Unit], rows: int = (1 << 16) + 77) -> None:
    """Check that one and three threads give the same sums on enough rows for several blocks."""
    if not units:
        return
    wide = sum(array[0].size for array in units[0])
    pick = np.random.default_rng(3).integers(0, len(units), max(1, min(rows, (1 << 21) // wide)))
    data = join(plan.structure, [units[i] for i in pick], plan.unit)
    sides: list[dict[str, Integers]] = []
    for count in (1, 3):
        with _threads(count), silent(plan, "summarize", data):
            summary = plan.structure.summarize(*data)
            if not sides:
                with SeededNoise(0):
                    history = door.run(plan, summary._open())
            sides.append(follow(plan, summary, history)[0])
    if not all(same(sides[0][name], sides[1][name]) for name in sides[0]):
        raise violation(plan, "the exact sums depend on the number of threads", x=data)
    half = len(units[0][0]) * (len(pick) // 2)
    if plan.unit == "row":
        parts = [plan.structure.summarize(*(array[s] for array in data)) for s in (slice(half), slice(half, None))]
        found = follow(plan, parts[0] + parts[1], history)[0]
        if not all(same(found[name], sides[0][name]) for name in found):
            raise violation(plan, "the exact sums depend on the blocks", x=data)
