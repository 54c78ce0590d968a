"""The kernels by name: profiles, norms, normalising constants and the laws of their frequencies, all at bandwidth 1.

Every kernel is positive definite in every dimension, lies in [0, 1] and is 1 at distance 0.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws, orthogonal_blocks

__all__ = ["ALIASES", "KERNELS", "Kernel", "kernel_named"]

Floats = NDArray[np.float64]
Norm = Literal["l2", "l1", "axes"]


@dataclass(frozen=True)
class Kernel:
    """A translation-invariant kernel.

    Attributes
    ----------
    name : str
    norm : {"l2", "l1", "axes"}
        ``profile(|x - y|)`` in that norm, or the product of ``profile(|x_j - y_j|)`` over the coordinates.
    profile : callable
        The kernel as a function of the distance, elementwise; takes distances and the shape parameter.
    frequencies : callable
        Takes draws, dimension, count and shape parameter; returns frequencies (dim, count) of its spectral law.
    mass : callable, optional
        Integral of the kernel over R^d as a function of d, where it is known; densities divide by it.
    shape : float, optional
        Default of its shape parameter: nu of matern, alpha of rational_quadratic.
    """

    name: str
    norm: Norm
    profile: Callable[[Floats, float], Floats]
    frequencies: Callable[[Draws, int, int, float], Floats]
    mass: Callable[[int], float] | None = None
    shape: float | None = None

    def values(self, differences: Floats, bandwidth: float, shape: float | None = None) -> Floats:
        """Return the kernel at differences of shape ``(..., d)``."""
        shape = self.shape if shape is None else shape
        scaled = np.abs(differences) / bandwidth
        if self.norm == "axes":
            product: Floats = np.prod(self.profile(scaled, shape or 0.0), axis=-1)
            return product
        distance = scaled.sum(axis=-1) if self.norm == "l1" else np.sqrt((scaled * scaled).sum(axis=-1))
        return self.profile(distance, shape or 0.0)


def _matern(r: Floats, nu: float) -> Floats:
    """Return the Matern profile; closed forms for the half-integers 1/2, 3/2 and 5/2."""
    r = np.minimum(r, 1e4)  # no infinity times 0; the profile is 0 long before
    if nu == 0.5:
        return np.exp(-r)
    if nu == 1.5:
        return (1 + math.sqrt(3) * r) * np.exp(-math.sqrt(3) * r)
    if nu == 2.5:
        return (1 + math.sqrt(5) * r + 5 / 3 * r * r) * np.exp(-math.sqrt(5) * r)
    from scipy.special import gammaln, kve

    t = np.clip(math.sqrt(2 * nu) * r, 1e-300, 700.0)
    with np.errstate(all="ignore"):
        logs = (1 - nu) * math.log(2) - gammaln(nu) + nu * np.log(t) + np.log(kve(nu, t)) - t
        s = t * t / 4
        series = 1 - s / max(nu - 1, 0.1) * (1 - s / (2 * max(nu - 2, 0.1)))  # where the Bessel function overflows
        values: Floats = np.where(np.isfinite(logs), np.minimum(np.exp(logs), 1.0), series)
    return values


def _spread(draws: Draws, dim: int, count: int) -> Floats:
    """Return standard normal vectors whose directions are orthogonal in blocks, where that is affordable."""
    if dim > 256:
        return draws.normal((dim, count))
    lengths = np.zeros(count)
    for row in draws.normal((dim, count)):
        lengths += row * row
    return orthogonal_blocks(draws, dim, count) * np.sqrt(lengths)


def _over(numbers: Floats) -> Floats:
    """Return 1 / |g|, kept finite."""
    return 1 / np.maximum(np.abs(numbers), 1e-9)


def _cauchy_axes(draws: Draws, dim: int, count: int) -> Floats:
    return draws.normal((dim, count)) / np.maximum(np.abs(draws.normal((dim, count))), 1e-9)


def _laplace_axes(draws: Draws, dim: int, count: int) -> Floats:
    return draws.exponential((dim, count)) - draws.exponential((dim, count))


_SPECTRA: dict[str, Callable[[Draws, int, int, float], Floats]] = {
    "gaussian": lambda s, d, m, _: _spread(s, d, m),
    "laplacian": lambda s, d, m, _: _cauchy_axes(s, d, m),
    "exponential": lambda s, d, m, _: _spread(s, d, m) * _over(s.normal((m,))),
    "cauchy": lambda s, d, m, _: _spread(s, d, m) * np.sqrt(2 * s.exponential((m,))),
    "product_cauchy": lambda s, d, m, _: _laplace_axes(s, d, m),
    "rational_quadratic": lambda s, d, m, a: _spread(s, d, m) * np.sqrt(s.gamma(a, m) / a),
    "matern": lambda s, d, m, nu: _spread(s, d, m) * np.sqrt(nu / np.maximum(s.gamma(nu, m), 1e-12)),
    "inv_l2": lambda s, d, m, _: _spread(s, d, m) * (s.exponential((m,)) * _over(s.normal((m,)))),
    "inv_l1": lambda s, d, m, _: _cauchy_axes(s, d, m) * s.exponential((m,)),
}


def _exponential_mass(d: int) -> float:
    return float(2 * math.pi ** (d / 2) * math.gamma(d) / math.gamma(d / 2))


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel(
            "gaussian",
            "l2",
            lambda r, _: np.exp(-0.5 * r * r),
            _SPECTRA["gaussian"],
            lambda d: (2 * math.pi) ** (d / 2),
        ),
        Kernel("laplacian", "l1", lambda r, _: np.exp(-r), _SPECTRA["laplacian"], lambda d: 2.0**d),
        Kernel("exponential", "l2", lambda r, _: np.exp(-r), _SPECTRA["exponential"], _exponential_mass),
        Kernel("cauchy", "l2", lambda r, _: 1 / (1 + r * r), _SPECTRA["cauchy"]),
        Kernel(
            "product_cauchy", "axes", lambda r, _: 1 / (1 + r * r), _SPECTRA["product_cauchy"], lambda d: math.pi**d
        ),
        Kernel(
            "rational_quadratic",
            "l2",
            lambda r, a: (1 + r * r / (2 * a)) ** -a,
            _SPECTRA["rational_quadratic"],
            shape=1.0,
        ),
        Kernel("matern", "l2", _matern, _SPECTRA["matern"], shape=1.5),
        Kernel("inv_l2", "l2", lambda r, _: 1 / (1 + r), _SPECTRA["inv_l2"]),
        Kernel("inv_l1", "l1", lambda r, _: 1 / (1 + r), _SPECTRA["inv_l1"]),
    )
}
ALIASES = {"inv_l2sq": "cauchy", "rbf": "gaussian"}


def kernel_named(name: str) -> Kernel:
    """Return a kernel by name or alias.

    Raises
    ------
    InvalidParameter
        Naming the known kernels, and the one with the nearest name.
    """
    known = {**KERNELS, **{alias: KERNELS[name] for alias, name in ALIASES.items()}}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else ""
    if name in ("tophat", "epanechnikov", "linear", "cosine"):
        remedy = "this kernel is not positive definite, so its sums have no bounded features; take 'gaussian'"
    raise InvalidParameter("kernel", repr(name), f"one of {', '.join(sorted(known))}, or a callable", remedy)
