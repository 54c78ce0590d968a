"""A file that holds privacy budgets and everything ever charged to them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dpstruct.core.location import settle
from dpstruct.core.store import Entry, Store, Terms
from dpstruct.errors import InvalidParameter

if TYPE_CHECKING:
    from dpstruct.core.budget import Budget
    from dpstruct.privacy import Relation

__all__ = ["Ledger"]


class Ledger:
    """Budgets that outlive the process: every charge is on the disk before any noise is drawn.

    Threads and processes of one machine may share the file; together they cannot spend more than the totals.

    Parameters
    ----------
    path : str or os.PathLike
        The SQLite file, created if missing; on a local disk, under one name. A journal lies
        beside it while a charge is written.

    Raises
    ------
    LedgerError
        If the place is a directory, not writable or a network file system, or the file is no ledger, has hard links or
        is mounted as a single file.

    Notes
    -----
    Entries are append-only and hash-chained: `verify` finds any that was altered or removed. Someone who may write the
    file can still put an older copy back, which gives the budget back; keep `export_head` elsewhere and hand it to
    `verify` to notice. Copy the file only while no process uses it, or with SQLite's own backup command.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> ledger = Ledger(pathlib.Path(folder.name) / "privacy.db")
    >>> budget = ledger.budget("visits", epsilon=2.0, delta=1e-6, neighbors="add-remove")
    >>> ledger.budgets()
    ['visits']
    >>> ledger.verify(head=ledger.export_head())
    >>> ledger.close(); folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._store = Store(settle(path))

    def budget(
        self,
        name: str,
        *,
        epsilon: float | None = None,
        delta: float = 0.0,
        neighbors: Relation | str | None = None,
        unit: str = "row",
    ) -> Budget:
        """Return the budget of this name: created with these terms, or reopened.

        Parameters
        ----------
        name : str
            Names the budget within the ledger.
        epsilon, delta : float, optional
            The total guarantee: mu-GDP if delta > 0, pure DP if delta = 0. Without `epsilon` an existing budget is
            reopened as it is.
        neighbors : {"add-remove", "substitute"} or RowsWithin
            What two neighbouring datasets differ in. Required with `epsilon`; no default.
        unit : str
            Whose data a neighbour holds: ``"row"``, or a name such as ``"user"``.

        Returns
        -------
        Budget

        Raises
        ------
        NeighborsMismatch
            If the budget exists with another relation or unit.
        LedgerError
            If it exists with another total, or does not exist and no terms were given.
        """
        from dpstruct.core.budget import Budget

        if epsilon is not None:
            self._store.open(name, Terms.of(epsilon=epsilon, delta=delta, neighbors=neighbors, unit=unit))
        elif neighbors is not None or delta != 0.0 or unit != "row":
            raise InvalidParameter("epsilon", "nothing", "a number > 0", "give all terms, or none to reopen the budget")
        else:
            self._store.terms(name)
        return Budget._on(self._store, name)

    def budgets(self) -> list[str]:
        """Return the names of all budgets, oldest first."""
        return self._store.budgets()

    def log(self, name: str | None = None) -> list[Entry]:
        """Return every entry of one budget, or of all, in the order they were written."""
        return self._store.entries(name)

    def verify(self, head: str | None = None) -> None:
        """Recompute hashes, running totals, prices and digests; raise `LedgerError` at the first wrong entry.

        Parameters
        ----------
        head : str, optional
            What `export_head` returned earlier; raises if the ledger no longer contains it, as after a rollback.
        """
        self._store.verify(head)

    def export_head(self) -> str:
        """Return the hash of the newest entry, to be kept where the ledger's writers cannot change it."""
        return self._store.head()

    def purge(self, name: str, key: str) -> None:
        """Delete the stored release of a key. It stays charged, and is never drawn again."""
        self._store.purge(name, key)

    def amend(self, name: str, *, epsilon: float, who: str, why: str) -> None:
        """Change the total of a budget, at its delta, on the record.

        Totals fixed in advance are what the guarantee rests on: one raised after releases were seen is bookkeeping.

        Raises
        ------
        InvalidParameter
            If the new total is below what is spent.
        """
        from dpstruct.privacy.neighbors import decode

        old = self._store.terms(name)
        new = Terms.of(epsilon=epsilon, delta=old.delta, neighbors=decode(old.neighbors), unit=old.unit)
        self._store.amend(name, new.total, who, why, epsilon=new.epsilon)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._store.close()

    def __repr__(self) -> str:
        return f"Ledger({self._store.path!r})"
