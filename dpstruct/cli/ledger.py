"""``dpstruct ledger``: what was spent, read from the file that remembers it."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from dpstruct.cli.text import plain
from dpstruct.core import Ledger
from dpstruct.errors import LedgerError
from dpstruct.privacy.display import remaining, round_up

__all__ = ["existing", "export", "log", "show", "verify"]


def existing(path: str) -> Ledger:
    """Open a ledger that is there; reading never creates one."""
    if not Path(path).exists() or Path(path).stat().st_size == 0:
        raise LedgerError(f"ledger {path}: no such file, or an empty one; a release with --total-epsilon creates it")
    return Ledger(path)


def _names(args: Namespace, ledger: Ledger) -> list[str]:
    return ledger.budgets() if args.budget is None else [args.budget]


def show(args: Namespace) -> None:
    """Print every budget: its guarantee, what is spent and what still fits."""
    ledger = existing(args.ledger)
    for name in _names(args, ledger):
        budget = ledger.budget(name)
        left = remaining(budget.remaining, budget.neighbors, budget.unit, budget.delta or None)
        print(f"{plain(name)}\n  total:  {plain(budget.guarantee)}")
        print(f"  spent:  {round_up(100 * budget.spent)} % in {len(budget.log())} releases\n  left:   {plain(left)}")
    print(f"head: {ledger.export_head()}")


def log(args: Namespace) -> None:
    """Print every charge under its budget's guarantee: time, share, price, status, structure and note."""
    ledger = existing(args.ledger)
    for name in _names(args, ledger):
        budget = ledger.budget(name)
        print(f"{plain(name)}\n  total: {plain(budget.guarantee)}")
        print("  charges, oldest first: share of the total, guarantee on its own for the same neighbors and unit")
        for entry in budget.log():
            price = entry.cost.claim(budget.delta or None)
            key = f"  key={entry.key}" if entry.key is not None else ""
            print(
                plain(f"  {entry.at}  {round_up(100 * entry.share)} %  {price}  {entry.status}  {entry.structure}")
                + plain(f"{key}  {entry.label}".rstrip())
            )


def verify(args: Namespace) -> None:
    """Recompute the whole ledger; say what holds."""
    ledger = existing(args.ledger)
    ledger.verify(args.head)
    print(f"ok: every hash, running total and price of {args.ledger} holds")
    if args.head is None:
        print(f"head: {ledger.export_head()}  (keep it elsewhere and pass it as --head to notice a rollback)")
    else:
        print("ok: the exported head is among the entries")


def export(args: Namespace) -> None:
    """Print all entries and the head of the hash chain as one JSON object."""
    ledger = existing(args.ledger)
    head = ledger.export_head()
    entries = [asdict(entry) for entry in ledger.log(args.budget)]
    for entry in entries:
        for column, value in entry.items():
            if isinstance(value, bytes):
                entry[column] = value.hex()
        entry["cost"], entry["total"] = (None if entry[k] is None else str(entry[k]) for k in ("cost", "total"))
    print(json.dumps({"head": head, "entries": entries}, indent=1, sort_keys=True))
