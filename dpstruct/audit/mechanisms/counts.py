"""One noised number: counts and sums with discrete Laplace noise, right and wrong.

A dataset is a vector of integer records; noise is drawn on the integers, or on a lattice of step 2^-10, since a
continuous mechanism in floats is really broken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.audit.mechanisms._case import Case, Claim, Law, Mechanism, epsilon_at, laplace_law, two_sided
from dpstruct.privacy import ApproxDP, PureDP

__all__ = ["cases"]

GEOMETRIC = "Ghosh, Roughgarden, Sundararajan (STOC 2009), arXiv:0811.2841"
LAPLACE = "Dwork, McSherry, Nissim, Smith (TCC 2006)"
ADD, SUBSTITUTE = "add-remove", "substitute"
STEP = 2.0**-10
Integers = NDArray[np.int64]
FOUR, FIVE = np.ones(4, np.int64), np.ones(5, np.int64)
UP, DOWN = np.array([1, 1, 1]), np.array([1, 1, -1])


def _sums(t: float, after: Callable[[Any], Any] = lambda y: y) -> Mechanism:
    """Sum of the records plus discrete Laplace noise, then a public map."""
    return Mechanism(lambda rows, n, rng: after(rows.sum() + two_sided(rng, t, n)))


def _shifted(t: float, a: int, b: int) -> tuple[list[int], Law]:
    """Outcomes and law of ``a + noise`` against ``b + noise``."""
    edge = int(60 * t) + 1
    grid = np.arange(min(a, b) - edge, max(a, b) + edge + 1)
    return grid.tolist(), (laplace_law(t, grid - a), laplace_law(t, grid - b))


def _mapped(t: float, a: int, b: int, after: Callable[[Any], Any]) -> tuple[list[int], Law]:
    """Outcomes and law after a public map of the noised integer."""
    grid, (p, q) = _shifted(t, a, b)
    outcomes, index = np.unique(after(np.array(grid)), return_inverse=True)
    p, q = (np.bincount(index, law).astype(np.float64) for law in (p, q))
    return outcomes.tolist(), (p, q)


def _case(
    name: str, mechanism: Mechanism, pair: tuple[Integers, Integers], claim: Claim, relation: str, truth: float,
    source: str, why: str, law: tuple[list[Any], Law], **more: Any,
) -> Case:  # fmt: skip
    allowed = claim.epsilon if isinstance(claim, PureDP | ApproxDP) else math.inf
    broken = truth > allowed * (1 + 1e-9)
    return Case(name, mechanism, *pair, claim, relation, truth, source, broken, why, law[1], law[0], **more)


def _plain() -> list[Case]:
    """Additive noise with some scale: the truth is the shift over the scale."""

    def scaled(
        name: str, t: float, pair: Any, claim: float, relation: str, truth: float, source: str, why: str
    ) -> Case:
        law = _shifted(t, int(pair[0].sum()), int(pair[1].sum()))
        return _case(name, _sums(t), pair, PureDP(claim), relation, truth, source, why, law)

    one = FIVE, FOUR
    return [
        scaled("discrete-laplace", 2.0, one, 0.5, ADD, 0.5, GEOMETRIC, "scale 1/epsilon: exactly at the claim"),
        scaled("laplace-substitute", 2.0, (UP, DOWN), 1.0, SUBSTITUTE, 1.0, LAPLACE,
               "records in [-1, 1]: a replacement moves the sum by 2, and the scale says so"),
        scaled("laplace-wrong-relation", 1.0, (UP, DOWN), 1.0, SUBSTITUTE, 2.0, LAPLACE,
               "the add-remove price under substitution: a record moves the sum by 2"),
        scaled("laplace-inverse-scale", 0.5, one, 0.5, ADD, 2.0, "arXiv:1805.10277", "scale epsilon, not 1/epsilon"),
        scaled("laplace-standard-deviation", math.sqrt(0.5), one, 1.0, ADD, math.sqrt(2), LAPLACE,
               "1/epsilon was taken for the standard deviation instead of the scale"),
        scaled("laplace-25-percent", 0.8, one, 1.0, ADD, 1.25, LAPLACE, "a fifth of the noise is missing"),
        scaled("geometric-parameter", -1 / math.log(0.5), one, 0.5, ADD, math.log(2), GEOMETRIC,
               "geometric noise with success probability epsilon instead of 1 - exp(-epsilon)"),
    ]  # fmt: skip


def _bounds_from_data() -> Case:
    """Ten records, rescaled to [0, 1] by their own minimum and maximum, on a lattice of 1/10."""

    def total(rows: Integers) -> int:
        return int(10 * (rows - rows.min()).sum() // max(1, int(np.ptp(rows))))

    pair = np.array([0] + [1] * 9), np.array([50] + [1] * 9)
    draw = Mechanism(lambda rows, n, rng: total(rows) + two_sided(rng, 10.0, n))
    return _case("bounds-from-data", draw, pair, PureDP(1.0), SUBSTITUTE, 8.0, LAPLACE,
                 "rescales by the data's own minimum and maximum, then adds noise for records in [0, 1]",
                 _shifted(10.0, total(pair[0]), total(pair[1])))  # fmt: skip


def _lattice() -> Case:
    t, outcomes_law = 1024.0, _shifted(1024.0, 1024, 0)
    outcomes = [k * STEP for k in outcomes_law[0]]
    draw = Mechanism(lambda rows, n, rng: (1024 * rows.sum() + two_sided(rng, t, n)) * STEP)
    return _case("laplace-on-a-lattice", draw, (np.ones(1, np.int64), np.zeros(0, np.int64)), PureDP(1.0), ADD, 1.0,
                 "arXiv:0811.2841", "a real-looking output, but on the public lattice of step 2^-10",
                 (outcomes, outcomes_law[1]))  # fmt: skip


def _after_noise() -> list[Case]:
    """Return mechanisms that do something to the noised number."""

    def clamp(y: Any) -> Any:
        return np.clip(y, 0, 6)

    def size(y: Any) -> Any:
        return np.where(y < 3, "few", np.where(y < 6, "some", "many"))

    def logarithm(y: Any) -> Any:
        return np.log2(np.where(y > 0, y, np.nan))

    truncated = Mechanism(lambda rows, n, rng: rows.sum() + np.trunc(rng.laplace(size=n)).astype(np.int64))
    one, pure, to_zero = (FIVE, FOUR), PureDP(1.0), np.arange(-61, 66)
    logs = _mapped(1.0, 5, 4, lambda y: np.maximum(y, 0))
    middle = -math.expm1(-1.0)  # P(|noise| < 1)
    cut = [middle * np.where(to_zero == a, 1.0, np.exp(-np.abs(to_zero - a)) / 2) for a in (1, 0)]
    return [
        _case("clamp-to-public-interval", _sums(1.0, clamp), one, pure, ADD, 1.0, LAPLACE,
              "atoms at both ends of a public interval", _mapped(1.0, 5, 4, clamp)),
        _case("count-in-words", _sums(1.0, size), one, pure, ADD, epsilon_at(_mapped(1.0, 5, 4, size)[1]), LAPLACE,
              "outputs are strings, a public map of the noised count", _mapped(1.0, 5, 4, size)),
        _case("logarithm-with-nan", _sums(1.0, logarithm), one, pure, ADD, 1.0, LAPLACE,
              "NaN where the noised count is not positive: a public map, not a leak", logs,
              reduce=lambda outputs: np.where(np.isnan(outputs), 0, np.rint(np.exp2(outputs)))),
        _case("noise-truncated-to-integer", truncated,
              (np.ones(1, np.int64), np.zeros(0, np.int64)), pure, ADD, 1 + math.log(2), LAPLACE,
              "int(noise) rounds toward zero and doubles the middle atom", (to_zero.tolist(), (cut[0], cut[1]))),
        _non_negative(), *_truncated(),
    ]  # fmt: skip


def _non_negative() -> Case:
    a, grid = math.exp(-1), np.arange(0, 70)

    def draw(rows: Integers, n: int, rng: np.random.Generator) -> Integers:
        y = rows.sum() + two_sided(rng, 1.0, n)
        while (y < 0).any():
            y[y < 0] = rows.sum() + two_sided(rng, 1.0, int((y < 0).sum()))
        return np.asarray(y)

    laws = [laplace_law(1.0, grid - c) for c in (1, 0)]
    p, q = (law / law.sum() for law in laws)
    truth = 1 + math.log((1 - a * a / (1 + a)) * (1 + a))
    return _case("redraw-until-non-negative", Mechanism(draw), (np.ones(1, np.int64), np.zeros(0, np.int64)),
                 PureDP(1.0), ADD, truth, "Holohan et al. (2020), arXiv:1808.10410",
                 "conditioning on a non-negative answer costs a normalisation that depends on the data",
                 (grid.tolist(), (p, q)))  # fmt: skip


def _truncated() -> list[Case]:
    """Return noise cut at +-5: an atom at the edge has no counterpart."""
    law = laplace_law(1.0, np.arange(-5, 6))
    law /= law.sum()
    p, q = np.append(law, 0.0), np.insert(law, 0, 0.0)

    def draw(rows: Integers, n: int, rng: np.random.Generator) -> Integers:
        return np.asarray(rows.sum() + rng.choice(np.arange(-5, 6), n, p=law))

    pair, outcomes, source = (FOUR, FIVE), list(range(-1, 11)), "Geng, Ding, Guo, Kumar (2018), arXiv:1810.00877"
    delta = float(law[-1]) * (1 + 1e-12)
    return [
        _case("truncated-laplace", Mechanism(draw), pair, ApproxDP(1.0, delta), ADD, 1.0, source,
              "bounded noise, with the probability of its edge as delta", (outcomes, (p, q))),
        _case("truncated-laplace-called-pure", Mechanism(draw), pair, PureDP(1.0), ADD, math.inf, source,
              "bounded noise, and no delta for its edge", (outcomes, (p, q))),
    ]  # fmt: skip


def _sampled() -> list[Case]:
    """Noise after Poisson sampling of the rows, with the amplification right, forgotten and misstated."""
    q, t = 0.5, 0.5
    amplified = math.log1p(q * math.expm1(1 / t))
    kept, (law1, law0) = _shifted(t, 1, 0)
    law = kept, (q * law1 + (1 - q) * law0, law0)
    pair = np.ones(1, np.int64), np.zeros(0, np.int64)
    poisson = Mechanism(lambda rows, n, rng: rng.binomial(rows.sum(), q, n) + two_sided(rng, t, n))
    source = "Balle, Barthe, Gaboardi (NeurIPS 2018), arXiv:1807.01647"
    return [
        _case("sampled-laplace", poisson, pair, PureDP(amplified), ADD, amplified, source,
              "ln(1 + q (e^epsilon - 1)) for a Poisson sample of rate q", law),
        _case("sampled-laplace-first-order", poisson, pair, PureDP(q / t), ADD, amplified, source,
              "q epsilon holds only to first order, and epsilon is 2", law),
        _case("sampled-first-half", Mechanism(lambda rows, n, rng: rows[: len(rows) // 2].sum() + two_sided(rng, t, n)),
              (np.array([1, 0, 0, 0]), np.array([0, 0, 0, 0])), PureDP(amplified), SUBSTITUTE, 1 / t, source,
              "claims amplification for a sample that is always the same half", (kept, (law1, law0))),
    ]  # fmt: skip


def cases() -> list[Case]:
    """Return the mechanisms that publish one noised number."""
    return [*_plain(), _bounds_from_data(), _lattice(), *_after_noise(), *_sampled()]
