"""The compiled maps of the kernel density against their plain forms: the same integers, whatever the blocks."""

import numpy as np
import pytest
from oracle import kernel_density as oracle

from dpstruct.features.radial import KERNELS
from dpstruct.features.random_features import circle
from dpstruct.kernels import kernel_density as kernels

rng = np.random.default_rng(0)


def test_phase_sums():
    rows = rng.integers(-(2**17), 2**17, (40, 3)).astype(float)
    matrix = rng.integers(-(2**31), 2**31, (3, 7)).astype(float)
    for shift in (0, 13, 39):
        expected = oracle.phase_sums(rows, matrix, shift, *circle())
        found = kernels.phase_sums(rows, matrix, shift, *circle())
        assert (found[0] == expected[0]).all()
        assert (found[1] == expected[1]).all()


def test_phase_sums_at_the_ends_of_their_words():
    """The most rows of a block, all at the largest table values, of both signs: no half of a word may run over."""
    rows, matrix = np.zeros((1 << 15, 1)), np.zeros((1, 2))
    for value in (-(2**15), 2**15 - 1):
        table = np.full(4096, value)
        for part in kernels.phase_sums(rows, matrix, 0, table, -table if value > 0 else table):
            assert (np.abs(part) == abs(value) << 15).all()
    big = np.full((3, 1), 2.0**17), np.full((1, 1), 2.0**34 - 1)
    assert kernels.phase_sums(*big, 34, *circle())[0][0] == oracle.phase_sums(*big, 34, *circle())[0][0]


def test_wave_sums():
    turns, amplitudes = rng.normal(size=(3, 50)) * 5, rng.normal(size=(50, 2))
    rows = rng.normal(size=(20, 3))
    rows[3, 1] = np.nan
    angle = 2 * np.pi * rows @ turns
    expected = np.cos(angle) @ amplitudes[:, 0] + np.sin(angle) @ amplitudes[:, 1]
    found = kernels.wave_sums(rows, turns, amplitudes)
    assert np.isnan(found[3])
    assert np.delete(found, 3) == pytest.approx(np.delete(expected, 3), abs=50 * 2e-8)


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_sums(name):
    kernel = KERNELS[name]
    table = kernels.profile_table(lambda r: kernel.profile(r, kernel.shape or 0.0))
    mode = {"l2": 0, "l1": 1, "axes": 2}[kernel.norm]
    rows, points = rng.normal(size=(30, 3)), rng.normal(size=(9, 3))
    points[0] = rows[0]
    exact = oracle.kernel(name, rows, points, 1.0) * 2.0**30
    found = kernels.kernel_sums(rows, points, 1.0, mode, table, 30)
    assert np.abs(found - exact.sum(axis=1)).max() <= 30 * 0.6
    single = [kernels.kernel_sums(row[None, :], points, 1.0, mode, table, 30) for row in rows]
    assert (sum(single) == found).all()
    far = np.array([[1e200, -1e300, 0.0]])  # overflows to infinity on the way
    assert (kernels.kernel_sums(far, points, 1.0, mode, table, 30) >= 0).all()
    assert (kernels.kernel_sums(far, points, 1.0, mode, table, 30) < 2**20).all()
