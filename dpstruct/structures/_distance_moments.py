"""Distances that are polynomials: even powers per coordinate, and the squared Euclidean distance."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line
from dpstruct.core.plan import Scales
from dpstruct.domain import Ball, Box
from dpstruct.lattice import to_lattice
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures._distance import Floats, Form, Sums64, center_and_radius, inward
from dpstruct.structures._distance_options import dim_of

__all__ = ["EvenPowerForm", "SquaredForm"]

BITS = 30
ONE = 1 << BITS


class _Polynomial(Form):
    """Answers ``sum over lines of coefficients(y) @ noised sums``, a polynomial in y."""

    extends = True
    bounds: Box | Ball

    def coefficients(self, offset: Floats) -> dict[str, Floats]:
        """Return per line the coefficients, shape ``(q, *shape)``, at `offset` = y minus the centre."""
        raise NotImplementedError

    def _offset(self, rows: NDArray[Any], extend: bool) -> Floats:
        return rows.astype(np.float64) - center_and_radius(self.bounds)[0] if extend else self._clipped(rows)

    def _clipped(self, rows: NDArray[Any]) -> Floats:
        offset = inward(rows, self.bounds)
        offset[np.isnan(rows).any(axis=1)] = np.nan
        return offset

    def table(self, release: Any) -> Any:
        """Return nothing: the sums are the table."""
        return None

    def answers(self, release: Any, rows: NDArray[Any], *, extend: bool, device: str) -> Floats:
        """Return the polynomial's values."""
        total = np.zeros(len(rows))
        for name, coefficient in self.coefficients(self._offset(rows, extend)).items():
            if name == "count":
                total += coefficient * release.count
            else:
                sums = release.transcript[name].astype(np.float64) / ONE
                total += coefficient * sums if sums.ndim == 0 else coefficient @ sums
        return total

    def spread(self, release: Any, rows: NDArray[Any], *, extend: bool) -> Floats:
        """Return the variance of the linear answer."""
        return self._spread(release.receipt, self._offset(rows, extend))

    def _spread(self, noise: Scales, offset: Floats) -> Floats:
        total = np.zeros(len(offset))
        for name, coefficient in self.coefficients(offset).items():
            if name in noise.lines:  # not a public count
                unit = 1.0 if name == "count" else float(ONE)
                spread = noise.variance(name) / unit**2
                squares = coefficient**2
                total += (
                    squares * spread[0] if squares.ndim == 1 else squares @ np.broadcast_to(spread, squares.shape[1:])
                )
        return total


def _laplace(ranges: list[int], sizes: list[float]) -> list[Fraction]:
    """Return scale weights ``w = (range / size**2)**(1/3)``, which minimise the variance ``sum (size w)**2``."""
    found = [(r / s**2) ** (1 / 3) if s > 0 else 1.0 for r, s in zip(ranges, sizes, strict=True)]
    largest = max(found)
    return [Fraction(max(1, round(2**40 * w / largest)), 2**40) for w in found]


class EvenPowerForm(_Polynomial):
    r"""``sum_j |x_j - y_j|**p`` for even p by the moments ``sum z_j**k``, k = 0 .. p, ``z = (x - c) / h``.

    Gaussian weights ``alpha_0**2 = 2**-p`` (count) and ``alpha_jk**2 = binom(p, k) h_j**p / (2**p sum h**p)``: a record
    costs ``sum_j (h_j**p / sum h**p) ((1 + z_j**2) / 2)**p <= 1``. Where n is public there is no count, and two records
    differ by at most ``sqrt(2)``, since ``((1 + z z') / 2)**p >= 0``; truncation adds less than one step an entry.
    """

    def __init__(self, bounds: Box, p: int) -> None:
        self.bounds, self.p = bounds, p
        self.half: Floats = 0.5 * (np.array(bounds.high) - np.array(bounds.low))

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the count and the sums of powers, each power truncated toward zero."""
        sums = {}
        with np.errstate(all="ignore"):  # underflow is a value, too
            z = inward(X, self.bounds).T / self.half[:, None]
            np.clip(z, -1.0, 1.0, out=z)
            power = np.full_like(z, float(ONE))
            for k in range(1, self.p + 1):
                power = power * z
                sums[f"power{k}"] = np.trunc(power).astype(np.int64).sum(axis=1)
        return {"count": np.array(len(X), np.int64)} | sums

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group: the count where it is private, and the powers."""
        p, dim, counted = self.p, len(self.half), neighbors == "add-remove"
        if isinstance(cost, GDP):
            sizes = [Fraction(h) ** p for h in self.half.tolist()]
            ends = [2**p * sum(sizes, Fraction(0)) / size for size in sizes]
            weights = [tuple(w / math.comb(p, k) for w in ends) for k in range(1, p + 1)]
            lines = [Line(f"power{k}", (dim,), w) for k, w in enumerate(weights, 1)]
            if counted:
                return [Group([Line("count", (), Fraction(2**p, ONE**2)), *lines], Fraction(ONE**2))]
            # sqrt(2) steps of ONE, and the truncation of every entry: weighted, its norm is below one step
            return [Group(lines, (Fraction(math.isqrt(2 * ONE**2) + 1) + 2) ** 2)]
        relative = (self.half / self.half.max()) ** p
        ranges = [1 if counted or k % 2 == 0 else 2 for k in range(1, p + 1) for _ in range(dim)]
        flat = _laplace(
            [1, *ranges], [float(relative.sum()), *(math.comb(p, k) * r for k in range(1, p + 1) for r in relative)]
        )
        lines = [Line(f"power{k}", (dim,), tuple(flat[1 + (k - 1) * dim : 1 + k * dim])) for k in range(1, p + 1)]
        bound = sum((r * ONE / w for r, w in zip(ranges, flat[1:], strict=True)), Fraction(0))
        if counted:
            return [Group([Line("count", (), flat[0] / ONE), *lines], bound + ONE / flat[0])]
        return [Group(lines, bound)]

    def coefficients(self, offset: Floats) -> dict[str, Floats]:
        """Return the binomial expansion of ``sum_j h_j**p (z_j - v_j)**p``."""
        v, scale = offset / self.half, self.half**self.p
        found = {"count": (scale * v**self.p).sum(axis=1)}
        for k in range(1, self.p + 1):
            found[f"power{k}"] = scale * math.comb(self.p, k) * (-v) ** (self.p - k)
        return found

    def worst(self, noise: Scales) -> float:
        """Return the standard error at a corner, where every coefficient is largest."""
        return float(np.sqrt(self._spread(noise, self.half[None, :])[0]))

    @property
    def bias(self) -> float:
        """Largest bias per record: each power is truncated by less than one step."""
        return float((self.half**self.p).sum() * 2.0**self.p / ONE)


# Two collinear opposite records are the worst for a substitution: (p + q)**2 (1/4 + g (p - q)**2) <= 1 for all p, q in
# [0, 1] if and only if g <= phi**5 / 16, phi the golden ratio; rounded down.
_G = Fraction(math.floor(((1 + math.sqrt(5)) / 2) ** 5 / 16 * 2**40), 2**40)


class SquaredForm(_Polynomial):
    """``sum |x - y|_2**2`` by the count, ``T = sum z`` and ``N = sum |z|**2``, ``z = (x - c) / r`` in the unit ball.

    A record costs ``(1 + |z|**2)**2 / 4 <= 1`` with weights 1/4, 1/2, 1/4; where n is public, two records
    cost ``(p + q)**2 (1/4 + g (p - q)**2) <= 1`` with weights 1/4 and ``g = phi**5 / 16``, p and q their lengths. N is
    computed from the integers of T, rounded down: one step more in the bound for a pair.
    """

    def __init__(self, bounds: Box | Ball) -> None:
        self.bounds = bounds
        self.dim = dim_of(bounds)
        self.radius = center_and_radius(bounds)[1]

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the count, the sum of the rows and the sum of their squared lengths."""
        z = to_lattice(inward(X, self.bounds), bound=self.radius, bits=BITS)
        squares = np.zeros(len(z), np.int64)
        for column in z.T:
            squares += column * column
        return {
            "count": np.array(len(X), np.int64),
            "total": z.sum(axis=0),
            "square": np.array((squares >> BITS).sum()),
        }

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return one group: the count where it is private, the rows and their squares."""
        counted, total, square = neighbors == "add-remove", Line("total", (self.dim,)), Line("square", ())
        if isinstance(cost, GDP):
            if counted:
                count = Line("count", (), Fraction(4, ONE**2))
                lines = [count, Line("total", (self.dim,), Fraction(2)), Line("square", (), Fraction(4))]
                return [Group(lines, Fraction(ONE**2))]
            lines = [Line("total", (self.dim,), Fraction(4)), Line("square", (), 1 / _G)]
            return [Group(lines, Fraction(ONE + 1) ** 2)]
        l1 = math.isqrt(self.dim * ONE**2 - 1) + 1  # of a vector of length ONE
        sides = 1 if counted else 2
        w = _laplace([1, sides * math.isqrt(self.dim) or 1, 1], [1.0, 2.0, 1.0])
        total, square = Line("total", (self.dim,), w[1]), Line("square", (), w[2])
        bound = sides * l1 / w[1] + ONE / w[2]
        if counted:
            return [Group([Line("count", (), w[0] / ONE), total, square], bound + ONE / w[0])]
        return [Group([total, square], bound)]

    def coefficients(self, offset: Floats) -> dict[str, Floats]:
        """Return the coefficients of ``r**2 (N - 2 v T + |v|**2 n)``."""
        r, v = self.radius, offset / self.radius
        return {
            "count": r**2 * (v**2).sum(axis=1),
            "total": -2 * r**2 * v,
            "square": np.full(len(v), r**2),
        }

    def worst(self, noise: Scales) -> float:
        """Return the standard error at the rim."""
        rim = np.zeros((1, self.dim))
        rim[0, 0] = self.radius
        return float(np.sqrt(self._spread(noise, rim)[0]))

    @cached_property
    def bias(self) -> float:
        """Largest bias per record, from the lattice: one step an entry."""
        return float(self.radius**2 * (2 * math.sqrt(self.dim) + 2) / ONE) * 2
