"""Where a ledger may live: a writable file on a local disk, under one name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dpstruct.errors import InvalidType, LedgerError

__all__ = ["Taken", "alone", "demand_one_link", "demand_whole_mount", "settle"]

_REMOTE = {  # f_type of statfs(2), Linux
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x01021997: "9p",
    0x65735546: "FUSE",
    0x00C36400: "Ceph",
    0x0BD00BD0: "Lustre",
    0x47504653: "GPFS",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x7461636F: "OCFS2",
    0x01161970: "GFS2",
    0x19830326: "BeeGFS",
    0xAAD7AAEA: "PanFS",
}


def settle(path: object) -> str:
    """Return the absolute path of a ledger file, or explain why no ledger can be trusted there.

    Raises
    ------
    LedgerError
        If the path is a directory, lies in a missing or unwritable one, or on a network file system: locks and
        write-through are not reliable there, so two machines could spend the same budget. File systems are told apart
        on Linux only.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise InvalidType("path", type(path).__name__, "a path")
    text = os.fsdecode(path)
    if not text or "\0" in text or text == ":memory:":
        raise LedgerError(
            f"ledger {text!r}: not a file; give the path of a file, or use dpstruct.Budget(...) for a budget in memory"
        )
    place = os.path.realpath(text)
    folder = os.path.dirname(place)
    if os.path.isdir(place):
        raise LedgerError(
            f"ledger {place}: a directory; give the path of a file, such as {os.path.join(place, 'privacy.db')}"
        )
    if not os.path.isdir(folder):
        raise LedgerError(f"ledger {place}: the directory {folder} does not exist; create it first")
    if os.path.exists(place) and not os.path.isfile(place):
        raise LedgerError(f"ledger {place}: not a regular file; give the path of a file")
    for target in (folder, place):
        if os.path.exists(target) and not os.access(target, os.W_OK):
            raise LedgerError(
                f"ledger {place}: {target} is not writable for this user; nothing was changed; give it write access to "
                "the file and to the directory, where the journal lies"
            )
    if (kind := _REMOTE.get(_file_system(folder))) is not None:
        raise LedgerError(
            f"ledger {place}: lies on a network file system ({kind}), where locks and write-through are not "
            "reliable and a budget could be spent twice; nothing was changed; use a local disk"
        )
    return place


def demand_one_link(path: str) -> None:
    """Refuse a file that has hard links; that a file is missing is for others to say.

    SQLite names the journal after the path, so a process that comes by another name would not find, and not undo, the
    half of a commit that a crash left behind.
    """
    try:
        names = os.stat(path).st_nlink
    except OSError:
        return
    if names > 1:
        raise LedgerError(
            f"ledger {path}: has {names} names (hard links), and a crash under one of them can not be undone under "
            "another; nothing was changed; keep one name and remove the others (find them with find -samefile)"
        )


def demand_whole_mount(path: str) -> None:
    """Refuse a file that was mounted alone, as by ``docker run -v /srv/privacy.db:/app/privacy.db``: a second name.

    Mounts are told on Linux only.
    """
    if os.fsencode(path) in _mount_points():
        raise LedgerError(
            f"ledger {path}: is mounted as a single file, so it has another name elsewhere, and a crash under one name "
            "can not be undone under another; nothing was changed; mount the folder that holds it instead of the file"
        )


class Taken(Exception):
    """Another process works on a ledger in the same folder."""


@contextmanager
def alone(path: str | None) -> Iterator[None]:
    """Keep other processes out while a transaction runs, by a lock on the folder that nothing else can drop.

    SQLite's locks are POSIX locks on the file: they all vanish when this process closes any other handle on it, a copy
    or a checksum in another thread. Then somebody else would take the transaction for one that crashed, and undo it.

    Raises
    ------
    Taken
        If another process is inside.
    """
    if path is None or sys.platform == "win32":
        yield
        return
    import fcntl

    try:
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise LedgerError(
            f"ledger {path}: its directory can not be read by this user; nothing was changed; give it read access, for "
            "the lock that lies on the directory"
        ) from None
    except OSError:  # gone: SQLite says so
        yield
        return
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Taken from error
        except OSError as error:
            raise LedgerError(
                f"ledger {path}: its directory can not be locked ({error.strerror}); nothing was changed; "
                "use a local disk"
            ) from None
        yield
    finally:
        os.close(folder)


def _mount_points() -> set[bytes]:
    """Return where this process sees file systems mounted; nothing if that cannot be told."""
    try:
        with open("/proc/self/mountinfo", "rb") as table:
            fields = [line.split(b" ")[4] for line in table]
    except OSError:
        return set()
    return {re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), field) for field in fields}


def _file_system(folder: str) -> int:
    """Return the Linux magic number of the file system that holds `folder`, 0 if it cannot be told."""
    if not sys.platform.startswith("linux"):
        return 0
    import ctypes

    answer = (ctypes.c_long * 64)()  # struct statfs, whose first word is f_type; longer than any of its versions
    if ctypes.CDLL(None, use_errno=True).statfs(os.fsencode(folder), answer) != 0:
        return 0
    return int(answer[0]) & 0xFFFFFFFF
