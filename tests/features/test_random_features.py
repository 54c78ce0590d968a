"""Random features: exact phases, points that are never too long, and weights that fit the kernel."""

import numpy as np
import pytest

from dpstruct.features import random_features as rf
from dpstruct.features.radial import KERNELS


def test_the_circle():
    cos, sin = rf.circle()
    assert (cos * cos + sin * sin).max() <= rf.RADIUS**2
    exact = (rf.RADIUS - 1) * np.cos((np.arange(4096) + 0.5) * (2 * np.pi / 4096))
    assert (np.abs(np.abs(exact - np.rint(exact)) - 0.5) > 1e-9).all()  # no library's last bit decides a rounding


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "inv_l1"])
@pytest.mark.parametrize("sides", [[1.0], [1e-3, 5.0, 1e4], [1.0] * 64])
def test_projections_leave_room_in_a_double(name, sides):
    public = rf.frequencies(KERNELS[name], None, 0.01, np.array(sides), 64, 0)
    assert np.abs(public.integers).sum(axis=0).max() * (rf.CELLS // 2) < 2**51
    assert public.unit <= 2.0**-12


def test_the_grid():
    middle, sides = np.array([0.5, 3.0]), np.array([1.0, 2.0])
    cells = rf.on_grid(np.array([[0.0, 2.0], [1.0, 4.0], [0.5, 3.0], [0.5 - 1e-9, 3.1]]), middle, sides)
    half = rf.CELLS // 2
    assert cells.tolist() == [[-half, -half], [half, half], [0, 0], [-1, np.floor(0.05 * rf.CELLS)]]


def test_weights_fit_better_than_equal_ones():
    kernel, sides = KERNELS["gaussian"], np.ones(3)
    public = rf.frequencies(kernel, None, 0.4, sides, 128, 0)
    turns = public.matrix * rf.CELLS
    weights, fits = rf.fit_weights(turns, kernel, None, 0.4, sides, 0)
    assert (weights[0] == 1 / 128).all()
    assert fits.min() < fits[0] / 1.5
    assert (np.diff((weights**2).sum(axis=1)) > 0).all()  # less penalty, more noise
    rng = np.random.default_rng(0)
    z = (rng.random((3000, 3)) - rng.random((3000, 3))) * rng.random((3000, 1))
    for row, fit in zip(weights, fits, strict=True):
        miss = np.cos(2 * np.pi * z @ turns) @ row - kernel.values(z, 0.4)
        assert np.sqrt((miss**2).mean()) < 1.5 * fit


def test_more_frequencies_than_samples_have_equal_weights(monkeypatch):
    """And the error of these is the one that is told."""
    kernel, sides = KERNELS["gaussian"], np.ones(3)
    public = rf.frequencies(kernel, None, 0.4, sides, 300, 0)
    turns = public.matrix * rf.CELLS
    known = rf.fit_weights(turns, kernel, None, 0.4, sides, 0)
    monkeypatch.setattr(rf, "SAMPLES", 128)
    weights, fits = rf.fit_weights(turns, kernel, None, 0.4, sides, 0)
    assert weights.shape == (1, 300)
    assert (weights == 1 / 300).all()
    assert fits[0] == pytest.approx(known[1][0], rel=0.1)  # of other differences
