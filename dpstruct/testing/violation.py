"""`PrivacyViolation`, and test data in words."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from dpstruct.errors import CapacityWarning
from dpstruct.privacy.neighbors import describe

if TYPE_CHECKING:
    from dpstruct.core import Plan

__all__ = ["PrivacyViolation", "in_words", "same", "silent", "spell", "violation"]

Data = tuple[NDArray[Any], ...]


class PrivacyViolation(AssertionError):
    """A structure does not keep what its plan promises. The message quotes the test data that show it."""


def spell(data: Data, rows: int = 6) -> str:
    """Return test data in digits that read back exactly, the first rows of each array."""
    parts = []
    for array in data:
        text = repr(array[:rows].tolist())
        more = f" and {len(array) - rows} rows" if len(array) > rows else ""
        parts.append(f"{text}{more} {array.dtype}" if len(array) else f"no rows {array.dtype}")
    return "; ".join(parts)


def in_words(ratio: Fraction) -> str:
    """Return a ratio in digits that do not hide a small excess over 1."""
    return f"1 + {float(ratio - 1):.3g}" if 1 < ratio < 1 + Fraction(1, 10**6) else f"{float(ratio):.9g}"


def violation(plan: Plan[Any], what: str, *details: str, **datasets: Data) -> PrivacyViolation:
    """Return the failure of a plan with everything needed to see it again."""
    lines = [f"{plan.structure}: {what}", *(f"  {detail}" for detail in details)]
    lines += [f"  {name} = {spell(data)}" for name, data in datasets.items()]
    lines += [f"  neighbors: {describe(plan.neighbors)}", f"  claim: {plan.cost!r}"]
    return PrivacyViolation("\n".join(lines))


@contextmanager
def silent(plan: Plan[Any], what: str, data: Data) -> Iterator[None]:
    """Fail if a value makes the code under test raise or warn: errors and standard error are public."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", CapacityWarning)  # from the noisy count
            yield
    except PrivacyViolation:
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise violation(plan, f"{what} raised or warned on a value", told, data=data) from error


def same(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays have the same shape, type and bits."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
