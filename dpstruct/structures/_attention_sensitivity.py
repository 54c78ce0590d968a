"""Joint sensitivities of the moments of private attention, as exact rationals, in lattice units of ``2**(a + b)``.

A record contributes ``phi_p(x) w^T`` to N_p and ``phi_p(x)`` to D_p with |x|, |w| <= 1, so that
``<phi_p(x), phi_p(x')> = <x, x'>**p``. N_p has precision beta_p, D_p gamma_p: the lines' weights are their inverses,
and the joint bound is ``Delta**2 >= sum_p beta_p |dN_p|**2 + gamma_p |dD_p|**2``.

Truncated features have norm at most 1 too, but share no common t; where a proof needs the common t, the bound is
widened by what truncation can move, and never exceeds the one that holds for any features in the unit ball.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

__all__ = ["Precisions", "added", "any_substitution", "l1_norms", "moved", "substituted"]

_MARGIN = 1 + 1e-9  # covers the rounding of the floats below, with room


@dataclass(frozen=True)
class Precisions:
    """Precisions per degree, dyadic rationals: of the value sums (`beta`) and of the weight sums (`gamma`)."""

    beta: tuple[Fraction, ...]
    gamma: tuple[Fraction, ...]

    @classmethod
    def of(cls, shares: tuple[float, ...], ratio: float) -> Precisions:
        """Return ``beta = shares`` and ``gamma = ratio * shares`` in multiples of ``2**-40``."""
        beta = tuple(Fraction(max(1, round(s * 2**40)), 2**40) for s in shares)
        return cls(beta, tuple(Fraction(max(1, round(s * ratio * 2**40)), 2**40) for s in shares))


def added(precisions: Precisions) -> Fraction:
    """Return Delta**2 for one more record: every feature and value has norm at most 1, also as integers."""
    return sum(precisions.beta, Fraction(0)) + sum(precisions.gamma, Fraction(0))


def any_substitution(precisions: Precisions) -> Fraction:
    """Return Delta**2 for one replaced record whatever its features in the unit ball; D_0 is not released.

    With t_p the similarity of the two features and z that of the values the change is at most
    ``2 beta_0 (1 - z) + 2 sum_{p >= 1} beta_p (1 - z t_p) + gamma_p (1 - t_p)``, linear in each: its maximum is at
    z = 1, t_p = -1 or at z = -1.
    """
    beta, gamma = precisions.beta, precisions.gamma
    opposite = beta[0] + sum((max(b, g) for b, g in zip(beta[1:], gamma[1:])), Fraction(0))
    return 4 * max(opposite, added(Precisions(beta[1:], gamma[1:])))


def common(precisions: Precisions) -> float:
    """Return Delta**2 for one replaced record and exact features: maximise over the common t, z = +-1.

    Proof: the change is convex in the values and grows with |x| for given t, so all are unit vectors; it is
    linear in z.
    """
    beta = np.array([float(b) for b in precisions.beta])
    gamma = np.array([0.0, *(float(g) for g in precisions.gamma[1:])])
    best = 0.0
    for z in (1.0, -1.0):
        slope = z * beta + gamma  # f(t) = 2 sum(beta + gamma) - 2 sum slope_p t**p
        roots = np.roots((slope * np.arange(len(slope)))[:0:-1]) if len(slope) > 2 else np.empty(0)
        points = [-1.0, 1.0, *(r.real for r in roots if abs(r.real) <= 1)]  # too many points do no harm
        f = [2 * (beta.sum() + gamma.sum()) - 2 * sum(c * t**p for p, c in enumerate(slope)) for t in points]
        best = max(best, *f)
    return float(best) * _MARGIN


def _steps(sizes: list[int], bits: int) -> list[float]:
    """Return by degree how far truncation can move the features."""
    return [0.0, *(math.sqrt(m) * 2.0**-bits * _MARGIN for m in sizes[1:])]


def substituted(precisions: Precisions, sizes: list[int], bits: int) -> Fraction:
    """Return Delta**2 for one replaced record and truncated polynomial features; D_0 is not released."""
    steps = _steps(sizes, bits)
    both = [float(b + g) for b, g in zip(precisions.beta, precisions.gamma)]
    widened = math.sqrt(common(precisions)) + 2 * math.sqrt(sum(v * e * e for v, e in zip(both, steps)))
    return min(Fraction(widened * widened * _MARGIN), any_substitution(precisions))


def moved(
    precisions: Precisions,
    sizes: list[int],
    bits: int,
    *,
    radius: tuple[float, float],
    slack: tuple[float, float],
    heads: int,
) -> Fraction:
    """Return Delta**2, all heads together, when one joined row moves by at most a radius; D_0 is not released.

    ``|phi_p(x) - phi_p(x')| <= p |x - x'|``, and over heads ``sum (p r_k + r_v)**2 <= (p**2 / R**2 + 1 / B**2) r**2``.

    Parameters
    ----------
    radius : (float, float)
        The radius over the key norm R, and over the value norm B.
    slack : (float, float)
        How far rounding to the lattices may move a key and a value, in the same units; counted once per head and end.
    """
    (key, value), (key_step, value_step) = radius, slack
    total = 0.0
    for p, (beta, gamma, step) in enumerate(zip(precisions.beta, precisions.gamma, _steps(sizes, bits), strict=True)):
        rounding = 2 * math.sqrt(heads) * (step + p * key_step)
        total += float(beta) * (math.hypot(p * key, value) + rounding + 2 * math.sqrt(heads) * value_step) ** 2
        total += float(gamma) * (p * key + rounding) ** 2 if p else 0.0
    return Fraction(total * _MARGIN)


def l1_norms(dim: int, sizes: list[int], exact: bool) -> list[int]:
    """Return upper bounds of ``2**30 max |phi_p(x)|_1`` over the unit ball; at most sqrt(m) for any unit vector."""
    bounds = [math.isqrt((m << 60) - 1) + 1 for m in sizes]
    if exact and len(sizes) > 2:  # sum x_i**2 + sqrt(2) sum_{i<j} |x_i x_j| <= 1 + (d - 1) / sqrt(2)
        bounds[2] = min(bounds[2], (1 << 30) + math.isqrt((dim - 1) ** 2 << 59) + 1)
    return bounds
