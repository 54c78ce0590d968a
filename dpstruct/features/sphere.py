"""Rows to integer points on the unit sphere, each row by itself."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import Ball, Box

__all__ = ["STEPS", "Sphere", "sphere_dim", "to_sphere"]

Sphere = Literal["project", "lift"]

#: Lattice steps of length 1.
STEPS = 1 << 15


def sphere_dim(dim: int, sphere: Sphere) -> int:
    """Return the number of coordinates of points on the sphere: one more for a lift, and at least three."""
    return max(3, dim + (sphere == "lift"))


def to_sphere(X: NDArray[np.generic], bounds: Box | Ball, sphere: Sphere) -> NDArray[np.int16]:
    """Return lattice points of length at most 1, in steps of ``1 / STEPS``.

    Parameters
    ----------
    X : ndarray of a real dtype, shape (n, d)
        Clipped to the bounds; a value that is not finite becomes the one nearest to 0 (project) or the middle (lift).
    bounds : Box or Ball
        Public domain, with its dimension.
    sphere : {"project", "lift"}
        ``"project"`` divides a row, taken from the centre of a ball, by its length, and zero stays zero. ``"lift"``
        scales the domain into the unit ball (a box coordinate by coordinate) and appends ``sqrt(1 - |x|**2)``.

    Returns
    -------
    ndarray of int16, shape (n, `sphere_dim`)
        Row i has the same bits whatever rows surround it: sums run column by column.
    """
    points = np.zeros((len(X), sphere_dim(X.shape[1], sphere)), np.int16)
    for start in range(0, len(X), 1 << 12):
        block = slice(start, start + (1 << 12))
        with np.errstate(all="ignore"):  # values too large for a double become infinite, and those too small zero
            columns = _placed(np.array(X[block].T, dtype=np.float64, order="C"), bounds, sphere)
            length = _length(columns)
            if sphere == "lift":
                columns /= np.maximum(length, 1.0)
                shorter = np.minimum(length, 1.0)
                columns = np.concatenate([columns, np.sqrt(1.0 - shorter * shorter)[None, :]])
            else:
                columns /= np.where(length > 0, length, 1.0)
            points[block, : len(columns)] = np.trunc(columns * (STEPS * (1 - 2.0**-30))).T
    return points


def _placed(columns: NDArray[np.float64], bounds: Box | Ball, sphere: Sphere) -> NDArray[np.float64]:
    """Return coordinates of moderate size around the origin of the sphere; columns are records."""
    finite = np.isfinite(columns)
    if isinstance(bounds, Ball):
        if bounds.center is not None:
            columns -= np.array(bounds.center)[:, None]
        columns[~finite] = 0.0
        columns = np.clip(columns / bounds.radius, -1e100, 1e100)
    else:
        low, high = np.array(bounds.low)[:, None], np.array(bounds.high)[:, None]
        if sphere == "lift":
            half = 0.5 * (high - low)
            columns = (np.clip(columns, low, high) - (low + half)) / (half * math.sqrt(len(columns)))
            columns[~finite] = 0.0
            return columns
        columns = np.clip(np.where(finite, columns, 0.0), low, high)
    if sphere == "project":
        largest = np.abs(columns).max(axis=0, initial=0.0)
        columns /= np.where(largest > 0, largest, 1.0)
    return columns


def _length(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(columns.shape[1])
    for column in columns:
        total += column * column
    return np.sqrt(total)
