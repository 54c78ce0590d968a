"""Structured frequencies: their law, their lengths, phases and explicit matrix, and what is refused."""

import numpy as np
import pytest
from oracle import hadamard as oracle
from scipy.stats import kstest

from dpstruct.errors import InvalidParameter
from dpstruct.features.draws import Draws
from dpstruct.features.radial import KERNELS
from dpstruct.features.structured import LARGEST, _stretches, structured_frequencies

RADIAL = sorted(name for name, kernel in KERNELS.items() if kernel.norm == "l2")


def made(name="gaussian", dim=5, count=2048, side=1.0, bandwidth=1.0, seed=0):
    kernel = KERNELS[name]
    return structured_frequencies(kernel, kernel.shape, bandwidth, side, dim, count, seed)


def waves_of(public):
    """Frequencies at bandwidth 1 in a box of side 1."""
    return public.matrix * (2 * np.pi * 2 * public.reach)


@pytest.mark.parametrize("dim", [50, 128, 300])
def test_the_matrix_and_the_offsets_are_the_mean_of_the_integers(dim):
    """Projections of many records in integers against the linear map: by roundings of mean 0."""
    public = made(dim=dim, count=dim + 70)
    rng = np.random.default_rng(0)
    cells = rng.integers(-public.reach, public.reach, (300, dim))
    steps = oracle.projections(cells, public.signs, public.shifts)[0][:, : dim + 70]
    misses = steps - (cells @ public.matrix + public.offsets) / (public.turns * 2.0**-64)
    cell = np.sqrt(public.signs.shape[1])  # in steps
    assert np.abs(misses).max() < 8 * cell
    assert misses.std() < cell
    offsets = public.offsets / (public.turns * 2.0**-64)
    assert misses.mean(axis=0).std() < 0.1 * cell < 0.3 * cell < offsets.std()


@pytest.mark.parametrize("name", RADIAL)
def test_stretches_are_the_radial_factor(name):
    """Times a normal number they are the kernel's law on a line: cosines of it have the kernel as their mean."""
    kernel = KERNELS[name]
    stretches = _stretches(kernel, kernel.shape, 1 << 15, 0)
    assert (stretches > 0).all()
    frequencies = stretches * Draws(1, "test").normal((1 << 15,))
    for r in (0.3, 1.0, 3.0):
        mean = np.cos(frequencies * r).mean()
        assert abs(mean - kernel.values(np.array([[r]]), 1.0)[0]) < 5.5 / np.sqrt(1 << 15)


def test_lengths_do_not_depend_on_the_kernel_s_own_normal_numbers():
    """The radial factor of the gaussian is 1, and that of the others independent of what it is divided by."""
    assert (_stretches(KERNELS["gaussian"], None, 50, 0) == 1).all()
    factors = _stretches(KERNELS["cauchy"], None, 4096, 0)
    assert kstest(factors**2 / 2, "expon").pvalue > 1e-6


@pytest.mark.parametrize("dim", [2, 64, 100])
def test_frequencies_are_nearly_normal(dim):
    """Each coordinate of them, and their sum of squares."""
    waves = waves_of(made(dim=dim))
    for row in (waves[0], waves[-1], waves.sum(axis=0) / np.sqrt(dim)):
        assert kstest(row, "norm").pvalue > 1e-6
    squares = (waves**2).sum(axis=0)
    assert abs(squares.mean() / dim - 1) < 6 * np.sqrt(2 / dim / 2048)


@pytest.mark.parametrize("dim", [8, 64, 65, 784])
@pytest.mark.parametrize("name", ["gaussian", "exponential"])
def test_kernel_estimates_are_as_good_as_those_of_a_matrix(name, dim):
    """Over sparse, flat and normal differences, and three seeds: root mean square and mean against a matrix."""
    kernel, rng, count = KERNELS[name], np.random.default_rng(1), 1024
    r = rng.choice([0.5, 1.0, 1.5, 2.2], 200)[:, None]
    normal = rng.normal(size=(200, dim))
    sparse = np.eye(dim)[rng.integers(0, dim, 200)]
    flat = rng.choice([-1.0, 1.0], (200, dim))
    z = np.concatenate([r * v / np.linalg.norm(v, axis=1, keepdims=True) for v in (normal, sparse, flat)])
    exact, misses = kernel.values(z, 1.0), {"matrix": [], "structured": []}
    for seed in range(3):
        matrix = kernel.frequencies(Draws(seed, name), dim, count, 0.0)
        fast = waves_of(made(name, dim, count, seed=seed))
        for kind, waves in (("matrix", matrix), ("structured", fast)):
            misses[kind].append(np.cos(z @ waves).mean(axis=1) - exact)
    size = {kind: np.sqrt(np.mean(np.square(found))) for kind, found in misses.items()}
    assert size["structured"] < 1.3 * size["matrix"] < 0.04
    assert abs(np.mean(misses["structured"])) < 0.012


def test_blocks_are_different_and_the_last_one_is_cut():
    whole, cut = made(count=384, dim=100), made(count=300, dim=100)
    assert whole.matrix.shape == (100, 384)
    assert cut.matrix.shape == (100, 300)
    directions = whole.matrix / np.linalg.norm(whole.matrix, axis=0)
    assert np.abs(directions.T @ directions - np.eye(384)).max() < 0.7
    block = whole.matrix[:, 128:256] / whole.rates[128:256]  # a scaled rotation of 128 coordinates, cut to 100
    assert block @ block.T == pytest.approx(128.0**3 * np.eye(100))


@pytest.mark.parametrize("bandwidth", [1e-90, 1e90])
def test_extreme_bandwidths(bandwidth):
    public = made("inv_l2", bandwidth=bandwidth)
    assert public.turns.max() < 2**62
    assert np.isfinite(public.matrix).all()
    assert (public.turns == 0).all() == (bandwidth > 1)


@pytest.mark.parametrize("dim", [1, 64, 65, 784, 3000, LARGEST])
def test_the_grid_is_as_fine_as_32_bits_allow(dim):
    public = made(dim=dim, count=1)
    D = public.signs.shape[1]
    assert public.reach >= 2**17
    assert np.sqrt(dim * D) * public.reach + 3 * D < 2**31 <= np.sqrt(dim * D) * 2 * public.reach + 3 * D


def test_the_largest_dimension():
    assert made(dim=LARGEST, count=1).signs.shape == (3, LARGEST)
    with pytest.raises(InvalidParameter, match="at most 8192"):
        made(dim=LARGEST + 1)
