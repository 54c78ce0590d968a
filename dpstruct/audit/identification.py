"""How often any attack may name a record among candidates under a guarantee, and an exact test against it."""

from __future__ import annotations

from dataclasses import dataclass

from dpstruct.domain import positive_integer
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import ApproxDP, Measure, trade_off

__all__ = ["Identification", "identification_bound", "identification_test"]


@dataclass(frozen=True)
class Identification:
    """An attack's hit rate beside the best that privacy allows.

    Attributes
    ----------
    hits, trials, candidates : int
        Correct identifications, attempts, and equally likely candidates in each.
    bound : float
        Largest possible probability of a hit under the claim.
    p_value : float
        Probability of at least so many hits if every attempt reached the bound.
    """

    hits: int
    trials: int
    candidates: int
    bound: float
    p_value: float

    def __str__(self) -> str:
        return (
            f"identified 1 of {self.candidates} in {self.hits} of {self.trials} trials "
            f"({self.hits / self.trials:.4f}); the claim allows {self.bound:.4f}; p = {self.p_value:.3g}"
        )


def identification_bound(measure: Measure | ApproxDP, candidates: int) -> float:
    """Return the largest probability of naming 1 of k equally likely candidates for a record, under a guarantee.

    Parameters
    ----------
    measure : GDP, PureDP or ApproxDP
        For neighbours that include "with this record, without it", or a replacement by any candidate.
    candidates : int
        k >= 2.

    Returns
    -------
    float
        ``1 - f(1/k)`` for the trade-off curve f: ``Phi(mu + PhiInv(1/k))`` under mu-GDP,
        ``min(e^eps/k, 1 - e^-eps (1 - 1/k))`` under pure DP.

    Notes
    -----
    In a world without the record, guesses name candidate j with probabilities q_j of sum at most 1; in the world of
    candidate j, with at most 1 - f(q_j), a concave and rising function. Jensen's inequality gives the mean over j.

    Examples
    --------
    >>> from dpstruct.privacy import GDP, PureDP
    >>> [round(identification_bound(GDP(mu), 4), 4) for mu in (0.5, 1.0, 2.0)]
    [0.4307, 0.6276, 0.9075]
    >>> round(identification_bound(PureDP(1.0), 4), 4)
    0.6796
    """
    k = positive_integer("candidates", candidates, at_most=2**53)
    if k < 2:
        raise InvalidParameter("candidates", str(k), "at least 2")
    return float(1 - trade_off(measure, [1 / k])[0])


def identification_test(hits: int, trials: int, candidates: int, measure: Measure | ApproxDP) -> Identification:
    """Test an attack's hits against what a guarantee allows: exact one-sided binomial.

    Parameters
    ----------
    hits, trials : int
        Correct identifications in independent trials, each with its own release and its own random choice of candidate.
    candidates : int
        Equally likely candidates in each trial.
    measure : GDP, PureDP or ApproxDP
        The claim.

    Returns
    -------
    Identification

    Examples
    --------
    >>> from dpstruct.privacy import GDP
    >>> print(identification_test(200, 200, 4, GDP(1.0)))
    identified 1 of 4 in 200 of 200 trials (1.0000); the claim allows 0.6276; p = 3.44e-41
    """
    from scipy.stats import binom

    n = positive_integer("trials", trials, at_most=2**53)
    if not 0 <= hits <= n:
        raise InvalidParameter("hits", str(hits), "between 0 and trials")
    bound = identification_bound(measure, candidates)
    return Identification(int(hits), n, int(candidates), bound, float(binom.sf(hits - 1, n, bound)))
