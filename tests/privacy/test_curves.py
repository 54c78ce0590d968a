"""Curves on arrays agree with the scalars, with each other by duality, and with known constructions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dpstruct.errors import InvalidParameter, InvalidType
from dpstruct.privacy import GDP, ApproxDP, PureDP, delta_curve, trade_off

MEASURES = [GDP(0.3), GDP(1), GDP(5), PureDP(0.5), PureDP(3), ApproxDP(1, 1e-2), ApproxDP(0.2, 0.1)]


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_delta_is_the_conjugate_of_the_trade_off(measure):
    corners = [] if isinstance(measure, GDP) else [(1 - delta_curve(measure, 99.0)) / (1 + math.exp(measure.epsilon))]
    alpha = np.concatenate([np.geomspace(1e-9, 1, 40_000), np.linspace(0, 1, 40_001), corners])
    beta = trade_off(measure, alpha)
    epsilon = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 4.0])
    dual = np.array([(1 - beta - math.exp(e) * alpha).max() for e in epsilon])
    assert delta_curve(measure, epsilon) == pytest.approx(np.maximum(0, dual), abs=2e-7)


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_shapes_of_the_curves(measure):
    alpha = np.linspace(0, 1, 501)
    beta = trade_off(measure, alpha)
    assert (np.diff(beta) <= 0).all()
    assert (np.diff(beta, 2) >= -1e-12).all()
    assert (beta <= 1 - alpha + 1e-15).all()
    assert trade_off(measure, beta[beta > 1e-9]) == pytest.approx(alpha[beta > 1e-9], abs=1e-6)  # symmetric
    delta = delta_curve(measure, np.linspace(0, 6, 121).reshape(11, 11))
    assert delta.shape == (11, 11)
    assert (np.diff(delta.ravel()) <= 0).all()
    assert delta.min() >= 0
    assert delta.max() <= 1


def test_scalars_and_arrays_agree():
    epsilon = np.array([0.0, 1e-310, 0.5, 3.0])
    assert delta_curve(GDP(1), epsilon).tolist() == [GDP(1).delta(e) for e in (0, 0, 0.5, 3)]
    assert delta_curve(GDP(1), 2.0).shape == ()
    assert delta_curve(ApproxDP(1, 1e-3), [1.0, 9.0]).tolist() == [1e-3, 1e-3]
    assert delta_curve(PureDP(1), [1, 2]).tolist() == [0, 0]
    assert trade_off(GDP.from_units(0), [0.0, 0.25, 1.0]) == pytest.approx([1, 0.75, 0])


@pytest.mark.parametrize("values", [[-1.0], [np.nan], [np.inf]])
def test_bad_values(values):
    for call in (delta_curve, trade_off):
        with pytest.raises(InvalidParameter):
            call(GDP(1), values)
    with pytest.raises(InvalidParameter):
        trade_off(GDP(1), [1.5])


@pytest.mark.parametrize("values", [[True], ["1"], [1j], [None]])
def test_bad_dtypes(values):
    for call in (delta_curve, trade_off):
        with pytest.raises(InvalidType):
            call(GDP(1), values)


@pytest.mark.parametrize("measure", [1.0, None, GDP, "GDP(1)"])
def test_bad_measures(measure):
    for call in (delta_curve, trade_off):
        with pytest.raises(InvalidType):
            call(measure, [0.5])
