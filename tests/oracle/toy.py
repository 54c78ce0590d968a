"""Two small user structures in plain NumPy, one round and several: what a new structure takes, and what tests break."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from dpstruct import GDP, Ball, Plan, PureDP, Release, Structure
from dpstruct.core import Group, Line, Rounds, Rows
from dpstruct.lattice import to_lattice
from dpstruct.privacy import Relation


class PrivateMean(Release):
    def query(self, Y: np.ndarray) -> np.ndarray:
        """Inner products with the private mean."""
        return np.asarray(Y) @ self.mean

    @property
    def mean(self) -> np.ndarray:
        n = self.transcript["n"] if "n" in self.transcript else self.transcript["count"] / 2.0**self.structure.bits
        return self.transcript["total"] * (self.structure.bounds.radius / 2.0**self.structure.bits) / np.maximum(n, 1)


@dataclass(frozen=True)
class Mean(Structure[PrivateMean]):
    """Mean of vectors in a ball around 0: one line for the sum, one for the count where it is private."""

    bounds: Ball
    bits: int = 20
    max_rows: int = 1 << 32
    release_type: ClassVar[type[Any]] = PrivateMean

    def no_rows(self) -> tuple[np.ndarray, ...]:
        return (np.empty((0, self.bounds.dim)),)

    def contributions(self, X: np.ndarray) -> Mapping[str, np.ndarray]:
        lattice = to_lattice(X.astype(np.float64), bound=self.bounds.radius, bits=self.bits)
        return {"total": lattice, "count": np.full(len(X), 1 << self.bits)}

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> Sequence[Group]:
        size, d = 1 << self.bits, self.bounds.dim
        one = size**2 if isinstance(cost, GDP) else math.isqrt(size**2 * d - 1) + 1  # l2 squared, or l1 of an l2 ball
        total, count = Line("total", (d,)), Line("count", ())
        if neighbors == "add-remove":
            return [Group([total, count], Fraction(one + (size**2 if isinstance(cost, GDP) else size)))]
        return [Group([total], Fraction(one * (4 if isinstance(cost, GDP) else 2)))]

    def worst_error(self, plan: Plan[PrivateMean]) -> float:
        return float(np.sqrt(plan.variance("total")[0])) * self.bounds.radius / 2.0**self.bits


class PrivateLocation(Release):
    @property
    def location(self) -> np.ndarray:
        theta = np.zeros(self.structure.bounds.dim, np.int64)
        for t in range(self.structure.steps):
            theta = self.structure.follow(theta, self.transcript[f"step{t}"])
        return theta * (self.structure.bounds.radius / 2.0**self.structure.bits)


def pull(rows: np.ndarray, public: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Sum of the differences to a released point, each coordinate clipped."""
    return [np.clip(rows - public["theta"], -public["reach"], public["reach"]).sum(axis=0, dtype=np.int64)]


@dataclass(frozen=True)
class Location(Structure[PrivateLocation]):
    """A robust centre by noisy gradient descent: every step asks the sealed rows for one sum."""

    bounds: Ball
    steps: int = 3
    bits: int = 16
    expected_rows: int = 40
    max_rows: int = 1 << 32
    release_type: ClassVar[type[Any]] = PrivateLocation

    @property
    def reach(self) -> int:
        return 1 << (self.bits - 2)

    def no_rows(self) -> tuple[np.ndarray, ...]:
        return (np.empty((0, self.bounds.dim)),)

    def seal(self, X: np.ndarray, device: str = "auto") -> Rows:
        return Rows(len(X), to_lattice(X.astype(np.float64), bound=self.bounds.radius, bits=self.bits))

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> Sequence[Group]:
        d, change = self.bounds.dim, self.reach * (1 if neighbors == "add-remove" else 2)
        bound = Fraction(d * (change**2 if isinstance(cost, GDP) else change))
        return [Group([Line(f"step{t}", (d,))], bound, Fraction(1, self.steps)) for t in range(self.steps)]

    def follow(self, theta: np.ndarray, noised: np.ndarray) -> np.ndarray:
        """Return the next point; public, and clipped to the domain whatever the noise."""
        return np.clip(theta + noised // self.expected_rows, -(1 << self.bits), 1 << self.bits)

    def rounds(self, plan: Plan[PrivateLocation], state: Any) -> Rounds:
        theta = np.zeros(self.bounds.dim, np.int64)
        for t in range(self.steps):
            noised = yield state.sum(pull, {"theta": theta, "reach": np.array(self.reach)}, lines=(f"step{t}",))
            theta = self.follow(theta, noised[f"step{t}"])

    def worst_error(self, plan: Plan[PrivateLocation]) -> float:
        return float(np.sqrt(plan.variance("step0")[0])) / self.expected_rows * self.bounds.radius / 2.0**self.bits
