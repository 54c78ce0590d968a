"""Correct mechanisms that look suspicious: atoms, NaN, None, odd shapes, strings, certain outputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Law, Mechanism, laplace_law, mu_of_pair, two_sided
from dpstruct.privacy import GDP, PureDP

__all__ = ["cases"]

ADD, SUBSTITUTE = "add-remove", "substitute"
CLASSIC = "Dwork, Roth (2014), The Algorithmic Foundations of Differential Privacy"
CURVE = "arXiv:1905.02383"
Integers = NDArray[np.int64]
Generator = np.random.Generator
FOUR, FIVE = np.ones(4, np.int64), np.ones(5, np.int64)
GRID = np.arange(-61, 71)
COUNTS = laplace_law(1.0, GRID - 5), laplace_law(1.0, GRID - 4)


def _clipped_mean(rows: NDArray[np.float64], n: int, rng: Generator) -> NDArray[np.float64]:
    """Clip records to [0, 1] on a lattice of step 2^-10 (NaN to 0); the number of rows is public."""
    with np.errstate(invalid="ignore"):
        lattice = np.floor(1024 * np.clip(np.where(np.isnan(rows), 0.0, rows), 0.0, 1.0)).astype(np.int64)
    return np.asarray((lattice.sum() + two_sided(rng, 1024.0, n)) / (1024 * len(rows)))


def _mean_case() -> Case:
    grid = np.arange(-1024 * 60, 1024 * 64)
    law = laplace_law(1024.0, grid - 2 * 1024), laplace_law(1024.0, grid - 1024)
    pair = np.array([np.nan, np.inf, 7.0]), np.array([np.nan, -np.inf, 7.0])
    return Case("clipped-mean", Mechanism(_clipped_mean), *pair, PureDP(1.0), SUBSTITUTE, 1.0, CLASSIC, False,
                "NaN and infinities are clipped to public bounds, and the size is public", law, grid.tolist(),
                lambda outputs: np.rint(np.asarray(outputs) * 3072).astype(np.int64))  # fmt: skip


def _refused(law: Law, chance: float) -> Law:
    p, q = (np.append((1 - chance) * part, chance) for part in law)
    return p, q


def _refusals() -> list[Case]:
    """Return mechanisms whose outputs are missing or of another shape, for public reasons."""

    def maybe(chance: float, symbol: Any) -> Mechanism:
        def draw(rows: Integers, n: int, rng: Generator) -> NDArray[Any]:
            answers = (rows.sum() + two_sided(rng, 1.0, n)).astype(object)
            answers[rng.random(n) < chance] = symbol
            return np.asarray(answers)

        return Mechanism(draw)

    def lengths(rows: Integers, n: int, rng: Generator) -> list[list[int]]:
        noisy = (rows.sum() + two_sided(rng, 1.0, n)).tolist()
        return [[v] * int(k) for v, k in zip(noisy, rng.integers(1, 4, n))]

    outcomes = [*GRID.tolist(), None]
    pure = PureDP(1.0)
    return [
        Case("refuses-at-random", maybe(0.5, None), FIVE, FOUR, pure, ADD, 1.0, CLASSIC, False,
             "None half of the time, whatever the data", _refused(COUNTS, 0.5), outcomes),
        Case("fails-rarely", maybe(1e-4, "error"), FIVE, FOUR, pure, ADD, 1.0, CLASSIC, False,
             "a rare error that does not depend on the data", _refused(COUNTS, 1e-4), [*GRID.tolist(), "error"]),
        Case("length-at-random", Mechanism(lengths), FIVE, FOUR, pure, ADD, 1.0, CLASSIC, False,
             "lists of random public length", COUNTS, GRID.tolist(), lambda outputs: [v[0] for v in outputs]),
    ]  # fmt: skip


def _index_and_count(rows: Integers, n: int, rng: Generator) -> list[tuple[str, int]]:
    counts = rows.sum(axis=0)
    index = (counts + two_sided(rng, 4.0, (n, len(counts)))).argmax(axis=1)
    values = counts[index] + two_sided(rng, 2.0, n)
    return list(zip(np.array(["left", "right"])[index].tolist(), values.tolist()))


def _split() -> Case:
    """Half of the budget for the index of the larger of two counts, half for its value: exact law by enumeration."""
    pair = np.array([[1, 0], [1, 0], [0, 1]]), np.array([[1, 0], [1, 0]])
    z, grid = np.arange(-250, 251), np.arange(-125, 130)
    laws = []
    for rows in pair:
        left, right = rows.sum(axis=0)
        wins = float(laplace_law(4.0, z - left) @ np.cumsum(laplace_law(4.0, z - right)))
        laws.append(np.append(wins * laplace_law(2.0, grid - left), (1 - wins) * laplace_law(2.0, grid - right)))
    outcomes = [(name, int(v)) for name in ("left", "right") for v in grid]
    truth = 0.5 + math.log((1 - laws[0][: len(grid)].sum()) / (1 - laws[1][: len(grid)].sum()))
    return Case("index-and-fresh-count", Mechanism(_index_and_count), *pair, PureDP(1.0), ADD, truth, CLASSIC, False,
                "tuples: the index of the larger count, then that count with fresh noise", (laws[0], laws[1]),
                outcomes)  # fmt: skip


def cases() -> list[Case]:
    """Return correct mechanisms with traps."""
    mu, sums = mu_of_pair(COUNTS), Mechanism(lambda rows, n, rng: rows.sum() + two_sided(rng, 1.0, n))
    certain = np.array([1.0]), np.array([1.0])
    return [
        _mean_case(), *_refusals(), _split(),
        Case("ignores-the-data", Mechanism(lambda rows, n, rng: np.full(n, 42)), FIVE, FOUR, PureDP(1e-6), ADD, 0.0,
             CLASSIC, False, "always the same output: certain, and private", certain, [42]),
        Case("pure-noise-by-a-curve", sums, FIVE, FOUR, GDP.from_pure(PureDP(1.0)), ADD, None, CURVE, False,
             "a pure mechanism, claimed by the Gaussian curve that it implies", COUNTS, GRID.tolist(), true_mu=mu),
    ]  # fmt: skip
