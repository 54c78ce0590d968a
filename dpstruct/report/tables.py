"""Tables and figures as plain values that turn into HTML; every string is escaped here and nowhere else twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Figure", "Table"]

_SHOWN_ROWS = 60


def _is_number(text: str) -> bool:
    return text[:1] in "−-+±≤≥≈0123456789" and any(c.isdigit() for c in text)


@dataclass(frozen=True)
class Table:
    """A table of texts that a screen reader and a printer can follow.

    Parameters
    ----------
    columns : sequence of str
        Column headings.
    rows : sequence of sequences of str
        Cells, one text per column; the first cell of a row is its heading. Columns of numbers are aligned to the right.
    caption : str, optional
        One sentence above the table.

    Examples
    --------
    >>> Table(["query", "answer"], [["(0, 0)", "12.5"]]).html()[:21]
    '<div class="dps-wide"'
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def html(self) -> str:
        """Return the table as HTML; of very long ones the first rows, and a line that says so."""
        shown = self.rows[:_SHOWN_ROWS]
        right = [all(_is_number(row[k]) for row in shown) and bool(shown) for k in range(len(self.columns))]
        align = [' class="dps-number"' if flag else "" for flag in right]
        head = "".join(f'<th scope="col"{align[k]}>{escape(text)}</th>' for k, text in enumerate(self.columns))
        body = "".join(
            "<tr>"
            + "".join(
                f'<th scope="row"{align[k]}>{escape(text)}</th>' if k == 0 else f"<td{align[k]}>{escape(text)}</td>"
                for k, text in enumerate(row)
            )
            + "</tr>\n"
            for row in shown
        )
        left_out = len(self.rows) - len(shown)
        note = f'<p class="dps-note">… and {left_out:,} more rows.</p>' if left_out else ""
        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        return (
            f'<div class="dps-wide" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody></table></div>{note}"
        )


@dataclass(frozen=True)
class Figure:
    """A picture with its words and its numbers.

    Attributes
    ----------
    title : str
        What is shown.
    description : str
        What a reader should see in it; also the alternative text of the picture.
    svg : str
        The picture: one inline SVG element that loads nothing and adapts to light and dark pages.
    table : Table
        The numbers behind it.
    """

    title: str
    description: str
    svg: str
    table: Table

    def html(self) -> str:
        """Return the picture, its caption and (folded) its numbers as one HTML ``<figure>``."""
        return (
            f"<figure>\n<h3>{escape(self.title)}</h3>\n{self.svg}\n<figcaption>{escape(self.description)}</figcaption>\n"
            f"<details><summary>The numbers</summary>\n{self.table.html()}\n</details>\n</figure>\n"
        )

    def _repr_html_(self) -> str:
        return self.html()
