"""The noise layer: correct noise passes at the stated rate, wrong noise of every kind is rejected. Fixed words."""

import numpy as np
import pytest
from oracle.toy import Mean
from scipy.special import chdtrc, gammainc, ndtr

import dpstruct as dps
from dpstruct import noise
from dpstruct.testing import PrivacyViolation, assert_noise
from dpstruct.testing.noise_fit import _compare, _equal_by_chance, _line_pairs, _Noise, _scores

pytestmark = pytest.mark.usefixtures("fixed_words")

GAUSSIAN, LAPLACE = {"epsilon": 1.0, "delta": 1e-6}, {"epsilon": 1.0}
REAL = noise.draw


def plan_of(cost, **options):
    return Mean(dps.Ball(1.0, dim=6), **options).plan(neighbors="add-remove", **cost)


def tree_plan(cost):
    return dps.KDETree(bounds=dps.Box(0, [1, 3]), depth=5).plan(neighbors="add-remove", **cost)


@pytest.mark.parametrize("cost", [GAUSSIAN, LAPLACE])
def test_correct_noise_passes(cost):
    assert assert_noise(plan_of(cost)) > 4
    assert assert_noise(tree_plan(cost), np.full((5, 2), 0.3)) > 40
    assert assert_noise(plan_of({"cost": dps.GDP(30.0) if "delta" in cost else dps.PureDP(30.0)}, bits=2)) > 4


@pytest.mark.parametrize("cost", [GAUSSIAN, LAPLACE])
def test_false_alarms_keep_their_rate(cost):
    alarms = 0
    for _ in range(150):
        try:
            assert_noise(plan_of(cost), alpha=0.05, draws=200, at_most=30)
        except AssertionError:
            alarms += 1
    assert alarms < 27  # 7.5 are expected at most; the chance of 27 is 2e-8


def smaller(kind, scales, shape):
    return REAL(kind, scales * 0.8, shape)


def narrow_line(kind, scales, shape):
    return REAL(kind, scales * (0.5 if shape == () else 1.0), shape)


def none(kind, scales, shape):
    return np.zeros(shape, np.int64)


def other_law(kind, scales, shape):
    law = {"rounded-gaussian": "discrete-laplace", "discrete-laplace": "rounded-gaussian"}[kind]
    return REAL(law, scales * (0.75 if law == "discrete-laplace" else 1.3), shape)


def every_second_copied():
    """A fork of the process: the second release repeats the first, the fourth the third."""
    calls, drawn = {}, {}

    def draw(kind, scales, shape):
        calls[shape] = calls.get(shape, 0) + 1
        if calls[shape] % 2:
            drawn[shape] = REAL(kind, scales, shape)
        return drawn[shape].copy()

    return draw


def second_half_copied(kind, scales, shape):
    drawn = REAL(kind, scales, shape)
    if len(shape) == 1:
        drawn[3:] = drawn[:3]
    return drawn


def pairs_copied(kind, scales, shape):
    drawn = REAL(kind, scales, shape)
    if len(shape) == 1:
        drawn[1::2] = -drawn[::2]
    return drawn


@pytest.mark.parametrize("cost", [GAUSSIAN, LAPLACE])
@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (smaller, "too small"),
        (narrow_line, "too small"),
        (none, "too small"),
        (other_law, "is not what"),
        (every_second_copied, "successive releases share it"),
        (second_half_copied, "'total' repeats it after 3"),
        (pairs_copied, "'total' repeats it after 1, rescaled"),
    ],
)
def test_wrong_noise_is_found(monkeypatch, wrong, word, cost):
    monkeypatch.setattr(noise, "draw", wrong() if wrong is every_second_copied else wrong)
    with pytest.raises(PrivacyViolation, match=word) as caught:
        assert_noise(plan_of(cost), draws=4000)
    assert "false-alarm rate of 1e-06" in str(caught.value)


def test_one_seed_for_lines_of_other_scales_is_found(monkeypatch):
    tree = dps.KDETree(bounds=dps.Box([0] * 4, [1, 3, 5, 7]), depth=5)
    plan, kept = tree.plan(neighbors="add-remove", **GAUSSIAN), []

    def draw(kind, scales, shape):
        """Draw for both ends and level 0, and use the last again, rescaled, for the levels below."""
        if shape[1:] in ((), (1,)):
            kept.append(REAL(kind, np.array([2.0**30]), (64,)) / 2.0**30)
        return np.rint(np.resize(kept[-1], shape) * scales.reshape(-1, *[1] * (len(shape) - 1))).astype(np.int64)

    monkeypatch.setattr(noise, "draw", draw)
    with pytest.raises(PrivacyViolation, match="lines 'level0' and 'level1' share it, rescaled"):
        assert_noise(plan, draws=2000)


def test_more_noise_than_declared_is_reported_apart(monkeypatch):
    monkeypatch.setattr(noise, "draw", lambda kind, scales, shape: REAL(kind, scales * 1.4, shape))
    with pytest.raises(AssertionError) as caught:
        assert_noise(plan_of(LAPLACE), draws=1000)
    assert "has another law" in str(caught.value) or not isinstance(caught.value, PrivacyViolation)


def test_the_transform_is_the_tail_of_the_declared_law():
    random = np.random.default_rng(1)
    for kind, scale, k, low, high in (
        ("rounded-gaussian", 1024.0, 1024, 0.3170742660, 0.3175468651),
        ("discrete-laplace", 17.0, 17, 0.3570625765, 0.3786963058),
    ):
        w = 2 * ndtr(-np.abs(_scores(kind, np.array([scale]), np.full(20000, k), random)))
        assert low - 1e-9 <= w.min() <= low + (high - low) / 100
        assert high - (high - low) / 100 <= w.max() <= high + 1e-9
    assert gammainc(10000, 9400) == pytest.approx(4.6485e-10, rel=1e-4)
    assert gammainc(5000, 4650) == pytest.approx(2.0371e-7, rel=1e-4)
    assert chdtrc(63, 110) == pytest.approx(2.2900e-4, rel=1e-4)


def test_equality_by_chance():
    assert _equal_by_chance("discrete-laplace", 1.0, 1.0) == pytest.approx(0.2804016619141130, rel=1e-12)
    a, b, k = np.exp(-1 / 2), np.exp(-1 / 5), np.abs(np.arange(-400, 401))
    both = ((1 - a) / (1 + a) * a**k) @ ((1 - b) / (1 + b) * b**k)
    assert _equal_by_chance("discrete-laplace", 2.0, 5.0) == pytest.approx(both, rel=1e-12)
    assert _equal_by_chance("rounded-gaussian", 7.99, 7.99) == pytest.approx(
        _equal_by_chance("rounded-gaussian", 8.0, 8.0), rel=0.01
    )
    # three equal among eight at sigma = 1024
    k = np.array([[1, 2, 3, 4, 5, 6, 7, 8]] * 2)
    z = np.random.default_rng(0).standard_normal((2, 8))
    line = _Noise(k, np.full((1, 8), 1024.0), z)
    other = _Noise(k + np.array([0, 0, 0, 9, 9, 9, 9, 9]), line.scale, z[::-1].copy())
    first, second = _Noise(k[:1], line.scale, z[:1]), _Noise(other.k[:1], line.scale, z[1:])
    assert list(_compare("rounded-gaussian", "x", first, second, _line_pairs)) == []  # too few for a correlation
    tests = list(_compare("rounded-gaussian", "x", line, other, _line_pairs))
    assert tests[0].p < 1e-15


def test_alpha_is_checked():
    with pytest.raises(dps.DPStructError, match="alpha"):
        assert_noise(plan_of(LAPLACE), alpha=0.7)
