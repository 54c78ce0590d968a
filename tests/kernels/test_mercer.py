"""The compiled products of eigenfunctions against their plain form: the same integers, whatever the companions."""

import numpy as np
import pytest
from oracle import kernel_density as oracle

from dpstruct.features.mercer import ProductBasis
from dpstruct.kernels import mercer as kernels

rng = np.random.default_rng(0)
PROFILES = [lambda r: np.exp(-r), lambda r: np.exp(-r / 3)]


def case(d, count=25):
    reach = np.stack([-1.0 - np.arange(d), 1.0 + np.arange(d)], axis=1)
    basis = ProductBasis(PROFILES, [0.7, 0.3], np.full(d, 0.1), np.linspace(0.5, 0.8, d), reach, count, 65)
    table, low, scale = basis.table
    return basis, (low, scale, table, basis.starts, basis.part, *basis.tree, len(basis.index), 30)


@pytest.mark.parametrize("d", [1, 2, 3, 7])
def test_product_sums(d):
    basis, arguments = case(d)
    low, scale, table, starts, part = arguments[:5]
    rows = rng.uniform(-3, 3, (50, d))
    expected = oracle.product_features(rows, low, scale, table, starts, part, basis.index, 30)
    assert (kernels.product_sums(rows, *arguments) == expected.sum(axis=0)).all()
    single = [kernels.product_sums(row[None, :], *arguments) for row in rows]
    assert (np.array(single) == expected).all()
    order = rng.permutation(49)
    assert (kernels.product_sums(rows[order], *arguments) == expected[:49].sum(axis=0)).all()


def test_more_rows_than_a_block():
    _, arguments = case(2)
    rows = rng.uniform(-1, 1, (2 * kernels.BLOCK + 5, 2))
    parts = [kernels.product_sums(rows[a:b], *arguments) for a, b in ((0, 900), (900, 901), (901, len(rows)))]
    assert (kernels.product_sums(rows, *arguments) == sum(parts)).all()
    assert (kernels.product_sums(rows[:0], *arguments) == 0).all()


@pytest.mark.parametrize("factor", [1.0, 1.5, 1e3])
def test_no_record_is_longer_than_one(factor):
    """Tables of too great a norm: records are shrunk, whatever the law behind the tables."""
    _, arguments = case(3)
    low, scale, table, *rest = arguments
    for row in rng.uniform(-3, 3, (40, 3)):
        one = kernels.product_sums(row[None, :], low, scale, table * factor, *rest).astype(object)
        assert (one * one).sum() <= 4**30


def test_the_largest_sums_are_exact():
    """A full block of records, all at the largest integer: no sum of a lane is rounded."""
    low, scale, table = np.zeros(1), np.ones(1), np.ones((2, 1))
    starts, part = np.array([0, 1]), np.zeros(1, np.int64)
    tree = np.array([1]), np.array([0])
    rows = np.zeros((kernels.BLOCK, 1))
    found = kernels.product_sums(rows, low, scale, table, starts, part, *tree, 1, 30)
    assert found.tolist() == [kernels.BLOCK * int(2.0**30 * (1 - 2.0**-30))]


def test_product_answers():
    basis, (low, scale, table, starts, _, left, right, *_) = case(3)
    rows = rng.uniform(-1, 1, (37, 3))
    sums = rng.normal(size=len(basis.index))
    found = kernels.product_answers(rows, low, scale, table, starts, left, right, sums)
    features = np.prod(basis.factors(rows)[:, basis.index], axis=2)
    assert found == pytest.approx(features @ sums, abs=0.02)  # between knots
    assert basis.inner(basis.factors(rows), sums) == pytest.approx(features @ sums, abs=1e-12)
