"""The exceptions of dpstruct. No message ever quotes private data."""

from __future__ import annotations

__all__ = [
    "BudgetExceeded",
    "CapacityWarning",
    "DPStructError",
    "FileFormatError",
    "InvalidParameter",
    "InvalidType",
    "LedgerError",
    "NeighborsMismatch",
    "PlanViolation",
]


class DPStructError(Exception):
    """Base class of every exception that dpstruct raises on purpose."""


class InvalidParameter(DPStructError, ValueError):
    """An argument has a value, shape or combination that is not allowed.

    Parameters
    ----------
    argument : str
        Name of the argument as the caller spelled it.
    received : str
        What arrived, in words. Never a private value: shapes, dtypes and public parameters only.
    expected : str
        What is allowed.
    remedy : str, optional
        What to do about it.
    """

    def __init__(self, argument: str, received: str, expected: str, remedy: str = "") -> None:
        super().__init__(argument, received, expected, remedy)
        self.argument, self.received, self.expected, self.remedy = (
            argument,
            received,
            expected,
            remedy,
        )

    def __str__(self) -> str:
        text = f"{self.argument}: received {self.received}, expected {self.expected}"
        return f"{text}; {self.remedy}" if self.remedy else text


class InvalidType(InvalidParameter, TypeError):
    """An argument has a type or dtype that is not allowed."""


class NeighborsMismatch(DPStructError, ValueError):
    """Two parts of one computation disagree on the neighbour relation or on the unit."""


class PlanViolation(DPStructError):
    """A structure or summary does something its plan does not list."""


class BudgetExceeded(DPStructError):
    """A release would cost more than what remains; nothing was charged."""


class LedgerError(DPStructError):
    """The ledger could not be read, written or trusted; nothing was released uncharged."""


class FileFormatError(DPStructError, ValueError):
    """A file is not a valid ``.dps`` release."""


class CapacityWarning(UserWarning):
    """The noisy count says that more rows than the public capacity were summed."""
