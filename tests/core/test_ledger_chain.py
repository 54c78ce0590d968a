"""The hash chain: whatever is changed, removed or invented in a ledger is found."""

import hashlib
import json
import sqlite3
from fractions import Fraction

import pytest

from dpstruct.core.store import Store, Terms
from dpstruct.errors import LedgerError
from dpstruct.privacy.events import Event

TERMS = Terms("gdp", 100, 1.0, 1e-6, "add-remove", "row")
NOISE = Event("rounded-gaussian", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**50,)),))  # costs one unit
BODY = {"events": [NOISE.encode()]}


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path):
    made = Store(tmp_path / "privacy.db") if request.param == "file" else Store()
    made.open("visits", TERMS)
    yield made
    made._database.close()


@pytest.fixture
def filed(tmp_path):
    made = Store(tmp_path / "privacy.db")
    made.open("visits", TERMS)
    yield made
    made.close()


def charge(store, cost=10, key=None, budget="visits", **body):
    return store.charge(budget, cost=cost, request=b"request", body=BODY | body, key=key)


def fill(store):
    for number in range(4):
        store.finish(charge(store, 10 + number, key=f"k{number}", label="fill"), payload=b"noised")
    store.amend("visits", 120, "Ada", "why")
    store.verify()


def test_triggers_keep_entries_and_payloads(store):
    fill(store)
    raw = store._database._box[0]
    for change in (
        "UPDATE entry SET cost = '1' WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 10",
        "DELETE FROM entry",
        "UPDATE payload SET data = x'00'",
        "INSERT OR REPLACE INTO entry SELECT * FROM entry WHERE seq = 2",
        "INSERT OR REPLACE INTO payload VALUES (3, x'00')",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(change)
    store.verify()


def tamper(store, *changes):
    """Change the file the way its owner could: with a raw connection, triggers dropped and put back."""
    store.close()
    raw = sqlite3.connect(store.path, isolation_level=None)
    triggers = raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        raw.execute(f"DROP TRIGGER {name}")
    for change in changes:
        raw.execute(change)
    for _, sql in triggers:
        raw.execute(sql)
    raw.close()


@pytest.mark.parametrize("seq", [1, 2, 3, 8, 10])
@pytest.mark.parametrize(
    "value",
    [
        "kind = CASE kind WHEN 'charge' THEN 'amend' ELSE 'charge' END",
        "uid = 'ff'",
        "budget = 'other'",
        "ref = CASE WHEN ref IS NULL THEN 1 END",
        "idem = CASE WHEN idem IS NULL THEN 'k' END",
        "request = CASE WHEN request IS NULL THEN x'00' END",
        "cost = CASE WHEN cost IS NULL THEN '0' ELSE '1' END",
        "total = CASE WHEN total IS NULL THEN '0' ELSE total || '0' END",
        "body = replace(body, '}', ' }')",
        "at = '2000-01-01'",
        "prev = x'00'",
        "hash = zeroblob(32)",
    ],
)
def test_any_change_of_any_column_is_found(filed, value, seq):
    fill(filed)
    tamper(filed, f"UPDATE entry SET {value} WHERE seq = {seq}")
    with pytest.raises(LedgerError, match=f"entry {seq}:"):
        filed.verify()


@pytest.mark.parametrize("seq", [1, 2, 6, 9])
def test_a_removed_entry_is_found(filed, seq):
    fill(filed)
    tamper(filed, "PRAGMA foreign_keys=OFF", f"DELETE FROM entry WHERE seq = {seq}")
    with pytest.raises(LedgerError, match=f"damaged|entry {seq}:"):
        filed.verify()


def test_a_changed_or_misplaced_payload_is_found(filed):
    fill(filed)
    tamper(filed, "UPDATE payload SET data = x'00' WHERE seq = 5")
    with pytest.raises(LedgerError, match="entry 5:"):
        filed.verify()
    tamper(filed, "DELETE FROM payload", "INSERT INTO payload VALUES (2, x'00')")
    with pytest.raises(LedgerError, match="entry 2:"):
        filed.verify()


def test_a_dropped_trigger_is_found(filed):
    raw = sqlite3.connect(filed.path)
    raw.execute("DROP TRIGGER hold_entry")
    raw.close()
    with pytest.raises(LedgerError, match="hold_entry"):
        filed.verify()


def test_an_unreadable_entry_is_an_error_of_the_ledger(filed):
    charge(filed)
    tamper(filed, "UPDATE entry SET total = 'many'")
    for call in (filed.spent, filed.terms, filed.entries, lambda name: charge(filed, budget=name)):
        with pytest.raises(LedgerError, match="cannot be read"):
            call("visits")
    with pytest.raises(LedgerError, match="entry 1:"):
        filed.verify()


def forge(store, kind, **columns):
    """Append an entry whose hash is right but whose content is a lie."""
    from dpstruct.core import book

    body = json.dumps(columns.pop("body", BODY if kind == "charge" else {}))
    store._database.write(lambda db: book.append(db, kind, columns.pop("budget", "visits"), body, **columns))


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("charge", {"cost": "5", "total": "14"}),  # 10 + 5 is 15
        ("charge", {"cost": "0", "total": "10"}),
        ("charge", {"cost": "91", "total": "101"}),  # over the total
        ("charge", {"cost": "5"}),
        ("charge", {"cost": "+5", "total": "15"}),
        ("charge", {"cost": "5", "total": "15", "budget": "nowhere"}),
        ("budget", {"total": "100", "budget": "x", "ref": 2, "cost": "x"}),
        ("amend", {"total": "9"}),
        ("amend", {}),
        ("outcome", {"ref": 1}),
        ("outcome", {}),
    ],
)
def test_a_well_hashed_lie_is_found(store, kind, columns):
    charge(store, 10)
    forge(store, kind, **columns)
    with pytest.raises(LedgerError, match="entry 3:"):
        store.verify()


def test_the_exported_head_notices_a_restored_file(filed, tmp_path):
    charge(filed, 10)
    filed.close()
    saved = (tmp_path / "privacy.db").read_bytes()
    charge(filed, 20)
    head = filed.head()
    charge(filed, 30)
    filed.verify(head)
    filed.close()
    (tmp_path / "privacy.db").write_bytes(saved)
    assert filed.spent("visits") == 10  # the budget is back: no file can notice this by itself
    filed.verify()
    with pytest.raises(LedgerError, match="rolled back"):
        filed.verify(head)


def test_the_head_is_the_hash_of_the_last_entry(store):
    assert Store().head() == "00" * 32
    charge(store)
    last = store.entries()[-1]
    assert store.head() == last.hash.hex()
    others = {
        "seq": 2,
        "kind": "charge",
        "uid": last.uid,
        "budget": "visits",
        "ref": None,
        "idem": None,
        "request": b"request".hex(),
        "cost": "10",
        "total": "10",
        "body": json.dumps(BODY, sort_keys=True, separators=(",", ":")),
        "at": last.at,
    }
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(last.prev + text.encode()).digest() == last.hash


# ---- prices ---------------------------------------------------------------------------------------------------------


def event(kind="rounded-gaussian", scale=10.0):
    return Event(kind, Fraction(1), (("sums", (3,), (Fraction(1),), (scale,)),))


@pytest.mark.parametrize(
    ("kind", "measure"), [("rounded-gaussian", "gdp"), ("discrete-laplace", "pure-dp"), ("discrete-laplace", "gdp")]
)
def test_noise_that_is_cheaper_than_it_should_be_is_found(kind, measure):
    from dpstruct.privacy.measures import GDP, PureDP

    store, noise = Store(), event(kind)
    price = (
        noise.price()
        if (kind, measure) != ("discrete-laplace", "gdp")
        else GDP.from_pure(PureDP.from_units(noise.price())).units
    )
    store.open("b", Terms(measure, 1 << 110, 1.0, 1e-6, "add-remove", "row"))
    charge(store, price, budget="b", events=[noise.encode()])
    charge(store, 2 * price, budget="b", events=[noise.encode(), noise.encode()])
    store.verify()
    charge(store, price - price // 10**9, budget="b", events=[noise.encode()])
    with pytest.raises(LedgerError, match="entry 4: its noise costs"):
        store.verify()


def test_gaussian_noise_has_no_price_in_a_pure_budget():
    store = Store()
    store.open("b", Terms("pure-dp", 1 << 110, 1.0, 0.0, "add-remove", "row"))
    charge(store, 1 << 100, budget="b", events=[event().encode()])
    with pytest.raises(LedgerError, match="entry 2: rounded-gaussian"):
        store.verify()


@pytest.mark.parametrize("events", [[1], [{"kind": "none"}], [NOISE.encode(), {}]])
def test_events_that_cannot_be_priced_are_found(store, events):
    charge(store, events=events)
    with pytest.raises(LedgerError, match="entry 2: its events"):
        store.verify()


@pytest.mark.parametrize("body", [{}, *({"events": events} for events in (None, [], {}, "x", NOISE.encode()))])
def test_a_charge_without_its_noise_is_found(store, body):
    charge(store)
    store.verify()
    store.charge("visits", cost=1, request=b"", body=body, key=None)
    with pytest.raises(LedgerError, match="entry 3: its noise is not recorded"):
        store.verify()


def test_old_sqlite_without_strict_tables(monkeypatch, tmp_path):
    import dpstruct.core.book as book

    monkeypatch.setattr(book, "SCHEMA", tuple(part.removesuffix(" STRICT") for part in book.SCHEMA))
    store = Store(tmp_path / "old.db")
    monkeypatch.undo()
    store.open("visits", TERMS)
    fill(store)
    store.verify()
    assert store.spent("visits") > 0
    store.close()
