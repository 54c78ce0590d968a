"""StatDP, the counterexample detector of Ding et al. (arXiv 1805.10277)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import positive_integer
from dpstruct.privacy import PureDP
from dpstruct.reference._label import Label
from dpstruct.reference._tester import NO_PROMISE, Array, Encoder, Mechanism, Outcome, Runs, check, corners, intervals

_PAIRED = 6  # coordinates whose pairs are searched


class StatDP:
    """Refute a pure claim by an exact test of one event, after thinning the counts of one neighbour by e^-epsilon.

    Parameters
    ----------
    selection : float
        Share of the runs that choose the event, in (0, 1).
    thinnings : int
        Random thinnings whose p-values are averaged.
    seed : int
        Of the thinnings.

    Notes
    -----
    *Event.* Among all intervals between quantiles of every coordinate and of their sum, every frequent symbol, and the
    corners of pairs of the first six coordinates, the one with the smallest p-value on the first runs, of those
    expected at least ``0.001 n e^epsilon`` times.

    *Test.* n fresh runs each: ``c1' ~ Bin(c1, e^-epsilon)``; under the claim ``P(Hypergeometric(2n, n, c1' + c2) >=
    c1')`` is a p-value. The paper averages it over thinnings, which is not one; twice the average is, and it is doubled
    again for the two directions.

    References
    ----------
    Ding, Wang, Wang, Zhang, Kifer (CCS 2018), arXiv 1805.10277. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> from dpstruct.privacy import PureDP
    >>> noise = np.random.default_rng(0)
    >>> StatDP().refutes(lambda count, n: count + noise.laplace(0, 0.5, n), 0, 1, PureDP(1.0), runs=20_000).rejected
    True
    """

    def __init__(self, *, selection: float = 0.2, thinnings: int = 100, seed: int = 0) -> None:
        self.selection = float(selection)
        self.thinnings, self.seed = positive_integer("thinnings", thinnings, at_most=10**5), seed

    @property
    def label(self) -> Label:
        """What the tester claims."""
        return Label("arXiv:1805.10277", "false alarms with probability alpha on a pure claim", None, NO_PROMISE, True)

    def refutes(
        self, mechanism: Mechanism, x: Any, x2: Any, claim: PureDP, *, runs: int, alpha: float = 0.05
    ) -> Outcome:
        """Test a claim at level alpha with this many runs in all; the value is the p-value.

        Raises
        ------
        InvalidParameter
            If the claim is not pure, or a setting out of range.
        """
        epsilon, _, total, level = check(claim, runs, alpha, pure=True)
        chosen = int(total * self.selection) // 2
        n, random = total // 2 - chosen, np.random.default_rng(self.seed)
        training = [Runs(mechanism, data, chosen) for data in (x, x2)]
        encoder = Encoder(*training)
        names = [*encoder.names, "sum of the numbers"]
        tables = _table(encoder, training[0]), _table(encoder, training[1])
        (events, counts), (more, their) = intervals(tables), corners(tables, min(encoder.width, _PAIRED))
        events, counts = events + more, np.concatenate([counts, their], axis=1)
        fresh = [_table(encoder, Runs(mechanism, data, n)) for data in (x, x2)]
        found = []
        for turn in (1, -1):
            event = events[_select(counts[::turn], chosen, epsilon)]
            c1, c2 = (event.count(table) for table in fresh[::turn])
            thinned = random.binomial(c1, math.exp(-epsilon), self.thinnings)
            p = min(1.0, 4 * float(np.mean(_tail(thinned, c2, n))))
            found.append((p, event.spell(names)))
        p, event_words = min(found)
        return Outcome(p <= level, p, 2 * (chosen + n), event_words)


def _table(encoder: Encoder, runs: Runs) -> Array:
    """Return the columns, and the sum of the numbers of several positions."""
    table = encoder(runs)
    return np.column_stack([table, table[:, : encoder.width].sum(axis=1)]) if encoder.width > 1 else table


def _tail(c1: NDArray[np.int64], c2: Any, n: int) -> NDArray[np.float64]:
    """``P(Hypergeometric(2n, n, c1 + c2) >= c1)``."""
    from scipy.stats import hypergeom

    return np.asarray(hypergeom.sf(c1 - 1, 2 * n, n, c1 + c2), dtype=np.float64)


def _select(counts: NDArray[np.int64], n: int, epsilon: float) -> int:
    """Return the event whose thinned count has the smallest tail, by its normal score."""
    thinned = counts[0] * math.exp(-epsilon)
    pooled = np.maximum(thinned + counts[1], 1.0)
    score = (thinned - counts[1]) / np.sqrt(pooled * np.maximum(1 - pooled / (2 * n), 0.5 / n))
    frequent = counts.sum(axis=0) >= 0.001 * n * math.exp(epsilon)
    return int(np.argmax(np.where(frequent, score, -np.inf)))
