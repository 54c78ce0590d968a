"""The page that ``dpstruct demo`` writes: what was protected, what was published, and how good it is."""

from __future__ import annotations

import numpy as np

from dpstruct._version import __version__
from dpstruct.cli import demo
from dpstruct.cli.files import privacy_label
from dpstruct.privacy.display import round_up
from dpstruct.report import Figure, Section, Table, budget_bar, histogram, page, percent, scatter, svg
from dpstruct.report import format_number as shown

__all__ = ["render"]

_CODE = """\
import dpstruct as dps
from sklearn.datasets import load_digits

budget  = dps.Ledger("privacy.db").budget("digits", epsilon=2, delta=1e-6, neighbors="add-remove")
tree    = dps.KDETree(bounds=dps.Box(0, 16, dim=64))                 # public: what is built, not from what
plan    = tree.plan(epsilon=1, delta=1e-6, neighbors="add-remove")   # price and error, before the data
summary = tree.summarize(load_digits().data)                         # exact and sealed: nothing can be read
private = budget.release(summary, epsilon=1)                         # charged, then noised, once
private.query(pictures), private.error(pictures)                     # any number of times, free
private.save("digits.dps")                                           # may be published; dps.load() reads it
"""


def render(outcome: demo.Outcome) -> str:
    """Return the whole page as HTML."""
    spent = sum(share for _, share in outcome.charges)
    relative = float(np.median(outcome.errors / outcome.truth))
    facts = [
        ("What one scan can change", f"ε = {demo.EPSILON:g}", f"at δ = {round_up(demo.DELTA)}: see the label"),
        (
            "Error of an answer",
            f"{100 * relative:.1f} %",
            f"± {shown(outcome.predicted, 3)}, known before the data was read",
        ),
        ("Questions answered", f"{len(outcome.answers)}", "a million more would cost nothing either"),
        ("Budget left", percent(1 - spent, up=False), "the ledger remembers it"),
    ]
    return page(
        "1,797 handwritten digits, answered privately",
        lead=_LEAD,
        facts=facts,
        label=privacy_label(outcome.receipt),
        sections=[
            Section("The questions", _QUESTIONS, figures=[_drawings(outcome)]),
            Section("How good the answers are", _quality(outcome), figures=_charts(outcome)),
            Section("What it cost", _cost(outcome), figures=[budget_bar(outcome.charges, title="The budget")]),
            Section("The program", _PROGRAM, code=_CODE),
            Section("What anyone can check", _CHECKS, tables=[_checks(outcome)], code=_COMMANDS),
        ],
        footer=_FOOTER,
    )


_LEAD = """\
One private data structure was built from scanned handwriting. What it protects: whether any one scan is among them, \
and every pixel of it. A privacy budget paid once, noise was added once, and from then on the structure answers any \
question of its kind, for anyone, for ever.

The scans are public (they ship with scikit-learn), so this page can show the exact answers beside the private ones. \
With your own data only the private side would exist.\
"""
_QUESTIONS = """\
Each scan has 64 pixels with 0 to 16 units of ink. A question is a picture; the answer is the sum of its distances to \
all scans: how much ink must be added or removed, pixel by pixel, to turn one into the other. The smaller the sum, the \
more the picture looks like the data. These ten drawings were made without looking at the scans.\
"""
_PROGRAM = """\
The same in a few lines. The bounds (0 to 16) and the neighbour relation are stated by you: nothing is guessed from \
the data.\
"""
_CHECKS = """\
The file digits.dps holds the noised numbers, the label and the receipt, and nothing else. Checking it needs no data, \
and asking it needs no permission.\
"""
_COMMANDS = """\
dpstruct verify digits.dps
dpstruct ledger verify privacy.db
dpstruct inspect digits.dps
dpstruct query digits.dps --points pictures.csv
"""
_FOOTER = f"""\
Made by dpstruct {__version__} with the command dpstruct demo. Data: the test set of the Optical Recognition of \
Handwritten Digits collection of E. Alpaydin and C. Kaynak, as in sklearn.datasets.load_digits.\
"""


def _quality(outcome: demo.Outcome) -> str:
    spread = float(np.sqrt(np.mean(outcome.scores**2)))
    return (
        f"First picture: the ten drawings on paper from white to almost black, {len(outcome.answers)} questions to one "
        "release. The band is the error that was predicted before the data was read. All answers come from one noise, "
        "so similar questions err together.\n\n"
        f"Second picture: is the prediction right? The release was made {len(outcome.scores)} times afresh, each with "
        "one question and a throw-away budget of its own, which only public data allows. Realised over predicted "
        f"error: {spread:.3f}."
    )


def _cost(outcome: demo.Outcome) -> str:
    return (
        f"The budget was opened with a total of ε = {demo.TOTAL:g} at δ = {round_up(demo.DELTA)} for everything that "
        f"will ever be released from it; this release cost ε = {demo.EPSILON:g} on its own. Epsilons do not add up; "
        "the shares shown here do, and the ledger keeps them as exact integers.\n\n"
        f"What still fits: {outcome.left}. Guarantee of everything together: {outcome.guarantee}."
    )


def _charts(outcome: demo.Outcome) -> list[Figure]:
    return [
        scatter(
            outcome.truth,
            outcome.answers,
            outcome.errors,
            title="Private and exact",
            quantity="sum of distances",
        ),
        histogram(outcome.scores, title=f"Errors of {len(outcome.scores)} releases"),
    ]


def _table(outcome: demo.Outcome) -> Table:
    columns = ["drawing", "private answer", "± standard error", "exact", "difference"]
    rows = [
        [str(k), f"{a:,.0f}", f"{e:,.0f}", f"{t:,.0f}", f"{a - t:+,.0f}".replace("-", "−")]
        for k, (a, e, t) in enumerate(zip(outcome.answers[:10], outcome.errors[:10], outcome.truth[:10], strict=True))
    ]
    return Table(columns, rows)


def _checks(outcome: demo.Outcome) -> Table:
    return Table(["checked just now", "result"], [list(check.partition(": ")[::2]) for check in outcome.checks])


def _drawings(outcome: demo.Outcome) -> Figure:
    """Draw the ten pictures with the private answer below each."""
    tile, cell = svg.WIDTH / 5, 7
    parts = []
    for k, glyph in enumerate(demo.GLYPHS):
        left, top = k % 5 * tile + (tile - cell * demo.SIDE) / 2, 6 + k // 5 * 108
        ink = "".join(
            f"M{left + cell * (i % demo.SIDE):.0f},{top + cell * (i // demo.SIDE):.0f}h{cell}v{cell}h-{cell}z"
            for i in np.flatnonzero(glyph)
        )
        side = cell * demo.SIDE
        parts.append(f'<rect class="axis" x="{left:.0f}" y="{top}" width="{side}" height="{side}" fill="none"/>')
        parts.append(f'<path class="fill a" d="{ink}"/>')
        thousands = f"{outcome.answers[k] / 1000:.0f} ± {outcome.errors[k] / 1000:.1f}"
        parts.append(svg.words(left + side / 2, top + side + 16, thousands, anchor="middle"))
        exact = f"exact {outcome.truth[k] / 1000:.0f}"
        parts.append(svg.words(left + side / 2, top + side + 31, exact, anchor="middle", soft=True))
    nearest = int(np.argmin(outcome.answers[:10]))
    description = (
        "Ten questions and their private answers, in thousands of ink units ± one standard error. By these, the "
        f"{nearest} is nearest to the scans."
    )
    title = "Ten pictures, and how far each is from all scans"
    return Figure(title, description, svg.picture(title, description, 214, *parts), _table(outcome))
