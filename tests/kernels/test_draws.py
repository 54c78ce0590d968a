import numpy as np

from dpstruct.kernels.draws import orthonormal_rows


def test_rows_become_orthonormal():
    rows = np.random.default_rng(0).standard_normal((20, 30))
    found = rows.copy()
    orthonormal_rows(found)
    assert np.abs(found @ found.T - np.eye(20)).max() < 1e-12
    q, r = np.linalg.qr(rows.T)
    assert np.abs(found.T - q * np.sign(np.diag(r))).max() < 1e-11
