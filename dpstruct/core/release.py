"""`Release`: a private structure, a function of (blueprint, noised transcript, receipt), immutable, free to query."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dpstruct.core.receipt import Receipt
from dpstruct.core.structure import Structure
from dpstruct.errors import CapacityWarning, PlanViolation

__all__ = ["Release"]


class Release:
    """Base class of every private structure.

    Querying, saving, publishing and rebuilding one are post-processing: they never touch data and never charge.

    Parameters
    ----------
    structure : Structure
        The public blueprint.
    transcript : mapping of str to int64 array
        The noised integers, by line name; with a public number of units also ``"n"``.
    receipt : Receipt
        What was charged, and the noise scales.
    """

    def __init__(
        self, structure: Structure[Any], transcript: Mapping[str, NDArray[np.int64]], receipt: Receipt
    ) -> None:
        frozen = {name: _frozen(np.asarray(array, dtype=np.int64)) for name, array in transcript.items()}
        shapes = {name: line.shape for name, (_, line) in receipt.lines.items()}
        if receipt.neighbors != "add-remove":
            shapes["n"] = ()
        if {name: array.shape for name, array in frozen.items()} != shapes:
            raise PlanViolation("the transcript does not have the lines that the receipt lists")
        self.__dict__.update(_structure=structure, _transcript=MappingProxyType(frozen), _receipt=receipt)

    @property
    def structure(self) -> Structure[Any]:
        """The public blueprint."""
        structure: Structure[Any] = self.__dict__["_structure"]
        return structure

    @property
    def transcript(self) -> Mapping[str, NDArray[np.int64]]:
        """The noised integers, read-only."""
        transcript: Mapping[str, NDArray[np.int64]] = self.__dict__["_transcript"]
        return transcript

    @property
    def receipt(self) -> Receipt:
        """What was charged, when, under which guarantee."""
        receipt: Receipt = self.__dict__["_receipt"]
        return receipt

    def _row_count(self) -> tuple[float, float]:
        """Return the released number of rows and six of its standard errors; override where rows are counted."""
        return (float(self.transcript["n"]), 0.0) if "n" in self.transcript else (0.0, 0.0)

    def _warn_of_capacity(self) -> None:
        """Warn if the released count exceeds the public capacity; queries call it, as nothing is lost by then."""
        rows, slack = self._row_count()
        if rows - slack > self.structure.max_rows:
            warnings.warn(
                f"the noisy count says that more than max_rows={self.structure.max_rows} rows were summed: the sums "
                "may have wrapped; the release is private, but its answers may be useless",
                CapacityWarning,
                stacklevel=3,
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the release to one ``.dps`` file: valid safetensors with its privacy label.

        The file appears whole or not at all.

        Raises
        ------
        PlanViolation
            If the noise was injected by a test.
        OSError
            If the file can not be written.
        """
        from dpstruct.core import files

        files.save(self, path)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        if self.receipt.noise == "injected":
            raise PlanViolation(
                "the noise of this release was injected by a test: it protects nothing and is not saved"
            )
        return type(self), (self.structure, dict(self.transcript), self.receipt)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.structure}: {self.receipt.guarantee}>"


def _frozen(array: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a copy over immutable bytes: not even `setflags` makes it writeable."""
    if array.size == 0:
        return np.empty(array.shape, np.int64)
    return np.frombuffer(array.tobytes(), np.int64).reshape(array.shape)
