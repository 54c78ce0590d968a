"""What noisy moments tell about keys and values at no cost: an effective dimension, and how smooth the values are.

``|D_2|**2 / n**2`` is the mean of t**2 over pairs of keys, 1/d for d coordinates of equal weight, and
``<N_p, N_p> / n**2`` the mean of ``<w, w'> t**p``. Their expansion in Gegenbauer polynomials is the variance of the
values' field per harmonic degree. Noise adds its known expectation, which is taken off.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dpstruct.structures._attention_coefficients import VALUE_VARIANCE

__all__ = ["dimension", "variances"]

Floats = NDArray[np.float64]
_SMALLEST, _LARGEST = 3.0, 512.0


def dimension(D2: Floats, count: float, noise: float) -> float | None:
    """Return the effective dimension of the keys on a grid of quarter octaves, or None where noise hides it.

    Parameters
    ----------
    D2 : ndarray, shape (m,)
        Noisy sum of the features of degree 2.
    count : float
        Noisy count.
    noise : float
        Variance of one entry.
    """
    found, spread = float(D2 @ D2) - len(D2) * noise, math.sqrt(2 * len(D2)) * noise
    if not found > 3 * spread:
        return None
    size = min(max(count * count / found, _SMALLEST), _LARGEST)
    return float(2.0 ** (round(4 * math.log2(size)) / 4))


def variances(N: list[Floats], D: list[Floats], count: float, noise: Floats, size: float) -> tuple[float, ...]:
    """Return the variance of the values' field in each harmonic degree from 1, pulled towards the prior's by its noise.

    Parameters
    ----------
    N, D : lists of ndarray, shapes (m_p, dv) and (m_p,)
        Noisy sums per degree, values in the unit ball.
    count : float
        Noisy count.
    noise : ndarray, shape (degree + 1,)
        Variances of the entries of N.
    size : float
        Effective dimension.
    """
    energy, doubt = [0.0], [0.0]
    for p in range(1, len(N)):
        centred = N[p] - np.outer(D[p], N[0][0]) / count
        total, entries = float((centred**2).sum()), centred.size
        energy.append((total - entries * noise[p]) / count**2)
        doubt.append((2 * entries * noise[p] + 4 * max(energy[p], 0.0) * count**2) * noise[p] / count**4)
    found = []
    for degree in range(1, len(N)):
        harmonic, times = _gegenbauer(degree, size), _harmonics(degree, size)
        value = times * float(harmonic @ energy[: degree + 1])
        variance = times**2 * float(harmonic**2 @ doubt[: degree + 1])
        trust = VALUE_VARIANCE**2 / (VALUE_VARIANCE**2 + variance)
        found.append(min(max(trust * value + (1 - trust) * VALUE_VARIANCE, 0.01), 100.0))
    return tuple(found)


def _gegenbauer(degree: int, d: float) -> Floats:
    """Return the powers' coefficients of the polynomial of a degree, of value 1 at 1."""
    below, now = np.array([1.0]), np.array([0.0, 1.0])
    for k in range(1, degree):
        up = np.concatenate([[0.0], now]) * (2 * k + d - 2)
        up[: len(below)] -= k * below
        below, now = now, up / (k + d - 2)
    return now


def _harmonics(degree: int, d: float) -> float:
    """Return the number of spherical harmonics of a degree, for real d."""
    if degree == 1:
        return d
    rising = math.lgamma(degree + d - 2) - math.lgamma(degree + 1) - math.lgamma(d - 1)
    return (2 * degree + d - 2) * math.exp(rising)
