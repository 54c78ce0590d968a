"""The histogram and the classifier testers of the hockey-stick divergence in dp_auditorium (arXiv 2307.05608)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpstruct.domain import positive_integer
from dpstruct.privacy import ApproxDP, PureDP
from dpstruct.reference._label import Label
from dpstruct.reference._tester import NO_PROMISE, Array, Encoder, Mechanism, Outcome, Runs, check

Chosen = Callable[[Array], NDArray[np.bool_]]
_ROWS = 60_000  # for training


class _HockeyStick(ABC):
    """Half of the runs chooses an event for each direction, the other half compares its frequencies."""

    @property
    def label(self) -> Label:
        """What the tester claims."""
        claim = "a lower bound on the hockey-stick divergence with confidence 1 - alpha"
        return Label("arXiv:2307.05608", claim, None, NO_PROMISE, True)

    def refutes(
        self, mechanism: Mechanism, x: Any, x2: Any, claim: PureDP | ApproxDP, *, runs: int, alpha: float = 0.05
    ) -> Outcome:
        """Test a claim at level alpha with this many runs in all; the value is the lower bound on the divergence.

        Raises
        ------
        InvalidParameter
            If the claim is neither pure nor approximate, or a setting out of range.
        """
        epsilon, delta, total, level = check(claim, runs, alpha, pure=False)
        n, e = total // 4, math.exp(epsilon)
        training = [Runs(mechanism, data, n) for data in (x, x2)]
        encoder = Encoder(*training)
        events = self._events(encoder(training[0]), encoder(training[1]), e)
        fresh = [encoder(Runs(mechanism, data, n)) for data in (x, x2)]
        margin = (1 + e) * math.sqrt(math.log(2 / level) / (2 * n))  # Hoeffding, for two directions
        found = []
        for world, event, turn in (("x", events[0], 1), ("x2", events[1], -1)):
            p, q = (float(np.mean(event(table))) for table in fresh[::turn])
            found.append((p - e * q - margin, f"event likelier under {world}: {p:.4g} against {q:.4g}"))
        value, words = max(found)
        return Outcome(value > delta, value, 4 * n, words)

    @abstractmethod
    def _events(self, first: Array, second: Array, e: float) -> tuple[Chosen, Chosen]: ...


class HistogramTester(_HockeyStick):
    """Refute a claim by the cells of a histogram that one neighbour fills more than e^epsilon times as often.

    Parameters
    ----------
    bins : int
        Cells of one column, between quantiles of the training runs. With several columns the cells of their first
        two principal directions, about ``sqrt(bins)`` each.

    Notes
    -----
    The event is the union of cells with ``p > e^epsilon q`` in the training half; on the other half it must satisfy
    ``p - e^epsilon q - delta > (1 + e^epsilon) sqrt(ln(2/alpha) / (2n))``. Valid, and loose for small probabilities.

    References
    ----------
    Kong, Munoz Medina, Ribero, Syed (2023), arXiv 2307.05608, after Gilbert and McMillan, arXiv 1806.06427. Modelled
    from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> from dpstruct.privacy import PureDP
    >>> noise = np.random.default_rng(0)
    >>> tester, halved = HistogramTester(), lambda count, n: count + noise.laplace(0, 0.5, n)
    >>> tester.refutes(halved, 0, 1, PureDP(1.0), runs=20_000).rejected
    True
    """

    def __init__(self, *, bins: int = 32) -> None:
        self.bins = positive_integer("bins", bins, at_most=10**5)

    def _events(self, first: Array, second: Array, e: float) -> tuple[Chosen, Chosen]:
        pooled = np.concatenate([first, second])
        centre, spread = pooled.mean(axis=0), pooled.std(axis=0)
        standard = (pooled - centre) / np.where(spread > 0, spread, 1.0)
        axes = np.eye(1) if pooled.shape[1] == 1 else np.linalg.svd(standard.T @ standard)[0][:, :2]
        per_axis = self.bins if axes.shape[1] == 1 else max(2, round(math.sqrt(self.bins)))

        def project(table: Array) -> Array:
            return np.asarray(np.round((table - centre) / np.where(spread > 0, spread, 1.0) @ axes, 9))

        cuts = [np.unique(np.quantile(column, np.arange(1, per_axis) / per_axis, method="lower"))
                for column in project(pooled).T]  # fmt: skip
        shape = tuple(len(cut) + 1 for cut in cuts)

        def cell(table: Array) -> NDArray[np.int64]:
            places = [np.searchsorted(cut, column, side="left") for cut, column in zip(cuts, project(table).T)]
            return np.asarray(np.ravel_multi_index(tuple(places), shape), dtype=np.int64)

        size = math.prod(shape)
        p, q = (np.bincount(cell(table), minlength=size) / len(table) for table in (first, second))
        return (lambda table: (p > e * q)[cell(table)]), (lambda table: (q > e * p)[cell(table)])


class ClassifierTester(_HockeyStick):
    """Refute a claim by the event on which boosted trees give one neighbour odds above e^epsilon.

    Notes
    -----
    The tester of `HistogramTester` with another event: ``P(x | output) > e^epsilon P(x2 | output)`` by gradient-boosted
    trees trained on the first half. With odds of epsilon exactly this maximises the divergence.

    References
    ----------
    Kong, Munoz Medina, Ribero, Syed (2023), arXiv 2307.05608. Modelled from the published description.

    Examples
    --------
    >>> import numpy as np
    >>> from dpstruct.privacy import PureDP
    >>> noise = np.random.default_rng(0)
    >>> tester, halved = ClassifierTester(), lambda count, n: count + noise.laplace(0, 0.5, n)
    >>> tester.refutes(halved, 0, 1, PureDP(1.0), runs=20_000).rejected
    True
    """

    def _events(self, first: Array, second: Array, e: float) -> tuple[Chosen, Chosen]:
        from sklearn.ensemble import HistGradientBoostingClassifier

        rows = min(len(first), len(second), _ROWS)
        model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=0)
        model.fit(np.concatenate([first[:rows], second[:rows]]), np.repeat([1, 0], rows))

        def odds(table: Array) -> NDArray[np.float64]:
            return np.asarray(model.decision_function(table), dtype=np.float64)

        return (lambda table: odds(table) > math.log(e)), (lambda table: odds(table) < -math.log(e))
