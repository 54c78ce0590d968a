"""Run a mechanism on one of two neighbours, whatever it does: raise, ignore n, change type."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.audit.symbols import Raised, Sample, kind, read
from dpstruct.errors import InvalidParameter

__all__ = ["Mechanism", "Runner", "Score", "Trouble", "one_at_a_time"]

_SCORE_BITS = 30

Mechanism = Callable[..., Any]
Score = Callable[[Any], ArrayLike]


class Trouble(Exception):
    """A batch call raised, or gave another number of outputs than asked: its outputs can not be told apart."""


def one_at_a_time(mechanism: Callable[[Any], Any]) -> Mechanism:
    """Turn a function of the data that gives one output into a mechanism ``(data, n) -> n outputs``.

    `sequential_test` and the bounds do so by themselves for a callable of one argument.

    Examples
    --------
    >>> one_at_a_time(lambda data: sum(data))([1, 2], 3)
    [3, 3, 3]
    """

    def repeated(data: Any, n: int) -> list[Any]:
        return [_try(mechanism, data) for _ in range(n)]

    return repeated


def _try(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:
        return Raised(error)


class Runner:
    """Calls a mechanism for both neighbours and reads its outputs.

    It begins with whole batches. After `Trouble` the owner calls `separate`: from then on every output has a call of
    its own, an exception is an output like any other, and the dtype of an output is part of its form.
    """

    def __init__(self, mechanism: Mechanism, x: Any, x2: Any, score: Score | None = None) -> None:
        if not callable(mechanism):
            raise InvalidParameter("mechanism", f"a {type(mechanism).__name__}", "a callable (data, n) -> n outputs")
        self.mechanism, self.data, self.score = mechanism, (x, x2), score
        self.separated = self.single = _takes_one_argument(mechanism)
        self.kinds: set[tuple[Any, ...]] = set()
        self._step: float | None = None

    @property
    def mixed(self) -> bool:
        """Whether batches had different types, so that separate calls would show more."""
        return not self.separated and len(self.kinds) > 1

    def separate(self) -> None:
        """Give every later output a call of its own."""
        self.separated = True

    def draw(self, world: int, n: int) -> Sample:
        """Return n outputs for x (world 0) or x2 (world 1).

        Raises
        ------
        Trouble
            If a batch call fails; never after `separate`.
        """
        if n == 0:
            return {}
        data = self.data[world]
        if self.separated:
            return self._read([self._once(data) for _ in range(n)])
        try:
            outputs = self.mechanism(data, n)
        except Exception as error:
            raise Trouble from error
        batch = _batch(outputs, n)
        if batch is None:
            raise Trouble
        self.kinds.add(kind(batch))
        return self._read(batch)

    def _once(self, data: Any) -> Any:
        if self.single:
            return _try(self.mechanism, data)
        output = _try(self.mechanism, data, 1)
        batch = _batch(output, 1)
        return output if batch is None else batch[0]

    def _read(self, batch: Any) -> Sample:
        if self.score is None:
            return read(batch)
        if not isinstance(batch, list):
            return self._scored(batch, len(batch))
        raised = [output for output in batch if isinstance(output, Raised)]
        calm = [output for output in batch if not isinstance(output, Raised)]
        sample = read(raised)
        return sample | self._scored(_stack(calm), len(calm)) if calm else sample

    def _scored(self, outputs: Any, n: int) -> Sample:
        assert self.score is not None
        scores: NDArray[Any] = np.asarray(self.score(outputs))
        if scores.shape != (n,) or scores.dtype.kind not in "biuf":
            found = f"shape {scores.shape} and dtype {scores.dtype} for {n} outputs"
            raise InvalidParameter("score", found, "one real number per output")
        return read(self._rounded(scores) if scores.dtype.kind == "f" else scores)

    def _rounded(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Round to a grid fixed by the first scores, a billionth of their size: their last bits are no output."""
        if self._step is None:
            sizes = np.abs(scores[np.isfinite(scores) & (scores != 0)])
            self._step = float(2.0 ** (np.floor(np.log2(np.median(sizes))) - _SCORE_BITS)) if len(sizes) else 0.0
        with np.errstate(over="ignore"):
            return np.asarray(np.rint(scores / self._step) * self._step if self._step else scores)


def _batch(outputs: Any, n: int) -> Any:
    """Return the outputs if they are n in a row, else None."""
    if isinstance(outputs, np.ndarray):
        return outputs if outputs.ndim > 0 and len(outputs) == n else None
    if isinstance(outputs, Sequence) and not isinstance(outputs, str | bytes):
        return outputs if len(outputs) == n else None
    return None


def _stack(outputs: list[Any]) -> Any:
    """Return separate outputs as one array where they have one shape and type, as a batch call would give them."""
    if all(isinstance(o, np.ndarray | np.generic | float | int) for o in outputs):
        arrays = [np.asarray(o) for o in outputs]
        if len({(a.shape, a.dtype) for a in arrays}) == 1:
            return np.stack(arrays)
    return outputs


def _takes_one_argument(mechanism: Mechanism) -> bool:
    try:
        signature = inspect.signature(mechanism)
    except (TypeError, ValueError):
        return False
    try:
        signature.bind(None, 1)
    except TypeError:
        return True
    return False
