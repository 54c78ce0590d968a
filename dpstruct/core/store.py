"""The ledger store: budgets, charges and outcomes in one append-only book, in a file or in memory.

A release is two transactions. The first charges, durably, before any noise exists; the second records the noised
transcript, before anyone sees it. Death between the two loses budget, never privacy.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from dpstruct.core import book
from dpstruct.core.chain import Entry, entry_of, spell
from dpstruct.core.database import Database
from dpstruct.core.location import settle
from dpstruct.core.records import Charge, KeyReused, OverBudget, ReleasePurged, Terms, check_name, check_units
from dpstruct.core.verify import verify
from dpstruct.errors import InvalidParameter, LedgerError

__all__ = ["Charge", "Entry", "KeyReused", "OverBudget", "ReleasePurged", "Store", "Terms"]


class Store:
    """An append-only book of budgets and charges that threads and processes share.

    Parameters
    ----------
    path : str or os.PathLike, optional
        File of the ledger, on a local disk. Without it the book lives in memory and only in this process.
    create : bool
        Whether a missing or empty file may become a ledger; if not, it is refused and left as it is.
    timeout : float
        Seconds to keep trying while another process holds the lock.

    Raises
    ------
    LedgerError
        If the place is unfit or the file is not a ledger.

    Notes
    -----
    Putting an older copy of the file back also puts the budget back. No file can notice this by itself: export
    `head` now and then, and hand it to `verify`.
    """

    def __init__(self, path: object = None, *, create: bool = True, timeout: float = 60.0) -> None:
        self.path = None if path is None else settle(path)
        self._database = Database(self.path, create=create, timeout=timeout)
        self.identity = self._database.write(book.found)
        self._database.identity = self.identity

    @property
    def durable(self) -> bool:
        """Whether a charge outlives this process."""
        return self.path is not None

    def open(self, budget: str, terms: Terms) -> None:
        """Create a budget, or check that the one stored has the same terms.

        Raises
        ------
        NeighborsMismatch
            If relation or unit differ.
        LedgerError
            If measure, epsilon or delta differ.
        """
        check_name("name", budget)
        text = spell(terms.stated(), "terms")

        def work(db: sqlite3.Connection) -> None:
            if (stored := book.terms(db, budget)) is None:
                book.append(db, "budget", budget, text, total=str(terms.total))
            else:
                stored.demand(budget, terms)

        self._database.write(work)

    def terms(self, budget: str) -> Terms:
        """Return the terms in force: those of the opening, with the total and epsilon of the last amendment.

        `Terms.first` is None until an amendment, and the total of the opening from then on.
        """
        return self._database.read(lambda db: book.known(db, budget))

    def budgets(self) -> list[str]:
        """Return the names of all budgets, oldest first."""
        rows = "SELECT budget FROM entry WHERE kind = 'budget' ORDER BY seq"
        return self._database.read(lambda db: [str(name) for (name,) in db.execute(rows)])

    def charge(self, budget: str, *, cost: int, request: bytes, body: Mapping[str, object], key: str | None) -> Charge:
        """Charge durably, or return the charge that already bears this key.

        Parameters
        ----------
        cost : int
            Units of 2^-100, > 0.
        request : bytes
            Digest of everything public that determines the release; never of data.
        body : mapping
            JSON record of the charge: label, events, relation, entropy source.
        key : str or None
            Names this release for retries.

        Raises
        ------
        OverBudget
            If spent + cost > total; nothing was written.
        KeyReused
            If the key was used for another request.
        ReleasePurged
            If the release under this key was deleted.
        LedgerError
            If the store fails; says whether the charge may stand.
        """
        check_units("cost", cost)
        if key is not None:
            check_name("key", key)
        text, uid = spell(dict(body)), secrets.token_hex(16)

        def work(db: sqlite3.Connection) -> Charge:
            terms = book.known(db, budget)
            if key is not None and (found := book.keyed(db, budget, key)):
                return _same(found, budget, key, request)
            spent = book.spent(db, budget)
            if not terms.rule.admits(spent, cost):
                raise OverBudget(spent, terms.total)
            amounts = {"cost": str(cost), "total": str(spent + cost)}
            seq, at = book.append(db, "charge", budget, text, uid=uid, idem=key, request=request, **amounts)
            return Charge(uid, seq, at, "open")

        return self._database.write(
            work,
            undone="nothing was charged and nothing was released",
            unsure="whether the charge was stored is not certain (the log tells), nothing was released",
        )

    def finish(self, charge: Charge, *, payload: bytes | None) -> Charge:
        """Record the outcome of a charge, once: if one is stored already, drop ours and return that one."""
        digest = None if payload is None else hashlib.sha256(payload).hexdigest()
        return self._settle(charge, "done", {"sha256": digest, "stored": payload is not None}, payload)

    def fail(self, charge: Charge, reason: str) -> None:
        """Record that a charge will never be released; `reason` is the name of an exception type, no message."""
        name = reason if reason.replace(".", "").isidentifier() else "Exception"
        self._settle(charge, "failed", {"error": name}, None)

    def purge(self, budget: str, key: str) -> None:
        """Delete the stored release of a key; the charge stays, and a retry raises `ReleasePurged`."""

        def work(db: sqlite3.Connection) -> None:
            book.known(db, budget)
            found = book.keyed(db, budget, key)
            if found is None or found[0].status not in ("done", "purged"):
                state = "unknown" if found is None else found[0].status
                raise LedgerError(f"budget {budget!r}, key {key!r}: {state}, there is no release to purge; see the log")
            db.execute("DELETE FROM payload WHERE seq = (SELECT seq FROM entry WHERE ref = ?)", (found[0].seq,))

        self._database.write(work)

    def amend(self, budget: str, total: int, who: str, why: str, *, epsilon: float | None = None) -> None:
        """Change the total of a budget, on the record.

        The guarantee of adaptive composition holds for a total fixed in advance; one raised after releases were seen is
        bookkeeping, and the log shows both.
        """
        check_name("who", who)
        check_name("why", why)
        check_units("total", total)

        def work(db: sqlite3.Connection) -> None:
            before, spent = book.known(db, budget), book.spent(db, budget)
            if total < spent:
                raise InvalidParameter("total", str(total), f"at least the {spent} that are spent")
            states = {"who": who, "why": why, "epsilon": before.epsilon if epsilon is None else epsilon}
            book.append(db, "amend", budget, spell(states), total=str(total))

        self._database.write(work)

    def entries(self, budget: str | None = None) -> list[Entry]:
        """Return the entries of one budget, or of all, in the order they were written."""

        def work(db: sqlite3.Connection) -> list[Entry]:
            if budget is not None:
                book.known(db, budget)
            return [entry_of(row) for row in book.rows(db, budget)]

        return self._database.read(work)

    def spent(self, budget: str) -> int:
        """Return what a budget has spent, in units of 2^-100."""

        def work(db: sqlite3.Connection) -> int:
            book.known(db, budget)
            return book.spent(db, budget)

        return self._database.read(work)

    def verify(self, head: str | None = None) -> None:
        """Recompute the whole book; raise `LedgerError` at the first entry that is wrong.

        Parameters
        ----------
        head : str, optional
            An exported `head`, which must be among the hashes: notices a file that was rolled back.
        """
        self._database.read(lambda db: verify(db, head))

    def head(self) -> str:
        """Return the hash of the newest entry, which fixes the whole book, in hexadecimal."""
        return self._database.read(lambda db: book.head(db)[1].hex())

    def close(self) -> None:
        """Close this process's file handle; the next call opens another. A book in memory stays."""
        if self.durable:
            self._database.close()

    def __reduce__(self) -> tuple[object, ...]:
        if not self.durable:
            raise LedgerError(
                "a budget in memory cannot be pickled: a copy could be spent too; use dpstruct.Ledger(path).budget(...)"
            )
        return _reopen, (self.path, self.identity)

    def __repr__(self) -> str:
        return f"Store({self.path!r})" if self.durable else "Store()"

    def _settle(
        self, charge: Charge, status: Literal["done", "failed"], body: Mapping[str, object], payload: bytes | None
    ) -> Charge:
        text = spell({**body, "status": status})

        def work(db: sqlite3.Connection) -> Charge:
            row = db.execute("SELECT kind, budget, uid FROM entry WHERE seq = ?", (charge.seq,)).fetchone()
            if row is None or (row[0], row[2]) != ("charge", charge.uid):
                raise LedgerError(f"{self._database}: charge {charge.uid} is not in this ledger; nothing was changed")
            if (stored := book.outcome(db, charge)).status != "open":
                return stored
            seq, _ = book.append(db, "outcome", row[1], text, ref=charge.seq)
            if payload is not None:
                db.execute("INSERT INTO payload VALUES (?, ?)", (seq, payload))
            return replace(charge, status=status, payload=payload)

        after = "nothing was released; a retry with the same key completes it, without a key the cost is lost"
        return self._database.write(
            work,
            undone=f"the charge stands, {after}",
            unsure=f"the charge stands, whether its outcome was stored is not certain, {after}",
        )


def _reopen(path: str, identity: str) -> Store:
    store = Store(path, create=False)
    if store.identity != identity:
        raise LedgerError(
            f"ledger {path}: this handle belongs to another ledger ({identity}) than the one found ({store.identity}); "
            "nothing was charged; put the right file back, or open this one anew"
        )
    return store


def _same(found: tuple[Charge, bytes], budget: str, key: str, request: bytes) -> Charge:
    charge, stored = found
    if stored != request:
        raise KeyReused(
            f"budget {budget!r}: key {key!r} already names another release (made {charge.at}): blueprint, cost or "
            "neighbours differ; nothing was charged; give this release a key of its own"
        )
    if charge.status == "purged":
        raise ReleasePurged(
            f"budget {budget!r}: the release with key {key!r} was purged by its owner and is never drawn again; "
            "nothing was charged; load a saved copy of it, or make a new release under another key"
        )
    return charge
