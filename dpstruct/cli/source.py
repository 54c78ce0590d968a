"""Private tables read block by block: CSV, NPY, Parquet.

Names and types of columns are public. Cells are values: whatever is no number becomes NaN, is never quoted and never
raises.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dpstruct.cli.options import numbers
from dpstruct.errors import DPStructError, InvalidParameter, InvalidType

__all__ = ["Source", "open_table"]

#: Rows of a file and the share of its bytes that is read by then.
Blocks = Iterator[tuple[NDArray[np.generic], float]]
_CELLS = 1 << 20  # of a block of text; blocks of binary files hold eight times as many


@dataclass(frozen=True)
class Source:
    """The chosen columns of a file: their public names, and a way to read the rows."""

    names: tuple[str, ...]
    blocks: Callable[[], Blocks]


def open_table(
    path: str, *, columns: str | None, header: bool | None, delimiter: str, width: int | None = None
) -> Source:
    """Return the chosen columns of a .csv, .npy or .parquet file.

    Parameters
    ----------
    path : str
        The file; its suffix tells the format.
    columns : str or None
        Names, or numbers from 0 where the file has no names; all columns if None.
    header : bool or None
        CSV: whether the first line names the columns. None: it does, and a line of numbers is refused.
    delimiter : str
        CSV: one character between cells.
    width : int, optional
        Number of columns, where it is known otherwise: needed by a CSV file without names if `columns` is None.

    Raises
    ------
    InvalidParameter
        If the file is not what its suffix says, or lacks a column.
    """
    file = Path(path)
    kind = file.suffix.lower()
    if kind == ".npy":
        return _npy(file, columns)
    if kind in (".parquet", ".pq"):
        return _parquet(file, columns)
    if kind != ".csv":
        raise InvalidParameter("file", f"{file.name!r}", "a name that ends in .csv, .npy or .parquet")
    if len(delimiter) != 1 or delimiter in '\r\n"':
        raise InvalidParameter("--delimiter", repr(delimiter), "one character, neither a quote nor a line break")
    return _csv(file, columns, header, delimiter, width)


# ---- which columns ---------------------------------------------------------------------------------------------------


def _chosen(path: Path, names: list[str] | int, columns: str | None) -> list[int]:
    """Return the positions of the chosen columns among the public `names`, or among that many unnamed ones."""
    if isinstance(names, int):
        picked = list(range(names)) if columns is None else numbers(columns)
        if picked and max(picked) >= names:
            raise InvalidParameter("--columns", str(max(picked)), f"numbers from 0 to {names - 1}")
    else:
        wanted = names if columns is None else [name.strip() for name in next(csv.reader([columns]), [])]
        for name in wanted:
            if names.count(name) != 1:
                received = f"{name!r}, which {path.name} has {names.count(name)} times"
                raise InvalidParameter("--columns", received, f"one of {_listed(names)}")
        picked = [names.index(name) for name in wanted]
    if not picked or len(set(picked)) < len(picked):
        raise InvalidParameter("--columns", "none, or one twice", "distinct columns")
    return picked


def _listed(names: list[str]) -> str:
    shown = [repr(name[:40]) for name in names if np.isnan(_cell(name))]
    return ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "")


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _csv(path: Path, columns: str | None, header: bool | None, delimiter: str, width: int | None) -> Source:
    if header is False:
        if columns is None and width is None:
            raise InvalidParameter("--columns", "nothing", "column numbers such as 0-3 for a CSV file without names")
        picked = list(range(width or 0)) if columns is None else numbers(columns)
        if len(set(picked)) < len(picked):
            raise InvalidParameter("--columns", "a number twice", "distinct columns")
        names = [str(k) for k in picked]
    else:
        with _text(path) as (_, lines):
            first = [name.strip() for name in next(_records(lines, delimiter), [])]
        if header is None and first and not any(np.isnan(_cell(name)) for name in first):
            received = "a first line that holds only numbers"
            raise InvalidParameter(
                path.name, received, "column names", "pass --no-header, or --header if these are the names"
            )
        picked = _chosen(path, first, columns)
        names = [first[k] for k in picked]

    def blocks() -> Blocks:
        size = max(1, path.stat().st_size)
        with _text(path) as (binary, lines):
            records = _records(lines, delimiter)
            if header is not False:
                next(records, None)
            while batch := list(islice(records, max(1, _CELLS // (len(picked) + 8)))):
                yield _floats(batch, picked), min(1.0, binary.tell() / size)

    return Source(tuple(names), blocks)


@contextmanager
def _text(path: Path) -> Iterator[tuple[BinaryIO, Iterable[str]]]:
    """Open the bytes, to tell how far we are, and their lines; bytes that are no UTF-8 are values, too."""
    with path.open("rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", errors="replace", newline="") as lines:
        yield binary, lines


def _records(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Yield the records of RFC 4180, one of which may span lines inside quotes: a record is a row of the guarantee.

    A cell too long for the csv module makes a record of missing values, so that a stray quote can not swallow the file.
    """
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error:
            record = [""]
        if record:  # a blank line is no record
            yield record


def _floats(records: list[list[str]], picked: list[int]) -> NDArray[np.float64]:
    rows = np.empty((len(records), len(picked)))
    for j, k in enumerate(picked):
        cells = [record[k] if k < len(record) else "" for record in records]
        try:
            rows[:, j] = [float(cell) for cell in cells]
        except ValueError:
            rows[:, j] = [_cell(cell) for cell in cells]
    return rows


def _cell(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


# ---- NPY -------------------------------------------------------------------------------------------------------------


def _npy(path: Path, columns: str | None) -> Source:
    try:
        array: Any = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError):
        raise InvalidParameter(path.name, "a file that NumPy can not map", "what numpy.save writes") from None
    if array.dtype.kind not in "biuf":
        raise InvalidType(path.name, f"dtype {array.dtype}", "real numbers")
    if array.ndim == 1:
        array = array.reshape(-1, 1)
    if array.ndim != 2:
        raise InvalidParameter(
            path.name, f"{array.ndim} dimensions", "one row per record and one column per coordinate"
        )
    picked = _chosen(path, array.shape[1], columns)
    whole = picked == list(range(array.shape[1]))

    def blocks() -> Blocks:
        rows = max(1, 8 * _CELLS // array.shape[1])
        for start in range(0, len(array), rows):
            block = array[start : start + rows]
            yield (block if whole else block[:, picked]), min(1.0, (start + rows) / len(array))

    return Source(tuple(str(k) for k in picked), blocks)


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet(path: Path, columns: str | None) -> Source:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DPStructError("reading Parquet needs pyarrow: pip install 'dpstruct[frames]'") from None
    try:
        file = parquet.ParquetFile(path)
    except pyarrow.ArrowException:
        raise InvalidParameter(path.name, "a file that pyarrow can not open", "a Parquet file") from None
    schema = file.schema_arrow
    names = [schema.names[k] for k in _chosen(path, schema.names, columns)]
    for name in names:
        kind, types = schema.field(name).type, pyarrow.types
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
            raise InvalidType(f"column {name!r}", f"type {kind}", "numbers", "choose other columns with --columns")

    def blocks() -> Blocks:
        groups = [file.metadata.row_group(g).total_byte_size for g in range(file.metadata.num_row_groups)]
        for g in range(len(groups)):
            try:
                for batch in file.iter_batches(max(1, 8 * _CELLS // len(names)), row_groups=[g], columns=names):
                    yield _column_stack(batch, names), sum(groups[:g]) / max(1, sum(groups))
            except (pyarrow.ArrowException, OSError):
                raise InvalidParameter(path.name, "damaged pages", "a whole Parquet file") from None

    return Source(tuple(names), blocks)


def _column_stack(batch: Any, names: list[str]) -> NDArray[np.float64]:
    """Return a record batch as floats; what is missing becomes NaN."""
    import pyarrow

    rows = np.empty((batch.num_rows, len(names)))
    for j, name in enumerate(names):
        column = batch.column(name)
        if pyarrow.types.is_boolean(column.type):
            column = column.cast(pyarrow.int8())
        rows[:, j] = column.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False)
    return rows
