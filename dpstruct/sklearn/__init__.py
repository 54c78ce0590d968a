"""Estimators with the interface of scikit-learn that spend from a `Budget` in `fit` and answer for free afterwards.

Every estimator takes ``budget`` and one of ``epsilon`` and ``share``, the price of one `fit`. Cloning keeps the budget:
a search over parameters spends from one total and stops, with `BudgetExceeded`, when that is used up. What other code
learns from private rows, a scaler or a score, is in no price: `price` refuses such compositions.
"""

from dpstruct.sklearn._density import KDEClassifier
from dpstruct.sklearn._ntk import NTKClassifier, NTKRegressor
from dpstruct.sklearn._outlier import EllipticEnvelope
from dpstruct.sklearn._price import price

__all__ = ["EllipticEnvelope", "KDEClassifier", "NTKClassifier", "NTKRegressor", "price"]
