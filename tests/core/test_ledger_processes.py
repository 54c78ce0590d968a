"""The ledger under many processes, forks and sudden death: the budget is exact, and nothing is handed out uncharged."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from dpstruct.core.ledger import Ledger
from dpstruct.core.store import Store, Terms
from dpstruct.privacy.events import Event

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and signals")

WORKER = Path(__file__).with_name("ledger_worker.py")
TERMS = Terms("gdp", 100, 1.0, 1e-6, "add-remove", "row")
NOISE = Event("rounded-gaussian", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**50,)),))  # costs one unit
BODY = {"events": [NOISE.encode()]}


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "privacy.db")
    made.open("visits", TERMS)
    yield made
    made.close()


def work(name, *arguments):
    command = [sys.executable, "-W", "error", str(WORKER), name, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("inherit", ["", "inherit"])
def test_eight_processes_spend_the_budget_to_its_last_unit(store, inherit):
    granted = work("race", store.path, 8, inherit)
    uids = [uid for each in granted for uid in each]
    assert len(uids) == len(set(uids)) == store.spent("visits") == 100
    assert {entry.uid for entry in store.entries() if entry.kind == "charge"} == set(uids)
    assert (
        min(map(len, granted)) >= 1
    )  # at equal chances nobody is left out but for (7/8)^100 = 2e-6; without turns most are
    store.verify()


def test_six_processes_with_one_key_get_one_release(store):
    results = {line for lines in work("one_key", store.path, 6) for line in lines}
    assert len(results) == 1
    assert store.spent("visits") == 10
    assert [entry.kind for entry in store.entries()] == ["budget", "charge", "outcome"]
    store.verify()


def test_a_retry_after_death_is_charged_once_and_stays(tmp_path):
    spent = {"before charge": 0, "after charge": 10, "inside outcome": 10, "after outcome": 10}
    stores = {point: Store(tmp_path / point) for point in spent}
    for store in stores.values():
        store.open("visits", TERMS)
    work("die", tmp_path)
    for point, store in stores.items():
        assert store.spent("visits") == spent[point], point
        before = {entry.uid for entry in store.entries()}
        charge = store.charge("visits", cost=10, request=b"same", body=BODY, key="k")
        assert (charge.uid in before) == (point != "before charge")
        assert charge.payload == (b"noised" if point == "after outcome" else None)
        first = charge if charge.payload else store.finish(charge, payload=b"redrawn")
        assert store.charge("visits", cost=10, request=b"same", body=BODY, key="k").payload == first.payload
        assert store.spent("visits") == 10
        store.verify()
        store.close()


def test_a_budget_in_memory_is_refused_in_a_forked_child():
    (message,), (spent,) = work("memory")
    assert "forked" in message
    assert "nothing was charged" in message
    assert spent == "1"


def test_a_read_only_place_is_refused_at_once():
    messages = [message for lines in work("read_only") for message in lines]
    assert len(messages) == 3
    assert all("not writable" in message and "nothing was changed" in message for message in messages)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="needs /proc/locks")
def test_a_forked_child_takes_file_locks_of_its_own(store):
    parent, child = [[int(number) for number in lines] for lines in work("locks", store.path)]
    idle, before, after = parent
    inherited, own = child
    assert (idle, inherited) == (1, 0)  # handles on the file: it is closed before the fork, not in the child
    assert before == after == own > 0


@pytest.mark.parametrize("loop", ["store_loop", "budget_loop"])
def test_nothing_is_handed_out_without_its_charge_when_processes_are_killed(tmp_path, loop):
    ledger = Ledger(tmp_path / "privacy.db")
    budget = ledger.budget("visits", epsilon=4.0, delta=1e-6, neighbors="add-remove")
    handed = [uid for uids in work("kill", tmp_path / "privacy.db", 40, loop) for uid in uids]
    entries = ledger.log("visits")
    done = {entry.ref for entry in entries if entry.kind == "outcome"}
    charged = {entry.uid for entry in entries if entry.kind == "charge" and entry.seq in done}
    assert len(handed) > 20
    assert len(handed) == len(set(handed))
    assert set(handed) <= charged
    assert ledger._store.spent("visits") == sum(entry.cost or 0 for entry in entries) <= budget.total.units
    budget.verify()
    ledger.close()


def test_a_fork_in_the_middle_of_a_release_shows_one_noise(tmp_path):
    """The child draws other noise for the same charge, and must not show it."""
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import numpy as np
import dpstruct as dps
from oracle.toy import Mean


class Forking(Mean):
    def rounds(self, plan, state):
        os.fork()
        yield state.sums


budget = dps.Ledger({str(tmp_path / "fork.db")!r}).budget("v", epsilon=1, delta=1e-6, neighbors="add-remove")
try:
    budget.release(Forking(dps.Ball(1, dim=2)).summarize(np.zeros((5, 2))), share=0.25)
    os.write(1, b"shown\\n")
except dps.DPStructError as error:
    os.write(1, type(error).__name__.encode() + b"\\n")
"""
    found = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert sorted(found.stdout.split()) == ["LedgerError", "shown"], found.stderr
