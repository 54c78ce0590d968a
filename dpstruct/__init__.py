"""Differentially private data structures: build once under an epsilon budget, query for ever.

A blueprint (`KDETree`) is public. It turns private records into a sealed `Summary` of exact integers; `Budget.release`
charges the budget, adds noise once, and returns a release that answers any number of queries for free and can be saved,
published and loaded.
"""

from dpstruct._version import __version__
from dpstruct.core import Budget, Ledger, Plan, Receipt, Release, Structure, Summary, load
from dpstruct.domain import Ball, Box
from dpstruct.errors import (
    BudgetExceeded,
    CapacityWarning,
    DPStructError,
    FileFormatError,
    InvalidParameter,
    InvalidType,
    LedgerError,
    NeighborsMismatch,
    PlanViolation,
)
from dpstruct.privacy import GDP, ApproxDP, PureDP, RowsWithin
from dpstruct.structures import (
    AnchorAttention,
    CrossAttention,
    JohnEllipsoid,
    KDETree,
    KernelDensity,
    NTKRegression,
    PrivateAnchorAttention,
    PrivateCrossAttention,
    PrivateEllipsoid,
    PrivateKDETree,
    PrivateKernelDensity,
    PrivateRegressor,
)

__all__ = [
    "GDP",
    "AnchorAttention",
    "ApproxDP",
    "Ball",
    "Box",
    "Budget",
    "BudgetExceeded",
    "CapacityWarning",
    "CrossAttention",
    "DPStructError",
    "FileFormatError",
    "InvalidParameter",
    "InvalidType",
    "JohnEllipsoid",
    "KDETree",
    "KernelDensity",
    "Ledger",
    "LedgerError",
    "NTKRegression",
    "NeighborsMismatch",
    "Plan",
    "PlanViolation",
    "PrivateAnchorAttention",
    "PrivateCrossAttention",
    "PrivateEllipsoid",
    "PrivateKDETree",
    "PrivateKernelDensity",
    "PrivateRegressor",
    "PureDP",
    "Receipt",
    "Release",
    "RowsWithin",
    "Structure",
    "Summary",
    "__version__",
    "load",
]
