"""``dpstruct demo``: one release from plan to page, on real data that is public, so that the truth may be shown."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpstruct.core import Budget, Ledger, Receipt, files, load
from dpstruct.domain import Box
from dpstruct.errors import DPStructError
from dpstruct.privacy.display import remaining, round_up
from dpstruct.report import format_number as shown
from dpstruct.structures import KDETree, PrivateKDETree

__all__ = ["GLYPHS", "Outcome", "run"]

Floats = NDArray[np.float64]
EPSILON, DELTA, TOTAL, NEIGHBORS = 1.0, 1e-6, 2.0, "add-remove"
INK, SIDE, REPEATS = 16, 8, 300

_FONT = """
..###... ...#.... ..###... ..###... ....#... .#####.. ...##... .#####.. ..###... ..###...
.#...#.. ..##.... .#...#.. .#...#.. ...##... .#...... ..#..... .....#.. .#...#.. .#...#..
.#...#.. .#.#.... .....#.. .....#.. ..#.#... .#...... .#...... ....#... .#...#.. .#...#..
.#...#.. ...#.... ....#... ...##... .#..#... .####... .####... ...#.... ..###... ..####..
.#...#.. ...#.... ...#.... .....#.. .#####.. .....#.. .#...#.. ..#..... .#...#.. .....#..
.#...#.. ...#.... ..#..... .....#.. ....#... .....#.. .#...#.. ..#..... .#...#.. .....#..
.#...#.. ...#.... .#...... .#...#.. ....#... .#...#.. .#...#.. ..#..... .#...#.. ....#...
..###... .#####.. .#####.. ..###... ....#... ..###... ..###... ..#..... ..###... ..##....
"""
#: Ten drawings of digits, made without looking at any data, shape (10, 64), 0 or 1.
GLYPHS: Floats = np.array(
    [[mark == "#" for line in _FONT.split("\n")[1:-1] for mark in line.split()[k]] for k in range(10)], dtype=np.float64
)


@dataclass(frozen=True)
class Outcome:
    """What the demo measured: plain public values for the page, and exact ones because this data is public."""

    receipt: Receipt
    predicted: float
    answers: Floats
    errors: Floats
    truth: Floats
    scores: Floats
    count: float
    charges: list[tuple[str, float]]
    left: str
    guarantee: str
    checks: list[str]

    @property
    def realised(self) -> float:
        """Root mean square of the differences between answers and truth."""
        return float(np.sqrt(np.mean((self.answers - self.truth) ** 2)))


def run(args: Namespace) -> None:
    """Plan, charge, release, ask, save, load, verify; print an account and write one HTML page."""
    from sklearn.datasets import load_digits

    from dpstruct.cli import demo_page

    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    X: Floats = load_digits().data
    _say(f"Data: {len(X):,} scanned digits of 8 x 8 pixels, ink 0 to 16. Public, but treated as if they were private.")
    outcome = _live(X, out)
    page = out / "demo.html"
    page.write_text(demo_page.render(outcome), encoding="utf-8")
    _say(f"Page: open {page}")


def _say(text: str) -> None:
    print(text, flush=True)


def _live(X: Floats, out: Path) -> Outcome:
    tree = KDETree(Box(0, INK, dim=SIDE * SIDE))
    plan = tree.plan(epsilon=EPSILON, delta=DELTA, neighbors=NEIGHBORS)
    _say(f"Plan, before any data is read: {plan.guarantee}.")
    _say(f"  Every answer, of any number, will have a standard error of at most {shown(plan.error)}.")
    ledger = Ledger(out / "privacy.db")
    name = f"digits-{len(ledger.budgets()) + 1}"
    budget = ledger.budget(name, epsilon=TOTAL, delta=DELTA, neighbors=NEIGHBORS)
    _say(f"Ledger: {out / 'privacy.db'}, budget {name!r} of {budget.guarantee}.")
    private = budget.release(tree.summarize(X), epsilon=EPSILON, label="Distances to 1,797 handwritten digits")
    left = remaining(budget.remaining, budget.neighbors, budget.unit, DELTA)
    _say(f"Release: charged first, then noised once. {round_up(100 * budget.spent)} % of the budget is spent.")
    _say(f"  Left: {left}.")
    queries = np.concatenate([np.where(GLYPHS == 1, INK, paper) for paper in range(INK)])
    checks = _check(private, queries, ledger, out)
    outcome = Outcome(
        receipt=private.receipt,
        predicted=plan.error,
        answers=private.query(queries),
        errors=private.error(queries),
        truth=_exact(X, queries),
        scores=_repeat(X),
        count=private.count,
        charges=[(entry.label, entry.share) for entry in budget.log()],
        left=left,
        guarantee=budget.guarantee,
        checks=checks,
    )
    _report(outcome)
    for line in checks:
        _say(f"Check: {line}")
    ledger.close()
    return outcome


def _exact(X: Floats, queries: Floats) -> Floats:
    return np.array([np.abs(X - y).sum() for y in queries])


def _check(private: PrivateKDETree, queries: Floats, ledger: Ledger, out: Path) -> list[str]:
    """Save, load, compare bit by bit, and verify the file and the ledger."""
    path = out / "digits.dps"
    private.save(path)
    if load(path).query(queries).tobytes() != private.query(queries).tobytes():
        raise DPStructError(f"{path}: the loaded release answers differently")
    ledger.verify(ledger.export_head())
    return [
        "file: saved, loaded, and every answer is the same to the last bit",
        *files.verify(path),
        "ledger: every hash, running total and price holds",
    ]


def _repeat(X: Floats) -> Floats:
    """Return standardised errors of independent releases, one query each: with private data this would cost each time.

    A tree of one level has the same error, and exact knots at no, half and full ink.
    """
    tree = KDETree(Box(0, INK, dim=SIDE * SIDE), depth=1)
    queries = np.concatenate([INK * GLYPHS, INK // 2 * GLYPHS])
    summary, truth, scores = tree.summarize(X), _exact(X, queries), np.empty(REPEATS)
    for k in range(REPEATS):
        private = Budget(EPSILON, DELTA, neighbors=NEIGHBORS).release(summary, share=1)
        i = k % len(queries)
        y = queries[i : i + 1]
        scores[k] = (private.query(y)[0] - truth[i]) / private.error(y)[0]
    return scores


def _report(outcome: Outcome) -> None:
    _say("Questions: how far is a drawing from all the scans together? (Sum of l1 distances; the truth is shown")
    _say("because this data is public.)")
    _say(f"  {'drawing':>7}  {'private answer':>14}  {'standard error':>14}  {'exact':>9}  {'difference':>10}")
    for digit in range(10):
        answer, error, truth = outcome.answers[digit], outcome.errors[digit], outcome.truth[digit]
        _say(f"  {digit:>7}  {answer:>14,.0f}  {error:>14,.0f}  {truth:>9,.0f}  {answer - truth:>+10,.0f}")
    _say(f"  All {len(outcome.answers)} answers of this release: predicted error {shown(outcome.predicted)},")
    _say(f"  realised {shown(outcome.realised)} (they share one noise, so they err together).")
    spread = float(np.sqrt(np.mean(outcome.scores**2)))
    _say(f"  {len(outcome.scores)} releases, each from a budget of its own: realised / predicted error = {spread:.3f}.")
