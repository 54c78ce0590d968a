"""What a search, or several fits, will charge: known before the data."""

from __future__ import annotations

from typing import Any

from dpstruct.core import Budget
from dpstruct.core.accounts import Preview, charged_for, cost_of
from dpstruct.domain import positive_integer
from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.sklearn._base import PrivateEstimator

__all__ = ["price"]


def price(estimator: Any, *, fits: int = 1) -> Preview:
    """Return what fitting will be charged in all, whether it fits the budget, and what would be left; charges nothing.

    Parameters
    ----------
    estimator : estimator
        One of this room, or a pipeline or search (``GridSearchCV``, ``RandomizedSearchCV``) that holds some.
    fits : int
        How often it is fitted: the number of folds for ``cross_val_score(estimator, ..., cv=folds)``.

    Returns
    -------
    Preview
        With ``cost``, ``fits`` and ``remaining``.

    Notes
    -----
    A search fits every candidate on every fold, and the best one again unless ``refit=False``; if candidates differ in
    price, the dearest is counted for that. Every fit is charged: folds overlap, and no composition is cheaper here.

    Raises
    ------
    InvalidType
        If no private estimator is found, or several budgets.
    InvalidParameter
        If the number of folds depends on the data: pass ``cv`` as a number.

    Examples
    --------
    >>> import dpstruct as dps
    >>> from sklearn.model_selection import GridSearchCV
    >>> from dpstruct.sklearn import NTKRegressor
    >>> budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> search = GridSearchCV(NTKRegressor(budget, share=0.05), {"depth": [1, 2, 3]}, cv=5)
    >>> told = price(search)
    >>> round(told.cost.units / budget.total.units, 3), told.fits
    (0.8, True)
    """
    times = positive_integer("fits", fits, at_most=1 << 40)
    costs, budgets = _costs(estimator)
    if len(budgets) != 1:
        found = "none" if not budgets else f"estimators with {len(budgets)} budgets"
        raise InvalidType("estimator", found, "private estimators with one budget")
    budget = budgets[0]
    total = type(budget.total).from_units(times * costs)
    return budget.preview(cost=total)


def _costs(estimator: Any) -> tuple[int, list[Budget]]:
    """Return the units that one fit is charged, and the budgets that pay."""
    from sklearn.base import clone
    from sklearn.model_selection._search import BaseSearchCV

    if isinstance(estimator, PrivateEstimator):
        budget = estimator._budget()
        cost = cost_of(budget.total, budget.delta, None, estimator.epsilon, estimator.share)
        return charged_for(budget.delta, cost).units, [budget]
    if isinstance(estimator, BaseSearchCV):
        each: list[int] = []
        budgets: list[Budget] = []
        for candidate in _candidates(estimator):
            units, paying = _costs(clone(estimator.estimator).set_params(**candidate))
            each.append(units)
            budgets += [budget for budget in paying if not any(budget is other for other in budgets)]
        again = max(each, default=0) if estimator.refit else 0
        return sum(each) * _folds(estimator) + again, budgets
    total, budgets = 0, []
    parts = [step for _, step in getattr(estimator, "steps", [])] or [getattr(estimator, "estimator", None)]
    for part in parts:
        if part is not None and part is not estimator:
            units, paying = _costs(part)
            total += units
            budgets += [budget for budget in paying if not any(budget is other for other in budgets)]
    return total, budgets


def _candidates(search: Any) -> list[dict[str, Any]]:
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    if hasattr(search, "param_grid"):
        return list(ParameterGrid(search.param_grid))
    if not hasattr(search, "param_distributions") or not hasattr(search, "n_iter"):
        raise InvalidType("estimator", f"a {type(search).__name__}", "GridSearchCV or RandomizedSearchCV")
    return list(ParameterSampler(search.param_distributions, search.n_iter, random_state=0))


def _folds(search: Any) -> int:
    from sklearn.base import is_classifier
    from sklearn.model_selection import check_cv

    try:
        return int(check_cv(search.cv, classifier=is_classifier(search.estimator)).get_n_splits())
    except (ValueError, TypeError):
        raise InvalidParameter("cv", "a splitter that needs the data", "a number of folds") from None
