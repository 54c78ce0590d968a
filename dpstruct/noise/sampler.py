"""Integer noise of a given law, scale and shape: blocks, stages, and the one public function that draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.kernels import blocks
from dpstruct.noise import exact
from dpstruct.noise.entropy import system_words

__all__ = ["draw"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Stream = Callable[[int], Words]  # the next `count` words of one block
Source = Callable[[int], Stream]  # the stream of block number i

_BLOCK = 1 << 16  # outputs; part of the map from words to noise, so not a matter of threads or of the machine
_LARGEST = 2.0**52


def draw(kind: str, scales: Floats, shape: tuple[int, ...]) -> Ints:
    """Draw fresh integer noise, each entry independent and exactly of the stated law.

    Parameters
    ----------
    kind : {"rounded-gaussian", "discrete-laplace"}
        ``floor(N(0, sigma^2) + 1/2)``, or ``P(k) proportional to exp(-|k|/t)``.
    scales : ndarray of float64, shape (1,) or (shape[0],)
        sigma or t in lattice units, in (0, 2^52]: one for all entries, or one per entry of the first axis.
    shape : tuple of int
        Shape of the result; ``()`` and empty shapes are fine.

    Returns
    -------
    ndarray of int64
        C-contiguous.

    Raises
    ------
    InvalidParameter
        Unknown kind, scales that are not float64 or not in (0, 2^52], or a wrong number of scales.

    Notes
    -----
    Integers plus a rounded Gaussian are the rounding of integers plus a Gaussian, so on an integer query of l2
    sensitivity D the noise is (D/sigma)-GDP without any approximation (post-processing, arXiv 1905.02383). The discrete
    Laplace is the difference of two geometric variables and (D/t)-DP for l1 sensitivity D (arXiv 0811.2841).

    Random bits are used as an infinite binary expansion of which more is fetched when 64 bits do not decide: there is
    no rounding error in either law. How often that happens depends on the noise, and shows in the running time
    (arXiv 2112.05307); the chance is about ``scale 2^-45`` for the second stage and ``scale 2^-57`` for the third.

    Examples
    --------
    >>> import numpy as np
    >>> from dpstruct.noise import draw
    >>> draw("rounded-gaussian", np.array([0.8, 1000.0]), (2, 3)).shape
    (2, 3)
    """
    return _draw_from(lambda block: system_words, kind, scales, shape)


def _draw_from(source: Source, kind: str, scales: Floats, shape: tuple[int, ...]) -> Ints:
    """Draw with the words of `source`; the result is a function of words, kind, scales and shape alone."""
    fill = _FILL.get(kind)
    if fill is None:
        raise InvalidParameter("kind", repr(kind), " or ".join(map(repr, _FILL)))
    _check(scales, shape)
    scales = scales.copy()  # contiguous and writable whatever came in, so that each kernel is compiled once
    out = np.empty(shape, np.int64)
    flat = out.reshape(-1)

    def block(start: int, stop: int) -> None:
        fill(source(start // _BLOCK), _scales_of(scales, shape, start, stop), flat[start:stop])

    if flat.size:
        blocks.run(block, blocks.spans(flat.size, _BLOCK))
    return out


def _check(scales: Floats, shape: tuple[int, ...]) -> None:
    if not isinstance(scales, np.ndarray) or scales.dtype != np.float64:
        raise InvalidType("scales", str(getattr(scales, "dtype", type(scales).__name__)), "a float64 array")
    if scales.ndim != 1 or (scales.size != 1 and scales.shape != shape[:1]):
        raise InvalidParameter("scales", f"shape {scales.shape}", f"(1,) or {shape[:1]}, for noise of shape {shape}")
    outside = scales[~((scales > 0) & (scales <= _LARGEST))]
    if outside.size:
        raise InvalidParameter("scales", f"a scale of {outside[0]}", "0 < scale <= 2^52", "use a coarser lattice")


def _scales_of(scales: Floats, shape: tuple[int, ...], start: int, stop: int) -> Floats:
    """Return the scale of the flat entries [start, stop): one number if they share it, else one each."""
    if scales.size == 1:
        return scales
    width = math.prod(shape[1:])
    rows = scales[start // width : -(-stop // width)]
    skipped = start - start // width * width
    return rows if rows.size == 1 or width == 1 else np.repeat(rows, width)[skipped : skipped + stop - start]


def _fill_gaussian(stream: Stream, sigma: Floats, out: Ints) -> None:
    """Fill `out` with rounded Gaussians, pairing entry i with entry i + h; an odd last one has its partner dropped."""
    from dpstruct.kernels import noise as fast
    from dpstruct.kernels import noise_dd as fine

    h = (out.size + 1) // 2
    pairs = out if out.size == 2 * h else np.empty(2 * h, np.int64)
    if 1 < sigma.size < 2 * h:
        sigma = np.append(sigma, sigma[-1])
    words, flags = stream(2 * h), np.empty(h, np.uint8)
    if fast.gaussian(words, sigma, pairs, flags):
        fine.gaussian(words, sigma, np.flatnonzero(flags), pairs, flags)
        for i in np.flatnonzero(flags).tolist():
            scales = float(sigma[i % sigma.size]), float(sigma[(h + i) % sigma.size])
            pairs[i], pairs[h + i] = exact.gaussian(int(words[i]), int(words[h + i]), *scales, _bits(stream))
    if pairs is not out:
        out[:] = pairs[:-1]


def _fill_laplace(stream: Stream, t: Floats, out: Ints) -> None:
    """Fill `out` with discrete Laplace noise, two words per entry."""
    from dpstruct.kernels import noise as fast
    from dpstruct.kernels import noise_dd as fine

    n = out.size
    words, flags = stream(2 * n), np.empty(n, np.uint8)
    if fast.laplace(words, t, out, flags):
        fine.laplace(words, t, np.flatnonzero(flags), out, flags)
        for i in np.flatnonzero(flags).tolist():
            out[i] = exact.laplace(int(words[i]), int(words[n + i]), float(t[i % t.size]), _bits(stream))


def _bits(stream: Stream) -> Callable[[], int]:
    return lambda: int(stream(1)[0])


_FILL: dict[str, Callable[[Stream, Floats, Ints], None]] = {
    "rounded-gaussian": _fill_gaussian,
    "discrete-laplace": _fill_laplace,
}
