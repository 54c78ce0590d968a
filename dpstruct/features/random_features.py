"""Random Fourier features on exact phases, and the public weights that turn them into a quadrature.

Frequencies come from a kernel's spectral law (Rahimi and Recht, NIPS 2007), in orthogonal blocks where the law is
radial (Yu et al., arXiv 1610.09072). Records lie on a public grid and frequencies on a lattice, so that a projection is
an integer below 2**51, the phase twelve of its bits, and the point on the circle a table entry that is never longer
than `RADIUS`: each record has squared norm at most ``J RADIUS**2``, exactly.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.features.products import PublicMatrix, quantise
from dpstruct.features.radial import Kernel

__all__ = ["CELLS", "RADIUS", "circle", "fit_weights", "frequencies", "on_grid"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

RADIUS = 2**15 - 1
CELLS = 1 << 18  # of the grid along each side of the box
_FINEST = 2.0**-51  # unit of the frequencies, in turns: a projection has no more bits below the point
_FASTEST = 2.0**16  # turns across the box; heavy-tailed laws have faster frequencies, which carry nothing but noise
SAMPLES = 8000  # differences that weights are fitted on
_PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)


@cache
def circle() -> tuple[Integers, Integers]:
    """Return 4096 integer points near a circle of radius ``RADIUS - 1``, at the middle of each phase cell."""
    angle = (np.arange(4096) + 0.5) * (2 * math.pi / 4096)
    cos, sin = (np.rint((RADIUS - 1) * wave(angle)).astype(np.int64) for wave in (np.cos, np.sin))
    assert (cos * cos + sin * sin).max() <= RADIUS**2
    return cos, sin


def frequencies(
    kernel: Kernel, shape: float | None, bandwidth: float, sides: Floats, count: int, seed: int
) -> PublicMatrix:
    """Return `count` frequencies in turns per grid cell, (d, count): exact for grid points, with room for two bits."""
    waves = kernel.frequencies(Draws(seed, kernel.name), len(sides), count, shape or 0.0)
    with np.errstate(over="ignore"):
        turns = np.clip(waves * (sides / (2 * math.pi * bandwidth))[:, None], -_FASTEST, _FASTEST)
    public = quantise(turns / CELLS, entry_bound=2 * CELLS)
    if public.unit < _FINEST:
        public = PublicMatrix(np.rint(turns / CELLS / _FINEST), _FINEST, public.entry_bound)
    if public.unit > 2.0**-12:
        raise InvalidParameter("bounds", f"{len(sides)} dimensions", "few enough for exact phases")
    return public


def on_grid(rows: Floats, middle: Floats, sides: Floats) -> Floats:
    """Return the grid cells of clipped records, integers from ``-CELLS / 2`` to ``CELLS / 2``, as float64."""
    with np.errstate(all="ignore"):
        cells: Floats = np.clip(np.floor((rows - middle) / sides * CELLS), -CELLS // 2, CELLS // 2)
    return cells


def _differences(draws: Draws, sides: Floats, bandwidth: float, count: int) -> Floats:
    """Draw differences of records that matter: half at the scale of the kernel, half across the box."""
    dim, half = len(sides), count // 2
    widths = bandwidth * np.resize([0.7, 1.0, 1.5, 2.2], half)
    near = draws.normal((half, dim)) * widths[:, None]
    far = (draws.uniform((count - half, dim)) - draws.uniform((count - half, dim))) * sides
    return np.concatenate([near, far * draws.uniform((count - half, 1))])


def fit_weights(
    turns: Floats, kernel: Kernel, shape: float | None, bandwidth: float, sides: Floats, seed: int
) -> tuple[Floats, Floats]:
    """Return candidate weights of the frequencies and how well each fits the kernel.

    Ridge regression of the kernel on the cosines over a public law of differences, shrunk towards equal weights, one
    candidate per penalty; the first candidate is equal weights, and the only one for more than `SAMPLES` frequencies.

    Parameters
    ----------
    turns : (d, J) float64
        Frequencies in turns per unit.
    kernel, shape, bandwidth, sides, seed
        As for `frequencies`.

    Returns
    -------
    ndarray, shape (candidates, J)
    ndarray, shape (candidates,)
        Root mean square error of ``sum_j a_j cos<w_j, z>`` on fresh differences.
    """
    draws = Draws(seed, "quadrature")
    fitted, fresh = (_differences(draws, sides, bandwidth, n) for n in (SAMPLES, 2000))
    truth, count = kernel.values(fresh, bandwidth, shape), turns.shape[1]
    equal = np.full((1, count), 1 / count)
    if count > SAMPLES:
        parts = [_cosines(fresh, turns[:, j : j + SAMPLES]).sum(axis=1) for j in range(0, count, SAMPLES)]
        return equal, np.array([np.sqrt(((np.sum(parts, axis=0) / count - truth) ** 2).mean())])
    from scipy.linalg import cho_factor, cho_solve

    waves = _cosines(fitted, turns)
    residual = kernel.values(fitted, bandwidth, shape) - waves.mean(axis=1)
    gram, right = waves.T @ waves / len(waves), waves.T @ residual / len(waves)
    candidates = [equal[0]]
    for penalty in _PENALTIES:
        penalised = gram + penalty * np.eye(count)
        candidates.append(1 / count + cho_solve(cho_factor(penalised, lower=True), right))
    weights = np.array(candidates)
    misses = _cosines(fresh, turns) @ weights.T - truth[:, None]
    return weights, np.sqrt((misses**2).mean(axis=0))


def _cosines(z: Floats, turns: Floats) -> Floats:
    return np.asarray(np.cos(2 * math.pi * (z @ turns)), dtype=np.float64)
