"""Mechanisms with known truths: published mistakes, and correct ones with traps, to audit an auditor.

Each `Case` holds a mechanism, one pair of neighbours, a claim, and the exact privacy of that pair. The noise is
NumPy's: these are for tests and benchmarks, and release nothing.
"""

from __future__ import annotations

from dpstruct.audit.mechanisms import counts, gaussian, leaks, selection, sparse_vector, traps, vectors
from dpstruct.audit.mechanisms._case import Case, Mechanism, epsilon_at, mu_of_pair
from dpstruct.audit.mechanisms.leaks import rare_disclosure

__all__ = ["Case", "Mechanism", "broken", "correct", "epsilon_at", "mu_of_pair", "rare_disclosure"]


def _all(seed: int) -> list[Case]:
    modules = (sparse_vector, selection, counts, vectors, gaussian, leaks, traps)
    return [case.seeded(seed) for module in modules for case in module.cases()]


def broken(seed: int = 0) -> list[Case]:
    """Return the mechanisms whose pair refutes their claim.

    Parameters
    ----------
    seed : int
        Of every case's own generator.

    Examples
    --------
    >>> from dpstruct.audit import mechanisms
    >>> case = next(case for case in mechanisms.broken() if case.name == "forgotten-composition")
    >>> case.claim, case.true_epsilon
    (PureDP(1.0), 3.0)
    >>> case.mechanism(case.x, 4).shape
    (4, 3)
    """
    return [case for case in _all(seed) if case.broken]


def correct(seed: int = 0) -> list[Case]:
    """Return the mechanisms that keep their claim on every pair; an auditor that flags one is wrong.

    Parameters
    ----------
    seed : int
        Of every case's own generator.

    Examples
    --------
    >>> from dpstruct.audit import mechanisms
    >>> "svt-1-lyu" in {case.name for case in mechanisms.correct()}
    True
    """
    return [case for case in _all(seed) if not case.broken]
