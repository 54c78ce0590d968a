import numpy as np
import pytest

from dpstruct.features.directions import even_directions


@pytest.mark.parametrize(("dim", "mean", "spread"), [(2, 2 / np.pi, 3e-4), (3, 0.5, 4e-3)])
def test_the_mean_projection_is_nearly_the_same_for_every_vector(dim, mean, spread):
    U = even_directions(dim, 64 if dim == 2 else 256)
    assert np.allclose((U * U).sum(axis=0), 1, rtol=0, atol=4e-16)
    Z = np.random.default_rng(0).standard_normal((2000, dim))
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    assert np.abs(np.abs(Z @ U).mean(axis=1) / mean - 1).max() < spread * 2
