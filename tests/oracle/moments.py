"""A small private second moment, and the exact John weights of rows, both in plain NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from dpstruct import GDP, Ball, Plan, PureDP, Release, Structure
from dpstruct.core import Group, Line
from dpstruct.lattice import to_lattice
from dpstruct.privacy import Relation

BITS = 10


class PrivateMoments(Release):
    @property
    def gram(self) -> np.ndarray:
        return self.transcript["gram"] / 4.0**BITS


@dataclass(frozen=True)
class Moments(Structure[PrivateMoments]):
    """Sum of a a^T over rows of the unit ball: one row adds a matrix of Frobenius norm at most 1."""

    bounds: Ball
    max_rows: int = 1 << 32
    release_type: ClassVar[type[Any]] = PrivateMoments

    def no_rows(self) -> tuple[np.ndarray, ...]:
        return (np.empty((0, self.bounds.dim)),)

    def contributions(self, X: np.ndarray) -> Mapping[str, np.ndarray]:
        lattice = to_lattice(X.astype(np.float64), bound=1.0, bits=BITS)
        return {"gram": lattice[:, :, None] * lattice[:, None, :]}

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> Sequence[Group]:
        d, one = self.bounds.dim, 16**BITS if isinstance(cost, GDP) else self.bounds.dim * 4**BITS
        return [Group([Line("gram", (d, d))], Fraction(one * (1 if neighbors == "add-remove" else 2)))]

    def worst_error(self, plan: Plan[PrivateMoments]) -> float:
        return float(np.sqrt(plan.variance("gram").ravel()[0])) / 4.0**BITS


def john_weights(rows: np.ndarray, steps: int = 20_000) -> np.ndarray:
    """Weights of sum d with ``a_i^T (A^T V A)^-1 a_i = 1`` where they are positive, by the multiplicative update."""
    n, d = rows.shape
    v = np.full(n, d / n)
    for _ in range(steps):
        v = v * np.einsum("ij,jk,ik->i", rows, np.linalg.inv(rows.T @ (v[:, None] * rows)), rows)
    return np.where(v > 1e-6, v, 0.0)
