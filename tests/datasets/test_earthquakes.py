"""The bundled earthquakes are what their docstring says."""

import numpy as np

from dpstruct.datasets import earthquakes


def test_earthquakes():
    X = earthquakes()
    assert X.shape == (1679, 4)
    assert np.isfinite(X).all()
    low, high = X.min(axis=0), X.max(axis=0)
    assert (low >= [-180, -90, -10, -2]).all()
    assert (high <= [180, 90, 700, 10]).all()
    assert 600 < ((X[:, 0] > -125) & (X[:, 0] < -114) & (X[:, 1] > 32) & (X[:, 1] < 42)).sum() < 1400  # California
    X[:] = 0
    assert earthquakes().any()  # a fresh array each time
