"""Classifiers that tell x from x2 by a vector, read as log-odds, on features that suit noised answers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["Model", "fit_models"]

Floats = NDArray[np.float64]
Model = Callable[[Floats], Floats]

_LARGE = 1e308
_TREES_FROM, _PIECES_FROM, _FEATURES = 400, 200, 96


def fit_models(x: Floats, x2: Floats) -> list[Model]:
    """Return logistic regression and, with enough rows, one on pieces of each entry, boosted trees, and averages.

    Parameters
    ----------
    x, x2 : ndarray, shape (m, k)
        Training vectors under either neighbour.

    Returns
    -------
    list of callable
        Each maps an array (m, k) to log-odds (m,) of x against x2.
    """
    rows, labels = np.concatenate([x, x2]), np.repeat([1, 0], [len(x), len(x2)])
    models = [_linear(_scaling(rows), rows, labels)]
    if len(rows) >= _PIECES_FROM and 3 * rows.shape[1] <= _FEATURES:
        models.append(_linear(_pieces(rows), rows, labels))
    if len(rows) >= _TREES_FROM:
        trees = _trees(rows, labels)
        models += [trees, *(_average(model, trees) for model in models)]
    return models


def _linear(features: Model, rows: Floats, labels: NDArray[np.int64]) -> Model:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=1.0, max_iter=300).fit(features(rows), labels)
    return lambda block: np.asarray(fitted.decision_function(features(block)))


def _trees(rows: Floats, labels: NDArray[np.int64]) -> Model:
    from sklearn.ensemble import HistGradientBoostingClassifier

    fitted = HistGradientBoostingClassifier(
        max_iter=100, max_leaf_nodes=8, min_samples_leaf=max(20, len(rows) // 500), early_stopping=False, random_state=0
    ).fit(rows, labels)
    return lambda block: np.asarray(fitted.decision_function(block))


def _average(first: Model, second: Model) -> Model:
    return lambda rows: (first(rows) + second(rows)) / 2


def _scaling(rows: Floats) -> Model:
    """Return a map to units of the spread, clipped so that heavy tails do not rule the fit."""
    center = np.quantile(rows, 0.5, axis=0, method="inverted_cdf")
    with np.errstate(over="ignore"):
        distance = np.abs(rows - center)
        width = np.quantile(distance, 0.5, axis=0, method="inverted_cdf")
        width = np.clip(np.where(width > 0, width, distance.mean(axis=0)), 1e-300, _LARGE)

    def scaled(block: Floats) -> Floats:
        with np.errstate(over="ignore"):
            return np.asarray(np.clip((block - center) / width, -8.0, 8.0))

    return scaled


def _pieces(rows: Floats) -> Model:
    """Return a map to how far each entry has come through each interval between quantiles.

    Linear in these, log-odds are a sum of piecewise linear functions of the entries, flat in the tails: those of
    independent Laplace noise are exactly of this kind.
    """
    count = min(16, _FEATURES // rows.shape[1])
    levels = np.linspace(0.02, 0.98, count + 1)
    low, high = [], []
    for j in range(rows.shape[1]):
        knots = np.unique(np.quantile(rows[:, j], levels, method="inverted_cdf"))
        low.append(knots[:-1])
        high.append(knots[1:])

    def through(block: Floats) -> Floats:
        parts = [np.zeros((len(block), 1))]
        for j in range(block.shape[1]):
            with np.errstate(over="ignore"):
                way = np.minimum(np.clip(block[:, j, None], low[j], high[j]) - low[j], _LARGE)
                parts.append(way / np.minimum(high[j] - low[j], _LARGE))
        return np.concatenate(parts, axis=1)

    return through
