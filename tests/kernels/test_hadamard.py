"""Fast transforms of records and queries against explicit matrices: the same integers, whatever rows surround a row."""

import numpy as np
import pytest
from oracle import hadamard as oracle
from scipy.linalg import hadamard

from dpstruct.features.random_features import circle
from dpstruct.features.structured import LARGEST
from dpstruct.kernels import hadamard as kernels

rng = np.random.default_rng(0)
REACH = 1 << 17  # fits the largest dimension


def setting(d, D, J):
    """Rows, where they lie, and public signs, shifts and turns."""
    blocks, bits = -(-J // D), D.bit_length() - 1
    signs = rng.choice([-1, 1], (1 + 2 * blocks, D)).astype(np.int32)
    turns = rng.integers(0, 2**64, J, dtype=np.uint64)
    return np.full(d, 0.5), 2.0 * REACH, REACH, signs, (-(-bits // 2), bits // 2), turns


def test_the_oracle_s_matrix():
    assert (oracle.matrix(64) == hadamard(64)).all()
    x = rng.integers(-9, 9, 64)
    assert (oracle.transform(x) == hadamard(64) @ x).all()


@pytest.mark.parametrize("lanes", [16, 48])
@pytest.mark.parametrize("D", [1, 2, 4, 8, 64, 128, 512])
def test_transform(D, lanes):
    for kind in (np.int32, np.float64):
        x = rng.integers(-999, 999, (D, lanes)).astype(kind)
        expected = oracle.matrix(D) @ x
        kernels._transform(flat := x.ravel(), lanes)
        assert (flat.reshape(D, lanes) == expected).all()


@pytest.mark.parametrize(
    ("n", "d", "D", "J"), [(1, 1, 128, 5), (70, 3, 128, 300), (33, 100, 128, 128), (17, 129, 256, 9)]
)
def test_phase_sums(n, d, D, J):
    """Full and cut tiles, blocks of frequencies that are full and cut, padding, rows on the edges."""
    public = setting(d, D, J)
    rows = rng.random((n, d))
    rows[0], rows[-1, 0] = 1.0, 0.0
    cells = oracle.cells_of(rows, *public[:3])
    expected = oracle.phase_sums(cells, *public[3:], *circle())
    found = kernels.phase_sums(rows, *public, *circle())
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()


def test_a_row_counts_the_same_wherever_it_stands():
    """Alone, in another lane, in another tile, among other rows, in another block: differences of sums show one row."""
    public = setting(20, 128, 200)
    rows = rng.random((150, 20))
    alone = [np.stack(kernels.phase_sums(row[None, :], *public, *circle())) for row in rows]
    total = np.stack(kernels.phase_sums(rows, *public, *circle()))
    assert (sum(alone) == total).all()
    order = rng.permutation(150)
    assert (np.stack(kernels.phase_sums(rows[order], *public, *circle())) == total).all()
    for i in (0, 15, 16, 63, 64, 149):
        rest = np.stack(kernels.phase_sums(np.delete(rows, i, axis=0), *public, *circle()))
        assert (total - rest == alone[i]).all()
    parts = [np.stack(kernels.phase_sums(rows[a:b], *public, *circle())) for a, b in ((0, 1), (1, 90), (90, 150))]
    assert (sum(parts) == total).all()
    strided = np.asfortranarray(np.repeat(rows, 2, axis=0))[::2]
    assert (np.stack(kernels.phase_sums(strided, *public, *circle())) == total).all()


def test_wild_rows_stay_within_reach():
    """Far away, infinite and missing values count as the ends of the grid."""
    public = setting(2, 128, 64)
    rows = np.array([[1e300, -1e300], [np.inf, -np.inf], [np.nan, np.nan]])
    ends = REACH * np.array([[1, -1], [1, -1], [-1, -1]])
    expected = oracle.phase_sums(ends, *public[3:], *circle())
    assert (kernels.phase_sums(rows, *public, *circle())[0] == expected[0]).all()


def test_phase_sums_at_the_ends_of_their_words():
    """More rows than a word has room for, at the largest table values of both signs: no half of it may run over."""
    rows, public = np.zeros(((1 << 16) + 1, 1)), setting(1, 1, 2)
    for value in (-(2**15), 2**15):
        table = np.full(4096, value)
        for part in kernels.phase_sums(rows, *public, table, -table if value > 0 else table):
            assert (np.abs(part) == abs(value) * len(rows)).all()


def test_no_integer_overflows_in_the_largest_dimension():
    """Corners of the box that pile up in one coordinate of the first transform, and of the second: 64 bits agree."""
    D = LARGEST
    public = setting(D, D, D)
    signs, shifts = public[3:5]
    aligned, other = (oracle.transform(np.eye(1, D, k)[0]) for k in (D // 3, D // 5))
    aligned, back = aligned * signs[0], np.sign(signs[0] * oracle.transform(signs[1] * other))
    rows = np.stack([np.ones(D), np.zeros(D), (aligned + 1) / 2, (back + 1) / 2])
    cells = oracle.cells_of(rows, *public[:3])
    largest = oracle.projections(cells[2:3], signs, shifts)[1]
    assert D * (REACH - 1) <= largest < 2**31
    expected = oracle.phase_sums(cells, *public[3:], *circle())
    found = kernels.phase_sums(rows, *public, *circle())
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()


@pytest.mark.parametrize(("q", "d", "D", "J"), [(5, 3, 128, 300), (70, 200, 256, 256), (1, 1, 1, 2)])
def test_wave_sums(q, d, D, J):
    middle, scale, _, signs = setting(d, D, J)[:4]
    rows, amplitudes = rng.normal(size=(q, d)), rng.normal(size=(J, 2))
    rates, offsets = rng.normal(size=J) / D / scale, rng.random(J)
    x = np.zeros((q, D))
    x[:, :d] = (rows - middle) * scale - 0.5
    H = oracle.matrix(D)
    once = (x * signs[0]) @ H
    parts = [((once * signs[2 * b + 1]) @ H * signs[2 * b + 2]) @ H for b in range(len(signs) // 2)]
    angle = 2 * np.pi * (np.concatenate(parts, axis=1)[:, :J] * rates + offsets)
    expected = np.cos(angle) @ amplitudes[:, 0] + np.sin(angle) @ amplitudes[:, 1]
    found = kernels.wave_sums(rows, middle, scale, signs, rates, offsets, amplitudes)
    assert found == pytest.approx(expected, abs=J * 2e-8)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_not_finite_gets_a_nan_alone(value):
    middle, scale, _, signs = setting(3, 128, 40)[:4]
    rows, rest = rng.normal(size=(20, 3)), np.arange(20) != 7
    public = middle, scale, signs, np.full(40, 1e-9), np.zeros(40), np.ones((40, 2))
    before = kernels.wave_sums(rows, *public)
    rows[7, 1] = value
    after = kernels.wave_sums(rows, *public)
    assert np.isnan(after[7])
    assert (after[rest] == before[rest]).all()
