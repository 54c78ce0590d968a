"""Sealed, exact, un-noised integers: what a summary holds and what a structure's rounds may pass around unread.

A `Sealed` value has no array, no length, no ``==`` and no pickle. Only `dpstruct.core` opens one, to add noise to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from dpstruct.errors import PlanViolation

__all__ = ["Cache", "RowMap", "Rows", "Sealed", "State", "Sums", "Unreadable"]

Integers = NDArray[np.int64]
_LATTICE = (np.int16, np.int32, np.int64)


class RowMap(Protocol):
    """A pure module-level function: exact sums over a block of lattice rows, given released arrays.

    It must be additive, ``row_map(a and b) == row_map(a) + row_map(b)`` modulo 2**64, and use integers only where a
    bound is claimed; `dpstruct.testing.check_structure` tests both. Given a cache it is called with a third argument,
    the block's part of it, shape (rows, k), and may change it in place: each row from that row, its own part of the
    cache and released values alone.
    """

    def __call__(self, rows: Any, public: Mapping[str, NDArray[np.generic]], /, *cache: Any) -> Sequence[Integers]:
        """Return one int64 array per line."""


class Unreadable:
    """Base of everything that holds un-noised data: nothing in Python's data model reads it."""

    __slots__ = ()

    if not TYPE_CHECKING:  # the type checker is to report these as errors, too

        def _refuse(self, *_: object) -> NoReturn:
            raise TypeError(
                f"a {type(self).__name__} holds un-noised private data: it can be merged with + and released by "
                "Budget.release, nothing else"
            )

        __eq__ = __ne__ = __array__ = _refuse
        __reduce__ = __reduce_ex__ = __getstate__ = __copy__ = __deepcopy__ = _refuse
        __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: sealed>"


def add_wrapping(a: Integers, b: Integers) -> Integers:
    """Add modulo 2**64 without a word: overflow is a value, and values never raise."""
    if np.shape(a) != np.shape(b):
        raise PlanViolation("the shape of a sum must not depend on the rows")
    total = np.add(a, b, out=np.empty(np.shape(a), dtype=np.int64))  # `out` keeps 0-d sums from warning as scalars do
    total.setflags(write=False)
    return total


def _exact(values: Mapping[str, NDArray[np.generic]], allowed: Sequence[type] = (np.int64,)) -> dict[str, Integers]:
    """Return the arrays, read-only and contiguous; a writeable one is copied, since its owner could change it."""
    sealed: dict[str, Integers] = {}
    for name, array in values.items():
        if not isinstance(array, np.ndarray) or array.dtype not in allowed:
            raise PlanViolation(f"line {name!r} must be an int64 array: only exact integers may be released")
        sealed[name] = array.astype(array.dtype, order="C", copy=array.flags.writeable)
        sealed[name].setflags(write=False)
    return sealed


class Sealed(Unreadable):
    """Named exact sums that can be mapped by a public function or yielded to the door, and not read."""

    __slots__ = ("__values",)

    def __init__(self, values: Mapping[str, NDArray[np.generic]]) -> None:
        self.__values = _exact(values)

    def map(self, function: Callable[[Mapping[str, Integers]], Mapping[str, Integers]]) -> Sealed:
        """Return sealed ``function(sums)``; `function` is public, pure and exact."""
        return Sealed(function(dict(self.__values)))

    def _open(self) -> dict[str, Integers]:
        return self.__values


class State(Unreadable):
    """The sealed content of a summary and its number of units."""

    __slots__ = ("_units",)

    _units: int

    def _merge(self, other: State) -> State:
        raise NotImplementedError


class Sums(State):
    """Sums of one fixed public map: everything a one-shot structure needs."""

    __slots__ = ("__sums",)

    def __init__(self, units: int, sums: Mapping[str, NDArray[np.generic]]) -> None:
        self._units = units
        self.__sums = Sealed(sums)

    @classmethod
    def join(cls, units: int, parts: Mapping[str, Sums]) -> Sums:
        """Return several sums side by side, the lines of each behind its name and an underscore."""
        named = {name: part.__sums._open() for name, part in parts.items()}
        return cls(units, {f"{name}_{line}": array for name, sums in named.items() for line, array in sums.items()})

    @property
    def sums(self) -> Sealed:
        """The exact sums, sealed."""
        return self.__sums

    def _merge(self, other: State) -> Sums:
        assert isinstance(other, Sums)
        mine, theirs = self.__sums._open(), other.__sums._open()
        return Sums(self._units + other._units, {name: add_wrapping(mine[name], theirs[name]) for name in mine})


class Cache(Unreadable):
    """Private numbers beside sealed rows, for the rounds of one release; made by `Rows.cache`, zero at first."""

    __slots__ = ("__parts",)

    def __init__(self, parts: Sequence[NDArray[np.float64]]) -> None:
        self.__parts = tuple(parts)

    def _open(self) -> tuple[NDArray[np.float64], ...]:
        return self.__parts


class Rows(State):
    """Lattice rows in shards, for structures that need several passes.

    Parameters
    ----------
    units : int
        Number of units, published where it is public.
    *shards : ndarray of int16, int32 or int64, shape (n, ...)
        One lattice row per record.
    """

    __slots__ = ("__shards",)

    def __init__(self, units: int, *shards: NDArray[np.signedinteger[Any]]) -> None:
        self._units = units
        self.__shards = tuple(_exact({"rows": shard}, _LATTICE)["rows"] for shard in shards)

    def cache(self, width: int) -> Cache:
        """Return a sealed store of `width` zeros per row, to be handed to `sum` in every round of one release."""
        return Cache([np.zeros((len(shard), width)) for shard in self.__shards])

    def sum(
        self,
        row_map: RowMap,
        public: Mapping[str, NDArray[np.generic]],
        *,
        lines: Sequence[str],
        block: int = 1 << 16,
        cache: Cache | None = None,
    ) -> Sealed:
        """Return the sealed exact sums of ``row_map(rows, public)``, named `lines`, over all shards.

        The map is called once on no rows, which fixes the shapes, and then on blocks of at most `block` rows; with a
        `cache`, as ``row_map(rows, public, part of the cache)``.
        """
        first = self.__shards[0]
        stores = () if cache is None else cache._open()
        none = [store[:0] for store in stores[:1]]
        totals = [np.asarray(part) for part in row_map(first[:0], public, *none)]
        if any(total.dtype != np.int64 for total in totals):
            raise PlanViolation("a row map must return int64 sums: only exact integers may be released")
        if len(totals) != len(lines):
            raise PlanViolation(f"{len(lines)} lines are named but the row map returned {len(totals)} sums")
        for k, shard in enumerate(self.__shards):
            for start in range(0, len(shard), block):
                rows = slice(start, start + block)
                parts = row_map(shard[rows], public, *(store[rows] for store in stores[k : k + 1]))
                totals = [add_wrapping(total, part) for total, part in zip(totals, parts, strict=True)]
        return Sealed(dict(zip(lines, totals, strict=True)))

    def _merge(self, other: State) -> Rows:
        assert isinstance(other, Rows)
        return Rows(self._units + other._units, *self.__shards, *other.__shards)

    def _open(self) -> tuple[Integers, ...]:
        return self.__shards
