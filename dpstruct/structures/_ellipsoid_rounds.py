"""The rounds of a private ellipsoid: whitened second moments, capped weights, and the tail of the radii at the end.

Each round asks for ``sum f(b) b b^T`` over whitened rows ``b = G^T a``, where G is a released matrix in exact-product
form and f clips the row to a public length. The weight of a row is a function of that row and of released matrices, so
a record changes its own bounded contribution and no other, in every round: the rounds compose like releases with
scales that were fixed beforehand (arXiv 2210.17520), which an uncapped ellipsoid, supported on extreme rows, can not.

`passes` is written once. `Structure.rounds` answers its requests with sealed sums; a release, with its transcript.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Rounds, Rows
from dpstruct.core.plan import Scales
from dpstruct.features import quantise
from dpstruct.kernels import blocks
from dpstruct.structures import _second_moment as moments
from dpstruct.structures._ellipsoid_recipe import CAPPED, CLIP, CLIP_WHITENING, ENTRY, WHITENING, Recipe

__all__ = ["Request", "Shape", "passes", "replay", "rounds"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Public = Mapping[str, NDArray[Any]]

ROWS = 1 << 11  # rows of one block: product and lattice rows stay in the near caches


def whitened(rows: NDArray[Any], G: Floats) -> Floats:
    """Return ``rows @ G`` for sealed rows and an upper triangular G of integers, exact and so the same in any block.

    As in `dpstruct.features.multiply` no partial sum exceeds 2**53; a triangular product takes half of its operations.
    """
    from scipy.linalg.blas import dtrmm

    product: Floats = np.clip(rows, -ENTRY, ENTRY).astype(np.float64, order="C")
    if len(product):  # Fortran sees its transpose, and overwrites it
        product = np.ascontiguousarray(dtrmm(1.0, G, product.T, side=0, lower=0, trans_a=1, overwrite_b=1).T)
    return product


def second_moment(rows: NDArray[Any], public: Public, *cache: Floats) -> list[Integers]:
    """Row map: the lines of ``sum b b^T`` over weighted, clipped and truncated rows, and the sum of their weights."""
    from dpstruct.kernels.john_ellipsoid import contributions

    G = public["whitening"]
    unit, growth, radius2, size, count = (float(public[k]) for k in ("unit", "growth", "radius2", "size", "count"))
    weights = cache[0].reshape(-1) if cache else np.ones(len(rows))
    if float(public["start"]) > 0:
        weights[:] = float(public["start"])

    def part(start: int, stop: int) -> tuple[Integers, np.int64]:
        product = whitened(rows[start:stop], G)
        counted = contributions(product, weights[start:stop], unit, growth, radius2, size, count)
        return moments.total(product, bound=int(size)), counted

    total = np.zeros(G.shape, np.int64)
    counts = np.zeros((), np.int64)
    for part_sum, counted in blocks.run(part, blocks.spans(len(rows), ROWS)):
        total += part_sum
        counts = counts + counted
    return [*moments.pack("", total).values(), *([np.asarray(counts)] if count > 0 else [])]


def radii(rows: NDArray[Any], public: Public) -> list[Integers]:
    """Row map: the number of rows in each cell of the grid of squared radii."""
    from dpstruct.kernels.john_ellipsoid import cells

    G, thresholds = public["whitening"], public["thresholds"]

    def part(start: int, stop: int) -> Integers:
        counted: Integers = cells(whitened(rows[start:stop], G), float(public["unit"]), thresholds)
        return counted

    parts = blocks.run(part, blocks.spans(len(rows), ROWS))
    return [np.sum([np.zeros(len(thresholds), np.int64), *parts], axis=0)]


class Request(NamedTuple):
    """One sum over all rows: the row map, its released arguments, the lines that it gives, and what becomes of them."""

    row_map: Callable[..., list[Integers]]
    public: dict[str, NDArray[Any]]
    lines: tuple[str, ...]
    weighted: bool = False
    encode: Callable[[Mapping[str, Integers]], Mapping[str, Integers]] | None = None


@dataclass(frozen=True)
class Shape:
    """What the rounds end in: rows with ``|G^T a|**2 <= s`` are inside; and the number of rows that they counted."""

    G: Floats
    count: float


class _Whitening:
    """A released matrix M as the exact-product factor G with about ``G^T M G = I``; then ``M = R R^T``, R the root."""

    def __init__(self, M: Floats | None, recipe: Recipe) -> None:
        identity = quantise(np.eye(recipe.d), entry_bound=ENTRY)  # no eigenvectors: a moved row moves on the lattice
        self.public = identity if M is None else moments.whitening(M, entry_bound=ENTRY)
        self.unit = np.array(self.public.unit * recipe.unit)

    @property
    def root(self) -> Floats:
        """R, the inverse transpose of G."""
        return np.asarray(np.linalg.inv(self.public.matrix).T, dtype=np.float64)

    def request(
        self, prefix: str, r: Recipe, radius2: float, *, growth: float = 0.0, start: float = 0.0, count: int
    ) -> Request:
        """Return the request for one second moment."""
        public = {
            "whitening": self.public.integers,
            "unit": self.unit,
            "growth": np.array(growth),
            "radius2": np.array(radius2),
            "size": np.array(float(r.size)),
            "start": np.array(start),
            "count": np.array(float(count)),
        }
        names = tuple(line.name for line in r.lines(prefix, counted=count > 0))
        return Request(second_moment, public, names, weighted=growth > 0)


def _noise_norm(noise: Scales, prefix: str, d: int) -> float:
    """Return about the operator norm of the noise of one matrix."""
    line, part = ("upper", 1.0) if d > 1 else ("diagonal", 0.5)
    return 2 * math.sqrt(d * part * float(noise.variance(f"{prefix}_{line}")[0]))


Passes = Generator[Request, Mapping[str, Integers], Shape]


def passes(r: Recipe, noise: Scales) -> Passes:
    """Ask for one noised sum after the other; end in the shape. Everything in here is public."""
    M, count = (yield from _capped(r, noise)) if r.capped else (yield from _one_moment(r, noise))
    last = _Whitening(M, r)
    public = {"whitening": last.public.integers, "unit": last.unit, "thresholds": r.tail.thresholds}
    yield Request(radii, public, ("cells",), encode=r.tail.encode)
    return Shape(last.public.matrix, count)


def _one_moment(r: Recipe, noise: Scales) -> Generator[Request, Mapping[str, Integers], tuple[Floats, float]]:
    """Return the second moment of the rows themselves, with small eigenvalues raised to the size of its noise."""
    got = yield _Whitening(None, r).request("moment", r, 1.0, count=r.count_unit)
    count = float(got["moment_count"]) / r.count_unit if r.counted else float(r.rows)
    total = r.size * max(1.0, count)
    floor = _noise_norm(noise, "moment", r.d) / math.sqrt(2) / total
    return moments.bound_eigenvalues(moments.unpack("moment", got) / total, r.floor(floor), 1.0), count


def _capped(r: Recipe, noise: Scales) -> Generator[Request, Mapping[str, Integers], tuple[Floats, float]]:
    """Return the average of the last two thirds of the capped iterates, whitened beforehand.

    The step multiplies the weight of a row, a fraction of its cap, by ``|b|**2 / d`` and by a common c that keeps the
    released sum of the weights near its target. Every matrix is cut to eigenvalues in [resolution**2, 1]: no second
    moment of rows in the unit ball has larger ones, and uncut noise would grow from round to round.
    """
    white, seen = _Whitening(None, r), []
    count, rows = float(r.rows), float(r.rows)
    for prefix in WHITENING:
        radius2 = 1.0 if prefix == WHITENING[0] else CLIP_WHITENING * r.d
        got = yield white.request(prefix, r, radius2, count=r.count_unit if r.counted else 0)
        if r.counted:
            seen.append(float(got[f"{prefix}_count"]) / r.count_unit)
            count = math.fsum(seen) / len(seen)
            rows = max(1.0, count)
        step = radius2 / (r.size * rows)
        S = moments.bound_eigenvalues(moments.unpack(prefix, got) * step, _noise_norm(noise, prefix, r.d) * step)
        M = moments.bound_eigenvalues(white.root @ S @ white.root.T, r.floor(0.0), 1.0)
        white = _Whitening(M, r)
    c, iterates = 1.0, []
    for t, prefix in enumerate(CAPPED, start=1):
        start = r.nu if t == 1 else 0.0
        got = yield white.request(prefix, r, CLIP * r.d, growth=c / r.d, start=start, count=r.count_unit)
        rho = max(float(got[f"{prefix}_count"]) / (r.count_unit * r.nu * rows), 0.2)
        step = CLIP * r.d / (r.size * r.nu * rows * rho)
        S = moments.bound_eigenvalues(moments.unpack(prefix, got) * step, 0.05)
        c = min(max(c / rho**0.8, 0.2), 50.0)
        iterates.append(moments.bound_eigenvalues(white.root @ S @ white.root.T, r.floor(0.0), 1.0))
        M = iterates[-1] if t < 3 else np.mean(iterates[t // 3 :], axis=0)
        white = _Whitening(M, r)
    return M, count


def rounds(r: Recipe, noise: Scales, state: Rows) -> Rounds:
    """Answer the requests with sealed sums; the weights stay in a sealed cache beside the rows."""
    asking = passes(r, noise)
    request = next(asking)
    cache = state.cache(1) if r.capped else None
    while True:
        sealed = state.sum(
            request.row_map, request.public, lines=request.lines, cache=cache if request.weighted else None
        )
        noised = yield sealed.map(request.encode) if request.encode else sealed
        try:
            request = asking.send(noised)
        except StopIteration:
            return


def replay(r: Recipe, noise: Scales, transcript: Mapping[str, Integers]) -> Shape:
    """Answer the requests with what was released."""
    asking = passes(r, noise)
    next(asking)
    while True:
        try:
            asking.send(transcript)
        except StopIteration as end:
            shape: Shape = end.value
            return shape
