"""Fourier series of kernels: how good they are, and integer points that are never too long."""

import numpy as np
import pytest
from oracle import kernel_density as oracle

from dpstruct.errors import InvalidParameter
from dpstruct.features import fourier
from dpstruct.features.fourier import PHASES, FourierSeries, circle
from dpstruct.features.radial import KERNELS

GAUSSIAN = KERNELS["gaussian"]


@pytest.mark.parametrize("radius", [2**15 - 1, 2**12 - 1, 2**9 - 1])
def test_the_circle(radius):
    cos, sin = circle(radius)
    assert (cos * cos + sin * sin).max() <= radius**2
    for exact in ((radius - 1) * np.cos(np.arange(PHASES) * 2 * np.pi / PHASES),):
        half = np.abs(np.abs(exact - np.rint(exact)) - 0.5)
        assert half[half > 1e-9].size >= PHASES - 8  # no library's last bit decides a rounding, but exact halves
    assert np.hypot(cos - (radius - 1) * np.cos(np.arange(PHASES) * 2 * np.pi / PHASES), 0).max() <= 0.5 + 1e-9


def errors(series, kernel, h, sides):
    """Error of the series over differences of points of the box, without any rounding of phases."""
    rng = np.random.default_rng(0)
    z = np.concatenate(
        [(rng.random((4000, len(sides))) * 2 - 1) * sides, sides * rng.integers(-1, 2, (20, len(sides)))]
    )
    value = np.cos(2 * np.pi * (z / series.period) @ series.index.T) @ series.coefficients[0]
    return np.abs(value - kernel.values(z, h)).max()


@pytest.mark.parametrize(
    ("sides", "h", "tolerance", "count"),
    [
        ([1.0], 0.05, 1e-4, None),
        ([1.0], 0.05, 1e-6, 22),
        ([1.0], 0.05, 1e-8, None),
        ([1.0, 3.0], 0.3, 1e-5, None),
        ([1.0, 1.0], 0.05, 1e-6, 761),
        ([1.0, 1.0, 0.5], 0.3, 1e-4, None),
    ],
)
def test_the_series_is_as_good_as_it_says(sides, h, tolerance, count):
    series = FourierSeries(GAUSSIAN, None, np.array(sides), (h,), tolerance)
    assert errors(series, GAUSSIAN, h, np.array(sides)) <= tolerance
    assert series.coefficients.sum() == pytest.approx(1, abs=tolerance)
    assert (series.coefficients > 0).all()
    assert (series.index[0] == 0).all()
    assert count is None or len(series.index) == count
    both = np.concatenate([series.index[1:], -series.index[1:]])
    assert len(np.unique(both, axis=0)) == len(both)  # one of each pair


@pytest.mark.parametrize("name", ["laplacian", "matern"])
def test_other_kernels_on_a_line(name):
    kernel = KERNELS[name]
    series = FourierSeries(kernel, kernel.shape, np.array([1.0]), (0.2,), 1e-2)
    assert errors(series, kernel, 0.2, np.array([1.0])) <= 1e-2


def test_several_bandwidths_share_the_frequencies():
    series = FourierSeries(GAUSSIAN, None, np.array([1.0, 1.0]), (0.3, 0.1), 1e-5)
    z = np.random.default_rng(0).random((500, 2)) * 2 - 1
    for h, row in zip((0.3, 0.1), series.coefficients, strict=True):
        value = np.cos(2 * np.pi * (z / series.period) @ series.index.T) @ row
        assert np.abs(value - GAUSSIAN.values(z, h)).max() <= 1e-5


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_sums_and_answers(dim):
    series = FourierSeries(GAUSSIAN, None, np.ones(dim), (0.5,), 1e-3)
    rng = np.random.default_rng(dim)
    phases = rng.integers(0, PHASES, (6, dim))
    phases[0], phases[1] = 0, PHASES - 1
    found = series.sums(phases)
    expected = oracle.fourier_sums(phases, series.index, *circle(series.radius))
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()
    assert (found[1][0], found[0][0]) == (0, 6 * (series.radius - 1) ** dim)
    assert (series.sums(phases[:0])[0] == 0).all()
    amplitudes = rng.normal(size=len(series.index)) + 1j * rng.normal(size=len(series.index))
    y = rng.random((7, dim))
    turn = y / series.period - 0.5 / PHASES
    waves = np.exp(-2j * np.pi * turn @ series.index.T) @ amplitudes
    assert series.evaluate(amplitudes, y, np.zeros(dim)) == pytest.approx(waves.real, abs=1e-9)


def test_what_has_no_short_series_is_refused():
    with pytest.raises(InvalidParameter, match="more than"):
        FourierSeries(GAUSSIAN, None, np.ones(3), (0.01,), 1e-6)
    with pytest.raises(InvalidParameter, match="features"):
        FourierSeries(KERNELS["cauchy"], None, np.ones(1), (0.1,), 1e-6)
    assert fourier.spectrum(GAUSSIAN, None, 4) is None


def test_many_records_on_a_line_are_counted_by_phase():
    """The same integers as in small parts; memory and time do not follow how many phases differ."""
    series = FourierSeries(KERNELS["gaussian"], None, np.ones(1), (0.2,), 1e-6)
    phases = np.random.default_rng(0).integers(0, PHASES, (PHASES + 7, 1))
    parts = [series.sums(phases[a : a + 9000]) for a in range(0, len(phases), 9000)]
    found = series.sums(phases)
    for j in (0, 1):
        assert (found[j] == sum(part[j] for part in parts)).all()
    assert (series.sums(phases * 0)[0] == len(phases) * circle(series.radius)[0][0]).all()
