"""Functions as parameters of a blueprint: no file carries one, a name and a digest of what it computes stand for it."""

from __future__ import annotations

import hashlib
import weakref
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from dpstruct.errors import FileFormatError, InvalidParameter

__all__ = ["label_of", "labelled"]

_KNOWN: dict[str, weakref.ref[Any]] = {}


def label_of(function: Any) -> str:
    """Return the label of a function in a blueprint: where it is defined, and a digest of its code and what it holds.

    Functions that compute alike have one label; another value in a closure gives another label.

    Raises
    ------
    InvalidParameter
        If it is no Python function, or holds something other than plain values, arrays and such functions.
    """
    label = f"{function.__module__}.{function.__qualname__}:{_digest(function)}" if _is(function) else ""
    if not label:
        remedy = "wrap it: def features(rows): return thing(rows)"
        raise InvalidParameter("kernel", f"a {type(function).__name__}", "a Python function", remedy)
    _KNOWN[label] = weakref.ref(function)
    return label


def labelled(label: object) -> Any:
    """Return a living function with that label which a blueprint of this process has used."""
    found = _KNOWN.get(str(label), lambda: None)()
    if found is None:
        raise FileFormatError(
            f"the blueprint uses the function {str(label)[:200]!r}, which no file carries; give it back with structure="
        )
    return found


def _is(function: object) -> bool:
    return isinstance(function, FunctionType)


def _digest(function: Any) -> str:
    text = hashlib.sha256()
    for part in _parts(function):
        text.update(len(part).to_bytes(8, "little") + part)
    return text.hexdigest()[:32]


def _parts(function: Any) -> list[bytes]:
    held = [cell.cell_contents for cell in function.__closure__ or ()]
    held += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).items()]
    return [*_code(function.__code__), *(part for value in held for part in _value(value))]


def _code(code: CodeType) -> list[bytes]:
    parts = [code.co_code, repr(code.co_names).encode()]
    for constant in code.co_consts:
        parts += _code(constant) if isinstance(constant, CodeType) else [repr(constant).encode()]
    return parts


def _value(value: object) -> list[bytes]:
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return [repr(value).encode()]
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        return [repr((value.dtype.str, value.shape)).encode(), value.tobytes()]
    if isinstance(value, tuple | list):
        return [repr(len(value)).encode(), *(part for item in value for part in _value(item))]
    if _is(value):
        return _parts(value)
    raise InvalidParameter(
        "kernel", f"a function that holds a {type(value).__name__}", "plain values, arrays and functions in its closure"
    )
