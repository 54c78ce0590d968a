"""Verdicts and bounds as HTML: the words, and what was seen against the trade-off curve that was claimed."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.privacy import GDP, PureDP, trade_off

if TYPE_CHECKING:
    from dpstruct.audit.verdict import Bins, Bound, Verdict
    from dpstruct.report import Figure

__all__ = ["bound_page", "fragment", "measure_of", "trade_off_figure", "verdict_page"]

Floats = NDArray[np.float64]


def trade_off_figure(bins: Bins, claim: Any, *, title: str = "Errors of tests that tell x from x2") -> Figure:
    """Draw the errors of the best tests on the counted bins, and the curve below which the claim allows none.

    Parameters
    ----------
    bins : two sequences of int
        Counts in each bin under x and x2.
    claim : PureDP, ApproxDP, GDP or list of (epsilon, delta)
        What was claimed or bounded.
    title : str
        What is shown.
    """
    from dpstruct.report import Figure, Table, format_number, svg

    first, second = errors(bins)
    grid = np.unique(np.concatenate([np.linspace(0, 1, 201), np.geomspace(1e-4, 1, 60)]))
    curve = claimed(claim, grid)
    panel = svg.Panel(46, 46, svg.WIDTH - 54, 300, (0.0, 1.0), (0.0, 1.0))
    parts = [
        svg.key([("dot", "a", "seen, best tests"), ("line", "b", "claimed"), ("area", "b", "not allowed")]),
        panel.axes("Chance to say x under x2", "Chance to say x2 under x"),
        svg.area(panel.place(grid, curve), panel.place(grid, np.zeros_like(grid)), "b"),
        svg.line(panel.place(grid, curve), "b"),
        svg.line(panel.place(first, second), "a"),
        svg.dots(panel.place(first, second), "a"),
    ]
    below = int((second < claimed(claim, first)).sum())
    description = (
        f"{len(first):,} tests, one for each number of bins that say x, the likeliest first: the two errors that each"
        f" of them made. {below:,} lie below the curve of the claim; a few do by chance, because the order of the bins"
        " comes from the same counts."
    )
    rows = [
        [format_number(a), format_number(b), format_number(c)] for a, b, c in zip(first, second, claimed(claim, first))
    ]
    table = Table(["says x under x2", "says x2 under x", "claimed at least"], rows)
    return Figure(title, description, svg.picture(title, description, 384, *parts), table)


def errors(bins: Bins) -> tuple[Floats, Floats]:
    """Return both errors of the tests that say x on the likeliest bins, from none to all of them."""
    p, q = (np.asarray(row, dtype=np.float64) for row in bins)
    p, q = p / max(p.sum(), 1), q / max(q.sum(), 1)
    order = np.argsort(q / np.maximum(p + q, 1e-300), kind="stable")
    first, second = np.cumsum(q[order]), 1 - np.cumsum(p[order])
    return np.concatenate([[0.0], np.minimum(first, 1)]), np.concatenate([[1.0], np.clip(second, 0, 1)])


def claimed(claim: Any, alpha: Floats) -> Floats:
    """Return the smallest second error that the claim allows at each first error."""
    if isinstance(claim, GDP):
        return trade_off(claim, alpha)
    pairs = (
        claim
        if isinstance(claim, list | tuple)
        else [(claim.epsilon, 0.0 if isinstance(claim, PureDP) else claim.delta)]
    )
    least = np.zeros_like(alpha)
    for epsilon, delta in pairs:
        steep = np.exp(min(float(epsilon), 700.0))
        least = np.maximum(least, np.maximum(1 - delta - steep * alpha, (1 - delta - alpha) / steep))
    return least


def measure_of(bound: Bound) -> Any:
    """Return the claim that the bound contradicts, for the plot."""
    if bound.of == "mu":
        return GDP(min(bound.value, 60.0)) if bound.value >= 1e-6 else [(0.0, 0.0)]
    return [(bound.value, bound.delta)]


def fragment(words: str, bins: Bins, claim: Any) -> str:
    """Return words and plot for a notebook."""
    figure = trade_off_figure(bins, claim).html() if sum(bins[0]) and sum(bins[1]) else ""
    return f'<pre tabindex="0">{escape(words)}</pre>\n{figure}'


def verdict_page(verdict: Verdict) -> str:
    """Return one HTML document about a verdict."""
    outcome = "refuted" if verdict.rejected else "not refuted"
    facts = [
        ("Outcome", outcome, f"at a false-alarm rate of {verdict.alpha:g}"),
        ("Runs", f"{verdict.runs:,}", "on x and x2 together"),
        ("Log e-value", f"{verdict.log_e:.2f}", f"refuted from {-np.log(verdict.alpha):.2f}"),
    ]
    return _page(f"Audit of {verdict.words}", f"{verdict.words} is {outcome}.", facts, verdict, verdict.claim)


def bound_page(bound: Bound) -> str:
    """Return one HTML document about a bound."""
    title = f"A lower bound of {bound.of}"
    facts = [
        (f"{bound.of} at least", f"{bound.value:.4g}", f"with confidence {bound.confidence:g}"),
        ("Runs", f"{bound.runs:,}", "on x and x2 together"),
    ]
    return _page(title, str(bound).splitlines()[0] + ".", facts, bound, measure_of(bound))


def _page(title: str, lead: str, facts: list[tuple[str, str, str]], found: Verdict | Bound, claim: Any) -> str:
    from dpstruct.report import Section, page

    figures = [trade_off_figure(found.bins, claim)] if found.bins[0] else []
    sections = [Section("What was found", code=str(found)), Section("The trade-off", figures=figures)]
    footer = "A statement about one pair of neighbours. An event too rare to be seen, or another pair, may tell more."
    return page(title, lead=lead, facts=facts, sections=sections, footer=footer)
