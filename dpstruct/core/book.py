"""The SQL of the ledger: tables and triggers, and the few questions asked of them inside a transaction."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from dpstruct.core.chain import COLUMNS, GENESIS, link
from dpstruct.core.database import APPLICATION_ID, FORMAT
from dpstruct.core.records import Charge, Terms
from dpstruct.errors import DPStructError, LedgerError

__all__ = ["SCHEMA", "append", "found", "head", "keyed", "known", "outcome", "rows", "spent", "terms"]

_STRICT = " STRICT" if sqlite3.sqlite_version_info >= (3, 37) else ""
SCHEMA = (
    f"CREATE TABLE ledger(identity TEXT NOT NULL){_STRICT}",
    "CREATE TABLE entry(seq INTEGER PRIMARY KEY, "
    "kind TEXT NOT NULL CHECK(kind IN ('budget','charge','outcome','amend')), uid TEXT NOT NULL UNIQUE, "
    "budget TEXT NOT NULL, ref INTEGER REFERENCES entry(seq), idem TEXT, request BLOB, cost TEXT, total TEXT, "
    f"body TEXT NOT NULL, at TEXT NOT NULL, prev BLOB NOT NULL, hash BLOB NOT NULL){_STRICT}",
    f"CREATE TABLE payload(seq INTEGER PRIMARY KEY REFERENCES entry(seq), data BLOB NOT NULL){_STRICT}",
    "CREATE UNIQUE INDEX one_budget ON entry(budget) WHERE kind='budget'",
    "CREATE UNIQUE INDEX one_key ON entry(budget, idem) WHERE kind='charge'",
    "CREATE UNIQUE INDEX one_outcome ON entry(ref) WHERE kind='outcome'",
    "CREATE INDEX by_budget ON entry(budget, kind, seq)",
    "CREATE TRIGGER next_entry BEFORE INSERT ON entry WHEN NEW.seq IS NOT (SELECT coalesce(max(seq),0)+1 FROM entry) "
    "BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
    "CREATE TRIGGER keep_entry BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
    "CREATE TRIGGER hold_entry BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END",
    "CREATE TRIGGER next_payload BEFORE INSERT ON payload WHEN EXISTS (SELECT 1 FROM payload WHERE seq = NEW.seq) "
    "BEGIN SELECT RAISE(ABORT, 'payloads are immutable'); END",
    "CREATE TRIGGER keep_payload BEFORE UPDATE ON payload BEGIN SELECT RAISE(ABORT, 'payloads are immutable'); END",
)


@contextmanager
def _legible(what: str) -> Iterator[None]:
    """Turn an entry that cannot be parsed into the ledger's own error."""
    try:
        yield
    except DPStructError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LedgerError(
            f"{what} cannot be read; nothing was charged; verify() names the entry that was altered"
        ) from None


def found(db: sqlite3.Connection) -> str:
    """Create the tables if the database is empty; return the identity of the ledger."""
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for part in SCHEMA:
            db.execute(part)
        db.execute("INSERT INTO ledger VALUES (?)", (secrets.token_hex(16),))
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={FORMAT}")
    return str(db.execute("SELECT identity FROM ledger").fetchone()[0])


def head(db: sqlite3.Connection) -> tuple[int, bytes]:
    """Return sequence number and hash of the newest entry."""
    row = db.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def append(db: sqlite3.Connection, kind: str, budget: str, body: str, **columns: object) -> tuple[int, str]:
    """Write one entry at the end of the chain; return its number and time."""
    last, prev = head(db)
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    row: dict[str, object] = dict.fromkeys(COLUMNS)
    row |= {"seq": last + 1, "kind": kind, "uid": secrets.token_hex(16), "budget": budget, "body": body, "at": at}
    row |= columns | {"prev": prev}
    row["hash"] = link(row)
    db.execute(f"INSERT INTO entry VALUES ({','.join('?' * len(COLUMNS))})", [row[name] for name in COLUMNS])
    return last + 1, at


def rows(db: sqlite3.Connection, budget: str | None = None) -> Iterator[dict[str, object]]:
    """Yield the stored rows in order, of one budget or of all."""
    names = ", ".join(COLUMNS)
    for row in db.execute(f"SELECT {names} FROM entry WHERE ?1 IS NULL OR budget = ?1 ORDER BY seq", (budget,)):
        yield dict(zip(COLUMNS, row))


def terms(db: sqlite3.Connection, budget: str) -> Terms | None:
    """Return the terms in force, with the first total if it was amended; None if there is no such budget."""
    of_kind = "SELECT total, body FROM entry WHERE budget = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
    opening = db.execute(of_kind, (budget, "budget")).fetchone()
    amendment = db.execute(of_kind, (budget, "amend")).fetchone()
    if opening is None:
        return None
    with _legible(f"budget {budget!r}: its terms"):
        stated = replace(Terms(**json.loads(opening[1])), total=int(opening[0]), first=None)
        if amendment is None:
            return stated
        epsilon = json.loads(amendment[1])["epsilon"]
        return replace(stated, total=int(amendment[0]), epsilon=epsilon, first=stated.total)


def known(db: sqlite3.Connection, budget: str) -> Terms:
    """Return the terms in force, or say which budgets there are."""
    if (stored := terms(db, budget)) is None:
        names = [repr(name) for (name,) in db.execute("SELECT budget FROM entry WHERE kind = 'budget' ORDER BY seq")]
        raise LedgerError(f"no budget named {budget!r} in this ledger; it holds {', '.join(names) or 'none'}")
    return stored


def spent(db: sqlite3.Connection, budget: str) -> int:
    """Return the running total of the newest charge."""
    row = db.execute(
        "SELECT total FROM entry WHERE budget = ? AND kind = 'charge' ORDER BY seq DESC LIMIT 1", (budget,)
    ).fetchone()
    with _legible(f"budget {budget!r}: its last charge"):
        return 0 if row is None else int(row[0])


def keyed(db: sqlite3.Connection, budget: str, key: str) -> tuple[Charge, bytes] | None:
    """Return the charge that bears a key, as it stands now, and its request."""
    row = db.execute(
        "SELECT uid, seq, at, request FROM entry WHERE budget = ? AND idem = ? AND kind = 'charge'", (budget, key)
    ).fetchone()
    if row is None:
        return None
    return outcome(db, Charge(row[0], row[1], row[2], "open")), bytes(row[3])


def outcome(db: sqlite3.Connection, charge: Charge) -> Charge:
    """Return the charge with the status and payload that are stored for it."""
    row = db.execute(
        "SELECT e.body, p.data FROM entry e LEFT JOIN payload p ON p.seq = e.seq "
        "WHERE e.ref = ? AND e.kind = 'outcome'",
        (charge.seq,),
    ).fetchone()
    if row is None:
        return replace(charge, status="open", payload=None)
    with _legible(f"the outcome of charge {charge.uid}"):
        body = json.loads(row[0])
        status: Literal["done", "failed", "purged"] = "failed" if body["status"] != "done" else "done"
        if status == "done" and body["stored"] and row[1] is None:
            status = "purged"
    return replace(charge, status=status, payload=row[1])
