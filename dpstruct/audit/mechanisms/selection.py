"""Selection: noisy maximum, exponential mechanism, permute-and-flip, and what goes wrong around them.

Rows of bits; the scores are the column sums, so replacing a row changes every score by at most 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Law, Mechanism, epsilon_at, laplace_law, two_sided
from dpstruct.privacy import PureDP

__all__ = ["cases"]

STATDP = "Ding, Wang, Wang, Zhang, Kifer (CCS 2018), arXiv:1805.10277"
EXPONENTIAL = "McSherry, Talwar (FOCS 2007)"
Integers = NDArray[np.int64]

ONE_FALLS = np.array([[0, 0, 0, 0], [1, 0, 0, 0]]), np.array([[0, 0, 0, 0], [0, 1, 1, 1]])
ALL_RISE = np.array([[0, 0, 0, 0], [0, 0, 0, 0]]), np.array([[0, 0, 0, 0], [1, 1, 1, 1]])


def _exponential(rng: np.random.Generator, t: float, size: Any) -> Integers:
    """One-sided geometric noise: P(k) proportional to exp(-k/t), k >= 0."""
    return np.asarray(rng.geometric(-math.expm1(-1.0 / t), size) - 1)


def _one_sided_law(t: float, k: Any) -> NDArray[np.float64]:
    return np.where(k >= 0, -math.expm1(-1 / t) * np.exp(-np.maximum(k, 0) / t), 0.0)


def _noisy(rows: Integers, n: int, rng: np.random.Generator, t: float, noise: Callable[..., Integers]) -> Integers:
    scores = rows.sum(axis=0)
    return np.asarray(scores + noise(rng, t, (n, len(scores))))


def _index(t: float, noise: Callable[..., Integers]) -> Mechanism:
    return Mechanism(lambda rows, n, rng: _noisy(rows, n, rng, t, noise).argmax(axis=1))


def _largest(t: float, noise: Callable[..., Integers]) -> Mechanism:
    return Mechanism(lambda rows, n, rng: _noisy(rows, n, rng, t, noise).max(axis=1))


def _with_noise(rows: Integers, n: int, rng: np.random.Generator) -> Integers:
    noisy = _noisy(rows, n, rng, 2.0, two_sided)
    index = noisy.argmax(axis=1)
    return np.stack([index, noisy[np.arange(n), index] - rows.sum(axis=0)[index]], axis=1)


def _joint_law(
    rows: Integers, t: float, pmf: Callable[..., NDArray[np.float64]]
) -> tuple[NDArray[np.float64], Integers]:
    """P(index, noisy value) for all values in reach; the smallest index wins ties."""
    scores = rows.sum(axis=0)
    z = np.arange(-int(60 * t), int(60 * t) + 1)
    single = np.array([pmf(t, z - q) for q in scores])
    most = np.cumsum(single, axis=1)
    less = most - single
    joint = [single[i] * np.prod(less[:i], axis=0) * np.prod(most[i + 1 :], axis=0) for i in range(len(scores))]
    return np.array(joint), z


def _laws(pair: tuple[Integers, Integers], t: float, pmf: Callable[..., Any], axis: int) -> Law:
    p, q = (_joint_law(rows, t, pmf)[0].sum(axis=axis) for rows in pair)
    return p, q


def _exponential_law(rows: Integers, rate: float) -> NDArray[np.float64]:
    weights = np.exp(rate * (rows.sum(axis=0) - rows.sum(axis=0).max()))
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def _flip_law(rows: Integers, epsilon: float) -> NDArray[np.float64]:
    """Permute-and-flip: in random order, accept i with probability exp(epsilon (score - best)/2)."""
    accept = np.exp(epsilon / 2 * (rows.sum(axis=0) - rows.sum(axis=0).max()))
    law = np.zeros(len(accept))
    orders = list(itertools.permutations(range(len(accept))))
    for order in orders:
        left = 1.0 / len(orders)
        for i in order:
            law[i] += left * accept[i]
            left *= 1 - accept[i]
    return law


def _flip(rows: Integers, n: int, rng: np.random.Generator) -> Integers:
    accept = np.exp(0.5 * (rows.sum(axis=0) - rows.sum(axis=0).max()))
    order = rng.random((n, len(accept))).argsort(axis=1)
    taken = rng.random((n, len(accept))) < accept[order]
    return np.asarray(order[np.arange(n), taken.argmax(axis=1)])


def _drawn(law: Callable[[Integers], NDArray[np.float64]]) -> Mechanism:
    return Mechanism(lambda rows, n, rng: rng.choice(rows.shape[1], n, p=law(rows)))


def _case(
    name: str, mechanism: Mechanism, pair: tuple[Integers, Integers], law: Law, outcomes: Any, source: str, why: str,
    true_epsilon: float | None = None, **more: Any,
) -> Case:  # fmt: skip
    truth = epsilon_at(law) if true_epsilon is None else true_epsilon
    broken = truth > 1.0 + 1e-9
    return Case(name, mechanism, *pair, PureDP(1.0), "substitute", truth, source, broken, why, law, outcomes, **more)


def _values() -> list[Case]:
    """Mechanisms that publish a number besides, or instead of, the index."""
    two, z = 2.0, _joint_law(ALL_RISE[0], 2.0, laplace_law)[1]
    joint = [_joint_law(rows, two, laplace_law)[0] for rows in ONE_FALLS]
    inner = np.abs(z) <= 70  # the value of the noise, clear of the edges of the enumeration
    moved = [np.array([np.roll(p[i], -q)[inner] for i, q in enumerate(x.sum(0))]) for p, x in zip(joint, ONE_FALLS)]
    pairs = [(i, int(v)) for i in range(4) for v in z[inner]]
    return [
        _case("noisy-max-value", _largest(two, two_sided), ALL_RISE, _laws(ALL_RISE, two, laplace_law, 0), z.tolist(),
              STATDP, "publishes the largest noisy score instead of its index", 4 / 2),
        _case("noisy-max-exponential-value", _largest(two, _exponential), ALL_RISE,
              _laws(ALL_RISE, two, _one_sided_law, 0), z.tolist(), STATDP,
              "publishes a maximum of one-sided noise, which never falls below the best score", math.inf),
        _case("noisy-max-with-noise", Mechanism(_with_noise), ONE_FALLS, (moved[0].ravel(), moved[1].ravel()), pairs,
              STATDP, "publishes the noise of the winner beside its index", 3.0,
              reduce=lambda outputs: list(map(tuple, np.asarray(outputs).tolist()))),
    ]  # fmt: skip


def cases() -> list[Case]:
    """Return the selection mechanisms, all claimed 1-DP for substitution."""
    four = list(range(4))
    half, full = (tuple(_exponential_law(rows, rate) for rows in ONE_FALLS) for rate in (0.5, 1.0))
    flip = tuple(_flip_law(rows, 1.0) for rows in ONE_FALLS)
    return [
        _case("noisy-max", _index(2.0, two_sided), ONE_FALLS, _laws(ONE_FALLS, 2.0, laplace_law, 1), four, STATDP,
              "only the index is published, which costs no more than one score"),
        _case("noisy-max-exponential", _index(2.0, _exponential), ONE_FALLS, _laws(ONE_FALLS, 2.0, _one_sided_law, 1),
              four, STATDP, "one-sided noise is enough for the index"),
        _case("noisy-max-half-noise", _index(1.0, two_sided), ONE_FALLS, _laws(ONE_FALLS, 1.0, laplace_law, 1), four,
              STATDP, "noise for scores that move one way only"),
        *_values(),
        _case("exponential-mechanism", _drawn(lambda rows: _exponential_law(rows, 0.5)), ONE_FALLS, (half[0], half[1]),
              four, EXPONENTIAL, "exp(epsilon u / 2): the factor 2 pays for the normalisation"),
        _case("exponential-without-half", _drawn(lambda rows: _exponential_law(rows, 1.0)), ONE_FALLS,
              (full[0], full[1]), four, EXPONENTIAL, "exp(epsilon u): the factor 2 was forgotten"),
        _case("permute-and-flip", Mechanism(_flip), ONE_FALLS, (flip[0], flip[1]), four,
              "McKenna, Sheldon (NeurIPS 2020), arXiv:2010.12603", "in random order, a biased coin for each candidate"),
    ]  # fmt: skip
