"""Processes that share a ledger. Run as a script, so that every fork starts from a process of one thread."""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from fractions import Fraction

from dpstruct.core.store import OverBudget, Store, Terms
from dpstruct.errors import LedgerError
from dpstruct.privacy.events import Event

TERMS = Terms("gdp", 100, 1.0, 1e-6, "add-remove", "row")
NOISE = Event("rounded-gaussian", Fraction(1), (("sums", (1,), (Fraction(1),), (2.0**50,)),))  # costs one unit
BODY = {"events": [NOISE.encode()]}


def fork(work):
    """Run `work(write)` in a child; return its pid and the end of a pipe that yields what it wrote."""
    out, into = os.pipe()
    pid = os.fork()
    if pid:
        os.close(into)
        return pid, out
    os.close(out)
    status = 1
    try:
        work(lambda text: os.write(into, f"{text}\n".encode()))
        status = 0
    finally:
        os._exit(status)


def collect(children):
    """Return the lines of every child, and insist that each ended well."""
    lines = []
    for pid, out in children:
        with os.fdopen(out) as pipe:
            lines.append(pipe.read().splitlines())
        assert os.waitpid(pid, 0)[1] == 0, "a child failed"
    return lines


class Gate:
    """Holds children back until all of them have come."""

    def __init__(self, children):
        self.children, (self.came, self.come), (self.wait, self.open) = children, os.pipe(), os.pipe()

    def enter(self):
        os.close(self.open)
        os.write(self.come, b"x")
        os.read(self.wait, 1)

    def release(self):
        for _ in range(self.children):
            os.read(self.came, 1)
        os.close(self.open)


def race(path, processes, inherit=""):
    """Charge one unit at a time until nothing is left; return the uids that each process was granted."""
    inherited = Store(path) if inherit else None
    gate = Gate(int(processes))

    def work(write):
        store = inherited or Store(path)
        gate.enter()
        while True:
            try:
                write(store.charge("visits", cost=1, request=b"", body=BODY, key=None).uid)
            except OverBudget:
                return

    if inherited:
        inherited.spent("visits")
    children = [fork(work) for _ in range(int(processes))]
    gate.release()
    return collect(children)


def one_key(path, processes):
    """Release under one key from many processes at once; return what each of them got."""
    gate = Gate(int(processes))

    def work(write):
        store = Store(path)
        gate.enter()
        charge = store.charge("visits", cost=10, request=b"same", body=BODY, key="k")
        if charge.status == "open":
            charge = store.finish(charge, payload=os.urandom(16))
        write(f"{charge.uid} {charge.payload.hex()}")

    children = [fork(work) for _ in range(int(processes))]
    gate.release()
    return collect(children)


DEATHS = ("before charge", "after charge", "inside outcome", "after outcome")


def die(folder):
    """For each point of a release, be killed there, in a ledger named after it."""
    for point in DEATHS:

        def work(write, point=point):
            store = Store(os.path.join(folder, point))
            if point == "before charge":
                store._database.write(lambda db: os.kill(os.getpid(), signal.SIGKILL))
            charge = store.charge("visits", cost=10, request=b"same", body=BODY, key="k")
            if point == "inside outcome":
                store._database.write(lambda db: _die_after(db.execute("INSERT INTO payload VALUES (2, x'00')")))
            if point == "after outcome":
                store.finish(charge, payload=b"noised")
            os.kill(os.getpid(), signal.SIGKILL)

        pid, out = fork(work)
        os.close(out)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL


def _die_after(statement):
    os.kill(os.getpid(), signal.SIGKILL)


def memory():
    """Use a budget in memory in a forked child, which must be refused; and in the parent, which must not."""
    store = Store()
    store.open("visits", TERMS)

    def work(write):
        try:
            store.charge("visits", cost=1, request=b"", body=BODY, key=None)
        except LedgerError as error:
            write(str(error))

    lines = collect([fork(work)])
    store.charge("visits", cost=1, request=b"", body=BODY, key=None)
    return [*lines, [str(store.spent("visits"))]]


def read_only():
    """Open ledgers whose file, directory or both this user may not write; return the messages."""
    return [_read_only(*modes) for modes in ((0o755, 0o444), (0o555, 0o666), (0o555, 0o444))]


def _read_only(folder_mode, file_mode):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "privacy.db")
    store = Store(path)
    store.open("visits", TERMS)
    store.close()
    os.chmod(folder, folder_mode)
    os.chmod(path, file_mode)

    def work(write):
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            Store(path)
        except LedgerError as error:
            write(str(error))

    try:
        return collect([fork(work)])[0]
    finally:
        os.chmod(folder, 0o755)
        shutil.rmtree(folder)


def locks(path):
    """Fork while a connection is open; return open handles, and locks held in a transaction, in parent and child."""
    store = Store(path)
    store.spent("visits")

    def handles():
        return sum(os.path.realpath(f"/proc/self/fd/{number}") == path for number in os.listdir("/proc/self/fd"))

    def held(db):
        with open("/proc/locks") as table:
            return sum(line.split()[4] == str(os.getpid()) for line in table if "->" not in line)

    def work(write):
        write(handles())
        write(store._database.write(held))

    idle, before = handles(), store._database.write(held)
    lines = collect([fork(work)])
    return [[idle, before, store._database.write(held)], *lines]


def store_loop(path):
    """Return the endless work of a process that charges, draws and records, and only then hands out."""

    def work(write):
        store = Store(path)
        while True:
            charge = store.charge("visits", cost=1, request=b"", body=BODY, key=None)
            write(store.finish(charge, payload=os.urandom(64)).uid)

    return work


def budget_loop(path):
    """Return the same with the whole library: real sums, real noise."""
    import numpy as np

    import dpstruct as dps

    tree = dps.KDETree(bounds=dps.Box(low=[0.0], high=[1.0]), metric="l1", depth=3)
    summary = tree.summarize(np.linspace(0.0, 1.0, 50).reshape(-1, 1))
    memory = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    memory.release(summary, share=0.5)  # compiles before the first fork

    def work(write):
        budget = dps.Ledger(path).budget("visits")
        for number in range(10**9):
            key = f"{os.getpid()}-{number}" if number % 2 else None
            write(budget.release(summary, cost=dps.GDP(1e-3), key=key).receipt.uid)

    return work


def kill(path, kills, loop, seed="0"):
    """Kill processes at random moments, two at a time; return the uids that they had handed out by then."""
    work, moments = globals()[loop](path), random.Random(int(seed))
    children, uids = [], []

    def end(child):
        pid, out = child
        with os.fdopen(out) as pipe:
            lines = [pipe.readline().strip() for _ in range(moments.randrange(3))]
            time.sleep(moments.uniform(0.0, 0.02))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            uids.append(lines + pipe.read().splitlines())

    for _ in range(int(kills)):
        children.append(fork(work))
        if len(children) == 2:
            end(children.pop(moments.randrange(2)))
    for child in children:
        end(child)
    return uids


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
