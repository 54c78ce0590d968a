"""`PrivateRegressor`: what a release of `NTKRegression` answers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpstruct.core import Release
from dpstruct.domain import Box, check_rows
from dpstruct.errors import InvalidParameter
from dpstruct.features.sphere import STEPS, to_sphere
from dpstruct.structures import _ntk_moments as moments
from dpstruct.structures._ntk_descent import Model, advance, held
from dpstruct.structures._ntk_options import check_device
from dpstruct.structures._ntk_targets import classes

if TYPE_CHECKING:
    from dpstruct.structures.ntk_regression import NTKRegression

__all__ = ["PrivateRegressor"]

Floats = NDArray[np.float64]


class PrivateRegressor(Release):
    """Predictions for any point, for ever, from one noised fit. Made by `Budget.release` or `dpstruct.load`."""

    @property
    def structure(self) -> NTKRegression:
        """The public blueprint."""
        structure: NTKRegression = self.__dict__["_structure"]
        return structure

    @property
    def classes(self) -> NDArray[Any]:
        """The public labels, in the order of the scores.

        Raises
        ------
        InvalidParameter
            If the target is an interval.
        """
        labels = classes(self.structure.target)
        if labels is None:
            raise InvalidParameter("target", "an interval", "labels: regression has no classes")
        return labels

    @cached_property
    def _descent(self) -> Model:
        course = self.structure._course
        return course.replay(self.receipt, self.receipt.neighbors, self.transcript)

    @cached_property
    def _moments(self) -> moments.Fit:
        return moments.fit(self.transcript, self.receipt)

    def _row_count(self) -> tuple[float, float]:
        if self.structure.center:
            return self._descent.rows, 24.0 * float(self.receipt.scale("center")[0]) / STEPS
        return super()._row_count()

    def _scores(self, X: ArrayLike) -> tuple[Floats, Floats]:
        """Return scores, and their standard deviations by noise, shape (q, outputs), in units of the lattice target."""
        structure = self.structure
        rows = check_rows("X", X, structure.dim)
        scores = np.empty((len(rows), structure._outputs))
        deviations = np.empty_like(scores)
        for start in range(0, len(rows), 1 << 12):
            block = slice(start, start + (1 << 12))
            points = to_sphere(rows[block], structure.bounds, structure.sphere)
            if structure.solver == "moments":
                features = structure._lattice_features(points) / STEPS
                scores[block] = features @ self._moments.theta
                deviations[block] = moments.error(features, self._moments, self.receipt)
            else:
                model, width = self._descent, structure._course.width
                store = np.zeros((len(points), -(-width // 4)))
                advance(points, model.public, store)
                scores[block] = held(store, width) @ model.theta / STEPS
                deviations[block] = model.noise
        return scores, deviations

    def query(self, X: ArrayLike, *, device: str = "auto") -> Floats:
        """Return predictions in the units of y, shape (q,), inside the interval; or class scores, shape (q, c).

        Parameters
        ----------
        X : array-like, shape (q, d)
            Points in the units of the bounds, mapped like records: clipped, and what is not finite replaced.
        device : {"auto", "cpu"}
            Where to compute.

        Returns
        -------
        ndarray of float64
        """
        check_device(device)
        self._warn_of_capacity()
        scores, target = self._scores(X)[0], self.structure.target
        if not isinstance(target, Box):
            return scores
        middle, half = target.low[0] + 0.5 * (target.high[0] - target.low[0]), 0.5 * (target.high[0] - target.low[0])
        return np.asarray(np.clip(middle + half * scores[:, 0], target.low[0], target.high[0]))

    def error(self, X: ArrayLike) -> Floats:
        """Return the standard deviation of each answer of `query` that is due to the privacy noise, and nothing else.

        Moments: to first order in the noise, from the released matrices. Descent: a typical size, what the steps' noise
        adds up to if the loss contracts nothing; smaller for squared loss, exceeded a little where a softmax saturates.
        Neither holds the bias of the ridge or of few steps, nor sampling error.
        """
        deviations, target = self._scores(X)[1], self.structure.target
        if not isinstance(target, Box):
            return deviations
        return np.asarray(0.5 * (target.high[0] - target.low[0]) * deviations[:, 0])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return predictions, or the label of the largest score, shape (q,)."""
        scores = self.query(X)
        if scores.ndim == 1:
            return scores
        labels: NDArray[Any] = self.classes[scores.argmax(axis=1)]
        return labels

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return the class scores of `query`, shape (q, c)."""
        _ = self.classes
        return self.query(X)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return class probabilities, shape (q, c): the softmax of the scores if it was fitted, else clipped scores."""
        scores = self.decision_function(X)
        if self.structure.loss == "softmax":
            scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        else:
            k, length = scores.shape[1], 1.0
            if self.structure.solver == "moments":
                length = float(np.sqrt(1 - 1 / k))
            scores = np.maximum(scores * length + 1 / k, 0.0) + 1e-12
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))
