"""An independent accountant: never below ours on a fixed plan of Gaussians, and below the price of a mixed one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from dpstruct.privacy import GDP, Event, PureDP, smallest_scale

pytest.importorskip("dp_accounting")


def pld_epsilon(events, delta):
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=1e-4)
    for event, count in events:
        accountant.compose(event, count)
    return accountant.get_epsilon(delta)


def gaussian(scales):
    """Return our event and theirs for one Gaussian release per scale, sensitivity 1."""
    from dp_accounting import GaussianDpEvent

    ours = [Event("rounded-gaussian", Fraction(1), (("x", (1,), (Fraction(1),), (s,)),)) for s in scales]
    return GDP.from_units(sum(e.price() for e in ours)), [(GaussianDpEvent(s), 1) for s in scales]


@pytest.mark.parametrize("scales", [[1.0], [3.0], [10.0] * 10, [2.0, 3.0, 5.0, 7.0], [0.5]])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 1e-3])
def test_gaussian_plans_agree(scales, delta):
    measure, events = gaussian(scales)
    exact = measure.epsilon(delta)
    assert exact * (1 - 1e-9) <= pld_epsilon(events, delta) <= exact + 1e-6 * max(1, exact)


def test_a_mixed_plan_is_priced_above_the_truth():
    from dp_accounting.dp_event import LaplaceDpEvent

    measure, events = gaussian([10.0] * 10)
    laplace = smallest_scale("discrete-laplace", Fraction(1), Fraction(1), PureDP(0.1).units)
    total = GDP.from_units(measure.units + 10 * GDP.from_pure(PureDP(0.1)).units)
    assert total.mu == pytest.approx(0.506975, abs=1e-6)
    assert total.epsilon(1e-6) == pytest.approx(2.28866, abs=1e-5)
    theirs = pld_epsilon([*events, (LaplaceDpEvent(laplace), 10)], 1e-6)
    assert 1.5 < theirs < total.epsilon(1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 3.0])
def test_pure_price_covers_the_discrete_laplace(epsilon):
    from dp_accounting.dp_event import DiscreteLaplaceDpEvent

    for delta in (1e-9, 1e-6, 1e-3):
        theirs = pld_epsilon([(DiscreteLaplaceDpEvent(epsilon, 1), 5)], delta)
        assert theirs <= GDP.from_units(5 * GDP.from_pure(PureDP(epsilon)).units).epsilon(delta)
