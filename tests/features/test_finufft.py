"""The non-uniform FFT gives the direct sums: every dimension, both signs of frequencies, rows that are no numbers."""

import math
import sys

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.features import _nufft
from dpstruct.features.fourier import PHASES, FourierSeries
from dpstruct.features.radial import KERNELS
from dpstruct.testing import ZeroNoise

CASES = [(1, 0.02, 40_000), (1, 1e-4, 200), (2, 0.1, 9000), (3, 0.3, 3000)]


def series_of(dim, h, tolerance=1e-6):
    return FourierSeries(KERNELS["gaussian"], None, np.linspace(1, 2, dim), (h,), tolerance)


def parts(dim, h, q):
    """A series, amplitudes of either sign at every frequency, and rows of which many are outside of one period."""
    series, rng = series_of(dim, h), np.random.default_rng(dim)
    count = len(series.index)
    amplitudes = rng.normal(size=count) + 1j * rng.normal(size=count)
    return series, amplitudes, rng.uniform(-3, 4, (q, dim)), np.linspace(-0.5, 0.5, dim)


@pytest.fixture
def hidden(monkeypatch):
    monkeypatch.setitem(sys.modules, "finufft", None)


@pytest.mark.parametrize(("dim", "h", "q"), CASES)
def test_equal_to_the_direct_sum(dim, h, q):
    pytest.importorskip("finufft")
    series, amplitudes, rows, low = parts(dim, h, q)
    assert q >= series._many
    assert dim == 1 or (series.index[:, 0] < 0).any()
    found = series.evaluate(amplitudes, rows, low)
    direct = series._direct(amplitudes, (rows - low) / series.period - 0.5 / PHASES)
    assert np.abs(found - direct).max() <= 1e-8 * np.sqrt((np.abs(amplitudes) ** 2).sum())
    assert (found != direct).any()  # it was not the direct sum itself


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_each_frequency_is_in_its_place(dim):
    pytest.importorskip("finufft")
    index = np.stack(np.meshgrid(*[[-2, 0, 3]] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    turns = np.random.default_rng(dim).random((9, dim))
    waves = np.exp(-2j * np.pi * turns @ index.T)
    for k, wave in enumerate(waves.T):
        for amplitude in (1.0, 1j):
            amplitudes = amplitude * (np.arange(len(index)) == k)
            found = _nufft.waves(amplitudes, index, turns, precision=1e-12)
            assert found == pytest.approx((amplitude * wave).real, abs=1e-11)


@pytest.mark.parametrize("threads", ["1", "3"])
def test_rows_that_are_not_finite(threads, monkeypatch):
    pytest.importorskip("finufft")
    monkeypatch.setenv("DPSTRUCT_NUM_THREADS", threads)
    series, amplitudes, rows, low = parts(2, 0.1, 20_000)
    clean = series.evaluate(amplitudes, rows, low)
    for bad, value in ((0, np.nan), (7000, np.inf), (19_999, -np.inf)):
        rows[bad, bad % 2] = value
    answers = series.evaluate(amplitudes, rows, low)
    assert np.flatnonzero(np.isnan(answers)).tolist() == [0, 7000, 19_999]
    good = np.isfinite(answers)
    assert answers[good] == pytest.approx(clean[good], abs=1e-9)


def test_a_finer_series_has_a_finer_transform():
    pytest.importorskip("finufft")
    series = series_of(2, 0.1, 1e-9)
    rng = np.random.default_rng(0)
    amplitudes, rows = series.coefficients[0] * rng.normal(size=len(series.index)), rng.random((9000, 2))
    found = series.evaluate(amplitudes.astype(complex), rows, np.zeros(2))
    direct = series._direct(amplitudes.astype(complex), rows / series.period - 0.5 / PHASES)
    assert np.abs(found - direct).max() <= 1e-11 * np.abs(amplitudes).sum()


def test_without_it_the_sum_is_direct(hidden):
    series, amplitudes, rows, low = parts(2, 0.1, 9000)
    direct = series._direct(amplitudes, (rows - low) / series.period - 0.5 / PHASES)
    assert (series.evaluate(amplitudes, rows, low) == direct).all()
    assert _nufft.waves(amplitudes, series.index, rows, precision=1e-9) is None


def test_without_it_a_release_answers(hidden):
    blueprint = dps.KernelDensity(bandwidth=0.1, bounds=dps.Box(0, 1, dim=2))
    budget = dps.Budget(epsilon=1.0, delta=1e-6, neighbors="add-remove")
    Y = np.random.default_rng(0).random((9000, 2))
    with ZeroNoise():
        private = budget.release(blueprint.summarize(Y[:100]), share=1)
    exact = np.exp(-50 * ((Y[:, None] - Y[:100]) ** 2).sum(axis=2)).sum(axis=1)
    assert private.query(Y) == pytest.approx(exact, abs=0.05)


def test_few_queries_stay_direct(monkeypatch):
    """A transform starts slowly; where it never gains, no number of queries is enough."""

    def never(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr(_nufft, "waves", never)
    series, amplitudes, rows, low = parts(3, 0.3, 200)
    assert series.evaluate(amplitudes, rows, low).shape == (200,)
    assert series.evaluate(amplitudes, rows[:0], low).shape == (0,)
    assert _nufft.least_queries(np.arange(5)[:, None]) == math.inf
