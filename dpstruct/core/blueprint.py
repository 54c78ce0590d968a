"""Public parameters to JSON and back, and the register of blueprints that are imported.

A file names a blueprint by its class name only; nothing is ever imported because a file says so.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

from dpstruct.core.functions import label_of, labelled
from dpstruct.domain import Ball, Box
from dpstruct.errors import FileFormatError, InvalidParameter

if TYPE_CHECKING:
    from dpstruct.core.structure import Structure

__all__ = ["canonical", "decode", "digest", "encode", "lookup", "parameters", "register"]

_DOMAINS: dict[str, Any] = {"Box": Box, "Ball": Ball}
_BLUEPRINTS: dict[str, list[type[Structure[Any]]]] = {}


def canonical(value: object) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def _to_json(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_to_json(v) for v in value]
    if type(value).__name__ in _DOMAINS and dataclasses.is_dataclass(value):
        fields = {f.name: _to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"domain": type(value).__name__, **fields}
    if callable(value):
        return {"function": label_of(value)}
    if any(type(value) is cls for cls in _BLUEPRINTS.get(type(value).__name__, [])):
        return {"blueprint": encode(value)}  # type: ignore[arg-type]
    raise InvalidParameter(
        "structure", f"a parameter of type {type(value).__name__}", "numbers, text, tuples, domains or functions"
    )


def _from_json(value: object) -> object:
    if isinstance(value, list):
        return tuple(_from_json(v) for v in value)
    if isinstance(value, dict) and set(value) == {"blueprint"}:
        return decode(value["blueprint"])
    if isinstance(value, dict):
        if set(value) == {"function"}:
            return labelled(value["function"])
        name = value.get("domain")
        if not isinstance(name, str) or name not in _DOMAINS:
            raise FileFormatError("a blueprint parameter is neither a plain value nor a Box or Ball")
        if name == "Box" and not all(isinstance(value.get(side), list) for side in ("low", "high")):
            raise FileFormatError("a Box does not list its sides")  # else a short file could name a box of any size
        return _DOMAINS[name](**{k: _from_json(v) for k, v in value.items() if k != "domain"})
    return value


def encode(structure: Structure[Any]) -> dict[str, object]:
    """Return the JSON form of a blueprint: its class name and its public parameters."""
    values = {name: _to_json(getattr(structure, name)) for name in parameters(type(structure))}
    return {"name": type(structure).__name__, "parameters": values}


def parameters(cls: type[Any]) -> list[str]:
    """Return the names of the public parameters of a blueprint class."""
    return [field.name for field in dataclasses.fields(cls) if field.init]


def decode(value: object, cls: type[Structure[Any]] | None = None) -> Structure[Any]:
    """Rebuild a blueprint; every parameter passes the checks of its constructor."""
    if not isinstance(value, dict) or set(value) != {"name", "parameters"} or not isinstance(value["name"], str):
        raise FileFormatError("the label names no blueprint")
    cls = cls or lookup(value["name"])
    given = value["parameters"]
    if not isinstance(given, dict) or not set(given) <= set(parameters(cls)):
        raise FileFormatError(f"the label's parameters are not those of {cls.__name__}")
    try:
        return cls(**{k: _from_json(v) for k, v in given.items()})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise FileFormatError(f"the label's parameters are refused by {cls.__name__}: {error}") from error


def digest(structure: Structure[Any]) -> str:
    """Return the SHA-256 of a blueprint's canonical JSON."""
    return hashlib.sha256(canonical(encode(structure))).hexdigest()


def register(cls: type[Structure[Any]]) -> None:
    """Make an imported blueprint class known to `lookup`; a class defined anew under the same path replaces the old."""
    same = _BLUEPRINTS.setdefault(cls.__name__, [])
    same[:] = [c for c in same if (c.__module__, c.__qualname__) != (cls.__module__, cls.__qualname__)] + [cls]


def lookup(name: str) -> type[Structure[Any]]:
    """Return the imported blueprint class called `name`."""
    found = _BLUEPRINTS.get(name, [])
    if len(found) == 1:
        return found[0]
    if not found:
        known = ", ".join(sorted(_BLUEPRINTS)) or "none"
        raise FileFormatError(
            f"no imported blueprint is called {name[:80]!r} (known: {known}); import the package that defines it first"
        )
    raise FileFormatError(f"{len(found)} imported blueprints are called {name!r}; pass structure= to say which")
