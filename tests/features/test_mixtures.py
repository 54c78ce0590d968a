"""Mixtures of product kernels: the named kernel itself, with weights that never add to more than 1."""

import numpy as np
import pytest

from dpstruct.features.mixtures import TOLERANCE, components
from dpstruct.features.radial import KERNELS

CASES = [(name, kernel.shape) for name, kernel in KERNELS.items()]
CASES += [("matern", 0.3), ("matern", 0.5), ("matern", 40.0), ("rational_quadratic", 0.1), ("rational_quadratic", 60.0)]
MIXED = ("exponential", "matern", "cauchy", "rational_quadratic", "inv_l2", "inv_l1")


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("reach", [0.5, 20.0])
def test_the_mixture_is_the_kernel(name, shape, reach):
    """At every distance that is not narrow against the reach."""
    base, sizes, weights = components(name, shape, reach)
    r = np.linspace(0.1, 1, 50) * reach
    found = base.profile(r[:, None] / np.array(sizes), 0.0) @ np.array(weights)
    assert found == pytest.approx(KERNELS[name].profile(r, shape or 0.0), abs=2 * TOLERANCE)
    assert (len(sizes) > 1) == (name in MIXED)
    assert base.norm in (KERNELS[name].norm, "l1")


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("reach", [1e-300, 1e-30, 1e-9, 1.0, 1e9, 1e30, 1e300])
def test_weights_add_to_at_most_one(name, shape, reach):
    """Whatever the reach, there is a component; the bound of the features needs nothing else."""
    _, sizes, weights = components(name, shape, reach)
    assert sizes
    assert min(weights) > 0
    assert sum(weights) <= 1
    assert min(sizes) > 0


def test_frequencies_have_the_law_of_the_mixture():
    """The random frequencies of a radial kernel are normal ones over sizes of this law: mean squares agree."""
    from dpstruct.features.draws import Draws

    _, sizes, weights = components("rational_quadratic", 3.0, 5.0)
    waves = KERNELS["rational_quadratic"].frequencies(Draws(0, "test"), 2, 40000, 3.0)
    second = float((np.array(weights) / np.array(sizes) ** 2).sum())
    assert (waves**2).mean() == pytest.approx(second, rel=0.03)
