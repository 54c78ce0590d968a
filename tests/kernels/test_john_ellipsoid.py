"""The ellipsoid's kernels against plain Python, bit for bit, and their bounds in exact integers."""

import math

import numpy as np
import pytest
from oracle import john_ellipsoid as oracle

from dpstruct.kernels.john_ellipsoid import cells, contributions, seal

UNIT = 2.0**-40


def whitened(n, d, seed):
    """Return exact integers of all sizes, with rows of zeros, single entries and the largest ones."""
    random = np.random.default_rng(seed)
    rows = np.rint(random.standard_normal((n, d)) * 2.0 ** random.integers(20, 52, (n, 1)))
    rows[0], rows[1], rows[2] = 0, 0, 2.0**53
    rows[1, d // 2], rows[3], rows[3, 0] = -(2.0**53), 0, 1
    return rows


@pytest.mark.parametrize("d", [1, 2, 9, 50])
@pytest.mark.parametrize("box", [True, False])
@pytest.mark.parametrize("reach", [1e-100, 0.3, 1.0, 1e100])
def test_sealed_rows_are_those_of_the_library_map(d, box, reach):
    random = np.random.default_rng(d)
    middle = random.standard_normal(d) * min(reach, 1e99)
    sides = reach * (1 + random.random(d)) if box else np.full(d, reach)
    bound = math.sqrt(d) if box else reach
    X = middle + sides * random.standard_normal((80, d)) * 10.0 ** random.integers(-3, 3, (80, 1))
    X[:8] = np.array([0.0, np.nan, np.inf, -np.inf, 1.7e308, -1.7e308, 5e-324, -0.0])[:, None]
    X[8:40, 0] = X[:32, 0]
    X[40], X[41], X[42] = middle + sides, middle - sides, middle
    X[43], X[43, -1] = middle, middle[-1] + sides[-1]
    expected = oracle.seal(X, middle, sides, box, bound, 24)
    found = np.full((80, d + 1), 7, np.int32)
    seal(X.copy(), middle, sides, box, bound, 1 << 24, found)
    assert np.array_equal(found[:, :d], expected)
    assert (found[:, d] == 7).all()
    assert max(sum(int(v) ** 2 for v in row) for row in found[:, :d]) <= 4**24


@pytest.mark.parametrize("d", [1, 2, 7, 30])
@pytest.mark.parametrize("growth", [0.0, 1e-3, 0.5, 1e9])
@pytest.mark.parametrize("bits", [4, 16, 20])
def test_contributions_are_those_of_plain_python(d, growth, bits):
    rows, size = whitened(60, d, d), 4.0**bits
    weights = np.random.default_rng(1).random(60)
    weights[5:8] = 0, 1, 5e-324
    count = math.floor(0.3 * size)
    expected = oracle.contributions(rows, weights, UNIT, growth, 2.0 * d, size, count)
    found, updated = rows.copy(), weights.copy()
    total = contributions(found, updated, UNIT, growth, 2.0 * d, size, float(count))
    assert np.array_equal(found, expected[0])
    assert updated.tobytes() == expected[1].tobytes()
    assert total == expected[2]
    assert max(sum(int(v) ** 2 for v in row) for row in found) <= 4**bits
    assert ((updated >= 0) & (updated <= 1)).all()
    alone = rows[7:8].copy()
    contributions(alone, weights[7:8].copy(), UNIT, growth, 2.0 * d, size, float(count))
    assert np.array_equal(alone[0], found[7])


def test_a_long_row_of_full_weight_uses_the_whole_bound():
    rows = np.array([[0.0, 2.0**52, 0.0]])
    assert contributions(rows, np.ones(1), UNIT, 0.0, 1.0, 4.0**16, 1000.0) == 1000
    assert rows.tolist() == [[0.0, 2.0**16 - 1, 0.0]]


@pytest.mark.parametrize("d", [1, 2, 50, 4096])
def test_no_direction_is_rounded_beyond_the_bound(d):
    random = np.random.default_rng(d)
    rows = np.rint(random.standard_normal((200, d)) * 2.0**40)
    rows[::2] = np.abs(rows[::2, :1])  # equal entries
    contributions(rows, np.ones(200), UNIT, 0.0, 1.0, 4.0**20, 0.0)
    assert max(sum(int(v) ** 2 for v in row) for row in rows) <= 4**20
    assert max(sum(int(v) ** 2 for v in row) for row in rows) > 4**20 * (1 - 2.0**-18 * math.sqrt(d))


@pytest.mark.parametrize("d", [1, 3, 20])
def test_cells_are_those_of_plain_python(d):
    rows = whitened(200, d, 3)
    thresholds = 16.0 * d * 256.0 ** (-np.arange(33) / 33)
    rows[10] = 0
    rows[10, 0] = math.sqrt(16 * d) / UNIT if d == 1 else rows[10, 0]  # on a threshold: not beyond it
    found = cells(rows, UNIT, thresholds)
    assert np.array_equal(found, oracle.cells(rows, UNIT, thresholds))
    assert cells(rows[:0], UNIT, thresholds).sum() == 0
    assert 0 < found.sum() < 200
