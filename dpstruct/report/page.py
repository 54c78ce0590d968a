"""A whole report in one HTML file: no scripts, nothing loaded, fit for phones, print, dark mode and screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from dpstruct.report.labels import Label
from dpstruct.report.tables import Figure, Table

__all__ = ["Section", "page"]


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, paragraphs, figures side by side where there is room, tables, a block of code.

    Parameters
    ----------
    heading : str
        Title of the section.
    text : str, optional
        Paragraphs, separated by empty lines.
    figures : sequence of Figure, optional
        Pictures.
    tables : sequence of Table, optional
        Tables, after the pictures.
    code : str, optional
        A program, shown as it is.
    """

    heading: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    code: str = ""

    def html(self) -> str:
        """Return the section as HTML."""
        figures = "".join(figure.html() for figure in self.figures)
        parts = [
            f"<section>\n<h2>{escape(self.heading)}</h2>\n{_paragraphs(self.text)}",
            f'<div class="dps-figures">\n{figures}</div>\n' if figures else "",
            "\n".join(table.html() for table in self.tables),
            f'<pre tabindex="0"><code>{escape(self.code)}</code></pre>\n' if self.code else "",
            "</section>\n",
        ]
        return "".join(parts)


def page(
    title: str,
    *,
    lead: str = "",
    facts: Sequence[tuple[str, str, str]] = (),
    label: Label | None = None,
    sections: Sequence[Section] = (),
    footer: str = "",
) -> str:
    """Return a complete HTML document; the same arguments give the same bytes.

    Parameters
    ----------
    title : str
        Heading of the page.
    lead : str, optional
        Opening paragraphs.
    facts : sequence of (str, str, str), optional
        Key figures: name, value, and a note below.
    label : Label, optional
        Privacy label, shown before the sections.
    sections : sequence of Section, optional
        The body.
    footer : str, optional
        Closing paragraphs: sources, version, how to repeat it.

    Examples
    --------
    >>> text = page("Visits <2026>", sections=[Section("Answers", "All of them.")])
    >>> "<h1>Visits &lt;2026&gt;</h1>" in text, "<script" in text
    (True, False)
    """
    cards = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd>{escape(note)}</dd></div>\n"
        for name, value, note in facts
    )
    top = (f'<dl class="dps-facts">\n{cards}</dl>\n' if cards else "") + (label.html if label else "")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header>\n<p class="dps-brand">dpstruct</p>\n<h1>{escape(title)}</h1>\n'
        f'<div class="dps-lead">{_paragraphs(lead)}</div>\n</header>\n'
        + (f'<div class="dps-top">\n{top}</div>\n' if top else "")
        + "".join(section.html() for section in sections)
        + f"<footer>{_paragraphs(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part.strip())}</p>\n" for part in text.split("\n\n") if part.strip())


_STYLE = """
:root{--dps-ink:#17212b;--dps-paper:#fff;--dps-soft:#55616d;--dps-rule:#d5dae0;--dps-tint:#f3f5f8;--dps-accent:#1d5b94;
--dps-a:#1f6cb0;--dps-b:#c05a10}
@media (prefers-color-scheme:dark){:root{--dps-ink:#e4e9ee;--dps-paper:#12171d;--dps-soft:#a3aeb9;--dps-rule:#35404b;
--dps-tint:#1b222a;--dps-accent:#8cc2f0;--dps-a:#63abe8;--dps-b:#f0a050}}
*{box-sizing:border-box}
body{margin:0;background:var(--dps-paper);color:var(--dps-ink);overflow-wrap:break-word;
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1.25rem 3rem}
header{border-top:6px solid var(--dps-accent);padding-top:1rem}
.dps-brand{margin:0;font-weight:700;letter-spacing:.02em;color:var(--dps-accent)}
h1{font-size:clamp(1.6rem,4.5vw,2.4rem);line-height:1.15;margin:.3rem 0 .8rem;letter-spacing:-.015em}
h2{font-size:1.35rem;line-height:1.25;margin:0 0 .6rem}
main>section{margin-top:2.5rem;padding-top:1.1rem;border-top:1px solid var(--dps-rule)}
p{margin:0 0 .8rem;max-width:44rem}
.dps-lead p{font-size:1.12rem}
.dps-top{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1.6rem 2.5rem;
margin:1.6rem 0;align-items:start}
.dps-facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,10rem),1fr));gap:1px;margin:0;
background:var(--dps-rule);border:1px solid var(--dps-rule)}
.dps-facts>div{background:var(--dps-paper);padding:.8rem 1rem}
.dps-facts dt{font-size:.85rem;color:var(--dps-soft)}
.dps-facts dd{margin:0;font-size:.85rem;color:var(--dps-soft)}
.dps-facts dt+dd{font-size:1.65rem;line-height:1.25;font-weight:650;color:var(--dps-ink)}
.dps-figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,23rem),1fr));gap:2rem 2.5rem;
margin:1.2rem 0}
figure{margin:0;break-inside:avoid;max-width:36rem}
h3{font-size:1rem;margin:0 0 .6rem}
figcaption,.dps-note,caption{font-size:.88rem;color:var(--dps-soft);margin:.6rem 0 .3rem;text-align:left}
summary{font-size:.88rem;cursor:pointer;color:var(--dps-accent)}
.dps-wide{overflow-x:auto;max-height:26rem;margin:.6rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;min-width:min(100%,24rem)}
th,td{padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--dps-rule);text-align:left;vertical-align:top}
thead th{border-bottom:2px solid var(--dps-ink);font-weight:650}
tbody th{font-weight:400}
th.dps-number,td.dps-number{text-align:right;white-space:nowrap;padding:.35rem 0 .35rem 1.2rem}
pre{background:var(--dps-tint);border-left:3px solid var(--dps-accent);padding:.9rem 1rem;overflow-x:auto;
font-size:.88rem;line-height:1.5}
code{font-family:ui-monospace,SFMono-Regular,Consolas,"DejaVu Sans Mono",monospace}
footer{margin-top:2.5rem;padding-top:1rem;border-top:1px solid var(--dps-rule);font-size:.88rem;color:var(--dps-soft)}
:focus-visible{outline:3px solid var(--dps-b);outline-offset:2px}
@media print{:root{--dps-ink:#000;--dps-paper:#fff;--dps-soft:#333;--dps-rule:#999;--dps-tint:#fff;--dps-accent:#000;
--dps-a:#1f6cb0;--dps-b:#c05a10}main{padding:0;max-width:none}.dps-wide{max-height:none;overflow:visible}
section,figure,.dps-facts>div{break-inside:avoid}details:not([open]){display:none}body{font-size:10.5pt}}
"""
