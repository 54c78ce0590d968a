"""What a search, or several fits, will charge: known before the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from dpstruct.core import Budget
from dpstruct.core.accounts import Preview, charged_for, cost_of
from dpstruct.domain import positive_integer
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.sklearn._base import PrivateEstimator

__all__ = ["price"]


def price(estimator: Any, *, fits: int = 1, scored_on: Literal["public"] | None = None) -> Preview:
    """Return what fitting will be charged in all, whether it fits the budget, and what would be left; charges nothing.

    What is fitted to private rows without a charge has no price and is refused: a pipeline with a step that learns (a
    scaler, a PCA), a meta-estimator, a search that scores private rows.

    Parameters
    ----------
    estimator : estimator
        One of this room; or a pipeline, ``ColumnTransformer`` or ``FeatureUnion`` whose other steps learn nothing; or a
        ``GridSearchCV`` or ``RandomizedSearchCV`` (``random_state`` an integer) over one of these.
    fits : int
        How often it is fitted: the number of folds for ``cross_val_score(estimator, ..., cv=folds)``. The price is that
        of the fits alone: scores on private rows are exact numbers about them, and no price covers those.
    scored_on : "public", optional
        Required for a search: your word that all rows it holds out and scores are public. Scores decide, without noise,
        which parameters win; ``PredefinedSplit`` keeps private rows (-1) in training and public ones for scoring.

    Returns
    -------
    Preview
        With ``cost``, ``fits`` and ``remaining``.

    Notes
    -----
    A search fits every candidate on every fold, and the best one again unless ``refit=False``; if candidates differ in
    price, the dearest is counted for that. Every fit is charged: folds overlap, and no composition is cheaper here.

    Stateless steps are those whose scikit-learn tag ``requires_fit`` is false, such as ``FunctionTransformer`` and
    ``Normalizer`` (which raises on NaN, so clean the rows before). The tag can not tell whether a function of yours
    makes one row from one row, by itself: one that subtracts the mean of all rows voids the guarantee. The last bits of
    a frozen step that is a matrix product, such as a PCA, depend on the rows beside it.

    Raises
    ------
    InvalidType
        If no private estimator is found, or several budgets, or a step that learns from rows without being charged.
    InvalidParameter
        If a search may score private rows, or if the number of folds or the candidates are not known beforehand.

    Examples
    --------
    >>> import dpstruct as dps, numpy as np
    >>> from sklearn.model_selection import GridSearchCV, PredefinedSplit
    >>> from dpstruct.sklearn import NTKRegressor
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> split = PredefinedSplit(np.repeat([-1, 0], [900, 100]))  # the last 100 rows are public
    >>> search = GridSearchCV(NTKRegressor(budget, share=0.05), {"depth": [1, 2, 3]}, cv=split)
    >>> told = price(search, scored_on="public")
    >>> round(told.cost.units / budget.total.units, 3), told.fits
    (0.2, True)
    """
    times = positive_integer("fits", fits, at_most=1 << 40)
    if scored_on not in (None, "public"):
        raise InvalidParameter("scored_on", repr(scored_on), '"public", or None where nothing is scored')
    costs, budgets = _costs("estimator", estimator, scored_on == "public")
    if len(budgets) != 1:
        found = "none" if not budgets else f"estimators with {len(budgets)} budgets"
        raise InvalidType("estimator", found, "private estimators with one budget")
    budget = budgets[0]
    total = type(budget.total).from_units(times * costs)
    return budget.preview(cost=total)


def _costs(name: str, estimator: Any, public: bool) -> tuple[int, list[Budget]]:
    """Return the units that one fit is charged, and the budgets that pay."""
    from sklearn.model_selection import GridSearchCV, RandomizedSearchCV

    if isinstance(estimator, PrivateEstimator):
        budget = estimator._budget()
        cost = cost_of(budget.total, budget.delta, None, estimator.epsilon, estimator.share)
        return charged_for(budget.delta, cost).units, [budget]
    if isinstance(estimator, GridSearchCV | RandomizedSearchCV):
        return _search_costs(name, estimator, public)
    total = 0
    budgets: list[Budget] = []
    for step, part in _parts(name, estimator):
        units, paying = _costs(step, part, public)
        total += units
        _add(budgets, paying)
    return total, budgets


def _parts(name: str, estimator: Any) -> Iterator[tuple[str, Any]]:
    """Yield the named steps of a composition; none of a step that learns nothing, and no other is known to be free."""
    from sklearn.compose import ColumnTransformer
    from sklearn.frozen import FrozenEstimator
    from sklearn.pipeline import FeatureUnion, Pipeline

    if isinstance(estimator, Pipeline):
        steps = list(estimator.steps)
    elif isinstance(estimator, FeatureUnion):
        steps = list(estimator.transformer_list)
    elif isinstance(estimator, ColumnTransformer):
        steps = [*(entry[:2] for entry in estimator.transformers), ("remainder", estimator.remainder)]
    elif isinstance(estimator, FrozenEstimator) or _is_stateless(estimator):
        return
    else:
        received = f"a {type(estimator).__name__}, which is fitted to private rows and not charged"
        expected = "a private estimator, a step that learns nothing, a pipeline of these, or a grid or random search"
        remedy = "fit the step to public rows and wrap it in sklearn.frozen.FrozenEstimator"
        raise InvalidType(name, received, expected, remedy)
    yield from ((f"step {step!r}", part) for step, part in steps if part not in (None, "passthrough", "drop"))


def _is_stateless(step: Any) -> bool:
    from sklearn.feature_extraction.image import PatchExtractor
    from sklearn.utils import get_tags

    if isinstance(step, PatchExtractor):  # learns nothing, but makes many rows of one
        return False
    try:
        return hasattr(step, "transform") and not get_tags(step).requires_fit
    except Exception:  # a class without tags, or with those of an older scikit-learn
        return False


def _search_costs(name: str, search: Any, public: bool) -> tuple[int, list[Budget]]:
    """Return the units of all fits of a search whose scores tell nothing of private rows."""
    from sklearn.base import clone

    if not public:
        received = f"None for a {type(search).__name__}"
        remedy = (
            "scores on private rows have no noise: hold out public rows (PredefinedSplit), or choose on public data"
        )
        raise InvalidParameter("scored_on", received, '"public", if all rows that it scores are public', remedy)
    if search.return_train_score:
        raise InvalidParameter("return_train_score", "True", "False", "training rows are private, scores have no noise")
    each: list[int] = []
    budgets: list[Budget] = []
    for candidate in _candidates(search):
        units, paying = _costs(name, clone(search.estimator).set_params(**candidate), public)
        each.append(units)
        _add(budgets, paying)
    again = max(each, default=0) if search.refit else 0
    return sum(each) * _folds(search) + again, budgets


def _add(budgets: list[Budget], more: list[Budget]) -> None:
    budgets += [budget for budget in more if not any(budget is other for other in budgets)]


def _candidates(search: Any) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if hasattr(search, "param_grid"):
        return list(ParameterGrid(search.param_grid))
    seed = search.random_state
    if isinstance(seed, bool) or not isinstance(seed, int):
        remedy = "else the candidates, and what they cost, are drawn anew when it is fitted"
        raise InvalidParameter("random_state", f"a {type(seed).__name__}", "an integer", remedy)
    return list(ParameterSampler(search.param_distributions, search.n_iter, random_state=seed))


def _folds(search: Any) -> int:
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv

    try:
        return int(check_cv(search.cv, classifier=is_classifier(search.estimator)).get_n_splits())
    except (ValueError, TypeError):
        raise InvalidParameter("cv", "a splitter that needs the data", "a number of folds") from None
