"""The kernels by name: formulas, spectral laws, integrals, and what unknown names are told."""

import numpy as np
import pytest
from oracle import kernel_density as oracle
from scipy.integrate import quad

from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.features.radial import KERNELS, kernel_named

every_kernel = pytest.mark.parametrize("name", KERNELS)


@every_kernel
def test_values_are_the_formulas(name):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(10, 4)), rng.normal(size=(6, 4))
    found = kernel_named(name).values(Y[:, None] - X, 0.7)
    assert found == pytest.approx(oracle.kernel(name, X, Y, 0.7), rel=1e-12)


@every_kernel
def test_frequencies_are_the_kernel_s_spectrum(name):
    """The mean of cosines over frequencies is the kernel, to five standard errors of 40,000."""
    kernel = KERNELS[name]
    z = np.random.default_rng(1).normal(size=(12, 3))
    waves = kernel.frequencies(Draws(0, name), 3, 40_000, kernel.shape or 0.0)
    assert np.cos(z @ waves).mean(axis=1) == pytest.approx(kernel.values(z, 1.0), abs=5 / np.sqrt(2 * 40_000))


@pytest.mark.parametrize("nu", [0.5, 1.5, 2.5, 0.7, 4.0])
def test_matern(nu):
    profile = KERNELS["matern"].profile
    r = np.array([0.0, 1e-12, 0.3, 1.0, 5.0, 1e9])
    assert profile(r, nu) == pytest.approx(profile(r, nu * (1 + 1e-9)), abs=1e-6)
    assert profile(r, nu)[[0, -1]] == pytest.approx([1, 0])
    waves = KERNELS["matern"].frequencies(Draws(0, "m"), 1, 40_000, nu)
    assert np.cos(np.array([[0.8]]) @ waves).mean() == pytest.approx(profile(np.array([0.8]), nu)[0], abs=0.02)


@pytest.mark.parametrize("name", [name for name, kernel in KERNELS.items() if kernel.mass])
def test_integrals(name):
    kernel = KERNELS[name]
    line = quad(lambda r: float(kernel.profile(np.array(abs(r)), 0.0)), -np.inf, np.inf)[0]
    assert kernel.mass(1) == pytest.approx(line)
    if kernel.norm == "l2":
        disc = quad(lambda r: 2 * np.pi * r * float(kernel.profile(np.array(r), 0.0)), 0, np.inf)[0]
        assert kernel.mass(2) == pytest.approx(disc)
    else:
        assert kernel.mass(2) == pytest.approx(line**2)


def test_names():
    assert kernel_named("inv_l2sq") is kernel_named("cauchy")
    with pytest.raises(InvalidParameter, match="did you mean 'gaussian'"):
        kernel_named("gausian")
    with pytest.raises(InvalidParameter, match="not positive definite"):
        kernel_named("tophat")
