"""The trade-off plot: errors of the counted tests, and the curve that the claim allows."""

import numpy as np
import pytest

from dpstruct.audit.pages import claimed, errors, trade_off_figure
from dpstruct.privacy import GDP, ApproxDP, PureDP, trade_off

GRID = np.linspace(0, 1, 101)


def test_errors_of_randomised_response():
    first, second = errors(((30, 70), (70, 30)))
    assert first == pytest.approx([0, 0.3, 1])
    assert second == pytest.approx([1, 0.3, 0])


def test_curves_of_claims():
    for claim in (PureDP(1.0), ApproxDP(1.0, 0.05), GDP(1.0)):
        assert claimed(claim, GRID) == pytest.approx(trade_off(claim, GRID), abs=1e-12)
    both = claimed([(0.5, 0.2), (1.0, 0.05)], GRID)
    assert both == pytest.approx(np.maximum(claimed([(0.5, 0.2)], GRID), claimed([(1.0, 0.05)], GRID)))


def test_figure_counts_what_is_below():
    figure = trade_off_figure(((90, 10), (10, 90)), PureDP(1.0))
    assert "1 lie below" in figure.description
    assert "0 lie below" in trade_off_figure(((60, 40), (40, 60)), PureDP(1.0)).description
    assert len(figure.table.rows) == 3
