"""`KDEClassifier`: classification by private similarity to the records of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from dpstruct.core import Budget
from dpstruct.domain import Box
from dpstruct.errors import InvalidType
from dpstruct.sklearn._base import PrivateEstimator
from dpstruct.structures import ClassDensities, KernelDensity, PrivateClassDensities

__all__ = ["KDEClassifier"]

Floats = NDArray[np.float64]


class KDEClassifier(ClassifierMixin, PrivateEstimator):  # type: ignore[misc]
    """Predicts the class whose private kernel density, times its share of the records, is the largest.

    `fit` releases one `dpstruct.structures.ClassDensities`: all classes together cost what one kernel density costs.

    Parameters
    ----------
    budget : Budget
        What `fit` spends from; its neighbour relation holds. Required.
    epsilon, share : float
        Price of one `fit`: exactly one of them, as for `Budget.release`.
    bounds : Box
        Public domain; one without a dimension takes it from `X`. Required.
    classes : sequence, or "y"
        The public labels. ``"y"`` declares that the set of labels in the training data is public. Required.
    kernel, bandwidth, method, n_features
        As for `KernelDensity`; the bandwidth is public, in the units of the data.
    expected_rows : int, optional
        Public guess of the number of rows; required under add-remove neighbours, else the number itself.

    Attributes
    ----------
    densities_ : PrivateClassDensities
        The release, with its receipt; it can be saved.
    classes_ : ndarray
        The labels.

    Notes
    -----
    Class-wise similarity follows Backurs et al. (arXiv 2403.08917).

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> X = np.linspace(0, 1, 2000)[:, None]
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> model = KDEClassifier(
    ...     budget, share=1, bounds=dps.Box(0, 1), classes=["low", "high"], bandwidth=0.2, expected_rows=2000
    ... )
    >>> model.fit(X, np.repeat(["low", "high"], 1000)).predict([[0.1], [0.9]]).tolist()
    ['low', 'high']
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        epsilon: float | None = None,
        share: float | None = None,
        bounds: Box | None = None,
        classes: Sequence[Any] | str | None = None,
        kernel: str = "gaussian",
        bandwidth: float = 1.0,
        method: str = "auto",
        n_features: int | None = None,
        expected_rows: int | None = None,
    ) -> None:
        self.budget = budget
        self.epsilon = epsilon
        self.share = share
        self.bounds = bounds
        self.classes = classes
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.method = method
        self.n_features = n_features
        self.expected_rows = expected_rows

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Spend the price and release the densities of all classes.

        Parameters
        ----------
        X : array-like, shape (n, d)
            One record per row; clipped to the bounds, NaN and infinities become its middle.
        y : array-like, shape (n,)
            Labels; a record with another label than `classes` contributes nothing.

        Raises
        ------
        BudgetExceeded
            If the price does not fit; nothing is charged.
        InvalidParameter, InvalidType
            If budget, price, bounds or classes are missing or wrong.
        """
        rows, labels = self._arrays(X, y)
        public = self._public_classes(labels)
        domain = self._domain(rows.shape[1])
        if not isinstance(domain, Box):
            raise InvalidType("bounds", "a Ball", "a Box")
        density = KernelDensity(
            self.kernel,
            bandwidth=self.bandwidth,
            bounds=domain,
            method=self._method(rows.shape[1]),
            n_features=self.n_features,
            expected_rows=self._rows(len(rows)),
        )
        blueprint = ClassDensities(density, classes=public.tolist())
        self.densities_: PrivateClassDensities = self._spend(blueprint.summarize(rows, labels))
        self.classes_: NDArray[Any] = public
        return self

    def _method(self, dim: int) -> str:
        if self.method != "auto":
            return self.method
        return "fourier" if dim <= 2 and self.kernel == "gaussian" else "features"

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the kernel sum of each class, shape (n, c); for two classes the log-odds of the second, shape (n,)."""
        check_is_fitted(self)
        if len(self.classes_) > 2:
            return self._sums(X)[0]
        logs = np.log(self._positive(X))
        odds: Floats = logs[:, 1] - logs[:, 0]
        return odds

    def _positive(self, X: ArrayLike) -> Floats:
        """Return the sums, those near or below zero bent to positive numbers within one standard error."""
        sums, noise = self._sums(X)
        bent: Floats = 0.5 * (sums + np.sqrt(sums**2 + noise**2))
        return bent

    def _sums(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """Return the kernel sums inside the bounds and their standard errors; a row with a NaN is like no record."""
        check_is_fitted(self)
        rows = self._check(X, reset=False)
        bounds = self.densities_.structure.density.bounds
        inside = np.clip(rows, bounds.low, bounds.high)
        sums = self.densities_.query(inside)
        return np.where(np.isnan(sums), 0.0, sums), self.densities_.error(np.nan_to_num(inside))

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return each class's part of the kernel sums, made positive within their noise, shape (n, c)."""
        positive = self._positive(X)
        chances: Floats = positive / positive.sum(axis=1, keepdims=True)
        return chances

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class with the largest kernel sum for each row, shape (n,)."""
        sums, _ = self._sums(X)
        labels: NDArray[Any] = self.classes_[sums.argmax(axis=1)]
        return labels
