"""Private tables read block by block: CSV, NPY, Parquet.

Cells are values: whatever is no number becomes NaN, is never quoted and never raises. Names of columns may be values
as well, where the first line of a file is a record after all: no message quotes a name that the user did not type.

In a CSV file one line is one record, whatever it holds: blank lines and quotes that do not close change that record
and no other. Quotes are read within the line, so there are no cells of several lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from dpstruct.cli.options import numbers
from dpstruct.cli.text import plain
from dpstruct.errors import DPStructError, InvalidParameter, InvalidType

__all__ = ["Source", "open_table"]

#: Rows of a file and the share of its bytes that is read by then.
Blocks = Iterator[tuple[NDArray[np.generic], float]]
_CELLS = 1 << 20  # of a block of text; blocks of binary files hold eight times as many
_NAME = 200  # characters of a column name


@dataclass(frozen=True)
class Source:
    """The chosen columns of a file: how many, and a way to read the rows."""

    width: int
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
        CSV: whether the first line names the columns. None: it does, and is refused if a cell is empty or a number.
    delimiter : str
        CSV: one character between cells.
    width : int, optional
        Number of columns, where it is known otherwise: needed by a CSV file without names if `columns` is None.

    Raises
    ------
    InvalidParameter
        If the file is not what its suffix says or lacks a column, or if its first line names no columns.
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
    """Return the positions of the chosen columns among the `names`, or among that many unnamed ones."""
    if isinstance(names, int):
        picked = list(range(names)) if columns is None else numbers(columns)
        if picked and max(picked) >= names:
            raise InvalidParameter("--columns", str(max(picked)), f"numbers from 0 to {names - 1}")
    elif columns is None:
        picked = list(range(len(names)))
        if len(set(names)) < len(names):
            raise InvalidParameter(path.name, "a column name twice", "distinct names", "choose others with --columns")
    else:
        wanted = [name.strip() for name in _cells(columns, ",")]
        for name in wanted:
            if names.count(name) != 1:
                received = f"{plain(name)!r}, which {path.name} has {names.count(name)} times"
                raise InvalidParameter("--columns", received, f"names that exactly one of its {len(names)} columns has")
        picked = [names.index(name) for name in wanted]
    if not picked or len(set(picked)) < len(picked):
        raise InvalidParameter("--columns", "none, or one twice", "distinct columns")
    return picked


# ---- CSV -------------------------------------------------------------------------------------------------------------


def _csv(path: Path, columns: str | None, header: bool | None, delimiter: str, width: int | None) -> Source:
    if header is not False:
        picked = _chosen(path, _header(path, delimiter, sure=header is True), columns)
    elif columns is None and width is None:
        raise InvalidParameter("--columns", "nothing", "column numbers such as 0-3 for a CSV file without names")
    else:
        picked = list(range(width or 0)) if columns is None else numbers(columns)
        if len(set(picked)) < len(picked):
            raise InvalidParameter("--columns", "a number twice", "distinct columns")

    def blocks() -> Blocks:
        size = max(1, path.stat().st_size)
        with _text(path) as (binary, lines):
            if header is not False:
                next(lines, None)
            while batch := list(islice(lines, max(1, _CELLS // (len(picked) + 8)))):
                yield _floats([_cells(line, delimiter) for line in batch], picked), min(1.0, binary.tell() / size)

    return Source(len(picked), blocks)


def _header(path: Path, delimiter: str, *, sure: bool) -> list[str]:
    """Return the column names in the first line; unless the user is `sure`, it must not look like a record."""
    with _text(path) as (_, lines):
        names = _cells(next(lines, ""), delimiter)
    if not all(name.isprintable() and len(name) <= _NAME for name in names):
        received = "a column name with a line break, an open quote or unprintable text, or one that is very long"
        raise InvalidParameter(path.name, received, f"printable names of at most {_NAME} characters in the first line")
    names = [name.strip() for name in names]
    if not names or not (sure or all(name and not _is_number(name) for name in names)):
        received = "a first line that is blank, or has a cell that is empty or a number"
        remedy = "pass --no-header if it is a record, or --header if it names the columns"
        raise InvalidParameter(path.name, received, "column names", remedy)
    return names


@contextmanager
def _text(path: Path) -> Iterator[tuple[BinaryIO, Iterator[str]]]:
    """Open the bytes, to tell how far we are, and their lines; bytes that are no UTF-8 are values, too."""
    with path.open("rb") as binary, io.TextIOWrapper(binary, "utf-8-sig", errors="replace", newline="") as lines:
        yield binary, lines


def _cells(line: str, delimiter: str) -> list[str]:
    r"""Return the cells of one line, none if it is blank; a quote that does not close ends with the line.

    Examples
    --------
    >>> _cells('1,"2,3",4\n', ","), _cells('1,"2,3\n', ",")
    (['1', '2,3', '4'], ['1', '2,3\n'])
    """
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:  # a cell too long for the csv module: the cells of this line are missing
        return []


def _floats(records: list[list[str]], picked: list[int]) -> NDArray[np.float64]:
    rows = np.empty((len(records), len(picked)))
    for j, k in enumerate(picked):
        cells = [record[k] if k < len(record) else "" for record in records]
        try:
            rows[:, j] = [float(cell) for cell in cells]
        except ValueError:
            rows[:, j] = [float(cell) if _is_number(cell) else np.nan for cell in cells]
    return rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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

    return Source(len(picked), blocks)


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
    picked = _chosen(path, schema.names, columns)
    for k in picked:
        kind, types = schema.types[k], pyarrow.types
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)):
            received = f"type {str(kind).partition('<')[0]}"  # what follows may name fields
            raise InvalidType(f"column {k}, counted from 0", received, "numbers", "choose others with --columns")
    names = [schema.names[k] for k in picked]

    def blocks() -> Blocks:
        groups = [file.metadata.row_group(g).total_byte_size for g in range(file.metadata.num_row_groups)]
        for g in range(len(groups)):
            try:
                for batch in file.iter_batches(max(1, 8 * _CELLS // len(names)), row_groups=[g], columns=names):
                    yield _column_stack(batch, names), sum(groups[:g]) / max(1, sum(groups))
            except (pyarrow.ArrowException, OSError):
                raise InvalidParameter(path.name, "damaged pages", "a whole Parquet file") from None

    return Source(len(names), blocks)


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
