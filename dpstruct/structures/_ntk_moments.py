"""The one-shot solver: noised second moments of the features and their products with the targets, then a ridge fit.

A record is an integer vector p of length at most S and a target r of length at most S; released are the sums of
``p p^T`` (as in `dpstruct.structures._second_moment`) and of ``p r^T``. With weight k on the second line, the joint
Gaussian sensitivity in units of S**4 is

* add-remove: ``1 + 1/k``;
* substitute: ``2 + 2/k + 1/(2 k**2)`` if ``k >= 1/2``, else ``4/k``. For unit rows with ``p.p' = -a`` and one target,
  the change costs ``2 (1 - a**2) + 2 (1 + a)/k``, largest at ``a = min(1, 1/(2k))``; other targets cost less, and so do
  shorter rows, as for fixed inner products every other term grows with the lengths.

Laplace: ``|p|_1 <= sqrt(m) S``, so ``(m + 1) S**2 / 2 + sqrt(m) S |r|_1 / k``, doubled under substitute. Attacked by
``tests/structures/test_ntk_regression_privacy.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Group, Line
from dpstruct.core.plan import Scales
from dpstruct.features import cross
from dpstruct.features.sphere import STEPS
from dpstruct.privacy import GDP, PureDP, Relation
from dpstruct.structures import _second_moment as gram

__all__ = ["Fit", "expected_error", "fit", "groups", "sums"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SHARE = Fraction(3, 4)  # of the second moments
RIDGE = 0.5  # in units of the largest singular value that the noise alone would have


def groups(m: int, targets: Integers | None, outputs: int, cost: GDP | PureDP, neighbors: Relation) -> list[Group]:
    """Return one group: the second moments and, under the same joint bound, the products with the targets."""
    whole = gram.sensitivity(m, cost, neighbors, bound=STEPS**2)
    odds = SHARE / (1 - SHARE)
    if isinstance(cost, GDP):
        weight, unit = odds, STEPS**4
        if neighbors == "add-remove":
            bound = unit * (1 + 1 / weight)
        elif 2 * weight >= 1:
            bound = unit * (2 + 2 / weight + 1 / (2 * weight**2))
        else:
            bound = unit * 4 / weight
    else:
        longest = STEPS if targets is None else int(np.abs(targets).sum(axis=1).max())
        products = math.isqrt(m * STEPS**2) * longest * (1 if neighbors == "add-remove" else 2)
        weight = odds * products / whole
        bound = whole + products / weight
    return [Group([*gram.lines("gram", m, cost), Line("moments", (m, outputs), weight)], Fraction(bound))]


def sums(features: Floats, targets: NDArray[np.generic]) -> dict[str, Integers]:
    """Return the exact sums of a block of lattice rows."""
    products = cross(features, targets, bound=STEPS**2)
    return {**gram.pack("gram", gram.total(features, bound=STEPS**2)), "moments": products}


class Fit(NamedTuple):
    """Coefficients for features of length 1, and what their noise is computed from."""

    theta: Floats
    inverse: Floats


def _noise(scales: Scales) -> tuple[float, float, float]:
    """Return the noise variances of diagonal, triangle and products, for rows and targets of length 1."""
    upper = "gram_upper" if "gram_upper" in scales.lines else "gram_diagonal"
    found = [float(scales.variance(name)[0]) / STEPS**4 for name in ("gram_diagonal", upper, "moments")]
    return found[0], found[1], found[2]


def _ridge(m: int, variance: float) -> float:
    """Return the ridge: a symmetric noise matrix of this variance has norm about ``2 sqrt(m variance)``."""
    return RIDGE * 2 * math.sqrt(m * variance)


def fit(transcript: Mapping[str, Integers], scales: Scales) -> Fit:
    """Return the ridge fit; eigenvalues below zero are noise and are raised to it."""
    matrix = gram.unpack("gram", transcript) / STEPS**2
    values, vectors = np.linalg.eigh(matrix)
    inverse = (vectors / (np.maximum(values, 0.0) + _ridge(len(matrix), _noise(scales)[1]))) @ vectors.T
    return Fit(inverse @ (transcript["moments"] / STEPS**2), inverse)


def error(features: Floats, model: Fit, scales: Scales) -> Floats:
    """Return the standard deviation of each prediction by the noise alone, shape (q, outputs), to first order.

    With ``a = inverse @ phi`` and a noise matrix N: ``a . (noise of the products) - a^T N theta``.
    """
    diagonal, upper, products = _noise(scales)
    a, theta = features @ model.inverse, model.theta
    squares, sizes = (a * a).sum(axis=1)[:, None], (theta * theta).sum(axis=0)
    spread = products * squares + upper * (squares * sizes + (a @ theta) ** 2)
    spread += (diagonal - 2 * upper) * ((a * a) @ (theta * theta))
    deviation: Floats = np.sqrt(np.maximum(spread, 0.0))
    return deviation


def expected_error(m: int, rows: int, scales: Scales) -> float:
    """Return the standard deviation of a prediction if `rows` records spread evenly over `m` features."""
    _, upper, products = _noise(scales)
    return math.sqrt(products + upper * (m + 1)) / (rows / m + _ridge(m, upper))
