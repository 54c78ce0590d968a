"""`assert_private`: one call that attacks the claim of a plan, or of any mechanism, and fails with evidence."""

from __future__ import annotations

from dataclasses import replace
from textwrap import indent
from typing import Any, overload

import numpy as np

from dpstruct.audit.runs import Mechanism
from dpstruct.audit.sampler import sampler
from dpstruct.audit.sequential import sequential_test
from dpstruct.audit.verdict import Verdict
from dpstruct.core import Plan, door
from dpstruct.errors import InvalidParameter
from dpstruct.privacy.neighbors import describe
from dpstruct.testing import PrivacyViolation, assert_price, worst_pair
from dpstruct.testing.pairs import Pair, as_pair, contrast
from dpstruct.testing.sources import ReplayNoise
from dpstruct.testing.statistics import follow
from dpstruct.testing.violation import same, silent, violation

__all__ = ["assert_private"]


@overload
def assert_private(
    target: Plan[Any],
    *,
    claim: Any = None,
    alpha: float = 1e-6,
    max_runs: int = 100_000,
    seed: int | None = None,
    pair: Any = None,
    data: Any = None,
    examples: int = 100,
) -> Verdict: ...


@overload
def assert_private(
    target: Mechanism,
    x: Any,
    x2: Any,
    claim: Any,
    *,
    alpha: float = 1e-6,
    max_runs: int = 100_000,
    seed: int | None = None,
    **options: Any,
) -> Verdict: ...


def assert_private(target: Any, x: Any = None, x2: Any = None, claim: Any = None, **options: Any) -> Verdict:
    """Attack a privacy claim with real noise, and raise with evidence if it does not hold.

    For a plan: find the worst pair of neighbours, check its price exactly and that transcripts hold nothing besides
    statistics and noise, and only then run the black-box test, on this one pair. For any other mechanism: run the
    black-box test on the pair that is given.

    Parameters
    ----------
    target : Plan or callable
        The plan under test, or ``mechanism(data, n)``, which returns n independent outputs.
    x, x2 : object
        For a mechanism: two neighbouring datasets, passed to it as they are.
    claim : GDP, PureDP, ApproxDP or list of pairs
        What is claimed, as in `sequential_test`; for a plan its cost unless given.
    alpha : float
        Chance that a claim that holds is rejected, whenever the test stops.
    max_runs : int
        Runs of the mechanism at most, over both datasets.
    seed : int, optional
        Decides which dataset each run gets, not the mechanism's noise.
    pair : Pair, or two arrays, or two tuples of arrays, optional
        For a plan: the neighbours to test instead of the worst ones that `dpstruct.testing.worst_pair` finds.
    data, examples : strategy, int
        For a plan: passed to `dpstruct.testing.worst_pair`.
    **options
        For a mechanism: passed to `sequential_test`.

    Returns
    -------
    Verdict
        Not rejected. It states how large a violation the last event leaves open: passing is no proof.

    Raises
    ------
    PrivacyViolation
        With the pair, the event and its counts, the runs and the evidence.
    NeighborsMismatch
        If `pair` are no neighbours under the relation of the plan.

    Examples
    --------
    >>> import dpstruct as dps
    >>> plan = dps.KDETree(bounds=dps.Box(0, 1, dim=2), depth=4).plan(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    >>> assert_private(plan, max_runs=2000, examples=5).rejected
    False
    """
    __tracebackhide__ = True  # pytest then shows the test's own line
    if isinstance(target, Plan):
        if x is not None or x2 is not None:
            raise InvalidParameter("x, x2", "datasets beside a plan", "none", "give pair=(x, x2)")
        return _attack_plan(target, claim, **options)
    if claim is None:
        raise InvalidParameter("claim", "nothing", "what the mechanism promises", "for instance PureDP(1.0)")
    verdict = sequential_test(target, x, x2, claim, **options)
    if verdict.rejected:
        name = getattr(target, "__name__", type(target).__name__)
        raise PrivacyViolation(f"{name} does not keep {claim!r}\n{indent(str(verdict), '  ')}")
    return verdict


def _attack_plan(
    plan: Plan[Any], claim: Any, pair: Any = None, data: Any = None, examples: int = 100, **options: Any
) -> Verdict:
    __tracebackhide__ = True
    if pair is None:
        pair = worst_pair(plan, data=data, examples=examples)[0]
    else:
        pair = as_pair(pair)
        assert_price(plan, pair)
    _assert_blind(plan, pair)
    claim = plan.cost if claim is None else claim
    found = sequential_test(sampler(plan, *pair), pair[0], pair[1], claim, score=np.asarray, **options)
    settings = f"alpha={found.alpha!r}, max_runs={found.max_runs}, seed={found.seed}"
    again = f"audit.assert_private(plan, pair=(x, x2), claim={claim!r}, {settings})"
    verdict = replace(found, relation=f"{describe(plan.neighbors)} neighbors", again=again)
    if verdict.rejected:
        raise violation(plan, f"its releases do not keep {claim!r}", str(verdict), **contrast(pair, plan.unit))
    return verdict


def _assert_blind(plan: Plan[Any], pair: Pair) -> None:
    """Check that either dataset ends in a common transcript once the noise is what its statistic lacks of it."""
    with silent(plan, "release", pair.first):
        summaries = [plan.structure.summarize(*data) for data in pair]
        transcript = door.run(plan, summaries[0]._open())
    for data, summary in zip(pair, summaries, strict=True):
        with silent(plan, "release", data):
            exact = follow(plan, summary, transcript)[0]
            noise = {
                k: np.subtract(transcript[k], exact[k], out=np.empty(exact[k].shape, np.int64)) for k in plan.lines
            }
            with ReplayNoise(noise):
                again = door.run(plan, summary._open())
        wrong = [name for name, array in transcript.items() if not same(again[name], array)]
        if wrong:
            told = f"lines: {', '.join(wrong[:6])}"
            raise violation(
                plan, "a transcript holds more than statistics and noise", told, **contrast(pair, plan.unit)
            )
