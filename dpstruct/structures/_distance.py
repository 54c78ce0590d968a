"""What a metric of `KDETree` brings along: its integers, its noise lines and its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Release
from dpstruct.core.plan import Scales
from dpstruct.domain import Ball, Box
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import GDP, PureDP, Relation

__all__ = ["Floats", "Form", "Sums64", "center_and_radius", "inward", "kernels"]

Floats = NDArray[np.float64]
Sums64 = dict[str, NDArray[np.int64]]


class Form:
    """One metric over one domain, from public values. Every answer is linear in the noised sums."""

    #: Whether answers beyond the bounds can be had from the same release.
    extends = False

    @property
    def bias(self) -> float:
        """Largest bias of an answer per record."""
        raise NotImplementedError

    def sums(self, X: NDArray[Any], device: str) -> Sums64:
        """Return the exact sums of some rows."""
        raise NotImplementedError

    def groups(self, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
        """Return the noise lines with their joint sensitivity."""
        raise NotImplementedError

    def worst(self, noise: Scales) -> float:
        """Return the largest standard error of one answer inside the bounds."""
        raise NotImplementedError

    def count(self, release: Release) -> tuple[float, float]:
        """Return the noisy number of records and its standard error; by default those of the line "count"."""
        return float(release.transcript["count"]), float(np.sqrt(release.receipt.variance("count")[0]))

    def table(self, release: Any) -> Any:
        """Return what queries look up; computed once per release."""
        raise NotImplementedError

    def answers(self, release: Any, rows: NDArray[Any], *, extend: bool, device: str) -> Floats:
        """Return the answer to each query."""
        raise NotImplementedError

    def spread(self, release: Any, rows: NDArray[Any], *, extend: bool) -> Floats:
        """Return the variance of each answer."""
        raise NotImplementedError


def center_and_radius(bounds: Box | Ball) -> tuple[Floats, float]:
    """Return the centre of the domain and the radius of the ball around it that holds it."""
    if isinstance(bounds, Ball):
        return np.array(bounds.center or (0.0,) * (bounds.dim or 1)), bounds.radius
    half = 0.5 * (np.array(bounds.high) - np.array(bounds.low))
    size = float(half.max())
    return np.array(bounds.low) + half, float(np.nextafter(size * np.sqrt(((half / size) ** 2).sum()), np.inf))


def inward(rows: NDArray[Any], bounds: Box | Ball) -> Floats:
    """Return rows minus the centre of the domain, clipped to it; values that are no numbers become the centre's.

    Every row by itself, column by column: the same bits whatever surrounds it.
    """
    middle, radius = center_and_radius(bounds)
    with np.errstate(all="ignore"):
        exact = np.array(rows.T, dtype=np.float64, order="C")
        exact[~np.isfinite(exact)] = np.nan
        if isinstance(bounds, Box):
            for column, low, high in zip(exact, bounds.low, bounds.high, strict=True):
                np.clip(column, low, high, out=column)
        exact -= middle[:, None]
        exact[~np.isfinite(exact)] = 0.0
        if isinstance(bounds, Ball):
            size = np.maximum(np.abs(exact).max(axis=0, initial=0.0), radius)
            exact /= size  # in [-1, 1]: no square can overflow
            length = np.zeros(exact.shape[1])
            for column in exact:
                length += column * column
            exact *= radius / np.maximum(np.sqrt(length), radius / size)
    return exact.T


def kernels(device: str) -> Any:
    """Return the module whose `leaf_counts` and `look_up` run on `device`."""
    from dpstruct.kernels import dispatch

    if device not in ("auto", "cpu", "cuda"):
        raise InvalidParameter("device", repr(device), '"auto", "cpu" or "cuda"')
    return dispatch.load("kde_tree", device)
