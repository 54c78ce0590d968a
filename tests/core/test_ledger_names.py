"""One file, one name: whoever reaches a ledger by another way sees every charge, or is turned away."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest

from dpstruct.core import book, location
from dpstruct.core.store import Store, Terms
from dpstruct.errors import LedgerError
from dpstruct.privacy.events import Event

TERMS = Terms("gdp", 100, 1.0, 1e-6, "add-remove", "row")
NOISE = Event("rounded-gaussian", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**50,)),))  # costs one unit
BODY = {"events": [NOISE.encode()]}
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "privacy.db"


@pytest.fixture
def store(path):
    made = Store(path)
    made.open("visits", TERMS)
    yield made
    made.close()


def charge(store, cost=10, **body):
    return store.charge("visits", cost=cost, request=b"", body=BODY | body, key=None)


def raw(path):
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)


def in_child(work):
    """Run `work` in a forked process that dies without closing anything."""
    if (pid := os.fork()) == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


# ---- hard links -----------------------------------------------------------------------------------------------------


def test_a_hard_link_is_refused_by_every_name(store, path):
    """Also for who opened the file before the link was made, who would not see a crash under the new name."""
    charge(store)
    link = path.with_name("link.db")
    os.link(path, link)
    calls = (lambda: Store(link), lambda: Store(path), lambda: charge(store), store.verify, store.entries)
    for call in calls:
        with pytest.raises(LedgerError, match=r"2 names \(hard links\).*nothing was changed; keep one name"):
            call()
    assert sorted(os.listdir(path.parent)) == ["link.db", "privacy.db"]
    link.unlink()
    charge(store)
    assert store.spent("visits") == 20
    store.verify()


@pytest.mark.parametrize(("deed", "match"), [("link", "hard links"), ("move", "CANTOPEN"), ("copy", None)])
def test_the_name_is_checked_under_the_lock(store, path, deed, match):
    """A check before the lock is granted would miss what happens while a charge waits for it."""
    spent, errors, other, came = [], [], raw(path), threading.Event()
    attempt = store._database._attempt

    def watched(*arguments):
        came.set()
        return attempt(*arguments)

    def wait():
        try:
            spent.append(charge(store))
        except LedgerError as error:
            errors.append(str(error))

    other.execute("BEGIN EXCLUSIVE")
    store._database._attempt = watched
    waiting = threading.Thread(target=wait)
    with store._database.lock:  # nothing is looked at yet
        waiting.start()
        assert came.wait(60)
    time.sleep(0.01)  # now SQLite waits in BEGIN, or the next attempt is near
    if deed == "link":
        os.link(path, path.with_name("link.db"))
    elif deed == "move":
        path.rename(path.with_name("elsewhere.db"))
    else:
        shutil.copy(path, path.with_name("copy.db"))
        path.with_name("copy.db").rename(path)
    other.execute("COMMIT")
    other.close()
    waiting.join(60)
    if match is None:  # the charge went to the file that bears the name now, not to the one that was moved away
        assert len(spent) == 1
        assert Store(path).spent("visits") == 10
    else:
        assert not spent
        assert match in errors[0]


# ---- a file that is a mount -----------------------------------------------------------------------------------------


def test_a_file_that_is_mounted_alone_is_refused(store, path, monkeypatch):
    charge(store)
    store.close()
    monkeypatch.setattr(location, "_mount_points", lambda: {b"/", os.fsencode(path.parent), os.fsencode(path)})
    for call in (lambda: Store(path), lambda: charge(store)):
        with pytest.raises(LedgerError, match=r"mounted as a single file.*nothing was changed; mount the folder"):
            call()
    monkeypatch.setattr(location, "_mount_points", lambda: {b"/", os.fsencode(path.parent)})
    charge(store)
    assert store.spent("visits") == 20


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="needs /proc/self/mountinfo")
def test_the_kernel_names_the_mounts():
    assert {b"/", b"/proc"} <= location._mount_points()


def isolated(script, *arguments):
    """Run a shell script where it may mount, out of everybody's sight; skip where that is not allowed."""
    command = ["unshare", *(["--mount"] if os.geteuid() == 0 else ["--mount", "--map-root-user"])]
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount here")
    done = subprocess.run(
        [*command, "sh", "-ec", script, "sh", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mount namespaces")
def test_a_real_mount_of_the_file_is_refused_and_one_of_its_folder_is_the_same_ledger(tmp_path):
    made = tmp_path / "a b\\c"
    made.mkdir()
    store = Store(made / "privacy.db")
    store.open("visits", TERMS)
    charge(store)
    mounted, folder = tmp_path / "tab\there" / "privacy.db", tmp_path / "folder"
    mounted.parent.mkdir()
    folder.mkdir()
    mounted.touch()
    charging = (
        "import sys; from dpstruct.core.store import Store; store = Store(sys.argv[1]); print(store.spent('visits'))\n"
        "store.charge('visits', cost=5, request=b'', body={}, key=None)"
    )
    script = (
        'mount --bind "$1" "$2"; mount --bind "$(dirname "$1")" "$3"; "$4" -c "$5" "$2" 2>&1 || true; '
        '"$4" -c "$5" "$3/privacy.db"'
    )
    told = isolated(script, store.path, str(mounted), str(folder), sys.executable, charging)
    assert "is mounted as a single file" in told
    assert told.splitlines()[-1] == "10"
    assert store.spent("visits") == 15
    store.close()


# ---- death and older files ------------------------------------------------------------------------------------------


@needs_fork
def test_after_a_death_the_file_alone_holds_every_charge(store, path, tmp_path):
    def work():
        for _ in range(3):
            charge(store)

    in_child(work)
    assert os.listdir(tmp_path) == ["privacy.db"]
    copy = Store(shutil.copy(path, tmp_path / "copy.db"))
    assert copy.spent("visits") == 30
    assert copy.head() == store.head()
    copy.verify()
    copy.close()


@needs_fork
def test_half_a_commit_is_undone_by_the_next_call(store, path):
    """What was written to the file itself by then, and why its journal has to be found: the name is the way to it."""

    def work():
        def write(db):
            db.execute("PRAGMA cache_size=1")
            for seq in range(2, 60):
                book.append(db, "charge", "visits", "{}", cost="1", total=str(seq), uid=f"{seq}" + "x" * 4000)
            os._exit(0)

        store._database.write(write)

    charge(store)
    before, head = path.read_bytes(), store.head()
    in_child(work)
    assert os.path.getsize(f"{path}-journal") > 0
    assert path.read_bytes() != before
    assert (store.spent("visits"), store.head()) == (10, head)
    store.verify()
    assert os.listdir(path.parent) == ["privacy.db"]


def log_ahead(path, *, cost):
    """Charge as a version with a write-ahead log did."""
    db = raw(path)
    assert db.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    db.execute("BEGIN IMMEDIATE")
    spent = book.spent(db, "visits") + cost
    book.append(db, "charge", "visits", '{"events":[]}', cost=str(cost), total=str(spent))
    db.execute("COMMIT")
    return db


@needs_fork
def test_a_write_ahead_log_is_brought_into_the_file(store, path):
    in_child(lambda: log_ahead(path, cost=7))
    assert os.path.getsize(f"{path}-wal") > 0
    again = Store(path)
    assert again.spent("visits") == 7
    assert os.listdir(path.parent) == ["privacy.db"]
    assert again._database._box[0].execute("PRAGMA journal_mode").fetchone() == ("delete",)
    charge(again)
    assert (store.spent("visits"), again.spent("visits")) == (17, 17)
    again.close()


def test_a_write_ahead_log_in_use_is_refused(store, path):
    older = log_ahead(path, cost=7)
    store._database.timeout = 0.1
    for call in (lambda: Store(path, timeout=0.1), lambda: charge(store)):
        with pytest.raises(LedgerError, match=r"kept the file locked.*an older dpstruct"):
            call()
    assert older.execute("SELECT count(*) FROM entry").fetchone() == (2,)
    older.close()
    charge(store)
    assert store.spent("visits") == 17
    assert os.listdir(path.parent) == ["privacy.db"]


# ---- readers and writers --------------------------------------------------------------------------------------------


def test_a_reader_is_waited_for_and_stops_no_commit(store, path):
    """The wait is before the work: a commit that a reader could refuse would do the work twice."""
    runs, reader = [], raw(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM entry").fetchone()
    end = threading.Timer(0.1, reader.execute, ("COMMIT",))
    end.start()
    store._database.write(lambda db: runs.append(db.execute("SELECT 1").fetchone()))
    end.join()
    assert len(runs) == 1
    reader.close()


def test_readers_that_overlap_keep_no_writer_out(store, path):
    """A writer that waits lets nobody new in; without that, these two readers would hold the file for ever."""
    new, old = raw(path), raw(path)
    for reader in (new, old):
        reader.execute("PRAGMA busy_timeout=1")

    def look(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()

    look(old)
    writer = threading.Thread(target=charge, args=(store,))
    writer.start()
    for _ in range(2000):
        try:
            look(new)
        except sqlite3.OperationalError:  # `old` alone would let `new` in: the writer has asked
            break
        old.execute("COMMIT")
        new, old = old, new
    else:
        pytest.fail("the writer never got a turn")
    for reader in (new, old):
        reader.close()
    writer.join(60)
    assert store.spent("visits") == 10


def test_no_other_handle_drops_the_lock(store, path):
    """POSIX locks of a process vanish when it closes any handle on the file; the lock on the folder does not."""
    script = (
        "import sys; from dpstruct.core.database import Database\n"
        "Database(sys.argv[1], create=False, timeout=0.3).write(lambda c: print('wrote'))"
    )

    def work(connection):
        with open(path, "rb"):
            pass
        return subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)

    found = store._database.write(work)
    assert "wrote" not in found.stdout
    assert "another process kept the file locked" in found.stderr
    after = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert after.stdout == "wrote\n"


def test_a_folder_that_can_not_be_read_or_locked_is_refused(store, monkeypatch):
    import fcntl

    def refuse(error):
        def call(*_):
            raise error

        return call

    for module, name, error, match in (
        (location.os, "open", PermissionError(), "read access"),
        (fcntl, "flock", OSError(95, "not supported"), "can not be locked"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, refuse(error))
            with pytest.raises(LedgerError, match=match):
                store._database.write(lambda connection: None)
    store._database.write(lambda connection: None)


def test_what_fails_is_rolled_back_before_others_are_let_in(store, path, monkeypatch):
    """A rollback after the folder is free could undo what another process has committed since."""
    free, order = location.os.close, []
    undo = store._database._undo
    monkeypatch.setattr(store._database, "_undo", lambda: (order.append("undone"), undo()))
    monkeypatch.setattr(location.os, "close", lambda handle: (order.append("free"), free(handle)))

    def work(connection):
        connection.execute("CREATE TABLE half (x)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store._database.write(work)
    assert order == ["undone", "free"]
    assert (
        store._database.read(
            lambda db: db.execute("SELECT count(*) FROM sqlite_master WHERE name='half'").fetchone()[0]
        )
        == 0
    )
