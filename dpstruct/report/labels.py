"""The privacy label: what a release promises, to whom and at what price, as text and as HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from html import escape

from dpstruct.domain import real
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import Relation, RowsWithin
from dpstruct.privacy.display import round_up
from dpstruct.privacy.neighbors import describe, parse

__all__ = ["Label", "label"]

_WIDTH = 78


@dataclass(frozen=True)
class Label:
    """A privacy label; ``str(label)`` for terminals, ``label.html`` for pages.

    Attributes
    ----------
    text : str
        At most 78 characters wide.
    html : str
        One ``<section>`` without scripts or outside references.
    """

    text: str
    html: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def label(
    title: str,
    *,
    epsilon: float,
    delta: float,
    neighbors: Relation | str,
    unit: str = "row",
    facts: Sequence[tuple[str, str]] = (),
) -> Label:
    """State the guarantee of a release so that no number is below the true one.

    Parameters
    ----------
    title : str
        What was released.
    epsilon, delta : float
        The guarantee of the release: ``epsilon >= 0``, ``0 <= delta < 1``. With ``delta`` 0 it is pure.
    neighbors : {"add-remove", "substitute"} or RowsWithin
        What two neighbouring data sets differ in.
    unit : str
        Whose data that is.
    facts : sequence of (str, str)
        Further lines: noise, share of the budget, error, time.

    Raises
    ------
    InvalidParameter
        If the numbers are no guarantee or the relation is unknown.

    Examples
    --------
    >>> print(label("Visits", epsilon=0.5, delta=0, neighbors="add-remove", facts=[("noise", "discrete Laplace")]))
    PRIVACY LABEL  Visits
    ══════════════════════════════════════════════════════════════════════════════
    ε = 0.5   differential privacy
    neighbours: add-remove, unit: row
    <BLANKLINE>
    Whoever sees this release, and whatever else they know: adding or removing one
    row multiplies the probability of anything they may conclude by at most 1.649.
    ──────────────────────────────────────────────────────────────────────────────
    noise             discrete Laplace
    ──────────────────────────────────────────────────────────────────────────────
    """
    epsilon, delta, relation = real("epsilon", epsilon), real("delta", delta), parse(neighbors)
    if epsilon < 0 or not 0 <= delta < 1:
        raise InvalidParameter("epsilon, delta", f"{epsilon}, {delta}", "epsilon >= 0 and 0 <= delta < 1")
    claim = f"ε = {round_up(epsilon)}" + (f", δ = {round_up(delta)}" if delta else "")
    factor = round_up(Fraction(Decimal(repr(epsilon)).exp()))
    extra = f", plus at most {round_up(delta)}" if delta else ""
    meaning = (
        f"Whoever sees this release, and whatever else they know: {_change(relation, unit)} multiplies the probability"
        f" of anything they may conclude by at most {factor}{extra}."
    )
    named = f"neighbours: {describe(relation)}, unit: {unit}"
    return Label(_text(title, claim, named, meaning, facts), _html(title, claim, named, meaning, facts))


def _change(relation: Relation, unit: str) -> str:
    """Say in words what neighbouring data sets differ in."""
    if isinstance(relation, RowsWithin):
        return f"moving one {unit} by at most {relation.radius!r}"
    return f"adding or removing one {unit}" if relation == "add-remove" else f"replacing one {unit} by another"


def _text(title: str, claim: str, named: str, meaning: str, facts: Sequence[tuple[str, str]]) -> str:
    lines = [f"PRIVACY LABEL  {title}", "═" * _WIDTH, f"{claim}   differential privacy", named, ""]
    lines += [*textwrap.wrap(meaning, _WIDTH), "─" * _WIDTH]
    for name, value in facts:
        lines += textwrap.wrap(value, _WIDTH, initial_indent=f"{name:<17} ", subsequent_indent=" " * 18)
    return "\n".join([*lines, "─" * _WIDTH] if facts else lines)


def _html(title: str, claim: str, named: str, meaning: str, facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in facts)
    return (
        f'<section class="dps-label" aria-label="Privacy label">\n<style>{_STYLE}</style>\n'
        f'<p class="dps-kicker">Privacy label</p>\n<h2>{escape(title)}</h2>\n'
        f'<p class="dps-claim"><strong>{escape(claim)}</strong> differential privacy</p>\n'
        f'<p class="dps-change">{escape(named)}</p>\n<p class="dps-meaning">{escape(meaning)}</p>\n'
        f"<dl>\n{rows}</dl>\n</section>\n"
    )


_STYLE = """
.dps-label{border:2px solid;border-radius:3px;padding:1rem 1.2rem;max-width:34rem;line-height:1.45;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
.dps-label p,.dps-label h2,.dps-label dl{margin:0}
.dps-label .dps-kicker{font-size:.75rem;letter-spacing:.12em;text-transform:uppercase;opacity:.75}
.dps-label h2{font-size:1.25rem;line-height:1.25;border:0;padding:0 0 .5rem;border-bottom:6px solid}
.dps-label .dps-claim{font-size:1.05rem;padding-top:.6rem}
.dps-label .dps-claim strong{font-size:1.45rem;margin-right:.3rem}
.dps-label .dps-meaning{font-size:.92rem;margin:.5rem 0 .8rem}
.dps-label dl>div{display:flex;gap:1rem;justify-content:space-between;border-top:1px solid;padding:.25rem 0;
font-size:.88rem}
.dps-label dt{font-weight:600;flex:0 0 8rem}
.dps-label dd{margin:0;text-align:right;font-variant-numeric:tabular-nums}
"""
