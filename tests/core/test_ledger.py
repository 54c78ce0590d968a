"""`Ledger`: what it offers, where it may live, and what it says when the file fails."""

import copy
import os
import pickle
import sqlite3
import sys
import threading
import warnings
from fractions import Fraction

import numpy as np
import pytest
from oracle.toy import Mean

from dpstruct.core import location
from dpstruct.core.budget import Budget
from dpstruct.core.ledger import Ledger
from dpstruct.core.store import KeyReused, OverBudget, Store, Terms
from dpstruct.domain import Ball
from dpstruct.errors import InvalidParameter, InvalidType, LedgerError, NeighborsMismatch
from dpstruct.privacy.events import Event
from dpstruct.privacy.measures import GDP, PureDP
from dpstruct.privacy.neighbors import RowsWithin

TERMS = Terms("gdp", 100, 1.0, 1e-6, "add-remove", "row")
NOISE = Event("rounded-gaussian", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**50,)),))  # costs one unit
BODY = {"events": [NOISE.encode()]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "privacy.db"


@pytest.fixture
def ledger(path):
    made = Ledger(path)
    yield made
    made.close()


@pytest.fixture
def store(path):
    made = Store(path, timeout=0.1)
    made.open("visits", TERMS)
    yield made
    made.close()


def charge(store, cost=10, key=None, **body):
    return store.charge("visits", cost=cost, request=b"", body=BODY | body, key=key)


# ---- what it offers -------------------------------------------------------------------------------------------------


def test_budgets_are_created_and_reopened(ledger, path):
    first = ledger.budget("visits", epsilon=2.0, delta=1e-6, neighbors="add-remove")
    pure = ledger.budget("pure", epsilon=0.5, neighbors=RowsWithin(0.25), unit="user")
    assert isinstance(first, Budget)
    assert first.total == GDP.from_approx_dp(2.0, 1e-6)
    assert pure.total == PureDP(0.5)
    assert (pure.neighbors, pure.unit) == (RowsWithin(0.25), "user")
    assert ledger.budgets() == ["visits", "pure"]
    again = Ledger(str(path))
    for name, budget in (("visits", first), ("pure", pure)):
        assert again.budget(name).total == budget.total
        assert again.budget(name).neighbors == budget.neighbors
    again.budget("visits", epsilon=2.0, delta=1e-6, neighbors="add-remove")
    assert len(again.log()) == 2
    again.close()


@pytest.mark.parametrize(
    ("terms", "error"),
    [
        ({"epsilon": 2.0, "delta": 1e-6, "neighbors": "substitute"}, NeighborsMismatch),
        ({"epsilon": 2.0, "delta": 1e-6, "neighbors": "add-remove", "unit": "user"}, NeighborsMismatch),
        ({"epsilon": 2.5, "delta": 1e-6, "neighbors": "add-remove"}, LedgerError),
        ({"epsilon": 2.0, "delta": 1e-5, "neighbors": "add-remove"}, LedgerError),
        ({"epsilon": 2.0, "neighbors": "add-remove"}, LedgerError),
    ],
)
def test_other_terms_are_refused(ledger, terms, error):
    ledger.budget("visits", epsilon=2.0, delta=1e-6, neighbors="add-remove")
    with pytest.raises(error, match="'visits'"):
        ledger.budget("visits", **terms)


@pytest.mark.parametrize(
    "terms",
    [
        {"epsilon": 1.0},
        {"epsilon": 1.0, "neighbors": "both"},
        {"epsilon": -1.0, "neighbors": "add-remove"},
        {"epsilon": float("nan"), "neighbors": "add-remove"},
        {"epsilon": "1", "neighbors": "add-remove"},
        {"epsilon": True, "neighbors": "add-remove"},
        {"epsilon": 1.0, "delta": 0.5, "neighbors": "add-remove"},
        {"epsilon": 1.0, "delta": False, "neighbors": "add-remove"},
        {"epsilon": 1.0, "delta": "0", "neighbors": "add-remove"},
        {"epsilon": 1.0, "neighbors": "add-remove", "unit": ""},
        {"neighbors": "add-remove"},
        {"delta": 1e-6},
        {"unit": "user"},
    ],
)
def test_half_or_wrong_terms_are_refused_and_open_nothing(ledger, terms):
    with pytest.raises(InvalidParameter):
        ledger.budget("visits", **terms)
    assert ledger.budgets() == []


def test_a_budget_that_does_not_exist_needs_terms(ledger):
    with pytest.raises(LedgerError, match=r"'visits'.*none"):
        ledger.budget("visits")


def test_an_amendment_keeps_delta_and_shows_both_totals(ledger):
    ledger.budget("visits", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    ledger.amend("visits", epsilon=2.0, who="Ada", why="second wave")
    assert ledger.budget("visits").total == GDP.from_approx_dp(2.0, 1e-6)
    assert ledger.budget("visits", epsilon=2.0, delta=1e-6, neighbors="add-remove").epsilon == 2.0
    assert [entry.total for entry in ledger.log("visits")] == [
        GDP.from_approx_dp(1.0, 1e-6).units,
        GDP.from_approx_dp(2.0, 1e-6).units,
    ]
    ledger.verify()


def test_a_share_is_read_from_the_total_in_force(ledger):
    summary = Mean(Ball(1.0, dim=2)).summarize(np.full((10, 2), 0.25))
    budget = ledger.budget("visits", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    first = budget.release(summary, share=0.25, key="k")
    ledger.amend("visits", epsilon=2.0, who="Ada", why="second wave")
    with pytest.raises(KeyReused, match="'k'"):
        budget.release(summary, share=0.25, key="k")
    again = budget.release(summary, cost=budget.log()[0].cost, key="k")
    assert again.receipt.uid == first.receipt.uid
    assert len(budget.log()) == 1
    budget.verify()


def test_purge_head_and_repr(ledger, path):
    ledger.budget("visits", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    store = ledger._store
    head = ledger.export_head()
    store.finish(store.charge("visits", cost=1, request=b"", body=BODY, key="k"), payload=b"noised")
    ledger.purge("visits", "k")
    ledger.verify(head)
    assert head != ledger.export_head()
    assert b"noised" not in path.read_bytes()
    assert repr(ledger) == f"Ledger({str(path)!r})"


def test_a_ledger_pickles_as_a_handle(ledger):
    ledger.budget("visits", epsilon=1.0, delta=1e-6, neighbors="add-remove")
    for other in (pickle.loads(pickle.dumps(ledger)), copy.deepcopy(ledger)):
        assert other.budgets() == ["visits"]
        other.close()


def test_a_relative_path_keeps_its_meaning(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("privacy.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ledger.close()
    assert ledger.budgets() == []
    assert not os.listdir(tmp_path / "elsewhere")
    ledger.close()


@pytest.mark.parametrize("name", ["a b?mode=memory#x%20.db", "ü.db", "file:x.db"])
def test_odd_file_names_are_file_names(tmp_path, name):
    ledger = Ledger(tmp_path / name)
    assert (tmp_path / name).is_file()
    ledger.close()


def test_connections_are_closed(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = Store(path)
        box = store._database._box
        connection = box[0]
        del store
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    assert os.listdir(path.parent) == ["privacy.db"]


# ---- where it may live ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", [".", "missing/privacy.db", ":memory:", "", "nul\0.db"])
def test_places_that_hold_no_file_are_refused(tmp_path, monkeypatch, where):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LedgerError, match="ledger"):
        Ledger(where)
    assert os.listdir(tmp_path) == []


def test_a_device_is_no_ledger():
    with pytest.raises(LedgerError, match="regular file"):
        Ledger(os.devnull)


@pytest.mark.parametrize("what", [None, 3, ["x"]])
def test_a_path_is_a_path(what):
    with pytest.raises(InvalidType, match="path"):
        Ledger(what)


@pytest.mark.parametrize("magic", [0x6969, 0xFF534D42, 0xFE534D42, 0x517B, 0x01021997, 0x65735546])
def test_network_file_systems_are_refused(path, monkeypatch, magic):
    monkeypatch.setattr(location, "_file_system", lambda folder: magic)
    with pytest.raises(LedgerError, match=r"network file system \(.*spent twice.*local disk"):
        Ledger(path)
    assert not path.exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="file systems are told apart on Linux")
def test_the_kernel_names_the_file_system(tmp_path):
    assert location._file_system("/proc") == 0x9FA0
    assert location._file_system(str(tmp_path)) not in (0, *location._REMOTE)
    assert location._file_system(str(tmp_path / "missing")) == 0


# ---- when the file fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"not a database at all", b"\0" * 5000, os.urandom(8192), b"SQLite format 3\0" * 300]
)
def test_another_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(LedgerError, match=r"not a SQLite database|damaged"):
        Ledger(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(path):
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE entry(seq)")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="another program"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_newer_format_is_refused(store, path):
    store.close()
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version=2")
    raw.close()
    for call in (lambda: Ledger(path), lambda: charge(store)):
        with pytest.raises(LedgerError, match="another format"):
            call()


def test_an_empty_file_becomes_a_ledger(path):
    path.touch()
    Ledger(path).close()
    assert path.stat().st_size > 0


@pytest.mark.parametrize("damage", ["page", "half"])
def test_a_damaged_file_is_named_as_such(store, path, damage):
    for number in range(100):
        charge(store, 1, label="x" * 500, number=number)
    store.close()
    content = bytearray(path.read_bytes())
    if damage == "page":
        content[4096:] = os.urandom(len(content) - 4096)
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)
    for call in (store.verify, store.entries, lambda: charge(store)):
        with pytest.raises(LedgerError, match=r"damaged|CORRUPT"):
            call()


def test_a_locked_file_is_waited_for_then_named(store, path):
    raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    raw.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match=r"locked for 0.1 s; nothing was charged"):
        charge(store)
    assert store.spent("visits") == 0  # readers do not wait
    store._database.timeout = 60.0
    release = threading.Timer(0.2, raw.execute, ("COMMIT",))
    release.start()
    charge(store)
    release.join()
    raw.close()


@pytest.mark.parametrize(("pragma", "match"), [("max_page_count=1", "disk is full"), ("query_only=ON", "read-only")])
def test_a_write_that_fails_charges_nothing_and_says_so(store, pragma, match):
    made = charge(store, key="k")
    store._database._box[0].execute(f"PRAGMA {pragma}")
    before = store.entries()
    with pytest.raises(LedgerError, match=f"{match}.*nothing was charged and nothing was released"):
        charge(store, label="x" * 50_000)
    with pytest.raises(LedgerError, match=f"{match}.*the charge stands, nothing was released"):
        store.finish(made, payload=b"x" * 50_000)
    store.close()
    assert store.entries() == before
    assert store.finish(made, payload=b"x" * 50_000).status == "done"
    store.verify()


def test_a_commit_that_fails_is_not_called_certain(store, path):
    resource = pytest.importorskip("resource")
    for _ in range(8):  # the file outgrows the journal, so that only the commit meets the limit
        made = charge(store, 1, label="x" * 8000)
    before = store.head()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        with pytest.raises(LedgerError, match=r"whether the charge was stored is not certain.*nothing was released"):
            charge(store, label="x" * 8000)
        with pytest.raises(LedgerError, match="the charge stands, whether its outcome was stored is not certain"):
            store.finish(made, payload=b"x" * 8000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert store.head() == before
    assert store.finish(made, payload=b"noised").payload == b"noised"
    store.verify()


def test_a_charge_survives_a_write_of_every_size(store):
    made = charge(store, key="k")
    big = os.urandom(3_000_000)
    assert store.finish(made, payload=big).payload == big
    assert charge(store, key="k").payload == big
    store.verify()


def test_an_interrupt_rolls_back(store, monkeypatch):
    from dpstruct.core import book

    def interrupted(*arguments, **columns):
        append(*arguments, **columns)
        raise KeyboardInterrupt

    append = book.append
    monkeypatch.setattr(book, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        charge(store)
    monkeypatch.undo()
    assert store.spent("visits") == 0
    charge(store, 100)
    with pytest.raises(OverBudget):
        charge(store, 1)


def test_a_durable_charge_is_synchronous(store):
    ask = store._database._box[0].execute
    assert ask("PRAGMA journal_mode").fetchone() == ("delete",)
    assert ask("PRAGMA synchronous").fetchone() == (3,)  # EXTRA: the deletion of the journal is on the disk, too
    assert ask("PRAGMA foreign_keys").fetchone() == (1,)
