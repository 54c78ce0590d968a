"""Mironov's attack on floating-point Laplace noise: which of two true values can have given these very doubles.

Doubles are not reals: a sampler reaches only some of them, the sum with the true value rounds, and what is reachable
depends on the true value (Mironov, CCS 2012, doi:10.1145/2382196.2382264; Jin et al., arXiv 2112.05307). Noise on a
public lattice has one support whatever the value, and the attack learns nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, SupportsFloat

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.domain import real
from dpstruct.errors import InvalidParameter

__all__ = ["LowBits", "low_bits", "reachable"]

Support = Literal["numpy", "textbook", "lattice"]
_UNIT = 2.0**-53
_EIGHTHS = {  # u / 2^-53 modulo 8, of the uniform number whose logarithm is the noise, where that is >= 0 and <= 0
    "textbook": (frozenset(range(8)), frozenset(range(8))),
    "numpy": (frozenset((0, 1, 4, 7)), frozenset((0, 2, 4, 6))),  # 2 - U - U, its first difference rounded, and U + U
}
_MOST = 64  # uniform numbers to try per output; with more, nearly every double is reachable


@dataclass(frozen=True)
class LowBits:
    """What the last bits of some outputs say about the true value.

    Attributes
    ----------
    certain : ndarray of int8, shape (n,)
        1 or 2 where only that value can have given the output; 0 where both can; -1 where neither can, that is, the
        outputs are not of the supposed sampler.
    """

    certain: NDArray[np.int8]

    @property
    def share(self) -> float:
        """Share of the outputs that identify one value with certainty."""
        return float(np.mean(self.certain > 0)) if len(self.certain) else 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Number of outputs that only the first, only the second, both and neither can have given."""
        names = {"first": 1, "second": 2, "both": 0, "neither": -1}
        return {name: int((self.certain == code).sum()) for name, code in names.items()}

    def __str__(self) -> str:
        found = self.counts
        return (
            f"of {len(self.certain)} outputs, {found['first']} can only come from the first value, "
            f"{found['second']} only from the second, {found['both']} from both, {found['neither']} from neither"
        )


def low_bits(
    outputs: ArrayLike,
    value: SupportsFloat,
    value2: SupportsFloat,
    *,
    scale: SupportsFloat,
    support: Support = "numpy",
    step: SupportsFloat = 1.0,
) -> LowBits:
    """Tell for each noised output which of two true values it can have come from.

    Parameters
    ----------
    outputs : array_like of float, shape (n,)
        Published values, to the last bit.
    value, value2 : float
        The two true values.
    scale : float
        Of the Laplace noise.
    support : {"numpy", "textbook", "lattice"}
        Which sampler: ``value + Generator.laplace(0, scale)``; ``value +- scale * log(u)`` with u on the grid 2^-53; or
        the value plus any multiple of `step`.
    step : float
        Of the lattice.

    Returns
    -------
    LowBits

    Raises
    ------
    InvalidParameter
        If a number is not finite, the scale or the step not positive, or the support unknown.

    Examples
    --------
    >>> import numpy as np
    >>> noised = 1.0 + np.random.default_rng(0).laplace(0.0, 1.0, 1000)
    >>> found = low_bits(noised, 0.0, 1.0, scale=1.0)
    >>> found.counts["first"], found.share > 0.5
    (0, True)
    """
    y = np.atleast_1d(np.asarray(outputs, dtype=np.float64))
    if y.ndim != 1:
        raise InvalidParameter("outputs", f"an array of shape {y.shape}", "one number per output")
    parts = [reachable(y, v, scale=scale, support=support, step=step) for v in (value, value2)]
    certain = np.where(parts[0], np.where(parts[1], 0, 1), np.where(parts[1], 2, -1))
    return LowBits(certain.astype(np.int8))


def reachable(
    outputs: NDArray[np.float64],
    value: SupportsFloat,
    *,
    scale: SupportsFloat,
    support: Support = "numpy",
    step: SupportsFloat = 1.0,
) -> NDArray[np.bool_]:
    """Return which outputs a sampler can give for one true value. Arguments as in `low_bits`, shape (n,)."""
    true, t, unit = real("value", value), real("scale", scale), real("step", step)
    if not (t > 0 and unit > 0):
        raise InvalidParameter("scale, step", "a number that is not positive", "positive numbers")
    if support == "lattice":
        return np.asarray(np.mod(outputs - true, unit) == 0)
    if support not in _EIGHTHS:
        raise InvalidParameter("support", repr(support), '"numpy", "textbook" or "lattice"')
    return _from_logarithms(outputs, true, t, support)


def _from_logarithms(y: NDArray[np.float64], value: float, scale: float, support: str) -> NDArray[np.bool_]:
    """Try every u whose ``value +- scale * log(u)`` could round to y, with the operations of the sampler.

    The rounding of the sum hides half a unit in the last place of y, that of the noise as much of its own.
    """
    noise = y - value
    centre = np.exp(-np.abs(noise) / scale) / _UNIT
    slack = np.spacing(np.abs(y)) + np.spacing(np.abs(noise)) + np.spacing(abs(value))
    width = np.ceil(centre * slack / scale) + 2
    found = ~np.isfinite(y) | (width > _MOST)
    for i in np.flatnonzero(~found):
        tried = range(max(1, int(centre[i] - width[i])), min(int(centre[i] + width[i]), 2**53) + 1)
        for sign, eighths in zip((-1.0, 1.0), _EIGHTHS[support]):
            if sign * noise[i] <= 0:
                drawn = (scale * math.log(k * _UNIT) for k in tried if k % 8 in eighths)
                found[i] |= any(value + sign * z == y[i] for z in drawn)
    return np.asarray(found)
