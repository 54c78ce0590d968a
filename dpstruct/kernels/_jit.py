"""The one place where Numba's compilation flags are chosen.

Strict IEEE semantics everywhere: no ``fastmath``, no contraction, division by zero gives inf or NaN. Every kernel
releases the GIL and works on one block; `dpstruct.kernels.blocks` spreads blocks over threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])

FLAGS = {"nogil": True, "error_model": "numpy", "fastmath": False, "boundscheck": False}


def jit(function: F) -> F:
    """Compile `function` lazily with the flags of the house, cached on disk where that is possible."""
    try:
        compiled: F = numba.njit(cache=True, **FLAGS)(function)
    except RuntimeError:  # no writable place for the cache: a read-only installation without a home folder
        compiled = numba.njit(**FLAGS)(function)
    return compiled


def inline(function: F) -> F:
    """Compile a scalar body into its callers: left to its own thresholds, LLVM keeps calls and vectorises nothing."""
    compiled: F = numba.njit(forceinline=True, **FLAGS)(function)
    return compiled
