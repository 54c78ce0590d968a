"""Whitened kernel values: norms at most 1 in exact integers, and the words they need."""

import math
from fractions import Fraction

import numpy as np
import pytest

from dpstruct.errors import InvalidParameter
from dpstruct.features import nystrom
from dpstruct.features.nystrom import PointBasis
from dpstruct.features.radial import KERNELS


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "product_cauchy", "inv_l2"])
@pytest.mark.parametrize(("q", "h"), [(1, 0.3), (40, 0.05), (40, 1.0), (40, 50.0)])
def test_no_record_is_longer_than_the_bound(name, q, h):
    rng = np.random.default_rng(q)
    basis = PointBasis(KERNELS[name], None, rng.random((q, 2)), h)
    rows = np.concatenate([basis.points, basis.points[:5] + 1e-4, rng.random((40, 2)), [[50.0, 50.0]]])
    images = np.array([basis.whiten(basis.sums(row[None, :])) for row in rows]).astype(object)
    worst = max((images * images).sum(axis=1))
    assert Fraction(0.5) < worst / basis.sensitivity(False) <= 1
    pairs = (((images[:, None] - images[None]) ** 2).sum(axis=2)).max()
    assert pairs / basis.sensitivity(True) <= 1
    assert basis.sensitivity(False) <= Fraction(101, 100) * 4 ** (basis.bits + basis.whitening_bits)
    assert basis.sensitivity(True) <= 2 * Fraction(101, 100) * 4 ** (basis.bits + basis.whitening_bits)


def test_the_whitener_is_verified(monkeypatch):
    monkeypatch.setattr(PointBasis, "word", staticmethod(lambda q: (20, 4)))  # a whitener of 4 bits is too coarse
    with pytest.raises(InvalidParameter, match="not whitened"):
        PointBasis(KERNELS["gaussian"], None, np.random.default_rng(0).random((40, 2)), 0.3)


def test_whitening_commutes_with_wrapping():
    """Sums beyond the words wrap; neighbouring ones must stay neighbours after the whitener, modulo 2**64."""
    rng = np.random.default_rng(0)
    basis = PointBasis(KERNELS["gaussian"], None, rng.random((20, 2)), 0.3)
    sums = rng.integers(-(2**63), 2**63, (2, 20), dtype=np.int64)
    one = basis.sums(rng.random((1, 2)))
    together = basis.whiten(sums[0] + sums[1] + one)
    assert (together == basis.whiten(sums[0]) + basis.whiten(sums[1]) + basis.whiten(one)).all()


@pytest.mark.parametrize("q", [1, 10, 200, 4096])
def test_words(q):
    bits, whitening = PointBasis.word(q)
    assert math.sqrt(q / nystrom.RIDGE) / 2.0**bits <= 2.0**-9
    assert 0.58 * q / 2.0**whitening <= 2.0**-9 * 1.01 or q == 1
    assert bits + whitening <= 46
