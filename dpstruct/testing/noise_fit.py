"""Does the noise have the law, the scale and the independence that the plan declares? One noisy experiment.

The noise is what the transcript of a release has beyond its exact sums. An exact randomised transform makes it uniform
under the declared law, whatever the scale, so that lines and releases can be pooled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Plan, door
from dpstruct.domain import real
from dpstruct.errors import InvalidParameter
from dpstruct.privacy.laws import pmf, tail
from dpstruct.testing.pairs import join
from dpstruct.testing.statistics import as_data, count_rounds, follow
from dpstruct.testing.violation import violation

__all__ = ["assert_noise"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class _Noise(NamedTuple):
    """Entries of one line in all releases, shape (releases, entries): noise, scales, and standard normal scores."""

    k: Ints
    scale: Floats
    z: Floats


class _Test(NamedTuple):
    name: str
    p: float
    privacy: bool = True


def assert_noise(
    plan: Plan[Any], data: Any = None, *, alpha: float = 1e-6, draws: int = 6400, at_most: int = 2000
) -> int:
    """Release test data repeatedly and reject noise of another law or scale, or used twice.

    The tests: noise too small (one-sided, exact), another family (chi-square on 64 equal cells), equal or correlated
    noise in successive releases, in two lines, or in two parts of a line.

    Parameters
    ----------
    plan : Plan
        The plan under test.
    data : array or tuple of arrays, optional
        Arguments of `summarize`; no rows by default.
    alpha : float
        Chance that correct noise is rejected, divided evenly among the comparisons.
    draws : int
        Integers to look at, over all releases; lines with fewer than 400 ask for more.
    at_most : int
        Number of releases at most.

    Returns
    -------
    int
        Number of comparisons.

    Raises
    ------
    PrivacyViolation
        Naming the test and its p-value.
    AssertionError
        If there is more noise than declared, which wastes accuracy and harms nobody.

    Notes
    -----
    At ``alpha = 1e-6`` and 400 draws of a line, half the declared scale is found almost surely; 0.95 of it takes some
    20,000 (Laplace) or 10,000 (Gaussian) draws.
    """
    if not 0 < real("alpha", alpha) < 0.5:
        raise InvalidParameter("alpha", repr(alpha), "a number between 0 and 1/2")
    sizes = [math.prod(line.shape) for _, line in plan.lines.values()]
    releases = min(at_most, max(4, -(-draws // sum(sizes)), -(-400 // min(sizes))))
    rows = join(plan.structure, [], plan.unit) if data is None else as_data(data)
    noise = _collect(plan, rows, releases + releases % 2)
    kind = plan.events[0].kind
    tests = [*_fits(kind, noise), *_reuses(kind, noise)]
    for name, p, privacy in sorted(tests, key=lambda test: (not test.privacy, test.p)):
        if p < alpha / len(tests):
            told = f"p = {p:.3g} in one of {len(tests)} comparisons at a joint false-alarm rate of {alpha:g}"
            if privacy:
                raise violation(plan, f"the noise is not what the plan declares: {name}", told)
            raise AssertionError(f"{plan.structure}: {name}; privacy is not harmed, `error` is wrong; {told}")
    return len(tests)


def _collect(plan: Plan[Any], data: tuple[NDArray[Any], ...], releases: int) -> dict[str, _Noise]:
    summary = plan.structure.summarize(*data)
    exact, asked = follow(plan, summary)
    found: dict[str, list[Ints]] = {name: [] for name in plan.lines}
    for _ in range(releases):
        noised = door.run(plan, summary._open())
        if count_rounds(asked) > 1:
            exact = follow(plan, summary, noised)[0]
        for name, rows in found.items():
            rows.append(np.subtract(noised[name], exact[name], out=np.empty(exact[name].shape, np.int64)).ravel())
    random = np.random.default_rng(releases)
    result = {}
    for name, (kind, line) in plan.lines.items():
        k = np.stack(found[name])
        scale = np.repeat(plan.scale(name), k.shape[1] // len(line.scales))[None, :]
        result[name] = _Noise(k, scale, _scores(kind, scale, k, random))
    return result


def _scores(kind: str, scale: Floats, k: Ints, random: np.random.Generator) -> Floats:
    """Return values that are exactly standard normal if `k` has the declared law: a randomised tail, and the sign."""
    from scipy.special import ndtri

    size = np.abs(k.astype(np.float64))
    outer = tail(kind, scale, size + 1)
    w = outer + random.random(k.shape) * (tail(kind, scale, size) - outer)
    sign = np.where(k == 0, random.choice([-1.0, 1.0], k.shape), np.sign(k))
    scores: Floats = -sign * ndtri(np.clip(w, 1e-300, 1.0) / 2)
    return scores


def _fits(kind: str, noise: dict[str, _Noise]) -> Iterator[_Test]:
    from scipy.special import chdtrc, gammainc, gammaincc, ndtr

    pooled = np.concatenate([line.z.ravel() for line in noise.values()])
    groups = {"all lines": pooled} | {f"line {name!r}": line.z.ravel() for name, line in noise.items()}
    for where, z in groups.items():
        w = 2 * ndtr(-np.abs(z))
        shape, size = (len(z) / 2, (z * z).sum() / 2) if kind == "rounded-gaussian" else (len(z), -np.log(w).sum())
        yield _Test(f"it is too small ({where})", float(gammainc(shape, size)))
        yield _Test(f"there is more noise than declared ({where})", float(gammaincc(shape, size)), privacy=False)
    cells = min(64, max(2, len(pooled) // 20))
    seen = np.bincount(np.minimum((ndtr(pooled) * cells).astype(int), cells - 1), minlength=cells)
    distance = float(((seen - len(pooled) / cells) ** 2).sum() * cells / len(pooled))
    yield _Test("it has another law", min(1.0, 2 * float(chdtrc(cells - 1, distance))))


def _reuses(kind: str, noise: dict[str, _Noise]) -> Iterator[_Test]:
    whole = {f: np.concatenate([getattr(line, f) for line in noise.values()], axis=1) for f in ("k", "z")}
    scale = np.concatenate([line.scale for line in noise.values()], axis=1)
    everything = _Noise(whole["k"], scale, whole["z"])
    yield from _compare(kind, "successive releases share it", everything, everything, _release_pairs)
    for (a, first), (b, second) in combinations(noise.items(), 2):
        yield from _compare(kind, f"lines {a!r} and {b!r} share it", first, second, _line_pairs)
    for name, line in noise.items():
        size = line.k.shape[1]
        steps = {*range(1, min(8, size // 2) + 1), *(1 << k for k in range(max(0, size.bit_length() - 1)))}
        for step in sorted(steps):
            parts = partial(_parts, step=step)
            yield from _compare(kind, f"line {name!r} repeats it after {step}", line, line, parts)


def _release_pairs(u: Any, v: Any) -> tuple[Any, Any]:
    return u[0::2].ravel(), v[1::2].ravel()


def _line_pairs(u: Any, v: Any) -> tuple[Any, Any]:
    common = min(u.shape[1], v.shape[1])
    return u[:, :common].ravel(), v[:, :common].ravel()


def _parts(u: Any, v: Any, step: int) -> tuple[Any, Any]:
    """Return disjoint pairs of entries that lie `step` apart."""
    blocks = u[:, : u.shape[1] // (2 * step) * 2 * step].reshape(len(u), -1, 2, step)
    return blocks[:, :, 0].ravel(), blocks[:, :, 1].ravel()


def _compare(
    kind: str, name: str, first: _Noise, second: _Noise, pairs: Callable[[Any, Any], tuple[Any, Any]]
) -> Iterator[_Test]:
    from scipy.special import betainc, stdtr

    u, v = pairs(first.z, second.z)
    n = len(u)
    if n < 10:
        return
    a, b = pairs(first.k, second.k)
    equal = int((a == b).sum())
    chance = _equal_by_chance(kind, float(first.scale.min()), float(second.scale.min()))
    yield _Test(name, float(betainc(equal, n - equal + 1, chance)) if equal else 1.0)
    r = float(np.clip((u @ v) / math.sqrt((u @ u) * (v @ v)), -1, 1))
    t = abs(r) * math.sqrt(n / max(1e-300, 1 - r * r))
    yield _Test(name + ", rescaled", 2 * float(stdtr(n, -t)))


def _equal_by_chance(kind: str, s: float, t: float) -> float:
    """Return an upper bound, near exact, of the chance that two independent draws are equal."""
    if kind == "discrete-laplace":
        p, q, pq = (-math.expm1(-x) for x in (1 / s, 1 / t, 1 / s + 1 / t))
        return p * q / ((2 - p) * (2 - q)) * (2 - pq) / pq
    if min(s, t) >= 8:
        return 1 / math.sqrt(2 * math.pi * (s * s + t * t))
    k = np.arange(-400.0, 401.0)
    return min(1.0, float(pmf(kind, s, k) @ pmf(kind, t, k)) * (1 + 1e-9))
