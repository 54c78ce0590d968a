"""The ledger store: one contract, in a file and in memory."""

import hashlib
import json
import pickle
import threading
from fractions import Fraction

import pytest

from dpstruct.core.store import Charge, KeyReused, OverBudget, ReleasePurged, Store, Terms
from dpstruct.errors import InvalidParameter, LedgerError, NeighborsMismatch
from dpstruct.privacy import GDP, Filter, PureDP
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


def charge(store, cost=10, key=None, request=b"request", budget="visits", **body):
    return store.charge(budget, cost=cost, request=request, body=BODY | body, key=key)


def test_a_new_budget_is_empty_and_keeps_its_terms(store):
    assert store.terms("visits") == TERMS
    assert store.budgets() == ["visits"]
    assert store.spent("visits") == 0
    store.open("visits", TERMS)
    assert [entry.kind for entry in store.entries()] == ["budget"]
    assert set(store.entries()[0].body) == {"measure", "total", "epsilon", "delta", "neighbors", "unit"}
    store.verify()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"neighbors": "substitute"}, NeighborsMismatch),
        ({"unit": "user"}, NeighborsMismatch),
        ({"measure": "pure-dp"}, LedgerError),
        ({"total": 101}, LedgerError),
        ({"epsilon": 1.5}, LedgerError),
        ({"delta": 1e-5}, LedgerError),
    ],
)
def test_other_terms_are_refused_and_both_are_named(store, change, error):
    with pytest.raises(error) as caught:
        store.open("visits", Terms(**{**TERMS.__dict__, **change}))
    (name, value), text = *change.items(), str(caught.value)
    assert repr(value) in text
    assert repr(getattr(TERMS, name)) in text
    assert len(store.entries()) == 1


def test_the_last_bits_of_a_total_may_differ_between_machines(store):
    big = Terms("gdp", 1 << 98, 1.0, 1e-6, "add-remove", "row")
    store.open("big", big)
    store.open("big", Terms("gdp", (1 << 98) + (1 << 50), 1.0, 1e-6, "add-remove", "row"))
    assert store.terms("big") == big


def test_charges_add_up_exactly_to_the_last_unit(store):
    whole = 3**70
    laplace = [Event("discrete-laplace", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**100,)),)).encode()]
    store.open("exact", Terms("pure-dp", whole, 1.0, 0.0, "add-remove", "row"))
    charge(store, whole - 1, budget="exact", events=laplace)
    with pytest.raises(OverBudget) as caught:
        charge(store, 2, budget="exact", events=laplace)
    assert (caught.value.spent, caught.value.total) == (whole - 1, whole)
    charge(store, 1, budget="exact", events=laplace)
    with pytest.raises(OverBudget):
        charge(store, 1, budget="exact", events=laplace)
    assert store.spent("exact") == whole
    assert store.spent("visits") == 0
    store.verify()


@pytest.mark.parametrize("measure", ["gdp", "pure-dp"])
def test_the_rule_that_is_proved_is_the_rule_that_runs(store, monkeypatch, measure):
    asked = []

    def admits(rule, spent, cost):
        asked.append((rule.total, spent, cost))
        return cost != 30

    monkeypatch.setattr(Filter, "admits", admits)
    store.open("b", Terms(measure, 100, 1.0, 1e-6, "add-remove", "row"))
    charge(store, 20, budget="b")
    with pytest.raises(OverBudget):
        charge(store, 30, budget="b")
    total = {"gdp": GDP, "pure-dp": PureDP}[measure].from_units(100)
    assert asked == [(total, 0, 20), (total, 20, 30)]
    assert store.spent("b") == 20


def test_a_refusal_writes_nothing(store):
    before = store.head()
    with pytest.raises(OverBudget):
        charge(store, 101, key="big")
    assert store.head() == before
    charge(store, 100, key="big")
    assert store.spent("visits") == 100


@pytest.mark.parametrize("cost", [0, -1, True, 1.0, "3", None, Fraction(1, 2), float("nan")])
def test_a_cost_is_a_positive_integer(store, cost):
    with pytest.raises(InvalidParameter, match="cost"):
        charge(store, cost)
    assert store.spent("visits") == 0


@pytest.mark.parametrize("text", ["", "   ", "two\nlines", "nul\0", "\ud800", "x" * 1001, 7, None])
def test_names_and_keys_are_printable(store, text):
    with pytest.raises(InvalidParameter, match="name"):
        store.open(text, TERMS)
    if text is not None:
        with pytest.raises(InvalidParameter, match="key"):
            charge(store, key=text)


@pytest.mark.parametrize("body", [{"x": float("nan")}, {"x": b"1"}, {"x": {1, 2}}, {("a",): 1}])
def test_a_body_is_json_and_its_values_are_not_quoted(store, body):
    with pytest.raises(InvalidParameter, match="body"):
        store.charge("visits", cost=1, request=b"", body=body, key=None)
    assert store.spent("visits") == 0


def test_an_unknown_budget_is_named_with_those_that_exist(store):
    for call in (store.terms, store.spent, store.entries, lambda name: charge(store, budget=name)):
        with pytest.raises(LedgerError, match=r"'visit'.*'visits'"):
            call("visit")


def test_entries_tell_what_was_written(store):
    made = charge(store, 7, key="k", request=b"\x00\xff", label="naïve")
    store.finish(made, payload=b"noised")
    opened, charged, done = store.entries("visits")
    assert (opened.seq, opened.total, opened.cost) == (1, 100, None)
    assert (charged.uid, charged.at, charged.key) == (made.uid, made.at, "k")
    assert (charged.cost, charged.total, charged.request, charged.body) == (
        7,
        7,
        b"\x00\xff",
        BODY | {"label": "naïve"},
    )
    digest = hashlib.sha256(b"noised").hexdigest()
    assert done.body == {"sha256": digest, "status": "done", "stored": True}
    assert (done.ref, done.kind) == (2, "outcome")
    assert store.entries() == [opened, charged, done]


# ---- one key, one release -------------------------------------------------------------------------------------------


def test_a_key_is_charged_once_and_returns_what_was_stored(store):
    first = charge(store, key="k")
    assert (first.status, first.payload) == ("open", None)
    assert charge(store, key="k") == first
    done = store.finish(first, payload=b"one")
    assert done == Charge(first.uid, first.seq, first.at, "done", b"one")
    assert charge(store, key="k") == done
    assert store.spent("visits") == 10


def test_a_stored_release_is_returned_even_when_nothing_is_left(store):
    store.finish(charge(store, 100, key="k"), payload=b"all")
    assert charge(store, 100, key="k").payload == b"all"


def test_the_first_outcome_stands(store):
    made = charge(store, key="k")
    store.finish(made, payload=b"first")
    assert store.finish(made, payload=b"second").payload == b"first"
    store.fail(made, "ValueError")
    assert charge(store, key="k").payload == b"first"
    store.verify()


def test_a_failure_is_never_released_later(store):
    made = charge(store, key="k")
    store.fail(made, "numpy.linalg.LinAlgError")
    late = store.finish(made, payload=b"late")
    assert (late.status, late.payload) == ("failed", None)
    assert charge(store, key="k").status == "failed"
    assert store.entries()[-1].body == {"status": "failed", "error": "numpy.linalg.LinAlgError"}
    assert store.spent("visits") == 10
    store.verify()


def test_a_failure_keeps_no_message(store):
    store.fail(charge(store), "ValueError: income was 12345")
    assert "12345" not in json.dumps([entry.body for entry in store.entries()])


def test_another_request_under_a_key_is_refused(store):
    charge(store, key="k", request=b"one")
    with pytest.raises(KeyReused, match="'k'"):
        charge(store, key="k", request=b"two")
    store.open("other", TERMS)
    charge(store, key="k", request=b"two", budget="other")
    assert (store.spent("visits"), store.spent("other")) == (10, 10)


def test_without_a_key_every_call_is_a_charge(store):
    assert charge(store).uid != charge(store).uid
    assert store.spent("visits") == 20


def test_a_purged_release_is_never_drawn_again(store):
    made = charge(store, key="k")
    store.finish(made, payload=b"noised")
    store.purge("visits", "k")
    store.purge("visits", "k")
    with pytest.raises(ReleasePurged, match="'k'"):
        charge(store, key="k")
    late = store.finish(made, payload=b"redrawn")
    assert (late.status, late.payload) == ("purged", None)
    assert store.spent("visits") == 10
    store.verify()


def test_only_a_finished_release_can_be_purged(store):
    with pytest.raises(LedgerError, match="unknown"):
        store.purge("visits", "k")
    charge(store, key="k")
    with pytest.raises(LedgerError, match="open"):
        store.purge("visits", "k")


def test_an_outcome_without_payload_is_done_not_purged(store):
    made = charge(store, key="k")
    assert store.finish(made, payload=None).status == "done"
    assert charge(store, key="k").status == "done"
    assert store.entries()[-1].body == {"sha256": None, "status": "done", "stored": False}


def test_an_outcome_needs_its_charge(store):
    stray = Charge("0" * 32, 1, "", "open")
    with pytest.raises(LedgerError, match="not in this ledger"):
        store.finish(stray, payload=b"")


# ---- amendments -----------------------------------------------------------------------------------------------------


def test_an_amendment_is_on_the_record(store):
    charge(store, 90)
    store.amend("visits", 150, "Ada", "second survey wave", epsilon=1.5)
    assert (store.terms("visits").total, store.terms("visits").epsilon) == (150, 1.5)
    assert store.entries()[-1].body == {"who": "Ada", "why": "second survey wave", "epsilon": 1.5}
    charge(store, 60)
    with pytest.raises(OverBudget):
        charge(store, 1)
    with pytest.raises(InvalidParameter, match="150"):
        store.amend("visits", 149, "Ada", "less")
    with pytest.raises(LedgerError, match="amend"):
        store.open("visits", TERMS)
    store.verify()


def test_an_amended_total_names_the_first_one(store):
    assert store.terms("visits").first is None
    store.open("other", TERMS)
    for total in (150, 120, 100):  # also back at the start: it was chosen in the light of releases
        store.amend("visits", total, "Ada", "why")
        assert (store.terms("visits").total, store.terms("visits").first) == (total, 100)
    assert store.terms("other").first is None
    store.open("visits", TERMS)  # the terms in force are asked for, not their history
    store.open("copy", store.terms("visits"))
    assert (store.terms("copy"), "first" in store.entries("copy")[0].body) == (TERMS, False)


def test_a_total_can_be_lowered_to_what_is_spent(store):
    charge(store, 40)
    store.amend("visits", 40, "Ada", "closed")
    with pytest.raises(OverBudget):
        charge(store, 1)
    store.verify()


def test_an_amendment_names_who_and_why(store):
    for who, why in (("", "because"), ("Ada", " ")):
        with pytest.raises(InvalidParameter, match="wh"):
            store.amend("visits", 150, who, why)


# ---- threads and copies ---------------------------------------------------------------------------------------------


def test_many_threads_spend_exactly_the_total(store):
    granted, refused = [], []

    def spend():
        while True:
            try:
                made = charge(store, 3)
            except OverBudget:
                refused.append(1)
                return
            granted.append(store.finish(made, payload=b"x").uid)

    threads = [threading.Thread(target=spend) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(set(granted)), len(refused)) == (33, 12)
    assert store.spent("visits") == 99
    store.verify()


def test_a_call_inside_a_transaction_is_refused_and_leaves_it_whole(store):
    def work(db):
        with pytest.raises(LedgerError, match="nest"):
            charge(store, 100)
        return db.in_transaction

    assert store._database.write(work)
    assert store.spent("visits") == 0


def test_a_file_store_pickles_as_a_handle_and_a_memory_store_not_at_all(filed):
    charge(filed, 10)
    other = pickle.loads(pickle.dumps(filed))
    charge(other, 20)
    assert filed.spent("visits") == 30
    assert other.identity == filed.identity
    other.close()
    with pytest.raises(LedgerError, match="memory"):
        pickle.dumps(Store())


def test_a_handle_notices_another_ledger_at_its_path(filed, tmp_path):
    handle = pickle.dumps(filed)
    filed.close()
    (tmp_path / "privacy.db").unlink()
    with pytest.raises(LedgerError, match="CANTOPEN"):
        pickle.loads(handle)
    Store(filed.path).close()
    with pytest.raises(LedgerError, match="another ledger"):
        pickle.loads(handle)
    with pytest.raises(LedgerError, match="another ledger"):
        charge(filed)


@pytest.mark.parametrize("size", [None, 0, 1])
def test_a_handle_never_founds_a_ledger(filed, tmp_path, size):
    handle, path = pickle.dumps(filed), tmp_path / "privacy.db"
    filed.close()
    path.unlink()
    if size is not None:
        path.write_bytes(b"x" * size)
    for call in (lambda: Store(path, create=False), lambda: pickle.loads(handle)):
        with pytest.raises(LedgerError, match=r"CANTOPEN|the file is empty; nothing was charged|NOTADB"):
            call()
    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [("privacy.db", size)] * path.exists()
    assert path.exists() == (size is not None)


@pytest.mark.parametrize("deed", ["delete", "move", "replace", "empty"])
def test_a_file_that_disappears_under_an_open_store_is_not_charged(filed, tmp_path, deed):
    charge(filed)
    path = tmp_path / "privacy.db"
    if deed == "move":
        path.rename(tmp_path / "elsewhere.db")
    else:
        path.unlink()
    if deed == "replace":
        other = Store(path.with_name("new.db"))
        other.close()
        path.with_name("new.db").rename(path)
    elif deed == "empty":
        path.touch()
    for leftover in ("privacy.db-wal", "privacy.db-shm"):
        (tmp_path / leftover).unlink(missing_ok=True)
    with pytest.raises(LedgerError, match=r"nothing was charged"):
        charge(filed)
    assert path.exists() == (deed in ("replace", "empty"))
