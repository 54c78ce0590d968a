"""One SQLite database, in a file or in memory: short transactions that are durable, survive forks and explain failures.

A SQLite connection must not cross a fork: the child would inherit the library's record of file locks without the locks
themselves, and could then truncate a journal that another process is reading. So every connection is closed just
before a fork, and parent and child open their own again at their next call.

The journal is one that rolls back, not a write-ahead log. A log and its index are separate files named after the path:
whoever reaches the ledger by a second name, or takes the file alone, does not see what was charged last. Here every
commit ends in the file; the locks sit on it and, since those can be lost, on its folder. What the name still decides is
where the journal of a commit that was cut short lies, so a file with a second name is refused, under the lock, at every
call.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from dpstruct.core.location import Taken, alone, demand_one_link, demand_whole_mount
from dpstruct.errors import LedgerError

__all__ = ["Database"]

T = TypeVar("T")

APPLICATION_ID = 0x64507354  # "dPsT"
FORMAT = 1

_SHARE = 0.02  # seconds for which SQLite itself waits: a writer whose turn it is lets no new readers in meanwhile
_SLOT = 0.01  # seconds; every wait for the lock is uniform in (0, _SLOT), so nobody's chance depends on its luck so far
_CROWD = 0.5  # seconds for which a writer that met another's work waits a moment before taking the lock again
_POLITE = 0.05  # how often it does so unasked, to meet others at all
_UNCHANGED = "nothing was changed"
_jitter = random.SystemRandom()

_TROUBLE = {  # primary result code: what happened, what to do
    sqlite3.SQLITE_FULL: ("the disk is full", "free space on that disk, then try again"),
    sqlite3.SQLITE_READONLY: (
        "the file or its directory is read-only",
        "give this user write access to the file and to its directory, or move the ledger",
    ),
    sqlite3.SQLITE_PERM: ("access is denied", "give this user write access to the file and to its directory"),
    sqlite3.SQLITE_AUTH: ("access is denied", "give this user write access to the file and to its directory"),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened",
        "check that the file and its directory exist and that this user may write both",
    ),
    sqlite3.SQLITE_NOTADB: ("the file is not a SQLite database", "give the path of a ledger, or of a new file"),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "keep a copy, restore the newest backup, and charge again by hand what was released since that backup",
    ),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "check the disk and the mount, then try again"),
    sqlite3.SQLITE_TOOBIG: ("the stored release is too large for SQLite", "release it without key="),
}


class Database:
    """Run short transactions on one SQLite database, each wholly done or wholly undone.

    Parameters
    ----------
    path : str or None
        Absolute path of the file; None keeps everything in memory.
    create : bool
        Whether a missing or empty file may become a ledger.
    timeout : float
        Seconds to keep trying while another process holds the lock.
    """

    def __init__(self, path: str | None, *, create: bool, timeout: float) -> None:
        self.path, self.timeout = path, timeout
        self.identity: str | None = None  # set by the owner once known; every later connection must find it again
        self.lock = threading.RLock()
        self.pid = os.getpid()
        self._create = create
        self._box: list[sqlite3.Connection] = []
        self._file, self._version, self._yield_until = (0, 0), 0, 0.0
        weakref.finalize(self, _close, self._box)
        with _forking:
            _alive.add(self)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on one consistent snapshot."""
        return self._run(work, "BEGIN", _UNCHANGED, _UNCHANGED)

    def write(self, work: Callable[[sqlite3.Connection], T], undone: str = _UNCHANGED, unsure: str = "") -> T:
        """Run `work` alone on the file and return after its effects are on the disk.

        `work` may run more than once; only its last run counts. `undone` completes the error message of a failure
        before the commit, `unsure` of one during it.
        """
        unsure = unsure or "whether the change was stored is not certain: read the log"
        return self._run(work, "BEGIN EXCLUSIVE", undone, unsure)  # so that a reader can stop the start, not the commit

    def close(self) -> None:
        """Close this process's connection; the next call opens another (a memory database is lost)."""
        with self.lock:
            _close(self._box)

    def _run(self, work: Callable[[sqlite3.Connection], T], begin: str, undone: str, unsure: str) -> T:
        start = time.monotonic()
        if self.path is not None and begin != "BEGIN" and (start < self._yield_until or _jitter.random() < _POLITE):
            time.sleep(_SLOT * _jitter.random())  # else whoever has the lock takes it again and again
        while True:
            try:
                return self._attempt(work, begin, undone, unsure)
            except _Busy as busy:
                if time.monotonic() >= start + self.timeout:
                    raise LedgerError(
                        f"{self}: another process kept the file locked for {self.timeout:g} s; {undone}; "
                        "find the process that holds it (a backup, an open SQL shell, an older dpstruct?) and try again"
                    ) from busy.__cause__
            time.sleep(_SLOT * _jitter.random())

    def _attempt(self, work: Callable[[sqlite3.Connection], T], begin: str, undone: str, unsure: str) -> T:
        consequence = undone
        with self.lock:
            if self._box and self._box[0].in_transaction:  # by a signal handler: it must not commit half of our work
                raise LedgerError(
                    f"{self}: used again while this thread was writing to it; {undone}; do not nest calls"
                )
            try:
                with alone(self.path), self._undone_on_failure():
                    connection = self._connection()
                    connection.execute(begin)
                    version = self._seen(connection)
                    self._demand_same_file(connection)
                    result = work(connection)
                    consequence = unsure
                    connection.execute("COMMIT")
                if version != self._version:
                    self._version, self._yield_until = version, time.monotonic() + _CROWD
                return result
            except Taken as taken:
                raise _Busy from taken
            except (sqlite3.Error, OverflowError) as error:
                if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                    raise _Busy from error
                raise self._explain(error, consequence) from error

    @staticmethod
    def _seen(connection: sqlite3.Connection) -> int:
        """Return a number that changes when another connection commits."""
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _demand_same_file(self, connection: sqlite3.Connection) -> None:
        """Check, now that it is locked, that the file is the one of this path, has no other name and needs no log."""
        if self.path is None:
            return
        demand_one_link(self.path)
        if _inode(self.path) != self._file or connection.execute("PRAGMA journal_mode").fetchone()[0] != "delete":
            _close(self._box)
            raise _Busy  # look again: moved while we waited, or turned back to a log by an older version

    @contextmanager
    def _undone_on_failure(self) -> Iterator[None]:
        """Roll back what fails, while nobody else is let in: a later rollback would undo the work of others."""
        try:
            yield
        except BaseException:
            self._undo()
            raise

    def _undo(self) -> None:
        for connection in self._box:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            except sqlite3.Error:  # the next call starts from a fresh connection, which rolls back as well
                if self.path is not None:
                    _close(self._box)

    def _explain(self, error: Exception, consequence: str) -> LedgerError:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        what, remedy = _TROUBLE.get(_code(error), (f"SQLite refused: {error}", "look that error up"))
        return LedgerError(f"{self}: {what} ({name}); {consequence}; {remedy}")

    def _connection(self) -> sqlite3.Connection:
        if self.pid != os.getpid():
            raise LedgerError(
                f"{self}: this budget lives in process {self.pid}; in the forked process {os.getpid()} it would be "
                "spent a second time; nothing was charged; use dpstruct.Ledger(path).budget(...), which processes share"
            )
        if self._box and self.path is not None and _inode(self.path) != self._file:
            _close(self._box)  # moved, deleted or replaced: look again, and insist on the same ledger
        if not self._box:
            self._box.append(self._connect())
            self._version = self._seen(self._box[0])
        return self._box[0]

    @property
    def _founding(self) -> bool:
        """Whether an empty or missing file may become a ledger: if asked for, and until the first answer."""
        return self._create and self.identity is None

    def _connect(self) -> sqlite3.Connection:
        if self.path is None:
            address, uri = ":memory:", False
        else:
            demand_one_link(self.path)
            demand_whole_mount(self.path)
            address, uri = f"{Path(self.path).as_uri()}?mode={'rwc' if self._founding else 'rw'}", True
        connection = sqlite3.connect(address, uri=uri, timeout=_SHARE, isolation_level=None, check_same_thread=False)
        try:
            self._settle(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _settle(self, connection: sqlite3.Connection) -> None:
        def ask(question: str) -> object:
            return connection.execute(question).fetchone()[0]

        if ask("SELECT count(*) FROM sqlite_master"):
            if ask("PRAGMA application_id") != APPLICATION_ID:
                raise LedgerError(f"{self}: a database of another program; nothing was changed; give another path")
            if ask("PRAGMA user_version") != FORMAT:
                raise LedgerError(f"{self}: written in another format; nothing was changed; install a newer dpstruct")
            if self.identity not in (None, found := ask("SELECT identity FROM ledger")):
                raise LedgerError(
                    f"{self}: holds another ledger ({found}) than the one that was opened ({self.identity}); "
                    "nothing was charged; put the right file back or open this one anew"
                )
        elif not self._founding:
            raise LedgerError(f"{self}: the ledger is gone, the file is empty; nothing was charged; put the file back")
        connection.execute("PRAGMA foreign_keys=ON")
        if self.path is None:
            return
        if ask("PRAGMA journal_mode=DELETE") != "delete":  # converts the write-ahead log of an older version
            raise _Busy  # which somebody else still uses
        connection.execute("PRAGMA synchronous=EXTRA")  # less may undo a committed charge at a power failure
        connection.execute("PRAGMA fullfsync=ON")  # the same promise on macOS
        self._file = _inode(self.path)

    def __str__(self) -> str:
        return f"ledger {self.path}" if self.path else "ledger in memory"


class _Busy(Exception):
    """Another connection holds the lock; nothing was done."""


def _code(error: Exception) -> int:
    """Return SQLite's primary result code; Python itself refuses a blob beyond 2 GiB by an OverflowError."""
    code = sqlite3.SQLITE_TOOBIG if isinstance(error, OverflowError) else getattr(error, "sqlite_errorcode", -1)
    return int(code) & 0xFF


def _inode(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (-1, -1)
    return (status.st_dev, status.st_ino)


def _close(box: list[sqlite3.Connection]) -> None:
    while box:
        box.pop().close()


_alive: weakref.WeakSet[Database] = weakref.WeakSet()
_forking = threading.RLock()
_held: list[Database] = []


def _before_fork() -> None:
    _forking.acquire()
    for database in list(_alive):
        database.lock.acquire()
        _held.append(database)
        if database.path is not None:
            _close(database._box)


def _after_fork() -> None:
    while _held:
        database = _held.pop()
        if database.path is not None:
            database.pid = os.getpid()
        database.lock.release()
    _forking.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
