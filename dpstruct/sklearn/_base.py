"""What the private estimators share: a budget, a price, public bounds, and rows whose values are not looked at."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from dpstruct.core import Budget, Release, Summary
from dpstruct.domain import Ball, Box
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.sklearn._arrays import distinct, label_column, matrix, number_column

__all__ = ["PrivateEstimator"]

R = TypeVar("R", bound=Release)


class PrivateEstimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators; a subclass has the parameters ``budget, epsilon, share, bounds, expected_rows``.

    Parameters are checked in `fit`, as scikit-learn wants it. NaN and infinities are values like others: they are
    mapped into the bounds, since an error would tell of them.
    """

    budget: Budget | None
    epsilon: float | None
    share: float | None
    bounds: Box | Ball | None
    expected_rows: int | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.non_deterministic = True
        return tags

    def _spend(self, summary: Summary[R]) -> R:
        """Release `summary` at the price of one `fit`."""
        return self._budget().release(summary, epsilon=self.epsilon, share=self.share)

    def _budget(self) -> Budget:
        """Return the budget; it and the price are required, there is no default privacy."""
        if not isinstance(self.budget, Budget):
            raise InvalidType(
                "budget",
                f"a {type(self.budget).__name__}",
                "a Budget",
                "pass budget=Budget(epsilon=..., delta=..., neighbors=...)",
            )
        if (self.epsilon is None) == (self.share is None):
            received = "neither" if self.epsilon is None else "both"
            raise InvalidParameter("epsilon, share", received, "one of them: the price of one fit")
        return self.budget

    def _domain(self, dim: int) -> Box | Ball:
        """Return the public bounds in `dim` coordinates."""
        if not isinstance(self.bounds, Box | Ball):
            remedy = "bounds computed from the data would tell of them: pass public ones, such as Box(0, 1)"
            raise InvalidType("bounds", f"a {type(self.bounds).__name__}", "a Box or a Ball", remedy)
        return self.bounds.with_dim(dim)

    def _rows(self, n: int) -> int:
        """Return the public number or guess of rows."""
        if self.expected_rows is not None:
            return self.expected_rows
        if self._budget().neighbors == "add-remove":
            remedy = "the number of rows is private: pass a public guess"
            raise InvalidParameter("expected_rows", "None under add-remove neighbors", "an integer", remedy)
        return max(1, n)

    def _check(self, X: Any, *, reset: bool) -> NDArray[np.float64]:
        """Return `X` as float64; scikit-learn sees its shape and the names of its columns, and no error its values."""
        rows = matrix("X", X)
        validate_data(self, X if hasattr(X, "columns") else rows, reset=reset, skip_check_array=True)
        return rows

    def _arrays(self, X: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Return the checked arrays of a supervised `fit`; types and shapes are looked at, values are not."""
        self._budget()
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        rows = self._check(X, reset=True)
        targets = label_column("y", y) if hasattr(self, "classes") else number_column("y", y)
        if len(rows) != len(targets):
            raise InvalidParameter("X, y", "arrays of different lengths", "one target per row")
        return rows, targets

    def _public_classes(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Return the sorted public labels: those of the parameter `classes`, or of the data where it says "y"."""
        classes = getattr(self, "classes", None)
        if classes is None or (isinstance(classes, str) and classes != "y"):
            remedy = 'labels found in the data would tell of them: pass the public ones, or classes="y"'
            raise InvalidType("classes", repr(classes), "the public labels", remedy)
        public = distinct("classes", labels) if isinstance(classes, str) else np.unique(np.asarray(classes))
        if len(public) < 2:
            raise InvalidParameter("classes", "one class or none", "two classes at least")
        return public
