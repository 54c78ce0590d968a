"""`EllipticEnvelope`: outlier detection with a private ellipsoid."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from dpstruct.core import Budget
from dpstruct.domain import Ball, Box, real
from dpstruct.errors import InvalidParameter
from dpstruct.sklearn._base import PrivateEstimator
from dpstruct.structures import JohnEllipsoid, PrivateEllipsoid

__all__ = ["EllipticEnvelope"]

Floats = NDArray[np.float64]


class EllipticEnvelope(OutlierMixin, PrivateEstimator):  # type: ignore[misc]
    """Flags rows outside a small private ellipsoid that holds about the fraction ``1 - contamination`` of the data.

    `fit` releases one `JohnEllipsoid` and spends its price; scoring and predicting, on the training rows too, is free.

    Parameters
    ----------
    budget : Budget
        What `fit` spends from; its neighbour relation holds. Required.
    epsilon, share : float
        Price of one `fit`: exactly one of them, as for `Budget.release`.
    bounds : Box or Ball
        Public domain; one without a dimension takes it from `X`. Required.
    contamination : float
        Fraction of the data to leave outside, in (0, 0.5].
    expected_rows : int, optional
        Public guess of the number of rows; required under add-remove neighbours, else the number itself.
    assume_centered : bool
        Put the centre in the middle of the bounds instead of looking for it.
    method, quantile
        As for `JohnEllipsoid`.

    Attributes
    ----------
    ellipsoid_ : PrivateEllipsoid
        The release, with its receipt; it can be saved.
    location_ : ndarray of shape (n_features,)
        Centre.
    covariance_, precision_ : ndarray of shape (n_features, n_features)
        Inverse of the matrix of the ellipsoid, and that matrix: the threshold is at the distance 1.
    offset_ : float
        -1: ``decision_function(X) = score_samples(X) - offset_``.

    Examples
    --------
    >>> import numpy as np, dpstruct as dps
    >>> X = np.random.default_rng(0).standard_normal((5000, 2))
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="substitute")
    >>> envelope = EllipticEnvelope(budget, share=1, bounds=dps.Box(-5, 5), contamination=0.05).fit(X)
    >>> envelope.predict([[0, 0], [4, -4]])
    array([ 1, -1])
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        epsilon: float | None = None,
        share: float | None = None,
        bounds: Box | Ball | None = None,
        contamination: float = 0.1,
        expected_rows: int | None = None,
        assume_centered: bool = False,
        method: str = "auto",
        quantile: str = "median",
    ) -> None:
        self.budget = budget
        self.epsilon = epsilon
        self.share = share
        self.bounds = bounds
        self.contamination = contamination
        self.expected_rows = expected_rows
        self.assume_centered = assume_centered
        self.method = method
        self.quantile = quantile

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Spend the price and release the ellipsoid.

        Parameters
        ----------
        X : array-like, shape (n, d)
            One record per row; clipped to the bounds, NaN and infinities become its middle.
        y : None
            Ignored.

        Raises
        ------
        BudgetExceeded
            If the price does not fit; nothing is charged.
        InvalidParameter
            If budget, price or bounds are missing or wrong.
        """
        self._budget()
        contamination = real("contamination", self.contamination)
        if not 0 < contamination <= 0.5:
            raise InvalidParameter("contamination", repr(contamination), "a number in (0, 0.5]")
        rows = self._check(X, reset=True)
        blueprint = JohnEllipsoid(
            self._domain(rows.shape[1]),
            coverage=1 - contamination,
            center=not self.assume_centered,
            expected_rows=self._rows(len(rows)),
            method=self.method,
            quantile=self.quantile,
        )
        self.ellipsoid_: PrivateEllipsoid = self._spend(blueprint.summarize(rows))
        self.location_, self.precision_ = self.ellipsoid_.center, self.ellipsoid_.matrix
        self.covariance_, self.offset_ = self.ellipsoid_.polar(), -1.0
        return self

    def score_samples(self, X: ArrayLike) -> Floats:
        """Return minus the squared Mahalanobis radius of each row, shape (n,): -1 on the ellipsoid, 0 in its centre.

        A row with a NaN gets minus infinity: it is no inlier.
        """
        check_is_fitted(self)
        scores = -self.ellipsoid_.score(self._check(X, reset=False))
        return np.where(np.isnan(scores), -np.inf, scores)

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return ``score_samples(X) - offset_``: negative for outliers."""
        return self.score_samples(X) + 1.0

    def predict(self, X: ArrayLike) -> NDArray[np.intp]:
        """Return 1 for rows inside the ellipsoid and -1 for outliers."""
        predicted: NDArray[np.intp] = np.where(self.decision_function(X) >= 0, 1, -1)
        return predicted

    def mahalanobis(self, X: ArrayLike) -> Floats:
        """Return the squared Mahalanobis radius of each row, 1 on the ellipsoid."""
        return -self.score_samples(X)
