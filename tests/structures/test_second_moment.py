"""Second moments: joint bounds against exact integers, packing, eigenvalues, whitening."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.features import multiply
from dpstruct.structures import _second_moment as moments

GAUSSIAN, LAPLACE = dps.GDP(1.0), dps.PureDP(1.0)


def packed(b):
    """Return the two lines of one row."""
    return moments.pack("m", moments.total(np.array([b]), bound=1 << 50))


def price(first, second, d, cost):
    """Return ``sum |change|^2 / w`` or ``sum |change| / w`` in rationals."""
    power, used = (2 if isinstance(cost, dps.GDP) else 1), Fraction(0)
    for line in moments.lines("m", d, cost):
        change = (first[line.name] - second[line.name]).tolist()
        used += sum(Fraction(abs(c) ** power) / line.weight for c in change)
    return used


def ball(d, radius2):
    """Return every integer vector of squared norm at most radius2."""
    side = range(-math.isqrt(radius2), math.isqrt(radius2) + 1)
    return [b for b in product(side, repeat=d) if sum(v * v for v in b) <= radius2]


@pytest.mark.parametrize(("d", "bound"), [(1, 36), (2, 25), (2, 50), (3, 12), (4, 4)])
@pytest.mark.parametrize("cost", [GAUSSIAN, LAPLACE], ids=["gaussian", "laplace"])
def test_sensitivity_of_every_pair_of_lattice_rows(d, bound, cost):
    rows = ball(d, bound)
    sums = [packed(b) for b in rows]
    none = packed([0] * d)
    one = max(price(s, none, d, cost) for s in sums)
    assert one <= moments.sensitivity(d, cost, "add-remove", bound=bound)
    few = [sums[i] for i in np.random.default_rng(0).permutation(len(sums))[:60]]
    extreme = [s for s, b in zip(sums, rows) if sum(v * v for v in b) == bound][:40]
    two = max(price(s, t, d, cost) for s in few + extreme for t in few + extreme)
    assert two <= moments.sensitivity(d, cost, "substitute", bound=bound)
    assert moments.sensitivity(d, cost, dps.RowsWithin(0.1), bound=bound) == moments.sensitivity(
        d, cost, "substitute", bound=bound
    )
    if isinstance(cost, dps.GDP) and math.isqrt(bound) ** 2 == bound:  # an axis reaches it, two axes the double
        assert one == bound**2
        assert two == (2 * bound**2 if d > 1 else bound**2)
    if isinstance(cost, dps.PureDP) and any(
        len({abs(v) for v in b}) == 1 and sum(v * v for v in b) == bound for b in rows
    ):
        assert one == Fraction((d + 1) * bound, 2)


@pytest.mark.parametrize(("d", "bound", "constant"), [(1, 36, 0), (2, 37, 0), (3, 9, 0), (2, 26, 5), (3, 6, 2)])
def test_price_of_every_small_move(d, bound, constant):
    rows = ball(d, bound)
    sums = [packed([*b, constant]) for b in rows]
    dearest = {}
    for i, b in enumerate(rows):
        for j in range(i):
            e2 = sum((v - w) ** 2 for v, w in zip(b, rows[j]))
            dearest[e2] = max(dearest.get(e2, 0), price(sums[i], sums[j], d + 1, GAUSSIAN))
    reached = 0
    for e2, found in dearest.items():
        step = Fraction(math.isqrt(e2 << 60) + 1, 1 << 30)
        allowed = moments.moved_within(step, bound=Fraction(bound), constant=constant)
        assert found <= allowed <= 2 * (bound + constant**2) ** 2
        reached = max(reached, found / allowed)
    assert reached > 0.95


def test_a_small_move_is_bounded_tightly_and_grows():
    """The largest change over a fine grid of pairs on and inside the unit sphere, at every distance."""
    steps = [0.05, 0.2, 0.66, 0.68, 1.0, 1.4, 1.42, 1.9, 2.0]
    u = np.linspace(0, 1, 401)
    s, t = (m.ravel() for m in np.meshgrid(u, u))
    last = 0.0
    for e in steps:
        feasible = (np.abs(s - t) <= e + 1e-12) & (s + t >= 1e-9)
        distance = np.minimum(e, s + t)
        inner = (s**2 + t**2 - distance**2) / 2
        found = (s**4 + t**4 - 2 * inner**2)[feasible]
        if e > math.sqrt(2):  # orthogonal rows are nearer than that
            found = np.append(found, 2.0)
        allowed = float(moments.moved_within(Fraction(e), bound=Fraction(1)))
        assert found.max() <= allowed * (1 + 1e-9)
        assert found.max() >= allowed * 0.99
        assert allowed >= last
        last = allowed
    assert last == 2


def test_packing_is_undone():
    rows = np.random.default_rng(1).integers(-50, 51, (30, 4))
    matrix = moments.total(rows, bound=4 * 50**2)
    assert np.array_equal(matrix, rows.T @ rows)
    assert np.array_equal(moments.unpack("m", moments.pack("m", matrix)), matrix)
    assert [line.shape for line in moments.lines("m", 4, GAUSSIAN)] == [(4,), (6,)]
    assert [line.name for line in moments.lines("m", 1, GAUSSIAN)] == ["m_diagonal"]
    assert moments.unpack("m", moments.pack("m", np.array([[7]]))).tolist() == [[7.0]]


def test_the_noise_is_isotropic_in_frobenius_norm():
    plan_weights = {line.name: line.weight for line in moments.lines("m", 3, GAUSSIAN)}
    assert plan_weights == {"m_diagonal": 1, "m_upper": Fraction(1, 2)}


def test_eigenvalues_are_bounded_and_nothing_else_changes():
    random = np.random.default_rng(2)
    basis = np.linalg.qr(random.standard_normal((5, 5)))[0]
    values = np.array([-3.0, 0.1, 0.5, 2.0, 9.0])
    found = moments.bound_eigenvalues(basis @ np.diag(values) @ basis.T, 0.25, 4.0)
    assert np.array_equal(found, found.T)
    assert found == pytest.approx(basis @ np.diag(np.clip(values, 0.25, 4.0)) @ basis.T, abs=1e-13)


def test_whitened_rows_have_the_identity_as_second_moment():
    random = np.random.default_rng(3)
    factor = random.standard_normal((4, 4))
    matrix = factor @ factor.T + 0.1 * np.eye(4)
    public = moments.whitening(matrix, entry_bound=1 << 24)
    assert public.matrix.T @ matrix @ public.matrix == pytest.approx(np.eye(4), abs=1e-6)
    rows = random.integers(-(1 << 24), 1 << 24, (50, 4))
    assert multiply(rows[7:9], public).tobytes() == multiply(rows, public)[7:9].tobytes()
