"""`Summary`: what `Structure.summarize` returns. It can be merged and released, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from dpstruct.core import blueprint
from dpstruct.core.state import Rows, State, Sums, Unreadable
from dpstruct.errors import FileFormatError, InvalidParameter, InvalidType

if TYPE_CHECKING:
    from dpstruct.core.release import Release
    from dpstruct.core.structure import Structure

__all__ = ["Summary"]

R = TypeVar("R", bound="Release")


class Summary(Unreadable, Generic[R]):
    """The exact, un-noised, sealed content of a private structure.

    Two summaries of one blueprint merge with ``+`` in any order, exactly: ``summarize(A) + summarize(B)`` releases like
    ``summarize(A and B)``. There is no other operation; even the number of rows is private under add-remove.

    Raises
    ------
    TypeError
        On comparison, copying, pickling or conversion to an array.
    InvalidParameter
        When summaries of different blueprints are merged.
    """

    __slots__ = ("__state", "__structure")

    def __init__(self, structure: Structure[R], state: State) -> None:
        self.__structure = structure
        self.__state = state

    @property
    def structure(self) -> Structure[R]:
        """The public blueprint."""
        return self.__structure

    def __add__(self, other: Summary[R]) -> Summary[R]:
        if not isinstance(other, Summary):
            return NotImplemented
        if self.__structure != other.__structure:
            raise InvalidParameter(
                "summary", f"one of {other.__structure}", f"one of {self.__structure}", "summarize with one blueprint"
            )
        return Summary(self.__structure, self.__state._merge(other.__state))

    def __radd__(self, other: int) -> Summary[R]:
        if type(other) is int and other == 0:  # the start value of sum()
            return self
        return NotImplemented

    def __repr__(self) -> str:
        return f"<Summary of {self.__structure}: sealed>"

    def _open(self) -> State:
        return self.__state

    def to_unprotected_bytes(self) -> bytes:
        """Return the un-noised content as bytes, to move a shard between trusted machines.

        The bytes are as sensitive as the data: no privacy protects them.
        """
        from safetensors.numpy import save

        state = self.__state
        if isinstance(state, Sums):
            kind, arrays = "sums", dict(state.sums._open())
        else:
            assert isinstance(state, Rows)
            kind, arrays = "rows", {f"shard{i}": shard for i, shard in enumerate(state._open())}
        label = {"summary": kind, "units": state._units, "structure": blueprint.encode(self.__structure)}
        return bytes(save(arrays, metadata={"dpstruct-unprotected": blueprint.canonical(label).decode()}))

    @classmethod
    def from_unprotected_bytes(cls, structure: Structure[R], data: bytes) -> Summary[R]:
        """Return the summary that `to_unprotected_bytes` wrote for the same blueprint.

        Raises
        ------
        FileFormatError
            If the bytes are not such a summary, or one of another blueprint.
        """
        from dpstruct.core.files import split

        if not isinstance(data, bytes):
            raise InvalidType("data", f"a {type(data).__name__}", "bytes")
        metadata, arrays = split(data, ("I16", "I32", "I64"))
        try:
            label: dict[str, Any] = json.loads(metadata.get("dpstruct-unprotected", ""))
            kind, units, written = label["summary"], int(label["units"]), label["structure"]
        except (ValueError, KeyError, TypeError) as error:
            raise FileFormatError("these bytes are not an unprotected summary") from error
        empty = structure.seal_none()
        dtype = empty._open()[0].dtype if isinstance(empty, Rows) else np.dtype(np.int64)
        if written != blueprint.encode(structure) or any(array.dtype != dtype for array in arrays.values()):
            raise FileFormatError(f"these bytes are not a summary of {structure}")
        state: State
        if kind == "sums" and isinstance(empty, Sums):
            expected = {name: array.shape for name, array in empty.sums._open().items()}
            if {name: array.shape for name, array in arrays.items()} != expected:
                raise FileFormatError(f"these bytes do not hold the sums of {structure}")
            state = Sums(units, arrays)
        elif kind == "rows" and isinstance(empty, Rows):
            width = empty._open()[0].shape[1:]
            if any(array.shape[1:] != width for array in arrays.values()):
                raise FileFormatError(f"these bytes do not hold the rows of {structure}")
            state = Rows(units, *arrays.values())
        else:
            raise FileFormatError(f"these bytes hold {kind!r}, not what {structure} seals")
        return cls(structure, state)
