"""Probabilities, tails and variances of the two noises: published digits, 600-bit arithmetic, and their privacy."""

from __future__ import annotations

import numpy as np
import pytest
from oracle import noise as oracle

from dpstruct.errors import InvalidParameter
from dpstruct.privacy.laws import pmf, tail, variance

GAUSS, LAPLACE = KINDS = ["rounded-gaussian", "discrete-laplace"]


def test_known_digits():
    expected = [0.46802894190, 0.23558916728, 0.02950733647, 0.00088295368]
    np.testing.assert_allclose(pmf(GAUSS, 0.8, np.arange(4)), expected, atol=6e-12)
    np.testing.assert_allclose(
        tail(GAUSS, [0.8, 5, 1000], [4, 20, 4000]), [1.2143247823e-5, 9.6192688035e-5, 6.3476447806e-5]
    )
    np.testing.assert_allclose(pmf(GAUSS, [5, 1000], 0), [0.07965567455, 3.9894226377e-4], rtol=1e-10)
    np.testing.assert_allclose(pmf(LAPLACE, 0.8, [0, 1, -2]), [0.55459972235, 0.15889548079, 0.04552431745], rtol=1e-9)
    np.testing.assert_allclose(variance(LAPLACE, [0.8, 5]), [1.12558883851, 49.8336661383], rtol=1e-11)
    assert pmf(LAPLACE, 5, 0) == pytest.approx(0.09966799462, rel=1e-9)
    assert tail(LAPLACE, 5, 10) == pytest.approx(0.14882387952, rel=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.05, 0.3, 0.8, 2.0, 7.99, 8.0, 50.0, 1000.0, 2.0**22, 2.0**36, 2.0**52])
def test_twelve_digits_into_the_tails(kind, scale):
    for k in {int(m * scale) for m in (0, 0.001, 0.3, 1, 3, 8, 20, 36)}:
        exact = oracle.pmf(kind, scale, k)
        if exact > 1e-280:
            assert abs(float(pmf(kind, scale, k) / exact) - 1) < 1e-12
            assert pmf(kind, scale, -k) == pmf(kind, scale, k)
        exact = oracle.tail(kind, scale, max(k, 1))
        if exact > 1e-280:
            assert abs(float(tail(kind, scale, max(k, 1)) / exact) - 1) < 1e-12


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [0.1, 0.3, 0.8, 1.9, 2.0, 2.1, 7.9, 8.1, 40.0])
def test_the_three_agree(kind, scale):
    k = np.arange(-2000, 2001)
    p = pmf(kind, scale, k)
    assert p.sum() == pytest.approx(1, rel=1e-13)
    assert p @ k**2 == pytest.approx(variance(kind, scale), rel=1e-12)
    for j in (1, 2, 5):
        assert tail(kind, scale, j) == pytest.approx(p[np.abs(k) >= j].sum(), rel=1e-11)
    assert tail(kind, scale, 0) == tail(kind, scale, -3) == 1


def test_extreme_scales():
    np.testing.assert_array_equal(pmf(GAUSS, 1e-300, [0, 1]), [1, 0])
    np.testing.assert_array_equal(pmf(LAPLACE, 1e-320, [0, 1]), [1, 0])
    np.testing.assert_array_equal([variance(GAUSS, 1e-300), variance(LAPLACE, 1e-320)], [0, 0])
    np.testing.assert_array_equal([tail(GAUSS, 1e-300, 1), tail(LAPLACE, 1e-320, 1)], [0, 0])
    assert variance(LAPLACE, 2.0**52) == pytest.approx(2.0**105, rel=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_broadcast_and_scalars_stay_scalars(kind):
    scales, k = np.array([[0.5], [2.0], [100.0]]), np.arange(5)
    for law in (pmf, tail):
        together = law(kind, scales, k)
        assert together.shape == (3, 5)
        assert together[2, 4] == law(kind, 100.0, 4)
        assert np.ndim(law(kind, 100.0, 4)) == 0
    assert variance(kind, scales).shape == (3, 1)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("law", [lambda s: pmf(GAUSS, s, 0), lambda s: tail(GAUSS, s, 0), lambda s: variance(GAUSS, s)])
def test_refused_scales(law, scale):
    with pytest.raises(InvalidParameter, match="scale"):
        law(scale)


def test_refused_kind():
    with pytest.raises(InvalidParameter, match="kind"):
        variance("laplace", 1.0)


def delta(kind, scale, shift, epsilon):
    """Return the exact delta of integer noise moved by `shift`, from its probabilities."""
    k = np.arange(-int(60 * scale) - 60, int(60 * scale) + 61)
    return np.maximum(pmf(kind, scale, k - shift) - np.exp(epsilon) * pmf(kind, scale, k), 0).sum()


def test_rounded_gaussian_obeys_its_gdp_curve():
    """At sigma = 1 and shift 1 the curve of 1-GDP is met with equality at epsilon 1, as boundaries fall on integers."""
    assert delta(GAUSS, 1.0, 1, 1.0) == pytest.approx(0.1269367375066439, rel=1e-12)
    assert delta(GAUSS, 0.8, 1, 0.5) == pytest.approx(0.2954784715, rel=1e-9)


@pytest.mark.parametrize("t", [0.3, 1.0, 7.0])
def test_discrete_laplace_is_pure(t):
    assert delta(LAPLACE, t, 1, 1 / t) == pytest.approx(0, abs=1e-14)
    assert delta(LAPLACE, t, 1, 0.99 / t) > 1e-4
