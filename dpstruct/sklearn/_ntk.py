"""`NTKRegressor` and `NTKClassifier`: supervised learning with the private neural tangent model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from dpstruct.core import Budget
from dpstruct.domain import Ball, Box
from dpstruct.errors import InvalidType
from dpstruct.sklearn._base import PrivateEstimator
from dpstruct.structures import NTKRegression, PrivateRegressor

__all__ = ["NTKClassifier", "NTKRegressor"]

Floats = NDArray[np.float64]


class _Estimator(PrivateEstimator):
    """What both have in common: one release of `NTKRegression` per fit."""

    private_: PrivateRegressor

    def _release(self, rows: Floats, y: NDArray[Any], target: Any) -> None:
        names = ("depth", "n_features", "features", "sphere", "solver", "loss", "steps", "seed")
        blueprint = NTKRegression(
            self._domain(rows.shape[1]),
            target=target,
            expected_rows=self._rows(len(rows)),
            **{name: getattr(self, name) for name in names if hasattr(self, name)},
        )
        self.private_ = self._spend(blueprint.summarize(rows, y))

    def _fitted(self, X: ArrayLike) -> Floats:
        check_is_fitted(self)
        return self._check(X, reset=False)

    def prediction_error(self, X: ArrayLike) -> Floats:
        """Return the noise part of the standard error of each prediction or score; see `PrivateRegressor.error`."""
        rows = self._fitted(X)
        return self.private_.error(rows)


class NTKRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """Regression that spends the price of one release of `NTKRegression` in `fit` and predicts for free.

    Parameters
    ----------
    budget : Budget
        What `fit` spends from; its neighbour relation holds. Required.
    epsilon, share : float
        Price of one `fit`: exactly one of them, as for `Budget.release`.
    bounds : Box or Ball
        Public domain; one without a dimension takes it from `X`. Required.
    target : (low, high)
        Public interval of y, to which targets are clipped. Required.
    expected_rows : int, optional
        Public guess of the number of rows; required under add-remove neighbours, else the number itself.
    depth, n_features, features, sphere, solver, steps, seed
        As for `NTKRegression`.

    Attributes
    ----------
    private_ : PrivateRegressor
        The release, with its receipt; it can be saved.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> X = np.linspace(-1, 1, 5000)[:, None]
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="substitute")
    >>> model = NTKRegressor(budget, share=1, bounds=dps.Box(-1, 1), target=(-1, 1), n_features=32)
    >>> round(model.fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2))
    1
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        epsilon: float | None = None,
        share: float | None = None,
        bounds: Box | Ball | None = None,
        target: tuple[float, float] | None = None,
        expected_rows: int | None = None,
        depth: int = 1,
        n_features: int | None = None,
        features: str = "ntk",
        sphere: str | None = None,
        solver: str | None = None,
        steps: int = 100,
        seed: int = 0,
    ) -> None:
        self.budget = budget
        self.epsilon = epsilon
        self.share = share
        self.bounds = bounds
        self.target = target
        self.expected_rows = expected_rows
        self.depth = depth
        self.n_features = n_features
        self.features = features
        self.sphere = sphere
        self.solver = solver
        self.steps = steps
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Spend the price and release the model.

        Parameters
        ----------
        X : array-like, shape (n, d)
            One record per row; clipped to the bounds, and what is not finite replaced.
        y : array-like, shape (n,)
            Targets; clipped to the interval, and what is not finite becomes its middle.

        Raises
        ------
        BudgetExceeded
            If the price does not fit; nothing is charged.
        InvalidParameter
            If budget, price, bounds or target are missing or wrong.
        """
        if not isinstance(self.target, tuple | list | Box):
            remedy = "an interval found in the data would tell of them: pass the public one"
            raise InvalidType("target", f"a {type(self.target).__name__}", "(low, high)", remedy)
        rows, targets = self._arrays(X, y)
        interval = self.target if isinstance(self.target, Box) else tuple(self.target)
        self._release(rows, targets, interval)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Return predictions in the units of y, shape (n,)."""
        rows = self._fitted(X)
        return self.private_.query(rows)


class NTKClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """Classification that spends the price of one release of `NTKRegression` in `fit` and predicts for free.

    Parameters
    ----------
    budget : Budget
        What `fit` spends from; its neighbour relation holds. Required.
    epsilon, share : float
        Price of one `fit`: exactly one of them, as for `Budget.release`.
    bounds : Box or Ball
        Public domain; one without a dimension takes it from `X`. Required.
    classes : sequence, or "y"
        The public labels. ``"y"`` declares that the set of labels in the training data is public. Required.
    expected_rows : int, optional
        Public guess of the number of rows; required under add-remove neighbours, else the number itself.
    depth, n_features, features, sphere, solver, loss, steps, seed
        As for `NTKRegression`.

    Attributes
    ----------
    private_ : PrivateRegressor
        The release, with its receipt; it can be saved.
    classes_ : ndarray
        The labels, sorted.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> X = np.linspace(-1, 1, 5000)[:, None]
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="substitute")
    >>> model = NTKClassifier(budget, share=1, bounds=dps.Box(-1, 1), classes=["low", "high"], sphere="lift")
    >>> model.fit(X, np.where(X[:, 0] > 0, "high", "low")).predict([[-0.5], [0.5]]).tolist()
    ['low', 'high']
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        epsilon: float | None = None,
        share: float | None = None,
        bounds: Box | Ball | None = None,
        classes: Sequence[Any] | str | None = None,
        expected_rows: int | None = None,
        depth: int = 1,
        n_features: int | None = None,
        features: str = "ntk",
        sphere: str | None = None,
        solver: str | None = None,
        loss: str | None = None,
        steps: int = 100,
        seed: int = 0,
    ) -> None:
        self.budget = budget
        self.epsilon = epsilon
        self.share = share
        self.bounds = bounds
        self.classes = classes
        self.expected_rows = expected_rows
        self.depth = depth
        self.n_features = n_features
        self.features = features
        self.sphere = sphere
        self.solver = solver
        self.loss = loss
        self.steps = steps
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Spend the price and release the model.

        Parameters
        ----------
        X : array-like, shape (n, d)
            One record per row; clipped to the bounds, and what is not finite replaced.
        y : array-like, shape (n,)
            Labels; a record with another label than `classes` teaches nothing.

        Raises
        ------
        BudgetExceeded
            If the price does not fit; nothing is charged.
        InvalidParameter
            If budget, price, bounds or classes are missing or wrong.
        """
        rows, labels = self._arrays(X, y)
        public = self._public_classes(labels)
        self._release(rows, labels, public.tolist())
        self.classes_: NDArray[Any] = public
        return self

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the score of each class, shape (n, c); for two classes the second minus the first, shape (n,)."""
        rows = self._fitted(X)
        scores = self.private_.query(rows)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return class probabilities, shape (n, c)."""
        rows = self._fitted(X)
        return self.private_.predict_proba(rows)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class with the largest score for each row, shape (n,)."""
        rows = self._fitted(X)
        labels: NDArray[Any] = self.classes_[self.private_.query(rows).argmax(axis=1)]
        return labels
