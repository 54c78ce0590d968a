"""Kernels as mixtures of narrower and wider ones whose values are products over the axes.

Every radial kernel here is ``int exp(-r**2 / (2 s**2)) nu(ds)`` for a probability law nu of sizes s (Schoenberg's
theorem says that those positive definite in every dimension all are), and ``1/(1 + |x|_1)`` is a mixture of
exponentials of the l1 norm. A trapezoidal rule in ``log s`` converges geometrically; steps are made smaller until the
mixture is the kernel to `TOLERANCE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpstruct.features.radial import KERNELS, Kernel

__all__ = ["TOLERANCE", "components"]

Floats = NDArray[np.float64]

TOLERANCE = 2e-5  # of the kernel, at any distance
_NARROW = 1e-3  # parts of the reach: a component this narrow would need more features than there are
_WIDE = {"gaussian": 100.0, "laplacian": 1000.0}  # reaches: wider ones are all the same, a constant


def _gamma(a: float, y: Floats) -> Floats:
    """Return the density of ``log y``, y of a Gamma law."""
    return np.asarray(np.exp(a * np.log(y) - y - math.lgamma(a)), dtype=np.float64)


def _inv_l2(s: Floats) -> Floats:
    from scipy.special import erfcx

    t = 1 / (math.sqrt(2) * s)
    series = 1 - 3 / (2 * t * t) * (1 - 5 / (2 * t * t))  # of 2 t**2 (1 - sqrt(pi) t erfcx(t)), which cancels
    inner = np.where(t > 1e3, series, 2 * t * t * (1 - math.sqrt(math.pi) * t * erfcx(np.minimum(t, 1e3))))
    return np.asarray(math.sqrt(2 / math.pi) * s * inner, dtype=np.float64)


#: Densities of ``log s`` as functions of s and the shape parameter. If y = c s**2 is Gamma, that of log s is twice
#: that of log y.
_LAWS: dict[str, tuple[str, Callable[[Floats, float], Floats]]] = {
    "exponential": ("gaussian", lambda s, _: 2 * _gamma(0.5, s * s / 2)),
    "matern": ("gaussian", lambda s, nu: 2 * _gamma(nu, nu * s * s)),
    "cauchy": ("gaussian", lambda s, _: 2 * _gamma(1.0, 1 / (2 * s * s))),
    "rational_quadratic": ("gaussian", lambda s, a: 2 * _gamma(a, a / (s * s))),
    "inv_l2": ("gaussian", lambda s, _: _inv_l2(s)),
    "inv_l1": ("laplacian", lambda s, _: _gamma(1.0, 1 / s)),
}


@lru_cache(maxsize=32)
@np.errstate(all="ignore")
def components(name: str, shape: float | None, reach: float) -> tuple[Kernel, tuple[float, ...], tuple[float, ...]]:
    """Return a kernel that is a product over the axes, sizes and weights, whose mixture is the named one.

    Parameters
    ----------
    name : str
        One of `KERNELS`.
    shape : float or None
        Its shape parameter.
    reach : float
        The largest distance that matters, in bandwidths.

    Returns
    -------
    Kernel
        "gaussian", "laplacian", or the kernel itself where it is a product.
    tuple of float
        Sizes, to be multiplied with the bandwidth.
    tuple of float
        Positive weights, with sum at most 1: it is less by what is too narrow to matter.
    """
    if name not in _LAWS:
        return KERNELS[name], (1.0,), (1.0,)
    base, density = _LAWS[name]
    step, far = 0.6, 30 * max(1.0, 0.25 / (shape or 1.0))  # logarithms of sizes up to here
    while True:
        sizes = np.exp(step * np.arange(-math.ceil(far / step), math.ceil(far / step) + 1))
        weights = step * np.nan_to_num(density(sizes, shape or 0.0))
        r = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 200)])
        parts = KERNELS[base].profile(r[:, None] / sizes, 0.0)
        miss = np.abs(parts @ weights - KERNELS[name].profile(r, shape or 0.0)).max()
        if miss <= TOLERANCE or step < 0.01:
            break
        step *= 0.8
    return (KERNELS[base], *_within(sizes, weights, _NARROW * reach, _WIDE[base] * reach))


def _within(sizes: Floats, weights: Floats, low: float, high: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the components between two sizes, the wider ones as one; none with hardly any weight, at least one."""
    weights = weights / max(float(weights.sum()) * (1 + 1e-12), 1.0)
    wide = sizes > high
    place = max(int((~wide).sum()) - 1, 0)
    weights = np.where(wide, 0.0, weights) + (np.arange(len(sizes)) == place) * weights[wide].sum()
    kept = np.flatnonzero(weights > 1e-7)
    kept = kept[sizes[kept] >= low] if (sizes[kept] >= low).any() else kept[-1:]
    return tuple(sizes[kept].tolist()), tuple(weights[kept].tolist())
