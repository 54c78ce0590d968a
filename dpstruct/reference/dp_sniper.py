"""DP-Sniper: the most powerful event of a learned classifier, of a fixed small probability (Bichsel et al. 2021)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import real
from dpstruct.errors import InvalidParameter
from dpstruct.privacy import PureDP
from dpstruct.reference._label import Label
from dpstruct.reference._tester import NO_PROMISE, Array, Encoder, Mechanism, Outcome, Runs, check

_ROWS = 200_000  # for training


class DPSniper:
    """Bound epsilon from below by the log ratio of one event's probabilities, of which the smaller is about `c`.

    Parameters
    ----------
    c : float
        Probability of the event under the second neighbour, in (0, 1). Bounds saturate near ``ln(1/c)``.
    seed : int
        Of the coin that breaks ties.

    Notes
    -----
    A third of the runs trains a logistic regression that tells the neighbours apart, a third finds the threshold t and
    the tie probability for which the score exceeds t with probability c under the second neighbour, in each direction,
    and the last third counts the better of the two. With the Clopper-Pearson bounds at alpha/2 each the value is
    ``ln(p_low / q_high)``.

    References
    ----------
    Bichsel, Steffen, Bogunovic, Vechev (S&P 2021), doi:10.1109/SP40001.2021.00081. Modelled from the published
    description; the networks of the paper are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from dpstruct.privacy import PureDP
    >>> noise = np.random.default_rng(0)
    >>> DPSniper().refutes(lambda count, n: count + noise.laplace(0, 0.5, n), 0, 1, PureDP(1.0), runs=30_000).rejected
    True
    """

    def __init__(self, *, c: float = 0.01, seed: int = 0) -> None:
        self.c, self.seed = real("c", c), seed
        if not 0 < self.c < 1:
            raise InvalidParameter("c", repr(self.c), "a number between 0 and 1")

    @property
    def label(self) -> Label:
        """What the tester claims."""
        source, claim = "doi:10.1109/SP40001.2021.00081", "a lower bound on epsilon with confidence 1 - alpha"
        return Label(source, claim, None, NO_PROMISE, True)

    def refutes(
        self, mechanism: Mechanism, x: Any, x2: Any, claim: PureDP, *, runs: int, alpha: float = 0.05
    ) -> Outcome:
        """Test a claim at level alpha with this many runs in all; the value is the lower bound on epsilon.

        Raises
        ------
        InvalidParameter
            If the claim is not pure, or a setting out of range.
        """
        epsilon, _, total, level = check(claim, runs, alpha, pure=True)
        part, random = total // 6, np.random.default_rng(self.seed)
        training = [Runs(mechanism, data, part) for data in (x, x2)]
        encoder = Encoder(*training)
        score = classifier(*(encoder(runs) for runs in training))
        second = [score(encoder(Runs(mechanism, data, part))) for data in (x, x2)]
        guesses = []
        for turn, sign in ((1, 1.0), (-1, -1.0)):
            first_scores, second_scores = (sign * scores for scores in second[::turn])
            t, tie = _threshold(second_scores, self.c)
            gain = np.mean((first_scores > t) + tie * (first_scores == t)) + 1 / part
            guesses.append((float(gain), turn, sign, t, tie))
        _, turn, sign, t, tie = max(guesses)
        hits = []
        for data in (x, x2)[::turn]:
            scores = sign * score(encoder(Runs(mechanism, data, part)))
            hits.append(int(((scores > t) | ((scores == t) & (random.random(part) < tie))).sum()))
        bound = _log_ratio(hits[0], hits[1], part, level)
        world = ("x", "x2")[::turn]
        event = f"score beyond {sign * t:.4g}: {hits[0]} of {part} under {world[0]}, {hits[1]} under {world[1]}"
        return Outcome(bound > epsilon, bound, 6 * part, event)


def classifier(first: Array, second: Array) -> Callable[[Array], NDArray[np.float64]]:
    """Return the log odds of a logistic regression, trained on standardised columns."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = min(len(first), len(second), _ROWS)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    model.fit(np.concatenate([first[:rows], second[:rows]]), np.repeat([1, 0], rows))
    return lambda table: np.asarray(model.decision_function(table), dtype=np.float64)


def _threshold(scores: NDArray[np.float64], c: float) -> tuple[float, float]:
    """Return t and the probability of taking a tie such that a share c of the scores is taken."""
    t = float(np.quantile(scores, 1 - c, method="higher"))
    above, equal = float(np.mean(scores > t)), float(np.mean(scores == t))
    return t, min(1.0, max(0.0, (c - above) / equal))


def _log_ratio(k1: int, k0: int, n: int, alpha: float) -> float:
    """``ln`` of the Clopper-Pearson lower bound of one probability over the upper bound of the other."""
    from scipy.stats import beta

    low = float(beta.ppf(alpha / 2, k1, n - k1 + 1)) if k1 else 0.0
    high = float(beta.ppf(1 - alpha / 2, k0 + 1, n - k0)) if k0 < n else 1.0
    return math.log(low / high) if low > 0 else -math.inf
