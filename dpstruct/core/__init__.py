"""The life-cycle shared by every structure: plan, summary, release, budget, ledger and files."""

from dpstruct.core.budget import Budget
from dpstruct.core.files import load
from dpstruct.core.ledger import Ledger
from dpstruct.core.plan import Plan
from dpstruct.core.receipt import Receipt
from dpstruct.core.release import Release
from dpstruct.core.state import Rows, Sealed, Sums
from dpstruct.core.structure import Group, Line, Rounds, Structure
from dpstruct.core.summary import Summary

__all__ = [
    "Budget",
    "Group",
    "Ledger",
    "Line",
    "Plan",
    "Receipt",
    "Release",
    "Rounds",
    "Rows",
    "Sealed",
    "Structure",
    "Summary",
    "Sums",
    "load",
]
