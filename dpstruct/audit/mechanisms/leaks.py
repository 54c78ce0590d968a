"""Leaks of support: outputs, errors or shapes that only one of two neighbours can produce; and harmless look-alikes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Claim, Law, Mechanism, laplace_law, two_sided
from dpstruct.privacy import ApproxDP, PureDP

__all__ = ["cases", "rare_disclosure"]

ADD, SUBSTITUTE = "add-remove", "substitute"
CLASSIC = "Dwork, Roth (2014), The Algorithmic Foundations of Differential Privacy"
MIRONOV = "Mironov (CCS 2012), doi:10.1145/2382196.2382264"
CHANNELS = "Haeberlen, Pierce, Narayan (USENIX Security 2011)"
Integers = NDArray[np.int64]
Generator = np.random.Generator
FOUR, FIVE = np.ones(4, np.int64), np.ones(5, np.int64)


def _leak(
    name: str, draw: Any, pair: Any, relation: str, source: str, why: str, claim: Claim | None = None,
    law: Law | None = None, outcomes: Any = None, reduce: Any = lambda outputs: outputs,
) -> Case:  # fmt: skip
    found = PureDP(1.0) if claim is None else claim
    mechanism = Mechanism(draw)
    x, x2 = pair
    return Case(name, mechanism, x, x2, found, relation, math.inf, source, True, why, law, outcomes, reduce)


def _laplace_floats(rows: Integers, n: int, rng: Generator) -> NDArray[np.float64]:
    """Mironov's textbook sampler: a sign times the C library's logarithm of a uniform double."""
    logarithms = np.fromiter(map(math.log, (1.0 - rng.random(n)).tolist()), np.float64, n)
    return np.asarray(rows.sum() + np.where(rng.random(n) < 0.5, -1.0, 1.0) * logarithms)


def _numbers() -> list[Case]:
    """One number comes out."""
    constant = int(two_sided(np.random.default_rng(1), 1.0, 1)[0])  # what one and the same seed gives every run
    grid, pure = np.arange(0, 80), -math.expm1(-1.0)
    one_sided = tuple(np.where(grid >= c, pure * np.exp(-np.maximum(grid - c, 0)), 0.0) for c in (5, 4))
    above = 1 / (1 + math.e)  # P(noise >= 1)
    high = np.array([*laplace_law(1.0, np.arange(-60, 1)), above])
    low = np.array([*laplace_law(1.0, np.arange(-60, 0)), 1 - above, 0.0])
    wide = np.arange(-400, 410)
    scaled = laplace_law(1.0, wide - 1), laplace_law(4.0, wide - 4)
    two = np.array([1, 1, 0]), np.array([1, 1])
    return [
        _leak("one-sided-noise", lambda rows, n, rng: rows.sum() + rng.geometric(pure, n) - 1, (FIVE, FOUR), ADD,
              "arXiv:0811.2841", "geometric noise on one side: the smallest output tells the count",
              law=(one_sided[0], one_sided[1]), outcomes=grid.tolist()),
        _leak("clamp-to-private-size", lambda rows, n, rng: np.minimum(rows.sum() + two_sided(rng, 1.0, n), len(rows)),
              two, ADD, CLASSIC, "truncates the noised count at the private number of rows",
              law=(high, low), outcomes=list(range(-58, 4))),
        _leak("scale-from-data",
              lambda rows, n, rng: rows.sum() + two_sided(rng, max(1.0, float(np.ptp(rows))), n),
              (np.array([0, 0, 1]), np.array([0, 0, 4])), SUBSTITUTE,
              "Nissim, Raskhodnikova, Smith (STOC 2007)", "noise for the sensitivity at this very dataset",
              law=scaled, outcomes=wide.tolist()),
        _leak("laplace-in-floats", _laplace_floats, (np.ones(1, np.int64), np.zeros(0, np.int64)), ADD, MIRONOV,
              "floating-point noise: most doubles are reachable from one of the two counts only"),
        _leak("numpy-laplace", lambda rows, n, rng: rows.sum() + rng.laplace(0.0, 1.0, n),
              (np.ones(1, np.int64), np.zeros(0, np.int64)), ADD, MIRONOV,
              "NumPy's Laplace noise: the low bits of the sum tell the count"),
        _leak("constant-seed", lambda rows, n, rng: np.full(n, rows.sum() + constant),
              (FIVE, FOUR), ADD, CLASSIC, "every run seeds its generator with the same constant",
              law=(np.array([1.0, 0.0]), np.array([0.0, 1.0])), outcomes=[5 + constant, 4 + constant]),
    ]  # fmt: skip


def _symbols() -> list[Case]:
    """Something else than a number comes out: an error, NaN, None, another shape."""

    def raises(rows: Any, n: int, rng: Generator) -> Any:
        if rows.min() < 0:
            raise ValueError("negative record")
        return rows.sum() + two_sided(rng, 1.0, n)

    def threshold(rows: Integers, n: int, rng: Generator) -> Any:
        return (len(rows) + two_sided(rng, 1.0, n)) if len(rows) >= 5 else np.full(n, None)

    def non_empty(rows: Integers, n: int, rng: Generator) -> list[list[int]]:
        counts = rows.sum(axis=0)
        counts = counts[counts > 0]
        return list(map(list, (counts + two_sided(rng, 1.0, (n, len(counts)))).tolist()))

    def sorted_names(rows: Integers, n: int, rng: Generator) -> list[tuple[str, int]]:
        counts = rows.sum(axis=0)
        best = int(counts.argmax())
        return [("abc"[best], int(v)) for v in counts[best] + two_sided(rng, 1.0, n)]

    three = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    return [
        _leak("nan-propagates", lambda rows, n, rng: rows.sum() + two_sided(rng, 1.0, n),
              (np.array([1.0, np.nan]), np.ones(2)), SUBSTITUTE, CLASSIC, "one NaN record makes each answer NaN"),
        _leak("raises-on-a-value", raises, (np.array([1, -1]), np.array([1, 0])), SUBSTITUTE, CHANNELS,
              "an exception tells that a record was out of range"),
        _leak("exact-threshold", threshold, (FIVE, FOUR), ADD, "Korolova et al. (WWW 2009)",
              "whether the noised count is published depends on the exact one"),
        _leak("only-non-empty-cells", non_empty, (three, three[:2]), ADD, "Korolova et al. (WWW 2009)",
              "the number of published cells is the number of non-empty ones"),
        _leak("winner-by-exact-count", sorted_names, (three[1:], np.array([[0, 1, 0], [0, 1, 0]])), SUBSTITUTE, CLASSIC,
              "the name of the exact winner beside its noised count"),
    ]  # fmt: skip


def rare_disclosure(probability: float) -> Case:
    """Return a mechanism that publishes a secret bit as it is once in a while, and is 0.5-DP otherwise.

    Parameters
    ----------
    probability : float
        Of a disclosure, in (0, 1).

    Returns
    -------
    Case
        Claimed (1, 1e-6)-DP for substitution.
    """
    t, grid = 2.0, np.arange(-121, 123)

    def draw(rows: Integers, n: int, rng: Generator) -> Integers:
        secret = int(rows[0])
        return np.where(rng.random(n) < probability, 1000 + secret, secret + two_sided(rng, t, n))

    laws = [np.append((1 - probability) * laplace_law(t, grid - b), probability * np.eye(2)[b]) for b in (1, 0)]
    why = f"publishes the raw record with probability {probability:g}"
    return _leak(f"rare-disclosure-{probability:g}", draw, (np.array([1, 0]), np.array([0, 0])), SUBSTITUTE,
                 "name and shame; Meiser (2018), ePrint 2018/277", why, ApproxDP(1.0, 1e-6), (laws[0], laws[1]),
                 [*grid.tolist(), 1000, 1001])  # fmt: skip


def cases() -> list[Case]:
    """Return the mechanisms whose support depends on the data; none satisfies any finite epsilon on its pair."""
    return [*_numbers(), *_symbols(), rare_disclosure(0.01), rare_disclosure(0.001)]
