"""The hash chain of the ledger: what an entry is, how it is read and how it is hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from dpstruct.core import blueprint
from dpstruct.errors import InvalidParameter, LedgerError

__all__ = ["COLUMNS", "GENESIS", "Entry", "entry_of", "link", "spell"]

GENESIS = bytes(32)
COLUMNS = ("seq", "kind", "uid", "budget", "ref", "idem", "request", "cost", "total", "body", "at", "prev", "hash")


@dataclass(frozen=True)
class Entry:
    """One line of the ledger, never changed once written.

    `total` is the total in force from here on (kinds ``budget`` and ``amend``) or all that the budget has spent, this
    charge included (kind ``charge``); costs and totals are integers in units of 2^-100.
    """

    seq: int
    kind: str
    uid: str
    budget: str
    ref: int | None
    key: str | None
    request: bytes | None
    cost: int | None
    total: int | None
    body: dict[str, object]
    at: str
    prev: bytes = field(repr=False)
    hash: bytes = field(repr=False)


def spell(value: object, argument: str = "body") -> str:
    """Return the canonical JSON of a value, or refuse it without quoting it."""
    try:
        return blueprint.canonical(value).decode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidParameter(
            argument,
            "something that JSON cannot hold",
            "dicts with string keys, lists, strings, finite numbers, booleans or None",
        ) from None


def link(row: Mapping[str, object]) -> bytes:
    """Return SHA-256 of the previous hash followed by the canonical JSON of every other column.

    `row` maps each of `COLUMNS` but ``hash`` to its stored value; the request enters in hexadecimal, the body as the
    stored text.
    """
    prev, request = row["prev"], row["request"]
    if not isinstance(prev, bytes) or not isinstance(request, bytes | None):
        raise InvalidParameter("prev, request", "other types", "bytes")
    others = {name: row[name] for name in COLUMNS if name not in ("prev", "hash")}
    others["request"] = None if request is None else request.hex()
    return hashlib.sha256(prev + spell(others).encode()).digest()


def entry_of(row: Mapping[str, object]) -> Entry:
    """Return the entry that a stored row spells."""
    values = dict(row)
    values["key"] = values.pop("idem")
    try:
        values["body"] = json.loads(str(row["body"]))
        if not isinstance(values["body"], dict):
            raise ValueError
        for name in ("cost", "total"):
            if (text := row[name]) is not None:
                values[name] = number = int(str(text))
                if str(number) != text or number < 0:
                    raise ValueError
    except ValueError:
        raise LedgerError(f"entry {row['seq']}: its numbers or its body cannot be read: it was altered") from None
    return Entry(**values)  # type: ignore[arg-type]
