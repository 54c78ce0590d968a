"""The six published variants of the sparse-vector technique, two of them private (Lyu, Su, Li, arXiv 1603.01699).

Counting queries on rows of bits, noise on the integers, threshold 0 after the public shift of the queries. Outputs are
strings: ``T`` above, ``F`` below, ``.`` after the stop. The algorithm that publishes the winning value returns pairs
(stop, value).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Law, Mechanism, epsilon_at, laplace_law, two_sided
from dpstruct.privacy import PureDP

__all__ = ["cases"]

SOURCE = "Lyu, Su, Li (VLDB 2017), arXiv:1603.01699"
EPSILON = 1.0


@dataclass(frozen=True)
class Variant:
    """Scales of one variant at epsilon = 1: of the threshold, of a query, and how many ``T`` it answers."""

    threshold: float
    query: float  # 0: the queries are not noised
    stop: int  # after so many T; the number of queries if it never stops
    redraw: bool = False  # a new threshold after every T

    def sides(self, q: int, z: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """P(q + noise >= z) and P(q + noise < z), both without cancellation."""
        if self.query == 0:
            return np.asarray(q >= z, dtype=np.float64), np.asarray(q < z, dtype=np.float64)
        gap = z - q
        small = np.exp(-np.where(gap > 0, gap, 1 - gap) / self.query) / (1 + np.exp(-1 / self.query))
        return np.where(gap > 0, small, 1 - small), np.where(gap > 0, 1 - small, small)

    def probability(self, word: str, queries: NDArray[np.int64]) -> float:
        """Exact probability of one output, by summing over the threshold's noise."""
        reach = int(60 * self.threshold) + int(np.abs(queries).max()) + 1
        z = np.arange(-reach, reach + 1)
        law = laplace_law(self.threshold, z)
        total, factor = 1.0, np.ones(len(z))
        for letter, q in zip(word, queries):
            if letter == ".":
                break
            factor = factor * self.sides(int(q), z)[letter == "F"]
            if letter == "T" and self.redraw:
                total, factor = total * float(law @ factor), np.ones(len(z))
        return total * float(law @ factor)

    def words(self, k: int) -> list[str]:
        """Return every output for k queries."""
        found = []
        for letters in itertools.product("FT", repeat=k):
            word = "".join(letters)
            if word.count("T") > self.stop:
                continue
            last = word.rfind("T") + 1
            if word.count("T") < self.stop or last == k:
                found.append(word)
            elif set(word[last:]) <= {"F"}:
                found.append(word[:last] + "." * (k - last))
        return found

    def draw(self, rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.str_]:
        """Run the variant n times."""
        queries = rows.sum(axis=0)
        k = len(queries)
        noisy = queries + (two_sided(rng, self.query, (n, k)) if self.query else np.zeros((n, k), np.int64))
        threshold, count = two_sided(rng, self.threshold, n), np.zeros(n, np.int64)
        letters = np.empty((n, k), np.uint8)
        for i in range(k):
            running = count < self.stop
            above = running & (noisy[:, i] >= threshold)
            letters[:, i] = np.where(above, ord("T"), np.where(running, ord("F"), ord(".")))
            count += above
            if self.redraw:
                threshold = np.where(above, two_sided(rng, self.threshold, n), threshold)
        return letters.view(f"S{k}").ravel().astype(f"U{k}")


def _pair(queries: str, queries2: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two datasets of two rows that differ in the second: column sums are the queries, written as digits."""
    first = np.zeros(len(queries), np.int64)
    return np.array([first, list(map(int, queries))]), np.array([first, list(map(int, queries2))])


def _case(name: str, variant: Variant, queries: str, queries2: str, broken: bool, why: str, infinite: bool) -> Case:
    x, x2 = _pair(queries, queries2)
    words = variant.words(len(queries))
    law = tuple(np.array([variant.probability(word, rows.sum(axis=0)) for word in words]) for rows in (x, x2))
    alternative: Law = (law[0], law[1])
    truth = np.inf if infinite else epsilon_at(alternative)
    claim, draw = PureDP(EPSILON), Mechanism(variant.draw)
    return Case(name, draw, x, x2, claim, "substitute", truth, SOURCE, broken, why, alternative, words)


def _draw_values(rows: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Algorithm 3 with one T: (index of the T, its noisy value), or (number of queries, 0)."""
    queries = rows.sum(axis=0)
    noisy = queries + two_sided(rng, 2.0, (n, len(queries)))
    above = noisy >= two_sided(rng, 2.0, n)[:, None]
    found, stop = above.any(axis=1), above.argmax(axis=1)
    value = np.where(found, noisy[np.arange(n), stop], 0)
    return np.stack([np.where(found, stop, len(queries)), value], axis=1)


def _values() -> Case:
    x, x2 = _pair("00000", "11111")
    k, reach = 5, 160
    z = np.arange(-reach, reach + 1)
    outcomes = [(j, int(v)) for j in range(k) for v in z] + [(k, 0)]
    laws = []
    for queries in (x.sum(axis=0), x2.sum(axis=0)):
        rho, below, law = laplace_law(2.0, z), np.ones(len(z)), []
        for q in queries:
            law.append(laplace_law(2.0, z - q) * np.cumsum(rho * below))  # the threshold is at most the value
            below = below * Variant(2.0, 2.0, 1).sides(int(q), z)[1]
        laws.append(np.append(np.concatenate(law), rho @ below))
    why = "publishes the noisy value that passed the threshold, whose noise the index already used"
    return Case(
        "svt-3-roth", Mechanism(_draw_values), x, x2, PureDP(EPSILON), "substitute", k / 2, SOURCE, True, why,
        (laws[0], laws[1]), outcomes, lambda outputs: list(map(tuple, np.asarray(outputs).tolist())),
    )  # fmt: skip


def cases() -> list[Case]:
    """Return algorithms 1 to 6 at epsilon = 1, each on a pair that separates the broken ones."""
    split = "0000000" + "1", "1111111" + "0"
    return [
        _case("svt-1-lyu", Variant(2.0, 4.0, 1), *split, False, "the noise of a query is twice that of the threshold",
              infinite=False),
        _case("svt-2-dwork-roth", Variant(4.0, 8.0, 2, redraw=True), "000011", "111100", False,
              "a new threshold after each T, paid for by more noise", infinite=False),
        _values(),
        _case("svt-4-lee-clifton", Variant(4.0, 4 / 3, 3), "00001111", "11110000", True,
              "the noise of a query does not grow with the number of T answered: (1 + 6c)/4 epsilon in the limit",
              infinite=False),
        _case("svt-5-stoddard", Variant(2.0, 0.0, 4), "0011", "1100", True, "the queries are not noised at all",
              infinite=True),
        _case("svt-6-chen", Variant(2.0, 2.0, 8), "00001111", "11110000", True,
              "answers any number of T with the noise for one", infinite=False),
    ]  # fmt: skip
