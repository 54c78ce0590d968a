"""Several noised numbers at once: histograms, composed answers, sketches, local reports."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Law, Mechanism, laplace_law, product_law, two_sided
from dpstruct.privacy import PureDP

__all__ = ["cases"]

ADD, SUBSTITUTE = "add-remove", "substitute"
LAPLACE = "Dwork, McSherry, Nissim, Smith (TCC 2006)"
STATDP = "arXiv:1805.10277"
RACE = "Coleman, Shrivastava (2020), arXiv:2006.09352"
RAPPOR = "Wang, Blocki, Li, Jha (USENIX Security 2017), arXiv:1705.04421"
Integers = NDArray[np.int64]
Generator = np.random.Generator
CELLS = np.eye(3, dtype=np.int64)[[0, 0, 1, 2, 2, 2]]  # six records in three cells
MOVED = np.eye(3, dtype=np.int64)[[0, 0, 1, 2, 2, 1]]  # the last one in another cell


def _columns(t: float) -> Mechanism:
    """Column sums plus independent discrete Laplace noise."""
    return Mechanism(lambda rows, n, rng: rows.sum(axis=0) + two_sided(rng, t, (n, rows.shape[1])))


def _clipped_sum(centre: Integers, ends: Integers) -> Callable[[Any], Any]:
    """Return a map to the likelihood ratio of several shifted Laplace answers."""

    def reduce(outputs: Any) -> Any:
        y = np.asarray(outputs)
        return (np.abs(y - ends) - np.abs(y - centre)).sum(axis=1)

    return reduce


def _sum_law(t: float, x: Integers, x2: Integers) -> tuple[list[int], Law]:
    """Law of `_clipped_sum` for column sums with noise of scale t, by convolution."""
    laws = []
    for truth in (x.sum(axis=0), x2.sum(axis=0)):
        total = np.ones(1)
        for centre, end, q in zip(x.sum(axis=0), x2.sum(axis=0), truth):
            if centre != end:
                y = np.arange(-int(60 * t) - 9, int(60 * t) + 10) + q
                score = np.abs(y - end) - np.abs(y - centre) + abs(end - centre)
                total = np.convolve(total, np.bincount(score, laplace_law(t, y - q), 2 * abs(end - centre) + 1))
        laws.append(total)
    reach = (len(laws[0]) - 1) // 2
    keep = (laws[0] > 0) | (laws[1] > 0)
    return np.arange(-reach, reach + 1)[keep].tolist(), (laws[0][keep], laws[1][keep])


def _case(
    name: str, t: float, pair: tuple[Integers, Integers], claim: float, relation: str, source: str, why: str
) -> Case:
    outcomes, law = _sum_law(t, *pair)
    centre, end = pair[0].sum(axis=0), pair[1].sum(axis=0)
    truth = float(np.abs(centre - end).sum()) / t
    return Case(
        name, _columns(t), *pair, PureDP(claim), relation, truth, source, truth > claim * (1 + 1e-9), why, law,
        outcomes, _clipped_sum(centre, end),
    )  # fmt: skip


def _infinite(name: str, draw: Any, pair: Any, relation: str, source: str, why: str, secret: Any, law: Any) -> Case:
    x, x2 = pair
    return Case(
        name, Mechanism(draw), x, x2, PureDP(1.0), relation, math.inf, source, True, why,
        (np.array(law[0], float), np.array(law[1], float)), law[2], secret,
    )  # fmt: skip


def _additive() -> list[Case]:
    cells, thrice = (CELLS, MOVED), (np.ones((2, 3), np.int64), np.ones((1, 3), np.int64))
    sketch = np.ones((1, 4), np.int64), np.zeros((0, 4), np.int64)
    tree = np.ones((3, 5), np.int64), np.ones((2, 5), np.int64)
    return [
        _case("histogram-substitute", 2.0, cells, 1.0, SUBSTITUTE, LAPLACE, "a replacement changes two cells"),
        _case("histogram-wrong-relation", 1.0, cells, 1.0, SUBSTITUTE, LAPLACE,
              "the add-remove price under substitution: two cells change"),
        _case("histogram-inverse-scale", 0.5, (CELLS, CELLS[:-1]), 0.5, ADD, STATDP, "scale epsilon, not 1/epsilon"),
        _case("three-answers", 3.0, thrice, 1.0, ADD, LAPLACE, "three answers share the budget"),
        _case("forgotten-composition", 1.0, thrice, 1.0, ADD, LAPLACE, "three answers, each with the whole budget"),
        _case("five-levels-priced-as-four", 4.0, tree, 1.0, ADD, "arXiv:2403.08917",
              "a dyadic tree has one level more than its price"),
        _case("race-sketch", 4.0, sketch, 1.0, ADD, RACE, "scale rows/epsilon: a record is in one counter of each row"),
        _case("race-sketch-over-n", 4 / 10, (np.ones((10, 4), np.int64), np.ones((9, 4), np.int64)), 1.0, ADD, RACE,
              "scale rows/(n epsilon), right for means over n records, on counts"),
    ]  # fmt: skip


def _structured() -> list[Case]:
    """Return mechanisms whose cells carry more than their noise hides."""

    def reused(rows: Integers, n: int, rng: Generator) -> Integers:
        return np.asarray(rows.sum(axis=0) + two_sided(rng, 2.0, (n, 1)))

    def bare_zeros(rows: Integers, n: int, rng: Generator) -> Integers:
        counts = rows.sum(axis=0)
        return np.where(counts > 0, counts + two_sided(rng, 1.0, (n, len(counts))), 0)

    def exact_total(rows: Integers, n: int, rng: Generator) -> Integers:
        noisy = rows.sum(axis=0) + two_sided(rng, 1.0, (n, rows.shape[1]))
        noisy[:, -1] = len(rows) - noisy[:, :-1].sum(axis=1)
        return np.asarray(noisy)

    def exact_size(rows: Integers, n: int, rng: Generator) -> Integers:
        noisy = rows[:, 0].sum() + two_sided(rng, 1.0, n)
        return np.stack([noisy, np.full(n, len(rows))], axis=1)

    def second(outputs: Any) -> Any:
        return np.asarray(outputs)[:, 1]

    grid = np.arange(-61, 63)
    empty = CELLS[[0, 0, 2]], CELLS[[0, 0]]
    zeros = laplace_law(1.0, grid - 1), (grid == 0) * 1.0, grid.tolist()
    certain = [1.0, 0.0], [0.0, 1.0]
    return [
        _infinite("reused-noise", reused, (CELLS, MOVED), SUBSTITUTE, LAPLACE,
                  "one noise for all cells: differences are exact", lambda o: np.asarray(o)[:, 1] - np.asarray(o)[:, 0],
                  (*certain, [-1, 0])),
        _infinite("zeros-without-noise", bare_zeros, empty, ADD, "Korolova et al. (WWW 2009)",
                  "empty cells get no noise", second, zeros),
        _infinite("consistent-with-exact-total", exact_total, (CELLS, CELLS[:-1]), ADD, "arXiv:0904.0942",
                  "noised cells are made to add up to the exact number of records", lambda o: np.asarray(o).sum(axis=1),
                  (*certain, [6, 5])),
        _infinite("mean-with-exact-size", exact_size, (CELLS, CELLS[:-1]), ADD, LAPLACE,
                  "the exact number of records beside the noised sum", second, (*certain, [6, 5])),
    ]  # fmt: skip


def _flip(rows: Integers, n: int, rng: Generator, keep: float) -> Integers:
    bits = np.broadcast_to(rows[-1], (n, rows.shape[1]))
    return np.where(rng.random(bits.shape) < keep, bits, 1 - bits)


def _local() -> list[Case]:
    """Randomized response of one record, to the one who asks it."""

    def logistic(e: float) -> float:
        return 1 / (1 + math.exp(-e))

    def words(keep: float) -> Mechanism:
        return Mechanism(lambda rows, n, rng: np.array(["no", "yes"])[_flip(rows, n, rng, keep)[:, 0]])

    def one(name: str, keep: float, truth: float, why: str) -> Case:
        law = np.array([1 - keep, keep]), np.array([keep, 1 - keep])
        return Case(name, words(keep), np.array([[1]]), np.array([[0]]), PureDP(1.0), SUBSTITUTE, truth,
                    "Warner (1965), doi:10.1080/01621459.1965.10480775", truth > 1 + 1e-9, why, law,
                    ["no", "yes"])  # fmt: skip

    def unary(name: str, epsilon: float, truth: float, why: str) -> Case:
        keep = logistic(epsilon)
        bit = np.array([1 - keep, keep]), np.array([keep, 1 - keep])
        law = product_law(bit, bit[::-1])
        return Case(name, Mechanism(lambda rows, n, rng: _flip(rows, n, rng, keep)), np.eye(4, dtype=np.int64)[:1],
                    np.eye(4, dtype=np.int64)[1:2], PureDP(1.0), SUBSTITUTE, truth, RAPPOR, truth > 1 + 1e-9, why, law,
                    [0, 1, 2, 3], lambda o: 2 * np.asarray(o)[:, 0] + np.asarray(o)[:, 1])  # fmt: skip

    p = logistic(1.0)
    return [
        one("randomized-response", p, 1.0, "two strings, exactly at the claim"),
        one("randomized-response-twice", p + (1 - p) / 2, math.log1p(2 * math.e),
            "instead of lying it answers at random, which is true half the time"),
        unary("unary-encoding", 0.5, 1.0, "two bits change, each pays half"),
        unary("unary-encoding-full-price", 1.0, 2.0, "two bits change, each pays the whole epsilon"),
        _polychotomous(),
    ]  # fmt: skip


def _polychotomous() -> Case:
    """Randomized response among five symbols, published as tuples."""
    keep = math.e / (math.e + 4)

    def draw(rows: Integers, n: int, rng: Generator) -> list[tuple[str, int]]:
        true = int(rows[-1, 0])
        other = (true + rng.integers(1, 5, n)) % 5
        return [("symbol", int(v)) for v in np.where(rng.random(n) < keep, true, other)]

    law = np.full(5, (1 - keep) / 4), np.full(5, (1 - keep) / 4)
    law[0][0] = law[1][1] = keep
    return Case("five-symbols", Mechanism(draw), np.array([[0]]), np.array([[1]]), PureDP(1.0), SUBSTITUTE, 1.0,
                "Kairouz, Oh, Viswanath (NeurIPS 2014), arXiv:1407.1338", False, "tuples, exactly at the claim", law,
                [("symbol", v) for v in range(5)])  # fmt: skip


def cases() -> list[Case]:
    """Return the mechanisms with vector outputs and the local ones."""
    return [*_additive(), *_structured(), *_local()]
