"""The ledger: what durability costs, whether processes share fairly, and whether sudden death ever loses a charge.

Run ``python benchmarks/ledger.py`` (about two minutes). The rates depend on how fast the disk confirms a write; all
stores are timed in turn, in the same run.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from _harness import at_least, at_most, main, median, ratio, row
from _harness import race as time_all

import dpstruct as dps
from dpstruct.core.store import OverBudget, Store, Terms
from dpstruct.privacy import Event

TERMS = Terms("gdp", 1 << 100, 1.0, 1e-6, "add-remove", "row")
ONE_UNIT = Event("rounded-gaussian", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**50,)),))
BODY = {"label": "benchmark", "events": [ONE_UNIT.encode()]}
CHARGES = 200
KILLS = 1000


def rate():
    """Charges per second: durable, without waiting for the disk, and in memory."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        stores = {
            "durable": Store(os.path.join(folder, "full.db")),
            "synchronous=OFF": Store(os.path.join(folder, "off.db")),
            "in memory": Store(),
        }
        for store in stores.values():
            store.open("visits", TERMS)
        stores["synchronous=OFF"]._database._box[0].execute("PRAGMA synchronous=OFF")
        times = time_all({name: _charges(store) for name, store in stores.items()})
        rows = [row(f"{name}: charges", CHARGES / median(t), "1/s", entries=3200) for name, t in times.items()]
        rows += [row(f"{name} / durable", ratio(times["durable"], times[name]), "x") for name in list(times)[1:]]
        for store in stores.values():
            store.verify()
            store.close()
    return rows


def _charges(store):
    def run():
        for _ in range(CHARGES):
            store.charge("visits", cost=1, request=b"", body=BODY, key=None)

    return run


def fork(work):
    """Run `work(write)` in a child; return its pid and the end of a pipe that yields what it wrote."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(out)
        try:
            work(lambda text: os.write(into, f"{text}\n".encode()))
        finally:
            os._exit(0)
    os.close(into)
    return pid, out


def lines(out):
    with os.fdopen(out) as pipe:
        return pipe.read().splitlines()


def race(processes=8, total=800):
    """Charge one unit at a time from every process until nothing is left."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = os.path.join(folder, "race.db")
        store = Store(path)
        store.open("visits", Terms("gdp", total, 1.0, 1e-6, "add-remove", "row"))
        start = time.monotonic() + 0.2

        def work(write):
            mine = Store(path)
            time.sleep(max(0.0, start - time.monotonic()))
            while True:
                try:
                    write(mine.charge("visits", cost=1, request=b"", body=BODY, key=None).uid)
                except OverBudget:
                    return

        children = [fork(work) for _ in range(processes)]
        granted = [lines(out) for _, out in children]
        seconds = time.monotonic() - start
        for pid, _ in children:
            os.waitpid(pid, 0)
        store.verify()
        spent = store.spent("visits")
        store.close()
    facts = {"processes": processes, "total": total}
    distinct = len({uid for each in granted for uid in each})
    grants = sorted(map(len, granted))
    return [
        at_most("overspend", max(spent, sum(grants)) - total, 0, "units", distinct=distinct, **facts),
        at_least("smallest grant / equal share", grants[0] * processes / total, 0.5, grants=str(grants), **facts),
        at_most("largest grant / equal share", grants[-1] * processes / total, 2.0, **facts),
        row("charges, all processes together", total / seconds, "1/s", **facts),
    ]


def kills():
    """Kill processes that release real trees, two at a time, at random moments; compare what left with the book."""
    tree = dps.KDETree(bounds=dps.Box(low=[0.0], high=[1.0]), metric="l1", depth=3)
    summary = tree.summarize(np.linspace(0.0, 1.0, 50).reshape(-1, 1))
    dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove").release(summary, share=0.5)  # compiles before the forks
    with tempfile.TemporaryDirectory(dir=".") as folder:
        ledger = dps.Ledger(Path(folder) / "kills.db")
        budget = ledger.budget("visits", epsilon=4.0, delta=1e-6, neighbors="add-remove")
        handed, ended = _kill(Path(folder) / "kills.db", summary)
        ledger.verify()  # raises unless chain, totals, prices and digests are intact
        entries, total = ledger.log("visits"), budget.total.units
        ledger.close()
    finished = {entry.ref for entry in entries if entry.kind == "outcome"}
    charges = [entry for entry in entries if entry.kind == "charge"]
    recorded = {entry.uid for entry in charges if entry.seq in finished}
    lost = len(handed) - len(recorded & set(handed))
    spent = sum(entry.cost for entry in charges)
    return [
        at_most("releases handed out without charge", lost, 0, "", kills=KILLS, handed_out=len(handed), chain="intact"),
        at_most("spent / total", spent / total, 1, "x", charges=len(charges)),
        row("killed between charge and outcome", len(charges) - len(recorded), ""),
        row("killed between outcome and hand-out", len(recorded) - len(handed), ""),
        at_most("processes that ended before the kill", ended, 0, ""),
    ]


def _kill(path, summary, seed=0):
    moments, children, handed, ended = random.Random(seed), [], [], 0

    def work(write):
        budget = dps.Ledger(path).budget("visits")
        for number in range(10**9):
            key = f"{os.getpid()}-{number}" if number % 2 else None
            write(budget.release(summary, cost=dps.GDP(0.003), key=key).receipt.uid)

    for started in range(KILLS + 1):
        if started < KILLS:
            children.append(fork(work))
        if len(children) == 2 or started == KILLS:
            pid, out = children.pop(moments.randrange(len(children)))
            time.sleep(moments.uniform(0.0, 0.04))
            os.kill(pid, signal.SIGKILL)
            ended += os.waitpid(pid, 0)[1] != signal.SIGKILL
            handed += lines(out)
    return handed, ended


if __name__ == "__main__":
    main("ledger", {"rate": rate, "race": race, "kills": kills})
