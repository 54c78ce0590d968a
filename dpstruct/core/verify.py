"""The whole book checked again, from the entries alone."""

from __future__ import annotations

import hashlib
import sqlite3

from dpstruct.core.book import SCHEMA, rows
from dpstruct.core.chain import GENESIS, Entry, entry_of, link
from dpstruct.errors import InvalidParameter, LedgerError

__all__ = ["verify"]


def verify(db: sqlite3.Connection, head: str | None = None) -> None:
    """Recompute everything that the ledger states about itself; raise at the first entry that is wrong.

    Checks the pages of the file, the schema with its append-only triggers, every hash, the running total of every
    budget against the total in force at that time, the price of every charge against its events, the digest of every
    stored release and, if given, that an exported `head` is among the hashes.
    """
    if (report := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
        raise LedgerError(f"the ledger file is damaged: {report}")
    found = {sql.removesuffix(" STRICT") for (sql,) in db.execute("SELECT sql FROM sqlite_master") if sql}
    if found != (due := {sql.removesuffix(" STRICT") for sql in SCHEMA}):
        raise LedgerError(f"tables, indexes or triggers of the ledger were changed: {sorted(found ^ due)[0]}")
    books, prev, hashes = _Books(db), GENESIS, {GENESIS.hex()}
    for number, row in enumerate(rows(db), start=1):
        if row["prev"] != prev or row["hash"] != _link(row):
            raise LedgerError(
                f"entry {number}: the hash chain breaks: this entry or the one before was altered or removed"
            )
        prev = _link(row)
        hashes.add(prev.hex())
        books.enter(entry_of(row))
    orphans = "SELECT seq FROM payload WHERE seq NOT IN (SELECT seq FROM entry WHERE kind = 'outcome')"
    if orphan := db.execute(orphans).fetchone():
        raise LedgerError(f"entry {orphan[0]}: a stored release that belongs to no outcome")
    if head is not None and head not in hashes:
        raise LedgerError("the exported head is not in this ledger: the file was rolled back, or it is another ledger")


def _link(row: dict[str, object]) -> bytes:
    try:
        return link(row)
    except InvalidParameter:
        return b""


class _Books:
    """Running totals, rebuilt entry by entry from the entries alone."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.total: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        self.measure: dict[str, object] = {}
        self.open: dict[int, str] = {}

    def enter(self, entry: Entry) -> None:
        if (entry.kind == "budget") == (entry.budget in self.total):
            raise LedgerError(f"entry {entry.seq}: budget {entry.budget!r} was opened twice or never")
        getattr(self, f"_{entry.kind}")(entry)

    def _budget(self, entry: Entry) -> None:
        if entry.total is None:
            raise LedgerError(f"entry {entry.seq}: a budget without a total")
        self.total[entry.budget], self.spent[entry.budget] = entry.total, 0
        self.measure[entry.budget] = entry.body.get("measure")

    def _amend(self, entry: Entry) -> None:
        if entry.total is None or entry.total < self.spent[entry.budget]:
            raise LedgerError(f"entry {entry.seq}: an amendment below what was spent")
        self.total[entry.budget] = entry.total

    def _charge(self, entry: Entry) -> None:
        spent = self.spent[entry.budget] + (entry.cost or 0)
        if not entry.cost or entry.total != spent:
            raise LedgerError(
                f"entry {entry.seq}: the running total is wrong: stored {entry.total}, recomputed {spent}"
            )
        if spent > self.total[entry.budget]:
            raise LedgerError(f"entry {entry.seq}: {spent} spent, over the total {self.total[entry.budget]} in force")
        _check_price(entry, self.measure[entry.budget])
        self.spent[entry.budget], self.open[entry.seq] = spent, entry.budget

    def _outcome(self, entry: Entry) -> None:
        if entry.ref is None or self.open.pop(entry.ref, None) != entry.budget:
            raise LedgerError(f"entry {entry.seq}: an outcome without an open charge")
        row = self.db.execute("SELECT data FROM payload WHERE seq = ?", (entry.seq,)).fetchone()
        if row and not (entry.body.get("stored") and entry.body.get("sha256") == hashlib.sha256(row[0]).hexdigest()):
            raise LedgerError(f"entry {entry.seq}: the stored release is not the one that was recorded")


def _check_price(entry: Entry, measure: object) -> None:
    """Price the events of a charge again, from what was handed to the sampler, and compare with what was charged."""
    from dpstruct.privacy.events import Event
    from dpstruct.privacy.measures import GDP, PureDP

    events, price = entry.body.get("events"), 0
    if not isinstance(events, list) or not events:
        raise LedgerError(f"entry {entry.seq}: its noise is not recorded")
    try:
        for value in events:
            event = Event.decode(value)
            units, native = event.price(), "gdp" if event.kind == "rounded-gaussian" else "pure-dp"
            if (native, measure) == ("pure-dp", "gdp"):
                units = GDP.from_pure(PureDP.from_units(units)).units
                units -= units >> 43  # from_pure adds 2e-13; its last bits need not be monotone
            elif native != measure:
                raise LedgerError(f"entry {entry.seq}: {event.kind} noise was charged to a {measure} budget")
            price += units
    except InvalidParameter as error:
        raise LedgerError(f"entry {entry.seq}: its events cannot be priced: {error}") from error
    if price > (entry.cost or 0):
        raise LedgerError(f"entry {entry.seq}: its noise costs {price} units of 2^-100, charged were {entry.cost}")
