"""``dpstruct plan`` and ``dpstruct release``."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np

from dpstruct.cli.ledger import existing
from dpstruct.cli.options import box
from dpstruct.cli.source import Source, open_table
from dpstruct.core import Budget, Ledger, Summary
from dpstruct.core.progress import bar
from dpstruct.errors import DPStructError, InvalidParameter, NeighborsMismatch
from dpstruct.privacy.display import remaining, round_up
from dpstruct.privacy.neighbors import describe
from dpstruct.structures import KDETree, PrivateKDETree

__all__ = ["plan", "release"]

_STEPS = 100
_FORGOTTEN = """\
note: nothing remembers this spend. It was paid from a budget made for this one release; whatever else is released
      about the same records adds to it. Use --ledger and --budget to keep account.\
"""


def _check_price(args: Namespace) -> None:
    """Refuse options that contradict each other, before anything is read or opened."""
    if args.ledger is None:
        for name in ("budget", "share", "total_epsilon", "key"):
            if getattr(args, name, None) is not None:
                args.misuse(f"--{name.replace('_', '-')} needs --ledger")
    elif args.budget is None:
        args.misuse("--ledger needs --budget")
    elif getattr(args, "error", None) is not None:
        args.misuse("--error states no price that a budget could be asked for: leave --ledger out")


def _reopened(args: Namespace) -> Budget:
    """Return the budget in the ledger; the relation and, if given, delta must be the stored ones."""
    budget = existing(args.ledger).budget(args.budget)
    if args.neighbors != budget.neighbors:
        raise NeighborsMismatch(
            f"budget {args.budget!r}: neighbors is {describe(budget.neighbors)!r} in the ledger, "
            f"{describe(args.neighbors)!r} was given; pass --neighbors as stored"
        )
    if args.delta is not None and args.delta != budget.delta:
        raise InvalidParameter("--delta", str(args.delta), f"{budget.delta}, that of budget {args.budget!r}")
    return budget


def _budget(args: Namespace) -> Budget:
    """Return the budget that pays: one for this release, or one in a ledger, opened if its total is given."""
    if args.ledger is None:
        return Budget(args.epsilon, args.delta or 0.0, neighbors=args.neighbors)
    if args.total_epsilon is None:
        return _reopened(args)
    terms = {"epsilon": args.total_epsilon, "delta": args.delta or 0.0, "neighbors": args.neighbors}
    return Ledger(args.ledger).budget(args.budget, **terms)


def plan(args: Namespace) -> None:
    """Print price, noise and error of a release, and whether a budget in a ledger can pay for it; charges nothing."""
    _check_price(args)
    tree = KDETree(box(args.bounds, args.dim), depth=args.depth)
    if args.ledger is None:
        print(tree.plan(epsilon=args.epsilon, error=args.error, delta=args.delta, neighbors=args.neighbors))
        return
    there = Path(args.ledger).exists() and args.budget in Ledger(args.ledger).budgets()
    if there or args.total_epsilon is None:
        budget = _budget(args)
    else:  # as a release would open it; planning writes nothing
        budget = Budget(args.total_epsilon, args.delta or 0.0, neighbors=args.neighbors)
    delta = budget.delta or None
    preview = budget.preview(epsilon=args.epsilon, share=args.share)
    left = remaining(preview.remaining if preview.fits else budget.remaining, args.neighbors, budget.unit, delta)
    print(tree.plan(cost=preview.cost, delta=delta, neighbors=args.neighbors))
    verdict = "it fits and leaves" if preview.fits else "it does not fit; there is room for"
    print(f"  budget {args.budget!r}: {verdict} {left}")


def release(args: Namespace) -> None:
    """Read a file block by block, charge, add noise once, and write the release."""
    _check_price(args)
    out = _target(args.out, overwrite=args.overwrite)
    known = len(args.bounds) if len(args.bounds) > 1 else None
    source = open_table(args.data, columns=args.columns, header=args.header, delimiter=args.delimiter, width=known)
    tree = KDETree(box(args.bounds, source.width), depth=args.depth)
    budget = _budget(args)
    summary = _summarize(tree, source, show=not args.quiet and sys.stderr.isatty())
    price = {"share": 1} if args.ledger is None else {"epsilon": args.epsilon, "share": args.share}
    private = budget.release(summary, **price, key=args.key, label=args.label)
    try:
        private.save(out)
    except OSError as error:
        remedy = "its noise is gone" if args.key is None else "run the same command again: the key makes it free"
        raise DPStructError(f"charged, but {out} could not be written: {error.strerror}; {remedy}") from error
    _account(private, source, out, None if args.ledger is None else budget)


def _target(path: str, *, overwrite: bool) -> Path:
    """Return where to write, checked before anything is charged."""
    out = Path(path)
    if out.suffix != ".dps":
        raise InvalidParameter("--out", repr(out.name), "a name that ends in .dps")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK) or out.is_dir():
        raise InvalidParameter(
            "--out", str(out), "a file in a folder that exists and can be written", "nothing was charged"
        )
    if out.exists() and not overwrite:
        raise InvalidParameter("--out", f"{out}, which exists", "a new file", "pass --overwrite to replace it")
    return out


def _summarize(tree: KDETree, source: Source, *, show: bool) -> Summary[PrivateKDETree]:
    """Return the sealed sums of all blocks; merging is exact, so the blocks leave no trace."""
    summary = tree.summarize(np.empty((0, tree.dim)))
    done = 0
    with bar("summarize", _STEPS, show=show) as advance:
        for block, share in source.blocks():
            summary = summary + tree.summarize(block)
            while done < int(_STEPS * share):
                advance()
                done += 1
    return summary


def _account(private: PrivateKDETree, source: Source, out: Path, budget: Budget | None) -> None:
    worst = private.structure.plan(
        cost=private.receipt.cost, neighbors=private.receipt.neighbors, unit=private.receipt.unit
    ).error
    print(f"released {out}: {private.structure}")
    print(f"  columns: {source.width}")
    print(f"  guarantee of this release: {private.receipt.guarantee}")
    print(f"  standard error of one answer: at most {worst:.6g}; questions are free: dpstruct query {out} --at ...")
    if budget is None:
        print(_FORGOTTEN, file=sys.stderr)
        return
    left = remaining(budget.remaining, budget.neighbors, budget.unit, budget.delta or None)
    print(f"  budget {budget.name!r}: {round_up(100 * budget.spent)} % spent, room for {left}")
    print(f"  guarantee of all its releases together: {budget.guarantee}")
