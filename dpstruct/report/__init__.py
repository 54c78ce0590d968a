"""Pictures, privacy labels and one-file pages from plain values: nothing here knows a structure or a budget."""

from dpstruct.report.charts import budget_bar, curve, histogram, scatter
from dpstruct.report.labels import Label, label
from dpstruct.report.numbers import figure as format_number
from dpstruct.report.numbers import percent
from dpstruct.report.page import Section, page
from dpstruct.report.tables import Figure, Table

__all__ = [
    "Figure",
    "Label",
    "Section",
    "Table",
    "budget_bar",
    "curve",
    "format_number",
    "histogram",
    "label",
    "page",
    "percent",
    "scatter",
]
