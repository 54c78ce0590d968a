"""`check_structure`: one call that a structure passes or does not ship."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from dpstruct.core import Plan
from dpstruct.testing.accounting import assert_accounted
from dpstruct.testing.invariants import assert_invariants, assert_laws
from dpstruct.testing.lifecycle import Answers, budget_for, default_answers
from dpstruct.testing.noise_fit import assert_noise
from dpstruct.testing.pairs import Pair, join
from dpstruct.testing.price import Price
from dpstruct.testing.search import attack, harvest, worst_pair
from dpstruct.testing.sources import ZeroNoise
from dpstruct.testing.strategies import Drawn, units
from dpstruct.testing.violation import silent

__all__ = ["check_structure"]


def check_structure(
    plan: Plan[Any],
    *,
    data: Drawn | None = None,
    answers: Answers | None = None,
    alpha: float = 1e-6,
    examples: int = 100,
) -> tuple[Pair, Price]:
    """Attack everything that the privacy proof of a structure rests on: accounting, sensitivity, exactness, noise.

    In this order: `assert_accounted`, `worst_pair`, `assert_invariants` on drawn and extreme data, `assert_noise`. The
    data are the same at every call; the noise is fresh.

    Parameters
    ----------
    plan : Plan
        One plan; a structure should pass for each relation and each measure that it supports.
    data : strategy, optional
        Of tuples with one record per argument of `summarize`, for instance
        ``st.tuples(records(Ball(1.0, dim=4)), records(Box(0, 1, dim=1)))``. Needed unless the structure has one array
        whose width is that of its `bounds`, and a unit is a row.
    answers : callable, optional
        Takes a release, returns a list of arrays: everything that it answers. By default `query` and `error`.
    alpha : float
        Chance that correct noise is rejected; everything else is exact.
    examples : int
        Length of the searches.

    Returns
    -------
    Pair, Price
        The dearest neighbours that were found.

    Raises
    ------
    PrivacyViolation
        Naming the law that is broken, with small data that break it.

    Notes
    -----
    Passing is no proof: a search sees the values that it tries, and noise is rejected only where it is far enough off.

    Examples
    --------
    >>> import dpstruct as dps
    >>> tree = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=4)
    >>> _ = check_structure(tree.plan(epsilon=1.0, delta=1e-6, neighbors="add-remove"), examples=10)
    """
    assert_accounted(plan)
    worst = worst_pair(plan, data=data, examples=examples)

    def judge(drawn: list[Any]) -> None:
        assert_laws(plan, drawn)
        rows = join(plan.structure, drawn, plan.unit)
        with silent(plan, "a query", rows), ZeroNoise():
            ask = answers or default_answers(plan, found)
            ask(budget_for(plan).release(plan.structure.summarize(*rows), cost=plan.cost))

    pool = harvest(plan, data)
    found = join(plan.structure, pool, plan.unit)
    one = st.sampled_from(pool) | units(plan.structure, data, plan.unit)
    attack(plan, st.lists(one, max_size=5), judge, max(20, examples // 5))
    assert_invariants(plan, found, answers=answers)
    assert_noise(plan, found, alpha=alpha)
    return worst
