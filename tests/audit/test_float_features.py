"""The bits of a double, against exact fractions; and the textbook sampler that they give away."""

import math

import numpy as np
import pytest
from oracle.audit import float_features as by_definition

from dpstruct.audit import float_features, sequential_test
from dpstruct.privacy import PureDP

VALUES = [0.0, -0.0, 1.0, -1.0, 0.1, math.pi, 5e-324, -3e-310, 2.0**-1022, 1e308, 1 + 2.0**-52, 6.0, 0.75, 2.0**60]


def test_against_fractions():
    random = np.random.default_rng(1)
    values = [*VALUES, *random.normal(size=200).tolist(), *(2.0 ** random.integers(-1074, 1023, 50)).tolist()]
    assert float_features(values).tolist() == [by_definition(v) for v in values]


def test_shapes_and_types():
    assert float_features(np.zeros((3, 2))).shape == (3, 14)
    assert float_features(np.array([3, 4])).tolist() == float_features([3.0, 4.0]).tolist()
    assert float_features([math.nan, math.inf])[:, 1].tolist() == [1024, 1024]
    for wrong in (["a"], np.zeros((2, 2, 2)), 1.0):
        with pytest.raises(ValueError, match="values"):
            float_features(wrong)


def test_textbook_laplace_leaks():
    random = np.random.default_rng(2)

    def textbook(count, n):
        return count + np.where(random.random(n) < 0.5, -1.0, 1.0) * np.log(1 - random.random(n))

    assert not sequential_test(textbook, 0, 1, PureDP(1.1), max_runs=3000, seed=3).rejected
    verdict = sequential_test(lambda data, n: float_features(textbook(data, n)), 0, 1, PureDP(1.1), seed=3)
    assert verdict.rejected
    assert verdict.runs <= 3000
