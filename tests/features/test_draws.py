"""Public random numbers: their laws, and bits that must never change."""

import hashlib
import math

import numpy as np
import pytest
from scipy import stats

from dpstruct.features.draws import Draws, logarithm, orthogonal_blocks


def test_the_logarithm():
    x = np.concatenate([np.random.default_rng(0).random(1000) * 100, 2.0 ** np.arange(-1000.0, 1000, 37)])
    assert np.abs(logarithm(x) - np.array([math.log(v) for v in x])).max() < 2e-13
    assert logarithm(np.array([1.0]))[0] == 0.0


def test_the_bits_are_the_same_for_ever():
    """Frequencies decide integers: two machines, or two versions, must draw the same ones."""
    draws = Draws(7, "test")
    text = draws.uniform((5,)).tobytes() + draws.normal((5,)).tobytes() + draws.exponential((5,)).tobytes()
    text += draws.gamma(1.5, 5).tobytes() + orthogonal_blocks(draws, 3, 5).tobytes()
    assert hashlib.sha256(text).hexdigest()[:16] == "c87494aac5836f24"


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda d: d.uniform((20_000,)), stats.uniform()),
        (lambda d: d.normal((20_000,)), stats.norm()),
        (lambda d: d.exponential((20_000,)), stats.expon()),
        (lambda d: d.gamma(0.4, 20_000), stats.gamma(0.4)),
        (lambda d: d.gamma(3.3, 20_000), stats.gamma(3.3)),
    ],
)
def test_the_laws(draw, law):
    """Fixed numbers: no false alarm; the level 1e-6 says what would have been one."""
    assert stats.kstest(draw(Draws(1, "law")), law.cdf).pvalue > 1e-6


def test_orthogonal_blocks():
    directions = orthogonal_blocks(Draws(0, "x"), 5, 13)
    assert directions.shape == (5, 13)
    for start in (0, 5, 10):
        block = directions[:, start : start + 5]
        assert block.T @ block == pytest.approx(np.eye(block.shape[1]), abs=1e-14)
    many = orthogonal_blocks(Draws(0, "y"), 3, 30_000)
    assert many.mean(axis=1) == pytest.approx(np.zeros(3), abs=0.02)
    assert many @ many.T / 30_000 == pytest.approx(np.eye(3) / 3, abs=0.01)
