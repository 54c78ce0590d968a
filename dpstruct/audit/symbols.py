"""Whatever a mechanism gives, as a sample: the form of each output, and the numbers that the form leaves open.

Two outputs have one form if they differ in finite numbers only. ``None``, a text, NaN, an infinity, the type of an
exception, the length of a list and the shape of an array are all part of the form. Each output is read by itself,
whatever else is in its batch, so that outputs stay independent. Short texts, and truth values inside a list, are
rows of numbers: there may be too many of them to learn each by itself.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Form", "Raised", "Sample", "kind", "name", "read", "spell"]

Form = Hashable
Sample = dict[Form, NDArray[Any]]
"""Numbers by form: shape (m,) where the form has one open number, (m, k) where it has k."""

NUMBER: Form = ("number",)

_LONGEST = 32  # characters of a text that is looked at one by one


class Raised:
    """An output that stands for an exception of a mechanism: its type, not its text."""

    def __init__(self, error: BaseException) -> None:
        self.kind = type(error).__qualname__


def kind(outputs: Any) -> tuple[Any, ...]:
    """Return the type of a whole batch, which every call of one mechanism should share."""
    if isinstance(outputs, np.ndarray):
        return ("array", outputs.dtype.str, outputs.shape[1:])
    return (type(outputs).__name__,)


def read(outputs: Any) -> Sample:
    """Return the numbers of each form among the outputs.

    Parameters
    ----------
    outputs : array or sequence
        One output per entry of the first axis. In a sequence the type of a number is part of its form; in an array it
        is not, because the dtype of an array may depend on the whole batch.

    Examples
    --------
    >>> read([2.5, None, float("nan"), 1.0])
    {('number', 'float'): array([2.5, 1. ]), ('None',): array([], shape=(1, 0), dtype=float64), ('nan',): ...}
    """
    if isinstance(outputs, np.ndarray) and outputs.dtype.kind in "biufc":
        if outputs.dtype.kind == "c":
            outputs = np.stack([outputs.real, outputs.imag], axis=-1)
        return _read_array(outputs)
    if isinstance(outputs, np.ndarray) and outputs.dtype.kind == "U" and outputs.ndim == 1:
        return _read_texts(outputs)
    return _read_each(outputs)


def _read_texts(outputs: NDArray[np.str_]) -> Sample:
    lengths = np.char.str_len(outputs)
    if not len(outputs) or lengths.min() < 2 or lengths.max() > _LONGEST:
        return _read_each(outputs.tolist())
    codes = np.ascontiguousarray(outputs).view(np.uint32).reshape(len(outputs), -1).astype(np.int64)
    return {("str", int(k)): codes[lengths == k, :k] for k in np.unique(lengths)}


def _read_array(outputs: NDArray[Any]) -> Sample:
    if outputs.dtype.kind == "b" or outputs.dtype.itemsize > 8:
        outputs = outputs.astype(np.int64 if outputs.dtype.kind == "b" else np.float64)
    if outputs.ndim == 1:
        if outputs.dtype.kind != "f":
            return {NUMBER: outputs}
        finite = np.isfinite(outputs)
        if finite.all():
            return {NUMBER: outputs}
        odd = {"nan": np.isnan(outputs), "inf": outputs == np.inf, "-inf": outputs == -np.inf}
        sample: Sample = {(name,): np.empty((int(mask.sum()), 0)) for name, mask in odd.items() if mask.any()}
        return {NUMBER: outputs[finite]} | sample if finite.any() else sample
    shape = outputs.shape[1:]
    rows = outputs.reshape(len(outputs), math.prod(shape))
    base: Form = ("array", shape)
    if rows.dtype.kind != "f" or np.isfinite(rows).all():
        return {base: _narrow(rows)}
    # a digit per entry that is not finite, 0 for one that is
    marks = np.where(np.isnan(rows), 1, 0) + np.where(rows == np.inf, 2, 0) + np.where(rows == -np.inf, 3, 0)
    patterns, where = np.unique(marks.astype(np.int8), axis=0, return_inverse=True)
    where = where.ravel()
    sample = {}
    for index, pattern in enumerate(patterns):
        form: Form = ("array", shape, pattern.tobytes()) if pattern.any() else base
        sample[form] = _narrow(rows[where == index][:, pattern == 0])
    return sample


def _narrow(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows of one number as a vector of numbers."""
    return rows[:, 0] if rows.shape[1] == 1 else rows


def _read_each(outputs: Iterable[Any]) -> Sample:
    found: dict[Form, list[list[float]]] = {}
    for output in outputs:
        values: list[float] = []
        found.setdefault(_form(output, values), []).append(values)
    sample: Sample = {}
    for form, rows in found.items():
        array = np.array(rows, dtype=np.float64).reshape(len(rows), -1)
        sample[form] = _narrow(array)
    return sample


def _form(output: Any, values: list[float], least: int = 2) -> Form:
    """Return the form of one output and add its open numbers to `values`; `least` is 1 inside a list."""
    if output is None:
        return ("None",)
    if isinstance(output, bool | np.bool_):
        if least == 1:
            values.append(float(output))
        return ("bool", bool(output) if least == 2 else None)
    if isinstance(output, str | bytes):
        kind = "str" if isinstance(output, str) else "bytes"
        if not least <= len(output) <= _LONGEST:
            return (kind, output)
        values += map(ord, output) if isinstance(output, str) else output
        return (kind, len(output))
    if isinstance(output, Raised):
        return ("raises", output.kind)
    if isinstance(output, numbers.Real):
        return _form_of_number(output, values)
    if isinstance(output, numbers.Complex):
        return ("complex", _form_of_number(output.real, values), _form_of_number(output.imag, values))
    if isinstance(output, np.ndarray):
        entries = tuple(_form(entry, values, 1) for entry in output.ravel().tolist())
        return ("array", output.dtype.str, output.shape, entries)
    if isinstance(output, Mapping):
        return (type(output).__name__, tuple((_form(k, []), repr(k), _form(v, values, 1)) for k, v in output.items()))
    if isinstance(output, Sequence):
        return (type(output).__name__, tuple(_form(entry, values, 1) for entry in output))
    text = repr(output)
    return (type(output).__qualname__, "" if " at 0x" in text else text)


def _form_of_number(output: Any, values: list[float]) -> Form:
    try:
        value = float(output)
    except OverflowError:
        value = math.inf if output > 0 else -math.inf
    if math.isfinite(value):
        values.append(value)
        return ("number", type(output).__name__)
    return ("nan" if math.isnan(value) else "inf" if value > 0 else "-inf",)


def name(form: Form) -> str:
    """Return the form in words that can follow "output is"."""
    head, *rest = form if isinstance(form, tuple) else (form,)
    if head in ("None", "nan", "inf", "-inf"):
        return {"nan": "NaN", "inf": "+infinity", "-inf": "-infinity"}.get(head, "None")
    if head == "raises":
        return f"an exception {rest[0]}"
    if head == "number":
        return f"a number of type {rest[0]}" if rest else "a number"
    if head == "array":
        kind = f" and type {rest[0]}" if len(rest) == 3 else ""
        shape = rest[1] if len(rest) == 3 else rest[0]
        return f"an array of shape {shape}{kind}" + (" with entries not finite" if len(rest) == 2 else "")
    if head in ("str", "bytes") and isinstance(rest[0], int):
        return f"a text of {rest[0]} characters"
    return _cut(_fill(form, None))


def spell(form: Form, row: NDArray[np.float64]) -> str:
    """Return one output of this form, with its numbers."""
    return _cut(_fill(form, iter(row.tolist())))


def _cut(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."


def _fill(form: Any, numbers_left: Iterator[float] | None) -> str:
    """Write the form with its numbers, or with a dot for each."""

    def number() -> str:
        value = None if numbers_left is None else next(numbers_left)
        return (
            "·" if value is None else f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"
        )

    head, *rest = form if isinstance(form, tuple) else (form,)
    if head == "number":
        return number()
    if head == "bool":
        return {"0": "False", "1": "True"}.get(text := number(), text) if rest[0] is None else repr(rest[0])
    if head in ("str", "bytes"):
        if not isinstance(rest[0], int):
            return repr(rest[0])
        return "·" if numbers_left is None else repr("".join(chr(int(next(numbers_left))) for _ in range(rest[0])))
    if head in ("tuple", "list"):
        inside = ", ".join(_fill(entry, numbers_left) for entry in rest[0])
        return f"({inside})" if head == "tuple" else f"[{inside}]"
    if head == "array" and numbers_left is not None:
        return f"({', '.join(_fill(('number',), iter([v])) for v in numbers_left)})"
    return name(form) if not rest else f"{head}{tuple(rest)!r}"
