"""KernelDensity at the edges: boxes far from zero, rough kernels, wide bandwidths, absurd laws, strict warnings."""

import math
from fractions import Fraction

import numpy as np
import pytest

import dpstruct as dps
from dpstruct.errors import InvalidParameter
from dpstruct.features import random_features as rf
from dpstruct.features.draws import Draws, exponential
from dpstruct.features.mercer import ProductBasis
from dpstruct.features.nystrom import PointBasis
from dpstruct.features.radial import KERNELS
from dpstruct.kernels import kernel_density as kernels
from dpstruct.structures import _kde_mercer
from dpstruct.testing import ZeroNoise, assert_price

GAUSSIAN = {"epsilon": 1.0, "delta": 1e-6}


def worst_price(blueprint, rows, neighbors):
    """The largest part of the plan's price that one of some records, or a pair of them, uses."""
    plan, worst = blueprint.plan(neighbors=neighbors, **GAUSSIAN), Fraction(0)
    for i, row in enumerate(rows):
        others = [np.empty((0, blueprint.dim))] if neighbors == "add-remove" else [r[None] for r in rows[:i]]
        for other in others:
            worst = max(worst, assert_price(plan, (row[None], other)).worst)
    return worst


# ---- whitened kernel values at points ------------------------------------------------------------------------------

FAR = {  # box, bandwidth, distance between anchors
    "twenty near anchors": (dps.Box(1e9 - 1e-5, 1e9 + 2e-5, dim=1), 1e-6, 0.37e-6),
    "a small box": (dps.Box(1e9, 1e9 + 1e-6, dim=1), 1e-7, 1.2e-7),
    "few doubles": (dps.Box(1.7e18, 1.7e18 + 2e5, dim=1), 1e4, 3e3),
    "fewer doubles": (dps.Box(1.7e18, 1.7e18 + 1e4, dim=1), 600.0, 512.0),
}


@pytest.mark.parametrize("neighbors", ["add-remove", "substitute"])
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian", "product_cauchy"])
@pytest.mark.parametrize("place", FAR)
def test_a_box_far_from_zero(place, kernel, neighbors):
    """Coordinates may be rounded to a good part of the bandwidth, but differences of doubles are nearly exact."""
    box, h, step = FAR[place]
    points = np.unique(box.low[0] + step * np.arange(20))[:, None]
    points = points[points[:, 0] <= box.high[0]]
    rows = np.unique(np.concatenate([points, np.linspace(box.low, box.high, 10)]), axis=0)
    blueprint = dps.KernelDensity(kernel, bandwidth=h, bounds=box, anchors=points)
    assert worst_price(blueprint, rows, neighbors) <= 1


def test_values_at_points_do_not_hang_on_where_the_box_lies():
    """The same differences, near 0 and far from it, give the same covariance, whitener and integers."""
    near = np.arange(8.0)[:, None] * 256
    one, two = (PointBasis(KERNELS["gaussian"], None, near + offset, 600.0) for offset in (0.0, 2.0**60))
    assert (one.whitener == two.whitener).all()
    assert (one.sums(near[:3] + 256) == two.sums(near[:3] + 256 + 2.0**60)).all()


ROUGH = [("matern", nu) for nu in (0.1, 0.18, 0.4, 0.5, 0.6, 0.75, 100.0)]
ROUGH += [("rational_quadratic", alpha) for alpha in (0.1, 0.4, 0.5, 0.6, 0.75, 100.0)]


@pytest.mark.parametrize(("kernel", "shape"), ROUGH)
@pytest.mark.parametrize("points", [0.5 + 6e-6 * np.arange(8), 1e-6 * np.arange(256)], ids=len)
def test_rough_kernels_keep_their_price_or_are_refused(kernel, shape, points):
    """Near points make a whitener that magnifies what the table of the profile misses."""
    if shape < (0.5 if len(points) == 8 else 0.75) and shape != 0.5:  # more points, a larger whitener
        with pytest.raises(InvalidParameter, match="shape"):
            PointBasis(KERNELS[kernel], shape, points[:, None], 1.0)
        return
    basis = PointBasis(KERNELS[kernel], shape, points[:, None], 1.0)
    steps = np.concatenate([[0.0], np.geomspace(1e-9, 0.5, 60)])
    rows = np.concatenate([points[0] + steps, points[-1] - steps, points[:4]])[:, None]
    images = np.array([basis.whiten(basis.sums(row[None, :])) for row in rows]).astype(object)
    assert max((images * images).sum(axis=1)) <= basis.sensitivity(False)
    assert ((images[:, None] - images[None]) ** 2).sum(axis=2).max() <= basis.sensitivity(True)


@pytest.mark.parametrize("name", KERNELS)
def test_the_table_error_is_a_bound(name):
    """At distances that the bound was not made from, and at all scales."""
    kernel = KERNELS[name]
    shapes = {"matern": (0.5, 0.6, 1.0, 1.5, 100.0), "rational_quadratic": (0.5, 0.7, 1.0, 100.0)}.get(name, (None,))
    rng = np.random.default_rng(0)
    r = np.concatenate([10.0 ** rng.uniform(-8, 8, 4000), 10.0 ** rng.uniform(-80, 80, 400), [0.0]])
    for shape in shapes:
        basis = PointBasis(kernel, shape, np.zeros((1, 1)), 1.0)
        exact = kernel.values(r[:, None], 1.0, shape)
        mode = {"l2": 0, "l1": 1, "axes": 2}[kernel.norm]
        origin = np.zeros((1, 1))
        found = np.array([kernels.kernel_sums(x[None, None], origin, 1.0, mode, basis._table, 50)[0] for x in r])
        assert np.abs(found / 2.0**50 - exact).max() <= float(basis.table_error)
        assert basis.table_error <= Fraction(1, 1 << (basis.bits + 3))
    assert PointBasis(KERNELS["gaussian"], None, np.zeros((1, 1)), 1.0).table_error < Fraction(1, 1 << 35)


def test_the_table_error_is_paid_for():
    smooth, rough = (PointBasis(KERNELS["matern"], nu, np.zeros((1, 1)), 1.0) for nu in (1.5, 0.55))
    step = (32 * (rough.table_error - smooth.table_error)) * 4 ** (rough.bits + rough.whitening_bits)
    assert rough.sensitivity(False) > smooth.sensitivity(False) + 2 * step
    assert rough.sensitivity(True) > smooth.sensitivity(True) + 5 * step  # twice the error, on a norm of sqrt(2)


def test_a_kernel_whose_table_is_too_coarse_is_refused():
    for kernel, shape in (("matern", 0.1), ("rational_quadratic", 0.1)):
        with pytest.raises(InvalidParameter, match="shape"):
            dps.KernelDensity(kernel, shape=shape, bandwidth=1.0, bounds=dps.Box(0, 1, dim=1), anchors=[[0.5]])


@pytest.mark.parametrize("nu", [0.1, 0.2, 0.4, 20.0, 60.0, 100.0])
def test_matern_next_to_zero(nu):
    """Where the Bessel function overflows, and where the first term of the singular part is all there is."""
    from mpmath import mp

    r = np.concatenate([10.0 ** np.arange(-30.0, -3, 3), [2e-3, 4e-3, 4.7e-3, 5e-3, 0.01]])
    found = KERNELS["matern"].profile(r, nu)
    context = mp.clone()
    context.dps = 60
    for x, value in zip(r, found, strict=True):
        t = context.sqrt(2 * context.mpf(nu)) * context.mpf(float(x))
        exact = 2 ** (1 - context.mpf(nu)) / context.gamma(nu) * t**nu * context.besselk(nu, t)
        assert value == pytest.approx(float(exact), abs=1e-11)
    for smooth in (nu, 0.5, 1.5, 2.5):
        assert KERNELS["matern"].profile(np.array([1e160, np.inf]), smooth) == pytest.approx([0.0, 0.0], abs=1e-200)


# ---- random features -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("h", [2.0, 20.0, 1e3, 1e6])
@pytest.mark.parametrize("kernel", ["gaussian", "laplacian"])
def test_wide_bandwidths_of_features(kernel, h):
    """The kernel is all but constant; slow frequencies must stay within the bits that a projection has."""
    box = dps.Box(0, 1, dim=4)
    blueprint = dps.KernelDensity(kernel, bandwidth=h, bounds=box, method="features", n_features=256)
    public = blueprint._method.public
    assert public.unit >= 2.0**-51
    rng = np.random.default_rng(0)
    X, Y = rng.random((200, 4)), rng.random((5, 4))
    with ZeroNoise():
        private = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(blueprint.summarize(X), share=1)
    exact = KERNELS[kernel].values(Y[:, None] - X, h).sum(axis=1)
    assert np.abs(private.query(Y) - exact).max() < 0.05 * 200


def test_frequencies_keep_their_bits_where_they_are_fast():
    """The floor under the unit changes slow frequencies alone."""
    fast = rf.frequencies(KERNELS["gaussian"], None, 0.01, np.ones(2), 8, 0)
    slow = rf.frequencies(KERNELS["gaussian"], None, 1e30, np.ones(2), 8, 0)
    assert fast.unit > 2.0**-51 == slow.unit
    assert (slow.integers == 0).all()


# ---- a private law ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("box", "h"),
    [
        (dps.Box(-1, 1, dim=2), 1e-3),
        (dps.Box([-1e-3, -1e3], [1e-3, 1e3]), 0.1),
        (dps.Box(-1, 1, dim=2), 1e-9),
        (dps.Box([-1e-50, -1e50], [1e-50, 1e50]), 1.0),
        (dps.Box(-1, 1, dim=2), 1e9),
    ],
    ids=str,
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_no_law_raises_after_the_charge(box, h, kernel):
    """Whatever the first round releases, the second is made and answers are finite."""
    blueprint = dps.KernelDensity(kernel, bandwidth=h, bounds=box, method="mercer", n_features=16)
    method = blueprint._method
    rng = np.random.default_rng(0)
    low, high = np.array(box.low), np.array(box.high)
    X = low + rng.random((20, 2)) * (high - low)
    rows, public = method._lattice(X), {"one": np.array(_kde_mercer._one(2)), "bound": np.array(_kde_mercer._bound(2))}
    real = dict(zip(("moment_diagonal", "moment_upper"), _kde_mercer.moment_sums(rows, public), strict=True))
    big = np.array([2**62, 2**40, 1], np.int64)
    laws = [real, *({"moment_diagonal": a, "moment_upper": b} for a in (0 * big, big, -big) for b in (0 * big, -big))]
    with np.errstate(all="raise"):  # a user's own setting must not cost the budget
        for moment in laws:
            arrays = method.arrays(method.law(moment))
            T = _kde_mercer.feature_sums(rows, arrays)[0]
            assert T.shape == (16,)
            far = X + np.array([2 * (high - low)[0], 0.0])
            answers = method.answers({**moment, "sums": T}, None, np.concatenate([X, far, [[np.nan, 0.0]]]), h)
            assert np.isfinite(answers[:-1]).all()
            assert np.isnan(answers[-1])
            one = _kde_mercer.feature_sums(rows[:1], arrays)[0].astype(object)
            assert (one * one).sum() <= 4**_kde_mercer.BITS


def test_a_private_law_of_few_records_is_released():
    blueprint = dps.KernelDensity(bandwidth=1e-3, bounds=dps.Box(-1, 1, dim=2), method="mercer", n_features=16)
    X = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    with ZeroNoise():
        private = dps.Budget(1.0, 1e-6, neighbors="add-remove").release(blueprint.summarize(X), share=1)
    assert np.isfinite(private.query(X)).all()


def test_eigenpairs_that_are_not_accurate_are_dropped(monkeypatch):
    """Without the smallest ones the rest is accurate; one is left whatever the demand."""
    from dpstruct.features import mercer

    monkeypatch.setattr(mercer, "SLACK", 1e-13)
    law = np.array([0.0]), np.array([0.3]), np.array([[-1.0, 1.0]])
    basis = ProductBasis([lambda r: np.exp(-0.5 * (r / 0.3) ** 2)], [1.0], *law, 30, 9)
    assert 1 <= len(basis.index) < 12
    monkeypatch.setattr(mercer, "SLACK", 0.0)
    assert len(ProductBasis([lambda r: np.exp(-0.5 * (r / 0.3) ** 2)], [1.0], *law, 30, 9).index) == 1


# ---- strict float warnings -------------------------------------------------------------------------------------------

SMALL = [0.0, 5e-324, -5e-324, 1e-310, 1e-300, 0.5, 1.0, np.nan, np.inf, 1e308, -1e308]
STRICT = {
    "features": {"method": "features", "n_features": 16},
    "nystrom": {"anchors": [[5e-324, 0.3], [0.7, 1e-310]]},
    "nystrom, laplacian": {"anchors": [[0.0, 0.3]], "kernel": "laplacian", "bandwidth": 1e-8},
    "batch, matern": {"queries": [[0.2, 0.3]], "kernel": "matern", "shape": 1.2},
    "mercer": {"method": "mercer", "location": 0.5, "scale": 0.2, "n_features": 8},
    "mercer, private law": {"method": "mercer", "n_features": 8},
    "fourier": {"method": "fourier"},
    "binned": {"method": "binned"},
    "custom": {"kernel": lambda x: np.array([x[0] * 1e-200, x[1] * 1e200, 1.0])},
}


@pytest.mark.parametrize("case", STRICT)
def test_no_value_raises_under_strict_float_warnings(case):
    """A floating-point flag that a private value sets must not become an exception."""
    for box in (dps.Box(0, 1, dim=2), dps.Box(-1, 1e-300, dim=2), dps.Box(-1, 1, dim=2)):
        options = {"bandwidth": 0.3, "bounds": box, "max_rows": 1 << 16, **STRICT[case]}
        blueprint = dps.KernelDensity(**options)
        X = np.array([[a, b] for a in SMALL for b in SMALL])
        with np.errstate(all="raise"):
            dps.Budget(1.0, 1e-6, neighbors="add-remove").release(blueprint.summarize(X), share=1)


# ---- public numbers --------------------------------------------------------------------------------------------------


def test_the_exponential():
    x = np.concatenate([-np.random.default_rng(0).random(2000) * 700, [0.0, -1e-300, -0.5 * math.log(2), -700.0]])
    exact = np.array([math.exp(v) for v in x])
    assert np.abs(exponential(x) / exact - 1).max() < 4e-16
    assert exponential(np.array([0.0, -1e9])).tolist() == [1.0, exponential(np.array([-700.0]))[0]]


def test_small_gamma_numbers_have_the_same_bits_for_ever():
    """No library's exponential or logarithm decides them, whatever their shape."""
    numbers = [v.hex() for v in Draws(7, "test").gamma(0.4, 3).tolist()]
    assert numbers == ["0x1.56e00dae8943bp-10", "0x1.e80ef7b3f96d6p-9", "0x1.5e713dcf159b8p+1"]


def test_a_law_far_from_the_middle_in_bandwidths():
    """The points that eigenfunctions are checked on are those they use, rounded alike: this pair once cost 1.18."""
    h, s, tiny = 1.0188582520612283e-13, 1.574085035377121e-13, 2.0**-36
    knot = -(1 + 1e-9) + np.linspace(0, 1, 8193)[7384] * 2 * (1 + 1e-9)
    box = dps.Box([-1, -1, -tiny], [1, 1, tiny])
    law = {"location": [knot, knot, 0], "scale": [s, s, 16 * h]}
    kde = dps.KernelDensity(bandwidth=h, bounds=box, method="mercer", n_features=32768, **law)
    x = np.round(knot * 2**17) / 2**17 + 2.0**-19
    pair = [np.array([[x, x, u]]) for u in (-3.0429899794895354e-12, -2.564805839855464e-12)]
    a, b = (kde._method.sums_of(row)["sums"].astype(object) for row in pair)
    assert int(((a - b) ** 2).sum()) <= kde._method.lines(dps.GDP(1.0), "substitute")[1]


def test_private_laws_in_many_dimensions():
    """Their capacity follows the second moment; a public law has none."""
    blueprint = dps.KernelDensity(bandwidth=5.0, bounds=dps.Box(0, 1, dim=300), method="mercer", n_features=4)
    assert 1 << 30 < blueprint.max_rows < 1 << 32
    public = dps.KernelDensity(
        bandwidth=5.0, bounds=dps.Box(0, 1, dim=300), method="mercer", n_features=4, location=0.5, scale=0.2
    )
    assert public.max_rows == 1 << 32


@pytest.mark.parametrize("law", [(0.5, 1e308), (-1.7e308, 1.0), (0, np.eye(2) * 1e300)], ids=str)
def test_absurd_public_laws_are_refused(law):
    with pytest.raises(InvalidParameter):
        dps.KernelDensity(bandwidth=0.5, bounds=dps.Box(0, 1, dim=2), method="mercer", location=law[0], scale=law[1])
