"""Noise for tests: none, recorded or replayed. A budget in a ledger refuses it, and such a release can not be saved."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import door
from dpstruct.core.hooks import _noise_source
from dpstruct.errors import InvalidParameter

__all__ = ["Draw", "RecordingNoise", "ReplayNoise", "SeededNoise", "ZeroNoise"]

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


class Draw(NamedTuple):
    """One call of the sampler: for which line, of which law and scales, and what it returned."""

    line: str
    kind: str
    scales: Floats
    shape: tuple[int, ...]
    draws: Integers


class _Source:
    def __init__(self) -> None:
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_noise_source.set(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        _noise_source.reset(self._tokens.pop())

    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        raise NotImplementedError


class ZeroNoise(_Source):
    """Inside this context a release adds no noise: its transcript is the exact statistic. For test data only.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> tree = dps.KDETree(bounds=dps.Box(0, 1, dim=1), depth=1, max_rows=1 << 60)
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> with ZeroNoise():
    ...     release = budget.release(tree.summarize(np.array([[0.5], [1.0]])), share=1)
    >>> {name: array.tolist() for name, array in release.transcript.items()}
    {'A': [6], 'B': [2], 'level0': [[2]]}
    """

    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        """Return zeros."""
        return np.zeros(shape, np.int64)


class RecordingNoise(_Source):
    """Inside this context a release adds real noise and `draws` keeps what was drawn.

    Attributes
    ----------
    draws : list of Draw
        Line, kind, scales, shape and values of every call, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        """Return fresh noise from the library's own sampler."""
        token = _noise_source.set(None)
        try:
            draws = door._draw(line, kind, scales, shape)
        finally:
            _noise_source.reset(token)
        self.draws.append(Draw(line, kind, scales.copy(), shape, draws.copy()))
        return draws


class ReplayNoise(_Source):
    """Inside this context a release adds the given noise: from a recording, or any integers by line name.

    To make different data end in one transcript ``t``, replay ``t[line] - statistics(plan, data, transcript=t)[line]``.

    Parameters
    ----------
    noise : RecordingNoise or mapping of str to integer array
        One array per line.
    """

    def __init__(self, noise: RecordingNoise | Mapping[str, NDArray[Any]]) -> None:
        super().__init__()
        if isinstance(noise, RecordingNoise):
            noise = {draw.line: draw.draws for draw in noise.draws}
        self._noise = dict(noise)

    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        """Return the noise given for this line."""
        if line not in self._noise:
            raise InvalidParameter("noise", f"nothing for line {line!r}", f"one array of shape {shape}")
        return np.asarray(self._noise[line], dtype=np.int64).reshape(shape).copy()


class SeededNoise(_Source):
    """Reproducible noise of about the declared size, never 0: it makes histories for adaptive structures."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)

    def draw(self, line: str, kind: str, scales: Floats, shape: tuple[int, ...]) -> Integers:
        """Return rounded normal noise away from 0."""
        normal = self._random.standard_normal(shape) * scales.reshape((-1, *(1,) * (len(shape) - 1)) if shape else ())
        away: Integers = np.asarray(np.trunc(normal) + np.where(normal < 0, -1, 1)).astype(np.int64)
        return away
