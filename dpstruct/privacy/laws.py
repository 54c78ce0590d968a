"""The two noise laws: probabilities, tails and variances, accurate far into the tails and at every scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from dpstruct.errors import InvalidParameter

__all__ = ["pmf", "tail", "variance"]

_WIDE = 8.0  # from this sigma on, one integer is so narrow a slice of the normal law that quadrature beats a difference


def pmf(kind: str, scale: ArrayLike, k: ArrayLike) -> Any:
    """Return P(X = k) for integer noise X, to about 12 digits down to 1e-280.

    Parameters
    ----------
    kind : {"rounded-gaussian", "discrete-laplace"}
        ``round(N(0, scale^2))``, or ``P(k) proportional to exp(-|k| / scale)``.
    scale : array_like of float
        sigma or t, positive. Broadcasts against `k`.
    k : array_like of int
        Values of the noise.

    Returns
    -------
    float or ndarray
        Rounded Gaussian: ``Phi((k + 1/2)/sigma) - Phi((k - 1/2)/sigma)``;
        discrete Laplace: ``tanh(1/(2t)) exp(-|k|/t)``.

    Examples
    --------
    >>> from dpstruct.privacy.laws import pmf
    >>> round(float(pmf("rounded-gaussian", 0.8, 1)), 11)
    0.23558916728
    """
    return _law(kind)[0](*_broadcast(scale, k))[()]


def tail(kind: str, scale: ArrayLike, k: ArrayLike) -> Any:
    """Return ``P(|X| >= k)``, to about 12 digits; 1 for k <= 0. Arguments as in `pmf`."""
    scales, values = _broadcast(scale, k)
    return np.where(values <= 0, 1.0, _law(kind)[1](scales, np.maximum(values, 1.0)))[()]


def variance(kind: str, scale: ArrayLike) -> Any:
    """Return the variance of the noise, to about 14 digits.

    Rounded Gaussian: ``sigma^2 + 1/12``, which from sigma = 2 on is exact to 1e-32; below, the sum over the tails.
    Discrete Laplace: ``2p/(1-p)^2`` with ``p = exp(-1/t)``.
    """
    return _law(kind)[2](_broadcast(scale, 0)[0])[()]


def _broadcast(scale: ArrayLike, k: ArrayLike) -> Any:
    scale, k = np.broadcast_arrays(np.asarray(scale, float), np.asarray(k, float))
    if not ((scale > 0) & np.isfinite(scale)).all():
        raise InvalidParameter("scale", "a scale that is not positive and finite", "scale > 0")
    return scale, k


def _gaussian_pmf(sigma: Any, k: Any) -> Any:
    from scipy.special import ndtr

    k = np.abs(k)
    with np.errstate(over="ignore", under="ignore"):
        nodes, weights = np.polynomial.legendre.leggauss(12)
        z = (k[..., None] + nodes / 2) / sigma[..., None]
        wide = np.exp(-0.5 * z * z) @ weights / (2 * np.sqrt(2 * np.pi) * sigma)
        narrow = ndtr((0.5 - k) / sigma) - ndtr((-0.5 - k) / sigma)
    return np.where(sigma >= _WIDE, wide, narrow)


def _gaussian_tail(sigma: Any, k: Any) -> Any:
    from scipy.special import ndtr

    with np.errstate(over="ignore", under="ignore"):
        return 2 * ndtr((0.5 - k) / sigma)


def _gaussian_variance(sigma: Any) -> Any:
    k = np.arange(1.0, 80.0)
    narrow = _gaussian_tail(np.minimum(sigma, 2.0)[..., None], k) @ (2 * k - 1)  # E X^2 = sum (2k - 1) P(|X| >= k)
    return np.where(sigma >= 2, sigma * sigma + 1 / 12, narrow)


def _laplace_pmf(t: Any, k: Any) -> Any:
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.where(k == 0, 1.0, np.exp(-np.abs(k) / t)) * np.tanh(0.5 / t)


def _laplace_tail(t: Any, k: Any) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        return 2 * np.exp(-k / t) / (1 + np.exp(-1 / t))


def _laplace_variance(t: Any) -> Any:
    with np.errstate(over="ignore", under="ignore"):
        return 2 * np.exp(-1 / t) / np.expm1(-1 / t) ** 2


_LAWS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "rounded-gaussian": (_gaussian_pmf, _gaussian_tail, _gaussian_variance),
    "discrete-laplace": (_laplace_pmf, _laplace_tail, _laplace_variance),
}


def _law(kind: str) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    if kind not in _LAWS:
        raise InvalidParameter("kind", repr(kind), " or ".join(map(repr, _LAWS)))
    return _LAWS[kind]
